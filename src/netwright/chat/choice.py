"""Which engine, precision and threads answer best on this machine: measured, not guessed, once.

    choice = choose(artifact, Path("runs"))
    engine = choice.open()
    print(choice.why)

Every runtime that is installed gets the model in every precision that somebody makes of it, llama.cpp's among them. A
candidate may lose at most 1 % of perplexity on the model's own validation texts, one of INT4 5 %, and that only where
it is faster. They are timed in interleaved rounds, each with a prompt of its own, because some runtimes keep prompts,
and compared by a whole turn of a chat: a prompt read, a reply decoded.

Perplexity takes longest, so after two rounds it is judged from the fastest down, and only as far as candidates are not
much slower than one that passed; who fails leaves, and of the others those that fall behind. What cannot win is not
even made: whole weights, where this machine's memory is too slow to bring them as often as a candidate of 8 bits that
passed makes a token; INT4 for OpenVINO, which takes minutes, where the bytes it saves could not make it the fastest.
The result is a run: the same model on the same machine with the same versions is not measured again.

xllamacpp tells no logprobs of a prompt, so the perplexity of a GGUF is that of its weights, dequantized, in torch:
llama.cpp rounds inputs to 8 bits as well, which is not in it.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib.metadata
import importlib.util
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from netwright import __version__, export
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
from netwright.core.recipe import Range, plain
from netwright.core.run import Run, progress
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


@dataclass(frozen=True, kw_only=True)
class Config:
    """How candidates are measured, and what they may lose."""

    tokens: Annotated[int, Range(16, 1_000_000)] = 4096
    """Validation tokens of the perplexity."""
    prompt: Annotated[int, Range(1, 100_000)] = 128
    reply: Annotated[int, Range(2, 10_000)] = 32
    seconds: Annotated[float, Range(0, 100)] = 0.5
    """What replies of a round last together, at least: small models answer in too short a time to be told apart."""
    rounds: Annotated[int, Range(2, 1000)] = 7
    answer: Annotated[int, Range(1, 100_000)] = 256
    """Tokens that are answered to a prompt in the turn by which candidates are compared."""
    loss: Annotated[float, Range(0, 10)] = 0.01
    """Share of perplexity that a candidate may lose."""
    loss_4bit: Annotated[float, Range(0, 10)] = 0.05
    """Of 4 bits: what the upper end of the interval may lose, because a few texts can be lucky ones."""
    gain_4bit: Annotated[float, Range(1, 10)] = 1.05
    """How many times as fast as the best of the others one of 4 bits has to be."""
    threads: tuple[int, ...] = ()
    """Counts of threads; empty: 1, 2, 4 and so on, and as many as this process may use."""
    formats: tuple[str, ...] = ()
    """Formats to try; empty: all whose packages are installed."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A candidate and what was seen of it. Speeds are medians over rounds, in tokens a second."""

    format: str
    stored: str
    computed: str | None
    threads: int
    folder: str
    loss: float = 0.0
    """Share of perplexity lost; the upper end of its interval is `loss_high`."""
    loss_high: float = 0.0
    decode: float = 0.0
    decode_low: float = 0.0
    decode_high: float = 0.0
    prefill: float = 0.0
    first_token: float = 0.0
    fault: str = ""
    slow: bool = False
    """Too slow for its perplexity to be judged: what it loses is not known."""

    @property
    def name(self) -> str:
        """What a table prints."""
        told = [self.format if self.format != "gguf" else "llama.cpp", self.stored.removesuffix("-weights") or "fp32"]
        return " ".join([*told, f"in {self.computed}" if self.computed else ""]).strip()

    @property
    def four_bits(self) -> bool:
        """Whether weights have 4 bits."""
        return self.stored.startswith(("Q4", "int4"))


@dataclass(frozen=True, kw_only=True)
class Choice:
    """All candidates, which of them is best, and why."""

    rows: tuple[Row, ...]
    chosen: int
    why: str

    @property
    def row(self) -> Row:
        """The best one."""
        return self.rows[self.chosen]

    def open(self) -> Generator:
        """The best one, opened."""
        return opened(artifacts.open(self.row.folder), self.row.threads, self.row.computed)


def choose(artifact: Artifact, runs: Path, config: Config = Config(), fresh: bool = False) -> Choice:
    """Measure, or read what was measured of this model, machine and versions. Raises UserError where none runs."""
    with Run.start(runs, "choose", key(artifact, config), fresh) as run:
        if not run.done or not all(Path(row["folder"]).is_dir() for row in run.result["rows"]):
            rows = measured(artifact, runs, config)
            chosen, why = weighed(rows, config)
            run.finish(plain(Choice(rows=tuple(rows), chosen=chosen, why=why)))
        return from_plain(run.result)


def known(artifact: Artifact, runs: Path, config: Config = Config()) -> Choice | None:
    """What was chosen before; None where nothing was measured."""
    digest = recipe.digest({"verb": "choose", "version": __version__, **key(artifact, config)})
    if not list(runs.glob(f"*-choose-{digest[:10]}")):
        return None
    with Run.start(runs, "choose", key(artifact, config)) as run:
        return from_plain(run.result) if run.done else None


def key(artifact: Artifact, config: Config) -> dict[str, Any]:
    """What determines a choice: model, machine, versions, settings."""
    versions = {}
    for package in ("torch", "openvino", "onnxruntime", "xllamacpp"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {"artifact": artifact.digest, "machine": detect.fingerprint(), "versions": versions, "choose": plain(config)}


def from_plain(result: Mapping[str, Any]) -> Choice:
    """A choice out of JSON."""
    return Choice(rows=tuple(Row(**row) for row in result["rows"]), chosen=result["chosen"], why=result["why"])


def weighed(rows: Sequence[Row], config: Config) -> tuple[int, str]:
    """Which row is best, and why. Raises UserError where no candidate runs and is good enough."""
    fine = [at for at, row in enumerate(rows) if row.decode > 0 and passes(row, config)]
    whole = [at for at in fine if not rows[at].four_bits]
    if not fine:
        raise UserError("model", "no candidate", "none runs here and keeps its perplexity", "netwright doctor")
    speed = [pace(row.decode, row.prefill, config) for row in rows]
    best = max(whole, key=lambda at: speed[at], default=None)
    four = max((at for at in fine if rows[at].four_bits), key=lambda at: speed[at], default=None)
    if best is None or (four is not None and speed[four] >= config.gain_4bit * speed[best]):
        assert four is not None
        than = f", {speed[four] / speed[best]:.2f} times {rows[best].name}" if best is not None else ""
        return four, _why(rows[four], f"fastest, and loses no more than 4 bits may{than}")
    # within 2 % it is chance; then what loses less is better
    near = [at for at in whole if speed[at] >= 0.98 * speed[best]]
    best = min(near, key=lambda at: (rows[at].loss, -speed[at]))
    quicker = [at for at, row in enumerate(rows) if speed[at] > speed[best] and not passes(row, config)]
    more = f"; {len(quicker)} faster ones lose too much" if quicker else ""
    return best, _why(rows[best], f"fastest of {len(fine)} that keep their perplexity{more}")


def pace(decode: float, prefill: float, config: Config) -> float:
    """Tokens a second of a whole turn, its prompt read before: who decodes best may read ten times as slowly."""
    reading = config.prompt / prefill if prefill else 0.0
    return decode / (1 + decode * reading / config.answer)


def passes(row: Row, config: Config) -> bool:
    """Whether a candidate keeps enough of the model's perplexity."""
    if row.fault or row.slow:
        return False
    return max(row.loss, row.loss_high) <= config.loss_4bit if row.four_bits else row.loss <= config.loss


def _why(row: Row, because: str) -> str:
    threads = f"{row.threads} thread{'s' if row.threads > 1 else ''}"
    return f"{row.name}, {threads}: {because} ({row.decode:.1f} tokens/s, perplexity {row.loss:+.2%})"


def table(choice: Choice, config: Config = Config()) -> Any:
    """What `--explain` prints: the fastest first, those that lose too much in grey; below them what does not run."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, padding=(0, 1))
    made.add_column("engine", no_wrap=True)
    for title in ("threads", "tokens/s", "prefill/s", "turn", "perplexity"):
        made.add_column(title, justify="right", no_wrap=True)
    speed = [pace(row.decode, row.prefill, config) for row in choice.rows]
    order = sorted(range(len(choice.rows)), key=lambda at: -speed[at])
    for at in order:
        row = choice.rows[at]
        if row.fault:
            continue
        style = "bold" if at == choice.chosen else "" if passes(row, config) else "dim"
        decode = f"{row.decode:.3g} [{row.decode_low:.3g}, {row.decode_high:.3g}]" if row.decode else "left early"
        turn = f"{config.answer / speed[at]:.2f} s" if row.decode else ""
        prefill = f"{row.prefill:.0f}" if row.decode else ""
        lost = "" if row.slow else f"{100 * row.loss:+.2f} %" + (" " if passes(row, config) else "*")
        made.add_row(row.name, str(row.threads), decode, prefill, turn, lost, style=style)
    faults: dict[str, list[str]] = {}
    for row in choice.rows:
        if row.fault:
            names = faults.setdefault(row.fault, [])
            names += [row.name] if row.name not in names else []
    told = Text(f"turn: {config.prompt} tokens read, {config.answer} answered", "dim")
    much = (
        [Text("* loses too much", "dim")]
        if any(not row.fault and not row.slow and not passes(row, config) for row in choice.rows)
        else []
    )
    return Group(made, told, *much, *(Text(f"{', '.join(names)}: {fault}", "dim") for fault, names in faults.items()))


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
