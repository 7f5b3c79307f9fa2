"""Text to token ids and back, for language models: one file of the `tokenizers` library, its template and stop tokens.

    tokenizer = Tokenizer.read(artifact.folder, artifact.processor)
    ids = tokenizer.encode("Once upon a time")
    text = tokenizer.decode(ids)

It is all that a deployment needs to turn text into a model's inputs, and travels with every export. This file does not
know where tokenizers come from (`models.imports`), nor what a conversation looks like (`data.template`).
"""

from __future__ import annotations

import hashlib
import json as _json
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from netwright.core import artifact
from netwright.core.error import UserError
from netwright.core.table import need

FILE, TEMPLATE = "tokenizer.json", "chat_template.jinja"
LARGEST = 100_000_000
"""Bytes of a tokenizer's file; the largest in use have 30 MB."""


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer as the `tokenizers` library writes it, `json`; special tokens by role; ids that end a reply."""

    json: str = field(repr=False)
    special: Mapping[str, str] = field(default_factory=dict)
    """Role (bos_token, eos_token, pad_token, unk_token) -> token."""
    stop: tuple[int, ...] = ()
    template: str = field(default="", repr=False)
    begins: bool = False
    """Whether a text begins with bos_token."""

    @cached_property
    def _inner(self) -> Any:
        need("tokenizers", "language models")
        import tokenizers

        try:
            inner = tokenizers.Tokenizer.from_str(self.json)
        except Exception as fault:  # the library raises nothing more special
            raise UserError("tokenizer", FILE, f"not a tokenizer: {fault}", "import the model again") from None
        inner.no_padding()
        inner.no_truncation()
        return inner

    def __len__(self) -> int:
        """One more than the largest id."""
        return 1 + max(self._inner.get_vocab(with_added_tokens=True).values(), default=-1)

    @cached_property
    def digest(self) -> str:
        """sha256 of what determines ids."""
        return hashlib.sha256(f"{self.begins}{sorted(self.special.items())}{self.json}".encode()).hexdigest()

    def encode(self, text: str, begin: bool | None = None) -> list[int]:
        """Ids of a text. Special tokens that stand in it count as such; `begin` puts bos_token before, or not."""
        ids: list[int] = self._inner.encode(text, add_special_tokens=False).ids
        return [*self.beginning(begin), *ids]

    def beginning(self, begin: bool | None = None) -> list[int]:
        """What a text begins with: bos_token or nothing."""
        first = self.id(self.special.get("bos_token", ""))
        return [first] if (self.begins if begin is None else begin) and first is not None else []

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of many texts, without a beginning."""
        return [one.ids for one in self._inner.encode_batch_fast(list(texts), add_special_tokens=False)]

    def encode_with_places(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids of a text, and from which to which character each of them stands."""
        found = self._inner.encode(text, add_special_tokens=False)
        return found.ids, found.offsets

    def literal(self, text: str) -> list[int]:
        """Ids of a text from outside: what looks like a special token is read as plain text."""
        inner = self._plain
        return inner.encode(text, add_special_tokens=False).ids  # type: ignore[no-any-return]

    def literal_with_places(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """As `literal`, and from which to which character each of them stands."""
        found = self._plain.encode(text, add_special_tokens=False)
        return found.ids, found.offsets

    @cached_property
    def _plain(self) -> Any:
        import tokenizers

        inner = tokenizers.Tokenizer.from_str(self.json)
        inner.encode_special_tokens = True
        return inner

    def decode(self, ids: Iterable[int], special: bool = False) -> str:
        """Text of ids; special tokens are left out unless `special`."""
        return self._inner.decode(list(ids), skip_special_tokens=not special)  # type: ignore[no-any-return]

    def id(self, token: str) -> int | None:
        """The id of a token, or None where there is no such token."""
        return self._inner.token_to_id(token) if token else None

    def token(self, at: int) -> str:
        """The token of an id, as the vocabulary writes it."""
        return self._inner.id_to_token(at) or ""

    @cached_property
    def spellings(self) -> Sequence[bytes | None]:
        """Of each id the bytes that it adds to a text; None for special tokens, and where nobody can tell."""
        told = _json.loads(self.json)
        special = {one["id"] for one in told.get("added_tokens", []) if one.get("special")}
        kinds = set(_kinds(told.get("decoder")))
        found: list[bytes | None] = [None] * len(self)
        for token, at in self._inner.get_vocab(with_added_tokens=True).items():
            if at not in special:
                found[at] = _spelt(token, kinds)
        for one in told.get("added_tokens", []):
            if one["id"] not in special:  # it stands in texts as it is written here
                found[one["id"]] = one["content"].encode()
        return found

    @cached_property
    def longest_spelling(self) -> int:
        """Bytes that a token says at most; 0 where nobody can tell."""
        return max((len(one) for one in self.spellings if one), default=0)

    def description(self) -> dict[str, Any]:
        """What a manifest says of it."""
        told = {"kind": "tokens", "tokenizer": FILE, "special": dict(self.special), "stop": list(self.stop)}
        return {**told, "begins": self.begins, **({"template": TEMPLATE} if self.template else {})}

    def write(self, folder: Path) -> None:
        """Write the tokenizer's file, and the template's."""
        artifact.replace_file(folder / FILE, lambda draft: draft.write_text(self.json, encoding="utf-8"))
        if self.template:
            artifact.replace_file(folder / TEMPLATE, lambda draft: draft.write_text(self.template, encoding="utf-8"))

    @classmethod
    def read(cls, folder: Path, description: Mapping[str, Any]) -> Tokenizer:
        """The tokenizer of an artifact's folder and its manifest's `processor`. Raises UserError when it is none."""
        special, stop = description.get("special"), description.get("stop")
        fine = description.get("kind") == "tokens" and isinstance(special, Mapping) and isinstance(stop, list)
        if not fine or description.get("tokenizer") != FILE or description.get("template", TEMPLATE) != TEMPLATE:
            raise UserError("processor", dict(description), "does not describe a tokenizer", "import the model again")
        template = _text(folder / TEMPLATE) if "template" in description else ""
        begins = bool(description.get("begins"))
        ids = tuple(one for one in stop or () if type(one) is int)
        return cls(_text(folder / FILE), dict(special or {}), ids, template, begins)


def _kinds(decoder: Any) -> Iterable[str]:
    """What a decoder of the `tokenizers` library consists of."""
    if isinstance(decoder, Mapping):
        yield str(decoder.get("type"))
        for one in decoder.get("decoders", ()):
            yield from _kinds(one)


@cache
def _letters() -> Mapping[str, int]:
    """The letters that byte-level BPE writes for bytes (Radford et al. 2019)."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [at for at in range(256) if at not in shown]
    return {chr(at): at for at in shown} | {chr(256 + n): at for n, at in enumerate(others)}


def _spelt(token: str, kinds: Set[str]) -> bytes | None:
    """The bytes of a token, as byte-level BPE or SentencePiece writes it."""
    if "ByteLevel" in kinds:
        found = [_letters().get(letter) for letter in token]
        return bytes(at for at in found if at is not None) if None not in found else None
    if "ByteFallback" in kinds and re.fullmatch("<0x[0-9A-F]{2}>", token):
        return bytes([int(token[3:5], 16)])
    return token.replace("\u2581", " ").encode() if kinds & {"Metaspace", "Replace"} else None


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST:
            raise UserError("file", str(path), "larger than a tokenizer may be", "import the model again")
        return path.read_bytes().decode("utf-8")  # as it stands: a template may hold carriage returns
    except (OSError, UnicodeDecodeError) as fault:
        raise UserError("file", str(path), f"no tokenizer: {fault}", "import the model again") from None


class Stream:
    """Tokens of a reply, one by one, to text that is whole: no half of a character is ever shown."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._read = self._shown = 0

    def push(self, at: int) -> str:
        """The text that this token completes; empty while a character is not whole."""
        self._ids.append(at)
        before = self._tokenizer.decode(self._ids[self._read : self._shown])
        text = self._tokenizer.decode(self._ids[self._read :])
        if len(text) <= len(before) or text.endswith("\ufffd"):
            return ""
        self._read, self._shown = self._shown, len(self._ids)
        return text[len(before) :]

    def end(self) -> str:
        """What is left when no more tokens come: a broken character as U+FFFD."""
        before = self._tokenizer.decode(self._ids[self._read : self._shown])
        text = self._tokenizer.decode(self._ids[self._read :])
        self._read = self._shown = len(self._ids)
        return text[len(before) :]
