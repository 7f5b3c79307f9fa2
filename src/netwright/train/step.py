"""Training: the state of a run, and what one step does to it.

Each step takes its randomness from the seed and its own number, and the learning rate is a function of
the step. So the state is tensors and a counter, and a run that was killed goes on from its last
checkpoint to the same bits. This file does not know when to evaluate, to save or to stop (`train.loop`).
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from netwright.core.error import UserError
from netwright.core.recipe import Range
from netwright.data.regression import is_number
from netwright.data.tasks import Arrays, Batch, Evaluation, Task, lengths
from netwright.train import checkpoint
from netwright.train.lora import Config as Lora
from netwright.train.lr import ScheduleName, factor
from netwright.train.multilevel.schedules import Config as Multilevel
from netwright.train.parallel import Kind as Parallel
from netwright.train.parallel import Team

ALIKE = 50
"""Batches among which texts of like length are brought together. All of an epoch would save little more."""
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class Config:
    """How to train. What is not here is derived, printed in the plan, and saved."""

    epochs: Annotated[int, Range(1, 100_000)] = 3
    batch: Annotated[int, Range(1, 1_000_000)] = 128
    """Examples a step, over all processes and micro-batches; the rest of an epoch is left out."""
    accumulate: Annotated[int, Range(1, 100_000)] = 1
    """Micro-batches a step: less memory, the same gradient up to rounding (batch normalization aside). A pipeline needs
    as many as it has stages."""
    optimizer: Literal["sgd", "adam", "adamw"] = "adamw"
    lr: Annotated[float, Range(0, 1000)] = 1e-3
    momentum: Annotated[float, Range(0, 0.9999)] = 0.9
    """Of SGD (Nesterov's); Adam has its own (0.9, 0.999)."""
    bias_lr: Annotated[float, Range(0, 1000)] = 1.0
    """Learning rate of vectors (biases, normalization), as a multiple of `lr`."""
    weight_decay: Annotated[float, Range(0, 10)] = 0.01
    """Of matrices and convolutions only; biases and normalization have none."""
    schedule: ScheduleName = "cosine"
    warmup: Annotated[float, Range(0, 1)] = 0.1
    """Share of all steps over which the learning rate rises."""
    clip: Annotated[float, Range(0, 1e9)] = 0.0
    """Largest norm of the gradient; 0 leaves it as it is."""
    smoothing: Annotated[float, Range(0, 0.99)] = 0.0
    """Of the labels."""
    average: Annotated[float, Range(0, 0.999999)] = 0.0
    """Decay of the running average of weights that is evaluated and kept; 0 keeps the weights themselves."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of matrix products and convolutions (autocast); weights and optimizer stay fp32."""
    checkpointing: bool = False
    """Gradient checkpointing: recompute activations in the backward pass instead of keeping them."""
    monitor: Literal["loss", "accuracy"] = "loss"
    """The validation value that says which weights are best."""
    patience: Annotated[int, Range(0, 100_000)] = 0
    """Stop after so many epochs without a better value; 0 never stops early."""
    keep: Literal["best", "last"] = "best"
    """Which weights the artifact gets."""
    seed: Annotated[int, Range(0, 2**31)] = 0
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, xpu or mps."""
    threads: Annotated[int, Range(0, 4096)] = 0
    """CPU threads; 0 takes all that this process may use."""
    parallel: Parallel = "none"
    """What the processes that torchrun starts divide: the batch (ddp), the batch and the weights (fsdp2), layers
    (tensor), the list of layers (pipeline); the last three for models that do not fit into one device."""
    memory_gb: Annotated[float, Range(0, 1e6)] = 0.0
    """Memory of the process that a training keeps to, by micro-batches and gradient checkpointing; 0: no limit. The
    batch-size finder takes it for its budget, and 80 % of what is free where it is 0."""
    checkpoint_seconds: Annotated[float, Range(0, 1e6)] = 5.0
    """Least time between checkpoints, and longer where writing one takes over 2 % of it; one is also
    written after each epoch."""
    mirrors: tuple[Literal["mlflow", "tensorboard"], ...] = ()
    alerts: tuple[str, ...] = ()
    """Where alerts go beside the log: "https://..." or "command:..."."""
    plateau: Annotated[int, Range(0, 100_000)] = 5
    """Alert after so many epochs without a better value; 0 never does."""
    lora: Lora = field(default_factory=Lora)
    """Small matrices beside frozen weights; the default trains all weights."""
    multilevel: Multilevel = field(default_factory=Multilevel)
    """Training through coarser copies of the network; the default trains the network alone."""


class Training:
    """The state of a run: model, optimizer, scaler, running average, and the number of steps done."""

    def __init__(self, model: nn.Module, task: Task, config: Config, team: Team) -> None:
        self.task, self.config, self.team = task, config, team
        fits(config, task)
        self.steps_per_epoch = task.size("train") // config.batch
        self.total_steps = self.total_work
        self.model = channels_last(model)
        self.wrapped = team.wrap(self.model, task.example(2))
        self.optimizer = make_optimizer(self.model, config)
        found = {id(parameter): name for name, parameter in self.model.named_parameters()}
        self.names = [found[id(p)] for group in self.optimizer.param_groups for p in group["params"]]
        """Of the optimizer's parameters, in its order."""
        self.scaler = torch.amp.GradScaler(team.device.type, enabled=config.precision == "fp16")
        self.average = copy_state(self.model) if config.average else {}
        self.step = 0
        self.level = 0
        """Which level is trained now; 0 is the network itself."""
        self.best: float | None = None
        self.best_step = 0
        self._order: tuple[int, Tensor] | None = None

    @property
    def work(self) -> float:
        """Work done, in steps of the network that is trained: of `total_work`."""
        return self.step

    @property
    def total_work(self) -> int:
        return round(self.config.epochs * self.steps_per_epoch)

    @property
    def epoch(self) -> int:
        """Whole epochs' worth of work done."""
        return math.floor(self.work / self.steps_per_epoch + 1e-9)

    @property
    def done(self) -> bool:
        return self.step >= self.total_steps

    def enter(self, level: int) -> None:
        """Let the next steps train this level; a plain training has one."""

    def tally(self) -> dict[int, int]:
        """Steps on each level, in the whole training."""
        return {0: self.total_steps}

    def place(self) -> dict[str, float]:
        """Where training stands, beside its step; a plain training is at its step."""
        return {}

    def happened(self) -> list[tuple[int, dict[str, float]]]:
        """What is worth a row of metrics beside loss and learning rate: step and figures, each told once."""
        return []

    @property
    def age(self) -> int:
        """Steps since the running average began."""
        return self.step

    def rate(self) -> float:
        """Learning rate of the next step."""
        return self.config.lr * factor(self.config.schedule, self.work, self.total_work, self.config.warmup)

    def batch(self, step: int) -> Batch:
        """This process's share of what is learned from at a step, augmented."""
        generator = torch.Generator().manual_seed(mix(self.config.seed, "augment", step))
        indices_B = self.batch_indices(step)
        return part(self.task.batch("train", indices_B, generator), self.team.share(indices_B))

    def batch_indices(self, step: int) -> Tensor:
        """Indices of the global batch of a step: an order drawn for the epoch, cut in pieces."""
        epoch, at = divmod(step, self.steps_per_epoch)
        if self._order is None or self._order[0] != epoch:
            generator = torch.Generator().manual_seed(mix(self.config.seed, "order", epoch))
            order_N = torch.randperm(self.task.size("train"), generator=generator)
            lengths_N = lengths(self.task, "train")
            if lengths_N is not None:
                order_N = alike(order_N, lengths_N, self.config.batch, generator)
            self._order = epoch, order_N
        return self._order[1][at * self.config.batch : (at + 1) * self.config.batch]

    def one_step(self, lr: float | None = None) -> Tensor:
        """Train one step and return the mean loss of this process's share, on the device."""
        config, team, step = self.config, self.team, self.step
        seed_device(team.device, mix(config.seed, "step", step, team.stream))
        rate = self.rate() if lr is None else lr
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        batch = self.batch(step)
        size = len(batch.labels_B)

        def loss(model: nn.Module, micro: Batch) -> Tensor:
            value = self.task.loss(model, to_device(micro, team.device), config.smoothing)
            return value * (len(micro.labels_B) / size)

        self.wrapped.train()
        micros = [part(batch, _micro(size, at, config.accumulate)) for at in range(config.accumulate)]
        micros = [micro for micro in micros if len(micro.labels_B)]
        losses = team.backward(self.wrapped, micros, loss, self.scaler, self.autocast)
        tau = self.tau()
        if config.clip or tau:
            self.scaler.unscale_(self.optimizer)
            subtract(tau, self.model)
        if config.clip:
            team.clip(self.model.parameters(), config.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self._update_average()
        self.step += 1
        return torch.stack(losses).sum() if len(losses) > 1 else losses[0]

    def tau(self) -> Mapping[str, Tensor]:
        """What is subtracted from the gradients of this step, by parameter; in a plain training nothing."""
        return {}

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The precision of the forward pass."""
        if self.config.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.team.device.type, DTYPES[self.config.precision])

    def evaluate(self, split: Literal["validation", "test"]) -> Evaluation:
        """Evaluate the weights that are kept (the running average, if there is one)."""
        with self.kept_weights():
            network = self.team.evaluated(self.model)
            return self.task.evaluate(predictor(network, self.team.device, self.autocast), split)

    @contextlib.contextmanager
    def kept_weights(self) -> Iterator[None]:
        """Within: the model holds the running average, where one is kept."""
        if not self.average:
            yield
            return
        own = copy_state(self.model)
        load_state(self.model, self.average)
        try:
            yield
        finally:
            load_state(self.model, own)

    def tensors(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, whole (not divided), in the leading process; all take part."""
        flat = {f"average.{name}": tensor for name, tensor in self.average.items()}
        return self.weights() | self.team.full(flat | checkpoint.optimizer_tensors(self.optimizer), self.named)

    def weights(self) -> dict[str, Tensor]:
        """The network's own part of `tensors`."""
        return self.team.full({f"model.{name}": x for name, x in self.model.state_dict().items()}, self.named)

    def named(self, flat: str) -> str:
        """The parameter or buffer that one of `tensors` belongs to."""
        kind, _, rest = flat.partition(".")
        return self.names[int(rest.partition(".")[0])] if kind == "optimizer" else rest

    def parts(self, tensors: Mapping[str, Tensor], kind: str) -> dict[str, Tensor]:
        """What this process holds of whole tensors of a kind ("model", "average", "optimizer")."""
        of = {name: x for name, x in tensors.items() if name.startswith(f"{kind}.")}
        return {name: self.team.part(self.named(name), x) for name, x in of.items()}

    def meta(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "best": self.best,
            "best_step": self.best_step,
            "scaler": self.scaler.state_dict(),
        }

    def restore(self, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        """Take over the state that `tensors` and `meta` described."""
        checkpoint.restore_model(self.model, self.parts(tensors, "model"), "model.")
        checkpoint.restore_optimizer(self.optimizer, self.parts(tensors, "optimizer"))
        for name, value in self.parts(tensors, "average").items():
            self.average[name.removeprefix("average.")].copy_(value)
        if meta["scaler"]:
            self.scaler.load_state_dict(meta["scaler"])
        self.step = meta["step"]
        self.best, self.best_step = meta["best"], meta["best_step"]

    def _update_average(self) -> None:
        # the decay rises from 0, so that the average forgets the random start
        decay = min(self.config.average, (1 + self.age) / (10 + self.age))
        if not self.average:
            return
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                if value.is_floating_point():
                    self.average[name].lerp_(value, 1 - decay)
                else:
                    self.average[name].copy_(value)


def fits(config: Config, task: Task) -> None:
    """Raises UserError for a batch that is larger than the data, and for what only classes have."""
    if is_number(task.classes) and config.monitor == "accuracy":
        raise UserError("train.monitor", "accuracy", "loss: this task answers a number", "train.monitor=loss")
    if is_number(task.classes) and config.smoothing:
        raise UserError("train.smoothing", config.smoothing, "0: this task answers a number", "train.smoothing=0")
    examples = task.size("train")
    if config.batch > examples:
        allowed = f"at most the {examples} training examples"
        raise UserError("train.batch", config.batch, allowed, f"train.batch={min(32, examples)}")


def alike(order_N: Tensor, lengths_N: Tensor, batch: int, generator: torch.Generator) -> Tensor:
    """The same order with examples of like length in a batch, so that little is padded.

    Runs of `ALIKE` batches are sorted by length and cut into batches, which then come in an order drawn anew.
    """
    whole = len(order_N) // batch
    batches_SB = torch.cat(
        [run_N[lengths_N[run_N].argsort(stable=True)] for run_N in order_N[: whole * batch].split(ALIKE * batch)]
    ).view(whole, batch)
    return torch.cat([batches_SB[torch.randperm(whole, generator=generator)].flatten(), order_N[whole * batch :]])


def subtract(tau: Mapping[str, Tensor], model: nn.Module) -> None:
    """Take `tau` from the gradients of the parameters it names."""
    for name, parameter in model.named_parameters() if tau else ():
        if name in tau and parameter.grad is not None:
            parameter.grad.sub_(tau[name])


def mix(*parts: object) -> int:
    """A seed from a seed and where it is used: 63 bits of sha256."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:8], "big") >> 1


def make_optimizer(model: nn.Module, config: Config) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum, Adam or AdamW; vectors (biases, norms) get no weight decay."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": config.weight_decay, "scale": 1.0},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0, "scale": config.bias_lr},
    ]
    groups = [group for group in groups if group["params"]]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=config.momentum > 0)
    return (torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW)(groups, lr=config.lr)


def seed_device(device: torch.device, seed: int) -> None:
    """Seed what a step draws from. torch.manual_seed asks every backend each time, which takes 1 ms."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type != "cpu":
        torch.manual_seed(seed)


NEEDED = {
    "cuda": "needs NVIDIA's driver and a CUDA build of torch",
    "xpu": "needs Intel's GPU driver (Arc, Iris Xe) and an XPU build of torch",
    "mps": "needs macOS on Apple silicon",
}
"""Kind of device -> what it takes, said where it is absent."""


def present_devices() -> list[str]:
    """Kinds of devices that answer here, the one that `auto` takes first."""
    available: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available,
        "xpu": torch.xpu.is_available,
        "mps": torch.backends.mps.is_available,
        "cpu": lambda: True,
    }
    return [kind for kind, answers in available.items() if answers()]


def device_reason(name: str) -> str:
    """Why a training runs where it does, in one line."""
    device, present = choose_device(name), present_devices()
    if name != "auto":
        return f"Device: {device}, as train.device says"
    absent = [kind for kind in NEEDED if kind not in present]
    if device.type == "cpu":
        return f"Device: cpu, for no accelerator answers ({', '.join(absent)})"
    return f"Device: {device.type}, the first that answers of {', '.join(NEEDED)}"


def choose_device(name: str) -> torch.device:
    """The device of a setting; `auto` takes the first accelerator that answers, else the CPU.

    Raises UserError for one that is absent, with what it needs.
    """
    present = present_devices()
    if name == "auto":
        return torch.device(present[0])
    kind, _, index = name.partition(":")
    counts: dict[str, Callable[[], int]] = {"cuda": torch.cuda.device_count, "xpu": torch.xpu.device_count}
    if kind not in present or (index and not (index.isdigit() and int(index) < counts.get(kind, lambda: 1)())):
        needs = f"{kind} {NEEDED[kind]}; " if kind in NEEDED and kind not in present else ""
        raise UserError("train.device", name, f"{needs}this machine has {', '.join(present)}", "netwright doctor")
    return torch.device(name)


def predictor(
    model: nn.Module, device: torch.device, autocast: Callable[[], contextlib.AbstractContextManager[Any]]
) -> Callable[[Arrays], np.ndarray[Any, np.dtype[np.float32]]]:
    """A torch model as a function of arrays, in evaluation mode."""

    def predict(inputs: Arrays) -> np.ndarray[Any, np.dtype[np.float32]]:
        model.eval()
        with torch.inference_mode(), autocast():
            logits: Tensor = model(**{name: torch.from_numpy(x).to(device) for name, x in inputs.items()})
        return logits.float().cpu().numpy()

    return predict


def to_device(batch: Batch, device: torch.device) -> Batch:
    """A batch on a device; on the CPU as it is."""
    if device.type == "cpu":
        return batch
    inputs = {name: x.to(device, non_blocking=True) for name, x in batch.inputs.items()}
    return Batch(inputs, batch.labels_B.to(device, non_blocking=True))


def part(batch: Batch, where: slice) -> Batch:
    """Some of the examples of a batch."""
    if where == slice(0, len(batch.labels_B)):
        return batch
    return Batch({name: x[where] for name, x in batch.inputs.items()}, batch.labels_B[where])


def _micro(size: int, at: int, parts: int) -> slice:
    return slice(size * at // parts, size * (at + 1) // parts)


def channels_last(model: nn.Module) -> nn.Module:
    """In the layout in which convolutions are fastest, where the network has any."""
    # on CPUs with AVX-512 a convolution is up to a fifth faster on this layout, and bf16 needs it
    if any(isinstance(module, nn.Conv2d) for module in model.modules()):
        return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
    return model


def copy_state(model: nn.Module) -> dict[str, Tensor]:
    """A model's parameters and buffers, copied."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def load_state(model: nn.Module, state: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            tensor.copy_(state[name])
