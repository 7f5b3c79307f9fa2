"""Names of devices: what two spellings have in common.

    key("NVIDIA A100-SXM4-80GB (400W)") == key("A100 SXM 80 GB") == "a100sxm80gb"

A key drops what says nothing about which device it is: the maker, marketing words, the kind of memory,
a power limit. Board, memory size and every other word stay, so a "MIG" slice, a "Max-Q" or a "Laptop"
never gets the key of the full card. This file knows no device.
"""

from __future__ import annotations

import re

MAKERS = ("nvidia", "amd", "ati", "intel", "google", "huawei", "amazon", "aws", "habana", "qualcomm", "apple")
_NOISE = {*MAKERS, "tesla", "geforce", "gpu", "graphics", "accelerator", "processor", "corporation"}
_NOISE |= {"card", "generation", "tensor", "core"}
_REPLACE = (
    (r"\((?:r|tm)\)|[®™©]", " "),
    (r"\b(\d+)\s*gi?b\b", r"\1gb"),
    (r"\b(?:radeon\s+)?instinct\b|\bradeon(?=\s+rx\b)", " "),
    (r"\b(?:hbm|gddr|lpddr)\d*[a-z]*\b", " "),
    (r"\bsxm\d?\b", "sxm"),
    (r"\bpci(?:-?e(?:xpress)?)?\b", "pcie"),
    (r"\b\d{2,4}\s?w\b", " "),
    (r"\b(?:nps\d|spx)\b", " "),
    (r"\bmobile\b|\bnotebook\b", "laptop"),
)
_MEMORY = re.compile(r"(?<![0-9])(\d+)gb")


def plain(name: str) -> str:
    """Lower-case letters and digits alone."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def words(name: str) -> tuple[str, ...]:
    """The words that tell devices apart, in their order: ("a100", "sxm", "80gb")."""
    text = re.sub(r"[_\-/,;:]", " ", name.lower())
    for pattern, by in _REPLACE:
        text = re.sub(pattern, by, text)
    found = re.findall(r"[a-z0-9]+(?:\.\d+)?", text)
    return tuple(word for word in found if word not in _NOISE) or tuple(found)


def key(name: str) -> str:
    """What spellings of one device have in common; the plain name where no word is left."""
    return "".join(words(name)).replace(".", "")


def without_memory(key: str) -> tuple[str, float | None]:
    """A key without its memory size, and that size in B: ("a100sxm", 8e10)."""
    found = _MEMORY.findall(key)
    return (_MEMORY.sub("", key), float(found[0]) * 1e9) if len(found) == 1 else (key, None)


def same_memory(stated: float, named: float) -> bool:
    """Whether a memory in B may be called that: makers write GB for 10^9 and for 2^30, which is 7.4 % more."""
    return 0.97 <= stated / named <= 1.08


def full(manufacturer: str, name: str) -> str:
    """A name with its maker in front, once."""
    return name if plain(name).startswith(plain(manufacturer)) else f"{manufacturer} {name}"


def device_key(manufacturer: str, name: str) -> str:
    """The key of a device among those of all makers: "nvidia:a100sxm80gb"."""
    return f"{plain(manufacturer)}:{key(name)}"
