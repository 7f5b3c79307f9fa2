"""NNCF alone, as its guide has it: `nncf.quantize` on the OpenVINO model, with and without accuracy-free tuning.

python benchmarks/peers/by_nncf.py FOLDER
"""

import sys
from pathlib import Path

import nncf
import numpy as np
import openvino

folder = Path(sys.argv[1])
calibration = np.load(folder / "calibration.npy")
for name, settings in {
    "nncf": {},
    "nncf-accurate": {"preset": nncf.QuantizationPreset.MIXED, "fast_bias_correction": False},
}.items():
    model = openvino.Core().read_model(next((folder / "fp32-openvino").glob("*.xml")))
    small = nncf.quantize(model, nncf.Dataset(list(calibration[:, None])), subset_size=len(calibration), **settings)
    (folder / name).mkdir(exist_ok=True)
    openvino.save_model(small, folder / name / "model.xml")
