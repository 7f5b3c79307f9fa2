"""netwright export: the same model as files for other runtimes, each with its certificate."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import shutil
from pathlib import Path
from typing import Any

from netwright.cli import Answer, add_words

HELP = "write an artifact for another runtime, certified equal to its source on real examples"
EXAMPLE = "netwright export runs/20261120-train-3fa9c1d2 --format onnx --format openvino"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("artifact", type=Path, help="a torch artifact's folder, or the run that trained it")
    parser.add_argument(
        "--format",
        action="append",
        metavar="NAME",
        help="torch (safetensors), program, torchscript, onnx, openvino, tensorrt, gguf; repeatable",
    )
    parser.add_argument("--folder", type=Path, metavar="FOLDER", help="also copy each result to FOLDER/NAME")
    parser.add_argument(
        "--package", action="store_true",
        help="also write NAME.zip beside: the model with a loader that needs nothing but its runtime (onnx, openvino)",
    )  # fmt: skip
    add_words(parser)
    parser.add_argument("--fresh", action="store_true", help="export again even if nothing has changed")


def main(args: argparse.Namespace) -> Answer:
    """Export, or say what would be."""
    from rich.console import Group

    from netwright import export
    from netwright.core import artifact as artifacts
    from netwright.core import recipe
    from netwright.export import package

    formats = list(dict.fromkeys(args.format or ["openvino"]))
    config = recipe.from_words(args.overrides, {"export": export.Config})["export"]
    source = artifacts.open(args.artifact)
    for name in formats:
        if args.package and name not in package.RUNTIMES:
            package.refuse(name)
        if source.format == name != "torch" and args.package:
            return (
                Answer({"packages": []}, f"would pack {source.name}") if args.dry_run else _package_alone(source, args)
            )
        export.check_source(source, name, config.precision, config.opset)
        if args.folder is not None:
            _check_free(args.folder / name)
    if args.dry_run:
        plan = {"artifact": source.digest, "formats": formats, "examples": config.examples}
        return Answer(plan, f"would export {source.name} to {', '.join(formats)}, each on {config.examples} examples")
    made = [_export(source, name, config, args) for name in formats]
    found = answer(made)
    if args.package:
        paths = [_packed(one, args) for one in made]
        found.data["packages"] = [str(path) for path in paths]
        found = Answer(found.data, Group(found.view, *(f"Package: {path}" for path in paths)), found.code)
    return found


def _package_alone(source: Any, args: argparse.Namespace) -> Answer:
    """Of what is exported already, a quantized file for example."""
    path = _packed(source, args)
    return Answer({"packages": [str(path)]}, f"Package: {path}")


def _packed(made: Any, args: argparse.Namespace) -> Path:
    from netwright.export import package

    folder = args.folder or made.folder.parent
    return package.pack(made, folder / f"{made.task['name']}-{made.model['name']}-{made.precision}-{made.format}.zip")


def _export(source: Any, name: str, config: Any, args: argparse.Namespace) -> Any:
    from netwright.study import stages

    made = stages.exported(args.runs, source, name, config, args.fresh)
    if args.folder is not None:
        _copy(made, args.folder / name)
    return made


def _check_free(folder: Path) -> None:
    from netwright.core import artifact as artifacts
    from netwright.core.error import UserError

    if folder.exists() and not (folder / artifacts.MANIFEST).is_file():
        raise UserError("folder", str(folder), "exists and is no artifact: it is not replaced", "--folder FOLDER")
    above = next(part for part in folder.absolute().parents if part.exists())
    if not above.is_dir():
        raise UserError("folder", str(folder), f"{above} is a file", "--folder FOLDER")


def _copy(made: Any, folder: Path) -> None:
    from netwright.core import artifact as artifacts

    about = {field.name: getattr(made, field.name) for field in dataclasses.fields(made)}
    about = {name: value for name, value in about.items() if name not in ("folder", "files")}

    def fill(draft: Path) -> None:
        for name in made.files:
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(made.path(name), draft / name)

    artifacts.create(folder, fill, **about)


def answer(made: list[Any]) -> Answer:
    """What `export` and `compress` print: a row an artifact, with its certificate; code 1 if one failed."""
    from rich.console import Group
    from rich.table import Table

    from netwright.core.measurement import readable
    from netwright.export import verify
    from netwright.measure.bench import deployed

    table = Table("artifact", "size", "relative error", "same top class", "certificate", box=None)
    data, passed = [], True
    share = functools.partial(readable, unit="fraction")
    for one in made:
        seen = verify.read(one)
        assert seen is not None
        passed &= seen.passed
        layers = ", ".join(f"{count} {name}" for name, count in sorted(seen.layers.items()))
        runs = f"runs {seen.executed}" + (f" ({layers})" if len(seen.layers) > 1 else "")
        table.add_row(
            f"{one.precision} {one.format}\n{runs}",
            readable(deployed(one), "B"),
            f"{seen.relative_error:.2g}",
            f"{share(seen.agreement)} of {seen.n}\n[{share(seen.agreement_low)}, {share(seen.agreement_high)}]"
            + (f"\nperplexity {seen.perplexity:.4g}, was {seen.reference_perplexity:.4g}" if seen.perplexity else ""),
            "passed" if seen.passed else "failed: " + "; ".join(seen.faults),
        )
        about = {"format": one.format, "precision": one.precision, "size": deployed(one), "certificate": seen}
        data.append({"artifact": str(one.folder), "digest": one.digest, "passed": seen.passed, **about})
    last = "Next: netwright bench " + " ".join(str(one.folder) for one in made)
    if "positions" in made[0].inputs:
        last = f'Next: netwright generate {made[0].folder} --prompt "Hello"'
    return Answer({"artifacts": data}, Group(table, last), 0 if passed else 1)
