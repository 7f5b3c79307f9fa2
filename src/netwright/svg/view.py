"""What was done, as tables on a terminal and as CSV: measured beside what was predicted."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from netwright.core import artifact
from netwright.svg.setting import DEFAULT

Row = Mapping[str, Any]
WIDE = 120
"""Characters from which predictions stand beside what was measured; else they are in the report and in --json."""
COLUMNS = (
    "image", "svg", "width", "height", "granted", "wished", "ssim", "ssim_active", "verified", "bytes", "tracer_bytes",
    "paths", "nodes", "curved", "kinks", "grid", "preset", "why", "guided", "seconds", "unfamiliar", "needed", "sha256",
)  # fmt: skip


class Fitting:
    """A table with predictions beside what was measured, where there are any and the screen is wide enough."""

    def __init__(self, drawn: Callable[[bool], Any], rows: Sequence[Row]) -> None:
        self._drawn, self._told = drawn, any(row["expected"] for row in rows)

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        yield self._drawn(self._told and options.max_width >= WIDE)


def one(row: Row) -> list[Any]:
    """One image: the answer, every trace beside its prediction, and what was decided."""

    def drawn(told: bool) -> Any:
        table = _table("trace", *_heads(told, "SSIM", "bytes", "paths"))
        for tried in sorted(row["tried"], key=lambda each: each["bytes"]):
            best = (tried["setting"], tried["why"]) == (row["setting"], row["why"])
            name = ("* " if best else "") + tried["why"]
            table.add_row(name, *_cells(tried, told, "ssim", "bytes", "paths"), style="bold" * best)
        return table

    told = f"{row['svg']}: {row['bytes']:,} bytes, SSIM {row['ssim']:.4f}, {row['paths']:,} paths"
    told += "" if row["granted"] else "; the wish was not reached"
    lines = [told + compared(row), f"with {changed(row['setting'])}", *row["notes"], *row["decisions"], held([row])]
    return [
        Fitting(drawn, [row, *row["tried"]]),
        "\n".join(line[:1].upper() + line[1:] if at else line for at, line in enumerate(lines) if line),
    ]


def many(rows: Sequence[Row]) -> Any:
    """A line an image."""

    def drawn(told: bool) -> Any:
        table = _table("image", *_heads(told, "bytes", "SSIM", "paths"), "of default", "")
        for row in rows:
            default = row["default"]
            share = f"{100 * row['bytes'] / default['bytes']:.0f} %" if default else ""
            cells = _cells(row, told, "bytes", "ssim", "paths")
            table.add_row(str(row["image"]), *cells, share, "" if row["granted"] else "not reached")
        return table

    return Fitting(drawn, rows)


def total(rows: Sequence[Row]) -> str:
    """All of them in a sentence."""
    size, seconds = sum(row["bytes"] for row in rows), sum(row["seconds"] for row in rows)
    said = f"{len(rows)} SVGs, {size:,} bytes, traced in {seconds:.1f} s of work"
    with_default = [row for row in rows if row["default"]]
    if with_default:
        shares = [
            math.exp(sum(math.log(row["bytes"] / row["default"][name]) for row in with_default) / len(with_default))
            for name in ("bytes", "tracer_bytes")
        ]
        said += (
            f"; {100 * shares[0]:.0f} % of the default's bytes, {100 * shares[1]:.0f} % of what VTracer itself writes"
            " (geometric means)"
        )
    missed = sum(not row["granted"] for row in rows)
    return " ".join([said + (f"; {missed} short of the wish" if missed else "") + ".", held(rows)]).rstrip()


def held(rows: Sequence[Row]) -> str:
    """How often what was traced lay within what was predicted, in a sentence; nothing where nothing was predicted."""
    told = [one for row in rows for one in row["tried"] if one["expected"]]
    if not told:
        return ""
    ssim, size = (
        sum(one["expected"][f"{name}_low"] <= one[name] <= one["expected"][f"{name}_high"] for one in told)
        for name in ("ssim", "bytes")
    )
    held_by = f"{ssim} likenesses and {size} sizes"
    return f"Of {len(told)} traces that were predicted, {held_by} lay within their 90 % intervals."


def compared(row: Row) -> str:
    """Beside VTracer's default, where it was traced."""
    default = row["default"]
    if not default:
        return ""
    share, gain = row["bytes"] / default["bytes"], row["ssim"] - default["ssim"]
    return (
        f"; the default has {default['bytes']:,} bytes ({share:.2f} x) at SSIM {default['ssim']:.4f} ({gain:+.4f}),"
        f" and {default['tracer_bytes']:,} as VTracer writes it"
    )


def changed(setting: Mapping[str, Any]) -> str:
    """A setting by what differs from the default."""
    plain = DEFAULT.plain()
    other = [f"{name} {value}" for name, value in setting.items() if value != plain[name]]
    return ", ".join(other) or "the default"


def span(row: Row, name: str) -> str:
    """What was predicted of one figure, with its 90 % interval; nothing where nothing was."""
    expected = row["expected"]
    if not expected:
        return ""
    value, low, high = (expected[f"{name}{end}"] for end in ("", "_low", "_high"))
    if name == "ssim":
        return f"{value:.3f} ({low:.3f}-{high:.3f})"
    return f"{short(value)} ({short(low)}-{short(high)})"


def short(count: float) -> str:
    """A count in three digits: 812, 4.1k, 2.35M."""
    for scale, unit in ((1e6, "M"), (1e3, "k")):
        if count >= 0.9995 * scale:
            return f"{count / scale:.3g}{unit}"
    return f"{count:.0f}"


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """A line an image: COLUMNS, the setting, and what was traced and predicted before it was finished. Raises
    UserError."""
    flat = []
    for row in rows:
        traced = dict(row["traced"])
        expected = {f"predicted_{name}": value for name, value in (traced.pop("expected") or {}).items()}
        traced = {f"traced_{name}": value for name, value in traced.items()}
        flat.append({**{name: row[name] for name in COLUMNS}, **row["setting"], **traced, **expected})
    names = list(dict.fromkeys(name for row in flat for name in row))

    def write(draft: Path) -> None:
        with draft.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows({name: _cell(value) for name, value in row.items()} for row in flat)

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise artifact.disk_error(fault, path.parent) from fault
    artifact.replace_file(path, write)


def _cell(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula gets a mark before it."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _heads(told: bool, *names: str) -> list[str]:
    """Columns of figures, each with one of predictions where they are told."""
    return [head for name in names for head in ([name, "predicted"] if told else [name])]


def _cells(row: Row, told: bool, *names: str) -> list[str]:
    texts = {name: f"{row[name]:.4f}" if name == "ssim" else f"{row[name]:,}" for name in names}
    return [text for name in names for text in ([texts[name], span(row, name)] if told else [texts[name]])]


def _table(*heads: str) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for at, head in enumerate(heads):
        table.add_column(head, justify="left" if at == 0 else "right", overflow="fold", no_wrap=at > 0)
    return table
