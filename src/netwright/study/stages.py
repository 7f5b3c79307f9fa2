"""The stages of a study, each a run of its own: what has not changed is found again and not done again.

A stage's key holds all that determines its result: settings, digests of what went in, and for what is
measured also the machine. The verbs export, compress and bench are these stages too, and so find what a
study made. Knows no ranking and no report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from netwright import export
from netwright.compress import METHODS, chain, quantize
from netwright.core import artifact, recipe, table, verdict
from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.core.measurement import Measurement, in_result
from netwright.core.recipe import plain
from netwright.core.run import Run, state
from netwright.data.regression import evaluation
from netwright.data.tasks import Evaluation, Split, Task
from netwright.hardware import detect
from netwright.measure import bench, evaluate, quality
from netwright.models.load import open_task
from netwright.train import training

DEFAULT_EXPORT = export.Config()


@dataclass(frozen=True)
class Job:
    """A network and what is to become of it, as plain data that travels to another process or machine.

    `steps` are settings of methods (`compress.chain`), carried out in order; `format` is what the result is written in,
    "" for the network itself.
    """

    runs: str
    source: str
    format: str
    steps: tuple[dict[str, Any], ...] = ()

    @property
    def configs(self) -> tuple[Any, ...]:
        found = [recipe.build(recipe.config_of(METHODS, step, "compress"), step, step["name"]) for step in self.steps]
        return tuple(chain.written_in(found, self.format))


def waves(jobs: Sequence[Job]) -> list[list[Job]]:
    """The jobs and the networks that they share, each once, so that no job of a list waits for another of it."""
    networks = [
        replace(job, format="", steps=job.steps[:length])
        for job in jobs
        for length in range(1, len(job.steps) + 1)
        if chain.makes_torch(job.configs[length - 1])
    ]
    depth = max((len(job.steps) for job in networks), default=0)
    found = [[job for job in networks if len(job.steps) == at + 1] for at in range(depth)]
    plain_files = [replace(job, steps=job.steps[:-1]) for job in jobs if job.steps and job.format
                   and not chain.makes_torch(job.configs[-1])]  # fmt: skip
    return [each for wave in [*found, plain_files, list(jobs)] if (each := _distinct(wave))]


def _distinct(jobs: Sequence[Job]) -> list[Job]:
    return list({recipe.digest(job): job for job in jobs}.values())


def made(job: Job) -> str:
    """Carry out a job; returns the folder of its artifact. What was made before is found again."""
    runs, configs = Path(job.runs), job.configs
    at = carried_out(runs, artifact.open(job.source), configs)
    return str((exported(runs, at, job.format) if job.format and at.format == "torch" else at).folder)


def carried_out(
    runs: Path,
    source: Artifact,
    steps: Sequence[Any],
    fresh: bool = False,
    compare: bool = True,
    file: export.Config = DEFAULT_EXPORT,
) -> Artifact:
    """An artifact made by methods in sequence; before one that works on a file, the network is exported as `file`."""
    at = source
    for step in steps:
        if not chain.makes_torch(step) and at.format == "torch":
            step = quantize.resolved(at, open_task(at), step)  # noqa: PLW2901 - what is sensitive is asked of the network
            at = at if quantize.of_network(step) else exported(runs, at, step.format, file)
        at = compressed(runs, at, step, fresh, compare)
    return at


def exported(
    runs: Path, source: Artifact, format: str, config: export.Config = DEFAULT_EXPORT, fresh: bool = False
) -> Artifact:
    """A torch artifact in another format, with its certificate."""
    with Run.start(runs, "export", {"artifact": source.digest, "format": format, "export": config}, fresh) as run:
        if not training.kept(run):
            made = export.write(
                source, format, open_task(source), run.folder / "artifact",
                n=config.examples, precision=config.precision, opset=config.opset,
            )  # fmt: skip
            run.finish({"artifact": made.digest})
        return training.opened(run)


def compressed(runs: Path, source: Artifact, config: Any, fresh: bool = False, compare: bool = True) -> Artifact:
    """An artifact made smaller by one method; with `compare` a language model's perplexity beside its source's."""
    method = table.resolve(METHODS, config.name, "compress.name", "netwright.methods")
    with Run.start(runs, "compress", {"artifact": source.digest, "compress": config}, fresh) as run:
        if not training.kept(run):
            made = method.apply(source, open_task(source), config, run.folder / "artifact", run)
            run.finish({"artifact": made.digest})
        made = training.opened(run)
        if compare and "positions" in source.inputs and "verdicts" not in run.result:
            run.finish({**run.result, **_cost(runs, source, made, run)})
        return made


def verdicts(made: Artifact) -> list[str]:
    """What a run has said of the language model that it made, against the one it was made from."""
    result = state(made.folder.parent).get("result")
    return list(result.get("verdicts", ())) if isinstance(result, dict) else []


def _cost(runs: Path, source: Artifact, made: Artifact, run: Run) -> dict[str, Any]:
    """Perplexity of a language model over that of the one it was made from, on the tokens of the test split."""
    try:
        task, threads = open_task(source), detect.usable_threads()
        mine, first = (evaluated(runs, one, task, threads)[0] for one in (made, source))
    except UserError as refusal:  # what was made is good without it
        run.note(f"Its perplexity was not compared with that of {source.name}. {refusal}")
        return {"verdicts": []}
    conditions = {"split": "test", "reference": source.digest, "threads": threads}
    change = mine.perplexity_ratio(first, artifact=made.digest, conditions=conditions)
    found = [mine.perplexity(artifact=made.digest, conditions=conditions), change]
    return {"measurements": plain(found), "verdicts": verdict.of(found, *evaluate.called([made, source]))}


def evaluated(
    runs: Path, source: Artifact, task: Task, threads: int, split: Split = "test"
) -> tuple[Evaluation, Measurement]:
    """What an artifact answers on every example of a split, and its accuracy, or correlation."""
    key = {"artifact": source.digest, "task": task.digest, "machine": detect.fingerprint(), "threads": threads}
    key |= {} if split == "test" else {"split": split}
    with Run.start(runs, "evaluate", key) as run:
        path = run.folder / "evaluation.safetensors"
        known = _answers(path) if run.done else None
        if known is None:
            seen, first = quality.quality(source, task, split, threads)
            seen_arrays = seen.arrays()
            artifact.replace_file(path, lambda draft: save_file(seen_arrays, draft))
            about = {"artifact": first.artifact, "conditions": first.conditions}
            run.finish({"measurements": [plain(one) for one in seen.judged(**about)]})
            known = seen
        return known, Measurement(**run.result["measurements"][0])


def _answers(path: Path) -> Evaluation | None:
    """What was kept of an evaluation; None where it is lost or damaged, and has to be done again."""
    try:
        return evaluation(load_file(path))
    except (OSError, SafetensorError, KeyError):
        return None


def benched(
    runs: Path, sources: Sequence[Artifact], config: bench.Config, fresh: bool = False, threads: Sequence[int] = ()
) -> tuple[Path, list[Measurement]]:
    """Speed, memory and size of all candidates, interleaved in one session, and the run's folder."""
    key = {"artifacts": [s.digest for s in sources], "bench": config, "machine": detect.fingerprint()}
    key |= {"threads": list(threads)} if threads else {}
    with Run.start(runs, "bench", key, fresh) as run:
        if not run.done:
            run.finish({"measurements": plain(bench.bench(sources, open_task(sources[0]), config, run, threads))})
        return run.folder, in_result(run.result)
