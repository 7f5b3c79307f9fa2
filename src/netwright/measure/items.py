"""Questions with known answers, out of a file: several choices, one exact answer, or a number in GSM8K's form.

    items = read("exam.jsonl")

A line each, by its fields:

| kind | fields | right is |
|---|---|---|
| choice | question or prompt, choices, answer (an index from 0, a letter, or a choice) | the likeliest choice |
| exact | prompt, question or messages, answer (a text or several) | the same text, but for case, space, quotes |
| number | the same, the answer ends in `#### number` (and `ans` may be the number) | the same number |
| free | the same without an answer | nobody knows: what a person compares |

This file does not know models. A broken line is refused with its place, before any work.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from netwright.core.error import UserError
from netwright.data.text import Message, Tally, streams
from netwright.data.text.streams import BrokenError, UnreadableError

Kind = Literal["choice", "exact", "number", "free"]
LONGEST = 1 << 20
"""Characters of a line."""
MOST_CHOICES = 26
_NUMBER = r"(?:[-+\u2212]?[$€£]?|[$€£][-+\u2212])(?:[0-9][0-9,]*(?:\.[0-9]+)?|\.[0-9]+)"
_MARKED = re.compile(rf"####[ \t]*({_NUMBER})")
_FORM = re.compile(rf"####[ \t]*{_NUMBER}[ \t]*(?:%|\.)?\s*\Z")
_ANY = re.compile(_NUMBER)
_QUOTES = string.punctuation.replace("%", "").replace("$", "").replace("-", "") + "“”‘’«»…"
_ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Item:
    """One question: a prompt or a conversation, and what is right. `answer` is an index, texts, or a number."""

    kind: Kind
    place: str
    prompt: str = ""
    messages: tuple[Message, ...] = ()
    choices: tuple[str, ...] = ()
    answer: Any = None

    @property
    def said(self) -> str:
        """The question as a person reads it."""
        return self.prompt or "\n\n".join(f"{one.role}: {one.content}" for one in self.messages)


def read(path: str | Path, answered: bool = True) -> list[Item]:
    """The items of a .jsonl file (or .gz of it); prompts of a .txt are a line each, and have no answers.

    Raises UserError that names file and line where a line is broken, or has no answer and `answered`.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError("tasks", str(path), "no such file", "name a .jsonl file with a question a line")
    found: list[Item] = []
    faults: list[tuple[int, str]] = []
    plain = path.name.lower().removesuffix(".gz").endswith((".txt", ".md"))
    for number, line in _lines(path):
        try:
            if line is None:
                raise BrokenError(f"longer than {LONGEST:,} characters")
            if not line.strip():
                continue
            place = f"{path}:{number}"
            one = Item("free", place, line.strip()) if plain else item(streams.loads(line), place)
            if answered and one.kind == "free":
                raise BrokenError("has no answer")
            found.append(one)
        except BrokenError as fault:
            faults.append((number, str(fault)))
    if faults:
        more = f"; {len(faults) - 1:,} more lines are broken" if len(faults) > 1 else ""
        raise UserError("tasks", f"{path}:{faults[0][0]}", faults[0][1] + more, "mend that line, or take it out")
    if not found:
        raise UserError("tasks", str(path), "holds no questions", "give a .jsonl file with a question a line")
    return found


def item(row: Any, place: str = "") -> Item:
    """One row as an item. Raises BrokenError, in words that go on "file:line: "."""
    if not isinstance(row, Mapping):
        raise BrokenError(f"a {type(row).__name__}, where {{...}} with a question and an answer is expected")
    prompt, messages = _asked(row)
    if "choices" in row:
        choices = _choices(row["choices"])
        return Item("choice", place, prompt, messages, choices, _index(row.get("answer"), choices))
    answer = row.get("answer")
    if answer is None:
        return Item("free", place, prompt, messages)
    marked = _MARKED.findall(answer) if isinstance(answer, str) else []
    if marked:
        stated: Any = row.get("ans")
        value = Decimal(str(stated)) if type(stated) in (int, float) and abs(stated) < 1e300 else _decimal(marked[-1])
        return Item("number", place, prompt, messages, answer=value)
    if isinstance(answer, str) and "####" in answer:
        raise BrokenError(f"no number after #### in the answer {_cut(answer)}")
    several = answer if isinstance(answer, list) else [answer]
    accepted = [str(one) if type(one) in (int, float) else one for one in several]
    if not accepted or not all(isinstance(one, str) and one.strip() for one in accepted):
        raise BrokenError(f"the answer {_cut(answer)} is no text, number or list of them")
    return Item("exact", place, prompt, messages, answer=tuple(accepted))


def right(one: Item, text: str) -> bool:
    """Whether a model's text is the answer of an item (exact or number)."""
    if one.kind == "number":
        return bool(number(text) == one.answer)
    return normalised(text) in {normalised(accepted) for accepted in one.answer}


def in_form(text: str) -> bool:
    """Whether a text ends as GSM8K's answers do: `#### number`."""
    return _FORM.search(text) is not None


def number(text: str) -> Decimal | None:
    """The number after the last ####; where there is no such mark, the last number of the text."""
    found = _MARKED.findall(text) or ([] if "####" in text else _ANY.findall(text))
    return _decimal(found[-1]) if found else None


def normalised(text: str) -> str:
    """A text without case, outer punctuation, articles of typography: what exact answers are compared in."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(plain.split()).strip(_QUOTES + " ")


def _lines(path: Path) -> Iterator[tuple[int, str | None]]:
    try:
        yield from streams.lines(streams.decoded(streams.chunks(path), Tally()), LONGEST)
    except UnreadableError as fault:
        raise UserError("tasks", str(path), fault.why, fault.next) from None
    except BrokenError as fault:
        raise UserError("tasks", str(path), str(fault), "give a .jsonl file with a question a line") from None


def _asked(row: Mapping[str, Any]) -> tuple[str, tuple[Message, ...]]:
    if "messages" in row:
        return "", _messages(row["messages"])
    prompt = row.get("prompt", row.get("question"))
    if prompt is None:
        raise BrokenError("has none of the fields prompt, question, messages")
    if not isinstance(prompt, str) or not prompt.strip():
        raise BrokenError(f"the question {_cut(prompt)} is no text")
    return prompt, ()


def _messages(turns: Any) -> tuple[Message, ...]:
    if not isinstance(turns, list) or not turns:
        raise BrokenError("the messages are no list of turns")
    for n, turn in enumerate(turns, 1):
        fine = isinstance(turn, Mapping) and turn.get("role") in _ROLES and isinstance(turn.get("content"), str)
        if not fine:
            raise BrokenError(f"message {n} is not {{role: system, user or assistant; content: text}}")
    if turns[-1]["role"] != "user":
        raise BrokenError(f"the last message is the {turns[-1]['role']}'s; the model is to answer the user's")
    return tuple(Message(turn["role"], turn["content"]) for turn in turns)


def _choices(stated: Any) -> tuple[str, ...]:
    listed: Sequence[Any] = stated["text"] if isinstance(stated, Mapping) and "text" in stated else stated
    if not isinstance(listed, list) or not 2 <= len(listed) <= MOST_CHOICES:
        raise BrokenError(f"the choices are no list of 2 to {MOST_CHOICES}")
    texts = tuple(str(one) if type(one) in (int, float) else one for one in listed)
    if not all(isinstance(one, str) and one.strip() for one in texts):
        raise BrokenError("a choice is empty, or no text")
    if len(set(texts)) < len(texts):
        raise BrokenError("two choices are the same")
    return texts


def _index(answer: Any, choices: Sequence[str]) -> int:
    """The place of the right choice: an index from 0, the choice itself, or its letter."""
    if type(answer) is int and 0 <= answer < len(choices):
        return answer
    if isinstance(answer, str):
        if answer in choices:
            return choices.index(answer)
        letters = string.ascii_uppercase[: len(choices)]
        if len(answer.strip()) == 1 and answer.strip().upper() in letters:
            return letters.index(answer.strip().upper())
    last = string.ascii_uppercase[len(choices) - 1]
    raise BrokenError(f"the answer {_cut(answer)} is none of: 0 to {len(choices) - 1}, A to {last}, a choice")


def _decimal(text: str) -> Decimal:
    return Decimal(re.sub(r"[$€£,]", "", text.replace("\u2212", "-")))


def _cut(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
