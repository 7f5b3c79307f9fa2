"""The equality certificate of an export: does the file answer what its source answers?

Both are run on the same real validation examples, in batches of several sizes and, where a task leaves a
dimension open, cut to several lengths. The certificate says what the runtime executed, because a file
called fp32 that runs in bf16 is another model. It does not know how a file was made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netwright import export
from netwright.core import artifact as artifacts
from netwright.core import recipe, stats, workload
from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.core.run import progress
from netwright.export import card, decoding, tokens

if TYPE_CHECKING:
    from netwright.data.tasks import Task

FILE = "certificate.json"
SIZES = (1, 1, 1, 2, 3, 5, 17)
"""Batch sizes tried first; the rest of the examples go in batches of 64."""
LENGTHS = (1, 2, 9)
"""What an open dimension is cut to, besides the lengths of the examples themselves."""
NEAR = 0.02
"""How near two estimates of a number from 0 to 1 lie that say the same: half of what the better predictors err by."""
LIMITS = {  # precision -> the largest relative error, the smallest agreement, what a runtime may execute
    "fp32": (1e-4, 0.999, ("fp32",)),
    "bf16": (5e-2, 0.98, ("bf16", "fp16", "fp32")),
    "fp16": (5e-2, 0.98, ("fp16", "bf16", "fp32")),
    "int8": (1.0, 0.95, ("int8",)),
    "int8-dynamic": (1.0, 0.95, ("int8",)),
    "int8-weights": (1.0, 0.95, ("fp32", "bf16", "fp16", "int8")),
    "int4": (1.0, 0.9, ("int8", "fp32")),
    "int4-weights": (1.0, 0.9, ("fp32", "bf16", "fp16", "int8")),
}
"""fp32: 60 times the 1.6e-6 seen between runtimes; integers: agreement decides, an error as large as the
signal means a broken graph. Of what is stored in half precision the runtime chooses the arithmetic."""


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """How far a candidate is from its reference, and whether that is near enough.

    `relative_error` is |candidate - reference|_2 / |reference|_2 over all logits; `agreement` the share of
    the `n` examples whose top class is the same, or whose estimate of a number is within NEAR, with Wilson's
    95 % interval; of language models `n` counts tokens, and the interval is over rows. `layers` counts matrix
    layers by the precision they were executed in. `faults` is empty when it passed.
    """

    reference: str
    n: int
    max_absolute_error: float
    relative_error: float
    relative_limit: float
    agreement: float
    agreement_low: float
    agreement_high: float
    agreement_limit: float
    precision: str
    executed: str
    reference_executed: str
    layers: dict[str, int]
    batches: tuple[int, ...]
    lengths: tuple[int, ...]
    faults: tuple[str, ...]
    perplexity: float = 0.0
    """Of a language model, on the same tokens as `reference_perplexity`; 0 of any other."""
    reference_perplexity: float = 0.0

    @property
    def passed(self) -> bool:
        return not self.faults


def verify(candidate: Artifact, reference: Artifact, task: Task, n: int = 1000, threads: int = 1) -> Certificate:
    """Compare two artifacts of one task on `n` validation examples, or on all where there are fewer.

    Of language models a certificate takes 8,192 tokens at most.
    """
    new, old = export.open(candidate, threads), export.open(reference, threads)
    n = min(n, task.size("validation"))
    if decoding.generates(candidate):
        return _of_tokens(candidate, reference, task, n, new, old)
    found: list[tuple[NDArray[Any], NDArray[Any]]] = []
    batches, lengths = set(), set()
    with progress(f"verifying {candidate.format} {candidate.precision}", n) as advance:
        for inputs in _batches(task, n):
            found.append((old(inputs), new(inputs)))
            batches.add(len(found[-1][0]))
            lengths |= _lengths(task, inputs)
            advance(len(found[-1][0]))
        cut = [(old(inputs), new(inputs)) for inputs in _cut(task)]
        lengths |= {length for inputs in _cut(task) for length in _lengths(task, inputs)}
    want_NK, got_NK = (np.concatenate(side) for side in zip(*found, strict=True))
    want, got = (np.concatenate([x.ravel() for x in side]) for side in zip(*found, *cut, strict=True))
    same = stats.proportion(int(alike(want_NK, got_NK).sum()), n)
    finite = bool(np.isfinite(got).all() and np.isfinite(want).all())
    largest = float(np.abs(got - want).max()) if finite else -1.0
    relative = float(np.linalg.norm(got - want) / max(float(np.linalg.norm(want)), 1e-30)) if finite else -1.0
    relative_limit, agreement_limit, executable = LIMITS[candidate.precision]
    faults = []
    if not finite:
        faults.append("an answer is not finite")
    if relative > relative_limit:
        faults.append(f"relative error {relative:.2g} is above {relative_limit:g}")
    if same.value < agreement_limit:
        kind = f"estimates within {NEAR:g}" if want_NK.shape[1] == 1 else "top-1 agreement"
        faults.append(f"{kind} {same.value:.4f} is below {agreement_limit:g}")
    if new.precision not in executable:
        faults.append(f"it is executed in {new.precision}, not in {' or '.join(executable)}")
    return Certificate(
        reference=reference.digest,
        n=n,
        max_absolute_error=largest,
        relative_error=relative,
        relative_limit=relative_limit,
        agreement=same.value,
        agreement_low=same.low,
        agreement_high=same.high,
        agreement_limit=agreement_limit,
        precision=candidate.precision,
        executed=new.precision,
        reference_executed=old.precision,
        layers=dict(new.layers),
        batches=tuple(sorted(batches)),
        lengths=tuple(sorted(lengths)),
        faults=tuple(faults),
    )


def _of_tokens(
    candidate: Artifact, reference: Artifact, task: Task, n: int, new: export.Runner, old: export.Runner
) -> Certificate:
    with progress(f"verifying {candidate.format} {candidate.precision}", n) as advance:
        found = tokens.compared(new, old, task, n, advance)
    relative = math.sqrt(found.squares / max(found.signal, 1e-30)) if found.finite else -1.0
    relative_limit, _, executable = LIMITS[candidate.precision]
    faults = [] if found.finite else ["an answer is not finite"]
    if relative > relative_limit:
        faults.append(f"relative error {relative:.2g} is above {relative_limit:g}")
    if found.finite:
        faults += tokens.faults(found, candidate.precision)
    if new.precision not in executable:
        faults.append(f"it is executed in {new.precision}, not in {' or '.join(executable)}")
    same, (perplexity, reference_perplexity) = found.agreement, found.perplexities
    return Certificate(
        reference=reference.digest,
        n=same.n,
        max_absolute_error=found.largest if found.finite else -1.0,
        relative_error=relative,
        relative_limit=relative_limit,
        agreement=same.value,
        agreement_low=same.low,
        agreement_high=same.high,
        agreement_limit=tokens.LIMITS[candidate.precision][0],
        precision=candidate.precision,
        executed=new.precision,
        reference_executed=old.precision,
        layers=dict(new.layers),
        batches=tuple(sorted(found.batches)),
        lengths=tuple(sorted(found.lengths)),
        faults=tuple(faults),
        perplexity=perplexity if found.finite else 0.0,
        reference_perplexity=reference_perplexity if found.finite else 0.0,
    )


def alike(want_NK: NDArray[Any], got_NK: NDArray[Any]) -> NDArray[np.bool_]:
    """Which answers say the same: the top class, or a number within NEAR."""
    if want_NK.shape[1] == 1:
        near_N: NDArray[np.bool_] = np.abs(want_NK[:, 0] - got_NK[:, 0]) <= NEAR
        return near_N
    same_N: NDArray[np.bool_] = want_NK.argmax(1) == got_NK.argmax(1)
    return same_N


def certified(
    folder: Path,
    fill: Callable[[Path], None],
    parent: Artifact,
    task: Task,
    *,
    n: int,
    threads: int,
    **about: Any,
) -> Artifact:
    """Make an artifact from a parent: files, what the parent carries, a certificate against it, and a card.

    `about` is its format, precision and made_by. An artifact that should equal its parent and does not is
    refused with UserError, and leaves nothing; one of lower precision is kept, its verdict with it.
    """
    same = {key: getattr(parent, key) for key in ("task", "model", "inputs", "processor")}
    whole = {**same, "parents": (parent.digest,), **about}

    def fill_and_verify(draft: Path) -> None:
        carry(parent, draft)
        fill(draft)
        files = {path.relative_to(draft).as_posix(): artifacts.describe(path) for path in _files(draft)}
        made = Artifact(folder=draft, files=files, **whole)
        certificate = verify(made, parent, task, n, threads)
        if certificate.faults and about["precision"] == parent.precision:
            raise UserError(
                "certificate", f"{about['format']} {about['precision']}", "; ".join(certificate.faults),
                "netwright doctor; then report the model and these numbers",
            )  # fmt: skip
        artifacts.write_json(draft / FILE, certificate)
        (draft / card.FILE).write_text(card.written(made, certificate), encoding="utf-8")

    return artifacts.create(folder, fill_and_verify, **whole)


def carry(parent: Artifact, draft: Path) -> None:
    """Copy what a parent hands on: its workload and the files of its processor."""
    if workload.FILE in parent.files:
        workload.read(parent.folder)  # refused here where it is none
    for name in parent.files:
        if name == workload.FILE or name in _named(parent.processor):
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            (draft / name).write_bytes(parent.path(name).read_bytes())


def read(artifact: Artifact) -> Certificate | None:
    """The certificate of an artifact, or None where it was never compared (a trained one)."""
    if FILE not in artifact.files:
        return None
    certificate: Certificate = recipe.build(Certificate, artifacts.read_json(artifact.path(FILE)), "certificate")
    return certificate


def _batches(task: Task, n: int) -> Iterator[Mapping[str, NDArray[Any]]]:
    import torch

    order_N = torch.randperm(task.size("validation"), generator=torch.Generator().manual_seed(0))[:n]
    start = 0
    for size in (*SIZES, *[64] * (n // 64 + 1)):
        if start < n:
            batch = task.batch("validation", order_N[start : start + size])
            yield {name: x.numpy() for name, x in batch.inputs.items()}
            start += size


def _cut(task: Task) -> Iterator[Mapping[str, NDArray[Any]]]:
    if not any(None in x.shape for x in task.inputs.values()):
        return
    whole = {name: x.numpy() for name, x in task.example(3).items()}
    for length in LENGTHS:
        yield {
            name: x[(slice(None), *(slice(None if size else length) for size in task.inputs[name].shape))]
            for name, x in whole.items()
        }


def _lengths(task: Task, inputs: Mapping[str, NDArray[Any]]) -> set[int]:
    return {
        x.shape[at + 1] for name, x in inputs.items() for at, size in enumerate(task.inputs[name].shape) if size is None
    }


def _files(draft: Path) -> list[Path]:
    return sorted(path for path in draft.rglob("*") if path.is_file())


def _named(value: Any) -> set[str]:
    """Every text inside a processor's plain data: the names of its files are among them."""
    if isinstance(value, str):
        return {value}
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    return {name for part in parts for name in _named(part)}
