"""Which token comes next: temperature, top-k, top-p, min-p and repetition penalty, reproducible by seed; beam search.

    sampler = Sampler(Sampling(temperature=0.7, top_p=0.9, seed=1))
    token = sampler.choose(logits_V, seen)

Filters are applied in the order penalties, top-k, top-p, min-p, temperature: what is kept does not depend on how warm
the choice is. Logprobs are those of the model, before any of them. This file knows ids and logits, no texts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netwright.core.error import UserError, did_you_mean

Floats = NDArray[np.float64]
_RANGES: Mapping[str, tuple[float, float]] = {
    "temperature": (0.0, 10.0),
    "top_k": (0, 1_000_000),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "penalty": (0.1, 10.0),
    "window": (0, 1_000_000),
    "frequency": (-2.0, 2.0),
    "presence": (-2.0, 2.0),
    "seed": (0, 2**63 - 1),
    "max_tokens": (1, 1_000_000),
    "logprobs": (0, 20),
    "beams": (1, 16),
}
STOPS, LONGEST_STOP = 16, 256
"""Stop strings at most, and characters of each."""


FEW = 512
"""Tokens that are sorted before all are."""
BLOCK = 256
"""Tokens whose weights are summed at once when one is drawn."""
COLDEST = 1e-6
"""Below this temperature the likeliest token is taken: a quotient by less would overflow."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a reply is chosen. Raises UserError for what is out of range, naming setting, value and range."""

    temperature: float = 0.0
    """0: always the likeliest token."""
    top_k: int = 0
    """Only the k likeliest; 0: all."""
    top_p: float = 1.0
    """Only the likeliest that together have this probability (Holtzman et al. 2020, arXiv:1904.09751)."""
    min_p: float = 0.0
    """Only those at least this share as likely as the likeliest (Nguyen et al. 2024, arXiv:2407.01082)."""
    penalty: float = 1.0
    """Logits of tokens that were there already are divided by it, or multiplied below 0 (Keskar et al. 2019,
    arXiv:1909.05858)."""
    window: int = 64
    """Tokens that the penalty looks back."""
    frequency: float = 0.0
    """Is taken from a token's logit for each time it stands in the reply so far, as OpenAI's API has it."""
    presence: float = 0.0
    """Is taken once from logits of tokens that stand in the reply so far."""
    seed: int = 0
    max_tokens: int = 512
    stop: tuple[str, ...] = ()
    """Texts before which a reply ends; they are never shown."""
    logprobs: int = 0
    """How many alternatives are told of each token, with their logprobs; 0: none."""
    beams: int = 1
    """Above 1: the likeliest reply that so many beams find; it is not streamed token by token."""
    json: bool = False
    """The reply is one JSON object (`chat.json_object`), unless it is cut at `max_tokens` or by a stop text."""
    ignore_end: bool = False
    """Go on past tokens that end a reply, for measuring."""

    def __post_init__(self) -> None:
        whole = {"top_k", "window", "seed", "max_tokens", "logprobs", "beams"}
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            kind = "a whole number" if name in whole else "a number"
            right = type(value) is int if name in whole else type(value) in (int, float) and math.isfinite(value)
            if not right or not low <= value <= high:
                raise _refused(name, value, f"{kind} from {low:g} to {high:g}")
        texts = isinstance(self.stop, tuple) and all(isinstance(text, str) for text in self.stop)
        if not texts or len(self.stop) > STOPS or not all(0 < len(text) <= LONGEST_STOP for text in self.stop):
            raise _refused("stop", self.stop, f"at most {STOPS} texts of 1 to {LONGEST_STOP} characters")
        if self.beams > 1 and self.temperature > 0:
            raise _refused("beams", self.beams, "1, or a temperature of 0: beams draw nothing")
        if type(self.json) is not bool or (self.json and self.beams > 1):
            raise _refused("json", self.json, "true or false; with beams, false")

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is always taken, as it stands."""
        return self.temperature < COLDEST


GREEDY = Sampling()
"""The likeliest token, always."""


def from_words(values: Mapping[str, Any]) -> Sampling:
    """Settings by name, as a command line or a request gives them. Raises UserError for unknown ones."""
    known = {one.name for one in fields(Sampling)}
    for name in values:
        if name not in known:
            raise UserError(f"sampling.{name}", values[name], did_you_mean(name, known), "netwright generate --help")
    made: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    if isinstance(made.get("stop"), str):
        made["stop"] = (made["stop"],)
    return Sampling(**made)


@dataclass
class Sampler:
    """Chooses tokens one after another; the same seed and logits give the same ones."""

    sampling: Sampling
    generator: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.generator = np.random.default_rng(self.sampling.seed)

    def choose(self, logits_V: NDArray[np.float32], seen: Sequence[int] = (), prompt: int = 0) -> int:
        """The next token, after those `seen`, of which the first `prompt` are no part of the reply."""
        told = self.sampling
        if told.frequency or told.presence:
            logits_V = discouraged(logits_V, seen[prompt:], told.frequency, told.presence)
        if told.penalty != 1 and told.window:
            logits_V = penalized(logits_V, seen[-told.window :], told.penalty)
        if told.greedy:
            return int(logits_V.argmax())
        if told.top_k == 0 and told.top_p == 1 and told.min_p == 0:  # nothing is left out: nothing to sort
            return drawn(weights(logits_V, told.temperature), self.generator.random())
        ids_K, p_K = kept(logits_V, told)
        cold_K = np.log(p_K) / told.temperature
        return int(ids_K[drawn(np.exp(cold_K - cold_K.max()), self.generator.random())])


def penalized(logits_V: NDArray[np.float32], seen: Sequence[int], penalty: float) -> NDArray[np.float32]:
    """Logits with those of `seen` tokens made less, each once."""
    ids = np.unique(np.asarray(seen, np.int64))
    ids = ids[(ids >= 0) & (ids < len(logits_V))]
    changed = logits_V.copy()
    changed[ids] = np.where(logits_V[ids] > 0, logits_V[ids] / penalty, logits_V[ids] * penalty)
    return changed


def discouraged(
    logits_V: NDArray[np.float32], reply: Sequence[int], frequency: float, presence: float
) -> NDArray[np.float32]:
    """Logits with those of a reply's tokens made less: by `frequency` each time, and by `presence` once."""
    ids, counts = np.unique(np.asarray(reply, np.int64), return_counts=True)
    changed = logits_V.copy()
    changed[ids] -= (counts * frequency + presence).astype(changed.dtype)
    return changed


def kept(logits_V: NDArray[np.float32], told: Sampling) -> tuple[NDArray[np.int64], Floats]:
    """Ids that the filters keep, likeliest first, ties by id, and their probabilities; at least one, always."""
    if not np.isfinite(logits_V.max()):
        logits_V = logprobs(logits_V).astype(np.float32)
    weights_V = weights(logits_V)
    total = float(weights_V.sum(dtype=np.float64))
    ids_K = order(logits_V, told.top_k) if told.top_k else _candidates(logits_V, weights_V, total, told)
    p_K = weights_V[ids_K].astype(np.float64)
    p_K /= p_K.sum() if told.top_k else total
    if told.top_p < 1:
        before_K = np.cumsum(p_K) - p_K  # the one that reaches top_p is still kept
        few = max(1, int((before_K < told.top_p).sum()))
        ids_K, p_K = ids_K[:few], p_K[:few]
    few = max(1, int((p_K >= told.min_p * p_K[0]).sum()))
    positive = max(1, int((p_K[:few] > 0).sum()))
    return ids_K[:positive], np.maximum(p_K[:positive], 1e-300)


def drawn(weights_V: NDArray[Any], share: float) -> int:
    """The place where so large a share of all weights lies before it: a draw, where `share` is random in [0, 1)."""
    starts = np.arange(0, len(weights_V), BLOCK)  # sums of blocks first: running sums cannot use wide instructions
    ends = np.cumsum(np.add.reduceat(weights_V, starts, dtype=np.float64))
    wanted = share * ends[-1]
    block = min(int(np.searchsorted(ends, wanted, side="right")), len(ends) - 1)
    first = block * BLOCK
    within = np.cumsum(weights_V[first : first + BLOCK], dtype=np.float64)
    before = float(ends[block - 1]) if block else 0.0
    at = int(np.searchsorted(within, wanted - before, side="right"))
    if at == len(within):  # rounded up to the end: the last one that has any weight
        at = int(np.flatnonzero(within < within[-1])[-1]) + 1 if within[0] < within[-1] else 0
    return first + at


def weights(logits_V: NDArray[np.float32], temperature: float = 1.0) -> NDArray[np.float32]:
    """Probabilities but for a factor, 1 for the likeliest; single precision is a tenth of the time of double."""
    highest = logits_V.max()
    if not np.isfinite(highest):
        return np.exp(logprobs(logits_V) / temperature).astype(np.float32)
    found: NDArray[np.float32] = np.exp((logits_V - highest) / np.float32(temperature))
    return found


def _candidates(
    logits_V: NDArray[np.float32], weights_V: NDArray[np.float32], total: float, told: Sampling
) -> NDArray[np.int64]:
    """Ids that hold all that top_p and min_p keep, likeliest first, ties by id; few of them are sorted.

    All tokens less likely than (1 - top_p) / V together are less likely than 1 - top_p: top_p keeps none of them.
    """
    least = 0.0
    if told.top_p < 1:
        least = (1 - told.top_p) / len(weights_V) * total * (1 - 1e-5)
    if told.min_p:
        least = max(least, float(weights_V.max()) * told.min_p * (1 - 1e-5))
    some = np.flatnonzero(weights_V >= least)
    if len(some) > FEW and told.top_p < 1:  # most often the first ones are enough
        weights_K = weights_V[some]
        first = weights_K >= np.partition(weights_K, len(some) - FEW)[len(some) - FEW]
        if weights_K[first].sum(dtype=np.float64) >= (told.top_p + 1e-5) * total:
            some = some[first]
    return some[order(logits_V[some])]


def order(logits_V: NDArray[Any], count: int = 0) -> NDArray[np.int64]:
    """The `count` likeliest ids (0: all), likeliest first; of equal ones the smaller id first."""
    some = np.arange(len(logits_V))
    if 0 < count < len(logits_V):
        some = np.flatnonzero(logits_V >= np.partition(logits_V, len(logits_V) - count)[len(logits_V) - count])
    if logits_V.dtype != np.float32:
        return some[np.argsort(-logits_V[some], kind="stable")][: count or None]
    # bits of floats as integers that fall as they rise, and the id below them: whole numbers are sorted much faster
    bits = (logits_V[some] + np.float32(0)).view(np.uint32)
    falling = np.where(bits >> 31, bits, ~bits & 0x7FFFFFFF).astype(np.uint64)
    keys = np.sort(falling << np.uint64(32) | some.astype(np.uint64))[: count or None]
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)


def logprobs(logits_V: NDArray[np.float32]) -> Floats:
    """Log of each token's probability, in double precision; tokens of logit -inf or nan have none."""
    x_V = np.nan_to_num(logits_V.astype(np.float64), nan=-np.inf, posinf=1e30, neginf=-np.inf)
    highest = float(x_V.max())
    if highest == -np.inf:
        return np.full(len(x_V), -math.log(len(x_V)))
    found: Floats = x_V - highest - math.log(float(np.exp(x_V - highest).sum()))
    return found


def best(logits_V: NDArray[np.float32], count: int) -> tuple[tuple[int, float], ...]:
    """The `count` likeliest tokens and their logprobs."""
    log_V = logprobs(logits_V)
    return tuple((int(at), float(log_V[at])) for at in order(logits_V, count)[:count])


def beam_search(
    after: Callable[[Sequence[int]], NDArray[np.float32]],
    beams: int,
    length: int,
    ends: Sequence[int],
    stopped: Callable[[], bool] = lambda: False,
) -> tuple[list[int], float]:
    """The likeliest continuation that `beams` beams find, and its logprob a token.

    `after(ids)` answers the logits of the token after a continuation. Continuations are compared by their logprob over
    their length, so that short ones do not win for being short; one that ends with a token of `ends` is done.
    """
    alive: list[tuple[float, list[int]]] = [(0.0, [])]
    done: list[tuple[float, list[int]]] = []
    for _ in range(length):
        grown: list[tuple[float, list[int]]] = []
        for score, ids in alive:
            for at, logprob in best(after(ids), beams):
                grown.append((score + logprob, [*ids, at]))
        grown.sort(key=lambda one: -one[0])
        done += [one for one in grown[:beams] if one[1][-1] in ends]
        alive = [one for one in grown[:beams] if one[1][-1] not in ends]
        # what is alive can only lose: logprobs are at most 0
        if not alive or stopped() or (len(done) >= beams and alive[0][0] / length <= max(map(_each, done))):
            break
    score, ids = max([*done, *alive], key=_each)
    return ids, score / len(ids)


def _each(one: tuple[float, list[int]]) -> float:
    return one[0] / max(1, len(one[1]))


def _refused(name: str, value: object, allowed: str) -> UserError:
    return UserError(f"sampling.{name}", value, f"expected {allowed}", f"set sampling.{name}=...")
