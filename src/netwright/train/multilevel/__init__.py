"""Training through a hierarchy of coarser copies of the network itself: multigrid in width.

    hierarchy = Hierarchy.build(model, example_inputs, levels=2)

`[train.multilevel]` in a recipe trains that way; `Hierarchy` is the door for any `torch.nn.Module`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netwright.train.multilevel.hierarchy import Hierarchy

__all__ = ["SCHEDULES", "Hierarchy"]

SCHEDULES = {
    name: f"netwright.train.multilevel.schedules:{name}"
    for name in ("single", "cascade", "coalesce", "v", "w", "f", "auto")
}
"""Schedule name -> function of `schedules.Config` and `schedules.Plan` that yields `Smooth`, `Restrict`, `Prolong`."""


def __getattr__(name: str) -> Any:  # the settings of a training are read where no network is
    if name == "Hierarchy":
        from netwright.train.multilevel.hierarchy import Hierarchy

        return Hierarchy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
