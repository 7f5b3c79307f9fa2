"""Rules applied: to a message, and to a reply as it grows.

    guard = Guard(rules, journal)
    verdict = guard.asked("Mail ann@shop.org")            # verdict.action, verdict.text
    for piece in guard.reply(engine.stream(...), cancel): ...

What should be masked or blocked is never shown, wherever the pieces are cut: a part of the reply is shown as soon as
every filter says that nothing begins in it any more. Where a reply is blocked its computation ends within a token, the
last piece says "blocked", and its text is a calm sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

from netwright.chat.engine import Generator as Answering
from netwright.chat.engine import Prompt
from netwright.chat.safety import rules
from netwright.chat.safety.finding import Finding, Scan
from netwright.chat.safety.journal import Config as Unwritten
from netwright.chat.safety.journal import Journal
from netwright.chat.safety.rules import Rule, Rules, Side
from netwright.chat.sampling import GREEDY, Sampling
from netwright.chat.turn import Piece, Statistics
from netwright.data import prompt
from netwright.data.text import Message

Outcome = Literal["pass", "log", "mask", "block"]
NOTHING = Statistics(prompt=0, reused=0, left_out=0, tokens=0, first_token=0.0, seconds=0.0, per_second=0.0)
"""What a reply took that never began."""


@dataclass(frozen=True)
class Decision:
    """What is done about a finding, and by whose rule; "pass" below its threshold."""

    filter: str
    action: Outcome
    finding: Finding


@dataclass(frozen=True)
class Verdict:
    """What becomes of a whole text: passed as it is, masked, or blocked."""

    action: Literal["pass", "mask", "block"]
    text: str
    """What may be shown: of a text that is blocked what stands before."""
    said: str
    """What is said in the place of the rest, where it is blocked."""
    decisions: tuple[Decision, ...]


class Guard:
    """Rules and their journal, for any number of texts at once."""

    def __init__(self, rules: Rules, journal: Journal | None = None) -> None:
        self.rules, self.journal = rules, journal or Journal(Unwritten())

    def asked(self, text: str, log: bool = True) -> Verdict:
        """What becomes of a person's message. It has to be the bare message, without any template."""
        return self._whole(text, "asked", [(rule, rule.filter.check(text)) for rule in self.rules.of("asked")], log)

    def answered(self, text: str, log: bool = True) -> Verdict:
        """What becomes of a whole reply; the same as `flow` shows of its pieces."""
        found = [(rule, rule.filter.scan().push(text, end=True)) for rule in self.rules.of("reply")]
        return self._whole(text, "reply", found, log)

    def flow(self) -> Flow:
        """The filter of one reply that grows."""
        return Flow(self.rules.of("reply"))

    def reply(self, pieces: Iterable[Piece], cancel: Callable[[], object] = lambda: None) -> Iterator[Piece]:
        """The pieces of a reply, filtered. `cancel` is called where it is blocked, or left by its reader.

        Where a rule may mask or block, pieces tell no tokens: they would tell what is hidden.
        """
        watch, cancelled = Watch(self), False
        try:
            for piece in pieces:
                shown = watch.push(piece)
                if watch.blocked and not watch.ended and not cancelled:
                    cancelled = True
                    cancel()
                if shown is not None:
                    yield shown
        finally:
            if not watch.ended:
                cancel()
                if isinstance(pieces, Generator):
                    pieces.close()
            watch.close()

    def allowed(self, messages: Sequence[Message]) -> list[Message] | None:
        """Messages with what is masked, or None where one is blocked. The last of the user's alone is logged."""
        found = list(messages)
        last = max((n for n, one in enumerate(found) if one.role == "user"), default=-1)
        for at, one in enumerate(found):
            if one.role == "user":
                verdict = self.asked(one.content, log=at == last)
                if verdict.action == "block":
                    return None
                found[at] = replace(one, content=verdict.text)
        return found

    def _whole(self, text: str, side: Side, found: Iterable[tuple[Rule, Sequence[Finding]]], log: bool) -> Verdict:
        flow = Flow(())
        for rule, ones in found:
            flow.note(rule, ones)
        shown = flow.push(text, end=True)
        decisions = tuple(flow.decisions)
        if log:
            self.log(text, side, decisions)
        if flow.blocked:
            return Verdict("block", shown, self.rules.sentence, decisions)
        return Verdict("mask" if shown != text else "pass", shown, "", decisions)

    def log(self, text: str, side: Side, decisions: Iterable[Decision]) -> None:
        """Write decisions about a text into the journal."""
        for one in decisions:
            if one.action != "pass":
                found = one.finding
                self.journal.write(
                    side=side, filter=one.filter, action=one.action, kind=found.kind, score=found.score, text=text
                )


class Watch:
    """One reply as it grows, piece by piece, for who does not pull it but is given it."""

    def __init__(self, guard: Guard) -> None:
        self._guard, self._flow = guard, guard.flow()
        self._said: list[str] = []
        self._open = not any(rule.action in ("mask", "block") for rule in guard.rules.of("reply"))
        self.ended = False

    @property
    def blocked(self) -> bool:
        """Whether the reply may not go on: whoever makes it should stop."""
        return self._flow.blocked

    @property
    def decisions(self) -> list[Decision]:
        """What was decided so far."""
        return self._flow.decisions

    def push(self, piece: Piece) -> Piece | None:
        """What is to be shown of a piece, None for nothing. The last piece of a blocked reply says so, calmly."""
        flow, before = self._flow, self._flow.blocked
        self._said.append(piece.text)
        self.ended = piece.finish is not None
        text = "" if before else flow.push(piece.text, end=self.ended)
        if flow.blocked and self.ended:  # what it took is of interest, and nothing else
            sentence = self._guard.rules.sentence
            calm = f"\n\n{sentence}" if flow.shown else sentence
            return Piece(text + calm, (), "blocked", piece.statistics)
        if text or (self.ended and not flow.blocked) or (self._open and piece.tokens):
            return replace(piece, text=text, tokens=piece.tokens if self._open else ())
        return None

    def close(self) -> None:
        """Write down what was decided."""
        self._guard.log("".join(self._said), "reply", self._flow.decisions)


class Flow:
    """One text that grows, and what of it may be shown."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.blocked = False
        self.shown = 0
        """Characters that were shown, those of masks as well."""
        self.decisions: list[Decision] = []
        """What was decided up to here, by its place."""
        self._scans: list[tuple[Rule, Scan]] = [(rule, rule.filter.scan()) for rule in rules]
        self._held = ""
        self._from = self._cursor = self._came = (
            0  # where what is held begins, what was shown or masked ends; what came
        )
        self._pending: list[tuple[int, int, int, int, Decision]] = []
        self._noted = 0

    @property
    def held(self) -> int:
        """Characters that are held back."""
        return len(self._held)

    def note(self, rule: Rule, found: Iterable[Finding]) -> None:
        """Findings of a rule; those of scans are noted by themselves."""
        for one in found:
            action: Outcome = cast(Outcome, rule.action) if rule.counts(one) else "pass"
            order = ("block", "mask", "log", "pass").index(action)
            self._noted += 1
            decision = Decision(rule.filter.name, action, one)
            self._pending.append((one.start, order, -one.end, self._noted, decision))

    def push(self, text: str, end: bool = False) -> str:
        """What can be shown now that this came, too; nothing after a block."""
        if self.blocked:
            return ""
        self._held += text
        self._came += len(text)
        for rule, scan in self._scans:
            self.note(rule, scan.push(text, end))
        settled = min((scan.settled for _, scan in self._scans), default=self._came)
        shown = self._clear(self._came if end else settled)
        self._held, self._from = self._held[self._cursor - self._from :], self._cursor
        self.shown += len(shown)
        return shown

    def _clear(self, settled: int) -> str:
        """Show up to a place before which every finding is known."""
        out = []
        self._pending.sort()
        count = 0
        for start, _, _, _, one in self._pending:
            if start >= settled:
                break
            count += 1
            self._decide(one)
            if one.action == "block":
                out.append(self._taken(start))
                self.blocked, self._held, self._pending = True, "", []
                return "".join(out)
            if one.action == "mask":
                if start >= self._cursor:
                    out.append(self._taken(start))
                    out.append("" if one.finding.goes_on else f"[{one.finding.kind}]")
                self._taken(one.finding.end)
        del self._pending[:count]
        out.append(self._taken(settled))
        return "".join(out)

    def _taken(self, place: int) -> str:
        """What is held up to a place, which is then held no more."""
        begun, self._cursor = self._cursor, max(self._cursor, place)
        return self._held[begun - self._from : self._cursor - self._from]

    def _decide(self, one: Decision) -> None:
        """A decision more, or the same one about more of what it is about."""
        if one.finding.goes_on:
            for at in range(len(self.decisions) - 1, -1, -1):
                last = self.decisions[at]
                if (last.filter, last.finding.kind) == (one.filter, one.finding.kind):
                    self.decisions[at] = replace(last, finding=replace(last.finding, end=one.finding.end))
                    return
        self.decisions.append(one)


def opened(path: Path | None, wanted: bool = False) -> Guard | None:
    """The guard that the [safety] table of a file asks for; without one that of the defaults, where it is wanted."""
    told = rules.read(path) if path else None
    if told is None and wanted:
        told = rules.Config()
    if told is None:
        return None
    folder = path.parent if path else Path()
    return Guard(rules.opened(told, folder), Journal(told.journal, folder))


class Guarded:
    """A `Generator` whose prompts and replies are filtered. Messages of the user are checked, each by itself."""

    def __init__(self, generator: Answering, guard: Guard) -> None:
        self.tokenizer, self.longest, self.precision = generator.tokenizer, generator.longest, generator.precision
        self._generator, self._guard = generator, guard

    def stream(
        self, prompt: Prompt, sampling: Sampling = GREEDY, cancelled: Callable[[], bool] = lambda: False
    ) -> Iterator[Piece]:
        """The filtered reply, or a calm sentence at once. Raises UserError as the generator does."""
        allowed = self.allowed(prompt)
        if allowed is None:
            return iter((Piece(self._guard.rules.sentence, (), "blocked", NOTHING),))
        stopped: list[bool] = []
        pieces = self._generator.stream(allowed, sampling, lambda: bool(stopped) or cancelled())
        return self._guard.reply(pieces, lambda: stopped.append(True))

    def allowed(self, given: Prompt) -> Prompt | None:
        """The prompt with what is masked, or None where a message of it is blocked. The last one alone is logged."""
        if not len(given) or not isinstance(given[0], Message):
            text = self.tokenizer.decode([int(cast(int, at)) for at in given])
            verdict = self._guard.asked(text)
            if verdict.action == "mask":
                return prompt.plain(self.tokenizer, verdict.text)
            return None if verdict.action == "block" else given
        return self._guard.allowed(cast(Sequence[Message], given))
