"""A Jinja environment for chat templates of strangers: what transformers gives them, and an end to everything.

Chat templates come with models from anywhere. Jinja's sandbox keeps them from Python's insides; here they
are also kept from running for ever and from filling the memory: loops and macros count their steps, every
output its characters, and no operation makes a text of more than `LARGEST` characters. The sandbox of
transformers (5.23) has no such bounds. This file does not know messages.
"""

from __future__ import annotations

import functools
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

STEPS = 200_000
"""Some 10 us each; a chat of 1,000 messages takes a few thousand."""
LARGEST = 1 << 24
"""Characters of an output, and of any one value made on the way: 16 M, some hundred times the longest context."""
WORK = 16 * LARGEST
"""Characters of all values made on the way together."""
NUMBER = 1_000_000
"""The largest whole number that may say how often or how wide."""
SECONDS = 10.0
_TOO_LONG = f"it makes a text or list of more than {LARGEST:,} characters"
_WIDE = re.compile(r"\d{7}")
_NEVER = {"expandtabs", "translate"}
"""Methods that make much of little in a way that is not bounded here; no template has a use for them."""
_local = threading.local()


class _Budget:
    """What one rendering may still spend."""

    def __init__(self) -> None:
        self.steps, self.characters, self.work = STEPS, LARGEST, WORK
        self.ends = time.monotonic() + SECONDS

    def spend(self, steps: int, characters: int, work: int) -> None:
        self.steps -= steps
        self.characters -= characters
        self.work -= work
        if self.characters < 0:
            raise SecurityError(f"it writes more than {LARGEST:,} characters")
        if self.work < 0:
            raise SecurityError(f"it makes texts and lists of more than {WORK:,} characters together")
        if self.steps < 0:
            raise SecurityError(f"it takes more than {STEPS:,} steps")
        if time.monotonic() > self.ends:
            raise SecurityError(f"it takes more than {SECONDS:g} seconds")


@contextmanager
def bounded(mark: tuple[str, str] | None = None) -> Iterator[None]:
    """What is rendered within has one budget; `mark` is written around what stands in a generation tag."""
    held = getattr(_local, "budget", None), getattr(_local, "mark", None)
    _local.budget, _local.mark = _Budget(), mark
    try:
        yield
    finally:
        _local.budget, _local.mark = held


def _spend(steps: int = 0, characters: int = 0, work: int = 0) -> None:
    budget: _Budget | None = getattr(_local, "budget", None)
    if budget is not None:
        budget.spend(steps, characters, work)


def _weight(value: Any) -> int:
    """About the characters that a value would print as. Raises SecurityError beyond the bound."""
    if isinstance(value, (str, bytes)):
        total, inner = len(value), []
    else:
        total, inner = 0, [value]
    while inner:
        one = inner.pop()
        if isinstance(one, (str, bytes)):
            total += len(one)
        elif isinstance(one, (list, tuple, dict)):
            total += 16 * len(one) + 1
            if total <= LARGEST:
                inner.extend(one)
                inner.extend(one.values() if isinstance(one, dict) else ())
        if total > LARGEST:
            break
    if total > LARGEST:
        raise SecurityError(_TOO_LONG)
    return total


def _small(value: Any) -> Any:
    """The value, if it is no text or list beyond the bounds."""
    if isinstance(value, (str, bytes, list, tuple, dict)):
        _spend(work=_weight(value))
    return value


def _times(weight: int, times: int) -> None:
    if weight * times > LARGEST:
        raise SecurityError(_TOO_LONG)


def _modest(values: Any) -> None:
    """Refuse numbers that would make something huge of something small: widths, counts, indents."""
    for value in values:
        if isinstance(value, int) and abs(value) > NUMBER:
            raise SecurityError(f"it uses a number beyond {NUMBER:,} as a size")


class Bounds(Extension):
    """Steps for loops and macros, joined texts that are measured, and the tag `{% generation %}`."""

    tags = {"generation"}  # noqa: RUF012  # as jinja declares it

    def parse(self, parser: Any) -> nodes.Node:
        """The tag: its body is rendered as it is, and marked where someone asks."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("generated"), [], [], body).set_lineno(line)

    def generated(self, caller: Callable[[], str]) -> str:
        """What stands in the tag."""
        mark = getattr(_local, "mark", None)
        return caller() if mark is None else f"{mark[0]}{caller()}{mark[1]}"

    def watched(self, tree: nodes.Template) -> nodes.Template:
        """The parsed template with a step in every loop and macro, and what makes much of little as a call."""
        repeated: list[Any] = list(tree.find_all((nodes.For, nodes.Macro, nodes.CallBlock)))
        for node in repeated:
            literal = sum(len(one.data) for one in node.find_all(nodes.TemplateData))
            node.body.insert(0, nodes.ExprStmt(_inner("step", nodes.Const(literal)), lineno=node.lineno))
        self._replace(tree)
        return tree

    def _replace(self, node: nodes.Node) -> None:
        for name, value in node.iter_fields():
            if isinstance(value, nodes.Node):
                self._replace(value)
                setattr(node, name, self._as_call(value))
            elif isinstance(value, list):
                for one in value:
                    if isinstance(one, nodes.Node):
                        self._replace(one)
                value[:] = [self._as_call(one) for one in value]

    def _as_call(self, node: Any) -> Any:
        if isinstance(node, nodes.Concat):
            return _inner("joined", nodes.List(node.nodes, lineno=node.lineno))
        literal = isinstance(node, (nodes.List, nodes.Dict)) or (isinstance(node, nodes.Tuple) and node.ctx == "load")
        if literal and not all(isinstance(one, nodes.Const) for one in node.iter_child_nodes()):
            return _inner("built", node)
        return node


def _inner(name: str, value: nodes.Expr) -> nodes.Filter:
    """A call of one of the filters below. No template can name them, and unlike calls filters cost little."""
    return nodes.Filter(value, f" {name}", [], [], None, None, lineno=value.lineno)


@jinja2.pass_context  # what is given a context is not done beforehand, when the template is compiled
def _step(_: Any, characters: int) -> str:
    """One round of a loop or one call of a macro, whose literal text is so long."""
    _spend(1, characters)
    return ""


@jinja2.pass_context
def _joined(_: Any, values: list[Any]) -> str:
    """The operator ~."""
    _small(values)
    return "".join(map(str, values))


@jinja2.pass_context
def _built(_: Any, value: Any) -> Any:
    """A list, tuple or dict that the template writes down: those that nest grow exponentially."""
    return _small(value)


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja as transformers sets it up for chat templates, bounded."""

    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[Bounds, loopcontrols], finalize=_written)
        for name in ("urlize", "wordwrap"):  # quadratic, and no template has a use for them
            del self.filters[name]
        self.filters["tojson"] = _tojson
        self.filters = {name: _guarded(name, one) for name, one in self.filters.items()}
        self.filters.update({" step": _step, " joined": _joined, " built": _built})
        del self.globals["lipsum"]
        self.globals.update(
            raise_exception=_raise, strftime_now=_now, dict=_Dict(), namespace=_Names, range=self.globals["range"]
        )

    def _parse(self, source: str, name: Any, filename: Any) -> nodes.Template:
        bounds = self.extensions[Bounds.identifier]
        assert isinstance(bounds, Bounds)
        return bounds.watched(super()._parse(source, name, filename))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """The operators that can make much of little, measured before they are done."""
        if operator == "+" and type(left) is str and type(right) is str:  # nearly all there is
            length = len(left) + len(right)
            if length > LARGEST:
                raise SecurityError(_TOO_LONG)
            _spend(work=length)
            return left + right
        numbers = isinstance(left, int) and isinstance(right, int)
        if numbers and operator in ("*", "**"):
            bits = left.bit_length() * abs(right) if operator == "**" else left.bit_length() + right.bit_length()
            if bits > 4096:
                raise SecurityError("it makes a number of more than a thousand digits")
        elif operator == "+" and not isinstance(left, (int, float)):
            _times(_weight(left) + _weight(right), 1)
        elif operator == "%" and isinstance(left, (str, bytes)):
            _formats(left, right)
        elif operator == "*":
            for one, times in ((left, right), (right, left)):
                if isinstance(times, int):
                    _times(max(1, _weight(one)), times)
        return _small(super().call_binop(context, operator, left, right))

    def call(self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """A call of a method or macro: with no number that says how much, and with a result that is not too long."""
        bound = getattr(getattr(__obj, "__wrapped__", __obj), "__self__", None)  # jinja wraps str.format
        if isinstance(bound, (str, bytes)):
            _modest((*args, *kwargs.values()))
            name = getattr(__obj, "__name__", "")
            if name in _NEVER:
                raise SecurityError(f"it calls {name}, which no chat template needs")
            if name in ("format", "format_map"):
                _formats(bound, [*args, *kwargs.values()])
            elif name == "join" and args:
                args = (_joins(bound, args[0]), *args[1:])
            elif name == "replace" and len(args) >= 2:
                _replaces(bound, args[0], args[1])
        return _small(super().call(__context, __obj, *args, **kwargs))


def _formats(pattern: Any, values: Any) -> None:
    text = pattern if isinstance(pattern, str) else ""
    if _WIDE.search(text):
        raise SecurityError("it formats with a width of millions")
    _modest(values if "*" in text and isinstance(values, (tuple, list)) else ())
    _times(_weight(values) + 20, text.count("%") + text.count("{"))


def _joins(between: Any, parts: Any) -> Any:
    """The parts as a list, if they may be joined."""
    held = list(parts)
    _times(_weight(between) * len(held) + _weight(held), 1)
    return held


def _replaces(text: Any, old: Any, new: Any) -> None:
    if isinstance(text, str) and isinstance(old, str):
        _times(len(text) + (text.count(old) if old else len(text) + 1) * _weight(new), 1)


def _guarded(name: str, function: Any) -> Any:
    """A filter that takes no huge number and gives nothing huge; what jinja reads off the function stays."""
    skipped = int(hasattr(function, "jinja_pass_arg"))  # such a filter is given a context first

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        value, given = args[skipped], (*args[skipped + 1 :], *kwargs.values())
        _modest(given)
        if name == "replace" and len(given) >= 2:
            _replaces(str(value), given[0], given[1])
        elif name == "join":
            between = next((one for one in given if isinstance(one, str)), "")
            args = (*args[:skipped], _joins(between, value), *args[skipped + 1 :])
        elif name == "format":
            _formats(value, list(given))
        elif name in ("indent", "tojson"):
            widths = [one for one in given if isinstance(one, (int, str)) and not isinstance(one, bool)]
            lines = str(value).count("\n") + 1 if name == "indent" else _weight(value) // 4 + 1
            for one in widths:
                _times(one if isinstance(one, int) else len(one), lines)
        return _small(function(*args, **kwargs))

    return guarded


def _written(value: Any) -> Any:
    """Every value that is put out, counted."""
    if type(value) is str:
        _spend(0, len(value))
    elif not isinstance(value, (bool, int, float)):
        _spend(0, _weight(value))
    return value


def _tojson(
    x: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    """Plain JSON: jinja's own escapes HTML, which no model has seen."""
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise(message: object) -> None:
    raise jinja2.TemplateError(str(message))


def _now(format: str) -> str:
    _formats(format, ())
    return datetime.now().strftime(format)


class _Dict:
    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class _Names(Namespace):
    """Jinja's namespace, without names that begin with an underscore."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # so that a name may be "self", as in jinja's
        own, given = args[0], dict(*args[1:], **kwargs)
        for name in given:
            _named(name)
        Namespace.__init__(own, given)

    def __repr__(self) -> str:
        return "<Namespace>"  # jinja's shows what is inside, which may be itself

    def __setitem__(self, name: str, value: Any) -> None:
        _named(name)
        super().__setitem__(name, value)


def _named(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"it sets the name {name[:40]!r}, and names may not begin with an underscore")
