"""The program that `probe` runs in a process of its own: measure, print one JSON line a quantity.

    OMP_NUM_THREADS=2 python -m netwright.hardware.rates 10 2

It is a process of its own because the libraries below NumPy and torch take their number of threads at
their start, and because this floor does not import torch into netwright.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

SIDE = 2048
"""Rows of the square matrices: 17 GFLOP a product, and 16 MiB an operand, which is more than an L2 cache holds."""

STREAM_BYTES = 256 << 20
"""Read by each thread in one round; far above the share of a last-level cache that a thread has."""


def main(seconds: float, threads: int) -> None:
    """Bandwidth takes 30 % of the time, NumPy's product 20 %, torch's three the rest."""
    _say("bandwidth", "", "numpy max over float64", bandwidth(0.3 * seconds, threads))
    _say("gemm_rate", "fp32", "numpy", numpy_product(0.2 * seconds))
    if importlib.util.find_spec("torch") is not None:
        for dtype in ("fp32", "bf16", "int8"):
            rates = torch_product(dtype, seconds / 6, threads)
            if rates:
                _say("gemm_rate", dtype, "torch", rates)


def bandwidth(seconds: float, threads: int) -> list[float]:
    """B/s at which all threads together read memory, one value a round."""
    blocks = [np.ones(STREAM_BYTES // 8) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        return _rounds(seconds, threads * STREAM_BYTES, lambda: list(pool.map(np.max, blocks)))


def numpy_product(seconds: float) -> list[float]:
    """FLOP/s of float32 products, one value a round."""
    a = np.random.default_rng(0).standard_normal((SIDE, SIDE), dtype=np.float32)
    out = np.empty_like(a)
    return _rounds(seconds, 2 * SIDE**3, lambda: np.matmul(a, a, out=out))


def torch_product(dtype: str, seconds: float, threads: int) -> list[float]:
    """FLOP/s of torch's product in a dtype; empty where this torch and CPU have none.

    A processor without instructions for a dtype may take minutes for the whole product: then a smaller one is timed.
    """
    torch = importlib.import_module("torch")
    torch.set_num_threads(threads)
    kinds = {"fp32": torch.float32, "bf16": torch.bfloat16, "int8": torch.int8}
    product = torch._int_mm if dtype == "int8" else torch.mm
    try:
        side = SIDE // 16
        while True:
            a = (100 * torch.randn(side, side).clamp(-1, 1)).to(kinds[dtype])
            product(a, a)
            start = time.perf_counter()
            product(a, a)
            spent = time.perf_counter() - start
            if side == SIDE or 8 * spent > max(seconds, 0.1):
                return _rounds(seconds, 2 * side**3, partial(product, a, a))
            side *= 2
    except (RuntimeError, AttributeError):
        return []


def _rounds(seconds: float, work: float, call: Callable[[], object]) -> list[float]:
    """Work per second, a value a call: one call to warm up, then calls until the time is over, three at least."""
    call()
    rates: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(rates) < 3:
        start = time.perf_counter()
        call()
        rates.append(work / (time.perf_counter() - start))
    return rates


def _say(quantity: str, dtype: str, library: str, rates: list[float]) -> None:
    print(json.dumps({"quantity": quantity, "dtype": dtype, "library": library, "rates": rates}), flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
