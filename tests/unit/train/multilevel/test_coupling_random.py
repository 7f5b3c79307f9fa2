"""Networks drawn at random: what is found free must be right, and harmless steps must leave units free."""

from __future__ import annotations

import random

import pytest
import torch
from architectures import ids, randomized
from coupling_oracle import check_order, check_prolonged
from torch import Tensor, nn

from netwright.train.multilevel.coupling import trace

HARMLESS = ("linear", "act", "norm", "residual", "gate", "glu", "heads", "squeeze", "join", "halves", "scale", "keep")
HARMFUL = ("sum", "softmax", "flip", "norms", "std", "gram", "roll", "lookup", "every_second", "cumsum")


class Attention(nn.Module):
    """Its heads may be fewer than its input has room for, other than in nn.MultiheadAttention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.qkv, self.out, self.heads = nn.Linear(width, 3 * heads * 4), nn.Linear(heads * 4, width), heads

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        return self.out(nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Drawn(nn.Module):
    """A chain of steps on x_BTD; it reads sizes from its tensors alone."""

    def __init__(self, draw: random.Random, steps: list[str]) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.steps, self.layers, self.tables = steps, nn.ModuleDict(), nn.ParameterDict()
        width, kept = 8, 8
        for at, step in enumerate(steps):
            width, kept = self.add(str(at), step, width, kept, draw)
        self.head = nn.Linear(width, 3)

    def add(self, at: str, step: str, width: int, kept: int, draw: random.Random) -> tuple[int, int]:
        """Makes the step's layers; gives the widths after it."""
        if step == "linear":
            wider = draw.choice([8, 12, 16])
            self.layers[at] = nn.Linear(width, wider)
            return wider, kept
        if step == "norm":
            self.layers[at] = draw.choice([nn.LayerNorm, nn.RMSNorm])(width)
        elif step == "residual":
            self.layers[at] = nn.Sequential(nn.Linear(width, 12), nn.GELU("tanh"), nn.Linear(12, width))
        elif step == "gate":
            self.layers[at] = nn.ModuleList([nn.Linear(width, 12), nn.Linear(width, 12), nn.Linear(12, width)])
        elif step == "glu":
            self.layers[at] = nn.Linear(width, 16)
            return 8, kept
        elif step == "heads":
            self.layers[at] = Attention(width, 2)
        elif step == "squeeze":
            self.layers[at] = nn.Sequential(nn.Linear(width, 4), nn.ReLU(), nn.Linear(4, width))
        elif step == "join":
            return width + kept, kept
        elif step == "scale":
            self.tables[at] = nn.Parameter(torch.ones(width))
        elif step == "keep":
            return width, width
        elif step == "every_second":
            return width // 2, kept
        return width, kept

    def forward(self, ids: Tensor) -> Tensor:
        x = kept = self.embed(ids)
        for at, step in enumerate(self.steps):
            if step == "keep":
                kept = x
            elif step == "join":
                x = torch.cat([x, kept], -1)
            else:
                x = self.step(step, x, self.found(str(at)), str(at))
        return self.head(x.mean(1))

    def found(self, at: str) -> nn.Module | None:
        return self.layers[at] if at in self.layers else None  # noqa: SIM401  nn.ModuleDict has no get

    def step(self, step: str, x: Tensor, layer: nn.Module | None, at: str) -> Tensor:
        match step:
            case "linear" | "norm":
                return layer(x)
            case "act":
                return torch.sin(x)
            case "residual":
                return x + layer(x)
            case "gate":
                return x + layer[2](torch.sigmoid(layer[0](x)) * layer[1](x))
            case "glu":
                return nn.functional.glu(layer(x))
            case "heads":
                return x + layer(x)
            case "squeeze":
                return x * torch.sigmoid(layer(x.amax(1)))[:, None]
            case "halves":
                one, two = x.chunk(2, -1)
                return x + torch.cat([two, one.tanh()], -1)
            case "scale":
                return x * self.tables[at]
            case "sum":
                return x + x.sum(-1, keepdim=True)
            case "softmax":
                return x.softmax(-1)
            case "flip":
                return x + x.flip(-1)
            case "norms":
                return x / (1 + x.norm(dim=-1, keepdim=True))
            case "std":
                return x / (1 + x.std(-1, keepdim=True))
            case "gram":
                return (x @ x.mT).softmax(-1) @ x
            case "roll":
                return x + x.roll(1, -1)
            case "lookup":
                return x + x[..., :1]
            case "every_second":
                return x[..., ::2]
            case "cumsum":
                return x.cumsum(-1)
        raise AssertionError(step)


def drawn(seed: int, kinds: tuple[str, ...], count: int) -> tuple[nn.Module, Tensor]:
    draw = random.Random(seed)
    torch.manual_seed(seed)
    steps = [draw.choice(kinds) for _ in range(count)]
    return randomized(Drawn(draw, steps), seed).eval(), ids(2, 5)


@pytest.mark.parametrize("seed", range(6))
def test_harmless_steps_leave_units_free(seed):
    model, example = drawn(seed, HARMLESS, 8)
    coupling = trace(model, example)
    assert coupling.notes == ()
    assert any(space.axes[0].tensor == "embed.weight" for space in coupling.free)
    check_order(coupling, model, example)
    check_prolonged(coupling, model, example)


@pytest.mark.parametrize("seed", range(6))
def test_what_is_free_among_harmful_steps_is_right(seed):
    model, example = drawn(seed, (*HARMLESS, *HARMFUL), 8)
    coupling = trace(model, example)
    assert coupling.notes == ()
    if coupling.free:
        check_order(coupling, model, example)
        check_prolonged(coupling, model, example)
