"""Optimum with ONNX Runtime: `ORTQuantizer`, static INT8 for AVX-512 VNNI, ranges by minima and maxima.

python benchmarks/peers/by_optimum_onnx.py FOLDER
"""

import sys
from pathlib import Path

import numpy as np
from datasets import Dataset
from optimum.onnxruntime import ORTQuantizer
from optimum.onnxruntime.configuration import AutoCalibrationConfig, AutoQuantizationConfig

folder = Path(sys.argv[1])
calibration = np.load(folder / "calibration.npy")
source = next((folder / "fp32-onnx").glob("*.onnx"))
data = Dataset.from_dict({"image": list(calibration)}).with_format("numpy")
quantizer = ORTQuantizer(source)
settings = AutoQuantizationConfig.avx512_vnni(is_static=True, per_channel=True)
ranges = quantizer.fit(
    dataset=data, calibration_config=AutoCalibrationConfig.minmax(data),
    operators_to_quantize=settings.operators_to_quantize, batch_size=1,
)  # fmt: skip
quantizer.quantize(save_dir=folder / "optimum-onnx", quantization_config=settings, calibration_tensors_range=ranges)
