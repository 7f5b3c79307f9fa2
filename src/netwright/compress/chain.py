"""A chain of methods, written in one line: "prune keep=0.5 > qat to=int4".

    steps = parse("prune keep=0.5 > int8", {"prune": {"epochs": 2}})
    written(steps)      # the same line, with what differs from the defaults

A step is a method and its settings; short names stand for the usual ones (`SHORT`). Knows no artifact.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from netwright.compress import METHODS, quantize
from netwright.core import recipe, table
from netwright.core.error import UserError, did_you_mean

SHORT = {
    "int8": ("quantize", "to=int8"),
    "int8-dynamic": ("quantize", "to=int8-dynamic"),
    "int8-weights": ("quantize", "to=int8-weights"),
    "int4-weights": ("quantize", "to=int4-weights"),
    "int4": ("quantize", "to=int4"),
    "bf16": ("quantize", "to=bf16"),
    "fp16": ("quantize", "to=fp16"),
}
"""Short name -> method and settings."""
BETWEEN = ">"
GROUP = "netwright.methods"


def parse(text: str, base: Mapping[str, Any] | None = None, where: str = "compress") -> tuple[Any, ...]:
    """The steps' settings, in order. `base` has settings a method begins with, `{"prune": {"epochs": 2}}`.

    Raises UserError for an unknown method or setting, and for steps after one whose result is no network of torch.
    """
    steps = []
    for part in text.split(BETWEEN):
        name, *words = part.split() or [""]
        method, *own = SHORT.get(name, (name,))
        known = [*table.names(METHODS, GROUP), *SHORT]
        if method not in known:
            raise UserError(where, text, did_you_mean(method, known), f'{where}="prune keep=0.5 > int8"')
        module = table.resolve(METHODS, method, where, GROUP)
        values = {**dict(base or {}).get(method, {}), **recipe.words([*own, *words], where), "name": method}
        steps.append(recipe.build(module.Config, values, method))
    for step in steps[:-1]:
        if not makes_torch(step):
            raise UserError(where, text, f"{written([step])} comes last: it makes a file, not a network",
                            f'{where}="{written([s for s in steps if s is not step] + [step])}"')  # fmt: skip
    return tuple(steps)


def makes_torch(step: Any) -> bool:
    """Whether what a step makes is a network of torch again, which any format is written of."""
    module = table.resolve(METHODS, step.name, "compress.name", GROUP)
    return bool(module.on_torch(step)) if hasattr(module, "on_torch") else True


def written_in(steps: Sequence[Any], format: str) -> list[Any]:
    """The steps as they are for a format: who quantizes depends on it."""
    return [dataclasses.replace(one, format=format) if one.name == "quantize" and format else one for one in steps]


def possible(steps: Sequence[Any], format: str) -> bool:
    """Whether somebody makes the last step for this format; what torch runs takes networks alone."""
    last = written_in(steps[-1:], format if format != "program" else "")
    if not last or makes_torch(last[0]):
        return True
    try:
        return format != "program" and bool(quantize.engine(last[0], format))
    except UserError:
        return False


def written(steps: Sequence[Any]) -> str:
    """A chain in one line, defaults left out."""
    return f" {BETWEEN} ".join(map(_step, steps))


def _step(step: Any) -> str:
    words = {
        field.name: getattr(step, field.name)
        for field in dataclasses.fields(step)
        if field.name not in ("name", "format", "samples", "examples", "threads", "seed")
        and getattr(step, field.name) != field.default
    }
    if step.name == "quantize":
        return " ".join([step.to, *(_word(key, value) for key, value in words.items() if key != "to")])
    return " ".join([step.name, *(_word(key, value) for key, value in words.items())])


def _word(key: str, value: Any) -> str:
    if isinstance(value, tuple):
        value = "[" + ",".join(f'"{item}"' for item in value) + "]"
    return f"{key}={str(value).lower() if isinstance(value, bool) else value}"
