"""Which devices a person means: the filters and the order of list, export and report."""

from __future__ import annotations

import argparse
import difflib
import math
from collections.abc import Callable, Iterable, Sequence

from netwright.core.error import UserError, did_you_mean
from netwright.hardware import catalog, derived, fields, matrices, tiers
from netwright.hardware.device import DTYPES, Device

KINDS = ("cpu", "gpu", "accelerator")
LESS_IS_BETTER = ("power", "price", "process", "die_area", "sweep_time")
GIGA = 1e9


def devices(args: argparse.Namespace) -> tuple[list[Device], list[str]]:
    """The devices that keep every filter, in order; and notes on those of which no source says it.

    Raises UserError for a filter that nothing could ever keep, before the catalogue is opened.
    """
    _check(args)
    found = list(catalog.all(args.runs))
    notes: list[str] = []
    words = {"manufacturer": args.manufacturer, "architecture": args.architecture}
    for field, wanted in words.items():
        if wanted is not None:
            known = {getattr(one, field) for one in found} - {""}
            if not any(_same(wanted, one) for one in known):
                raise UserError(
                    f"--{field}", wanted, did_you_mean(_cased(wanted, known), known), "netwright hardware list"
                )
            found = [one for one in found if _same(wanted, getattr(one, field))]
    if args.kind is not None:
        found = [one for one in found if one.kind == args.kind]
    limits: list[tuple[str, float | None, Callable[[float, float], bool]]] = [
        ("memory", _scaled(args.min_memory), float.__ge__),
        ("bandwidth", _scaled(args.min_bandwidth), float.__ge__),
        ("price", args.max_price, float.__le__),
        ("power", args.max_power, float.__le__),
        ("year", args.since, float.__ge__),
    ]
    for field, limit, keeps in limits:
        if limit is not None:
            found = _keep(found, field, lambda value, limit=limit, keeps=keeps: keeps(value, float(limit)), notes)  # type: ignore[misc]
    if args.tier is not None:
        found = [one for one in found if args.tier.lower() in _tiers(one)]
    if args.sort is not None:
        found = _sorted(found, args.sort, notes)
    return found[: args.limit], notes


def _check(args: argparse.Namespace) -> None:
    about = "netwright hardware --help"
    for name in ("min_memory", "min_bandwidth", "max_price", "max_power", "limit"):
        limit = getattr(args, name)
        if limit is not None and not (math.isfinite(limit) and limit > 0):
            raise UserError(f"--{name.replace('_', '-')}", limit, "a number above 0", about)
    if args.since is not None and not 1990 <= args.since <= 2100:
        raise UserError("--since", args.since, "a year such as 2022", about)
    if args.kind is not None and args.kind not in KINDS:
        raise UserError("--kind", args.kind, did_you_mean(args.kind, KINDS), about)
    if args.tier is not None and args.tier.lower() not in {name.lower() for name in tiers.NAMES}:
        raise UserError("--tier", args.tier, did_you_mean(args.tier, tiers.NAMES), about)
    if args.sort is not None:
        sort_key(args.sort)


def sort_key(name: str) -> tuple[Callable[[Device], float | None], bool]:
    """What orders devices by a column, dtype or metric, and whether more is better. Raises UserError."""
    if name == "name":
        raise UserError("--sort", name, "a number; names stand in the order of the catalogue", "--sort year")
    if name in derived.METRICS:
        return lambda device: derived.value(device, name), derived.METRICS[name].better != "lower"
    known = (*DTYPES, *fields.UNITS, "half", *matrices.RATIOS)
    if name not in known:
        raise UserError("--sort", name, did_you_mean(name, (*known, *derived.METRICS)), "netwright hardware derive")

    def number(device: Device) -> float | None:
        found = matrices.cell(device, name)
        return float(found) if isinstance(found, int | float) else None

    return number, name not in LESS_IS_BETTER


def shown(name: str, value: float | None) -> str:
    """A value of what was sorted by, as a person reads it."""
    if value is None:
        return ""
    if name in derived.METRICS:
        return derived.text(name, value)
    if name in fields.UNITS:
        return fields.text(name, value)
    return fields.text("rates.fp32", value) if name in (*DTYPES, "half") else f"{value:.4g}"


def _sorted(found: list[Device], name: str, notes: list[str]) -> list[Device]:
    of, more = sort_key(name)
    values = {one.name: of(one) for one in found}
    silent = [one for one in found if values[one.name] is None]
    if silent:
        notes.append(f"{len(silent)} state no {name} and stand last.")
    stated = [one for one in found if values[one.name] is not None]
    return [*sorted(stated, key=lambda one: values[one.name] or 0.0, reverse=more), *silent]


def _keep(found: Sequence[Device], field: str, keeps: Callable[[float], bool], notes: list[str]) -> list[Device]:
    silent = [one for one in found if getattr(one, field) is None]
    if silent:
        notes.append(f"{len(silent)} left out: no source states their {field}.")
    return [one for one in found if getattr(one, field) is not None and keeps(float(getattr(one, field)))]


def _scaled(giga: float | None) -> float | None:
    return None if giga is None else giga * GIGA


def _same(wanted: str, name: str) -> bool:
    return wanted.lower().replace(" ", "") == name.lower().replace(" ", "")


def _cased(wanted: str, known: Iterable[str]) -> str:
    """What was meant, in the case of the nearest known name."""
    by = {name.lower(): name for name in known}
    near = difflib.get_close_matches(wanted.lower(), by, n=1)
    return by[near[0]] if near else wanted


def _tiers(device: Device) -> set[str]:
    return {one.lower() for one in (tiers.tier(device), tiers.ai_tier(device)) if one is not None}


def sources(found: Iterable[Device]) -> str:
    """Whose figures these are, each once, with the licence."""
    told: dict[str, None] = {}
    for device in found:
        for source in device.sources:
            who = source.where.split(",")[0].split(" systems/")[0].removeprefix("github.com/")
            makers = source.licence in ("facts", "derived")
            told["makers' documents" if makers else f"{who} ({source.licence})"] = None
    return ", ".join(list(told)[:4]) + (f" and {len(told) - 4} more" if len(told) > 4 else "")
