"""Memory that work needs on a device: what is held, whether it fits, the largest batch, the longest context.

    demand = of_workload(work)                             # or Demand(weights=..., token=...) of a language model
    demand.held(batch=8), demand.held(batch=8, context=4096)          # Spread of bytes
    fits(demand, device, batch=8)                          # True, False, or None: the interval holds the limit
    max_batch(demand, device), max_context(demand, device, batch=4)   # Measurements

A demand is linear: something that is there in any case, something for each item, something for each token of an
item. It does not know what else runs on the device, nor paging, offloading or recomputation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from netwright.core.error import UserError, did_you_mean
from netwright.core.measurement import Measurement, readable
from netwright.core.workload import BYTES, OPTIMIZERS, Workload
from netwright.hardware.device import Device
from netwright.predict.scale import Split, shard
from netwright.predict.spread import Spread, exactly

OVERHEAD = {"gpu": Spread(0.5e9, 0.3e9, 1.2e9), "cpu": Spread(0.24e9, 0.05e9, 0.5e9)}
"""Bytes that a program takes before it holds anything.

GPU: a CUDA context of about 300 MB (pytorch issue 107667), 400 MB (issue 109888) or 426 MiB (unsloth-zoo pull
request 1053, an RTX 6000 Ada), more than 1 GB before CUDA 11.7 (107667); two workspaces of cuBLAS, 32 MiB each on
Hopper (pytorch pull request 120925). Other makers' runtimes are taken to be alike. CPU: a Python process with
PyTorch 2.13 and one convolution, 0.24 GB as measured on a two-core EPYC; the bounds are assumptions.
"""

ALLOCATOR = 1.25
"""At worst, memory taken over memory asked for: blocks that do not fit what is asked next. An assumption."""

KEPT = Spread(2.0, 1.5, 3.2)
"""Bytes kept for the backward pass over bytes that products write, where only an inference was traced: of 72 networks
of timm, drawn at random and traced both ways at 224 pixels, 90 % had 1.59 to 3.13, the median 2.03 (all: 1.50 to 4.71).
benchmarks/flops_counters.py prints it for seven more: 0.98 to 2.70."""

LEVEL = 0.9
"""Share of programs that the interval is meant to hold; nobody has tested it on a device."""


@dataclass(frozen=True, kw_only=True)
class Demand:
    """Bytes on one device. `gradients` and `optimizer` are there in training only.

    `item` is what the activations of one item take at the peak: at best what the most demanding operator reads
    and writes, most likely what eager execution keeps alive, at worst that with an allocator's gaps. `token`
    is the cache of keys and values of one token of one item.
    """

    weights: float
    gradients: float = 0.0
    optimizer: float = 0.0
    item: Spread | None = None
    token: float = 0.0

    @property
    def fixed(self) -> float:
        """What is there whatever the batch."""
        return self.weights + self.gradients + self.optimizer

    def held(self, batch: int = 1, context: int = 0, kind: str = "gpu") -> Spread:
        """All of it, with what the runtime takes on a device of this kind."""
        total = OVERHEAD["cpu" if kind == "cpu" else "gpu"]
        for part in (self.fixed, batch * context * self.token):
            total = total + exactly(part) if part else total
        return total + self.item * float(batch) if self.item else total


def of_workload(work: Workload, split: Split | None = None, optimizer: str | None = None, sharded: int = 0) -> Demand:
    """What one device of a split holds of some work; of training, where that was traced or an `optimizer` is given.

    Tensor and pipeline parallelism divide weights and what belongs to them; replicas divide the batch, not this.
    `sharded` is the stage of ZeRO (Rajbhandari 2020): 1 divides the optimizer's state among replicas, 2 the
    gradients too, 3 the weights as well. A stage keeps the activations of as many microbatches as there are
    stages (one-forward-one-backward, Narayanan 2019). Raises UserError for an unknown optimizer.
    """
    split = split or Split()
    training = optimizer or ("adamw" if work.kind == "training" else "")
    if training and training not in OPTIMIZERS:
        raise UserError("optimizer", training, did_you_mean(training, OPTIMIZERS), "optimizer=adamw")
    if not 0 <= sharded <= 3:
        raise UserError("sharded", sharded, "0, or the stage 1, 2 or 3 of ZeRO", "sharded=0")
    parts = split.tensor * split.pipeline
    weights, trained = _stored(work), _trained(work)
    part = shard(work, split.tensor)
    item = _item(part, bool(training))
    if split.pipeline > 1 and item:
        micro = split.microbatches or 4 * split.pipeline
        # a stage has its share of the layers, and in training min(stages, microbatches) of the microbatches at once
        item = item * (min(split.pipeline, micro) / micro / split.pipeline if training else 1 / micro)
    among = [split.data if sharded >= stage else 1 for stage in (3, 2, 1)]
    return Demand(
        weights=weights / parts / among[0],
        gradients=trained / parts / among[1] if training else 0.0,
        optimizer=OPTIMIZERS[training].states * trained / parts / among[2] if training else 0.0,
        item=item,
        token=0.0 if training else work.kv_bytes_per_token / parts,
    )


def of_language_model(
    weight_bytes: float, kv_bytes_per_token: float, activation_bytes: float = 0.0, split: Split | None = None,
    kv_heads: int = 0,
) -> Demand:  # fmt: skip
    """What one device of a split holds of a language model that is served.

    `activation_bytes` are those of one sequence at the peak; `kv_heads` bound how far tensor parallelism can
    divide the cache: beyond them every device keeps a copy. 0: without bound.
    """
    split = split or Split()
    shares = min(split.tensor, kv_heads) if kv_heads else split.tensor
    parts = split.tensor * split.pipeline
    item = Spread(activation_bytes, 0.5 * activation_bytes, ALLOCATOR * activation_bytes) if activation_bytes else None
    return Demand(weights=weight_bytes / parts, item=item, token=kv_bytes_per_token / (shares * split.pipeline))


def fits(demand: Demand, device: Device, batch: int = 1, context: int = 0) -> bool | None:
    """Whether the device's memory suffices; None where the interval holds that limit."""
    held = demand.held(batch, context, device.kind)
    if held.high <= device.memory:
        return True
    return False if held.low > device.memory else None


def check(demand: Demand, device: Device, batch: int = 1, context: int = 0) -> None:
    """Raise UserError where it cannot fit, saying what the next try should be."""
    if fits(demand, device, batch, context) is not False:
        return
    most = max_batch(demand, device, context).high
    needed = readable(demand.held(batch, context, device.kind).low, "B")
    allowed = f"{device.name} has {readable(device.memory, 'B')}, the model needs {needed} at least"
    raise UserError("device", device.name, allowed, f"--batch {most:.0f}" if most else "--precision int8, --devices 2")


def needed(demand: Demand, device: Device, batch: int = 1, context: int = 0, **about: Any) -> Measurement:
    """Bytes of one device, with what they hold among the conditions."""
    held = demand.held(batch, context, device.kind)
    parts = {name: getattr(demand, name) for name in ("weights", "gradients", "optimizer")}
    parts |= {"cache": batch * context * demand.token, "overhead": OVERHEAD[_kind(device)].value}
    parts["activations"] = batch * demand.item.value if demand.item else 0.0
    return _said("device_memory", (held.low, held.value, held.high), device, batch, context, about, {"parts": parts})


def max_batch(demand: Demand, device: Device, context: int = 0, **about: Any) -> Measurement:
    """The most items at once, each with so many tokens in its cache; 0 where not one fits.

    Raises UserError where an item takes no memory at all, so that nothing bounds their number.
    """
    cache = context * demand.token
    each = [cache + (getattr(demand.item, bound) if demand.item else 0.0) for bound in ("high", "value", "low")]
    return _said("max_batch", _counts(demand, device, each, "batch"), device, None, context, about, {})


def max_context(demand: Demand, device: Device, batch: int = 1, **about: Any) -> Measurement:
    """The most tokens that each of `batch` sequences can have in its cache; 0 where not one does.

    Raises UserError for a model that keeps no cache.
    """
    item = [batch * (getattr(demand.item, bound) if demand.item else 0.0) for bound in ("high", "value", "low")]
    counts = _counts(demand, device, [batch * demand.token] * 3, "context", item)
    return _said("max_context", counts, device, batch, None, about, {})


def _counts(
    demand: Demand, device: Device, each: list[float], what: str, taken: list[float] | None = None
) -> tuple[float, float, float]:
    """How many fit at worst, most likely and at best."""
    if min(each) <= 0:
        raise UserError(
            what, None, "nothing of this model grows with it, so memory does not bound it", "trace it again"
        )
    overhead = OVERHEAD[_kind(device)]
    held = [demand.fixed + one for one in (overhead.high, overhead.value, overhead.low)]
    free = [device.memory - a - b for a, b in zip(held, taken or [0.0] * 3, strict=True)]
    low, value, high = (float(max(0, math.floor(room / one))) for room, one in zip(free, each, strict=True))
    return low, value, high


def _said(
    quantity: str, of: tuple[float, float, float], device: Device, batch: int | None, context: int | None,
    about: dict[str, Any], more: dict[str, Any],
) -> Measurement:  # fmt: skip
    asked = {"batch": batch, "context": context}
    conditions = {key: value for key, value in asked.items() if value is not None} | more
    told = {"level": LEVEL, "n": 0, "source": "predicted", "device": device.name, **about}
    conditions |= told.pop("conditions", {})
    low, value, high = of
    return Measurement(quantity=quantity, value=value, low=low, high=high, conditions=conditions, **told)


def _kind(device: Device) -> str:
    return "cpu" if device.kind == "cpu" else "gpu"


def _item(part: Workload, training: bool) -> Spread | None:
    """Activations of one item at the peak."""
    least = max((o.input_bytes + o.output_bytes for o in part.operators), default=0.0)
    products = sum(o.output_bytes for o in part.operators if o.matrix or o.attention)
    if training and part.kind != "training":
        found = KEPT * (products or sum(o.output_bytes for o in part.operators)) if part.operators else None
    elif part.peak_bytes:
        least = max(least, part.kept_bytes) if training else least
        found = Spread(part.peak_bytes, min(least, part.peak_bytes), ALLOCATOR * part.peak_bytes)
    else:  # an older trace, which did not follow what is alive: at most two such operators' worth
        found = Spread(1.2 * least, least, 2 * least) if least else None
    return found / part.batch if found else None


def _stored(work: Workload) -> float:
    dtypes = [operator.dtype for operator in work.operators]
    return work.stored_bytes or work.parameters * min((BYTES[dtype] for dtype in dtypes), default=0.0)


def _trained(work: Workload) -> float:
    """Bytes of the weights that are trained: as the traced optimizer says, else all of them."""
    found = [o for o in work.operators if o.name in OPTIMIZERS]
    return found[-1].weight_bytes / OPTIMIZERS[found[-1].name].moves if found else _stored(work)
