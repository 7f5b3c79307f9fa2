"""The catalogue on one page: what there is, how it compares, how it grew, what is stated and what is guessed.

    write(Path("hardware.html"), catalog.all())

One HTML file that opens offline, on a phone, light or dark. `summarize` says everything in plain data; the page only
lays it out. Figures are drawn from stated values alone; guesses appear in a table of their own errors. This file
makes no value up and fetches none.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from netwright.core import artifact, charts, page, plot
from netwright.core.measurement import span
from netwright.hardware import analysis, derived, fields, impute, matrices, tiers
from netwright.hardware.device import DTYPES, Device

STEPS = 8
"""How often `write` says that it got on."""

COVERED = ("fp32", "half", "fp8", "int8", "fp4", "bandwidth", "memory", "power", "price", "year", "units", "clock",
           "cache", "link", "die_area", "transistors")  # fmt: skip
TABLE = ("year", "fp32", "half", "int8", "fp8", "bandwidth", "memory", "power", "price", "half_per_watt", "ridge")
HEADS = {"half": "16 bit", "half_per_watt": "16 bit / W", "ridge": "FLOP / B", "die_area": "die area"}
LARGE = 8
"""Manufacturers with a row of their own in the coverage; the rest share one."""
APART = 2.2
"""A scatter names its newest and largest devices, unless one that is named is nearer than this factor both ways."""
LEAST_RATE = 1e12
"""FLOP/s in 16 bits below which a device is left out of scatters: cards that compute 16 bits at 1/64 of fp32."""


def write(
    path: Path,
    devices: Sequence[Device],
    scores: Mapping[str, Mapping[str, float]] | None = None,
    notes: Sequence[str] = (),
    advance: Callable[[], Any] = lambda: None,
) -> dict[str, Any]:
    """Write the page in one step; returns the summary it was made of. Raises UserError without matplotlib."""
    summary = summarize(devices, scores or {}, notes)
    advance()
    figures: dict[str, str] = {}
    for name, (draw, alt) in _figures(devices, summary).items():
        figures[name] = plot.svg_text(draw(), alt)
        advance()
    templates = page.templates("netwright.hardware")
    templates.filters.update(text=_text, metric=derived.text)
    plots = {name: Markup(svg) for name, svg in figures.items()}
    made = templates.get_template("report.html").render(s=summary, plots=plots, heads=HEADS, table=TABLE)
    artifact.replace_file(path, lambda draft: draft.write_text(made, encoding="utf-8"))
    return summary | {"figures": len(figures)}


def summarize(
    devices: Sequence[Device], scores: Mapping[str, Mapping[str, float]], notes: Sequence[str] = ()
) -> dict[str, Any]:
    """Everything on the page but the figures, in plain data."""
    found = {name: matrices.matrix(name, devices, scores) for name in matrices.MATRICES}
    years = [device.year for device in devices if device.year]
    return {
        "made": datetime.date.today().isoformat(),
        "devices": len(devices),
        "manufacturers": len({device.manufacturer for device in devices}),
        "architectures": len({device.architecture for device in devices} - {""}),
        "years": [min(years), max(years)] if years else [],
        "stated": found["complete"].total,
        "notes": list(notes),
        "rows": [_row(device) for device in devices],
        "matrices": {name: {"columns": len(one.columns) - 1, "filled": one.total} for name, one in found.items()},
        "trends": [
            told for column in ("half_per_watt", "half", "bandwidth", "memory") if (told := _trend(devices, column))
        ],
        "tiers": _tiers(devices),
        "best": _best(devices),
        "imputation": [_error(one) for one in impute.evaluate(devices) if one.rank == 0],
        "sources": _sources(devices),
        "metrics": _metrics(),
    }


def _figures(devices: Sequence[Device], summary: Mapping[str, Any]) -> dict[str, tuple[Callable[[], Any], str]]:
    """Name -> how to draw it, and what it shows in words. What too few devices state is left out."""
    groups, order = _grouped(devices)
    found: dict[str, tuple[Callable[[], Any], str]] = {}
    roofline = _dots(devices, groups, "bandwidth", "half")
    if len(roofline) > 1:
        lines = ((50, "50"), (200, "200"), (800, "800 FLOP/B"))
        found["roofline"] = (
            lambda: charts.scatter(roofline, ("memory bandwidth", "B/s"), ("16-bit rate, dense", "FLOP/s"),
                                   "Compute against bandwidth", lines, order),
            f"16-bit rate against memory bandwidth of {len(roofline)} devices",
        )  # fmt: skip
    kinds = analysis.generations(devices, "half_per_watt")
    if kinds:
        rows = [charts.Range(name=f"{one.architecture}", value=one.value.value, low=one.value.low, high=one.value.high,
                             group=groups.get(one.manufacturer, "other"), note=f"{one.year:.0f}, n {one.value.n}")
                for one in kinds]  # fmt: skip
        found["efficiency"] = (
            lambda: charts.ranges(rows, "FLOP/s/W", "Efficiency by generation", "16-bit rate per watt of TDP", order),
            f"16-bit rate per watt of {len(rows)} architectures, oldest first",
        )
    priced = _dots(devices, groups, "price", "half")
    if len(priced) > 1:
        iso = ((1e10, "10"), (1e11, "100 GFLOP/s per $"))
        found["price"] = (
            lambda: charts.scatter(priced, ("price at release", "USD"), ("16-bit rate, dense", "FLOP/s"),
                                   "Price and performance", iso, order),
            f"16-bit rate against release price of {len(priced)} devices",
        )  # fmt: skip
    found["tiers"] = (lambda: _tier_figure(devices, groups, order), "devices in each tier, by manufacturer")
    found["coverage"] = (lambda: _coverage_figure(devices), "share of devices that state each value, by manufacturer")
    pairs = analysis.correlations(devices)
    if len(pairs.columns) > 1:
        found["correlation"] = (lambda: _correlation_figure(pairs), f"rank correlations of {len(pairs.columns)} values")
    return found


def _grouped(devices: Sequence[Device]) -> tuple[dict[str, str], list[str]]:
    """Manufacturer -> the group it is drawn in, and the groups: the five commonest have one of their own."""
    common = [name for name, _ in Counter(device.manufacturer for device in devices).most_common(5)]
    groups = {device.manufacturer: "other" for device in devices} | {name: name for name in common}
    return groups, [*common, "other"]


def _dots(devices: Sequence[Device], groups: Mapping[str, str], x: str, y: str) -> list[charts.Dot]:
    cells = [(device, matrices.cell(device, x), matrices.cell(device, y)) for device in devices]
    kept = [(d, float(a), float(b)) for d, a, b in cells if isinstance(a, int | float) and isinstance(b, int | float)]
    kept = [one for one in kept if one[2] >= LEAST_RATE]
    named: dict[str, tuple[float, float]] = {}
    for device, a, b in sorted(kept, key=lambda one: (-(one[0].year or 0), -one[2])):
        if all(max(a / c, c / a) > APART or max(b / d, d / b) > APART for c, d in named.values()):
            named[device.name] = a, b
    short = {d.name: d.name.removeprefix(d.manufacturer + " ").removeprefix("GeForce ") for d, _, _ in kept}
    return [charts.Dot(x=a, y=b, group=groups[d.manufacturer], text=short[d.name] if d.name in named else "")
            for d, a, b in kept]  # fmt: skip


def _tier_figure(devices: Sequence[Device], groups: Mapping[str, str], order: list[str]) -> Any:
    names, order = list(tiers.NAMES), [name for name in order if name in groups.values()]
    values = np.zeros((len(names), len(order)), dtype=np.int_)
    for device in devices:
        for tier in (tiers.tier(device), tiers.ai_tier(device)):
            if tier is not None:
                values[names.index(tier), order.index(groups[device.manufacturer])] += 1
    return charts.counts([name.replace("_", " ") for name in names], order, values, "Devices by tier", "devices")


def _coverage_figure(devices: Sequence[Device]) -> Any:
    common = [name for name, n in Counter(device.manufacturer for device in devices).most_common(LARGE) if n > 1]
    kin = {name: [device for device in devices if device.manufacturer == name] for name in common}
    rest = [device for device in devices if device.manufacturer not in common]
    kin |= {"others": rest} if rest else {}
    kin["all"] = list(devices)
    shares = [[np.mean([matrices.cell(one, column) is not None for one in group]) for column in COVERED]
              for group in kin.values()]  # fmt: skip
    names = [f"{name} ({len(group)})" for name, group in kin.items()]
    columns = [HEADS.get(column, column) for column in COVERED]
    return charts.heat(names, columns, np.array(shares), "Coverage: share of devices that state a value, %")


def _correlation_figure(found: analysis.Correlations) -> Any:
    n = len(found.columns)
    values, faint = np.full((n, n), np.nan), np.zeros((n, n), dtype=np.bool_)
    for (a, b), one in found.rho.items():
        row, column = found.columns.index(a), found.columns.index(b)
        if row > column:
            values[row, column], faint[row, column] = one.value, not one.excludes_zero
    names = [HEADS.get(name, name.replace("_", " ")) for name in found.columns]
    note = "hundredths; grey italics: the 95 % interval holds zero"
    return charts.heat(names[1:], names[:-1], values[1:, :-1], "Rank correlation (Spearman)", signed=True,
                       faint=faint[1:, :-1], note=note)  # fmt: skip


def _row(device: Device) -> dict[str, Any]:
    cells = {column: matrices.cell(device, column) for column in TABLE}
    return {
        "name": device.name, "manufacturer": device.manufacturer, "kind": device.kind, "note": device.note,
        "architecture": device.architecture, "narrow": device.narrow, "cells": cells,
        "tier": tiers.tier(device), "ai_tier": tiers.ai_tier(device),
    }  # fmt: skip


def _text(value: float | str | None, column: str) -> str:
    """A cell of the table as a person reads it."""
    if value is None or isinstance(value, str):
        return value or ""
    if column in (*DTYPES, "half"):
        return fields.text("rates.fp32", value).removesuffix("FLOP/s").strip()
    if column == "half_per_watt":
        return fields.text("rates.fp32", value).removesuffix("FLOP/s").strip()
    if column == "ridge":
        return f"{value:,.0f}"
    return fields.text(column, value)


def _trend(devices: Sequence[Device], column: str) -> dict[str, Any] | None:
    try:
        found = analysis.trend(devices, column)
    except ValueError:
        return None
    yearly = found.yearly
    words = {
        "half_per_watt": "16-bit rate per watt",
        "half": "16-bit rate",
        "bandwidth": "bandwidth",
        "memory": "memory",
    }
    return {"column": column, "words": words[column], "yearly": yearly.value, "low": yearly.low, "high": yearly.high,
            "n": yearly.n, "doubling": found.doubling if np.isfinite(found.doubling) else None}  # fmt: skip


def _tiers(devices: Sequence[Device]) -> list[dict[str, Any]]:
    reached = Counter(tier for device in devices for tier in (tiers.tier(device), tiers.ai_tier(device)))
    found = []
    for ladder, rate, room in ((tiers.GENERAL, "fp32", "bandwidth"), (tiers.AI, "16 bit", "memory")):
        for one in ladder:
            least = f"{rate} ≥ {fields.text('rates.fp32', one.rate)}, {room} ≥ {fields.text(room, one.room)}"
            found.append(
                {"name": one.name, "least": least if one.rate else f"any stated {rate}", "devices": reached[one.name]}
            )
    return found


def _best(devices: Sequence[Device]) -> list[dict[str, str]]:
    """The first device by a few measures, for the head of the page."""
    found = []
    for words, column in (("highest 16-bit rate", "half"), ("highest bandwidth", "bandwidth"),
                          ("most memory", "memory"), ("16-bit rate per watt", "half_per_watt"),
                          ("16-bit rate per dollar", "half_per_dollar")):  # fmt: skip
        stated = [
            (cell, one)
            for one in devices
            if one.kind != "cpu" and isinstance(cell := matrices.cell(one, column), int | float)
        ]
        if stated:
            value, device = max(stated, key=lambda pair: pair[0])
            unit = {"half_per_watt": "/W", "half_per_dollar": "/$"}.get(column, "")
            text = fields.text("rates.fp32" if column.startswith("half") else column, value) + unit
            found.append({"words": words, "device": device.name.removeprefix(device.manufacturer + " "), "value": text})
    return found


def _error(one: impute.Error) -> dict[str, Any]:
    return {
        "quantity": fields.title(one.quantity),
        "method": one.method,
        "left_out": "architecture" if one.new else "device",
        "n": one.n,
        "median": one.median,
        "p90": one.p90,
        "coverage": one.coverage.value,
        "interval": span(one.coverage.low, one.coverage.high, "fraction"),
    }


def _sources(devices: Sequence[Device]) -> list[dict[str, Any]]:
    """Who states how many values, under which licence; documents of makers are one row."""
    told: dict[tuple[str, str], list[int]] = {}
    for device in devices:
        for source in device.sources:
            makers = source.licence in ("facts", "derived")
            who = (
                "makers' documents, and what follows from them"
                if makers
                else source.where.split(",")[0].split(" systems/")[0]
            )
            count = told.setdefault((who, source.licence), [0, 0])
            count[0] += len(source.values)
            count[1] += 1
    rows = [
        {"who": who, "licence": licence, "values": values, "devices": n} for (who, licence), (values, n) in told.items()
    ]
    return sorted(rows, key=lambda row: -int(str(row["values"])))


def _metrics() -> list[dict[str, str]]:
    """The table of derived metrics, with one row for those that each dtype has."""
    found = []
    for name, one in derived.METRICS.items():
        stem, _, dtype = name.rpartition("_")
        if dtype not in DTYPES or dtype == DTYPES[0]:
            general = dtype in DTYPES
            formula = one.formula.replace(dtype, "DTYPE") if general else one.formula
            title = one.title.removeprefix(dtype).strip() if general else one.title
            called = f"{stem}_DTYPE" if general else name
            found.append({"name": called, "title": title, "unit": one.unit, "formula": formula, "source": one.source})
    return found
