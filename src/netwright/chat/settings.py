"""What can be set of a chat in the terminal: a TOML file, then the environment, then a command; the later wins.

    told = gathered(Path("chat.toml"), ["sampling.temperature=0.7"], os.environ)
    told["chat"].model, told["sampling"]

A file has the sections [chat] and [sampling], and may have [safety] (`chat.safety`); NETWRIGHT_CHAT_MODEL and
NETWRIGHT_SAMPLING_TEMPERATURE say the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from netwright.chat.sampling import Sampling
from netwright.core import recipe
from netwright.core.recipe import Range, Recipe


@dataclass(frozen=True, kw_only=True)
class Config:
    """The section [chat]."""

    model: str = ""
    """A run, an artifact, or a name to import; empty: that of the chat, or the default."""
    system: str = ""
    """What the model is told beforehand."""
    threads: Annotated[int, Range(0, 4096)] = 0
    """0: as many as this process may use."""
    precision: str = ""
    """What to compute in; empty: what is stored."""
    device: str = "CPU"
    """Of an OpenVINO export: CPU, GPU, NPU, AUTO, or HETERO:GPU,CPU."""
    history: bool = True
    """Keep what is said."""


SECTIONS = {"chat": Config, "sampling": Sampling}


def gathered(path: Path | None, overrides: Sequence[str], environment: Mapping[str, str]) -> Recipe:
    """The settings of a file, of which the environment replaces some, and `section.key=value` words others."""
    words = recipe.from_environment(environment, SECTIONS)
    values = recipe.read_toml(path) if path else {}
    values.pop("safety", None)  # `chat.safety.rules` reads it
    return recipe.parse(recipe.merged(values, [*words, *overrides], path or Path("-")), SECTIONS)
