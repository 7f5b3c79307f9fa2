"""What the fitted predictor in place says of rows of one device; nothing where none is in place.

    told = learned.rows("gemm", columns, device)
    told.value, told.low, told.high, told.why

This file does not know what the rows mean; a suite does.
"""

from __future__ import annotations

from dataclasses import dataclass

from netwright.core.error import UserError
from netwright.hardware.device import Device
from netwright.predict import hybrid, store
from netwright.predict.table import Columns


@dataclass(frozen=True, kw_only=True)
class Told(hybrid.Answer):
    """An answer, with the suite and the number of devices that it was learned from."""

    suite: str
    devices: int


def rows(suite: str, columns: Columns, device: Device) -> Told | None:
    """Of each row, in the suite's unit; None where no fitted predictor knows the suite."""
    try:
        fitted = store.current()[0].get(suite)
    except UserError:
        return None
    if fitted is None:
        return None
    answer = fitted.predict(store.suite(suite), columns, {str(columns["device"][0]): device})
    return Told(**vars(answer), suite=suite, devices=len(fitted.devices))
