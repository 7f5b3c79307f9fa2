"""Networks with other sizes than their settings say, as pruning leaves them: written down, and built again.

    model_section["resized"] = difference(model, smaller)
    resize(model, model_section["resized"])

What differs are shapes of tensors and the numbers that modules keep in attributes (`out_features`, a count of heads).
Does not know why a network was made smaller.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from netwright.core.error import UserError

KEY = "resized"
"""Of an artifact's model section."""


def difference(model: nn.Module, smaller: nn.Module) -> dict[str, Any]:
    """How `smaller`, a copy of `model` with smaller tensors and fewer layers, differs: plain data for a manifest."""
    old, new = dict(_tensors(model)), dict(_tensors(smaller))
    tensors = {name: list(x.shape) for name, x in new.items() if x.shape != old[name].shape}
    attributes = {}
    skipped = [name for name, module in smaller.named_modules() if isinstance(module, Skip)]
    for name, module in smaller.named_modules():
        if name in skipped:
            continue
        before, after = _numbers(model.get_submodule(name)), _numbers(module)
        changed = {key: _plain(value) for key, value in after.items() if value != before.get(key)}
        if changed:
            attributes[name] = changed
    return {"tensors": tensors, "attributes": attributes, **({"skipped": skipped} if skipped else {})}


def resize(model: nn.Module, stated: Any) -> None:
    """Give a network on the meta device the sizes that `difference` wrote down.

    The statement may come from anywhere: UserError for all but smaller tensors and smaller numbers of what is there.
    """
    if not isinstance(stated, Mapping) or stated.keys() - {"skipped"} != {"tensors", "attributes"}:
        raise _refused("no tensors and attributes")
    skip(model, stated.get("skipped", []))
    tensors, attributes = stated["tensors"], stated["attributes"]
    if not isinstance(tensors, Mapping) or not isinstance(attributes, Mapping):
        raise _refused("no tensors and attributes by name")
    known, modules = dict(_tensors(model)), dict(model.named_modules())
    for name, shape in tensors.items():
        if name not in known or not _smaller(shape, list(known[name].shape)):
            raise _refused(f"tensor {name}: {shape}")
        module, _, leaf = name.rpartition(".")
        owner, value = modules[module], known[name]
        small = torch.empty(shape, dtype=value.dtype, device=value.device)
        if isinstance(value, nn.Parameter):
            owner.register_parameter(leaf, nn.Parameter(small, value.requires_grad))
        else:
            owner.register_buffer(leaf, small, leaf not in owner._non_persistent_buffers_set)
    for name, numbers in attributes.items():
        own = _numbers(modules[name]) if name in modules else {}
        if not isinstance(numbers, Mapping):
            raise _refused(f"attributes of {name}")
        for key, value in numbers.items():
            alone = isinstance(own.get(key), int)
            if key not in own or not _smaller([value] if alone else value, _listed(own[key])):
                raise _refused(f"attribute {name}.{key}: {value}")
            setattr(modules[name], key, value if alone else tuple(value))


class Skip(nn.Module):
    """In the place of a layer that is gone: hands on what it is given."""

    def forward(self, x: torch.Tensor, *rest: Any, **more: Any) -> torch.Tensor:
        """The first argument."""
        return x


def skip(model: nn.Module, names: Any) -> None:
    """Take out these layers of the network's lists, in place."""
    if not isinstance(names, (list, tuple)):
        raise _refused("layers that are skipped")
    for name in names:
        owner, _, leaf = str(name).rpartition(".")
        lists = {at: m for at, m in model.named_modules() if isinstance(m, (nn.Sequential, nn.ModuleList))}
        if owner not in lists or leaf not in dict(lists[owner].named_children()):
            raise _refused(f"layer {name}")
        setattr(lists[owner], leaf, Skip())


def _tensors(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _numbers(module: nn.Module) -> dict[str, int | tuple[int, ...]]:
    """Whole numbers that a module keeps, alone or as a shape."""
    return {
        key: value
        for key, value in vars(module).items()
        if type(value) is int or (type(value) is tuple and value and all(type(each) is int for each in value))
    }


def _plain(value: int | tuple[int, ...]) -> int | list[int]:
    return value if isinstance(value, int) else list(value)


def _listed(value: int | tuple[int, ...]) -> list[int]:
    return [value] if isinstance(value, int) else list(value)


def _smaller(found: Any, known: list[int]) -> bool:
    """Whether these are as many whole numbers from 1 up to those."""
    if not isinstance(found, (list, tuple)) or len(found) != len(known):
        return False
    return all(type(a) is int and 0 < a <= b for a, b in zip(found, known, strict=True)) and math.prod(found) > 0


def _refused(what: str) -> UserError:
    return UserError(
        "model.resized", what, "smaller sizes of the network's own tensors and attributes", "make it again"
    )
