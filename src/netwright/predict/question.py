"""What is asked of a model, beside the device: how many items, how long, in what precision, on how many devices.

    Question(batch=32, precision="bf16", split=scale.parse("tp=2", devices=8))

Nothing that is asked wrongly gets past here. This file knows no model and no device.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from netwright.core.error import UserError, did_you_mean
from netwright.hardware.device import DTYPES
from netwright.predict.cost import Terms
from netwright.predict.scale import Split

MOST = {"batch": 1 << 24, "sequence": 1 << 24, "output": 1 << 22}


@dataclass(frozen=True, kw_only=True)
class Question:
    """None is the default of the model: a network's batch as it was traced, one request of 1,024 tokens for 256.

    `batch` are the items of one call; when training, of one step of all replicas. `sequence` (tokens of a prompt)
    and `output` (tokens of an answer) are for language models; `compiled` (torch.compile, not eager) is for
    networks. `measured` is a folder of rows measured on the device, which calibrate the prediction. Without
    `terms`, a price that nobody states is left out; with them, it is refused. Raises UserError.
    """

    batch: int | None = None
    sequence: int | None = None
    output: int | None = None
    precision: str | None = None
    split: Split = field(default_factory=Split)
    training: bool = False
    compiled: bool = False
    terms: Terms | None = None
    measured: Path | None = None

    def __post_init__(self) -> None:
        for name, most in MOST.items():
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int) and 1 <= value <= most):
                raise UserError(name, value, f"a whole number >= 1 and <= {most:,}", f"--{name} 1")
        if self.precision is not None and self.precision not in DTYPES:
            raise UserError("precision", self.precision, did_you_mean(self.precision, DTYPES), "--precision bf16")
