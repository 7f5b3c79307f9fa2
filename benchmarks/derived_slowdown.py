"""Where the slowdowns of hardware/works.py come from: measured throughputs over those of a two-term roofline.

    python benchmarks/derived_slowdown.py DATA            # DATA/timm/benchmark-infer-*.csv

The time that timm's tables state for an image is divided by FLOPs / rate + activation bytes / bandwidth of
the catalogue's device, with large batches in 16 bits. Prints the least, the median of the medians by device
and mode, and the greatest of each family, and the same widened by 1.25 at the ends; then the families' rows.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from netwright.hardware import catalog, derived

DEVICES = {"rtx3090": "rtx-3090", "rtx4090": "rtx-4090", "4090": "rtx-4090", "pro6000maxq": "rtx-pro-6000"}
FAMILIES = {
    "convolution": r"resnet(26|34|50|101|152)d?",
    "transformer": r"vit_(small|base|large)_patch16_(224|384)",
}
WIDENED = 1.25


def rows(folder: Path, pattern: str) -> dict[tuple[str, str], list[float]]:
    """(device, mode) -> slowdowns of the networks whose name matches."""
    found: dict[tuple[str, str], list[float]] = {}
    for path in sorted((folder / "timm").glob("benchmark-infer-*.csv")):
        named = re.search("|".join(sorted(DEVICES, key=len, reverse=True)), path.name)
        if named is None:
            continue
        device = catalog.find(DEVICES[named[0]])
        rate = derived.half(device)
        table = pd.read_csv(path)
        kept = table[
            table.model.str.fullmatch(pattern) & (table.infer_batch_size >= 32) & (table.infer_img_size >= 160)
        ]
        least = 2e9 * kept.infer_gmacs / rate + 4e6 * kept.infer_macts / device.bandwidth
        mode = "compiled" if "dynamo" in path.name else "eager"
        found.setdefault((device.name, mode), []).extend((1 / kept.infer_samples_per_sec / least).tolist())
    return found


def main() -> None:
    """Print both families."""
    for family, pattern in FAMILIES.items():
        found = rows(Path(sys.argv[1]), pattern)
        every = [slow for slows in found.values() for slow in slows]
        middle = float(np.median([np.median(slows) for slows in found.values()]))
        print(
            f"{family}: {len(every)} throughputs, {min(every):.2f} {middle:.2f} {max(every):.2f}; "
            f"widened {min(every) / WIDENED:.2f} {middle:.2f} {max(every) * WIDENED:.2f}"
        )
        for (device, mode), slows in found.items():
            print(f"  {device}, {mode}: {len(slows)}, median {np.median(slows):.2f}")


if __name__ == "__main__":
    main()
