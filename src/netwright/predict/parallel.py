"""A training step on several processes, from what one process was measured to take and what messages take here.

    step(alone, work, kind="tensor", processes=2, microbatches=1, messages=[(1024, 9e-5), (4194304, 2e-3)])

`messages` are bytes and seconds of all-reduces among those processes. This file does not know what else runs on the
machine: processes that share cores with the exchange of their messages hide none of it, as its upper bound has it.
Nor does it know which layers tensor parallelism divides, or how even stages are: it takes all of them to be.
"""

from __future__ import annotations

from collections.abc import Sequence

from netwright.core.measurement import Measurement, readable
from netwright.core.workload import BYTES, Workload
from netwright.predict import scale
from netwright.predict.roofline import main_dtype
from netwright.predict.spread import Spread
from netwright.predict.training import exchanged

GATHERED, SCATTERED = 1.0, 0.5
"""Bytes that fully sharded replicas exchange over those of an all-reduce: parameters gathered for the forward and for
the backward pass of each micro-batch, gradients scattered once a step (Rajbhandari et al. 2020, arXiv:1910.02054,
section 7.2)."""
LEVEL = 0.9
"""Of the measured messages' bounds; nobody has tested it on whole trainings."""


def step(
    alone: Measurement,
    work: Workload,
    *,
    kind: str,
    processes: int,
    microbatches: int,
    messages: Sequence[tuple[float, float]],
) -> Measurement:
    """Seconds of a step.

    `alone` is one process's step: of its share of the batch where the kind divides that (ddp, fsdp2), of the whole
    batch otherwise. `work` is the inference of one of the `microbatches` that the step consists of.
    """
    wire = scale.measured(messages, processes)
    seconds = Spread(alone.value, alone.low, alone.high)
    width = BYTES[main_dtype(work)]
    if kind in ("ddp", "fsdp2"):
        sharded = GATHERED * microbatches + SCATTERED
        seconds = exchanged(
            seconds, work.parameters, processes, wire, width * (sharded if kind == "fsdp2" else 1.0)
        )  # fmt: skip
    elif kind == "tensor":
        # what is summed forward is summed backward, too
        seconds = seconds / float(processes) + scale.reduced(work, processes, wire) * (2.0 * microbatches)
    else:
        idle = scale.bubble(processes, microbatches)
        hops = 2.0 * (microbatches + processes - 2)  # there and back, while the pipeline fills, works and drains
        seconds = seconds / float(processes) / (1 - idle) + scale.send(scale.boundary(work), wire) * hops
    sent = f"messages take {readable(wire.start, 's')} and {readable(wire.rate, 'B/s')}"
    return Measurement(
        quantity="training_step", value=seconds.value, low=seconds.low, high=seconds.high, level=LEVEL, n=alone.n,
        source="predicted",
        conditions={"parallel": kind, "processes": processes, "basis": f"{readable(alone.value, 's')} alone; {sent}"},
    )  # fmt: skip
