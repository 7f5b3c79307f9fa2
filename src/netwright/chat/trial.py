"""Trials of candidates: a model in every engine and precision, timed in interleaved rounds, judged by its perplexity.

    rows = measured(artifact, Path("runs"), Config())

Each round of a candidate has a prompt of its own, because some runtimes keep prompts. Perplexity is that of the model's
own validation texts. It takes longest, so after two rounds it is judged from the fastest down, and only as far as
candidates are not much slower than one that passed; who fails leaves, and of the others those that fall behind. What
cannot win is not even made: whole weights, where this machine's memory is too slow to bring them as often as a
candidate of 8 bits that passed makes a token; INT4 for OpenVINO, which takes minutes, where the bytes it saves could
not make it the fastest.

xllamacpp tells no logprobs of a prompt, so the perplexity of a GGUF is that of its weights, dequantized, in torch:
llama.cpp rounds inputs to 8 bits as well, which is not in it.
"""

from __future__ import annotations

import functools
import gc
import importlib.util
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netwright import export
from netwright.chat.candidate import Config, Row, pace, passes, weighed
from netwright.chat.engine import Generator
from netwright.chat.opening import opened
from netwright.chat.sampling import Sampling, logprobs
from netwright.chat.turn import Statistics
from netwright.compress import quantize
from netwright.compress.engines.nncf import SHARE
from netwright.core import artifact as artifacts
from netwright.core import recipe, stats
from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.core.recipe import plain
from netwright.core.run import progress
from netwright.data.tasks import IGNORED
from netwright.export import decoding
from netwright.export.decoding.openvino import choices
from netwright.hardware import detect, probe
from netwright.measure.bench import deployed
from netwright.models.load import open_task
from netwright.study import stages

COMPUTED: Mapping[str, tuple[str | None, ...]] = {
    "torch": ("fp32", "bf16"), "openvino": ("fp32", "bf16", "int8", "int8-bf16")
}  # fmt: skip
"""What a format can be told to compute in; others run what is stored."""
STORED: Mapping[str, tuple[str, ...]] = {
    "torch": ("",), "gguf": ("Q8_0", "Q4_1", "Q4_0"), "openvino": ("", "int8-weights", "int4-weights"),
    "onnx": ("", "int8-weights"),
}  # fmt: skip
"""What a model is written in."""
FEW = 4
"""Validation examples of a candidate's certificate: its perplexity is judged here."""
SLOW = {0: 0.4, 1: 0.7, 2: 0.8, 4: 0.9}
"""Round -> share of the fastest candidate's speed below which one leaves after it: of all after the first one, of those
that keep their perplexity from the second on. The best round counts: on a busy machine a single one says little."""
JUDGED = 1
"""The round after which perplexities are judged."""
LATER = ("openvino", "int4-weights")
"""Format and precision that is made last, if at all: its layers are settled by examples."""
FASTER = 1.1
"""How many times the measured bandwidth of the memory weights may come with, for all that is known."""
CACHE = 128 * 2**20
"""Bytes of weights that may stay in the processor's cache, where it does not tell its size."""
LESS = 1 / (1 - SHARE / 2)
"""How many times as fast as INT8 in the same format it could be at most, by the bytes of its weights."""
Losses = Callable[[Sequence[int]], NDArray[np.float32]]
"""Ids of a text -> logits_TV after each."""


def measured(artifact: Artifact, runs: Path, config: Config) -> list[Row]:
    """The candidates with their speed, and the perplexity of all that could be chosen."""
    counts = config.threads or thread_counts(detect.usable_threads())
    vocabulary = int(artifact.inputs["ids"]["vocabulary"])
    judge = _judge(artifact, config, max(counts))

    def all_of(made: Iterator[Row]) -> list[Row]:
        return [replace(row, threads=count) for row in made for count in (counts if not row.fault else (1,))]

    def seen(rows: Sequence[Row]) -> list[Row]:
        return timed(rows, _opener(rows), vocabulary, config, judge)

    def more(rows: list[Row], wanted: Callable[[str, str], bool]) -> list[Row]:
        """Other candidates beside the best so far, in the same rounds."""
        others = all_of(_made(artifact, runs, config, wanted, _too_large(artifact, _fastest(rows, config))))
        if all(row.fault for row in others):
            return [*rows, *others]
        best = [rows.pop(weighed(rows, config)[0])] if any(row.decode and passes(row, config) for row in rows) else []
        return [*rows, *seen([*best, *others])]

    rows = more([], lambda format, stored: bool(stored) and (format, stored) != LATER)
    rows = more(rows, lambda format, stored: not stored)
    return more(rows, lambda format, stored: (format, stored) == LATER) if could_win(rows, config) else rows


def could_win(rows: Sequence[Row], config: Config) -> bool:
    """Whether INT4 for OpenVINO could be fast enough to be chosen: it reads at least `1 / LESS` of INT8's bytes."""
    format, _ = LATER
    eight = [
        pace(row.decode, row.prefill, config)
        for row in rows
        if row.format == format and row.stored == "int8-weights" and not row.fault
    ]
    return bool(eight) and LESS * max(eight) >= config.gain_4bit * _fastest(rows, config)


def _fastest(rows: Sequence[Row], config: Config) -> float:
    """Tokens a second of the fastest that passes, in a turn, those of 4 bits aside: more is asked of them."""
    fine = [row for row in rows if passes(row, config) and not row.four_bits]
    return max((pace(row.decode, row.prefill, config) for row in fine), default=0.0)


def _too_large(artifact: Artifact, least: float) -> Callable[[str, str | None], str]:
    """Why whole weights in an arithmetic cannot make so many tokens a second; "" where they might.

    Each token reads all weights once, so bandwidth over bytes bounds it (Williams et al. 2009, doi
    10.1145/1498765.1498785), unless a cache holds them.
    """

    def reason(stored: str, computed: str | None) -> str:
        size = deployed(artifact) // (2 if computed and "bf16" in computed else 1)
        if stored or not least or size <= (detect.largest_cache() or CACHE):
            return ""
        bandwidth = max(one.high for one in probe.cached() or probe.probe() if one.quantity == "bandwidth")
        most = FASTER * bandwidth / size
        told = f"not measured: {size / 1e6:.0f} MB of weights can be read {most:.0f} times a second here at most"
        return told if most < least else ""

    return reason


def _judge(artifact: Artifact, config: Config, threads: int) -> Callable[[Row], Row]:
    """What judges a candidate's perplexity, each file and arithmetic once; texts and reference are read when needed."""
    known: dict[tuple[str, str | None], Row] = {}

    @functools.cache
    def reference() -> tuple[Any, Any]:
        texts, decoder = held_out(artifact, config.tokens), decoding.open(artifact, threads)
        return texts, _losses(lambda ids: _read(decoder, ids), texts)

    def judge(row: Row) -> Row:
        key = row.folder, row.computed
        if key not in known:
            known[key] = _judged(row, *reference(), threads)
        found = known[key]
        return replace(row, loss=found.loss, loss_high=found.loss_high, fault=found.fault)

    return judge


def thread_counts(most: int) -> tuple[int, ...]:
    """1, 2, 4 and so on, and the most."""
    powers = [2**at for at in range(most.bit_length()) if 2**at < most]
    return (*powers, most)


def timed(
    rows: Sequence[Row],
    open_row: Callable[[int], Generator],
    vocabulary: int,
    config: Config,
    judge: Callable[[Row], Row] = lambda row: row,
) -> list[Row]:
    """Rows with their speeds, in interleaved rounds, each with prompts of its own; the fast ones are judged."""
    generator, found = np.random.default_rng(0), list(rows)
    seen: list[list[tuple[float, float, float]]] = [[] for _ in rows]
    alive = [at for at, row in enumerate(rows) if not row.fault]
    with progress("speed of candidates", config.rounds, unit="rounds") as advance:
        for turn in range(config.rounds):
            for at in generator.permutation(alive).tolist():
                try:
                    seen[at].append(_speed(open_row(at), generator, vocabulary, config))
                except (UserError, RuntimeError) as fault:
                    found[at] = replace(found[at], fault=str(fault))
                gc.collect()  # weights of the last one, before the next takes as much
            best = {at: max(pace(*one[:2], config) for one in seen[at]) for at in alive if not found[at].fault}
            if turn < JUDGED:
                alive = [at for at in best if best[at] >= SLOW[turn] * max(best.values())]
                found = [row if at in alive or row.fault else replace(row, slow=True) for at, row in enumerate(found)]
            elif turn == JUDGED:
                found = _judged_fastest(found, best, judge, config)
                alive = [at for at in best if passes(found[at], config)]
            else:
                alive = [at for at in best if best[at] >= SLOW.get(turn, 0.0) * max(best.values())]
            advance()
    return [_with_speed(row, values, row.fault) for row, values in zip(found, seen, strict=True)]


def _judged_fastest(
    rows: Sequence[Row], best: Mapping[int, float], judge: Callable[[Row], Row], config: Config
) -> list[Row]:
    """Rows judged from the fastest down to those that are much slower than one that passed."""
    found, enough = list(rows), 0.0
    for at in sorted(best, key=lambda at: -best[at]):
        if best[at] < SLOW[JUDGED] * enough:
            found[at] = replace(found[at], slow=True)
            continue
        found[at] = judge(found[at])
        if not enough and passes(found[at], config):
            enough = best[at]
    return found


def _with_speed(row: Row, values: Sequence[tuple[float, float, float]], fault: str) -> Row:
    if not values or fault:
        return replace(row, fault=fault[:200])
    decode, prefill, first = np.array(values).T
    spread = stats.bootstrap(decode, np.median)
    return Row(**{
        **plain(row), "decode": spread.value, "decode_low": spread.low, "decode_high": spread.high,
        "prefill": float(np.median(prefill)), "first_token": float(np.median(first)),
    })  # fmt: skip


def _speed(engine: Generator, generator: np.random.Generator, vocabulary: int, config: Config) -> tuple[float, ...]:
    """Decode and prefill in tokens a second, and seconds to the first token, after a short reply to warm up."""
    told = Sampling(max_tokens=config.reply, ignore_end=True, temperature=1.0)  # drawn: nothing to look up
    length = min(config.prompt, engine.longest - config.reply)

    def reply() -> Statistics:
        *_, last = engine.stream(generator.integers(0, vocabulary, length).tolist(), told)
        assert last.statistics is not None
        return last.statistics

    reply()
    seen = [reply()]
    while sum(one.seconds for one in seen) < config.seconds:
        seen.append(reply())
    first = float(np.median([one.first_token for one in seen]))
    decoding = sum(one.seconds - one.first_token for one in seen)
    return sum(one.tokens - 1 for one in seen) / max(decoding, 1e-9), length / first, first


def _opener(rows: Sequence[Row]) -> Callable[[int], Generator]:
    def open_row(at: int) -> Generator:
        row = rows[at]
        return opened(artifacts.open(row.folder), row.threads, row.computed)

    return open_row


def _made(
    artifact: Artifact,
    runs: Path,
    config: Config,
    wanted: Callable[[str, str], bool],
    useless: Callable[[str, str | None], str],
) -> Iterator[Row]:
    """The model in every format and precision that is wanted and can be made here; a fault where not, or useless."""
    formats = config.formats or ("torch", *sorted({*decoding.DECODERS, "gguf"} - {"torch"}))
    for format in formats:
        packages = (*export.PACKAGES.get(format, ()), *(("xllamacpp",) if format == "gguf" else ()))
        if any(importlib.util.find_spec(package) is None for package in packages):
            continue
        for stored in STORED.get(format, ("",)):
            if not wanted(format, stored):
                continue
            about: dict[str, Any] = {"format": format, "stored": stored, "threads": 1}
            reasons = {computed: useless(stored, computed) for computed in COMPUTED.get(format, (None,))}
            if all(reasons.values()):
                for computed, why in reasons.items():
                    yield Row(**about, computed=computed, folder=str(artifact.folder), fault=why)
                continue
            try:
                made = _written(artifact, runs, format, stored)
            except UserError as refusal:
                yield Row(**about, computed=None, folder=str(artifact.folder), fault=str(refusal)[:200])
                continue
            for computed, why in reasons.items():
                if format == "openvino" and computed not in choices(made):
                    continue  # this processor would imitate it
                yield Row(**about, computed=computed, folder=str(made.folder), fault=why)


def _written(artifact: Artifact, runs: Path, format: str, stored: str) -> Artifact:
    if format == "torch":
        return artifact
    if format == "gguf":
        settings = recipe.build(export.Config, {"examples": FEW, "precision": stored}, "export")
        return stages.exported(runs, artifact, format, settings)
    few = export.Config(examples=FEW)
    if not stored:
        return stages.exported(runs, artifact, format, few)
    step = recipe.build(quantize.Config, {"to": stored, "format": format, "examples": FEW}, "quantize")
    made = stages.carried_out(runs, artifact, [step], compare=False, file=few)  # its perplexity is judged here
    return stages.exported(runs, made, format, few) if made.format == "torch" else made


def held_out(artifact: Artifact, most: int) -> list[tuple[list[int], NDArray[np.int64]]]:
    """Validation texts of a model, their ids and the next ones that count; at most so many tokens in all."""
    rows: Any = open_task(artifact).splits["validation"]  # type: ignore[attr-defined]
    found, count = [], 0
    for at in range(len(rows.starts) - 1):
        where = slice(int(rows.starts[at]), int(rows.starts[at + 1]))
        ids, labels = rows.ids_M[where][: most - count], rows.labels_M[where][: most - count].astype(np.int64)
        if len(ids) and (labels != IGNORED).any():
            found.append((ids.tolist(), labels))
            count += len(ids)
        if count >= most:
            break
    return found


def _read(decoder: decoding.Decoder, ids: Sequence[int]) -> NDArray[np.float32]:
    decoder.keep(0)
    return decoder.feed(ids, all=True)


def _losses(logits: Losses, texts: Sequence[tuple[list[int], NDArray[np.int64]]]) -> list[NDArray[np.float64]]:
    """Cross-entropy of each token that counts, text by text."""
    found = []
    for ids, labels in texts:
        logits_TV, counts = logits(ids), labels != IGNORED
        rows = zip(logits_TV[counts], labels[counts], strict=True)
        found.append(np.array([-logprobs(row)[label] for row, label in rows]))
    return found


def _judged(
    row: Row,
    texts: Sequence[tuple[list[int], NDArray[np.int64]]],
    reference: Sequence[NDArray[np.float64]],
    threads: int,
) -> Row:
    """A candidate with the share of perplexity that it loses, and the upper end of the interval over texts."""
    if row.fault:
        return row
    try:
        made = artifacts.open(row.folder)
        if row.format == "gguf":
            runner = export.open(made, threads)

            def logits(ids: Sequence[int]) -> NDArray[np.float32]:
                ids_1T = np.array([ids], np.int64)
                answer_1TV = runner({"ids": ids_1T, "positions": np.arange(len(ids))[None]})
                logits_TV: NDArray[np.float32] = answer_1TV[0]
                return logits_TV
        else:
            decoder = decoding.open(made, threads, row.computed)

            def logits(ids: Sequence[int]) -> NDArray[np.float32]:
                return _read(decoder, ids)

        own = _losses(logits, texts)
    except (UserError, RuntimeError) as refusal:
        return replace(row, fault=str(refusal)[:200])
    more = [a - b for a, b in zip(own, reference, strict=True)]
    spread = stats.clustered(np.concatenate(more), np.repeat(np.arange(len(more)), list(map(len, more))))
    loss, high = (math.exp(min(x, 50.0)) - 1 for x in (spread.value, spread.high))
    return replace(row, loss=loss, loss_high=high)
