"""Format "torch": safetensors and the recipe section that rebuilds the network, run by PyTorch as it is.

It is what training writes and the reference of every certificate. This file does not know any network.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.export.executed import most, ordered
from netwright.export.trace import blank
from netwright.models.load import WEIGHTS, inputs_of, open_model

if TYPE_CHECKING:
    from netwright.data.tasks import Task

SETTINGS: Mapping[str, Any] = {"format": "torch"}
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
_NAMES = {torch.float64: "fp64", torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
_MATRIX = {"conv1d", "conv2d", "conv3d", "convolution", "mkldnn_convolution", "addmm", "mm", "bmm", "baddbmm", "linear"}
_MATRIX |= {"scaled_dot_product_attention"}


def write(artifact: Artifact, task: Task, draft: Path) -> None:
    """Copy the weights of a torch artifact."""
    shutil.copyfile(artifact.path(WEIGHTS), draft / WEIGHTS)


def open(artifact: Artifact, threads: int, precision: str | None) -> TorchRunner:
    """The network in eager PyTorch; `precision` "bf16" runs it under autocast."""
    return TorchRunner(open_model(artifact), artifact, threads, precision)


class TorchRunner:
    """A torch module with arrays for inputs; sees by one call what its matrix layers compute in."""

    def __init__(self, module: Callable[..., Tensor], artifact: Artifact, threads: int, precision: str | None) -> None:
        wanted = precision or artifact.precision
        if wanted not in PRECISIONS:
            raise UserError("precision", wanted, f"PyTorch runs {' or '.join(PRECISIONS)} here", "precision=fp32")
        self._module, self._threads, self._bf16 = module, threads, wanted == "bf16"
        with _Watch() as watch:
            self(blank(inputs_of(artifact), 1))
        self.layers: Mapping[str, int] = dict(watch.layers)
        self.precision = most(watch.layers, wanted)

    def __call__(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        tensors = {name: torch.from_numpy(x) for name, x in ordered(inputs).items()}
        with _threads(self._threads), torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, self._bf16):
            logits_BK: NDArray[np.float32] = self._module(**tensors).float().numpy()
        return logits_BK


class _Watch(TorchDispatchMode):
    """Counts matrix operators by the dtype of what they answer."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.layers: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in _MATRIX:
            self.layers[_NAMES.get(answer.dtype, str(answer.dtype))] += 1
        return answer


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """The thread count is one number for the whole process: borrow it, then give it back."""
    before = torch.get_num_threads()
    if before == count:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
