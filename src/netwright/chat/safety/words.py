"""Words and phrases of lists, found however they are spelt, in linear time.

    filter = open(Config(lists=("english", "mine.txt")))
    filter.check("What the f.u.c.k, sh1t!")

A word counts only as a whole: "Scunthorpe" is none. An entry has one word or several; a star at either end of a word
stands for any letters. Case, marks, look-alikes of other alphabets, invisible characters, digits and signs for
letters, letters drawn out or set apart make no difference. There are no other patterns, so that no list of an owner
can make a text slow to read. A scan holds back the word, or the beginning of a phrase, that is under way: up to
64 characters that can be seen.
"""

from __future__ import annotations

import importlib.resources
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from netwright.chat.safety.finding import Action, Finding, Where, whole
from netwright.core import recipe
from netwright.core.error import UserError, did_you_mean
from netwright.core.recipe import Range
from netwright.data.text.folding import fold, letter

LONGEST = 64
"""Visible characters that may be under way."""
UNSEEN = 1024
"""Characters that may be under way, invisible ones and marks as well."""
ENTRY = 48
"""Characters of an entry, at most."""
GAP = 3
"""Characters that may stand between two words of a phrase."""
ACTIVE = 64
"""Phrases under way at once."""
SHIPPED = ("english", "injection")
PLAIN, SPELT = 1.0, 0.9
"""Scores of a word as it stands in the list, and of one that was spelt in another way."""
_SIGNS = "@$!|€"
_LETTERS = {"0": "o", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "9": "g", "@": "a", "$": "s", "€": "e"}
_I_OR_L = ({**_LETTERS, "1": "i", "!": "i", "|": "i"}, {**_LETTERS, "1": "l", "!": "l", "|": "l"})
_DRAWN_OUT = re.compile(r"(.)\1{2,}")


@dataclass(frozen=True, kw_only=True)
class Config:
    """[safety.words]: which lists, and what is done about their words."""

    action: Action = "mask"
    where: Where = "both"
    threshold: Annotated[float, Range(0, 1)] = 0.5
    """The least score; 1: words only as they stand in the list."""
    lists: tuple[str, ...] = ("english",)
    """Lists that ship (english; injection: sentences that lift instructions), or files: .txt with an entry a line,
    .toml with [kind] words = [...]."""
    words: tuple[str, ...] = ()
    """More entries."""
    allow: tuple[str, ...] = ()
    """Entries that count as nothing, whatever a list says."""


@dataclass
class _Node:
    """What words may follow, and the kind of the entry that ends here."""

    kind: str = ""
    next: dict[str, _Node] = field(default_factory=dict)
    starts: dict[str, _Node] = field(default_factory=dict)
    ends: dict[str, _Node] = field(default_factory=dict)
    within: dict[str, _Node] = field(default_factory=dict)
    lengths: tuple[set[int], set[int], set[int]] = field(default_factory=lambda: (set(), set(), set()))

    def add(self, word: str) -> _Node:
        bare = word.strip("*")
        begins, ends = word.startswith("*"), word.endswith("*")
        table, of = (
            (self.within, 2)
            if begins and ends
            else (self.ends, 1)
            if begins
            else (self.starts, 0)
            if ends
            else (None, 0)
        )
        if table is None:
            return self.next.setdefault(bare, _Node())
        self.lengths[of].add(len(bare))
        return table.setdefault(bare, _Node())

    def after(self, word: str) -> Iterator[_Node]:
        if word in self.next:
            yield self.next[word]
        starts, ends, within = self.lengths
        yield from (self.starts[word[:n]] for n in starts if word[:n] in self.starts)
        yield from (self.ends[word[-n:]] for n in ends if word[-n:] in self.ends)
        for n in within:
            parts = {word[at : at + n] for at in range(len(word) - n + 1)}
            yield from (self.within[part] for part in sorted(parts) if part in self.within)


class Words:
    """A `Filter` over entries by their kind."""

    name = "words"

    def __init__(self, entries: Iterable[tuple[str, str]], allow: Iterable[str] = ()) -> None:
        self.root = _Node()
        self.allowed = {tuple(_split(one)) for one in allow}
        self.size = 0
        for kind, entry in entries:
            said = _split(entry)
            if (
                not said
                or sum(map(len, said)) + len(said) > ENTRY
                or any(word.strip("*").count("*") or word == "*" for word in said)
            ):
                raise UserError(
                    "safety.words",
                    entry,
                    f"words of at most {ENTRY} characters together, stars at their ends",
                    "mend it",
                )
            if tuple(said) in self.allowed:
                continue
            node = self.root
            for word in said:
                node = node.add(word)
            node.kind = node.kind or kind
            self.size += 1

    def check(self, text: str) -> list[Finding]:
        """Every entry in the text."""
        return whole(self.scan(), text)

    def scan(self) -> _Scan:
        """A look at a text that grows."""
        return _Scan(self.root)


def open(config: Config, folder: Path = Path()) -> Words:
    """The filter of a config; files of lists are looked for in `folder`. Raises UserError for what is no list."""
    listed = [entry for name in config.lists for entry in read(name, folder)]
    return Words([*listed, *(("word", one) for one in config.words)], config.allow)


def read(name: str, folder: Path = Path()) -> list[tuple[str, str]]:
    """(kind, entry) of a list that ships, or of a file."""
    if name in SHIPPED:
        told = importlib.resources.files("netwright.chat.safety").joinpath(f"lists/{name}.toml").read_text("utf-8")
        return _kinds(tomllib.loads(told), name)
    path = folder / name
    if path.suffix not in (".txt", ".toml"):
        raise UserError("safety.words.lists", name, did_you_mean(name, SHIPPED) + ", FILE.txt or FILE.toml", "mend it")
    if path.suffix == ".toml":
        return _kinds(recipe.read_toml(path), name)
    try:
        if path.stat().st_size > recipe.MAX_BYTES:
            raise UserError("safety.words.lists", name, f"at most {recipe.MAX_BYTES:,} bytes", "make it shorter")
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise UserError("safety.words.lists", str(path), f"not a readable text: {fault}", "ls -l") from None
    return [(path.stem, line.strip()) for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _kinds(told: dict[str, object], name: str) -> list[tuple[str, str]]:
    out = []
    for kind, section in told.items():
        words = section.get("words") if isinstance(section, dict) and set(section) == {"words"} else None
        if not isinstance(words, list) or not all(isinstance(one, str) for one in words):
            raise UserError("safety.words.lists", name, "[kind] with words = [...], and nothing else", f"mend [{kind}]")
        out += [(kind, one) for one in words]
    return out


def _split(entry: str) -> list[str]:
    """The folded words of an entry, as a scan would part them; stars stay."""
    out: list[str] = []
    within = False
    for one in fold(entry.strip()).text:
        if _lone(one):
            out.append(one)
            within = False
        elif one.isalnum() or one in _SIGNS or one == "*":
            out[-1:] = [out[-1] + one] if within else [*out[-1:], one]
            within = True
        else:
            within = False
    return out


def _lone(one: str) -> bool:
    """Whether it is of a script that parts no words: each of its characters counts as one."""
    return one > "\u0dff" and (one <= "\u0eff" or "\u1100" <= one <= "\u11ff" or one >= "\u2e80") and one.isalpha()


def _spellings(word: str) -> Iterator[tuple[str, int, int]]:
    """What a word may stand for, and how many characters at its ends do not belong to it; first as it is."""
    yield word, 0, 0
    if word.isalpha():
        yield from ((one, 0, 0) for one in _shorter(word))
        return
    left = len(word) - len(word.lstrip(_SIGNS))
    right = len(word) - len(word.rstrip(_SIGNS))
    for begin in {0, left}:
        for end in {0, right}:
            bare = word[begin : len(word) - end]
            if bare and (begin or end):
                yield bare, begin, end
            if sum(one.isalpha() or one in "@$" for one in bare) >= 2:  # not A55
                for table in _I_OR_L:
                    said = "".join(table.get(one, one) for one in bare)
                    yield said, begin, end
                    yield from ((one, begin, end) for one in _shorter(said))


def _shorter(word: str) -> Iterator[str]:
    """A word with letters drawn out, with each of them twice and once."""
    if _DRAWN_OUT.search(word):
        yield _DRAWN_OUT.sub(r"\1\1", word)
        yield _DRAWN_OUT.sub(r"\1", word)


class _Scan:
    def __init__(self, root: _Node) -> None:
        self.settled = 0
        self._root = root
        self._at = self._seen = 0  # characters that came, and those of them that can be seen
        self._word: list[str] = []
        self._places: list[int] = []
        self._dead = False  # within a word that is too long
        self._begun = 0  # where the word begins, counted in what can be seen
        self._gap = ""  # what stands between the last word and here, as far as it counts
        self._active: list[tuple[_Node, int, int, float]] = []  # node, start, the same as can be seen, score
        self._apart: list[tuple[str, int]] = []  # letters one by one, and their places
        self._between = ""

    def push(self, text: str, end: bool = False) -> list[Finding]:
        found: list[Finding] = []
        for one in text:
            seen = letter(one)
            for part in seen:
                if part.isalnum() or part in _SIGNS:
                    if _lone(part):
                        self._ended(found)
                        self._add(part)
                        self._ended(found)
                    else:
                        self._add(part)
                else:
                    self._ended(found)
                    self._parted(part, found)
            self._at += 1
            self._seen += bool(seen)
            if (self._word or self._active or self._apart) and self._at - self._first() > LONGEST:
                self._forget(found)
        if end:
            self._ended(found)
            self._joined(found)
            self._active = []
        self.settled = self._at if end else min(self._at, self._first())
        return found

    def _first(self) -> int:
        """Where the first thing begins that is under way."""
        places = [start for _, start, _, _ in self._active]
        places += [self._apart[0][1]] if self._apart else []
        places += [self._places[0]] if self._word else []
        return min(places, default=self._at)

    def _forget(self, found: list[Finding]) -> None:
        """Let go of what has been under way for too long."""
        if self._word and (len(self._word) > LONGEST or self._at - self._places[0] > UNSEEN):
            self._word, self._places, self._dead = [], [], True
            self._active = []
            self._joined(found)
        far = self._at - UNSEEN
        self._active = [one for one in self._active if self._seen - one[2] <= LONGEST and one[1] >= far]
        if self._apart and (len(self._apart) > LONGEST // 2 or self._apart[0][1] < far):
            self._joined(found)

    def _add(self, part: str) -> None:
        if self._dead:
            return
        if not self._word:
            self._begun = self._seen
        self._word.append(part)
        self._places.append(self._at)

    def _parted(self, part: str, found: list[Finding]) -> None:
        self._gap += part if len(self._gap) <= GAP else ""
        if len(self._gap) > GAP:
            self._active = []
        if len(self._gap) > 1:
            self._joined(found)

    def _ended(self, found: list[Finding]) -> None:
        """A word has ended: what it is, and which phrases go on with it."""
        self._dead = False
        if not self._word:
            return
        word, places, gap = "".join(self._word), self._places, self._gap
        self._word, self._places, self._gap = [], [], ""
        if len(word) == 1 and not _lone(word):
            if self._apart and gap != self._between and len(self._apart) > 1:
                last = self._apart[-1]
                self._joined(found)
                self._apart = [last]  # "a f.u.c.k": the first letter stands otherwise than the rest
            self._apart.append((word, places[0]))
            self._between = gap
        else:
            self._joined(found)
        active: list[tuple[_Node, int, int, float]] = []
        told = set()
        for said, begin, cut in _spellings(word):
            score = PLAIN if said == word else SPELT
            start, stop = places[begin], places[len(word) - cut - 1] + 1
            beginning = (self._root, start, self._begun, PLAIN)
            for node, since, visible, sure in [*self._active, beginning]:
                for after in node.after(said):
                    if after.kind and (since, stop, after.kind) not in told:
                        told.add((since, stop, after.kind))
                        found.append(_finding(after.kind, since, stop, min(sure, score)))
                    if (after.next or after.starts or after.ends or after.within) and len(active) < ACTIVE:
                        active.append((after, since, visible, min(sure, score)))
        self._active = active

    def _joined(self, found: list[Finding]) -> None:
        """Letters that stood one by one are over: the word that they make."""
        apart, self._apart = self._apart, []
        for letters in (apart, apart[1:]) if apart and apart[0][0] in "ai" else (apart,):
            if len(letters) >= 3:
                for said, begin, cut in _spellings("".join(one for one, _ in letters)):
                    for after in self._root.after(said):
                        if after.kind:
                            start, stop = letters[begin][1], letters[len(letters) - cut - 1][1] + 1
                            found.append(_finding(after.kind, start, stop, SPELT))
                            return


def _finding(kind: str, start: int, end: int, score: float) -> Finding:
    how = "an entry of a list" if score == PLAIN else "an entry of a list, spelt in another way"
    return Finding(kind, start, end, score, how)
