"""MLPerf Inference, closed division, offline scenario: items per second of one accelerator.

    columns, refused = read(Path("data/hardware"))            # mlperf/*.csv.gz
    columns = columns_of("bert-99", device="l40s", version=4.1)

Each task takes operations, bytes and a fixed time for an item, with all losses inside, which are fitted to results;
the device does the operations at the highest rate that the task's accuracy allows (mlperf_tasks.toml) and its power
sustains. Rows keep what MLCommons asks to be cited. Left out, with the reason: the open division, reference
implementations, slices and virtual devices, CPUs, and results in watts. This file does not know a submission's
software beyond its round, and what it predicts is a prediction, not an MLPerf result (MLPerf is a trademark of
MLCommons).
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netwright.core import recipe
from netwright.predict.learning.table import Columns, Described, Floats, Specs, Texts
from netwright.predict.suites import nonnegative

if TYPE_CHECKING:
    import pandas as pd

NAME = "mlperf"
QUANTITY = "throughput"
REGIMES = ("compute_bound", "fixed")
LEFT_OUT = "device"
PARAMS = {"num_iterations": 60, "num_leaves": 6, "min_data_in_leaf": 60, "learning_rate": 0.05, "lambda_l2": 10.0}
"""Small trees: with some thirty accelerators, anything that tells them apart was learned by heart and made it worse."""

CITED = {"submitter": "Organization", "benchmark": "MlperfModel", "system": "SystemName", "round": "version"}
CITED |= {"division": "Division", "result": "uid", "address": "url"}
"""Column here -> column there: what must stand beside every MLPerf result that is shown."""

ROUNDS = {0.5: 2019.9, 0.7: 2020.8, 1.0: 2021.3, 1.1: 2021.7, 2.0: 2022.3, 2.1: 2022.7, 3.0: 2023.3, 3.1: 2023.7}
ROUNDS |= {4.0: 2024.2, 4.1: 2024.7, 5.0: 2025.3, 5.1: 2025.7}
"""Round -> when its results came out, in years."""

TOKENS_SINCE = {"gptj-99": 4.1, "gptj-99.9": 4.1}
"""Tasks whose results hold tokens/s since that round, though they are labelled Samples/s: GPT-J on an H100 has 29 in
v4.0 and 2,500 in v4.1. The other language models always held tokens."""

QUERIES_BEFORE = {"llama2-70b-99": 4.1, "llama2-70b-99.9": 4.1}
"""Tasks whose results in the server scenario held queries before that round, and tokens since: an H100 has 8.7 in v4.0,
2,700 in v4.1, and 2,600 offline in v4.0."""
TOKENS_OF_A_QUERY = 294.45
"""Of llama2-70b, on average over its data set: the tokens per sample that MLPerf's accuracy check asks for."""

_REFERENCE = re.compile(r"reference|onnx|tflite|\bMIL\b|C\+\+ impl|ncnn|armnn|ruy", re.IGNORECASE)
DEVELOPER_KIT = "NVIDIA Jetson AGX Orin 64GB"
"""What "AGX Orin 32G" in the results is: the developer kit, which had 32 GB at first but this module's units."""
_SLICE = re.compile(r"\bMIG\b|virtual|-\d+[CQ]$", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Task:
    """`narrow` names the dtypes that its accuracy allows beside 16 bits; `since` is the year of its first round;
    `weights` are its parameters where they fill a good part of a device's memory; `padded` is how much more there is
    to do where every item is filled up to the longest."""

    narrow: tuple[str, ...]
    since: float
    weights: float | None = None
    padded: float = 1.0


@functools.cache
def tasks() -> Mapping[str, Task]:
    """By MLPerf's name of the benchmark; "gptj-99 tokens" where results hold tokens."""
    values: dict[str, Any] = tomllib.loads(Path(__file__).with_name("mlperf_tasks.toml").read_text(encoding="utf-8"))
    return {name: recipe.build(Task, value, name) for name, value in values.items()}


def read(folder: Path, scenario: str = "Offline") -> tuple[Columns, dict[str, int]]:
    """All rows of the folder's mlperf/*.csv.gz and *.csv in a scenario, and reason -> rows refused."""
    import pandas as pd

    parts: list[pd.DataFrame] = []
    refused = Counter[str]()
    for path in sorted([*(folder / "mlperf").glob("*.csv.gz"), *(folder / "mlperf").glob("*.csv")]):
        try:
            frame = pd.read_csv(path, encoding="utf-8-sig", dtype=str, on_bad_lines="skip")
        except (ValueError, OSError, EOFError) as fault:
            refused[f"{path.name} is no table: {type(fault).__name__}"] += 1
            continue
        parts.append(_rows(frame, scenario, refused))
    if not any(map(len, parts)):
        return {}, dict(refused)
    table = pd.concat(parts, ignore_index=True)
    return {str(name): table[name].to_numpy() for name in table}, dict(refused)


def _rows(frame: pd.DataFrame, scenario: str, refused: Counter[str]) -> pd.DataFrame:
    """A scenario's results of tuned closed submissions on whole accelerators, for one accelerator."""
    import pandas as pd

    def text(name: str) -> pd.Series[str]:
        return frame.get(name, pd.Series("", index=frame.index)).fillna("").astype(str).str.strip()

    def number(name: str) -> pd.Series[float]:
        return pd.to_numeric(text(name).str.removeprefix("v"), errors="coerce").astype(float).where(np.isfinite)

    device, version, count = text("accelerator_model_name"), number("version"), number("accelerators_per_node")
    count = count * number("number_of_nodes").fillna(1).clip(lower=1)
    value = number("Result") / count
    counted = (scenario == "Server") & (version < text("MlperfModel").map(QUERIES_BEFORE).astype(float))
    value = value.where(~counted, value * TOKENS_OF_A_QUERY)
    since = text("MlperfModel").map(TOKENS_SINCE).astype(float)
    work: pd.Series[str] = text("MlperfModel") + np.where(version >= since, " tokens", "")
    reasons = {
        "not of the closed division": text("Division") != "closed",
        f"not the {scenario.lower()} scenario": text("Scenario") != scenario,
        "a result in watts or without a unit": ~text("Units").isin(["Samples/s", "Queries/s", "Tokens/s"]),
        "no accelerator": device.isin(["", "-"]),
        "a slice of an accelerator, or a virtual one": device.str.contains(_SLICE),
        "a reference implementation, which no device was tuned for": text("framework").str.contains(_REFERENCE),
        "no positive result for a known number of accelerators": ~((value > 0) & np.isfinite(value)),
        "a task that this version does not know": ~work.isin(list(tasks())),
    }
    device = device.replace("NVIDIA Jetson AGX Orin 32G", DEVELOPER_KIT)
    good = pd.Series(True, index=frame.index)
    for reason, bad in reasons.items():
        if (bad & good).any():
            refused[reason] += int((bad & good).sum())
        good &= ~bad
    name = text("SystemName") + " " + text("Platform")
    found = pd.DataFrame(
        {
            "device": device,
            "value": value,
            "work": work,
            "mode": np.where(name.str.contains("maxq|non maxn", case=False), "power capped", "full power"),
            "family": text("MlperfModel").str.replace(r"-99(\.9)?$", "", regex=True),
            "version": version,
            "accelerators": count,
            **{mine: text(theirs) for mine, theirs in CITED.items()},
        }
    )
    return found[good]


def _later(columns: Columns, specs: Specs) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    version = columns["version"].astype(float)
    return version < 4.0, version >= 4.0


SPLITS = {"rounds before 4.0, then later ones": _later}


def columns_of(
    task: str, device: str, version: float = 4.1, accelerators: int = 1, mode: str = "full power"
) -> Columns:
    """One question as a row. Raises KeyError for a task that is not in `tasks()`."""
    tasks()[task]
    texts = {"device": device, "work": task, "mode": mode, "family": re.sub(r"-99(\.9)?.*$", "", task)}
    found: Columns = {name: np.array([value], dtype=object) for name, value in texts.items()}
    return {**found, "version": np.array([version]), "accelerators": np.array([float(accelerators)])}


def parts(work: Texts, specs: Specs) -> tuple[Floats, Floats, Floats]:
    """Seconds of one operation, of one byte and of what no device shortens, each (rows,)."""
    known = tasks()
    best = specs.rate("fp16")
    for dtype in ("int8", "fp8", "fp4"):
        allowed = np.array([name in known and dtype in known[name].narrow for name in work.astype(str)])
        best = np.fmax(best, np.where(allowed, specs.stated(dtype), np.nan))
    more = np.array([known[name].padded if name in known else 1.0 for name in work.astype(str)])
    more = np.where(fixed_shapes(specs), more, 1.0)
    return more / (best * sustained(specs)), more / specs.bandwidth, np.ones(len(work))


PACKED = ("Qualcomm",)
"""Whose results have short sequences packed into long ones: github.com/krai/ck-qaic, packed-bert-qaic-loadgen."""


def fixed_shapes(specs: Specs) -> NDArray[np.bool_]:
    """Whether an item is filled up to the longest: accelerators that are no GPUs run graphs compiled for one shape."""
    packed = np.isin(specs.manufacturer.astype(str), PACKED)
    found: NDArray[np.bool_] = (specs.kind.astype(str) == "accelerator") & ~packed
    return found


ENERGY = {3: 0.75, 4: 1.0, 5: 1.08, 7: 1.54, 8: 1.8, 10: 2.5, 12: 3.9}
"""nm of the process -> energy of an operation against 4 nm, chained from what foundries state of one process against
the one before: TSMC 35 % less power at 10 than at 16 nm (12 nm is the same family), 40 % less at 7, 30 % less at 5 and
again at 3; Samsung 40 % less at 10 than at 14 nm, then 15 % (10LPP) and 10 % (8LPP); for 4 nm 7 %, an assumption.
With the root of the process in its place, T4 and Xavier NX, at 12 nm, were predicted 58 and 38 % too fast."""
ENOUGH = 1.0
"""W for 1e12 FLOP/s of the 16-bit rate, at 4 nm, below which a device slows down with the root of its power: the
same law as in timm_physics, with what suited tuned integer networks best, from 0.46 (H100 PCIe) to 1.8 (A2)."""
UNKNOWN = 0.85
"""Share that is sustained where the power is not known: H100's and A100's are 0.84 and 0.91."""


def sustained(specs: Specs) -> Floats:
    """Share of the matrix rate that the power limit allows."""
    nm = [np.nan if d.process is None else 1e9 * d.process for d in specs.devices]
    energy = np.exp(np.interp(np.log(nm), np.log(list(ENERGY)), np.log(list(ENERGY.values()))))
    watts = specs.power / (specs.rate("fp16") / 1e12) / np.nan_to_num(energy, nan=1.0)[specs.which]
    share: Floats = np.nan_to_num(np.sqrt(np.minimum(1.0, watts / ENOUGH)), nan=UNKNOWN)
    return share


def fit_constants(columns: Columns, specs: Specs) -> dict[str, list[float]]:
    """Task -> operations, bytes and seconds of an item, with all losses inside, as results tell them; and "TASK young"
    -> how much longer an item takes in the task's first round, when its software is young.

    Left out are power-capped systems and, where later rounds have it too, a task's first round.
    """
    work, plain = columns["work"].astype(str), np.stack(parts(columns["work"], specs), axis=1)
    free = np.array(["capped" not in mode for mode in columns["mode"]])
    version = columns["version"].astype(float)
    found = {}
    for task in np.unique(work):
        of = (work == task) & np.isfinite(plain).all(axis=1)
        usual = of & free
        later = usual & (version > version[usual].min(initial=np.inf))
        kept = later if later.any() else usual if usual.any() else of
        if not kept.any():
            continue
        costs = plain[kept]
        if tasks()[task].weights:
            # few accelerators have results, and batches are large: with a share for the bandwidth, the others
            # told of B200 half of what it does
            costs = costs * [1.0, 0.0, 0.0]
        often = nonnegative.fit(costs, 1 / columns["value"][kept].astype(float), specs.names[kept])
        found[str(task)] = [float(f"{n:.4g}") for n in often]
        first = usual & (_years(columns) <= tasks()[task].since)
        if later.any() and first.any():
            found[f"{task} young"] = [_young(1 / columns["value"].astype(float) / (plain @ often), specs.names, first)]
    return found


def _young(longer: Floats, devices: Texts, first: NDArray[np.bool_]) -> float:
    """The median over devices of how much longer they took in the first round, drawn to 1 where they are few."""
    medians = [np.log(np.median(longer[first & (devices == name)])) for name in np.unique(devices[first].astype(str))]
    return float(f"{np.exp(np.median(medians) * len(medians) / (len(medians) + 1)):.4g}")


def _years(columns: Columns) -> Floats:
    """When the results of each row's round came out; the latest for a round that is not known."""
    return np.array([ROUNDS.get(round(float(version), 1), max(ROUNDS.values())) for version in columns["version"]])


def describe(columns: Columns, specs: Specs, constants: Mapping[str, Sequence[float]] | None = None) -> Described:
    """Physics and features of rows that hold "work", "version" and "accelerators".

    Without constants, for what they need to be fitted, an item takes 1e9 operations.
    """
    known = tasks()
    constants = {name: [1e9, 0.0, 0.0] for name in known} if constants is None else constants
    named = columns["work"].astype(str)
    absent = ~np.isin(named, list(known)) | ~np.isin(named, list(constants))

    def of(what: str) -> Floats:
        values = (getattr(known[name], what) if name in known else None for name in named)
        return np.array([np.nan if value is None else float(value) for value in values])

    often = np.array([constants.get(name, [np.nan] * 3) for name in named], dtype=float).reshape(-1, 3)
    year, since = _years(columns), of("since")
    young = np.array([constants.get(f"{name} young", [1.0])[0] for name in named], dtype=float)
    spent = often * np.stack(parts(columns["work"], specs), axis=1) * np.where(year <= since, young, 1.0)[:, None]
    seconds: Floats = spent.sum(axis=1)
    with np.errstate(all="ignore"):
        features = {
            "compute_bound": spent[:, 0] / seconds,
            "fixed": spent[:, 2] / seconds,
            "task_age": np.clip(year - since, 0, 3),
            "accelerators": np.log2(columns["accelerators"].astype(float)),
            "room": np.log(specs.memory / of("weights")),
        }
        base = -np.log(seconds)
    why = np.where(absent, "a task that was not learned", "").astype(object)
    why[~np.isfinite(base) & ~absent] = "the device states no rate for this arithmetic"
    return Described(
        base=base,
        features=np.stack(list(features.values()), axis=1),
        names=tuple(features),
        monotone=(0, 0, 1, 0, 1),
        refused=~np.isfinite(base),
        why=why,
    )
