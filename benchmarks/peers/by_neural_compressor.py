"""Intel Neural Compressor 3: static INT8 of the exported program, compiled ahead of time by Inductor.

python benchmarks/peers/by_neural_compressor.py FOLDER
"""

import sys
from pathlib import Path

import numpy as np
import torch
from neural_compressor.torch.quantization import StaticQuantConfig, convert, prepare
from torch._inductor import config

folder = Path(sys.argv[1])
calibration = torch.from_numpy(np.load(folder / "calibration.npy"))
one = (calibration[:1],)
config.freezing, config.cpp.threads = True, 1
with torch.no_grad():
    module = torch.export.load(folder / "fp32.pt2").module()
    module._exported, module.dynamic_shapes = True, None  # as its own function leaves what it traces
    observed = prepare(module, StaticQuantConfig())
    for image in calibration.split(1):
        observed(image)
    small = convert(observed)
    torch.export.save(torch.export.export(small, one), folder / "neural-compressor-reference.pt2")
    fixed = torch.export.export(small, one)
    torch._inductor.aoti_compile_and_package(fixed, package_path=str(folder / "neural-compressor-compiled.pt2"))
