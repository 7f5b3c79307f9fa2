"""What learns: readable networks, one file each, and the table of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

MODELS = {
    "mlp": "netwright.models.mlp",
    "cnn": "netwright.models.cnn",
    "resnet9": "netwright.models.resnet",
    "resnet50": "netwright.models.resnet50",
    "regressor": "netwright.models.regressor",
    "bag": "netwright.models.bag",
    "transformer": "netwright.models.transformer",
    "llama": "netwright.models.llama",
    "gpt2": "netwright.models.gpt2",
    "pretrained": "netwright.models.pretrained",
}
"""Model name -> module with `Config` and `build(config, inputs, classes) -> nn.Module`.

`inputs` is the task's `inputs`, `classes` the number of classes; the module answers logits_BK.
"""


@runtime_checkable
class FromData(Protocol):
    """A network some of whose first weights are taken from training examples."""

    def initialize(self, inputs: Mapping[str, Tensor]) -> None:
        """Set those weights; `inputs` are named as the network's own, unaugmented."""
        ...
