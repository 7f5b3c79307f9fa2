"""Which of OpenVINO's devices runs a language model: CPU, GPU, NPU, AUTO, or HETERO over several.

    device = named("HETERO:GPU,CPU")          # a UserError says what is absent, and what it needs

This file does not know models.
"""

from __future__ import annotations

from netwright.core.error import UserError, did_you_mean
from netwright.export import openvino as plain

NEEDS = {
    "GPU": "Intel's compute runtime for its GPUs (Arc, Iris Xe), and access to /dev/dri",
    "NPU": "Intel's NPU driver, on a Core Ultra processor",
}
"""Device -> what it takes, said where it is absent."""
TOGETHER = ("AUTO", "HETERO")
"""Names that stand for several devices: the first that fits, or parts of a model on each."""


def named(name: str) -> str:
    """A device by OpenVINO's name, in capitals. Raises UserError for one that is absent, with what it needs."""
    wanted = name.upper()
    present = list(plain.core().available_devices)
    kind, _, parts = wanted.partition(":")
    if kind == "HETERO" and not parts:
        wanted, parts = "HETERO:GPU,CPU", "GPU,CPU"
    for one in parts.split(",") if kind in TOGETHER and parts else [wanted]:
        bare = one.partition(".")[0]
        known = {*NEEDS, "CPU", *TOGETHER}
        if bare not in known or (":" in one):
            raise UserError("device", name, did_you_mean(bare, sorted(known)), "device=CPU")
        if one not in {*present, *(found.partition(".")[0] for found in present), *TOGETHER}:
            needs = f"it needs {NEEDS[bare]}; " if bare in NEEDS else ""
            told = f"{needs}this machine has {', '.join(present)}"
            raise UserError("device", name, told, "device=CPU, or device=AUTO")
    return wanted
