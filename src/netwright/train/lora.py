"""LoRA: train small matrices beside frozen ones (Hu et al. 2021, arXiv:2106.09685), and QLoRA (2305.14314).

    adapt(model, Config(rank=16))               # in place: each target W becomes W + scale * B A, and only A, B learn
    write(model, folder, base="smollm2-135m-instruct")          # in PEFT's format
    merge(plain, read(folder, plain))           # the adapter's product added to the weights of a plain network

What is frozen is no parameter any more but a buffer that no state holds: checkpoints, averages and optimizers see the
adapter alone. The base may be kept in bf16, or in NF4 with a second quantization of its scales.

Shape legend: N tokens, I inputs and O outputs of a layer, R rank.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from netwright.core import artifact
from netwright.core.error import UserError, did_you_mean
from netwright.core.recipe import Range
from netwright.core.table import extra

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
"""Of names in PEFT's files."""
GROUP = 64
"""Weights of NF4 that share a scale, as QLoRA has them."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """The [train.lora] section."""

    rank: Annotated[int, Range(0, 4096)] = 0
    """0 trains all weights."""
    alpha: Annotated[float, Range(0, 1e6)] = 0.0
    """The adapter counts `alpha / rank`; 0: twice the rank."""
    dropout: Annotated[float, Range(0, 0.9)] = 0.0
    """Of what the adapter reads."""
    targets: tuple[str, ...] = ()
    """Last names of the layers that get an adapter, such as q_proj; empty: every linear layer of the blocks."""
    base: Literal["fp32", "bf16", "nf4"] = "fp32"
    """What the frozen weights are kept in: 4, 2 or 0.52 bytes each."""
    adapter: str = ""
    """A folder in PEFT's format to go on from."""

    @property
    def scale(self) -> float:
        return (self.alpha or 2 * self.rank) / self.rank


class Adapted(nn.Module):
    """A linear layer whose own weights stay, and the two matrices beside it that learn: W x + scale * B (A x)."""

    lora_A: nn.Linear
    lora_B: nn.Linear
    weight: Tensor
    bias: Tensor | None

    def __init__(self, layer: nn.Linear, config: Config) -> None:
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.lora_A = nn.Linear(layer.in_features, config.rank, bias=False)
        self.lora_B = nn.Linear(config.rank, layer.out_features, bias=False)
        nn.init.kaiming_uniform_(self.lora_A.weight, a=math.sqrt(5))
        nn.init.zeros_(self.lora_B.weight)
        self.scale, self.dropout = config.scale, nn.Dropout(config.dropout)
        self.quantized: Any = None
        weight_OI = layer.weight.detach()
        if config.base == "nf4":
            functions = extra("bitsandbytes.functional", "train.lora.base=nf4")
            weight_OI, self.quantized = functions.quantize_4bit(
                weight_OI.contiguous(), blocksize=GROUP, compress_statistics=True, quant_type="nf4"
            )
        elif config.base == "bf16":
            weight_OI = weight_OI.bfloat16()
        self.register_buffer("weight", weight_OI, persistent=False)
        self.register_buffer("bias", None if layer.bias is None else layer.bias.detach(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        small = functional.linear(functional.linear(self.dropout(x), self.lora_A.weight), self.lora_B.weight)
        if self.quantized is None:
            whole = functional.linear(x, self.weight.to(x.dtype), None if self.bias is None else self.bias.to(x.dtype))
        else:
            whole = _Quantized.apply(x, self.weight, self.quantized)  # type: ignore[no-untyped-call]
            whole = whole if self.bias is None else whole + self.bias.to(x.dtype)
        return torch.add(whole, small, alpha=self.scale)


class _Quantized(torch.autograd.Function):
    """x W^T with a W that is unpacked for this product alone, and again for the gradient of x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, packed: Tensor, state: Any) -> Tensor:
        ctx.packed, ctx.state = packed, state
        return functional.linear(x, _unpacked(packed, state, x.dtype))

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        return slope @ _unpacked(ctx.packed, ctx.state, slope.dtype), None, None


def _unpacked(packed: Tensor, state: Any, kind: torch.dtype) -> Tensor:
    import bitsandbytes.functional as functions

    weight_OI: Tensor = functions.dequantize_4bit(packed, state)
    return weight_OI.to(kind)


def adapt(model: nn.Module, config: Config) -> nn.Module:
    """Freeze a network and put adapters beside its layers, in place. Raises UserError for targets it does not have."""
    chosen = targets(model, config.targets)
    for name in chosen:
        parent, _, last = name.rpartition(".")
        owner: Any = model.get_submodule(parent)
        setattr(owner, last, Adapted(getattr(owner, last), config))
    freeze(model)
    if config.adapter:
        given = read(Path(config.adapter), model)
        model.load_state_dict(given.tensors, strict=True)
    return model


def targets(model: nn.Module, wanted: Iterable[str]) -> list[str]:
    """Full names of the linear layers that get an adapter."""
    lists = [name for name, module in model.named_modules() if isinstance(module, nn.ModuleList)]
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    within = [name for name in linear if any(name.startswith(f"{one}.") for one in lists)] or linear[:-1]
    if not within:
        raise UserError("train.lora.rank", type(model).__name__, "a network with linear layers", "train.lora.rank=0")
    last = sorted({name.rpartition(".")[2] for name in within})
    for name in wanted:
        if name not in last:
            raise UserError("train.lora.targets", name, did_you_mean(name, last), f'train.lora.targets=["{last[0]}"]')
    return [name for name in within if not wanted or name.rpartition(".")[2] in wanted]


def freeze(model: nn.Module) -> None:
    """Make buffers, which no state holds, of all parameters but those of adapters."""
    for path, module in model.named_modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if not path.endswith(("lora_A", "lora_B")):
                del module._parameters[name]
                module.register_buffer(name, parameter.detach(), persistent=False)


@dataclass(frozen=True)
class Adapter:
    """An adapter's tensors by the network's own names, `<layer>.lora_A.weight`, and what the product counts."""

    tensors: Mapping[str, Tensor]
    scale: float


def of(model: nn.Module, config: Config, tensors: Mapping[str, Tensor] | None = None) -> Adapter:
    """The adapter of a network, or the same one with other tensors."""
    found = tensors or model.state_dict()
    return Adapter({name: x.detach().float() for name, x in found.items() if ".lora_" in name}, config.scale)


def write(adapter: Adapter, config: Config, folder: Path, base: str, transposed: bool = False) -> None:
    """Write an adapter as PEFT does. `transposed`: whether Hugging Face's network holds its matrices as (in, out)."""
    folder.mkdir(parents=True, exist_ok=True)
    layers = sorted({name.rpartition(".lora_")[0] for name in adapter.tensors})
    artifact.write_json(folder / CONFIG, {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base, "r": config.rank,
        "lora_alpha": config.scale * config.rank, "lora_dropout": config.dropout, "bias": "none",
        "target_modules": sorted({layer.rpartition(".")[2] for layer in layers}), "fan_in_fan_out": transposed,
        "inference_mode": True, "use_rslora": False, "init_lora_weights": True, "modules_to_save": None,
    })  # fmt: skip
    tensors = {PREFIX + name: x.contiguous() for name, x in adapter.tensors.items()}
    artifact.replace_file(folder / WEIGHTS, lambda draft: save_file(tensors, draft, metadata={"format": "pt"}))


def read(folder: Path, model: nn.Module) -> Adapter:
    """An adapter in PEFT's format that fits a network. Raises UserError where it is none, or of another base."""
    if not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
        raise UserError("adapter", str(folder), f"no adapter: it needs {CONFIG} and {WEIGHTS}", "ls " + str(folder))
    said = artifact.read_json(folder / CONFIG)
    kind, rank = said.get("peft_type"), said.get("r")
    if kind != "LORA" or not isinstance(rank, int) or rank < 1 or said.get("use_dora") or said.get("rank_pattern"):
        raise UserError("adapter", str(folder), f"not a plain LoRA ({kind}, rank {rank})", "merge it with PEFT")
    try:
        tensors = {name.removeprefix(PREFIX): x.float() for name, x in load_file(folder / WEIGHTS).items()}
    except (SafetensorError, OSError) as fault:
        raise UserError("file", str(folder / WEIGHTS), f"not safetensors: {fault}", "fetch it again") from None
    modules = dict(model.named_modules())
    faults = []
    for name, x in tensors.items():
        layer, _, which = name.removesuffix(".weight").rpartition(".lora_")
        found: Any = modules.get(layer)
        if found is None or not hasattr(found, "in_features") or which not in ("A", "B"):
            faults.append(f"{name} has no layer there")
        elif tuple(x.shape) != ((rank, found.in_features) if which == "A" else (found.out_features, rank)):
            faults.append(f"{name} is {list(x.shape)}, the layer {found.out_features} x {found.in_features}")
    if faults or not tensors:
        about = f"made for {said.get('base_model_name_or_path')}: " if said.get("base_model_name_or_path") else ""
        what = f"an adapter for another base ({about}{'; '.join(faults[:2]) or 'it is empty'})"
        raise UserError("adapter", str(folder), what, "give the model it was trained on")
    alpha = float(said.get("lora_alpha") or rank)
    return Adapter(tensors, alpha / (math.sqrt(rank) if said.get("use_rslora") else rank))


def merging(adapter: Adapter) -> Any:
    """What adds an adapter's product to the tensors of a plain network as they pass, one at a time."""

    def pass_on(tensors: Iterator[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
        for name, x in tensors:
            layer = name.removesuffix(".weight")
            if f"{layer}.lora_A.weight" in adapter.tensors:
                a_RI, b_OR = (adapter.tensors[f"{layer}.lora_{which}.weight"] for which in "AB")
                yield name, x + adapter.scale * (b_OR @ a_RI)
            else:
                yield name, x

    return pass_on


def merge(model: nn.Module, adapter: Adapter) -> nn.Module:
    """Add an adapter's product to the weights of a plain network, in place, a layer at a time."""
    layers = {name.rpartition(".lora_")[0] for name in adapter.tensors}
    with torch.no_grad():
        for name in sorted(layers):
            weight_OI: Any = model.get_submodule(name).weight
            a_RI, b_OR = (adapter.tensors[f"{name}.lora_{which}.weight"] for which in "AB")
            weight_OI += (adapter.scale * (b_OR @ a_RI)).to(weight_OI)
    return model
