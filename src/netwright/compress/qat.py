"""Quantization-aware training: layers are put on grids and the network is trained on, through the rounding.

    fit = apply(artifact, task, Config(to="int4"), Path("runs/x/artifact"))

It is the one training loop; steps of weights and of inputs begin at those of calibration and are learned. With
`teacher` the network learns the answers of its own former self too, which costs a forward pass and finds what rounding
lost. Where examples are few, `learn="ranges"` leaves the weights alone. What comes out is a network of torch on grids;
the files written of it hold integers. Does not know the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from netwright.compress import calibration, quantize, retrain
from netwright.compress.calibration import Examples
from netwright.core import workload
from netwright.core.artifact import Artifact
from netwright.core.recipe import Range, plain
from netwright.core.run import Run, progress

if TYPE_CHECKING:
    from torch import nn

    from netwright.data.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Config(retrain.Retraining):
    """Which grids, and how long the network is trained on them."""

    name: Literal["qat"] = "qat"
    to: Literal["int8", "int4", "int8-weights", "int4-weights"] = "int4"
    """int4: weights of 4 bits, inputs of 8."""
    teacher: bool = True
    """Learn the answers of the network as it was, beside the labels."""
    learn: Literal["all", "ranges"] = "all"
    """ranges: weights are rounded by GPTQ and stay; steps of inputs, biases and normalization learn to answer as the
    teacher does. For networks of which there are few examples."""
    statistics: Literal["batch", "kept"] = "batch"
    """Of batch normalization: those of each batch, or those it has, which few examples or small batches would spoil."""
    group: Annotated[int, Range(8, 4096)] = 64
    """Weights of 4 bits that share a step, in linear layers."""
    keep: tuple[str, ...] = ()
    """Layers that stay in floating point, or have 8 bits of INT4, by their names in the network."""
    samples: Annotated[int, Range(1, 100_000)] = 2 * calibration.FEWEST
    """Training examples that grids of inputs are calibrated on."""


def apply(artifact: Artifact, task: Task, config: Config, folder: Path, run: Run | None = None) -> Artifact:
    """A network on grids, trained on, at `folder`.

    With a run, training reports to it and goes on after a kill. Raises UserError for an artifact that is no torch
    network, or is on grids already.
    """
    import torch

    from netwright.compress import distill, gptq
    from netwright.models import quantized
    from netwright.models.load import open_model
    from netwright.train import loop

    check_source(artifact, config)
    training = retrain.continued(artifact, config, slower=0.1)
    model = open_model(artifact)
    with progress("putting layers on grids", 2, unit="steps") as advance:
        bits = quantize.BITS[config.to]
        quantized.quantize(model, quantize.grids(model, *bits, config.group, config.keep, task.example(2)))
        advance(1, "weights")
        quantized.calibrate(model, Examples(task, config.seed, config.samples).batches(32))
        advance(1, "inputs")
    if config.statistics == "kept":
        keep_statistics(model)
    teaching = distill.Config()
    if config.learn == "ranges":
        gptq.settle(model, task.batch("train", Examples(task, config.seed, gptq.examples(task)).indices()).inputs)
        hold_weights(model)
        teaching = distill.Config(weight=1.0, temperature=2.0)
    learned = distill.taught(task, open_model(artifact), training, teaching) if config.teacher else task
    with torch.random.fork_rng(devices=[]):
        loop.fit(model, learned, training, run)
    work = quantize.work(workload.read(artifact.folder), config.to)
    section = {**artifact.model, quantized.KEY: quantized.stated(model)}
    return retrain.saved(model, artifact, task, folder, work, section, {**plain(config), "train": plain(training)})


def check_source(artifact: Artifact, config: Config) -> None:
    """Raises UserError for an artifact whose layers cannot be put on grids."""
    retrain.check_source(artifact, "qat")


def hold_weights(model: nn.Module) -> None:
    """Let the weights of layers on grids, and their steps, be as they are."""
    from netwright.models import quantized

    for layer in quantized.on_grid(model).values():
        layer.weight.requires_grad_(False)
        layer.weight_step.requires_grad_(False)


def keep_statistics(model: nn.Module) -> None:
    """Let batch normalization use what it has seen, in training too."""
    from torch import nn

    def kept(module: nn.Module, inputs: object) -> None:
        module.eval()

    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.register_forward_pre_hook(kept)
