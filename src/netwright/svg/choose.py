"""The best SVG of an image for a wish: settings are predicted by the hundred, the few best traced, the winner verified.

    with Tracer() as tracer:
        choice = choose(open_raster("logo.png"), Wish(max_bytes=20_000), tracer, predictor)
        choice.best.traced.svg, choice.granted, choice.decisions

Each trace corrects what is expected of the settings not traced yet (`belief`). The menu of presets is traced too
unless `quick`, so that the answer is never worse than the best of them. Where tracing is cheaper than predicting, or
there is no predictor, settings are traced outright, from the best so far to its neighbours. Likeness is measured with
Skia; the winner's is measured again with resvg, and a winner on which they disagree is passed over.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from netwright.core.error import UserError
from netwright.svg import finish, propose, render
from netwright.svg.acquire import Acquired, best_next
from netwright.svg.belief import Belief, Expected, Predictor
from netwright.svg.measured import Subject, Traced
from netwright.svg.raster import Raster
from netwright.svg.setting import DEFAULT, MENU, Setting, allowed
from netwright.svg.tracer import TraceError
from netwright.svg.wish import SAME, Wish, preset_of

__all__ = ["Choice", "Predictor", "Tried", "Wish", "choose"]

How = Literal["auto", "predict", "measure"]
DRAWN, ROUNDS, PARENTS, CHILDREN = 320, 2, 16, 10
"""Settings predicted at first, and in each round of neighbours of the best."""
PREDICTING_S = 0.25
"""Seconds that features and some 1,500 predictions take on one core."""
OUTRIGHT = 24
"""Traces of a search that predicts nothing, where they take less than PREDICTING_S all together."""
WORTH = 0.003
"""A further trace is not worth it where it should save less than this share of the bytes."""
AGREED = 0.01
"""How far the likeness by resvg may be from that by Skia."""
TOO_LARGE, SMALL = 3.0, 5_000
"""Traces up to so many times a budget are thinned to fit it, and those of so few nodes whatever they take."""
LARGER = 2.0
"""What fulfils a wish is trimmed if it takes at most so many times the bytes of the best."""
SPENT = 0.9
"""A budget filled to less than this share has a rest, which goes into finer coordinates."""
MADE = {
    "fewer corners": "made to have fewer corners",
    "made to fit": "made to fit the budget: coarser coordinates, fewer nodes and patches",
    "trimmed": "trimmed of nodes and patches that no limit needs",
}
"""How `Tried.why` ends for what was made of a trace, and how that is told."""
FAILURES = 3
"""So many settings may fail; then what there is must do."""


@dataclass(frozen=True)
class Tried:
    """One setting that was traced: why, and what was expected of it (None without a predictor, and of what was made of
    a trace)."""

    traced: Traced
    why: str
    expected: Expected | None = None
    verified: float | None = None
    """The likeness by resvg, where it was asked."""
    made_of: Tried | None = None
    """The trace that this was made of without tracing again."""


@dataclass(frozen=True)
class Choice:
    """The best trace for a wish, and how it was found. `needed` says what an unfulfilled wish would take."""

    best: Tried
    tried: list[Tried]
    granted: bool
    needed: str
    decisions: list[str]
    predicted: list[tuple[Setting, Expected]]
    default: Traced | None
    unfamiliar: bool
    guided: int
    """Traces beside the menu."""
    seconds: float


def choose(
    raster: Raster, wish: Wish, tracer: Any, predictor: Predictor | None = None, traces: int = 6, *,
    quick: bool = False, how: How = "auto", seed: int = 0, note: Callable[[str], None] = lambda _: None,
) -> Choice:  # fmt: skip
    """The best trace for a wish in at most `traces` traces beside the menu. `note` is told each setting's turn.

    Raises UserError where no setting could be traced.
    """
    if traces < 1:
        raise UserError("--traces", traces, "a whole number from 1", "netwright svg trace --help")
    return _Search(raster, wish, tracer, predictor, traces, quick, how, seed, note).run()


@dataclass
class _Search:
    """One image, one wish, and what was found so far."""

    raster: Raster
    wish: Wish
    tracer: Any
    predictor: Predictor | None
    traces: int
    quick: bool
    how: How
    seed: int
    note: Callable[[str], None]
    tried: dict[Setting, Tried] = field(default_factory=dict)
    failed: dict[Setting, str] = field(default_factory=dict)
    decisions: list[str] = field(default_factory=list)
    finished: list[Tried] = field(default_factory=list)
    """What was made of traces without tracing again."""
    default: Traced | None = None
    belief: Belief | None = None
    unfamiliar: bool = False
    guided: int = 0
    thins: bool = True
    """Whether what exceeds a budget could be thinned so far."""

    def run(self) -> Choice:
        start = time.perf_counter()
        self.subject = Subject(self.raster)
        self.random = np.random.default_rng(self.seed)
        if self.wish.preset is not None:
            self.traced(MENU[self.wish.preset], f"preset {self.wish.preset}")
            self.decisions.append(f"Traced with the preset {self.wish.preset}, as asked; nothing was searched for.")
        else:
            self.search()
            # what was traced before anything was predicted has been told anew since
            self.finished = [replace(one, made_of=self.tried[one.traced.setting]) for one in self.finished]
            self.spend()
        best = self.verified()
        short = self.wish.shortfall(best.traced, self.default)
        needed = "" if short == 0 else self.lacking(best)
        if needed:
            self.decisions.append(needed)
        return Choice(
            best, [*self.tried.values(), *self.finished], short == 0, needed, self.decisions, self.front(),
            self.default, self.unfamiliar, self.guided, time.perf_counter() - start,
        )  # fmt: skip

    def search(self) -> None:
        """The default where it is the measure, the menu, then what is predicted or near the best."""
        if not self.wish.limited or self.wish.mode == "curves":
            self.default = self.traced(DEFAULT, "the default", counts=self.quick or self.wish.mode == "polygon")
            if self.default is not None and not self.wish.limited:  # it is measured against itself
                self.finish(self.tried[DEFAULT])
        elif self.how == "auto" and self.predictor is not None and not self.quick:
            self.traced(next(iter(propose.menu(self.wish.mode).values())), "menu", counts=False)
        outright = self.outright()
        if not self.quick:
            for name, setting in propose.menu(self.wish.mode).items():
                self.traced(setting, f"menu: {name}", counts=False)
        if outright:
            self.locally(OUTRIGHT if self.quickly(OUTRIGHT) else self.traces)
        else:
            self.predicted()

    def outright(self) -> bool:
        """Whether to trace without predicting, and why."""
        if self.predictor is None:
            self.decisions.append("No predictor is here: settings were traced, from the best so far to its neighbours.")
            return True
        if self.how != "auto":
            return self.how == "measure"
        if self.tried and self.quickly(OUTRIGHT):
            took = 1000 * self.seconds_each()
            self.decisions.append(
                f"A trace takes {took:.0f} ms here: {OUTRIGHT} of them are cheaper than predicting, so that none was."
            )
            return True
        return False

    def seconds_each(self) -> float:
        """Seconds of the last trace with its measurement; the first one pays for starting the tracer's process."""
        last = list(self.tried.values())[-1].traced
        return last.trace_s + last.compare_s

    def quickly(self, count: int) -> bool:
        """Whether so many traces take less time than predicting does."""
        return bool(self.tried) and count * self.seconds_each() < PREDICTING_S

    def traced(self, setting: Setting, why: str, counts: bool = True) -> Traced | None:
        """Trace one setting, if it was not yet; None where it failed."""
        if setting in self.tried:
            return self.tried[setting].traced
        if setting in self.failed or (len(self.failed) >= FAILURES and self.tried):
            return None
        expected = self.belief.expected(setting) if self.belief is not None else None
        self.note(why)
        try:
            traced = self.subject.measure(self.tracer, setting)
        except (TraceError, render.RenderError, ValueError) as fault:
            self.failed[setting] = str(fault)
            self.decisions.append(f"A setting was passed over ({why}): {fault}.")
            if len(self.failed) >= FAILURES and not self.tried:
                raise self.untraceable() from None
            return None
        self.guided += counts
        self.tried[setting] = Tried(traced, why, expected)
        self.finish(self.tried[setting])
        if self.belief is not None:
            self.belief.learn(traced)
        return traced

    def untraceable(self) -> UserError:
        why = next(iter(self.failed.values()), "nothing was tried")
        return UserError("image", self.raster.name, f"cannot be traced: {why}", "make the image smaller")

    def predicted(self) -> None:
        """Trace what promises most, one after another, each trace correcting what is expected of the others."""
        assert self.predictor is not None
        about = self.predictor.features(self.raster)
        self.unfamiliar = bool(getattr(about, "unfamiliar", False))
        if self.unfamiliar:
            self.decisions.append("The image is unlike those that were learned from: predictions may be far off.")
        belief = Belief(self.predictor, about)
        mode = self.wish.mode
        starts = propose.STARTS if mode != "polygon" else ()
        belief.add([*propose.spread(DRAWN, mode, self.seed), *propose.menu(mode).values(), *starts, *self.tried])
        for setting, tried in self.tried.items():
            before = belief.expected(setting, corrected=False)
            self.tried[setting] = Tried(tried.traced, tried.why, before)
        for tried in list(self.tried.values()):
            belief.learn(tried.traced)
        self.belief = belief
        for _ in range(ROUNDS):
            belief.add(propose.near(self.promising(PARENTS), CHILDREN, self.random))
        while self.guided < self.traces and len(self.failed) < FAILURES:
            left = self.traces - self.guided
            self.bridge()
            belief.add(propose.near(self.promising(PARENTS // 2), CHILDREN, self.random))
            found = self.acquired(left)
            if not len(found.at):
                break
            if self.default is not None and found.worth < WORTH:
                self.decisions.append(f"{left} of {self.traces} traces were not needed: none promised to save more.")
                break
            self.traced(belief.settings[found.at[0]], found.why)
        self.decisions.insert(0, f"{len(belief.settings):,} settings were predicted, {self.guided} traced"
                                 + ("." if self.quick else " beside the menu."))  # fmt: skip

    def acquired(self, left: int) -> Acquired:
        assert self.belief is not None
        open_N = self.belief.untraced()
        for at, one in enumerate(self.belief.settings):
            open_N[at] &= one not in self.failed
        measured = [one.traced for one in (*self.tried.values(), *self.finished)]
        return best_next(self.belief, open_N, measured, self.wish, self.default, left, self.thins)

    def promising(self, count: int) -> list[Setting]:
        """The best of those traced and of those not yet."""
        assert self.belief is not None
        found = [self.belief.settings[at] for at in self.acquired(2).at[:count]]
        best = sorted(self.tried.values(), key=lambda one: self.wish.order(one.traced, self.default))
        return [propose.plain(one.traced.setting) for one in best[:2]
                if one.traced.setting.mode in {s.mode for s in found} or not found] + found  # fmt: skip

    def bridge(self) -> None:
        """For a budget: settings between the largest trace that fits and the smallest that does not."""
        most = self.wish.max_bytes
        if most is None or self.belief is None:
            return
        for mode in {one.mode for one in self.tried}:
            own = [one.traced for one in self.tried.values() if one.traced.setting.mode == mode]
            under = [one for one in own if one.bytes <= most]
            over = [one for one in own if one.bytes > most]
            if under and over:
                ends = max(under, key=lambda one: one.bytes), min(over, key=lambda one: one.bytes)
                self.belief.add(propose.between(ends[0].setting, ends[1].setting))

    def locally(self, count: int) -> None:
        """Trace neighbours of the best so far."""
        if not self.tried:
            for setting in propose.menu(self.wish.mode).values():
                if self.traced(setting, "to begin with") is not None:
                    break
        while self.guided < count and len(self.failed) < FAILURES and self.tried:
            best = min(self.tried.values(), key=lambda one: self.wish.order(one.traced, self.default))
            start = best.traced.setting
            if self.wish.mode not in ("auto", {"spline": "curves"}.get(start.mode, start.mode)):
                start = next(iter(propose.menu(self.wish.mode).values()))
            new = next((one for _ in range(50) for one in propose.near([start], 1, self.random)
                        if one not in self.tried and one not in self.failed), None)  # fmt: skip
            if new is None:
                break
            self.traced(new, "near the best so far")
        self.decisions.append(f"{self.guided} settings were traced" + ("." if self.quick else " beside the menu."))

    def finish(self, tried: Tried) -> None:
        """What is made of a trace: with fewer corners where it has too many, fitted to a budget where it is too large,
        and without what no limit needs where the fewest bytes are sought."""
        most, traced = self.wish.max_bytes, tried.traced
        if self.wish.preset is not None or traced.setting.mode not in allowed(self.wish.mode):
            return

        def made(one: Traced | None, how: str) -> list[Traced]:
            if one is not None:
                self.finished.append(Tried(one, f"{tried.why}, {how}", made_of=tried))
            return [one] if one is not None else []

        there = [traced]
        if traced.corners > self.wish.corners(self.default):
            there = made(finish.smoothed(self.subject, traced, self.wish.corners(self.default)), "fewer corners")
        if most is not None and most < traced.bytes and (traced.bytes <= TOO_LARGE * most or traced.nodes <= SMALL):
            found = finish.fitted(self.subject, traced, most)
            self.thins = bool(found)
            there += [one for each in found for one in made(each, f"made to fit, 1/{each.grid} pixel")]
        if self.wish.aim == "bytes" and (self.default is not None or self.wish.limited):
            for one in [each for each in there if self.holds(each)]:
                least = min((each.traced.bytes for each in self.finished if self.holds(each.traced)), default=one.bytes)
                if one.bytes <= LARGER * least:
                    made(finish.trimmed(self.subject, one, self.holds), "trimmed")

    def spend(self) -> None:
        """What the best leaves of a budget goes into finer coordinates; and what was finished is told."""
        most, best = self.wish.max_bytes, next(iter(self.answers()), None)
        for kind, said in MADE.items():
            if count := sum(kind in one.why for one in self.finished):
                self.decisions.append(f"{count} {'trace was' if count == 1 else 'traces were'} {said}.")
        if self.wish.aim == "bytes" or most is None or best is None or best.traced.bytes >= SPENT * most:
            return
        finer = finish.filled(self.subject, best.traced, most)
        if finer is not None and self.holds(finer) and finer.ssim >= best.traced.ssim - SAME:
            self.told_anew(best, Tried(finer, f"{best.why}, finer", made_of=best.made_of or best))
            self.decisions.append(f"What the budget left was spent on coordinates to 1/{finer.grid} pixel.")

    def told_anew(self, before: Tried, after: Tried) -> None:
        """The same trace, told otherwise."""
        if before in self.finished:
            self.finished[self.finished.index(before)] = after
        else:
            self.tried[before.traced.setting] = after

    def holds(self, traced: Traced) -> bool:
        return self.wish.shortfall(traced, self.default) == 0

    def answers(self) -> list[Tried]:
        """The traces that may be given, best first: the default only where its mode is allowed."""
        modes = {one.mode for one in propose.menu(self.wish.mode).values()}
        may = [one for one in (*self.tried.values(), *self.finished) if one.traced.setting.mode in modes]
        return sorted(may, key=lambda one: self.wish.order(one.traced, self.default))

    def verified(self) -> Tried:
        """The best trace on whose likeness both renderers agree."""
        answers = self.answers()
        if not answers:
            raise self.untraceable()
        differing: dict[str, Tried] = {}
        for one in answers:
            differing.setdefault(one.traced.svg, one)
        for one in list(differing.values())[:FAILURES]:
            try:
                drawn_HWC = render.resvg(one.traced.svg, *self.raster.size)
            except render.RenderError as fault:
                self.decisions.append(f"{fault}: the next best was taken.")
                continue
            other = self.subject.reference.compare(drawn_HWC).ssim
            if abs(other - one.traced.ssim) <= AGREED:
                checked = replace(one, verified=other)
                self.told_anew(one, checked)
                return checked
            self.decisions.append(
                f"resvg draws SSIM {other:.4f} where Skia draws {one.traced.ssim:.4f}: the next best was taken."
            )
        self.decisions.append("No trace looks alike in both renderers: the best by Skia was taken, unverified.")
        return answers[0]

    def lacking(self, best: Tried) -> str:
        """What an unfulfilled wish would take, by what was traced and what is expected."""
        wish, near = self.wish, best.traced
        said = (
            f"Not reached: {wish.words()}. Nearest: SSIM {near.ssim:.4f} in {near.bytes:,} bytes, {near.paths:,} paths."
        )
        tried = [one.traced for one in self.answers()]
        if wish.min_ssim is not None:
            enough = [one for one in tried if one.ssim >= wish.min_ssim]
            if not enough:
                most = max(one.ssim for one in tried)
                return (
                    f"{said} The most alike that was traced has SSIM {most:.4f}: --min-ssim {_down(most)} can be had."
                )
            least = min(enough, key=lambda one: one.bytes)
            return f"{said} SSIM {least.ssim:.4f} took {least.bytes:,} bytes and {least.paths:,} paths."
        sizes = [one for one in tried if wish.max_paths is None or one.paths <= wish.max_paths]
        if not sizes:
            return f"{said} The fewest paths that were traced are {min(one.paths for one in tried):,}."
        return f"{said} The smallest that was traced has {min(one.bytes for one in sizes):,} bytes."

    def front(self) -> list[tuple[Setting, Expected]]:
        """What was expected at the end of those not traced, without the dominated: at most 60, by size."""
        if self.belief is None:
            return []
        mean_NQ = self.belief.mean()
        open_N, kept, best = self.belief.untraced(), [], math.inf
        for at in np.lexsort((mean_NQ[:, 0], mean_NQ[:, 1])):
            if mean_NQ[at, 0] < best - 0.01 and open_N[at]:
                best = mean_NQ[at, 0]
                kept.append(self.belief.settings[at])
        step = max(1, math.ceil(len(kept) / 60))
        return [(one, self.belief.expected(one)) for one in kept[::step]]


def _down(value: float) -> str:
    return f"{math.floor(1000 * value) / 1000:.3f}"


assert preset_of(DEFAULT) == "default"
