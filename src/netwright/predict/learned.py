"""What the fitted predictor in place says of rows of one device; nothing where none is in place.

    told = learned.rows("gemm", columns, device, measured=Path("rows"))
    told.value, told.low, told.high, told.why, told.shots

`measured` is a folder of rows that were measured on this very device, laid out as `validate` reads it: they calibrate
the suite first. This file does not know what the rows mean; a suite does.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from netwright.core.error import UserError
from netwright.hardware.device import Device
from netwright.predict.learning import hybrid, store
from netwright.predict.learning.table import Columns, take
from netwright.predict.learning.table import rows as count


@dataclass(frozen=True, kw_only=True)
class Told(hybrid.Answer):
    """An answer, with the suite, the number of devices it was learned from, and of rows that calibrated it."""

    suite: str
    devices: int
    shots: int | None = None
    """None where nobody named measured rows."""

    @property
    def notes(self) -> tuple[str, ...]:
        if self.shots is None:
            return ()
        said = f"calibrated by {self.shots} measured rows of this device" if self.shots else "not calibrated: no row"
        return (f"suite {self.suite}: {said}",)


def check() -> None:
    """Raise UserError for a predictor in place that cannot be read, before many devices are asked."""
    if store.in_place().is_file():
        store.current()


def rows(suite: str, columns: Columns, device: Device, measured: Path | None = None) -> Told | None:
    """Of each row, in the suite's unit; None where no fitted predictor knows the suite, or none is in place.

    Raises UserError for a predictor in place that cannot be read.
    """
    fitted = store.current()[0].get(suite) if store.in_place().is_file() else None
    if fitted is None:
        return None
    one, devices = store.suite(suite), {device.name: device}
    own = _measured(suite, measured, device.name) if measured else {}
    shots = count(own) if measured else None
    known = fitted.calibrate(one, own, devices) if shots else None
    answer = fitted.predict(one, {**columns, "device": _named(device, columns)}, devices, calibrations=known)
    return Told(**vars(answer), suite=suite, devices=len(fitted.devices), shots=shots)


@functools.lru_cache(maxsize=64)
def _measured(suite: str, folder: Path, device: str) -> Columns:
    """The folder's rows of one device. Raises UserError where the folder is none."""
    from netwright.predict.learning import validate

    if not folder.is_dir():
        raise UserError("measured", str(folder), "a folder with kernels/, timm/, serving/ or mlenergy/", "ls")
    found, _, _ = validate.resolve(store.suite(suite).read(folder)[0], {})
    return take(found, found["device"].astype(str) == device) if count(found) else {}


def _named(device: Device, columns: Columns) -> np.ndarray:
    return np.full(count(columns), device.name, dtype=object)
