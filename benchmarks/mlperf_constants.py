"""Where `operations`, `moved` and `fixed` in predict/suites/mlperf_tasks.toml come from.

    python benchmarks/mlperf_constants.py DATA             # writes the file anew
    python benchmarks/mlperf_constants.py DATA --judge     # each accelerator left out of the constants, by itself

Seconds of an item = operations / rate + moved / bandwidth + fixed, for each task over all accelerators, by
non-negative least squares of the relative error, weighted so that far-off rows count by their distance (L1) and an
accelerator by the root of its rows. Left out are power-capped systems and, where later rounds have it too, a task's
first round, whose software was young.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from netwright.core.error import UserError
from netwright.hardware import catalog
from netwright.predict.suites import mlperf
from netwright.predict.table import Columns, Floats, Specs, take

GENERATIVE = ("gptj", "llama2-70b", "mixtral-8x7b", "stable-diffusion-xl")
"""Few accelerators have results: offline batches are large, so these are left to the arithmetic alone. With a share for
the bandwidth, B200 was told half of what it did from the others."""
TOML = Path(mlperf.__file__).with_name("mlperf_tasks.toml")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--judge", action="store_true")
    args = parser.parse_args()
    columns, _ = mlperf.read(args.data)
    devices = {}
    for name in np.unique(columns["device"].astype(str)):
        try:
            devices[str(name)] = catalog.find(str(name))
        except UserError:
            print(f"# no device called {name}")
    columns = take(columns, np.isin(columns["device"].astype(str), list(devices)))
    specs = Specs.of(columns["device"], devices)
    plain = np.stack(mlperf.parts(columns["work"], specs), axis=1)
    if args.judge:
        judge(columns, plain, specs)
        return
    text = TOML.read_text(encoding="utf-8")
    for task in np.unique(columns["work"].astype(str)):
        of = columns["work"].astype(str) == task
        found = fit(plain[of], take(columns, of), specs.names[of])
        lines = "".join(f"{part} = {value:.3g}\n" for part, value in zip(mlperf.PARTS, found, strict=True))
        head = re.escape(f'["{task}"]\n')
        text = re.sub(rf"({head})(\w+ = [\d.e+-]+\n){{3}}", rf"\g<1>{lines}", text)
    TOML.write_text(text, encoding="utf-8")


def fit(plain: Floats, columns: Columns, names: NDArray[np.object_]) -> Floats:
    """(operations, moved, fixed) of one task from its rows."""
    version = columns["version"].astype(float)
    good = np.array(["capped" not in mode for mode in columns["mode"]])
    if (version[good] > version.min()).any():
        good &= version > version.min()
    good = good if good.any() else np.ones(len(version), bool)
    matrix = plain[good] * columns["value"][good].astype(float)[:, None]
    if columns["family"][0] in GENERATIVE:
        matrix = matrix[:, :1]
    _, place, counts = np.unique(names[good].astype(str), return_inverse=True, return_counts=True)
    root = counts[place] ** -0.25
    weight = root.copy()
    scale = np.median(matrix, axis=0)
    for _ in range(25):
        found, _ = nnls(matrix / scale * weight[:, None], weight)
        ratio = np.maximum(matrix / scale @ found, 1e-3)
        weight = root / np.sqrt(np.maximum(np.abs(np.log(ratio)), 0.03)) / np.maximum(ratio, 0.3)
    return np.pad(found / scale, (0, plain.shape[1] - len(found)))


def judge(columns: Columns, plain: Floats, specs: Specs) -> None:
    work, names, off = columns["work"].astype(str), specs.names.astype(str), np.full(len(plain), np.nan)
    for name in np.unique(names):
        for task in np.unique(work[names == name]):
            train, test = (work == task) & (names != name), (work == task) & (names == name)
            if train.any():
                constants = fit(plain[train], take(columns, train), specs.names[train])
                off[test] = np.log((plain[test] @ constants) * columns["value"][test].astype(float))
    error = np.abs(np.exp(-off) - 1)
    print("| accelerator | rows | median error % | log bias |\n|---|---|---|---|")
    each = {}
    for name in np.unique(names[np.isfinite(off)]):
        of = names == name
        each[name] = np.nanmedian(error[of])
        print(f"| {name} | {of.sum()} | {100 * each[name]:.1f} | {np.nanmedian(off[of]):+.2f} |")
    mean = np.mean(list(each.values()))
    print(f"\npooled {100 * np.nanmedian(error):.1f} %, mean over accelerators {100 * mean:.1f} %")


if __name__ == "__main__":
    main()
