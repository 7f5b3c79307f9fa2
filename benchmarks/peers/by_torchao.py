"""torchao: INT8 of the exported program for x86, compiled ahead of time by Inductor; runs in torch alone.

python benchmarks/peers/by_torchao.py FOLDER
"""

import sys
from pathlib import Path

import numpy as np
import torch
import torchao.quantization.pt2e.quantizer.x86_inductor_quantizer as x86
from torch._inductor import config
from torchao.quantization.pt2e import move_exported_model_to_eval
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

folder = Path(sys.argv[1])
calibration = torch.from_numpy(np.load(folder / "calibration.npy"))
one = (calibration[:1],)
program = torch.export.load(folder / "fp32.pt2")
config.freezing, config.cpp.threads = True, 1


def compiled(module: torch.nn.Module, name: str) -> None:
    with torch.no_grad():
        fixed = torch.export.export(module, one)
        torch._inductor.aoti_compile_and_package(fixed, package_path=str(folder / f"{name}.pt2"))


with torch.no_grad():
    compiled(program.module(), "torch-fp32-compiled")
    quantizer = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())
    observed = prepare_pt2e(torch.export.export(program.module(), one).module(), quantizer)
    move_exported_model_to_eval(observed)
    for image in calibration.split(1):
        observed(image)
    small = convert_pt2e(observed)
    torch.export.save(torch.export.export(small, one), folder / "torchao-reference.pt2")
    compiled(small, "torchao-compiled")
