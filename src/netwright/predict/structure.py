"""What a network is made of, in numbers that do not depend on a device, a batch or a dtype.

    work = of(workload)                  # {"conv0.flops": ..., "norm.numbers": ..., "calls": 138.0}
    known().names, known().table         # the same for timm's networks, which ship

Products are kept apart by how many FLOPs they do for a number that they read or write (`EDGES`), so that the roofline
of any device can be reckoned from the sums. All is for one item; `.weights` counts once a call. `fused` is what a
compiler leaves of everything between two products: one pass over the largest tensors. This file knows no device and
no time; it does not know which operators a particular compiler fuses.
"""

from __future__ import annotations

import csv
import functools
import gzip
import io
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netwright.core.workload import BYTES, Operator, Workload
from netwright.predict.learning.table import Floats

EDGES = (64.0, 160.0, 400.0, 1000.0)
"""FLOPs for each number read or written. A device balances 100 (CPU, fp32) to 1200 (4-bit numbers) of them."""

PRODUCTS = tuple(f"{kind}{i}" for kind in ("conv", "linear") for i in range(len(EDGES) + 1))
PRODUCTS += ("grouped", "depthwise", "attention", "batched")
PASSES = ("batch_norm", "norm", "move", "point", "fused")
FIELDS = tuple(f"{kind}.{what}" for kind in PRODUCTS for what in ("flops", "numbers", "weights"))
FIELDS += (*(f"{kind}.numbers" for kind in PASSES), "outputs", "products", "calls", "runs")
"""`outputs` are the numbers that products make (timm's MActs); `calls` are operators, `products` those among them, and
`runs` what a compiler launches: products and fused passes."""

ALIKE = 0.6
"""Share of its letters that a network without counts has to have in common with its relative. With counts, one of an
unknown name is 1 to 3 % off its own trace, and one of an unknown family 7 to 13 %; without, 14 to 17 %, and more than
50 % for an unknown family."""
TABLE = Path(__file__).with_name("networks.csv.gz")

_MOVES = {"clone", "copy_", "cat", "index", "roll", "constant_pad_nd", "_to_copy", "stack", "repeat", "gather"}
_MOVES |= {"embedding", "index_select", "Transpose", "Concat", "Pad", "Gather", "Slice"}
_WIDE = {"_softmax", "_safe_softmax", "pow", "var", "sum", "Softmax"}
"""Beside normalisations: what autocast computes in fp32."""


def of(workload: Workload) -> dict[str, float]:
    """Sums over the operators of a workload, by FIELDS, for one item of its batch."""
    found = dict.fromkeys(FIELDS, 0.0)
    found["outputs"] = workload.activations / workload.batch
    run = 0.0
    for operator in workload.operators:
        width = BYTES[operator.dtype]
        numbers = (operator.input_bytes + operator.output_bytes) / width
        found["calls"] += 1
        kind = _kind(operator, numbers)
        if kind in PASSES:
            found[f"{kind}.numbers"] += numbers / workload.batch
            run = max(run, numbers / workload.batch)
            continue
        found[f"{kind}.flops"] += operator.flops / workload.batch
        found[f"{kind}.numbers"] += numbers / workload.batch
        found[f"{kind}.weights"] += operator.weight_bytes / width
        found["products"] += 1
        found["runs"] += 1 + (run > 0)
        found["fused.numbers"] += run
        run = 0.0
    found["runs"] += run > 0
    found["fused.numbers"] += run
    return found


def is_product(operator: Operator) -> bool:
    """Whether it is a matrix product, a convolution or attention: what published counts of MACs count."""
    return _kind(operator, 1.0) not in PASSES


def _kind(operator: Operator, numbers: float) -> str:
    name = operator.name
    if operator.attention is not None or "attention" in name.lower():
        return "attention"
    if "conv" in name.lower():
        groups = operator.matrix.count if operator.matrix else 1
        if "depthwise" in name or (operator.matrix and groups > 1 and operator.matrix.n == 1):
            return "depthwise"
        return "grouped" if groups > 1 or "grouped" in name else _dense("conv", operator, numbers)
    if operator.matrix is not None or name in ("mm", "addmm", "bmm", "baddbmm", "MatMul", "Gemm"):
        batched = operator.weight_bytes == 0 and name not in ("mm", "addmm", "Gemm")
        return "batched" if batched else _dense("linear", operator, numbers)
    plain = name.lower().replace("_", "")
    if "batchnorm" in plain:
        return "batch_norm"
    if name in _WIDE or ("norm" in plain and "linalg" not in plain):
        return "norm"
    return "move" if name in _MOVES else "point"


def _dense(kind: str, operator: Operator, numbers: float) -> str:
    return f"{kind}{int(np.searchsorted(EDGES, operator.flops / max(numbers, 1.0)))}"


@dataclass(frozen=True)
class Known:
    """Networks that were traced once: names, side of the image, parameters, rows of `table` in the order of FIELDS."""

    names: tuple[str, ...]
    side: Floats
    parameters: Floats
    table: Floats
    counts: Floats = field(init=False)
    """(3, networks): logarithms of FLOPs of products, outputs and parameters, which tables of others state too."""
    places: dict[tuple[str, float], int] = field(init=False)

    def __post_init__(self) -> None:
        flops = self.table[:, [FIELDS.index(f"{kind}.flops") for kind in PRODUCTS]].sum(axis=1)
        counts = np.stack([flops, self.table[:, FIELDS.index("outputs")], self.parameters])
        object.__setattr__(self, "counts", np.log(np.maximum(counts, 1.0)))
        keys = zip(self.names, self.side.tolist(), strict=True)
        object.__setattr__(self, "places", {key: i for i, key in enumerate(keys)})


@functools.cache
def known(path: Path = TABLE) -> Known:
    """The table that ships; benchmarks/flops_timm.py writes it."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    if tuple(header[3:]) != FIELDS:
        raise ValueError(f"{path.name} has other columns than this version reads")
    numbers = np.array([[float(cell or 0) for cell in row[1:]] for row in rows])
    return Known(tuple(row[0] for row in rows), numbers[:, 0], numbers[:, 1], numbers[:, 2:])


def write(rows: Mapping[tuple[str, int], tuple[int, Mapping[str, float]]], path: Path = TABLE) -> None:
    """(name, side) -> (parameters, work) as a table; three digits suffice, and zeros are left out."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("name", "side", "parameters", *FIELDS))
    for (name, side), (parameters, work) in sorted(rows.items()):
        table.writerow((name, side, parameters, *(f"{work[field]:.3g}" if work[field] else "" for field in FIELDS)))
    # no time stamp: the same rows are the same bytes
    path.write_bytes(gzip.compress(text.getvalue().encode(), 9, mtime=0))


def like(name: str, side: float, gmacs: float, macts: float, parameters: float, table: Known | None = None) -> Floats:
    """(FIELDS,) of a network with this name and these counts; NaN where nothing like it is known.

    One of the same name and image size is taken as it is; of another size, or a relative where the name is unknown,
    it is scaled to the counts, or else by the pixels. A relative shares the most words in front, and of those it
    has the nearest counts. Counts may be NaN.
    """
    table = table or known()
    stated = np.log([gmacs * 2e9, macts * 1e6, parameters]) if gmacs > 0 and macts > 0 else np.full(3, np.nan)
    at = table.places.get((name, side))
    if at is not None:
        return np.array(table.table[at])
    same = [i for i, other in enumerate(table.names) if other == name]
    at = _nearest(name, side, stated, table, np.array(same, dtype=int))
    if at is None:
        return np.full(len(FIELDS), np.nan)
    known_counts = np.isfinite(stated)
    grow = np.where(known_counts, np.exp(stated - table.counts[:, at]), [(side / table.side[at]) ** 2] * 2 + [1.0])
    by = dict(zip(("flops", "numbers", "weights"), grow, strict=True))
    found: Floats = table.table[at] * [by.get(_what(field), 1.0) for field in FIELDS]
    return found


def _nearest(name: str, side: float, stated: Floats, table: Known, same: NDArray[np.intp]) -> int | None:
    """Place of the network to scale; `same` are those of its name."""
    if not len(same):
        shared = np.array([_common(name.split("_"), other.split("_")) for other in table.names])
        if np.isnan(stated).any() and shared.max() < ALIKE * len(name):
            return None
        same = np.flatnonzero(shared == shared.max())
    with np.errstate(all="ignore"):
        far = np.abs(table.counts[:, same] - stated[:, None]).sum(axis=0)
    return int(same[np.argmin(np.where(np.isnan(far), np.abs(np.log(table.side[same] / side)), far))])


def _common(a: list[str], b: list[str]) -> int:
    """Letters of the words that both names begin with; of the first word that differs, three or more."""
    total = 0
    for one, other in zip(a, b, strict=False):
        alike = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
        total += alike if alike >= 3 or one == other else 0
        if one != other:
            break
    return total


def _what(field: str) -> str:
    return "numbers" if field == "outputs" else field.partition(".")[2]
