"""Who quantizes: one module an engine, and what each makes of which format.

A module has `MAKES`, format -> what it makes of it, and
`quantized(graph, config, examples, keep) -> graph`, where a graph is what the format's module loads and saves
(`export.openvino.load`, `export.onnx.load`). What needs calibration stands in `CALIBRATED`; for an engine in `TRACED` a
graph is the traced network of torch.
"""

ENGINES = {
    "onnxruntime": "netwright.compress.engines.onnxruntime",
    "nncf": "netwright.compress.engines.nncf",
    "half": "netwright.compress.engines.half",
    "neural-compressor": "netwright.compress.engines.neural_compressor",
}
"""Engine name -> module, the one that is asked first in front. "netwright" itself is none of these: it puts the network
of torch on grids."""
CALIBRATED = ("int8",)
"""What is made with examples; the rest looks at weights alone."""
TRACED = ("neural-compressor",)
"""Engines that quantize the network before it is written in a format."""
