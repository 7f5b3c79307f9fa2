"""Are FLOPs, bytes and memory counted right? Every network against torch's own counters, published counts, and ONNX.

    python benchmarks/flops_counters.py            # three minutes; prints Markdown tables, fails where they differ

Ratios are ours over theirs. FLOPs of products: `torch.utils.flop_counter` around a real forward and backward pass.
Alive: the most that torch's CPU allocator had lent out during a real forward pass, as its profiler recorded it.
Kept: the storages that autograd saved (torch.autograd.graph.saved_tensors_hooks). ONNX: the same network exported,
and read without torch. Published: GMACs and MActs of timm's result tables for the same networks, written out here.
"""

from __future__ import annotations

import itertools
import logging
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import small_networks
from netwright.core import table
from netwright.core.workload import Workload
from netwright.data.tasks import Input
from netwright.models import MODELS, facts
from netwright.predict import onnx

Network = tuple[nn.Module, dict[str, Tensor]]

PUBLISHED = {"resnet18": (1.82, 2.48), "resnet50": (4.11, 11.11), "vgg16": (15.47, 13.56), "vit_b_16": (17.58, 23.90)}
"""GMACs and MActs at 224 pixels, as timm's benchmark tables give them."""

APART = {"lstm", "gru", "rnn", "decoder"}
"""What torch takes apart on a CPU: it keeps other tensors there than a fused layer does, and needs no gradient of the
first step's zero state."""

SCRATCH = {"convolution", "depthwise_convolution", "grouped_convolution"}
"""Operators that take scratch memory besides: oneDNN lays their weights out anew at each call."""

STEPWISE = {"rnn", "recommender"}
"""The exporter writes the steps of a plain RNN one by one, and a bag of embeddings as a loop."""


def main() -> int:
    warnings.simplefilter("ignore")
    for name in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    bad = published()
    print("\n| network | FLOPs, forward | FLOPs, step | alive | kept | ONNX FLOPs | ONNX bytes | ONNX alive |")
    print("|---|---|---|---|---|---|---|---|")
    shares = []
    for name, (model, inputs) in every().items():
        work, step = facts.trace(model, inputs), facts.trace_training(model, inputs)
        forward, both = counted(model, inputs)
        fused = sum(o.flops for o in work.operators if o.attention)  # torch counts none of a CPU's
        fused_step = sum(o.flops for o in step.operators if o.attention)
        ratios = [(products(work) - fused) / forward, (products(step) - fused_step) / both]
        alive, kept = allocated(model, inputs), saved(model, inputs)
        ratios += [work.peak_bytes / alive, step.kept_bytes / kept]
        read = exported(model, inputs)
        ratios += [products(read) / products(work), read.bytes / work.bytes, read.peak_bytes / work.peak_bytes]
        print(f"| {name} | " + " | ".join(f"{ratio:.3f}" for ratio in ratios) + " |", flush=True)
        grouped = any(o.matrix and o.matrix.count > 1 and "convolution" in o.name for o in step.operators)
        bad += [name] if abs(ratios[0] - 1) > 1e-9 else []
        bad += [name] if abs(ratios[1] - 1) > 1e-9 and name not in APART and not grouped else []
        bad += [name] if not SCRATCH & {o.name for o in work.operators} and name not in APART and ratios[2] != 1 else []
        bad += [name] if name not in APART and abs(ratios[3] - 1) > 0.02 else []
        bad += [name] if name not in STEPWISE and abs(ratios[4] - 1) > 0.01 else []
        if name not in (*MODELS, "resnet18", "resnet50", "vit_b_16"):
            continue
        written = sum(o.output_bytes for o in work.operators if o.matrix or o.attention)
        shares.append((step.kept_bytes - sum(x.nbytes for x in inputs.values())) / written)
    shares.sort()
    print(f"\nkept for the backward pass, over what products write: {shares[0]:.2f} to {shares[-1]:.2f}, ", end="")
    print(f"median {shares[len(shares) // 2]:.2f}")
    print(f"differ: {', '.join(dict.fromkeys(bad)) or 'none'}")
    return 1 if bad else 0


def published() -> list[str]:
    """Networks whose multiply-adds or activations differ from the published ones by more than 1 %."""
    bad = []
    print("| network | GMACs here | published | MActs here | published |")
    print("|---|---|---|---|---|")
    for name, (gmacs, macts) in PUBLISHED.items():
        model = {"resnet18": lambda: resnet(18), "resnet50": lambda: resnet(50), "vgg16": vgg, "vit_b_16": Vit}[name]()
        work = facts.trace(model, {"x": torch.empty(1, 3, 224, 224)})
        # fvcore, whose counts these are, adds two operations an element of batch and layer norms
        norms = sum(o.output_bytes / 4 * 2 for o in work.operators if "norm" in o.name)
        here = products(work) / 2 + norms, work.activations
        print(f"| {name} | {here[0] / 1e9:.2f} | {gmacs} | {here[1] / 1e6:.2f} | {macts} |")
        bad += [name] if abs(here[0] / 1e9 / gmacs - 1) > 0.01 or abs(here[1] / 1e6 / macts - 1) > 0.01 else []
    return bad


def every() -> dict[str, Network]:
    """The networks of the models' table, of the tests, and the published ones at 64 pixels."""
    found: dict[str, Network] = {}
    for name in MODELS:
        module = table.resolve(MODELS, name, "model.name")
        classes = 10
        if name == "regressor":
            classes, inputs, example = 1, {"features": Input((64,), "float32")}, {"features": torch.zeros(2, 64)}
        elif name == "transformer":
            inputs = {"ids": Input((None,), "int64", 50), "mask": Input((None,), "bool")}
            example = {"ids": torch.ones(2, 9, dtype=torch.long), "mask": torch.ones(2, 9, dtype=torch.bool)}
        else:
            inputs, example = {"image": Input((3, 32, 32), "float32")}, {"image": torch.zeros(2, 3, 32, 32)}
        found[name] = module.build(module.Config(), inputs, classes), example
    found |= small_networks.every()
    for name, model in (("resnet18", resnet(18)), ("resnet50", resnet(50))):
        found[name] = model, {"x": torch.zeros(2, 3, 64, 64)}
    found["vit_b_16"] = Vit(), {"x": torch.zeros(2, 3, 224, 224)}
    return found


def products(work: Workload) -> float:
    return sum(o.flops for o in work.operators if o.matrix or o.attention)


def counted(model: nn.Module, inputs: dict[str, Tensor]) -> tuple[int, int]:
    """FLOPs that torch counts around a forward pass, and around a forward and backward pass."""
    with apart():
        with FlopCounterMode(display=False) as forward, torch.no_grad():
            model.eval()(**inputs)
        with FlopCounterMode(display=False) as both:
            model.train()(**inputs).mean().backward()
    model.zero_grad()
    return forward.get_total_flops(), both.get_total_flops()


def allocated(model: nn.Module, inputs: dict[str, Tensor]) -> float:
    """Bytes lent out at once during a forward pass, the inputs among them."""
    with torch.no_grad(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        model.eval()(**inputs)
    events: Any = recorded.profiler
    changes = [event.nbytes() for event in events.kineto_results.events() if event.name() == "[memory]"]
    return max(itertools.accumulate(changes)) + sum(x.nbytes for x in inputs.values())


def saved(model: nn.Module, inputs: dict[str, Tensor]) -> float:
    """Bytes that autograd saves, weights left out; inputs and the loss, which are held anyway, among them."""
    sizes = {x.untyped_storage().data_ptr(): float(x.untyped_storage().nbytes()) for x in inputs.values()}
    weights = {x.untyped_storage().data_ptr() for x in (*model.parameters(), *model.buffers())}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            sizes[tensor.untyped_storage().data_ptr()] = float(tensor.untyped_storage().nbytes())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model.train()(**inputs).mean()
    return sum(sizes.values()) + loss.nbytes


def exported(model: nn.Module, inputs: dict[str, Tensor]) -> Workload:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        torch.onnx.export(
            model.eval(), (), path, kwargs=inputs, dynamo=True, external_data=False, verbose=False, opset_version=20
        )
        return onnx.read(path)


@contextmanager
def apart() -> Iterator[None]:
    """Without oneDNN's recurrent layers and the fused encoder layer, which torch's counter has no formula for."""
    one, fast = torch._C._get_mkldnn_enabled(), torch.backends.mha.get_fastpath_enabled()
    torch._C._set_mkldnn_enabled(False)
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(one)
        torch.backends.mha.set_fastpath_enabled(fast)


def resnet(depth: int) -> nn.Module:
    """He et al. 2016, with the stride in the 3 x 3 convolution."""
    counts = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}[depth]
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
    layers.append(nn.MaxPool2d(3, 2, 1))
    given = 64
    for at, count in enumerate(counts):
        for block in range(count):
            layers.append(Residual(given, 64 << at, 2 if at and not block else 1, depth == 50))
            given = layers[-1].made
    return small_networks.One(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(given, 1000)))


class Residual(nn.Module):
    def __init__(self, given: int, width: int, stride: int, deep: bool) -> None:
        super().__init__()
        self.made = 4 * width if deep else width
        kinds = [(given, width, 1, 1), (width, width, 3, stride), (width, self.made, 1, 1)]
        kinds = kinds if deep else [(given, width, 3, stride), (width, width, 3, 1)]
        layers: list[nn.Module] = []
        for a, b, kernel, step in kinds:
            layers += [nn.Conv2d(a, b, kernel, step, kernel // 2, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*layers[:-1])
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or given != self.made:
            shortcut = nn.Conv2d(given, self.made, 1, stride, bias=False)
            self.shortcut = nn.Sequential(shortcut, nn.BatchNorm2d(self.made))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def vgg() -> nn.Module:
    """Simonyan and Zisserman 2015, configuration D."""
    layers: list[nn.Module] = []
    given = 3
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            layers += [nn.Conv2d(given, width, 3, padding=1), nn.ReLU(inplace=True)]
            given = width
        layers.append(nn.MaxPool2d(2))
    head = [nn.Flatten(), nn.Linear(512 * 49, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000)]
    return small_networks.One(nn.Sequential(*layers, *head))


class Vit(nn.Module):
    """ViT-B/16 (Dosovitskiy et al. 2021)."""

    def __init__(self, width: int = 768, heads: int = 12, depth: int = 12) -> None:
        super().__init__()
        self.heads = heads
        self.patches = nn.Conv2d(3, width, 16, 16)
        self.first = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, 197, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * depth + 1))
        self.qkv = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(depth))
        self.out = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.up = nn.ModuleList(nn.Linear(width, 4 * width) for _ in range(depth))
        self.down = nn.ModuleList(nn.Linear(4 * width, width) for _ in range(depth))
        self.head = nn.Linear(width, 1000)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(x.shape[0], -1, -1), patches], 1) + self.positions
        for at, (qkv, out, up, down) in enumerate(zip(self.qkv, self.out, self.up, self.down, strict=True)):
            q, k, v = qkv(self.norms[2 * at](x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
            mixed = nn.functional.scaled_dot_product_attention(q, k, v)
            x = x + out(mixed.transpose(1, 2).flatten(2))
            x = x + down(nn.functional.gelu(up(self.norms[2 * at + 1](x))))
        answer: Tensor = self.head(self.norms[-1](x)[:, 0])
        return answer


if __name__ == "__main__":
    sys.exit(main())
