"""Spaces: which axes of which tensors run over the same units, and so are coarsened together.

    spec = {"up.weight": ("hidden", None), "up.bias": ("hidden",), "down.weight": (None, "hidden:in")}
    coupling = written(model, spec)

A network's units (channels, heads, the features of a residual stream) appear in several tensors: as rows of the
weights that make them and as columns of those that read them. All that is merged when two units are merged stands in
one `Space`. Spaces are found by tracing (`coupling.trace`) or written by hand, as here. This file does not know how
units are matched nor what happens to the tensors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from netwright.core.error import UserError, did_you_mean

Role = Literal["producer", "consumer"]
Kind = Literal["unit", "channel", "head", "stream"]


@dataclass(frozen=True)
class Axis:
    """A part of one axis of a tensor that runs over a space of n units.

    Elements `start` to `start + outer * n * inner` of dimension `dim` are a row-major (outer, n, inner) block. A
    producer makes the units (rows of a weight, biases, normalization); a consumer sums over them (columns of a weight).
    """

    tensor: str
    dim: int
    role: Role
    start: int = 0
    outer: int = 1
    inner: int = 1


@dataclass(frozen=True)
class Space:
    """Units that are merged together wherever they appear.

    `uniform`: aggregates must have equal sizes, as a normalization or a mean runs over the units. `groups`: aggregates
    must lie within so many equal contiguous groups (group normalization). `scaled`: nn.Linear modules whose weight is
    also an embedding, so that their input takes the size of an aggregate as a factor. `frozen`: why nothing is merged.
    """

    name: str
    size: int
    kind: Kind
    axes: tuple[Axis, ...]
    uniform: bool = False
    groups: int = 1
    scaled: tuple[str, ...] = ()
    frozen: str = ""


@dataclass(frozen=True)
class Coupling:
    """The spaces of a network, and what was not understood: one sentence each."""

    spaces: tuple[Space, ...]
    notes: tuple[str, ...] = ()

    @property
    def free(self) -> tuple[Space, ...]:
        """The spaces that may be coarsened."""
        return tuple(space for space in self.spaces if not space.frozen)


Spec = Mapping[str, Sequence[str | None]]
"""Tensor -> for each of its axes None, or the space it runs over: "hidden" for a producer, "hidden:in" for a consumer,
"3*heads*64" for the middle factor of a row-major (3, heads, 64)."""

_AXIS = re.compile(r"(?:(\d+)\*)?([A-Za-z_][\w.\-]*)(?:\*(\d+))?(:in)?")


def written(model: nn.Module, spec: Spec, uniform: Sequence[str] = ()) -> Coupling:
    """The coupling that a hand-written spec states; tensors it does not name have no space.

    `uniform` names spaces that a normalization runs over. Raises UserError for a tensor that the model does not have,
    an axis that is not written so, and sizes that differ between the axes of one space.
    """
    tensors = dict(model.state_dict())
    axes: dict[str, list[Axis]] = {}
    sizes: dict[str, int] = {}
    for name, entries in spec.items():
        if name not in tensors:
            raise UserError("spaces", name, did_you_mean(name, tensors), "name parameters and buffers of the model")
        shape = tensors[name].shape
        if len(entries) != len(shape):
            raise UserError(
                "spaces", f"{name} = {tuple(entries)}", f"{len(shape)} entries, one an axis", "use None for none"
            )
        for dim, entry in enumerate(entries):
            if entry is None:
                continue
            found = _AXIS.fullmatch(entry)
            outer, inner = (int(found[1] or 1), int(found[3] or 1)) if found else (0, 0)
            if not found or outer * inner == 0 or shape[dim] % (outer * inner):
                allowed = f'"space", "space:in" or "3*space*64" with factors of {shape[dim]}'
                raise UserError("spaces", f"{name}[{dim}] = {entry!r}", allowed, "mend the spec")
            size = shape[dim] // (outer * inner)
            if sizes.setdefault(found[2], size) != size:
                allowed = f"the {sizes[found[2]]} units that {found[2]} has elsewhere, not {size}"
                raise UserError("spaces", f"{name}[{dim}] = {entry!r}", allowed, "mend the spec")
            role: Role = "consumer" if found[4] else "producer"
            axes.setdefault(found[2], []).append(Axis(name, dim, role, 0, outer, inner))
    unknown = sorted(set(uniform) - set(axes))
    if unknown:
        raise UserError("uniform", ", ".join(unknown), f"spaces of the spec: {', '.join(axes)}", "mend the spec")
    return Coupling(
        tuple(Space(name, sizes[name], "unit", tuple(parts), uniform=name in uniform) for name, parts in axes.items())
    )
