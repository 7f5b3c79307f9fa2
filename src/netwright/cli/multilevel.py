"""netwright multilevel: what a hierarchy of coarser copies of a network looks like, before it is trained."""

from __future__ import annotations

import argparse
import importlib
import math
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from netwright.cli import Answer
from netwright.core.error import UserError, did_you_mean

HELP = "show the coarser levels of a network: what merges, what stays and why, with a picture"
EXAMPLE = "netwright multilevel inspect package.module:factory --example 2x3x32x32"
ACTIONS = ("inspect",)
KINDS = ("unit", "channel", "head", "stream")
MATCHINGS = ("heavy_edge", "fixed")
SIMILARITIES = ("weight", "activation")
FIRST = 16
"""Size that stands in where an artifact's inputs leave one open and no longest one is known."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", metavar="ACTION", help="inspect")
    parser.add_argument(
        "target", metavar="TARGET",
        help="package.module:factory (a function or class without arguments that gives a torch.nn.Module, or the "
        "module and its example inputs), a recipe, or the folder of a training run or artifact",
    )  # fmt: skip
    parser.add_argument(
        "--example", action="append", default=[], metavar="SHAPE",
        help="inputs of a factory's module: 2x3x32x32, 2x16:int64, or ids=2x16:int64; may be said again",
    )  # fmt: skip
    parser.add_argument("--levels", type=int, metavar="N", help="levels in all (default: 2, or what the recipe says)")
    parser.add_argument("--matching", metavar="HOW", help=f"{', '.join(MATCHINGS)} (default: heavy_edge)")
    parser.add_argument("--similarity", metavar="OF", help=f"{', '.join(SIMILARITIES)} (default: weight)")
    parser.add_argument(
        "--only", action="append", default=[], metavar="KIND",
        help=f"kinds of units to merge: {', '.join(KINDS)}; may be said again",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="where the pictures go (default: multilevel/ and the target)"
    )


@dataclass(frozen=True)
class Target:
    """A network to look at; `seen` is an example worth computing on, and None where it is only noise."""

    name: str
    model: Any
    example: Any
    seen: Any = None
    settings: Any = None


def main(args: argparse.Namespace) -> Answer:
    if args.action not in ACTIONS:
        raise UserError("action", args.action, did_you_mean(args.action, ACTIONS), EXAMPLE)
    for name, value, allowed in (
        ("--matching", args.matching, MATCHINGS),
        ("--similarity", args.similarity, SIMILARITIES),
    ):
        if value is not None and value not in allowed:
            raise UserError(name, value, did_you_mean(value, allowed), f"{name} {allowed[0]}")
    only = [kind for words in args.only for kind in words.split(",")]
    for kind in only:
        if kind not in KINDS:
            raise UserError("--only", kind, did_you_mean(kind, KINDS), "--only channel")
    if args.levels is not None and not 2 <= args.levels <= 12:
        raise UserError("--levels", args.levels, "a whole number from 2 to 12", "--levels 2")
    name = args.target if ":" in args.target else Path(args.target).resolve().stem
    folder = args.output or Path("multilevel") / (re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "model")
    if folder.exists() and not folder.is_dir():
        raise UserError("--output", str(folder), "a folder", "--output FOLDER")
    if args.dry_run:
        return Answer(
            {"target": args.target, "output": str(folder)}, f"would write pictures of {args.target} to {folder}"
        )
    from netwright.core.run import progress

    begin = time.perf_counter()
    with progress("Inspecting", 4, unit="steps") as advance:
        target = _target(args.target, args.example)
        advance()
        found, report, paths = _inspect(target, args, only, folder, advance)
    seconds = time.perf_counter() - begin
    data = {
        "target": args.target,
        "levels": [
            {"parameters": parameters, "flops": flops}
            for parameters, flops in zip(found.parameters, found.flops, strict=True)
        ],
        "spaces": [{key: value for key, value in asdict(row).items() if key != "names"} for row in found.spaces],
        "errors": list(report.errors),
        "notes": list(found.notes),
        "pictures": [str(path) for path in paths],
        "seconds": seconds,
    }
    return Answer(data, _view(target, found, report, paths, seconds))


def _inspect(target: Target, args: argparse.Namespace, only: Any, folder: Path, advance: Any) -> Any:
    from netwright.train.multilevel import Hierarchy, view

    settings = target.settings
    levels = args.levels or (len(set(settings.width)) if settings else 2)
    hierarchy = Hierarchy.build(
        target.model, target.example, max(2, levels),
        args.matching or (settings.matching if settings else "heavy_edge"),
        args.similarity or (settings.similarity if settings else "weight"),
        only=only or (settings.kinds if settings else ()),
    )  # fmt: skip
    advance(1, "matched")
    report = hierarchy.check()
    advance(1, "checked")
    found = view.summary(hierarchy)
    paths = view.draw(hierarchy, folder, target.seen, found, f"Levels of {target.name}")
    advance(1, "drawn")
    return found, report, paths


# targets


def _target(words: str, shapes: Sequence[str]) -> Target:
    path = Path(words)
    if path.is_dir():
        return _from_folder(path, shapes)
    if path.suffix == ".toml":
        return _from_recipe(path, shapes)
    if ":" in words:
        return _from_factory(words, shapes)
    allowed = "package.module:factory, a recipe (.toml), or the folder of a run or artifact"
    raise UserError("TARGET", words, allowed, EXAMPLE)


def _from_recipe(path: Path, shapes: Sequence[str]) -> Target:
    from netwright.core import recipe as recipes
    from netwright.train import training
    from netwright.train.multilevel.views import longest

    _no_shapes(shapes, "a recipe")
    recipe = recipes.load(path, [], training.SECTIONS) if "study" not in recipes.read_toml(path) else _of_study(path)
    task, model = training.prepare(recipe)
    settings = recipe["train"].multilevel
    return Target(path.stem, model, longest(task), task.example(1), settings if max(settings.width) > 1 else None)


def _of_study(path: Path) -> Any:
    from netwright.core import recipe as recipes
    from netwright.study import study

    return recipes.load(path, [], study.SECTIONS)


def _from_folder(folder: Path, shapes: Sequence[str]) -> Target:
    from netwright.core import artifact
    from netwright.models import load
    from netwright.train.multilevel.views import longest

    _no_shapes(shapes, "a folder")
    inside = folder / "artifact"
    opened = artifact.open(inside if inside.is_dir() else folder)
    model = load.open_model(opened)
    name = folder.resolve().name
    try:
        task = load.open_task(opened)
    except UserError:  # its data are not here
        return Target(name, model, _noise(load.inputs_of(opened)))
    return Target(name, model, longest(task), task.example(1))


def _noise(inputs: Any) -> dict[str, Any]:
    """Two random examples of inputs that a manifest states."""
    import torch

    generator = torch.Generator().manual_seed(0)
    found = {}
    for name, one in inputs.items():
        shape = (2, *(size or one.longest or FIRST for size in one.shape))
        if one.dtype == "int64":
            found[name] = torch.randint(0, max(2, one.vocabulary), shape, generator=generator)
        elif one.dtype == "bool":
            found[name] = torch.ones(shape, dtype=torch.bool)
        else:
            found[name] = torch.randn(shape, generator=generator)
    return found


def _no_shapes(shapes: Sequence[str], what: str) -> None:
    if shapes:
        raise UserError("--example", " ".join(shapes), f"none: {what} knows its inputs", "leave --example out")


def _from_factory(words: str, shapes: Sequence[str]) -> Target:
    module_name, _, attribute = words.partition(":")
    factory = _found(module_name, attribute)
    try:
        made = factory()
    except UserError:
        raise
    except Exception as fault:
        raise UserError(
            "TARGET", words, f"it raised {_told(fault)}", "call it yourself in Python: " + attribute + "()"
        ) from fault
    from torch import nn

    model, own = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(model, nn.Module):
        what = f"it gave {type(model).__name__}, not a torch.nn.Module or (module, example inputs)"
        raise UserError("TARGET", words, what, f"return a module from {attribute}")
    example = _example(shapes) if shapes else own
    if example is None:
        allowed = "shapes of the inputs: this factory gives a module without example inputs"
        raise UserError("--example", "", allowed, f"netwright multilevel inspect {words} --example 2x3x32x32")
    _called(model, example, words)
    return Target(attribute, model, example, None if shapes else example)


def _found(module_name: str, attribute: str) -> Any:
    """An attribute of a module, which may lie in the current folder, as for `python -m`."""
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", module_name) or not attribute:
        raise UserError("TARGET", f"{module_name}:{attribute}", "package.module:factory", EXAMPLE)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as fault:
        if fault.name and (module_name == fault.name or module_name.startswith(f"{fault.name}.")):
            raise UserError(
                "TARGET", module_name, f"no module {fault.name} here or installed", "cd to its folder"
            ) from None
        raise UserError(
            "TARGET", module_name, f"importing it raised {_told(fault)}", f"python -c 'import {module_name}'"
        ) from fault
    except Exception as fault:
        raise UserError(
            "TARGET", module_name, f"importing it raised {_told(fault)}", f"python -c 'import {module_name}'"
        ) from fault
    here: Any = module
    for part in attribute.split("."):
        if not hasattr(here, part):
            known = [name for name in vars(here) if not name.startswith("_")] if hasattr(here, "__dict__") else []
            near = did_you_mean(part, known) if len(known) < 30 else f"{module_name} has no {part}"
            raise UserError("TARGET", f"{module_name}:{attribute}", near, EXAMPLE)
        here = getattr(here, part)
    if not callable(here):
        raise UserError("TARGET", f"{module_name}:{attribute}", "a function or class without arguments", EXAMPLE)
    return here


def _called(model: Any, example: Any, words: str) -> None:
    """Refuse a module that its example does not fit."""
    import torch

    from netwright.train.multilevel.exact import call

    modes = {module: module.training for module in model.modules()}
    model.eval()  # in training mode a forward pass would count into batch normalization
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            call(model, example)
    except Exception as fault:
        raise UserError(
            "--example", _shapes(example), f"the module raised {_told(fault)}", f"give the inputs of {words}"
        ) from fault
    finally:
        for module, mode in modes.items():
            module.training = mode


def _told(fault: BaseException) -> str:
    lines = str(fault).strip().splitlines()
    return f"{type(fault).__name__}: {lines[0][:200]}" if lines else type(fault).__name__


def _shapes(example: Any) -> str:
    if isinstance(example, dict):
        return ", ".join(f"{name}={_shapes(x)}" for name, x in example.items())
    if isinstance(example, (tuple, list)):
        return ", ".join(map(_shapes, example))
    return "x".join(map(str, example.shape)) if hasattr(example, "shape") else type(example).__name__


_SHAPE = re.compile(r"(?:([A-Za-z_]\w*)=)?(\d+(?:[x,]\d+)*)(?::(\w+))?")
DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "bool")


def _example(shapes: Sequence[str]) -> Any:
    """Tensors of these shapes, the same every time: normal numbers, ids 0 and 1, or True."""
    import torch

    generator = torch.Generator().manual_seed(0)
    found: list[tuple[str | None, Any]] = []
    for words in shapes:
        told = _SHAPE.fullmatch(words)
        if not told:
            raise UserError("--example", words, "a shape: 2x3x32x32, 2x16:int64, ids=2x16:int64", EXAMPLE)
        name, sizes, dtype = told[1], [int(size) for size in re.split("[x,]", told[2])], told[3] or "float32"
        if dtype not in DTYPES:
            raise UserError("--example", words, did_you_mean(dtype, DTYPES), "--example 2x16:int64")
        if not 0 < math.prod(sizes) <= 10**9:
            raise UserError(
                "--example", words, "sizes from 1 up, at most a thousand million numbers", "--example 2x3x32x32"
            )
        kind = getattr(torch, dtype)
        if kind.is_floating_point:
            found.append((name, torch.randn(sizes, generator=generator).to(kind)))
        elif kind == torch.bool:
            found.append((name, torch.ones(sizes, dtype=kind)))
        else:
            found.append((name, torch.randint(0, 2, sizes, generator=generator).to(kind)))
    names = [name for name, _ in found]
    if all(name is None for name in names):
        return found[0][1] if len(found) == 1 else tuple(x for _, x in found)
    if None in names or len(set(names)) < len(names):
        raise UserError("--example", " ".join(shapes), "every input with a name of its own, or none with one", EXAMPLE)
    return dict(found)


# what is printed

UNITS = {"stream": "features", "head": "heads", "channel": "channels"}
"""What the units of a kind are called."""


def _view(target: Target, found: Any, report: Any, paths: Sequence[Path], seconds: float) -> Any:
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = [
        _levels(target, found, report),
        "error: largest of this level with weights prolonged from the next coarser one, relative\n",
        _merged(found),
        "similarity: mean of the units that merge; 1 is alike, 0 unrelated\n",
    ]
    if found.frozen:
        parts += [_kept(found), ""]
    parts += [f"Note: {note}" for note in found.notes]
    pictures = [Text(f"Picture: {path}", overflow="fold") for path in paths]
    return Group(*(Text(part) if isinstance(part, str) else part for part in parts), *pictures, f"In {seconds:.1f} s")


def _levels(target: Target, found: Any, report: Any) -> Any:
    table = _table(f"Levels of {target.name}", ("level", "parameters", "FLOPs", "error"), right=(1, 2, 3))
    for at, (parameters, flops) in enumerate(zip(found.parameters, found.flops, strict=True)):
        error = f"{report.errors[at]:.1e}" if at < len(report.errors) else ""
        table.add_row(str(at), f"{parameters:,}", "" if flops is None else f"{100 * flops:.3g} %", error)
    return table


def _merged(found: Any) -> Any:
    table = _table("Merged", ("what", "units", "similarity"), right=(2,))
    for row in found.coarsened:
        similarity = ", ".join("" if value is None else f"{value:.2f}" for value in row.similarity)
        table.add_row(_name(row), f"{' → '.join(map(str, row.sizes))} {UNITS.get(row.kind, 'units')}", similarity)
    return table


def _kept(found: Any) -> Any:
    table = _table("Kept as it is", ("what", "units", "why"), right=(1,))
    for row in found.frozen:
        table.add_row(_name(row), str(row.sizes[0]), row.frozen)
    return table


def _name(row: Any) -> str:
    return f"{row.name} ×{row.count}" if row.count > 2 else str(row.name)


def _table(title: str, columns: Sequence[str], right: Sequence[int]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for at, column in enumerate(columns):
        table.add_column(column, overflow="fold", justify="right" if at in right else "left", min_width=len(column))
    return table
