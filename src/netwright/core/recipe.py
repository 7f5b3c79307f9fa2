"""Recipes: TOML in, frozen dataclasses out.

    recipe = load(Path("recipes/mnist.toml"), ["train.epochs=3"], SECTIONS)
    recipe["train"].epochs

Each component owns a frozen `Config` dataclass next to its code and receives only that. A section
is either such a dataclass or a table of modules, of which the section's `name` picks one. Keys are
strict: an unknown one stops with the nearest known one. This file knows no section by name.

A field's range stands in its type: `epochs: Annotated[int, Range(1)]`.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import re
import sys
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from netwright.core import table
from netwright.core.error import UserError, did_you_mean

Section = type | table.Table
MAX_BYTES = 1_000_000
"""A recipe is written by a person; a larger file is a mistake, or an attack on the parser."""


@dataclass(frozen=True)
class Range:
    """Bounds of a number, both inclusive."""

    low: float = -math.inf
    high: float = math.inf

    def __str__(self) -> str:
        low, high = f"{self.low:.15g}", f"{self.high:.15g}"
        if self.high == math.inf:
            return f">= {low}"
        return f"<= {high}" if self.low == -math.inf else f"{low} to {high}"


@dataclass(frozen=True)
class Recipe:
    """A parsed recipe: its sections by name, and where it came from."""

    sections: Mapping[str, Any]
    path: Path

    def __getitem__(self, section: str) -> Any:
        return self.sections[section]

    def __contains__(self, section: object) -> bool:
        return section in self.sections

    @property
    def digest(self) -> str:
        """sha256 over what was resolved, so that a comment or a spelled-out default changes nothing."""
        return digest({name: plain(config) for name, config in self.sections.items()})

    def toml(self) -> str:
        """The resolved recipe, every default written out; `load` reads it back to the same digest."""
        return "\n".join(_section_toml(name, plain(config)) for name, config in self.sections.items())


def load(path: Path, overrides: Sequence[str], sections: Mapping[str, Section]) -> Recipe:
    """Read a recipe. Raises UserError for anything that is not as the sections allow."""
    return parse(merged(read_toml(path), overrides, path), sections, path)


def from_words(overrides: Sequence[str], sections: Mapping[str, Section]) -> Recipe:
    """Sections from `section.key=value` words alone, for a verb that reads no recipe."""
    return parse(merged({}, overrides, Path("-")), sections)


def from_environment(environment: Mapping[str, str], sections: Mapping[str, type]) -> list[str]:
    """`section.key=value` words that NETWRIGHT_SECTION_KEY=value says, for every setting that is no table.

    Raises UserError for a name of a section that has no such setting.
    """
    found = []
    for section, config in sections.items():
        prefix = f"NETWRIGHT_{section}_".upper()
        kinds = {one.name: str(one.type) for one in dataclasses.fields(config)}
        tables = {one.name for one in dataclasses.fields(config) if str(one.type).startswith("dict")}
        known = {
            f"{prefix}{one.name.upper()}": one.name for one in dataclasses.fields(config) if one.name not in tables
        }
        for name, value in environment.items():
            if name in known:
                text = kinds[known[name]] == "str"  # as it is, whatever it looks like
                found.append(f"{section}.{known[name]}={_toml(value) if text else value}")
            elif name.startswith(prefix):
                raise UserError("environment", name, did_you_mean(name, known), f"unset {name}")
    return found


def words(texts: Sequence[str], where: str) -> dict[str, Any]:
    """`key=value` words as plain values. Raises UserError, naming the setting `where`, for what is none."""
    found = {}
    for text in texts:
        key, equals, raw = text.partition("=")
        if not (key and equals) or "\n" in text:
            raise UserError(where, text, "key=value", f'{where}=["width=16"]')
        found[key.strip()] = _value(raw.strip())
    return found


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as plain values."""
    try:
        if path.exists() and not path.is_file():
            raise UserError("recipe", str(path), "not a plain file", "ls recipes/")
        if path.stat().st_size > MAX_BYTES:
            raise UserError("recipe", str(path), f"a recipe has at most {MAX_BYTES:,} bytes", "ls recipes/")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError("recipe", str(path), "there is no such file", "ls recipes/") from None
    except OSError as fault:
        raise UserError("recipe", str(path), f"not a readable file ({fault.strerror})", "ls -l") from None
    except (ValueError, RecursionError) as fault:
        raise UserError("recipe", str(path), f"not TOML: {fault}", "mend that line") from None


def parse(values: Mapping[str, Any], sections: Mapping[str, Section], path: Path = Path("-")) -> Recipe:
    """Turn plain values into the sections' dataclasses; a section that is absent takes its defaults."""
    for name, value in values.items():
        if name not in sections:
            raise UserError(name, value, did_you_mean(name, sections), f"mend [{name}] in {path}")
        if not isinstance(value, Mapping):
            raise UserError(name, value, "a section, written [" + name + "]", f"mend {path}")
    parsed = {
        name: build(config_of(section, values.get(name, {}), name), values.get(name, {}), name)
        for name, section in sections.items()
        if name in values or isinstance(section, type)
    }
    return Recipe(parsed, path)


def config_of(section: Section, values: Mapping[str, Any], name: str) -> type:
    """The Config class of a section: itself, or that of the table's entry which `name` picks."""
    if isinstance(section, type):
        return section
    chosen = values.get("name")
    if not isinstance(chosen, str):
        raise UserError(
            f"{name}.name", chosen, f"one of {', '.join(table.names(section))}", f'add name = "..." to [{name}]'
        )
    config: type = table.resolve(section, chosen, f"{name}.name").Config
    return config


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls, include_extras=True)


def build(cls: type, values: Mapping[str, Any], where: str) -> Any:
    """One dataclass from plain values, strictly."""
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key, value in values.items():
        if key not in fields:
            raise UserError(f"{where}.{key}", value, did_you_mean(key, fields), f"mend [{where}] in the recipe")
    kinds = _hints(cls)
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise UserError(f"{where}.{name}", None, _describe(kinds[name]), f"add {name} = ... to [{where}]")
    # a default of 5000 for a float becomes 5000.0 too: else its digest is another than that of the written value
    numbers = {name: field.default for name, field in fields.items() if type(field.default) is int}
    given = {key: _convert(value, kinds[key], f"{where}.{key}") for key, value in {**numbers, **values}.items()}
    try:
        return cls(**given)
    except ValueError as fault:
        raise UserError(where, dict(values), str(fault), f"mend [{where}] in the recipe") from None


def plain(value: Any) -> Any:
    """Dataclasses and tuples as plain dicts and lists, as they stand in JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def digest(value: Any) -> str:
    """sha256 (hex) of a value's canonical JSON."""
    text = json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def merged(values: dict[str, Any], overrides: Sequence[str], path: Path) -> dict[str, Any]:
    """Plain values of a recipe in which `section.key=value` words have replaced some. Raises UserError."""
    for text in overrides:
        key, equals, raw = text.partition("=")
        section, dot, name = key.partition(".")
        if not (equals and dot and section and name) or "\n" in text:
            raise UserError("override", text, "section.key=value", f"netwright train {path} train.epochs=3")
        target = values.setdefault(section, {})
        for part in name.split(".")[:-1]:
            target = target.setdefault(part, {}) if isinstance(target, dict) else target
        if not isinstance(target, dict):
            raise UserError("override", text, f"{section} is no section", f"mend {path}")
        target[name.split(".")[-1]] = _value(raw)
    return values


def _value(raw: str) -> Any:
    """An override's right side: TOML where it is TOML, else the bare text."""
    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except (ValueError, RecursionError):
        return raw


def _convert(value: Any, kind: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        try:
            return _ranged(_convert(value, arguments[0], where), arguments[1], where, kind)
        except UserError as refusal:
            if refusal.setting != where:
                raise
            raise UserError(where, value, f"expected {_describe(kind)}", _mend(where)) from None
    if origin is Literal:
        if value not in arguments or isinstance(value, bool):
            raise UserError(where, value, did_you_mean(str(value), map(str, arguments)), _mend(where))
        return arguments[arguments.index(value)]
    if origin in (types.UnionType, typing.Union):
        return _convert(value, next(part for part in arguments if part is not types.NoneType), where)
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_convert(item, arguments[0], f"{where}[{at}]") for at, item in enumerate(value))
    if origin is dict and isinstance(value, Mapping):
        return {str(key): _convert(item, arguments[1], f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
        return build(typing.cast(type, kind), value, where)
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        if abs(value) <= sys.float_info.max:
            return float(value)
    elif kind is int and type(value) is int:
        if abs(value) < 2**63:
            return value
    elif kind is str and isinstance(value, str):
        if not any("\ud800" <= letter <= "\udfff" for letter in value):  # bytes on the command line that are no text
            return value
    elif kind is bool and isinstance(value, bool):
        return value
    raise UserError(where, value, f"expected {_describe(kind)}", _mend(where))


def _ranged(value: Any, allowed: Range, where: str, kind: Any) -> Any:
    for item in value if isinstance(value, tuple) else (value,):
        if not allowed.low <= item <= allowed.high:
            raise UserError(where, value, f"expected {_describe(kind)}", _mend(where))
    return value


def _mend(where: str) -> str:
    return f"set {where}=... on the command line or in the recipe"


def _describe(kind: Any) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return f"{_describe(arguments[0])} {arguments[1]}"
    if origin is Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin is tuple:
        return f"a list, each {_describe(arguments[0])}"
    if origin in (types.UnionType, typing.Union):
        return _describe(next(part for part in arguments if part is not types.NoneType))
    plain_names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return plain_names.get(kind, "a table")


def _section_toml(name: str, values: Mapping[str, Any]) -> str:
    tables = {key: value for key, value in values.items() if isinstance(value, Mapping)}
    lines = [f"{_key(k)} = {_toml(value)}" for k, value in values.items() if k not in tables and value is not None]
    nested = [_section_toml(f"{name}.{_key(key)}", value) for key, value in tables.items()]
    return "\n".join([f"[{name}]", *lines, "", *nested])


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_toml(item)}" for key, item in value.items() if item is not None) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return str(value)
