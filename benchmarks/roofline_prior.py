"""Where predict/prior.toml comes from: measured models and kernels against the roofline.

    python benchmarks/roofline_prior.py DATA            # DATA/timm/*.csv, DATA/kernels/gemm_perf.parquet

Needs pandas and pyarrow for the kernels and timm for the models, none of which netwright needs:
`pip install pandas pyarrow pyyaml` and `pip install --no-deps timm`. Every model is traced with
`models.facts`, as an artifact is, and the time that timm's CSVs state for it is divided by its roofline.
Prints the constants and, in a table, how they would have held on each device had it been left out.
"""

from __future__ import annotations

import argparse
import csv
import importlib.abc
import importlib.machinery
import json
import re
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from netwright.core import recipe
from netwright.core.run import progress
from netwright.core.workload import Operator, Workload
from netwright.hardware import catalog
from netwright.predict import roofline

DEVICES = {  # as the CSVs are named -> as the catalogue knows it
    "rtx3090": "rtx-3090",
    "rtx4090": "rtx-4090",
    "4090": "rtx-4090",
    # 300 W instead of 600: the catalogue has no row of its own for it, and so its slowdown holds the lower clock
    "pro6000maxq": "rtx-pro-6000",
}
KERNEL_SYSTEMS = {
    "NVIDIA A100-SXM4-80GB": "a100",
    "NVIDIA H100 80GB HBM3": "h100",
    "NVIDIA H200": "h200",
    "NVIDIA B200": "b200",
    "NVIDIA B300 SXM6 AC": "b300",
    "NVIDIA GB200": "gb200",
    "NVIDIA GB300": "gb300",
    "NVIDIA RTX PRO 6000 Blackwell Server Edition": "rtx-pro-6000",
}
TRACED_BATCH = 2
FLOOR_OF = 10e6
"""Products of fewer multiply-adds than this take 20 ns of an A100's peak: what they cost is the floor."""
EAGER_FLOOR = 20e-6
"""Worst floor: an eager program on a slow host. An assumption; nothing in the data was bound by its host."""


@dataclass(frozen=True)
class Row:
    """One measured model: seconds a batch, the sum of its operators' rooflines, operators, matrix operators."""

    device: str
    mode: str
    seconds: float
    roof: float
    operators: int
    matrix: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--traces", type=Path, default=Path("build/timm-traces"), help="where traces are kept")
    args = parser.parse_args()
    floor, eight, kernels = gemm(args.data / "kernels" / "gemm_perf.parquet")
    rows = list(models(args.data / "timm", args.traces))
    report(rows, floor, eight, kernels)


def gemm(path: Path) -> tuple[tuple[float, ...], tuple[float, ...], list[tuple[str, Any]]]:
    """Floor of a kernel; slowdown of 8-bit products beyond that of 16-bit ones; (device, slowdowns of bf16)."""
    import pandas as pd

    table = pd.read_parquet(path)
    table["device"] = table.device.map(KERNEL_SYSTEMS)
    table["seconds"] = table.latency / 1e3
    table["macs"] = table.m.astype(float) * table.n * table.k
    tiny = table[(table.gemm_dtype == "bfloat16") & (table.macs < FLOOR_OF)].groupby("device").seconds
    floor = (float(tiny.quantile(0.05).min()), float(tiny.quantile(0.5).median()), EAGER_FLOOR)
    print("floor of tiny products, us:", (1e6 * tiny.quantile([0.05, 0.5, 0.95]).unstack()).round(2).to_string())
    slow, ratios = {}, []
    for (device, dtype), group in table[table.gemm_dtype.isin(["bfloat16", "fp8"])].groupby(["device", "gemm_dtype"]):
        known, key, width = catalog.find(device), {"bfloat16": "bf16", "fp8": "fp8"}[dtype], 2 if dtype[0] == "b" else 1
        if key in known.rates:
            moved = width * (group.m * group.k + group.n * group.k) + 2 * group.m * group.n
            roof = np.maximum(2 * group.macs / known.rates[key], moved / known.bandwidth)
            slow[device, key] = ((group.seconds - floor[1]) / roof)[roof > 5e-6]
    for device in {device for device, key in slow if key == "fp8"}:
        # a network mixes kernels, so its spread is that of the middle half of them and not of their tails
        ratios.append(slow[device, "fp8"].quantile([0.25, 0.5, 0.75]) / slow[device, "bf16"].median())
    spread = np.array(ratios)
    eight = (float(spread[:, 0].min()), float(np.median(spread[:, 1])), float(spread[:, 2].max()))
    return floor, eight, [(device, values) for (device, key), values in sorted(slow.items()) if key == "bf16"]


def models(folder: Path, traces: Path) -> Iterator[Row]:
    """Every GPU inference row of timm's CSVs whose model could be traced to timm's own count of MACs."""
    files = [
        (file, device)
        for file in sorted(folder.glob("benchmark-infer-*.csv"))
        for name, device in DEVICES.items()
        if re.search(rf"-{name}(-|\.)", file.name)
    ]
    stated = [(file, device, row) for file, device in files for row in csv.DictReader(file.open())]
    wanted = {
        (r["model"].split(".")[0], int(float(r["infer_img_size"]))): float(r["infer_gmacs"] or 0) for *_, r in stated
    }
    sums: dict[tuple[str, int, str, int], tuple[float, int, int]] = {}
    traced = dict(trace_all(wanted, traces))
    for file, device, row in stated:
        key = (row["model"].split(".")[0], int(float(row["infer_img_size"])))
        if key not in traced or not row["infer_samples_per_sec"]:
            continue
        batch = int(float(row["infer_batch_size"]))
        if (*key, device, batch) not in sums:
            work, known = traced[key].at_dtype("fp16").at_batch(batch), catalog.find(device)
            rate = known.rate("fp16").flops
            roof = sum(max(o.flops / rate, o.bytes / known.bandwidth) for o in work.operators)
            sums[*key, device, batch] = (roof, len(work.operators), sum(map(roofline.is_matrix, work.operators)))
        mode = "compiled" if "dynamo" in file.name else "eager"
        yield Row(device, mode, batch / float(row["infer_samples_per_sec"]), *sums[*key, device, batch])


def trace_all(wanted: dict[tuple[str, int], float], folder: Path) -> Iterator[tuple[tuple[str, int], Workload]]:
    """Traces, kept in `folder`; a model is left out whose MACs differ by over 10 % from what timm states."""
    folder.mkdir(parents=True, exist_ok=True)
    with progress("tracing models", len(wanted)) as advance:
        for (name, side), gmacs in sorted(wanted.items()):
            path = folder / f"{name}@{side}.json"
            if not path.exists():
                try:
                    path.write_text(json.dumps(recipe.plain(trace_one(name, side))))
                except Exception as fault:
                    path.write_text(json.dumps({"fault": str(fault)[:200]}))
            values = json.loads(path.read_text())
            if "fault" not in values:
                operators = tuple(Operator(**one) for one in values.pop("operators"))
                work = Workload(operators=operators, **values)
                counted = sum(o.flops for o in operators if roofline.is_matrix(o)) / (2e9 * TRACED_BATCH)
                if abs(counted - gmacs) <= max(0.1 * gmacs, 0.02):
                    yield (name, side), work
            advance()


def trace_one(name: str, side: int) -> Workload:
    """Build timm's model without its weights and trace it."""
    if not any(isinstance(finder, _NoTorchvision) for finder in sys.meta_path):
        sys.meta_path.insert(0, _NoTorchvision())
    import timm
    import torch

    from netwright.models import facts

    with torch.device("meta"):
        try:
            model = timm.create_model(name, img_size=side)
        except TypeError:
            model = timm.create_model(name)
    model = model.to_empty(device="cpu")
    return facts.trace(model, {"x": torch.empty(TRACED_BATCH, 3, side, side)}, name)


class _NoTorchvision(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """timm imports torchvision to augment images, and there is no torchvision for this torch: answer with husks."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name.split(".", maxsplit=1)[0] == "torchvision":
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> types.ModuleType:
        module = types.ModuleType(spec.name)
        module.__path__ = []
        module.__getattr__ = _husk  # type: ignore[method-assign]
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def _husk(name: str) -> type:
    if name.startswith("__"):
        raise AttributeError(name)
    return _Husk(name, (), {})


class _Husk(type):
    def __getattr__(cls, name: str) -> str:
        if name.startswith("__"):
            raise AttributeError(name)
        return f"{cls.__name__}.{name}"


Three = tuple[float, float, float]


def constants(rows: list[Row], floor: tuple[float, ...], widen: float) -> Three:
    """Least of the devices' 5 % quantiles, median of their medians, greatest of their 95 %, the ends widened."""
    by_device: dict[str, list[float]] = {}
    for row in rows:
        by_device.setdefault(row.device, []).append((row.seconds - floor[1] * row.operators) / row.roof)
    quantiles = np.array([np.quantile(values, [0.05, 0.5, 0.95]) for values in by_device.values()])
    return quantiles[:, 0].min() / widen, float(np.median(quantiles[:, 1])), quantiles[:, 2].max() * widen


def bounds(row: Row, slowdown: Three, floor: tuple[float, ...]) -> Three:
    counts = (row.matrix, row.operators, row.operators)
    low, value, high = (s * row.roof + f * n for s, f, n in zip(slowdown, floor, counts, strict=True))
    return low, value, high


def coverage(rows: list[Row], slowdown: Three, floor: tuple[float, ...]) -> tuple[float, float, float]:
    """Share of rows inside, median error of the value, median width of the interval as high / low."""
    three = np.array([bounds(row, slowdown, floor) for row in rows])
    seconds = np.array([row.seconds for row in rows])
    inside = ((three[:, 0] <= seconds) & (seconds <= three[:, 2])).mean()
    error = np.median(np.abs(three[:, 1] / seconds - 1))
    return float(inside), float(error), float(np.median(three[:, 2] / three[:, 0]))


def report(rows: list[Row], floor: tuple[float, ...], eight: tuple[float, ...], kernels: list[tuple[str, Any]]) -> None:
    cells = {(row.device, row.mode): [r for r in rows if (r.device, r.mode) == (row.device, row.mode)] for row in rows}

    def held_out(device: str, widen: float) -> Three:
        return constants([row for row in rows if row.device != device], floor, widen)

    def worst(widen: float) -> float:
        return min(coverage(seen, held_out(device, widen), floor)[0] for (device, _), seen in cells.items())

    widen = next(w for w in np.arange(1.0, 3.0, 0.05) if worst(w) >= 0.9)
    slowdown = constants(rows, floor, widen)
    print(f"\nslowdown {np.round(slowdown, 3)}, widened by {widen:.2f}; floor {np.round(floor, 8)} s")
    print(f"eight {np.round(eight, 3)}")
    print(f"{len(rows)} measurements, {len({row.device for row in rows})} devices\n")
    print(
        "| device | mode | n | slowdown 5 %, median, 95 % | left out: inside | median error | high/low | not widened |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for (device, mode), seen in sorted(cells.items()):
        ratios = [(row.seconds - floor[1] * row.operators) / row.roof for row in seen]
        inside, error, width = coverage(seen, held_out(device, widen), floor)
        plain = coverage(seen, held_out(device, 1.0), floor)[0]
        q = ", ".join(f"{value:.2f}" for value in np.quantile(ratios, [0.05, 0.5, 0.95]))
        print(
            f"| {device} | {mode} | {len(seen):,} | {q} | {100 * inside:.1f} % | {100 * error:.0f} % "
            f"| {width:.1f} | {100 * plain:.1f} % |"
        )
    print("\n| device | bf16 products | slowdown 5 %, median, 95 % | inside the models' interval |")
    print("|---|---|---|---|")
    for device, values in kernels:
        q = ", ".join(f"{value:.2f}" for value in values.quantile([0.05, 0.5, 0.95]))
        inside = ((values >= slowdown[0]) & (values <= slowdown[2])).mean()
        print(f"| {device} | {len(values):,} | {q} | {100 * inside:.1f} % |")


if __name__ == "__main__":
    main()
