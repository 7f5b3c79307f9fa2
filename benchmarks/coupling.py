"""How long it takes to derive the spaces of a network, and how many there are.

    python benchmarks/coupling.py           # every network once in this process, prints a Markdown table

Random weights at published sizes. Wall clock and CPU seconds of `trace`; the first row also pays what torch.export
imports on its first call. "Parameters in free spaces" is the share of parameters with an axis in a space that may be
merged. Needs transformers.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    ConvNextConfig,
    ConvNextForImageClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
)

from netwright.models import cnn, resnet, transformer
from netwright.train.multilevel.coupling import trace
from netwright.train.multilevel.spaces import Coupling

BAR_S = 20.0
BARRED = "GPT-2, 12 layers of 768"


def tokens() -> torch.Tensor:
    return torch.randint(1, 1000, (2, 64))


def images(size: int) -> torch.Tensor:
    return torch.randn(2, 3, size, size)


def llama() -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=32000, hidden_size=1024, intermediate_size=2816, num_hidden_layers=12, num_attention_heads=16,
            num_key_value_heads=4,
        )
    )  # fmt: skip


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(512, 8, 2048, batch_first=True)
    return nn.Sequential(
        nn.Linear(32, 512), nn.TransformerEncoder(layer, 6, enable_nested_tensor=False), nn.Linear(512, 2)
    )


NETWORKS: dict[str, Callable[[], tuple[nn.Module, Any]]] = {
    "MLP 784-512-512-10": lambda: (
        nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)),
        torch.randn(2, 784),
    ),
    "own CNN": lambda: (cnn.CNN(cnn.Config(), 3, 10), images(32)),
    "own ResNet-9": lambda: (resnet.ResNet9(resnet.Config(), 3, 10), images(32)),
    "own transformer, 6 blocks": lambda: (
        transformer.Transformer(transformer.Config(depth=6), 1000, 2),
        (tokens(), torch.ones(2, 64, dtype=torch.bool)),
    ),
    "torch.nn.TransformerEncoder, 6 layers of 512": lambda: (encoder(), torch.randn(2, 64, 32)),
    BARRED: lambda: (GPT2LMHeadModel(GPT2Config()), tokens()),
    "BERT base": lambda: (BertForSequenceClassification(BertConfig()), tokens()),
    "Llama, 12 layers of 1024, 4 of 16 heads for keys": lambda: (llama(), tokens()),
    "ViT base": lambda: (ViTForImageClassification(ViTConfig()), images(224)),
    "ResNet-50": lambda: (ResNetForImageClassification(ResNetConfig()), images(224)),
    "ConvNeXt tiny": lambda: (ConvNextForImageClassification(ConvNextConfig()), images(224)),
}


def share(model: nn.Module, coupling: Coupling) -> float:
    """Of all parameters, those in tensors with an axis in a free space."""
    named = {axis.tensor for space in coupling.free for axis in space.axes}
    sizes = {name: value.numel() for name, value in model.named_parameters()}
    return sum(sizes[name] for name in named & sizes.keys()) / sum(sizes.values())


def main() -> int:
    print("| network | spaces free | frozen | parameters in free spaces | notes | seconds | CPU seconds |")
    print("|---|---|---|---|---|---|---|")
    taken = {}
    for name, build in NETWORKS.items():
        torch.manual_seed(0)
        model, example = build()
        wall, cpu = time.perf_counter(), time.process_time()
        coupling = trace(model, example)
        taken[name], cpu = time.perf_counter() - wall, time.process_time() - cpu
        free, all_ = len(coupling.free), len(coupling.spaces)
        columns = f"{free} | {all_ - free} | {share(model, coupling):.1%} | {len(coupling.notes)}"
        print(f"| {name} | {columns} | {taken[name]:.1f} | {cpu:.1f} |", flush=True)
    kept = taken[BARRED] <= BAR_S
    print(f"\nbar for {BARRED}: {BAR_S:.0f} s; {'kept' if kept else 'missed'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
