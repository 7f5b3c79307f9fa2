"""Vocabularies of other formats as a file of the `tokenizers` library: GPT-2's two files, GGUF's lists, llama2.c's.

Byte-level vocabularies (Radford et al. 2019) split a text by a pattern before they merge; which pattern is not in the
vocabulary, but known by a name. SentencePiece's (Kudo and Richardson 2018, arXiv:1808.06226) have scores instead of
merges: pieces are merged in the order of their scores.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from netwright.core.error import UserError

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
_DIGITS = {"type": "Digits", "individual_digits": True}
SPLITS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "gpt-2": (_BYTES,),
    "default": (_BYTES,),
    "smollm": (_DIGITS, _BYTES),
    "llama-bpe": (
        {"type": "Split", "pattern": {"Regex": LLAMA3}, "behavior": "Isolated", "invert": False},
        {**_BYTES, "use_regex": False},
    ),
    "qwen2": (
        {"type": "Split", "pattern": {"Regex": QWEN2}, "behavior": "Isolated", "invert": False},
        {**_BYTES, "use_regex": False},
    ),
}
"""GGUF's name of a pattern (tokenizer.ggml.pre) -> the library's pre-tokenizers."""
CONTROL, USER = 3, 4
"""GGUF's types of tokens that stand whole in a text; the former are no text."""
UNUSED = 5
"""GGUF's type of an id that stands for no token, where a network has more ids than its tokenizer."""


def of_gpt2(folder: Path) -> str:
    """vocab.json and merges.txt (or encoder.json and vocab.bpe, as OpenAI called them)."""
    for vocabulary, merges in (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")):
        if (folder / vocabulary).is_file() and (folder / merges).is_file():
            ids = json.loads((folder / vocabulary).read_text(encoding="utf-8"))
            lines = (folder / merges).read_text(encoding="utf-8").split("\n")
            pairs = [line.split(" ") for line in lines if line and not line.startswith("#version")]
            special = {"<|endoftext|>": CONTROL} if "<|endoftext|>" in ids else {}
            return byte_level(ids, pairs, special, "gpt-2")
    raise UserError("model", str(folder), "it has no tokenizer.json", "fetch it again, with its tokenizer")


def byte_level(ids: Mapping[str, int], merges: Sequence[Sequence[str]], special: Mapping[str, int], split: str) -> str:
    """A byte-level vocabulary. Raises UserError for a pattern that is not known."""
    if split not in SPLITS:
        raise UserError("tokenizer", split, f"patterns known are {', '.join(SPLITS)}", "import a safetensors folder")
    parts = [dict(one) for one in SPLITS[split]]
    return _written(
        ids,
        merges,
        special,
        pre_tokenizer=parts[0] if len(parts) == 1 else {"type": "Sequence", "pretokenizers": parts},
        decoder={"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    )


def sentencepiece(
    pieces: Sequence[str], scores: Sequence[float], special: Mapping[str, int], unknown: str, prefix: bool = True
) -> str:
    """A vocabulary of pieces and scores; `prefix` puts a space before every text."""
    ids = {piece: at for at, piece in enumerate(pieces)}
    found: list[tuple[float, int, int, str, str]] = []
    for piece, score in zip(pieces, scores, strict=True):
        if piece in special:
            continue
        for cut in range(1, len(piece)):
            left, right = piece[:cut], piece[cut:]
            if left in ids and right in ids:
                found.append((-score, ids[left], ids[right], left, right))
    space = [{"type": "Prepend", "prepend": "\u2581"}] if prefix else []
    strip = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if prefix else []
    replaced = {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}
    return _written(
        ids,
        [one[3:] for one in sorted(found)],
        special,
        normalizer={
            "type": "Sequence",
            "normalizers": [*space, {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}],
        },
        decoder={"type": "Sequence", "decoders": [replaced, {"type": "ByteFallback"}, {"type": "Fuse"}, *strip]},
        unknown=unknown,
        fallback=True,
    )


def _written(
    ids: Mapping[str, int],
    merges: Sequence[Sequence[str]],
    special: Mapping[str, int],
    *,
    normalizer: Any = None,
    pre_tokenizer: Any = None,
    decoder: Any = None,
    unknown: str | None = None,
    fallback: bool = False,
) -> str:
    added = [
        {
            "id": ids[token], "content": token, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": kind == CONTROL,
        }
        for token, kind in sorted(special.items(), key=lambda item: ids[item[0]])
    ]  # fmt: skip
    model = {
        "type": "BPE", "dropout": None, "unk_token": unknown, "continuing_subword_prefix": None,
        "end_of_word_suffix": None, "fuse_unk": fallback, "byte_fallback": fallback, "ignore_merges": False,
        "vocab": dict(ids), "merges": [list(pair) for pair in merges],
    }  # fmt: skip
    whole = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer, "post_processor": None, "decoder": decoder, "model": model,
    }  # fmt: skip
    return json.dumps(whole, ensure_ascii=False)
