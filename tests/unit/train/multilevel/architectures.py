"""Small networks of many families, each with an example input and the spaces that must be found free in it.

`free` counts (kind, size): what may be merged. A derivation that froze everything, or too much, would not pass.
Shape legend: B batch, T tokens, D width, H heads, E width of a head, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from netwright.models import cnn, resnet, transformer

Build = Callable[[], tuple[nn.Module, Any]]


@dataclass(frozen=True)
class Case:
    """`build` gives the network and its example; `free`: (kind, size) -> how many spaces."""

    build: Build
    free: Mapping[tuple[str, int], int]
    notes: tuple[str, ...] = field(default=())


CASES: dict[str, Case] = {}


def case(name: str, free: Mapping[tuple[str, int], int], notes: tuple[str, ...] = ()) -> Callable[[Build], Build]:
    def register(build: Build) -> Build:
        CASES[name] = Case(build, free, notes)
        return build

    return register


def randomized(model: nn.Module, seed: int = 0) -> nn.Module:
    """Fresh weights, also where the layers start at zero or one; variances stay positive."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if not value.is_floating_point() or "freq" in name:
            continue
        noise = torch.randn(value.shape, generator=generator)
        if "running_var" in name:
            value.data = noise.abs() + 0.5
        elif value.dim() > 1:
            value.data = noise / max(value[0].numel(), 1) ** 0.5
        else:
            value.data = noise * 0.3 + name.endswith("weight")
    return model


def ids(*shape: int, vocabulary: int = 20) -> Tensor:
    return torch.randint(1, vocabulary, shape, generator=torch.Generator().manual_seed(1))


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(2))


@case("mlp", {("unit", 8): 1, ("unit", 12): 1})
def mlp() -> tuple[nn.Module, Any]:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 12), nn.PReLU(12), nn.Linear(12, 3)), noise(2, 6)


@case("flattened", {("channel", 8): 1})
def flattened() -> tuple[nn.Module, Any]:
    layers = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(8 * 36, 4)
    return nn.Sequential(*layers), noise(2, 3, 8, 8)


@case("cnn", {("channel", 8): 1, ("channel", 16): 2})
def own_cnn() -> tuple[nn.Module, Any]:
    return cnn.CNN(cnn.Config(width=8), 3, 4), noise(2, 3, 8, 8)


@case("resnet9", {("channel", 24): 1, ("channel", 4): 2, ("channel", 16): 4})
def own_resnet9() -> tuple[nn.Module, Any]:
    return resnet.ResNet9(resnet.Config(width=4), 3, 4), noise(2, 3, 32, 32)


@case("transformer", {("stream", 16): 1, ("head", 4): 2, ("unit", 32): 2})
def own_transformer() -> tuple[nn.Module, Any]:
    config = transformer.Config(width=16, heads=4, positions=16)
    return transformer.Transformer(config, 20, 3), (ids(2, 7), torch.ones(2, 7, dtype=torch.bool))


class Mixer(nn.Module):
    """MLP-Mixer: tokens mixed by an MLP across positions, channels by one across the width."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 12, 4, 4)
        self.norms = nn.ModuleList(nn.LayerNorm(12) for _ in range(2))
        self.tokens = nn.Sequential(nn.Linear(4, 10), nn.GELU(), nn.Linear(10, 4))
        self.channels = nn.Sequential(nn.Linear(12, 24), nn.GELU(), nn.Linear(24, 12))
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x_BTD = self.patches(x).flatten(2).mT
        x_BTD = x_BTD + self.tokens(self.norms[0](x_BTD).mT).mT
        x_BTD = x_BTD + self.channels(self.norms[1](x_BTD))
        return self.head(x_BTD.mean(1))


@case("mlp_mixer", {("stream", 12): 1, ("unit", 10): 1, ("unit", 24): 1})
def mixer() -> tuple[nn.Module, Any]:
    return Mixer(), noise(2, 3, 8, 8)


class UNet(nn.Module):
    """Skips joined by concatenation, GroupNorm, transposed convolution and interpolation."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([self.stage(3, 8), self.stage(8, 16), self.stage(16, 32)])
        self.up = nn.ConvTranspose2d(32, 16, 2, 2)
        self.join = nn.ModuleList([self.stage(32, 16), self.stage(24, 8)])
        self.head = nn.Conv2d(8, 2, 1)

    @staticmethod
    def stage(inside: int, outside: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(inside, outside, 3, padding=1), nn.GroupNorm(2, outside), nn.SiLU())

    def forward(self, x: Tensor) -> Tensor:
        one = self.down[0](x)
        two = self.down[1](functional.max_pool2d(one, 2))
        three = self.down[2](functional.max_pool2d(two, 2))
        x = self.join[0](torch.cat([self.up(three), two], 1))
        x = functional.interpolate(x, scale_factor=2, mode="nearest")
        return self.head(self.join[1](torch.cat([x, one], 1)))


@case("unet", {("channel", 8): 2, ("channel", 16): 3, ("channel", 32): 1})
def unet() -> tuple[nn.Module, Any]:
    return UNet(), noise(2, 3, 8, 8)


class Dense(nn.Module):
    """A DenseNet block: every layer reads all that came before it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(8 + 4 * i) for i in range(4))
        self.layers = nn.ModuleList(nn.Conv2d(8 + 4 * i, 4, 3, padding=1) for i in range(3))
        self.head = nn.Linear(20, 3)

    def forward(self, x: Tensor) -> Tensor:
        found = [self.stem(x)]
        for norm, layer in zip(self.norms, self.layers, strict=False):
            found.append(layer(norm(torch.cat(found, 1)).relu()))
        return self.head(self.norms[-1](torch.cat(found, 1)).relu().mean((2, 3)))


@case("densenet", {("channel", 8): 1, ("channel", 4): 3})
def densenet() -> tuple[nn.Module, Any]:
    return Dense(), noise(2, 3, 6, 6)


class Inverted(nn.Module):
    """MobileNet's inverted residual with squeeze-and-excitation."""

    def __init__(self, inside: int = 8, wide: int = 24) -> None:
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(inside, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.Hardswish())
        self.depthwise = nn.Sequential(
            nn.Conv2d(wide, wide, 3, padding=1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.Hardswish()
        )
        self.squeeze, self.excite = nn.Conv2d(wide, 6, 1), nn.Conv2d(6, wide, 1)
        self.project = nn.Sequential(nn.Conv2d(wide, inside, 1, bias=False), nn.BatchNorm2d(inside))

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(self.expand(x))
        gate = self.excite(self.squeeze(functional.adaptive_avg_pool2d(y, 1)).relu())
        return x + self.project(y * functional.hardsigmoid(gate))


@case("mobilenet", {("stream", 8): 1, ("channel", 24): 2, ("channel", 6): 2})
def mobilenet() -> tuple[nn.Module, Any]:
    stem, head = nn.Conv2d(3, 8, 3), (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    return nn.Sequential(stem, Inverted(), Inverted(), *head), noise(2, 3, 8, 8)


class ResNeXt(nn.Module):
    """A bottleneck whose middle convolution has four groups."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 3)
        self.into, self.norm = nn.Conv2d(12, 16, 1), nn.BatchNorm2d(16)
        self.grouped, self.out = nn.Conv2d(16, 24, 3, padding=1, groups=4), nn.Conv2d(24, 12, 1)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.out(self.grouped(self.norm(self.into(x)).relu()).relu())
        return self.head(x.mean((2, 3)))


@case("resnext", {("stream", 12): 1, ("channel", 4): 1})
def resnext() -> tuple[nn.Module, Any]:
    return ResNeXt(), noise(2, 3, 8, 8)


class Encoded(nn.Module):
    """Embeddings into torch's own encoder."""

    def __init__(self, norm_first: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 4, 24, batch_first=True, norm_first=norm_first, activation="gelu")
        self.embed = nn.Embedding(20, 16)
        self.encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(16), enable_nested_tensor=False)
        self.head = nn.Linear(16, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(ids)).mean(1))


@case("encoder_post_norm", {("stream", 16): 1, ("head", 4): 2, ("unit", 24): 2})
def encoder_post() -> tuple[nn.Module, Any]:
    return Encoded(False), ids(2, 5)


@case("encoder_pre_norm", {("stream", 16): 1, ("head", 4): 2, ("unit", 24): 2})
def encoder_pre() -> tuple[nn.Module, Any]:
    return Encoded(True), ids(2, 5)


class Attention(nn.Module):
    """Grouped-query attention with rotary positions; `fused` reads q, k and v from one weight, `repeat` how k grows."""

    def __init__(self, width: int, heads: int, kv: int, fused: bool, repeat: str) -> None:
        super().__init__()
        self.heads, self.kv, self.inner, self.repeat = heads, kv, width // heads, repeat
        sizes = [heads * self.inner, kv * self.inner, kv * self.inner]
        outs = [sum(sizes)] if fused else sizes
        self.qkv = nn.ModuleList(nn.Linear(width, size, bias=False) for size in outs)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x_BTD: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, _ = x_BTD.shape
        parts = [layer(x_BTD) for layer in self.qkv]
        if len(parts) == 1:
            parts = list(parts[0].split([self.heads * self.inner, self.kv * self.inner, self.kv * self.inner], -1))
        q, k, v = (part.view(batch, length, -1, self.inner).transpose(1, 2) for part in parts)
        q, k = rotated(q, cos, sin), rotated(k, cos, sin)
        count = self.heads // self.kv
        if self.repeat == "expand":
            k, v = (
                at[:, :, None].expand(batch, self.kv, count, length, self.inner).reshape(batch, -1, length, self.inner)
                for at in (k, v)
            )
        elif self.repeat == "interleave":
            k, v = k.repeat_interleave(count, 1), v.repeat_interleave(count, 1)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=self.repeat == "gqa")
        return self.out(y.transpose(1, 2).reshape(batch, length, -1))


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    one, two = x.chunk(2, -1)
    return x * cos + torch.cat([-two, one], -1) * sin


class RMSNorm(nn.Module):
    """Written out, as in many published decoders."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


class DecoderBlock(nn.Module):
    def __init__(self, width: int, heads: int, kv: int, fused: bool, repeat: str) -> None:
        super().__init__()
        self.norms = nn.ModuleList([RMSNorm(width), nn.RMSNorm(width)])
        self.attention = Attention(width, heads, kv, fused, repeat)
        self.gate_up, self.down = nn.Linear(width, 48, bias=False), nn.Linear(24, width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.attention(self.norms[0](x), cos, sin)
        gate, up = self.gate_up(self.norms[1](x)).chunk(2, -1)
        return x + self.down(functional.silu(gate) * up)


class Decoder(nn.Module):
    """GQA, RoPE, SwiGLU from one weight, RMSNorm, head tied to the embedding."""

    def __init__(
        self, fused: bool = False, repeat: str = "gqa", tied: bool = True, heads: int = 4, kv: int = 2
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 16)
        self.blocks = nn.ModuleList(DecoderBlock(16, 4, kv, fused, repeat) for _ in range(2))
        self.norm, self.head = nn.RMSNorm(16), nn.Linear(16, 20, bias=False)
        if tied:
            self.head.weight = self.embed.weight
        angles = torch.outer(torch.arange(12.0), 100 ** -torch.arange(0, 1, 2 / 4))
        self.register_buffer("cos_freq", angles.repeat(1, 2).cos(), persistent=False)
        self.register_buffer("sin_freq", angles.repeat(1, 2).sin(), persistent=False)

    def forward(self, ids: Tensor) -> dict[str, Tensor]:
        x = self.embed(ids)
        length = ids.shape[1]
        for block in self.blocks:
            x = block(x, self.cos_freq[:length], self.sin_freq[:length])
        return {"logits": self.head(self.norm(x))}


DECODER = {("stream", 16): 1, ("head", 2): 2, ("unit", 24): 2}


@case("llama_gqa", DECODER)
def llama_gqa() -> tuple[nn.Module, Any]:
    return Decoder(), ids(2, 6)


@case("llama_expand_fused", DECODER)
def llama_expand() -> tuple[nn.Module, Any]:
    return Decoder(fused=True, repeat="expand"), ids(2, 6)


@case("llama_interleave_untied", DECODER)
def llama_interleave() -> tuple[nn.Module, Any]:
    return Decoder(repeat="interleave", tied=False), ids(2, 6)


@case("llama_multi_query", {("stream", 16): 1, ("head", 4): 2, ("unit", 24): 2})
def llama_multi_query() -> tuple[nn.Module, Any]:
    return Decoder(fused=True, kv=1), ids(1, 6)


@case("autoencoder", {("channel", 8): 2, ("channel", 12): 2, ("unit", 6): 1})
def autoencoder() -> tuple[nn.Module, Any]:
    down = nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 12, 3, 2, 1), nn.Tanh(), nn.Flatten(), nn.Linear(48, 6)
    up = nn.Linear(6, 48), nn.Unflatten(1, (12, 2, 2)), nn.ConvTranspose2d(12, 8, 2, 2), nn.BatchNorm2d(8), nn.ELU()
    return nn.Sequential(*down, *up, nn.ConvTranspose2d(8, 3, 2, 2)), noise(2, 3, 8, 8)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm, self.head = nn.Embedding(20, 8), nn.LSTM(8, 12, batch_first=True), nn.Linear(12, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.lstm(self.embed(ids))[0][:, -1])


@case("lstm", {}, ("aten.lstm",))
def lstm() -> tuple[nn.Module, Any]:
    return Recurrent(), ids(2, 5)


class DLRM(nn.Module):
    """Embeddings and a bottom MLP, their pairwise dot products, a top MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(20, 8) for _ in range(3))
        self.bottom = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 8))
        self.top = nn.Sequential(nn.Linear(8 + 6, 12), nn.ReLU(), nn.Linear(12, 1))

    def forward(self, dense: Tensor, ids: Tensor) -> Tensor:
        x = self.bottom(dense)
        parts = torch.stack([x, *(table(ids[:, at]) for at, table in enumerate(self.tables))], 1)
        rows, columns = torch.tril_indices(4, 4, -1)
        return self.top(torch.cat([x, (parts @ parts.mT)[:, rows, columns]], 1))


@case("dlrm", {("unit", 16): 1, ("unit", 12): 1})
def dlrm() -> tuple[nn.Module, Any]:
    return DLRM(), (noise(2, 5), ids(2, 3))
