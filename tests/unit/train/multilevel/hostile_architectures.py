"""Networks that set traps for the derivation of spaces. Same form as architectures.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from architectures import Case, ids, noise
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._pytree import register_dataclass
from torch.utils.checkpoint import checkpoint

CASES: dict[str, Case] = {}
Free = Mapping[tuple[str, int], int]


def case(
    free: Free, *notes: str, example: Callable[[], Any] = lambda: noise(2, 6)
) -> Callable[[type[nn.Module]], type[nn.Module]]:
    def register(network: type[nn.Module]) -> type[nn.Module]:
        CASES[network.__name__] = Case(lambda: (network(), example()), free, notes)
        return network

    return register


class Two(nn.Module):
    """Linear layers 6 -> 8 -> 3."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Any:
        return self.down(torch.tanh(self.up(x)))


@case({("unit", 8): 1})
class Unused(Two):
    """Parameters that take no part."""

    def __init__(self) -> None:
        super().__init__()
        self.never, self.alone = nn.Linear(8, 8), nn.Parameter(torch.ones(8))


@case({("unit", 8): 1})
class CalledTwice(Two):
    """A layer that reads what it made: one space in both of its axes."""

    def __init__(self) -> None:
        super().__init__()
        self.middle = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.middle(torch.tanh(self.up(x))))
        return self.down(torch.tanh(self.middle(x)))


@case({}, "up.weight: one tensor both makes and reads it along axis 0")
class TiedTranspose(Two):
    """An autoencoder with one weight, read both ways."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.up(x)) @ self.up.weight


@case({("unit", 8): 1})
class InPlace(Two):
    def forward(self, x: Tensor) -> Tensor:
        y = self.up(x)
        y += 1
        y.mul_(y).relu_()
        torch.sigmoid_(y)
        return self.down(y)


@case({})
class InPlaceSlice(Two):
    """Half of the units is written over through a view."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.up(x)
        y[:, :3] = 0
        return self.down(y)


@dataclass
class Found:
    logits: Tensor
    extra: tuple[Tensor, dict[str, Tensor]]


register_dataclass(Found)


@case({("unit", 8): 1})
class DataclassOut(Two):
    """Outputs within a dataclass, a tuple and a dictionary; one of them is a scalar."""

    def forward(self, x: Tensor) -> Found:
        y = self.down(torch.tanh(self.up(x)))
        return Found(y, (y.exp(), {"mean": y.mean()}))


@case({("unit", 5): 1})
class HiddenOut(nn.Module):
    """Units that are returned may not be merged; others may."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(6, 8), nn.Linear(8, 5), nn.Linear(5, 3)])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        one = self.layers[0](x)
        return self.layers[2](self.layers[1](one).relu()), one


@case({})
class NoParameters(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.cumsum(-1).relu()


@case({("unit", 8): 1}, example=lambda: noise(1, 6))
class BatchOfOne(Two):
    pass


@case({("unit", 8): 1}, example=lambda: noise(6))
class NoBatch(Two):
    pass


@case({("unit", 8): 1}, example=lambda: {"x": noise(2, 6)})
class Keywords(Two):
    pass


@case({("unit", 8): 1})
class Buffers(Two):
    """A buffer among the units is a producer; an integer buffer freezes only what it touches."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(8))
        self.register_buffer("shift", torch.zeros(1, 8), persistent=False)
        self.register_buffer("order", torch.tensor([5, 4, 3, 2, 1, 0]))

    def forward(self, x: Tensor) -> Tensor:
        return self.down(torch.tanh(self.up(x[:, self.order]) * self.scale + self.shift))


@case({})
class Constant(Two):
    """A constant that is no buffer stands beside the units: it cannot be made smaller."""

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.up(x) * torch.tensor([1.0, 2, 3, 4, 5, 6, 7, 8]))


@case({})
class Arange(Two):
    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.up(x) + torch.arange(8))


@case({})
class Softmax(Two):
    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.up(x).softmax(-1))


@case({})
class Normalized(Two):
    def forward(self, x: Tensor) -> Tensor:
        return self.down(functional.normalize(self.up(x), dim=-1))


@case({})
class Summed(Two):
    """A sum over units beside their use would grow with the number of copies."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.up(x)
        return self.down(y.relu() + y.sum(-1, keepdim=True))


@case({("unit", 8): 1})
class Averaged(Two):
    def forward(self, x: Tensor) -> Tensor:
        y = self.up(x)
        return self.down(y.relu() + y.mean(-1, keepdim=True) + y.amax(-1, keepdim=True))


@case({})
class UnbiasedStd(Two):
    """n - 1 under the root: twice as many equal units have another standard deviation."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.up(x)
        return self.down(y / y.std(-1, keepdim=True))


@case({})
class Flipped(Two):
    def forward(self, x: Tensor) -> Tensor:
        y = self.up(x)
        return self.down(y.relu() * y.flip(-1))


@case({})
class Strided(Two):
    def forward(self, x: Tensor) -> Tensor:
        y = self.up(x)
        return self.down(torch.cat([y[:, ::2], y[:, 1::2].relu()], -1))


@case({("unit", 4): 1})
class HalvesSwapped(Two):
    """Halves that are exchanged and multiplied are the same four units."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.up(x)
        one, two = y.chunk(2, -1)
        return self.down(y * torch.cat([two, one], -1))


@case({("unit", 3): 1, ("unit", 5): 1})
class Uneven(Two):
    """A split parts the units; the parts are spaces of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = [3, 5]

    def forward(self, x: Tensor) -> Tensor:
        one, two = self.up(x).split(self.parts, -1)
        return self.down(torch.cat([one.relu(), two.sigmoid()], -1))


@case({("unit", 8): 1})
class Repeated(Two):
    """The same units three times in one axis, beside each other and tiled."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.tiled = nn.Linear(24, 3), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.up(x)
        return self.down(torch.cat([y, y.relu(), y.sin()], -1)) + self.tiled(y.repeat(1, 2))


@case({}, example=lambda: noise(2, 3, 6, 6))
class LocalResponse(nn.Module):
    """Neighbouring channels take part: their order matters."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.norm, self.out = nn.Conv2d(3, 8, 3), nn.LocalResponseNorm(3), nn.Conv2d(8, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.norm(self.into(x)))


@case({("channel", 2): 1, ("channel", 4): 1}, example=lambda: noise(2, 3, 6, 6))
class ChannelShuffle(nn.Module):
    """ShuffleNet: grouped convolution, shuffle, grouped convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.one = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1, groups=2)
        self.two, self.head = nn.Conv2d(8, 8, 1, groups=2), nn.Linear(8, 3)
        self.shuffle = nn.ChannelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.shuffle(self.one(self.stem(x)))
        return self.head(self.two(x).mean((2, 3)))


@case({("channel", 5): 1}, example=lambda: noise(2, 3, 6, 6))
class PixelShuffle(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = nn.Conv2d(3, 20, 3, padding=1), nn.Conv2d(5, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(functional.pixel_shuffle(self.into(x), 2))


@case({("channel", 5): 1}, example=lambda: noise(2, 3, 6, 6))
class PixelUnshuffle(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(20, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(functional.pixel_unshuffle(self.into(x), 2))


@case({}, example=lambda: noise(2, 3, 6, 6))
class OddView(nn.Module):
    """Twelve units viewed as (4, 3) and as (6, 2): no factors fit both."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = nn.Conv2d(3, 12, 3), nn.Linear(12, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.into(x).mean((2, 3))
        return self.out(y.view(2, 4, 3).relu().view(2, 6, 2).view(2, 12))


@case({}, example=lambda: noise(2, 3, 6, 6))
class NormOverJoined(nn.Module):
    """GroupNorm whose groups would cut through two joined spaces of other sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 8, 1)
        self.norm, self.out = nn.GroupNorm(2, 12), nn.Conv2d(12, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.norm(torch.cat([self.one(x), self.two(x)], 1)))


@case({("channel", 8): 1}, example=lambda: noise(2, 3, 6, 6))
class NormOverEqual(nn.Module):
    """GroupNorm over two joined spaces of one size: they are merged alike."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 8, 1)
        self.norm, self.out = nn.GroupNorm(4, 16), nn.Conv2d(16, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.norm(torch.cat([self.one(x), self.two(x).sin()], 1)))


@case({}, example=lambda: noise(2, 3, 6, 6))
class OneUnitGroups(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into, self.norm, self.out = nn.Conv2d(3, 8, 1), nn.GroupNorm(8, 8), nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.norm(self.into(x)))


@case({("channel", 8): 1}, example=lambda: noise(2, 3, 6, 6))
class InstanceNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into, self.norm, self.out = nn.Conv2d(3, 8, 1), nn.InstanceNorm2d(8, affine=True), nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.norm(self.into(x)).sin())


@case({}, example=lambda: noise(2, 3, 6, 6))
class WeightNorm(nn.Module):
    """The norm of a weight's row sums over what it reads; here that is all there is."""

    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Conv2d(3, 8, 1)
        self.out = nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.into(x))


@case({})
class SquaredWeight(Two):
    """A weight that is squared before it reads: a half share would become a quarter."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(self.up(x).relu(), self.down.weight**2)


@case({("unit", 8): 1})
class ScaledWeight(Two):
    """A weight that is scaled and transposed before it reads."""

    def forward(self, x: Tensor) -> Tensor:
        return self.up(x).relu() @ (self.down.weight.t() * 0.3)


@case({("unit", 8): 1})
class Einsum(Two):
    def forward(self, x: Tensor) -> Tensor:
        y = torch.einsum("bi,oi->bo", x, self.up.weight).relu()
        return torch.einsum("bo,ko->bk", y, self.down.weight)


@case({("head", 4): 1}, example=lambda: noise(2, 5, 6))
class EinsumAttention(nn.Module):
    """Heads as axes of the weights themselves, attention by einsum."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Parameter(torch.randn(3, 6, 4, 8))
        self.out = nn.Parameter(torch.randn(4, 8, 2))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = torch.einsum("btd,sdhe->sbhte", x, self.qkv).unbind(0)
        weight = torch.einsum("bhte,bhse->bhts", q, k).div(8**0.5).softmax(-1)
        return torch.einsum("bhts,bhse,hek->btk", weight, v, self.out)


@case({("head", 4): 1}, example=lambda: noise(2, 5, 6))
class FusedHeadsFirst(nn.Module):
    """One weight as (heads, 3, head_dim), and a bias on the scores of every head."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out, self.heads = nn.Linear(6, 96), nn.Linear(32, 2), 4
        self.table = nn.Parameter(torch.randn(9, 4))

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        q, k, v = self.qkv(x).view(batch, length, self.heads, 24).transpose(1, 2).chunk(3, -1)
        steps = torch.arange(length)
        bias = self.table[steps[:, None] - steps[None] + 4].permute(2, 0, 1)
        y = (q @ k.mT / 8**0.5 + bias).softmax(-1) @ v
        return self.out(y.transpose(1, 2).flatten(2))


@case({("unit", 8): 1})
class Checkpointed(Two):
    def forward(self, x: Tensor) -> Tensor:
        return self.down(checkpoint(lambda at: torch.tanh(self.up(at)), x, use_reentrant=False))


@case({("unit", 8): 1})
class NoGradAutocast(Two):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            y = self.up(x)
        with torch.autocast("cpu", enabled=False):
            y = torch.tanh(y.float())
        return self.down(y)


@case({}, "torch.export")
class DataDependent(Two):
    def forward(self, x: Tensor) -> Tensor:
        y = self.up(x)
        return self.down(y) if y.sum() > 0 else self.down(-y)


@case({("unit", 5): 1}, "aten.linalg_inv_ex has no rule", "with_effects has no rule")
class Unknown(nn.Module):
    """An inverse has no rule; what it does not touch stays free."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(6, 9), nn.Linear(9, 5), nn.Linear(5, 3)])

    def forward(self, x: Tensor) -> Tensor:
        y = torch.linalg.inv(self.layers[0](x).view(-1, 3, 3) + 5 * torch.eye(3)).flatten(1)
        return self.layers[2](self.layers[1](y).relu())


@case({("unit", 8): 1, ("unit", 4): 1}, example=lambda: (ids(2, 5), torch.tensor([0, 2])))
class Bag(nn.Module):
    """EmbeddingBag, an embedding read by index, and a table of positions."""

    def __init__(self) -> None:
        super().__init__()
        self.bag, self.embed, self.at = nn.EmbeddingBag(20, 8), nn.Embedding(20, 4), nn.Parameter(torch.randn(5, 4))
        self.head, self.other = nn.Linear(8, 3), nn.Linear(4, 3)

    def forward(self, ids: Tensor, offsets: Tensor) -> Tensor:
        return self.head(self.bag(ids[0], offsets)) + self.other((self.embed(ids) + self.at).amax(1))


@case({("unit", 8): 1, ("unit", 4): 1})
class Experts(nn.Module):
    """A mixture of experts with stacked weights: the experts are read by a softmax, their hidden units are free."""

    def __init__(self) -> None:
        super().__init__()
        self.router, self.up, self.down = nn.Linear(6, 3), nn.Parameter(noise(3, 6, 8)), nn.Parameter(noise(3, 8, 4))
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.router(x).softmax(-1)
        y = torch.bmm(torch.bmm(x.expand(3, *x.shape), self.up).relu(), self.down)
        return self.head(torch.einsum("be,ebd->bd", weight, y))


@case({("unit", 8): 1})
class Conditional(Two):
    """where, clamp, comparison and a mask computed from the units themselves."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.up(x)
        y = torch.where(y > 0, y, 0.1 * y.clamp(-1, 1)).masked_fill(y.isnan(), 0.0)
        return self.down(torch.maximum(y, y.new_zeros(y.shape)))


@case({}, "torch.export")
class SizeFromData(Two):
    """The size of a tensor depends on its values."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.up(x)
        return self.down(y)[y[:, 0] > 0]


@case({})
class OneWeightForAll(Two):
    """A weight of one row is broadcast over the units before they are summed."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.randn(1, 3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.up(x)) @ self.down.expand(8, 3)


@case({})
class WeightAndShift(Two):
    """The weight that reads has one added shift for all units."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.randn(3, 1))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(torch.tanh(self.up(x)), self.down.weight + self.shift)


@case({("unit", 8): 1})
class WeightAndWeight(Two):
    """Two weights that are added before they read."""

    def __init__(self) -> None:
        super().__init__()
        self.more = nn.Parameter(torch.randn(3, 8))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(torch.tanh(self.up(x)), self.down.weight + 2 * self.more)


@case({})
class SummedByOnes(Two):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.up(x)) @ torch.ones(8, 3)


@case({}, "aten.native_dropout has no rule")
class Dropped(Two):
    """Dropout that does not heed eval mode: another mask for every copy."""

    def forward(self, x: Tensor) -> Tensor:
        return self.down(functional.dropout(self.up(x), 0.5, training=True))


@case({("unit", 6): 1})
class Outer(nn.Module):
    """All products of two units: one space twice in the axis that reads them."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(6, 6), nn.Linear(36, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.tanh(self.up(x))
        return self.down((y[:, :, None] * y[:, None]).flatten(1))


@case({("stream", 8): 1, ("head", 4): 2, ("unit", 12): 1}, example=lambda: (ids(2, 5), noise(2, 3, 6)))
class Crossed(nn.Module):
    """torch's attention with averaged weights, its own sizes for keys and values, and extra bias keys; post-norm."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = nn.Embedding(20, 8), nn.LayerNorm(8)
        self.own = nn.MultiheadAttention(8, 4, batch_first=True, add_bias_kv=True, add_zero_attn=True)
        self.cross = nn.MultiheadAttention(8, 4, kdim=6, vdim=6, batch_first=True)
        self.up, self.down, self.head = nn.Linear(8, 12), nn.Linear(12, 8), nn.Linear(8, 3)

    def forward(self, ids: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        x = self.embed(ids)
        y, weights = self.own(x, x, x)
        x = self.norm(x + y)
        x = x + self.cross(x, context, context, need_weights=False)[0]
        return self.head(x + self.down(self.up(x).relu())), weights


@case({("head", 2): 1}, example=lambda: noise(2, 5, 6))
class ComplexRotary(nn.Module):
    """Rotary positions by complex numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out, self.heads = nn.Linear(6, 48), nn.Linear(16, 2), 2
        self.register_buffer("freq", torch.polar(torch.ones(5, 4), torch.randn(5, 4)), persistent=False)

    def rotated(self, x: Tensor) -> Tensor:
        pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
        return torch.view_as_real(pairs * self.freq).flatten(-2)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        q, k, v = (at.unflatten(-1, (self.heads, -1)).transpose(1, 2) for at in (q, k, v))
        y = functional.scaled_dot_product_attention(self.rotated(q), self.rotated(k), v)
        return self.out(y.transpose(1, 2).flatten(2))


@case({("channel", 6): 2, ("channel", 4): 1}, example=lambda: noise(2, 3, 12))
class Sequences(nn.Module):
    """Convolutions over one dimension: a depthwise one with two filters a channel, GLU, a transposed depthwise one."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.twice = nn.Conv1d(3, 6, 3), nn.Conv1d(6, 12, 3, groups=6)
        self.gate, self.glu = nn.Conv1d(12, 8, 1), nn.GLU(1)
        self.out = nn.Sequential(nn.Conv1d(4, 6, 1), nn.ConvTranspose1d(6, 6, 2, 2, groups=6), nn.Conv1d(6, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.glu(self.gate(self.twice(self.into(x)).relu())))


@case({("channel", 4): 1}, example=lambda: noise(1, 2, 4, 6, 6))
class Volumes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv3d(2, 4, 3), nn.BatchNorm3d(4), nn.LeakyReLU(), nn.AvgPool3d(2))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(4 * 4, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x))


@case({("unit", 12): 1}, example=lambda: noise(2, 5, 8))
class RawEncoder(nn.Module):
    """nn.TransformerEncoder on features that are the input: its stream is fixed, and with it the heads."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 12, batch_first=True), 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x)


@case({("unit", 12): 1}, example=lambda: ids(2, 5))
class OneHead(nn.Module):
    """nn.TransformerEncoderLayer with one head: no heads to merge, and so no stream."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.layer = nn.Embedding(20, 8), nn.TransformerEncoderLayer(8, 1, 12, batch_first=True)
        self.head = nn.Linear(8, 2)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.layer(self.embed(ids)))


@case({})
class WhichIsLargest(Two):
    """The number of the largest unit, not its value, is used."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.up(x)
        return self.down(y) * y.max(-1, keepdim=True).indices


@case({("unit", 8): 1})
class HowLargeIsLargest(Two):
    def forward(self, x: Tensor) -> Tensor:
        y = self.up(x)
        return self.down(y) * y.max(-1, keepdim=True).values


@case({("head", 2): 1}, example=lambda: noise(2, 5, 6))
class GroupedFused(nn.Module):
    """One weight as (groups, queries of a group + key + value, head_dim): two factors of one axis could be merged."""

    def __init__(self) -> None:
        super().__init__()
        self.groups, self.repeats, self.inner = 2, 3, 4
        self.qkv, self.out = nn.Linear(6, 40), nn.Linear(24, 2)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        parts = self.qkv(x).view(batch, length, self.groups, self.repeats + 2, self.inner)
        q, k, v = (at.flatten(2, 3).transpose(1, 2) for at in parts.split([self.repeats, 1, 1], 3))
        y = functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        return self.out(y.transpose(1, 2).flatten(2))


@case({("channel", 4): 1, ("channel", 8): 1, ("channel", 6): 1}, example=lambda: noise(2, 3, 6, 6))
class JoinedDepthwise(nn.Module):
    """Depthwise and grouped convolution over joined channels: the groups are parts of several spaces."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 8, 1)
        self.depthwise, self.narrow = nn.Conv2d(12, 12, 3, groups=12), nn.Conv2d(12, 6, 1)
        self.out = nn.Conv2d(6, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.narrow(self.depthwise(torch.cat([self.one(x), self.two(x)], 1)).relu()))


@case({("channel", 2): 2}, example=lambda: noise(2, 3, 6, 6))
class JoinedGrouped(nn.Module):
    """Four groups, two of either space."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)
        self.grouped, self.out = nn.Conv2d(8, 12, 3, groups=4), nn.Conv2d(12, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.grouped(torch.cat([self.one(x), self.two(x)], 1)).sin())
