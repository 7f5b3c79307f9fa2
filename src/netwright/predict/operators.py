"""Seconds of work operator by operator: products as kernels measured alone take them, the rest by the roofline.

    found = operators.timed(workload, device)      # (Spread of seconds, what the suite said), or None

For networks unlike those that were measured whole: recurrent, embedding-bound, odd. A kernel measured alone finds its
launch hidden and its operands warm, so that the sum's interval is widened by what whole programs showed
(`prior.toml`). This file does not know which operators a compiler would fuse, nor a host that is too slow.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from netwright.core.workload import Operator, Workload
from netwright.hardware.device import Device
from netwright.predict import learned, roofline
from netwright.predict.learned import Told
from netwright.predict.learning.table import Columns
from netwright.predict.spread import Spread

FORMATS = {
    "bf16": ("bfloat16", "vllm", "torch.nn.functional.linear"),
    "fp16": ("float16", "vllm", "torch.nn.functional.linear"),
    "fp32": ("float32", "vllm", "torch.nn.functional.linear"),
    "fp8": ("fp8", "vllm", "CutlassFP8ScaledMMLinearKernel"),
    "int8": ("sq", "trtllm", "plugin"),
}
"""dtype -> format, engine and kernel under which the suite of products was measured as PyTorch would run it."""

LEAST = 0.5
"""Share of the roofline's time that products must take for their kernels to tell more than the roofline does."""


def timed(work: Workload, device: Device, measured: Path | None = None) -> tuple[Spread, Told] | None:
    """Seconds of one call, and what the suite of products said; None where products are not most of the work."""
    products = [operator for operator in work.operators if _is_product(operator)]
    if not products:
        return None
    if roofline.share(products, work, device) < LEAST:
        return None
    distinct = {_key(operator): operator for operator in products}
    counts = {key: sum(roofline.launches(o) for o in products if _key(o) == key) for key in distinct}
    told = learned.rows("gemm", _columns(list(distinct.values()), device.name), device, measured)
    if told is None or told.refused.any():
        return None
    number = np.array([counts[key] for key in distinct], dtype=float)
    low, value, high = (float(values @ number) for values in (told.low, told.value, told.high))
    rates = {operator.dtype: device.rate(operator.dtype) for operator in work.operators}
    known = roofline.prior("cpu" if device.kind == "cpu" else "gpu")
    rest = [operator for operator in work.operators if not _is_product(operator)]
    least, likely, most = roofline.seconds(rest, device, rates, known) if rest else (0.0, 0.0, 0.0)
    launches = known.floor[2] * sum(counts.values())  # at worst a host launches each by itself
    seconds = Spread(value + likely, min(low + least, value + likely), high + most + launches)
    return seconds, told


def _is_product(operator: Operator) -> bool:
    return operator.matrix is not None and "conv" not in operator.name.lower() and operator.dtype in FORMATS


def _key(operator: Operator) -> tuple[int, int, int, str]:
    matrix = operator.matrix
    assert matrix is not None
    return (matrix.m * (1 if roofline.launches(operator) > 1 else matrix.count), matrix.n, matrix.k, operator.dtype)


def _columns(products: list[Operator], device: str) -> Columns:
    """Rows of the suite of products."""
    from netwright.predict.suites import gemm

    keys = [_key(operator) for operator in products]
    formats, engines, sources = zip(*(FORMATS[key[3]] for key in keys), strict=True)
    columns: Columns = {name: np.array([key[at] for key in keys], dtype=float) for at, name in enumerate("mnk")}
    columns["device"] = np.full(len(keys), device, dtype=object)
    columns |= {"gemm_dtype": np.array(formats, dtype=object), "engine": np.array(engines, dtype=object)}
    columns["kernel_source"] = np.array(sources, dtype=object)
    return gemm.labelled(columns)
