"""Distillation: a smaller network learns what a larger one answers, beside the labels.

    student = apply(artifact, task, Config(keep=0.25), Path("runs/x/artifact"))

Answers are softened by a temperature (Hinton et al. 2015, arXiv:1503.02531). Hidden states are compared by how alike
the examples of a batch are in them (similarity-preserving, Tung and Mori 2019, arXiv:1907.09682), attention by where a
layer's activation is (Zagoruyko and Komodakis 2017, arXiv:1612.03928; of tokens, by which are alike, as MiniLM does,
Wang et al. 2020, arXiv:2002.10957): neither needs equal widths. The student is the network with other settings,
initialized anew, or the teacher pruned, or coarsened. Does not know either network.

Shape legend: B batch, K classes, C channels, T tokens, D width.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from netwright.compress import retrain
from netwright.core import recipe, table
from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.core.recipe import Range, plain
from netwright.core.run import Run, progress

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netwright.data.tasks import Batch, Task
    from netwright.train.step import Config as Training

TEMPERATURE, WEIGHT = 4.0, 0.7
STAGES = 4
"""Places in the networks that are compared, at most, unless they are named."""


@dataclass(frozen=True, kw_only=True)
class Config(retrain.Retraining):
    """Who learns, and what from."""

    name: Literal["distill"] = "distill"
    student: tuple[str, ...] = ()
    """Settings of the student that differ from the teacher's, ["width=16"]; another network by ["name=mlp"]."""
    start: Literal["pruned", "coarse", "fresh"] = "pruned"
    """Without `student`: the teacher pruned to `keep`, or its first coarser level."""
    keep: Annotated[float, Range(0.01, 0.99)] = 0.25
    """Share of the teacher's FLOPs, of a pruned student."""
    temperature: Annotated[float, Range(0.1, 100)] = TEMPERATURE
    weight: Annotated[float, Range(0, 1)] = WEIGHT
    """Of the teacher's answers in the loss; the labels have the rest."""
    hidden: Annotated[float, Range(0, 1e6)] = 0.0
    """Weight of hidden states."""
    attention: Annotated[float, Range(0, 1e6)] = 0.0
    """Weight of attention."""
    layers: tuple[str, ...] = ()
    """Where hidden states and attention are compared; without, at the ends of the network's stages."""


def apply(artifact: Artifact, task: Task, config: Config, folder: Path, run: Run | None = None) -> Artifact:
    """A student of format "torch" at `folder`.

    With a run, training reports to it and goes on after a kill. Raises UserError for an artifact that is no torch
    network, settings that no network has, and layers that are not in both.
    """
    import torch

    from netwright.models import facts
    from netwright.models.load import open_model
    from netwright.train import loop

    check_source(artifact, config)
    with progress("making a student", 1) as advance:
        teacher = open_model(artifact)
        model, section = student(artifact, teacher, task, config)
        works = [facts.trace(one, task.example(1)) for one in (teacher, model)]
        advance()
    training = settings(artifact, config)
    layers = compared(teacher, model, config)
    with torch.random.fork_rng(devices=[]):
        loop.fit(model, taught(task, teacher, training, config, layers), training, run)
    about = {"flops": works[1].flops / works[0].flops, "parameters": works[1].parameters / works[0].parameters}
    made_by = {**plain(config), **about, "compared": list(layers), "train": plain(training)}
    return retrain.saved(model, artifact, task, folder, works[1], section, made_by)


def check_source(artifact: Artifact, config: Config) -> None:
    """Raises UserError for an artifact that cannot teach: one on grids, and one that answers a number."""
    retrain.check_source(artifact, "distill")
    if len(artifact.task.get("classes", ())) == 1:
        raise UserError(
            "compress.name", "distill", "what is passed on is a distribution over classes, and this answers a number",
            "--method prune",
        )  # fmt: skip


def settings(artifact: Artifact, config: Config) -> Training:
    """How the student is trained."""
    fresh = bool(config.student) or config.start == "fresh"
    own = dict(artifact.made_by.get("train", {}))
    epochs = int(own.get("epochs", 0)) if fresh else 0
    return retrain.continued(artifact, config, slower=1.0 if fresh else 0.5, epochs=epochs)


def student(artifact: Artifact, teacher: nn.Module, task: Task, config: Config) -> tuple[nn.Module, dict[str, Any]]:
    """The network that learns, and the model section that rebuilds it."""
    import torch

    from netwright.compress import prune
    from netwright.models import resized
    from netwright.train.multilevel.hierarchy import Hierarchy

    plain_section = {key: value for key, value in artifact.model.items() if key != resized.KEY}
    if config.student or config.start == "fresh":
        return _fresh(plain_section, task, config)
    with torch.random.fork_rng(devices=[]):
        if config.start == "coarse":
            example = task.example(2)
            hierarchy = Hierarchy.build(teacher, example, levels=2)
            hierarchy.restrict(0)
            small: nn.Module = hierarchy.levels[1].model
        else:
            small = prune.pruned(teacher, task, prune.Config(keep=config.keep))
    return small, {**artifact.model, resized.KEY: resized.difference(prune.whole(artifact), small)}


def _fresh(section: Mapping[str, Any], task: Task, config: Config) -> tuple[nn.Module, dict[str, Any]]:
    import torch

    from netwright.models import MODELS, FromData
    from netwright.train.step import mix

    changed = recipe.words(config.student, "compress.student")
    other = changed.get("name", section["name"]) != section["name"]
    module = table.resolve(MODELS, changed.get("name", section["name"]), "model.name", "netwright.models")
    parsed = recipe.build(module.Config, changed if other else {**section, **changed}, "compress.student")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix(config.seed, "weights"))
        model: nn.Module = module.build(parsed, task.inputs, len(task.classes))
    if isinstance(model, FromData):
        model.initialize(task.batch("train", torch.arange(min(5000, task.size("train")))).inputs)
    return model, plain(parsed)


def compared(teacher: nn.Module, model: nn.Module, config: Config) -> tuple[str, ...]:
    """Where both networks are looked at; nowhere if neither hidden states nor attention count."""
    from torch import nn

    if not (config.hidden or config.attention):
        return ()
    both = dict(teacher.named_modules()).keys() & dict(model.named_modules()).keys()
    for name in config.layers:
        if name not in both:
            raise UserError("compress.layers", name, "a layer of teacher and student", "compress.layers=[]")
    lists = [
        (name, module) for name, module in model.named_modules() if isinstance(module, (nn.Sequential, nn.ModuleList))
    ]
    stages = [f"{name}.{child}" for name, module in lists[:1] for child, _ in module.named_children()]
    found = config.layers or tuple(name for name in stages if name in both)[-STAGES:]
    if not found:
        raise UserError("compress.layers", [], "names of layers: the networks have no stages in common",
                        'compress.layers=["..."]')  # fmt: skip
    return found


def taught(
    task: Task, teacher: nn.Module, training: Training, config: Config | None = None, layers: Sequence[str] = ()
) -> Taught:
    """A task whose loss holds what a teacher answers."""
    from netwright.train.step import channels_last, choose_device

    config = config or Config()
    teacher = channels_last(teacher.to(choose_device(training.device)))
    return Taught(task, teacher.eval().requires_grad_(False), config, tuple(layers))


class Taught:
    """A task, but for its loss."""

    def __init__(self, task: Task, teacher: nn.Module, config: Config, layers: tuple[str, ...]) -> None:
        self._task, self._teacher, self._config, self._layers = task, teacher, config, layers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def loss(self, model: nn.Module, batch: Batch, smoothing: float = 0.0) -> Tensor:
        """The task's own loss and the teacher's, weighted; in evaluation the task's own."""
        import torch

        if not model.training:
            return self._task.loss(model, batch, smoothing)
        heard: list[Tensor] = []

        def listening(**inputs: Tensor) -> Tensor:
            heard.append(model(**inputs))
            return heard[-1]

        with seen(model, self._layers) as student_states:
            own = self._task.loss(listening, batch, smoothing)  # type: ignore[arg-type]
        with torch.no_grad(), seen(self._teacher, self._layers) as teacher_states:
            wanted_BK = self._teacher(**batch.inputs)
        config = self._config
        total = (1 - config.weight) * own + config.weight * softened(heard[-1], wanted_BK, config.temperature)
        for name in self._layers:
            a, b = student_states[name].float(), teacher_states[name].float()
            if config.hidden:
                total = total + config.hidden * (alike(a) - alike(b)).square().mean() * len(a)
            if config.attention and a.dim() > 2:  # a vector an example has no places
                total = total + config.attention * (where(a) - where(b)).square().sum(1).mean()
        return total


def softened(logits_BK: Tensor, wanted_BK: Tensor, temperature: float) -> Tensor:
    """T^2 KL(wanted || logits), both softened by T: a scalar (Hinton et al. 2015, section 2)."""
    from torch.nn import functional

    got, want = (x.float() / temperature for x in (logits_BK, wanted_BK))
    return temperature**2 * functional.kl_div(
        got.log_softmax(-1), want.log_softmax(-1), reduction="batchmean", log_target=True
    )


def alike(x: Tensor) -> Tensor:
    """How alike the examples of a batch are, rows of unit length: (B, B) (Tung and Mori 2019, equation 2)."""
    from torch.nn import functional

    x_BD = x.flatten(1)
    return functional.normalize(x_BD @ x_BD.T, dim=1)


def where(x: Tensor) -> Tensor:
    """Where activation is, of unit length: over places of (B, C, H, W), over pairs of tokens of (B, T, D)."""
    from torch.nn import functional

    if x.dim() == 3:
        tokens_BTD = functional.normalize(x, dim=2)
        return functional.normalize((tokens_BTD @ tokens_BTD.transpose(1, 2)).flatten(1), dim=1)
    return functional.normalize(x.square().mean(1).flatten(1), dim=1)


@contextlib.contextmanager
def seen(model: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """What layers answer while the network is called within."""
    found: dict[str, Any] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, answer: Any) -> None:
            found[name] = answer

        return hook

    inner = getattr(model, "module", model)  # of one that is wrapped for several processes
    handles = [inner.get_submodule(name).register_forward_hook(keep(name)) for name in layers]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
