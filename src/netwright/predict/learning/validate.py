"""Check the predictor on measured rows, of devices and networks it may never have seen.

    report = validate(Path("rows"), specs=[Path("card.yaml")])
    report.frame                      # a row a device, suite and number of calibration rows

The folder is laid out as kernels/*.parquet, timm/*.csv, serving/*.csv, mlperf/*.csv.gz, mlenergy/*.csv. Rows that
no number is given for are counted by reason, never dropped. This file fits nothing; it only asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from netwright.core.error import UserError
from netwright.core.run import progress
from netwright.hardware import catalog, names
from netwright.hardware.device import Device
from netwright.predict.learning import backtest, hybrid, store
from netwright.predict.learning.table import Columns, rows, take
from netwright.predict.suites import SUITES

MOST_REASONS = 12


@dataclass(frozen=True, kw_only=True)
class Report:
    """`frame` as `backtest.table` gives it, with column `seen`: the predictor learned from that device.
    `refused` is suite -> reason -> rows; `version` is that of the predictor that was asked."""

    frame: pd.DataFrame
    refused: dict[str, dict[str, int]]
    read: dict[str, int]
    version: str

    def plain(self) -> dict[str, Any]:
        """For JSON: no NaN, a list of rows."""
        listed = [
            {str(k): (None if isinstance(v, float) and not np.isfinite(v) else v) for k, v in row.items()}
            for row in self.frame.to_dict("records")
        ]
        return {"predictor": self.version, "rows": self.read, "refused": self.refused, "scores": listed}


def validate(
    folder: Path, *, specs: Sequence[Path] = (), shots: Sequence[int] = hybrid.SHOTS, suites: Sequence[str] = (),
    predictor: Path | None = None, seed: int = 0,
) -> Report:  # fmt: skip
    """Ask the predictor in place, or that of a file, for every measured row of the folder.

    `specs` are files of devices that the catalogue does not have, found by their name or file name. Raises
    UserError for a folder without any row.
    """
    if not folder.is_dir():
        raise UserError("folder", str(folder), "a folder with kernels/, timm/, serving/, mlperf/ or mlenergy/", "ls")
    fitted, about = store.load(predictor) if predictor else store.current()
    own = {key: device for path in specs for key, device in _named(path)}
    asked = [name for name in (suites or SUITES) if name in fitted]
    scores: list[backtest.Score] = []
    refused: dict[str, dict[str, int]] = {}
    read: dict[str, int] = {}
    with progress("validating", len(asked)) as advance:
        for name in asked:
            suite = store.suite(name)
            columns, reasons = suite.read(folder)
            counted = Counter(reasons)
            columns, devices, unknown = resolve(columns, own)
            counted.update(unknown)
            read[name] = rows(columns) + sum(counted.values())
            if rows(columns):
                counted.update(_unanswered(suite, fitted[name], columns, devices))
                scores += backtest.evaluate(
                    suite, fitted[name], columns, devices, split="validate", shots=shots, seed=seed
                )
            refused[name] = dict(counted.most_common(MOST_REASONS))
            advance(note=name)
    if not any(read.values()):
        layout = "kernels/*.parquet, timm/*.csv, serving/*.csv, mlperf/*.csv.gz or mlenergy/*.csv"
        raise UserError("folder", str(folder), f"no measured row was found: {layout}", "netwright predict --help")
    frame = backtest.table(scores)
    if len(frame):
        known = {name: set(one.devices) for name, one in fitted.items()}
        frame["seen"] = [d in known[s] for d, s in zip(frame["device"], frame["suite"], strict=True)]
    return Report(frame=frame, refused={k: v for k, v in refused.items() if v}, read=read, version=about["version"])


def resolve(columns: Columns, own: Mapping[str, Device]) -> tuple[Columns, dict[str, Device], dict[str, int]]:
    """The rows of known devices, renamed as the catalogue does; the devices by name; and why how many rows have none.

    `own` are devices by `names.plain`, looked at before the catalogue.
    """
    devices: dict[str, Device] = {}
    unknown: dict[str, int] = {}
    if not rows(columns):
        return columns, devices, unknown
    called, place = np.unique(columns["device"].astype(str), return_inverse=True)
    found: list[str | None] = []
    for at, name in enumerate(map(str, called)):
        try:
            device = own.get(names.plain(name)) or catalog.find(name)
            devices[device.name] = device
            found.append(device.name)
        except UserError:
            found.append(None)
            unknown[f"device {name} is not in the catalogue (give --specs FILE.yaml)"] = int((place == at).sum())
    renamed = np.array(found, dtype=object)[place]
    known = np.array([name is not None for name in found])[place]
    return take({**columns, "device": renamed}, known), devices, unknown


def _unanswered(suite: Any, fitted: hybrid.Fitted, columns: Columns, devices: Mapping[str, Device]) -> Counter[str]:
    """Reason -> rows that the predictor refuses."""
    answer = fitted.predict(suite, columns, devices)
    return Counter(map(str, answer.why[answer.refused]))


def _named(path: Path) -> list[tuple[str, Device]]:
    device = catalog.from_specs(path)
    return [(names.plain(name), device) for name in (path.stem, device.name, *device.aliases)]
