"""What an hour of a device costs, from offers with their source, a release price, or a person's own file.

    price = cost.hour(device, Terms())                     # median of the offers known, between least and most
    price.hourly.value, price.source

Rented devices cost what providers ask, electricity included. Owned ones cost their price at release over the
years they serve, and electricity. This file does not know discounts, hosts, networks, taxes or people.
"""

from __future__ import annotations

import csv
import functools
import math
import re
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from netwright.core.error import UserError, did_you_mean
from netwright.hardware import catalog
from netwright.hardware.device import Device
from netwright.predict.spread import Spread, exactly

SHIPPED = Path(catalog.__file__).with_name("seed") / "prices.csv"

Kind = Literal["on-demand", "spot", "owned"]

HOURS = 8766.0
"""Hours of a year, leap years included."""


@dataclass(frozen=True, kw_only=True)
class Offer:
    """One hour of one device, USD."""

    device: str
    hourly: float
    spot: bool
    provider: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How a device is paid for. `electricity` is USD per kWh and counts only for owned devices."""

    kind: Kind = "on-demand"
    file: Path | None = None
    provider: str | None = None
    electricity: float | None = None
    years: float = 3.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise UserError("price", self.kind, did_you_mean(self.kind, get_args(Kind)), "--price on-demand")
        if self.electricity is not None and not 0 <= self.electricity <= 10:
            said = "USD per kWh from 0 to 10; 12 cents are 0.12"
            raise UserError("electricity", self.electricity, said, "--electricity 0.12")
        if not 0.1 <= self.years <= 30:
            raise UserError("years", self.years, "years of service from 0.1 to 30", "--years 3")


@dataclass(frozen=True, kw_only=True)
class Price:
    """USD an hour of one device, electricity aside, and who says so; `electricity` is USD per kWh still to be paid."""

    hourly: Spread
    source: str
    electricity: float = 0.0

    def hour(self, watts: Spread | None) -> Spread:
        """With the electricity that the device draws, where that is paid for by itself."""
        return self.hourly + watts * (self.electricity / 1000) if watts and self.electricity else self.hourly


def hour(device: Device, terms: Terms) -> Price:
    """What an hour of one such device costs. Raises UserError where nothing says it."""
    return _owned(device, terms) if terms.kind == "owned" else _rented(device, terms)


def _rented(device: Device, terms: Terms) -> Price:
    known = [
        offer
        for offer in offers(terms.file or SHIPPED)
        if offer.device == device.name and offer.spot == (terms.kind == "spot")
    ]
    of = [offer for offer in known if terms.provider is None or offer.provider.split(" ")[0] == terms.provider.lower()]
    if not of:
        providers = sorted({offer.provider for offer in known})
        allowed = f"no {terms.kind} price of {device.name} is known" + (f" from {terms.provider}" if known else "")
        allowed += f"; known from {', '.join(providers)}" if known else ""
        raise UserError("price", terms.provider or device.name, allowed, "--price-file FILE.csv, or --price owned")
    hourly = sorted(offer.hourly for offer in of)
    middle = statistics.median(hourly)
    spread = f"{len(of)} {terms.kind} offers" if len(of) > 1 else f"{terms.kind} offer"
    sources = sorted({offer.source for offer in of})
    told = f"{spread}: {', '.join(sorted({offer.provider for offer in of}))} ({_short(sources)})"
    return Price(hourly=Spread(middle, hourly[0], hourly[-1]), source=told)


def _owned(device: Device, terms: Terms) -> Price:
    if device.price is None:
        allowed = f"no release price of {device.name} is known"
        raise UserError("price", terms.kind, allowed, "--price on-demand, or --specs FILE.yaml with its price")
    if terms.electricity is None:
        raise UserError("electricity", None, "USD per kWh, for --price owned", "--electricity 0.12")
    said = next((source.where for source in device.sources if "price" in source.values), "the catalogue")
    told = f"${device.price:,.0f} at release over {terms.years:g} years of full use ({said})"
    told += f", electricity {terms.electricity:g} USD per kWh"
    hourly = exactly(device.price / (terms.years * HOURS))
    return Price(hourly=hourly, source=told, electricity=terms.electricity)


def _short(sources: list[str]) -> str:
    """Sources that differ only in their file are told by what they share."""
    heads = sorted({re.split(r" (?:catalogs/|@)", source)[0] for source in sources})
    return "; ".join(heads[:3])


def offers(path: Path = SHIPPED) -> tuple[Offer, ...]:
    """The offers of a CSV file with columns accelerator, usd_per_hour and, if there, count, spot_usd_per_hour,
    provider, source. Prices are of the whole instance; an offer is of one of its `count` devices.

    In the shipped file, rows of devices that the catalogue lacks are passed over; in a person's own, every
    faulty row is an error, all told at once.
    """
    try:
        return _shipped() if path == SHIPPED else _parsed(path.read_text(encoding="utf-8-sig"), path)
    except (OSError, UnicodeDecodeError) as fault:
        raise UserError("price-file", str(path), f"not readable: {fault}", "--price-file FILE.csv") from None


@functools.cache
def _shipped() -> tuple[Offer, ...]:
    return _parsed(SHIPPED.read_text(encoding="utf-8"), SHIPPED)


def _parsed(text: str, path: Path) -> tuple[Offer, ...]:
    rows = csv.DictReader(text.splitlines())
    missing = {"accelerator", "usd_per_hour"} - set(rows.fieldnames or ())
    if missing:
        allowed = f"a CSV with the columns accelerator and usd_per_hour; there is no {', '.join(sorted(missing))}"
        raise UserError("price-file", str(path), allowed, "--price-file FILE.csv")
    found: list[Offer] = []
    faults: list[str] = []
    for row in rows:
        try:
            found += _read(row, path)
        except UserError as fault:
            if path != SHIPPED or fault.setting != "device":
                faults.append(f"line {rows.line_num}: {fault.setting} = {fault.value!r}, {fault.allowed}")
    if faults:
        more = f", and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise UserError("price-file", str(path), "; ".join(faults[:5]) + more, "mend these lines; nothing was read")
    return tuple(found)


def _read(row: Mapping[str, str | None], path: Path) -> list[Offer]:
    device = catalog.find((row["accelerator"] or "").strip())
    count = _number(row.get("count") or "1", "count", 1, 100_000)
    bare = "host" in (row.get("instance_type") or "") and "extra" in (row.get("instance_type") or "")
    about = {
        "device": device.name,
        "provider": (row.get("provider") or path.stem).strip().lower() + (" (host extra)" if bare else ""),
        "source": (row.get("source") or str(path.name)).strip(),
    }
    made = []
    for spot, column in ((False, "usd_per_hour"), (True, "spot_usd_per_hour")):
        if (row.get(column) or "").strip():
            value = _number(row[column] or "", column, 0.0001, 100_000)
            made.append(Offer(hourly=value / count, spot=spot, **about))
    return made


def _number(text: str, column: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise UserError(column, text.strip(), f"a number from {least:g} to {most:,g}", "")
    return value
