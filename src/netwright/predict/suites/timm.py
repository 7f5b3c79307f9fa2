"""Vision networks measured by timm: items per second of inference and training, on accelerators.

    columns, refused = read(Path("data/hardware"))            # timm/benchmark-*.csv
    columns = columns_of(workload, device="4090", mode="compiled nchw")       # any network that was traced

The estimate is a sum over what a network is made of (`predict.structure`): products at the roofline of a rate that
the power limit sustains, passes over memory at the bandwidth, calls at what a launch takes. Throughput is told
rather than latency since the tables' batches differ between devices and fill them; time grows with the batch. A network
not in the table that ships is made up from its nearest relative, scaled to its own GMACs, MActs and parameters. This
file does not know the host, the clock that was set, nor networks whose data tables state neither name nor counts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from netwright.core.workload import BYTES, Workload
from netwright.predict import structure
from netwright.predict.learning.table import Columns, Described, Floats, Specs, Texts, take
from netwright.predict.suites import timm_physics as physics

if TYPE_CHECKING:
    import pandas as pd

NAME = "timm"
QUANTITY = "throughput"
REGIMES = ("compute_bound", "passes", "call")

FUSED_ATTENTION = 2.0
"""PyTorch before it had none; where a mode was measured with later versions too, constants are fitted to those."""
DTYPES = {"amp": "fp16", "fp16": "fp16", "half": "fp16", "float16": "fp16", "amp_fp16": "fp16", "fp32": "fp32"}
DTYPES |= {"amp_bf16": "bf16", "bf16": "bf16", "bfloat16": "bf16", "amp_bfloat16": "bf16", "float32": "fp32"}
COMPILED = re.compile("-(dynamo|inductor|compile)$")
_FILE = re.compile(r"benchmark-(infer|train)-([a-z0-9_]+)-(nchw|nhwc)-pt(\w+?)-(cu\d+|cpu|rocm\w+|xpu\w*)-(.+)\.csv")


def read(folder: Path, cpu: bool = False) -> tuple[Columns, dict[str, int]]:
    """All rows of the folder's timm/benchmark-*.csv on accelerators, or on CPUs, and reason -> rows refused."""
    import pandas as pd

    parts: list[pd.DataFrame] = []
    refused = Counter[str]()
    for path in sorted((folder / "timm").glob("benchmark-*.csv")):
        try:
            frame = pd.read_csv(path, encoding="utf-8-sig", on_bad_lines="skip")
        except (ValueError, OSError) as fault:
            refused[f"{path.name} is no table: {type(fault).__name__}"] += 1
            continue
        told = _FILE.fullmatch(path.name)
        if told is None or told[2] not in DTYPES:
            refused[f"{path.name} is not called benchmark-KIND-DTYPE-LAYOUT-ptVERSION-cuVERSION-DEVICE"] += len(frame)
            continue
        if (told[5] == "cpu") == cpu:
            parts.append(_rows(frame, told, refused))
    if not any(map(len, parts)):
        return {}, dict(refused)
    table = pd.concat(parts, ignore_index=True)
    columns: Columns = {str(name): table[name].to_numpy() for name in table}
    return {**columns, **_structures(columns)}, dict(refused)


def _rows(frame: pd.DataFrame, told: re.Match[str], refused: Counter[str]) -> pd.DataFrame:
    """One file's rows that hold a measurement."""
    import pandas as pd

    kind, precision, layout, version, _, device = told.groups()

    def number(name: str) -> pd.Series[float]:
        given = frame.get(f"{kind}_{name}", frame.get(name, pd.Series(np.nan, index=frame.index)))
        return pd.to_numeric(given, errors="coerce").astype(float).where(np.isfinite)

    given = frame.get("model", pd.Series("", index=frame.index))
    model = given.fillna("").astype(str).map(lambda name: name.strip().partition(".")[0])
    how = "training" if kind == "train" else "compiled" if COMPILED.search(device) else "eager"
    found = pd.DataFrame(
        {
            "device": COMPILED.sub("", device),
            "value": number("samples_per_sec"),
            "model": model.astype(object),
            "mode": f"{how} {layout}",
            "dtype": DTYPES[precision],
            "version": float(version[0]) if version[0].isdigit() else np.nan,
            "batch": number("batch_size"),
            "side": number("img_size"),
            "gmacs": number("gmacs"),
            "macts": number("macts"),
            "parameters": number("param_count") * 1e6,
        }
    )
    good = (found["model"] != "") & (found[["value", "batch", "side"]] > 0).all(axis=1)
    if not good.all():
        refused["no network, or no positive rate, batch or image size"] += int((~good).sum())
    found = found[good]
    sides = found["side"].astype(int).astype(str)
    return found.assign(family=found["model"].map(family_of), work=found["model"] + "|" + sides + "|" + how)


def family_of(model: str) -> str:
    """The first word of a network's name: "vit", "resnet", "efficientnet"."""
    plain = re.sub(r"^(tf|gluon|ssl|swsl|ig|legacy|test|seresnet)_?", "", model)
    found = re.match(r"[a-z]+", plain or model)
    return found[0] if found else model


def columns_of(workload: Workload, device: str, mode: str = "compiled nchw") -> Columns:
    """One question as a row: any network that was traced, for one batch.

    `mode` is "eager", "compiled" or "training" with "nchw" or "nhwc"; what counts is the dtype of most FLOPs.
    """
    flops: dict[str, float] = {}
    for operator in workload.operators:
        flops[operator.dtype] = flops.get(operator.dtype, 0.0) + operator.flops
    dtype = max(flops, key=lambda name: flops[name], default="fp32")
    texts = {"device": device, "mode": mode, "dtype": dtype, "model": workload.name, "family": workload.name}
    texts["work"] = f"{workload.name}|{workload.digest}"
    columns: Columns = {name: np.array([value], dtype=object) for name, value in texts.items()}
    columns["batch"] = np.array([float(workload.batch)])
    columns["parameters"] = np.array([float(workload.parameters)])
    return {**columns, **{name: np.array([value]) for name, value in structure.of(workload).items()}}


def _structures(columns: Columns) -> Columns:
    """Columns by structure.FIELDS for rows that name their network; NaN where nothing like it is known."""
    names = ("model", "side", "gmacs", "macts", "parameters")
    keys = list(zip(*(columns[name].tolist() for name in names), strict=True))
    # as text, since NaN is unlike itself
    made = {str(key): structure.like(*key) for key in {str(key): key for key in keys}.values()}
    found = np.array([made[str(key)] for key in keys])
    return dict(zip(structure.FIELDS, found.T, strict=True))


def fit_constants(columns: Columns, specs: Specs) -> dict[str, dict[str, float]]:
    """How often each part of a network's plain cost is paid, by mode, as measured rows tell it."""
    young = columns["version"].astype(float) < FUSED_ATTENTION
    old_alone = np.array([bool(young[columns["mode"] == mode].all()) for mode in columns["mode"]])
    kept = ~young | old_alone
    rows = take(columns, kept)
    work = {name: rows[name].astype(float) for name in structure.FIELDS}
    plain = physics.parts(work, rows["batch"].astype(float), rows["dtype"], specs.take(kept))
    return physics.fit(plain, 1 / rows["value"].astype(float), rows["mode"], specs.take(kept))


def describe(columns: Columns, specs: Specs, constants: physics.Constants = physics.USUAL) -> Described:
    """Physics and features of rows that hold structure.FIELDS, "batch", "parameters", "dtype" and "mode"."""
    work = {name: columns[name].astype(float) for name in structure.FIELDS}
    mode = columns["mode"].astype(str)
    plain = physics.parts(work, columns["batch"].astype(float), columns["dtype"], specs)
    seconds, parts = physics.seconds(plain, mode, specs, constants)
    return _described(seconds, parts, work, columns, specs, mode)


def roofline(columns: Columns, specs: Specs) -> Floats:
    """Log of items per second if products ran at the stated rate, or moved all at the stated bandwidth."""
    flops, numbers = (
        np.sum([columns[f"{kind}.{what}"].astype(float) for kind in structure.PRODUCTS], axis=0)
        for what in ("flops", "numbers")
    )
    width = np.array([BYTES[str(dtype)] for dtype in columns["dtype"]])
    slowest = np.fmax(flops / specs.rate(columns["dtype"]), numbers * width / specs.bandwidth)
    found: Floats = -np.log(slowest)
    return found


def _described(
    seconds: Floats,
    parts: Mapping[str, Floats],
    work: Mapping[str, Floats],
    columns: Columns,
    specs: Specs,
    mode: Texts,
) -> Described:
    def share(*kinds: str) -> Floats:
        found: Floats = sum((parts[kind] for kind in kinds), np.zeros(len(seconds))) / seconds
        return found

    with np.errstate(all="ignore"):
        flops = sum(work[f"{kind}.flops"] for kind in structure.PRODUCTS)
        numbers = sum(work[f"{kind}.numbers"] for kind in structure.PRODUCTS)
        features: dict[str, Floats] = {
            "compute_bound": share("conv rate", "linear rate"),
            "conv": share("conv rate", "conv bytes"),
            "passes": share(*structure.PASSES),
            "norms": share("norm"),
            "depthwise": share("depthwise rate", "depthwise bytes"),
            "grouped": share("grouped rate", "grouped bytes"),
            "attention": share("attention rate", "attention bytes", "batched rate", "batched bytes"),
            "call": np.log(seconds * columns["batch"].astype(float) / work["products"] / physics.LAUNCH),
            "intensity": np.log(flops / numbers),
            "weights": np.log(columns["parameters"].astype(float) / numbers),
            "eager": np.char.startswith(mode, "eager").astype(float),
            "training": np.char.startswith(mode, "training").astype(float),
            "nhwc": np.char.endswith(mode, "nhwc").astype(float),
        }
        base = -np.log(seconds)
    unknown = ~np.isfinite(work["calls"])
    why = np.where(unknown, "a network that no name, no counts and no trace describe", "").astype(object)
    why[~np.isfinite(base) & ~unknown] = "the device states no rate for this arithmetic"
    return Described(
        base=base,
        features=np.stack(list(features.values()), axis=1),
        names=tuple(features),
        monotone=(0,) * len(features),
        refused=~np.isfinite(base),
        why=why,
    )
