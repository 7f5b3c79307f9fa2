"""Optimum Intel: `OVQuantizer` takes networks of its own classes, so one is made around the OpenVINO model.

python benchmarks/peers/by_optimum_intel.py FOLDER
"""

import sys
from pathlib import Path

import numpy as np
import openvino
from datasets import Dataset
from optimum.intel import OVConfig, OVModelForImageClassification, OVQuantizationConfig, OVQuantizer
from transformers import PretrainedConfig

folder = Path(sys.argv[1])
calibration = np.load(folder / "calibration.npy")
graph = openvino.Core().read_model(next((folder / "fp32-openvino").glob("*.xml")))
graph.inputs[0].set_names({"pixel_values"})
model = OVModelForImageClassification(graph, config=PretrainedConfig(), compile=False)
settings = OVQuantizationConfig(bits=8, num_samples=len(calibration))
data = Dataset.from_dict({"pixel_values": list(calibration)}).with_format("torch")
OVQuantizer(model).quantize(
    ov_config=OVConfig(quantization_config=settings), calibration_dataset=data, save_directory=folder / "optimum-intel"
)
