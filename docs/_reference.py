"""mkdocs hook: makes the reference pages from the source, so that they cannot say something else.

Command line from the parsers, recipes from the Config dataclasses, quantities from their table, Python
from signatures and docstrings (read, not imported).
"""

import ast
import dataclasses
import importlib
import inspect
import itertools
import os
import textwrap
import typing
from pathlib import Path

from mkdocs.structure.files import File, Files

SOURCE = Path(__file__).parents[1] / "src" / "netwright"


def on_files(files: Files, config: typing.Any) -> Files:
    """Add the pages; mkdocs calls this."""
    pages = {"command-line": command_line, "recipes": recipes, "quantities": quantities, "hardware": hardware,
             "python": python}  # fmt: skip
    for name, make in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=make()))
    return files


def command_line() -> str:
    """Every verb with its help."""
    from netwright import cli

    os.environ["COLUMNS"] = "100"  # argparse wraps at the terminal's width
    parts = ["# Command line", "Results go to standard output, everything else to standard error.", EXIT_CODES]
    for verb in cli.VERBS:
        help_text = cli.build_parser(verb)._subparsers._group_actions[0].choices[verb].format_help()
        parts += [f"## netwright {verb}", f"```text\n{help_text}```"]
    return "\n\n".join(parts) + "\n"


EXIT_CODES = """Exit codes: 0 done; 1 a fault of ours, or a check that failed; 2 a request that cannot be done as asked;
130 interrupted."""


def recipes() -> str:
    """Every section's keys with type, default and meaning."""
    from netwright.study import delivery, study

    parts = ["# Recipes", RECIPES]
    for section, chosen in {**study.SECTIONS, **delivery.SECTIONS}.items():
        if isinstance(chosen, type):
            parts += [f"## [{section}]", _keys(chosen)]
            continue
        parts.append(f"## [{section}]")
        by_config: dict[type, list[str]] = {}
        for name, module in chosen.items():
            by_config.setdefault(importlib.import_module(module).Config, []).append(name)
        for cls, names in by_config.items():
            parts += ["### " + ", ".join(f'name = "{name}"' for name in names), _keys(cls)]
    return "\n\n".join(parts) + "\n"


RECIPES = """A recipe is a TOML file. Each section is read by one component; a key that no component knows stops
before any work. `section.key=value` on the command line replaces a key."""


def _keys(cls: type) -> str:
    from netwright.core.recipe import _describe

    meaning = _field_docs(cls)
    kinds = typing.get_type_hints(cls, include_extras=True)
    lines = [inspect.getdoc(cls) or "", "", "| key | value | default | meaning |", "|---|---|---|---|"]
    for field in dataclasses.fields(cls):
        default = "required" if field.default is dataclasses.MISSING else f"`{_default(field.default)}`"
        if field.default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
            default = f"`{_default(field.default_factory())}`"
        cells = (f"`{field.name}`", _describe(kinds[field.name]), default, meaning.get(field.name, ""))
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines)


def _default(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_default, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _field_docs(cls: type) -> dict[str, str]:
    """The string under each field, inherited ones too."""
    classes = [one for one in cls.__mro__ if dataclasses.is_dataclass(one)]
    bodies = [ast.parse(textwrap.dedent(inspect.getsource(one))).body[0].body for one in reversed(classes)]
    pairs = itertools.chain.from_iterable(itertools.pairwise(body) for body in bodies)
    return {
        one.target.id: inspect.cleandoc(two.value.value)
        for one, two in pairs
        if isinstance(one, ast.AnnAssign) and isinstance(two, ast.Expr) and isinstance(two.value, ast.Constant)
    }


def quantities() -> str:
    """Everything that is measured or predicted."""
    from netwright.core.measurement import QUANTITIES

    rows = [f"| {name} | {q.unit} | {q.better} | {q.meaning} |" for name, q in QUANTITIES.items()]
    return "\n".join(["# Quantities", "", "| name | unit | better | meaning |", "|---|---|---|---|", *rows]) + "\n"


HARDWARE = """What is computed from the catalogue. A metric whose inputs no source states is absent, never zero.
Rates of cards that halve with 32-bit accumulation count half. DTYPE stands for each of {dtypes}.

Metrics with a slowdown are estimates of what programs reach, with an interval: the extremes of what three GPUs did,
eager and compiled, widened by 1.25 (`benchmarks/derived_slowdown.py`). The rest are exact consequences of stated
values."""

TIERS = """A device is in the first tier of whose two thresholds it reaches both. They are this project's choice and do
not move with the years. 16-bit rates are dense with 32-bit accumulation."""

MATRICES = """Devices down, values across; what no source states is empty. The same stand as SQL views, `matrix_...`."""

GUESSES = """Errors of guesses for devices that ship and whose value is known: with the device left out, where others of
its architecture state the value, or with the whole architecture left out. The best method of each is shown; a guess
is made by the best that can answer. Covered: how often the 90 % interval held the value, made from the errors of other
architectures. A rate of 16 or 8 bits, which a chip may not have at all, is guessed only within its architecture."""

SYNTHETIC = """What `synthesize` gets wrong for real devices that state units and clock, each left out and made up from
the others of its architecture."""


def hardware() -> str:
    """Derived metrics, tiers, matrices, and the errors of what is guessed."""
    import numpy as np

    from netwright.hardware import catalog, derived, fields, impute, matrices, synthetic, tiers
    from netwright.hardware.device import DTYPES

    rows = []
    for name, one in derived.METRICS.items():
        stem, _, dtype = name.rpartition("_")
        if dtype in DTYPES[1:]:
            continue
        each = dtype in DTYPES
        called, formula = (f"{stem}_DTYPE", one.formula.replace(dtype, "DTYPE")) if each else (name, one.formula)
        rows.append((f"`{called}`", formula, one.unit, one.better, one.source))
    devices = catalog.all()
    ladders = [
        (one.name, *(f"{what} {fields.text(name, least)}" if least else f"any stated {what}"
                     for what, name, least in ((kind, "rates.fp32", one.rate), (room, room, one.room))))
        for ladder, kind, room in ((tiers.GENERAL, "fp32", "bandwidth"), (tiers.AI, "16 bit", "memory"))
        for one in ladder
    ]  # fmt: skip
    held = [
        (name, ", ".join(f"`{column}`" for column in columns), _percent(matrices.matrix(name, devices).total))
        for name, columns in matrices.MATRICES.items()
    ]
    errors = [
        (fields.title(one.quantity), one.method, "architecture" if one.new else "device", one.n,
         *map(_percent, (one.median, one.p90, one.coverage.value)))
        for one in impute.evaluate(devices) if one.rank == 0
    ]  # fmt: skip
    made = [
        (fields.title(name), len(found), *(_percent(np.expm1(np.quantile(abs(found), q))) for q in (0.5, 0.9)))
        for name, found in synthetic.leave_one_out(devices).items()
    ]
    parts = ["# Derived from the catalogue", HARDWARE.format(dtypes=", ".join(DTYPES))]
    parts.append(_table(("metric", "formula", "unit", "better", "source"), rows))
    parts += ["## Tiers", TIERS, _table(("tier", "at least", "and at least"), ladders)]
    parts += ["## Matrices", MATRICES, _table(("matrix", "columns", "stated"), held)]
    heads = ("value", "method", "left out", "devices", "median error", "90th percentile", "covered")
    parts += ["## Guesses", GUESSES, _table(heads, errors)]
    parts += ["## Synthetic devices", SYNTHETIC, _table(("value", "devices", "median error", "90th percentile"), made)]
    return "\n\n".join(parts) + "\n"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _table(heads: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *(f"| {' | '.join(str(cell) for cell in row)} |" for row in rows)])


def python() -> str:
    """Public functions and classes of every module."""
    parts = ["# Python", "Names that begin with an underscore may change without notice."]
    for path in sorted(SOURCE.rglob("*.py")):
        name = ".".join(("netwright", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")
        tree = ast.parse(path.read_text())
        public = [
            node
            for node in tree.body
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
        ]
        if public and "migrations" not in name and ".cli" not in name:
            parts += [f"## {name}", _doc(tree), *(_definition(node) for node in public)]
    return "\n\n".join(parts) + "\n"


def _definition(node: ast.FunctionDef | ast.ClassDef) -> str:
    if isinstance(node, ast.FunctionDef):
        returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        return f"```text\n{node.name}({ast.unparse(node.args)}){returns}\n```\n\n{_doc(node)}"
    fields = [ast.unparse(item) for item in node.body if isinstance(item, ast.AnnAssign)]
    methods = [_definition(m) for m in node.body if isinstance(m, ast.FunctionDef) and not m.name.startswith("_")]
    text = "\n    ".join([f"class {node.name}", *fields])
    return "\n\n".join([f"```text\n{text}\n```", _doc(node), *methods])


def _doc(node: ast.Module | ast.FunctionDef | ast.ClassDef) -> str:
    """The docstring; angle brackets and stars in it are not markup."""
    text = ast.get_docstring(node) or ""
    if "    " in text:  # an example or a table
        return f"```text\n{text}\n```"
    return text.replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
