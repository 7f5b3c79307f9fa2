"""Where predict/suites/timm_physics.toml comes from: how often each part of a network's plain cost is paid.

    python benchmarks/timm_constants.py DATA > src/netwright/predict/suites/timm_physics.toml
    python benchmarks/timm_constants.py DATA --judge     # each device left out of the constants, by itself

Non-negative least squares of the relative error, weighted so that far-off rows count as if by their distance (L1)
and each device alike. PyTorch before 2.0 had no fused attention; its rows are left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from netwright.hardware import catalog
from netwright.predict.suites import timm, timm_physics
from netwright.predict.table import Columns, Floats, Specs

NEVER = {
    "eager": ("fused", "runs"),
    "training": ("fused", "runs"),
    "compiled": ("batch_norm", "norm", "move", "point", "calls"),
    "cpu": ("batch_norm", "norm", "move", "point", "calls"),
}
"""What a mode does not have: compilers fuse the passes, and nobody else does."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--judge", action="store_true")
    args = parser.parse_args()
    columns, _ = timm.read(args.data)
    devices = {str(name): catalog.find(str(name)) for name in np.unique(columns["device"].astype(str))}
    specs = Specs.of(columns["device"], devices)
    columns["device"] = specs.names
    work = {name: columns[name].astype(float) for name in timm.structure.FIELDS}
    plain = timm_physics.parts(work, columns["batch"].astype(float), columns["dtype"], specs)
    sets = np.array([timm_physics._set(str(m), str(k)) for m, k in zip(columns["mode"], specs.kind, strict=True)])
    usable = np.isfinite(plain["calls"]) & (columns["version"].astype(float) >= 2)
    usable |= np.isfinite(plain["calls"]) & np.char.startswith(sets.astype(str), "training")
    if args.judge:
        judge(columns, plain, sets, usable)
        return
    print("# How often each part of a network's plain cost is paid; benchmarks/timm_constants.py writes this file.")
    for name in sorted(set(sets)):
        of = usable & (sets == name)
        found = fit(columns, plain, of, name)
        print(f'\n["{name}"]  # {of.sum()} rows, median error {100 * error(columns, plain, of, found):.1f} %')
        for part, often in found.items():
            print(f'"{part}" = {often:.3g}')


def fit(columns: Columns, plain: dict[str, Floats], of: Floats, name: str) -> dict[str, float]:
    """Part -> how often, from the rows of a mask."""
    cols = [part for part in plain if part not in NEVER[name.split(maxsplit=1)[0]]]
    seconds = 1 / columns["value"][of].astype(float)
    matrix = np.stack([plain[part][of] for part in cols], axis=1) / seconds[:, None]
    device = columns["device"][of].astype(str)
    share = np.array([1 / (device == one).sum() for one in np.unique(device)])
    root = np.sqrt(share[np.searchsorted(np.unique(device), device)] * len(device))
    weight = root.copy()
    for _ in range(25):
        found, _ = nnls(matrix * weight[:, None], weight)
        ratio = np.maximum(matrix @ found, 1e-3)
        weight = root / np.sqrt(np.maximum(np.abs(np.log(ratio)), 0.03)) / np.maximum(ratio, 0.3)
    return {part: float(often) for part, often in zip(cols, found, strict=True) if often > 0}


def error(columns: Columns, plain: dict[str, Floats], of: Floats, found: dict[str, float]) -> float:
    return float(np.median(np.abs(np.exp(-signed(columns, plain, of, found)) - 1)))


def signed(columns: Columns, plain: dict[str, Floats], of: Floats, found: dict[str, float]) -> Floats:
    """log(predicted / measured seconds)."""
    told = np.sum([often * plain[part][of] for part, often in found.items()], axis=0)
    result: Floats = np.log(told * columns["value"][of].astype(float))
    return result


def judge(columns: Columns, plain: dict[str, Floats], sets: Floats, usable: Floats) -> None:
    print("| device left out | mode | rows | median error | log bias | about its bias |\n|---|---|---|---|---|---|")
    names = columns["device"].astype(str)
    for device in np.unique(names):
        for name in np.unique(sets[names == device]):
            train, test = ((sets == name) & usable & mask for mask in (names != device, names == device))
            if train.any() and test.any():
                off = signed(columns, plain, test, fit(columns, plain, train, str(name)))
                own = np.median(np.abs(off - np.median(off)))
                plainly = np.median(np.abs(np.exp(-off) - 1))
                told = f"{test.sum()} | {100 * plainly:.1f} | {np.median(off):+.3f} | {100 * own:.1f}"
                print(f"| {device} | {name} | {told} |")


if __name__ == "__main__":
    main()
