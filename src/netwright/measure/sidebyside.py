"""Answers of several models to the same prompts, side by side on one page that a person can judge, blind if wanted.

    write(Path("sidebyside.html"), prompts, [Column("base", base.name, rows), Column("tuned", ...)], blind=0)

One file that asks nobody for anything: style and script are in it, and a policy allows no others. Blind, each prompt's
answers come in an order drawn by seed, under letters; votes are counted in the page and can be copied out as JSON.
This file does not know how answers came to be.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from netwright.core import artifact, page, recipe
from netwright.core.measurement import readable
from netwright.measure.items import Item

FILE = "sidebyside.html"
MOST = 6
"""Models on a page."""
LETTERS = "ABCDEF"


@dataclass(frozen=True)
class Column:
    """A model: what it is called, its artifact, and its answers (`measure.answers`), one a prompt."""

    name: str
    artifact: str
    rows: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Card:
    """One answer on the page. `who` is the place of its column."""

    who: int
    letter: str
    text: str
    note: str
    time: str
    """Hidden with the names: how fast an answer came tells which model it is of."""


def write(
    path: Path, prompts: Sequence[Item], columns: Sequence[Column], said: Sequence[str] = (), blind: int | None = None
) -> Path:
    """Write the page; `said` are sentences above it, `blind` is the seed of the orders, or None to show names."""
    text = html(prompts, columns, said, blind)
    artifact.replace_file(path, lambda draft: draft.write_text(text, encoding="utf-8", errors="replace"))
    return path


def html(prompts: Sequence[Item], columns: Sequence[Column], said: Sequence[str] = (), blind: int | None = None) -> str:
    """The page as text. Raises ValueError where a column has no answer to a prompt."""
    if not 1 <= len(columns) <= MOST or any(len(column.rows) < len(prompts) for column in columns):
        raise ValueError(f"1 to {MOST} columns, each with an answer to every prompt")
    drawn = orders(len(columns), len(prompts), blind)
    rows = [
        (item, [_card(columns[who], who, place, at) for place, who in enumerate(order)])
        for at, (item, order) in enumerate(zip(prompts, drawn, strict=True))
    ]
    made = page.templates("netwright.measure")
    script = Path(__file__).with_name("templates").joinpath("sidebyside.js").read_text(encoding="utf-8")
    seal = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    key = recipe.digest([[item.said for item in prompts], [list(column.rows) for column in columns], blind])
    return made.get_template("sidebyside.html").render(
        rows=rows,
        columns=columns,
        totals=[_total(column.rows[: len(prompts)]) for column in columns],
        said=said,
        blind=blind,
        key=key[:16],
        page_script=Markup(script),
        seal=seal,
    )


def orders(count: int, prompts: int, blind: int | None) -> list[list[int]]:
    """The columns in their order, for each prompt. Blind, a Latin square is drawn for as many prompts as columns.

    So each model stands in each place equally often, which independent draws do not do on a page of few prompts.
    """
    if blind is None:
        return [list(range(count)) for _ in range(prompts)]
    random, found = np.random.default_rng(blind), list[list[int]]()
    while len(found) < prompts:
        one = random.permutation(count).tolist()
        found += [one[at:] + one[:at] for at in random.permutation(count).tolist()]
    return found[:prompts]


def _card(column: Column, who: int, place: int, at: int) -> Card:
    row = column.rows[at]
    tokens, seconds = int(row["tokens"]), float(row["seconds"])
    note = f"{tokens:,} token{'' if tokens == 1 else 's'}{'' if row['ended'] else ', cut off'}"
    return Card(who, LETTERS[place], str(row["text"]).strip(), note, readable(seconds, "s"))


def _total(rows: Sequence[Mapping[str, Any]]) -> str:
    tokens, seconds = sum(int(row["tokens"]) for row in rows), sum(float(row["seconds"]) for row in rows)
    speed = f", {readable(tokens / seconds, 'tokens/s')}" if seconds else ""
    return f"{tokens:,} tokens in {readable(seconds, 's')}{speed}"
