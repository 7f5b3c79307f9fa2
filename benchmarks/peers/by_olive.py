"""Olive: its pass for static quantization of ONNX files, ranges by minima and maxima.

python benchmarks/peers/by_olive.py FOLDER
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from olive.data.registry import Registry
from olive.workflows import run

folder = Path(sys.argv[1]).absolute()
calibration = np.load(folder / "calibration.npy")


@Registry.register_dataset()
def calibration_images(**_: object) -> torch.utils.data.Dataset:
    """Images and labels, of which the labels are not looked at."""
    return [({"image": torch.from_numpy(one)}, 0) for one in calibration]  # type: ignore[return-value]


source = next((folder / "fp32-onnx").glob("*.onnx"))
data = {"name": "images", "type": "DataContainer",
        "load_dataset_config": {"type": "calibration_images"},
        "pre_process_data_config": {"type": "skip_pre_process"},
        "dataloader_config": {"batch_size": 1}}  # fmt: skip
run({
    "input_model": {"type": "ONNXModel", "model_path": str(source)},
    "data_configs": [data],
    "passes": {"quantization": {"type": "OnnxStaticQuantization", "data_config": "images", "per_channel": True,
                                "calibrate_method": "MinMax"}},
    "output_dir": str(folder / "olive"), "cache_dir": str(folder / "olive-cache"),
})  # fmt: skip
print(json.dumps(sorted(map(str, (folder / "olive").rglob("*.onnx")))))
