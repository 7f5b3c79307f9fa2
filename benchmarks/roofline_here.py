"""How far the roofline of this machine's measured rates is from what small networks take on it.

    python benchmarks/roofline_here.py             # one thread, eager PyTorch and OpenVINO, fp32

The [cpu] constants of predict/prior.toml come from it. One thread, because on a shared machine the
slowest of several threads is what one measures. Prints a Markdown table.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import openvino
import torch
from torch import nn

from netwright.hardware import detect, probe
from netwright.models import facts
from netwright.predict import roofline

SECONDS = 0.7


def main() -> None:
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    torch.backends.mha.set_fastpath_enabled(False)
    one_thread = dataclasses.replace(detect.detect(), threads=1)
    probe.probe(10, one_thread)
    device = probe.device(one_thread)
    print(f"{device.name}: {device.rates['fp32']:.3g} FLOP/s, {device.bandwidth:.3g} B/s\n")
    print("| network | batch | operators | roofline | eager / roofline | OpenVINO / roofline | eager, us an operator |")
    print("|---|---|---|---|---|---|---|")
    ratios: dict[str, list[float]] = {"eager": [], "openvino": []}
    for name, (model, shape) in networks().items():
        for batch in (1, 8, 64):
            x = torch.randn(batch, *shape)
            work = facts.trace(model, {"input": x}, name)
            rates = {"fp32": device.rate("fp32")}
            flat = dataclasses.replace(roofline.prior("cpu"), slowdown=(1.0,) * 3, floor=(0.0,) * 3)
            roof = roofline.seconds(work.operators, device, rates, flat)[1]
            program = openvino.convert_model(model, example_input=x)
            settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
            compiled, array = openvino.compile_model(program, "CPU", settings), x.numpy()
            eager, other = seconds(model, x), seconds(compiled, [array])
            if roof > 1e-3:
                ratios["eager"].append(eager / roof)
                ratios["openvino"].append(other / roof)
            each = 1e6 * (eager - roof) / len(work.operators) if roof < 1e-3 else float("nan")
            print(
                f"| {name} | {batch} | {len(work.operators)} | {1e3 * roof:.3f} ms | {eager / roof:.2f} "
                f"| {other / roof:.2f} | {each:.1f} |"
            )
    for runtime, values in ratios.items():
        print(f"\n{runtime}, roofline over 1 ms: 5 %, median, 95 % {np.quantile(values, [0.05, 0.5, 0.95]).round(2)}")


def networks() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    layer = nn.TransformerEncoderLayer(128, 4, 256, batch_first=True)
    made = {
        "mlp-128": (nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10)), (784,)),
        "mlp-2048": (nn.Sequential(nn.Linear(784, 2048), nn.ReLU(), nn.Linear(2048, 2048), nn.ReLU()), (784,)),
        "conv-16": (convolutions(16), (3, 28, 28)),
        "conv-64": (convolutions(64), (3, 32, 32)),
        "encoder-128": (nn.TransformerEncoder(layer, 3, enable_nested_tensor=False), (64, 128)),
    }
    return {name: (Named(model).eval(), shape) for name, (model, shape) in made.items()}


def convolutions(width: int) -> nn.Sequential:
    blocks: list[nn.Module] = []
    for before, after in ((3, width), (width, 2 * width), (2 * width, 4 * width)):
        blocks += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, 10))


class Named(nn.Module):
    """Gives the input a name."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.body(input)
        return answer


def seconds(call: Callable[[Any], object], given: Any) -> float:
    """Median time of a call, after three to warm up."""
    for _ in range(3):
        call(given)
    times = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        call(given)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    main()
