"""netwright predict: what an artifact would do on devices that are not here."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from netwright.cli import Answer
from netwright.core.error import UserError, did_you_mean

HELP = "predict latency and throughput of an artifact on other hardware, with intervals"
EXAMPLE = "netwright predict runs/20261120-train-3fa9c1d2 --device h100 --device l4 --batch 32"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("artifact", type=Path, help="an artifact's folder, or the run that made it")
    parser.add_argument("--device", action="append", default=[], metavar="NAME", help="a device; may be said again")
    parser.add_argument("--all", action="store_true", help="every device of the catalogue")
    parser.add_argument("--batch", type=int, metavar="N", help="items in a call (default: as traced)")
    parser.add_argument("--dtype", metavar="DTYPE", help="compute in this dtype (default: as traced)")


def main(args: argparse.Namespace) -> Answer:
    from netwright.core import artifact, workload
    from netwright.hardware import catalog
    from netwright.hardware.device import DTYPES
    from netwright.predict import roofline

    if not args.device and not args.all:
        raise UserError(
            "device", "", "a device of `netwright hardware list`", f"netwright predict {args.artifact} --all"
        )
    if args.batch is not None and args.batch < 1:
        raise UserError("batch", args.batch, "a whole number >= 1", "--batch 1")
    if args.dtype is not None and args.dtype not in DTYPES:
        raise UserError("dtype", args.dtype, did_you_mean(args.dtype, DTYPES), "--dtype bf16")
    found = artifact.open(args.artifact)
    work = workload.read(found.path(workload.FILE).parent)
    work = work.at_batch(args.batch) if args.batch is not None else work
    work = work.at_dtype(args.dtype) if args.dtype is not None else work
    devices = [*catalog.all()] if args.all else []
    devices += [catalog.find(name) for name in args.device]
    if args.dry_run:
        names = [device.name for device in devices]
        return Answer(
            {"workload": work.name, "batch": work.batch, "devices": names}, "would predict: " + ", ".join(names)
        )
    predictions, refused = [], []
    for device in devices:
        try:
            predictions += roofline.predict(work, device)
        except UserError as refusal:
            if not args.all:
                raise
            refused.append((device.name, refusal.allowed))
    data = {
        "artifact": found.digest,
        "workload": work.name,
        "batch": work.batch,
        "calibrated": False,
        "predictions": predictions,
        "refused": [{"device": device, "why": why} for device, why in refused],
    }
    return Answer(data, _view(found.name, work, predictions, refused))


def _view(name: str, work: Any, predictions: list[Any], refused: list[tuple[str, str]]) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from netwright.core.measurement import readable

    table = Table("device", "latency", "throughput", "reckoned", box=None, pad_edge=False)
    notes: dict[str, int] = {}
    for latency, throughput in zip(predictions[::2], predictions[1::2], strict=True):
        numbers = [notes.setdefault(note, len(notes) + 1) for note in latency.conditions["notes"]]
        marks = " ".join(f"[{number}]" for number in numbers)
        table.add_row(latency.device, str(latency), str(throughput), f"{latency.conditions['dtype']} {marks}".strip())
    level = f"{100 * predictions[0].level:.0f} %" if predictions else ""
    lines = [f"[{number}] {note}" for note, number in notes.items()]
    lines += [f"{device}: not predicted, {why}" for device, why in refused]
    lines.append(
        f"Predicted by an uncalibrated roofline, not measured. [low–high] is meant to hold {level} of models, as it"
        " did on known devices; a device or a runtime of another kind can lie outside."
    )
    title = f"{name}: {readable(work.flops, 'FLOP')}, {work.parameters:,} parameters, batch {work.batch}"
    return Group(title, "", table, "", *map(Text, lines))
