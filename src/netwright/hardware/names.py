"""Names of devices: what two spellings have in common.

    key("NVIDIA A100-SXM4-80GB (400W)") == key("A100 80GB SXM") == "a10080gbsxm"

A key drops what says nothing about which device it is: the maker, marketing words, the kind of memory,
a power limit. Board, memory size and every other word stay, so a "MIG" slice, a "Max-Q" or a "Laptop"
never gets the key of the full card. This file knows no device.
"""

from __future__ import annotations

import functools
import re

MAKERS = ("nvidia", "amd", "ati", "intel", "google", "huawei", "amazon", "aws", "habana", "qualcomm", "apple")
_NOISE = {*MAKERS, "tesla", "geforce", "gpu", "graphics", "accelerator", "processor", "corporation"}
_NOISE |= {"card", "generation", "tensor", "core"}
_REPLACE = (
    (r"\((?:r|tm)\)|[®™©]", " "),
    (r"\b(\d+)\s*gi?b\b", r"\1gb"),
    (r"\b(\d+)\s*mi?b\b", r"\1mb"),
    (r"\b(rtx|gtx|gts|gt|rx|hd|vega)(?=\d)", r"\1 "),
    (r"\b(\w+) \1\b", r"\1"),
    (r"\bwith max q design\b", "max q"),
    (r"\b(?:radeon\s+)?instinct\b|\bradeon(?=\s+rx\b)", " "),
    (r"\bhbm\d*[a-z]*\b", " "),
    (r"\bsxm[24-6]?\b", "sxm"),  # SXM3 is another V100 than SXM2
    (r"\bpc(?:i|l|ie|le|i-e|i express)\b", "pcie"),  # Epoch AI writes PCle, with an l
    (r"\b\d{2,4}\s?w\b", " "),
    (r"\b(?:nps\d|spx)\b", " "),
    (r"\bmobile\b|\bnotebook\b", "laptop"),
)
_BOARD = re.compile(r"sxm|pcie|oam|nvl|\d+gb")
_MEMORY = re.compile(r"\d+gb")


def plain(name: str) -> str:
    """Lower-case letters and digits alone."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


@functools.lru_cache(maxsize=1000)  # a table of results names few devices in many rows
def words(name: str) -> tuple[str, ...]:
    """The words that tell devices apart, board and memory last: ("a100", "80gb", "sxm")."""
    text = re.sub(r"[_\-/,;:]", " ", name.lower())
    for pattern, by in _REPLACE:
        text = re.sub(pattern, by, text)
    found = re.findall(r"[a-z0-9]+(?:\.\d+)?", text)
    kept = [word for word in found if word not in _NOISE] or found
    board = sorted(word for word in kept if _BOARD.fullmatch(word))
    return (*(word for word in kept if not _BOARD.fullmatch(word)), *board)


def key(name: str) -> str:
    """What spellings of one device have in common; the plain name where no word is left."""
    return "".join(words(name)).replace(".", "")


def without_memory(name: str) -> tuple[str, float | None]:
    """A name's key without its memory size, and that size in B: ("a100sxm", 8e10)."""
    found = words(name)
    sizes = [word for word in found if _MEMORY.fullmatch(word)]
    if len(sizes) != 1:
        return "".join(found).replace(".", ""), None
    return "".join(word for word in found if word != sizes[0]).replace(".", ""), float(sizes[0][:-2]) * 1e9


def same_memory(stated: float, named: float) -> bool:
    """Whether a memory in B may be called that: makers write GB for 10^9 and for 2^30, which is 7.4 % more."""
    return 0.97 <= stated / named <= 1.08


def full(manufacturer: str, name: str) -> str:
    """A name with its maker in front, once."""
    return name if plain(manufacturer) in plain(name) else f"{manufacturer} {name}"


def device_key(manufacturer: str, name: str) -> str:
    """The key of a device among those of all makers: "nvidia:a10080gbsxm". ATI is AMD's since 2006."""
    maker = plain(manufacturer)
    return f"{'amd' if maker == 'ati' else maker}:{key(name)}"
