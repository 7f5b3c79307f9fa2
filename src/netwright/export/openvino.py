"""Format "openvino": the intermediate representation (model.xml, model.bin), run by OpenVINO on the CPU.

On a CPU with bf16 arithmetic OpenVINO computes an "fp32" file in bf16 unless told otherwise. Here it is
told, and asked afterwards: the compiled model states the precision of every layer it runs.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.core.table import extra
from netwright.export import decoding
from netwright.export.executed import bounded, check_inputs, most, ordered, refused

if TYPE_CHECKING:
    import torch

    from netwright.data.tasks import Task
    from netwright.export.decoding.rows import RowsRunner

FILE, WEIGHTS = "model.xml", "model.bin"
SETTINGS: Mapping[str, Any] = {"format": "openvino", "compress_to_fp16": False}
HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "int8": "f32", "int4": "f32"}
HINTS |= {"int8-weights": "f32", "int4-weights": "f32"}
"""Precision -> what OpenVINO is told; of a quantized file the hint rules the layers left in float."""
_MATRIX = {"Convolution", "GroupConvolution", "Deconvolution", "FullyConnected", "MatMul", "RNNSeq"}
_MATRIX |= {"ScaledDotProductAttention"}
_WEIGHTS = {"Constant", "Convert", "Subtract", "Multiply", "Reshape", "Transpose"}
"""Between integers in a file and what multiplies them."""
SAME = 0.999
"""Cosine above which two rows of weights are one."""
_NAMES = {"f32": "fp32", "f16": "fp16", "bf16": "bf16", "i8": "int8", "u8": "int8", "i4": "int8", "u4": "int8"}


def write(artifact: Artifact, task: Task, draft: Path) -> None:
    """Trace a torch artifact and convert it; constants stay in fp32."""
    extra("openvino", "the format openvino")
    if decoding.generates(artifact):
        from netwright.export.decoding import openvino as stateful

        stateful.write(artifact, draft)
        return
    from netwright.export.trace import trace

    save(converted(trace(artifact), artifact), artifact, draft)


def converted(program: torch.export.ExportedProgram, artifact: Artifact) -> Any:
    """The Model of a traced network."""
    openvino = extra("openvino", "the format openvino")
    from netwright.export.trace import layers, quiet

    with quiet():
        without_telemetry()
        model = openvino.convert_model(program)
    name_layers(model, layers(program))
    round_before_pools(model)
    for port, name in zip(model.inputs, program.graph_signature.user_inputs, strict=True):
        port.set_names({name})
    model.outputs[0].set_names({"logits"})
    return model


def save(model: Any, artifact: Artifact, draft: Path) -> None:
    """Write a Model, with the dimensions the manifest states: known sizes let kernels be chosen better."""
    openvino = extra("openvino", "the format openvino")
    if not decoding.generates(artifact):  # a file that generates has ports of its own, which were never traced
        shapes = {
            name: [-1, *(-1 if size is None else size for size in x["shape"])] for name, x in artifact.inputs.items()
        }
        model.reshape({name: openvino.PartialShape(shape) for name, shape in shapes.items()})
    widen(model)
    try:
        openvino.save_model(model, draft / FILE, compress_to_fp16=False)
    except RuntimeError as fault:
        if "iostream" not in str(fault):
            raise
        raise UserError(
            "disk", str(draft.parent), "OpenVINO could not write its file: the disk may be full",
            "free space, or set runs=FOLDER",
        ) from None  # fmt: skip


@functools.cache
def core() -> Any:
    """The one Core of this process.

    Each Core gives the thread a stack for signals, and takes it back when it goes; of two that do not go in the order
    in which they came, the second leaves a stack that is gone, and the next Ctrl-C ends the process without a word.
    """
    made = extra("openvino", "the format openvino").Core()
    made.get_property("CPU", "FULL_DEVICE_NAME")  # the stack comes with the device
    return made


def load(artifact: Artifact) -> Any:
    """The Model of an artifact. Raises UserError for what OpenVINO cannot read."""
    path = artifact.path(FILE)
    try:
        return core().read_model(bounded(path), artifact.path(WEIGHTS))
    except RuntimeError as fault:
        raise refused(path, "OpenVINO", fault) from None


def widen(model: Any) -> None:
    """Let OpenVINO make INT8 of INT4 when it opens the file, where what is multiplied is no product of plain numbers.

    Its convolutions, and products of integers, know INT8; of INT4 it would make FP32.
    """
    from openvino import opset13

    for constant in model.get_ordered_ops():
        if constant.get_type_name() != "Constant" or str(constant.get_element_type()) != "<Type: 'int4_t'>":
            continue
        reader = constant
        while reader.get_type_name() in _WEIGHTS and reader.output(0).get_target_inputs():
            reader = next(iter(reader.output(0).get_target_inputs())).get_node()
        given = reader.input_value(0).get_node().get_type_name() if reader.get_input_size() else ""
        if "Convolution" in reader.get_type_name() or given == "FakeQuantize":
            ports = list(constant.output(0).get_target_inputs())
            wide = opset13.convert(constant, "i8")
            for port in ports:
                port.replace_source_output(wide.output(0))
    model.validate_nodes_and_infer_types()


def round_before_pools(model: Any) -> None:
    """Put grids that alone read a maximum before it: the values are the same, and integers are quicker to compare."""
    for pool in model.get_ordered_ops():
        if pool.get_type_name() != "MaxPool":
            continue
        readers = list(pool.output(0).get_target_inputs())
        grids = [one.get_node() for one in readers]
        if not grids or any(one.get_type_name() != "FakeQuantize" for one in grids) or not _alike(grids):
            continue
        after = [port for one in grids for port in one.output(0).get_target_inputs()]
        grids[0].input(0).replace_source_output(pool.input_value(0))
        pool.input(0).replace_source_output(grids[0].output(0))
        for port in after:
            port.replace_source_output(pool.output(0))
    model.validate_nodes_and_infer_types()


def _alike(grids: Sequence[Any]) -> bool:
    """Whether all round to the same levels."""
    first = [np.asarray(grids[0].input_value(at).get_node().get_data()) for at in range(1, 5)]
    return all(
        one.get_attributes()["levels"] == grids[0].get_attributes()["levels"]
        and all(np.array_equal(x, one.input_value(at).get_node().get_data()) for at, x in enumerate(first, 1))
        for one in grids[1:]
    )


def name_layers(model: Any, layers: Sequence[tuple[str, NDArray[Any]]]) -> None:
    """Call operators by the layers of the network that they are, for whoever quantizes or profiles the file.

    The converter fuses and renames, but keeps the direction of each row of a weight: by that they are told.
    """
    left = [(name, _direction(weight)) for name, weight in layers]
    for operator in model.get_ordered_ops():
        if operator.get_type_name() not in _MATRIX or operator.get_input_size() < 2:
            continue
        constant = operator.input_value(1).get_node()
        if constant.get_type_name() != "Constant":
            continue
        row = _direction(constant.get_data())
        found = next((one for one in left if len(one[1]) == len(row) and abs(float(one[1] @ row)) > SAME), None)
        if found is not None:
            operator.set_friendly_name(found[0])
            left.remove(found)


def _direction(weight: NDArray[Any]) -> NDArray[np.float64]:
    """The first row that is not all zero, of unit length."""
    rows_OI = np.asarray(weight, np.float64).reshape(len(weight), -1)
    norms_O = np.linalg.norm(rows_OI, axis=1)
    at = int(np.argmax(norms_O > 0))
    direction_I: NDArray[np.float64] = rows_OI[at] / max(float(norms_O[at]), 1e-30)
    return direction_I


def open(artifact: Artifact, threads: int, precision: str | None) -> OpenvinoRunner | RowsRunner:
    """A compiled model, in one stream. Raises UserError for a precision OpenVINO does not know."""
    if decoding.generates(artifact):
        from netwright.export.decoding import openvino as stateful

        return stateful.runner(artifact, threads, precision)
    wanted = precision or artifact.precision
    integers = "int" in artifact.precision or "int" in wanted
    if wanted not in HINTS or (integers and wanted != artifact.precision):
        raise UserError("precision", wanted, f"OpenVINO runs this file in {artifact.precision}", "precision=fp32")
    return OpenvinoRunner(artifact, threads, wanted)


class OpenvinoRunner:
    """A compiled model and one request, with arrays for inputs."""

    def __init__(self, artifact: Artifact, threads: int, precision: str) -> None:
        model, path = load(artifact), artifact.path(FILE)
        types = {port.any_name: str(port.element_type.to_dtype()) for port in model.inputs}
        check_inputs(artifact, path, types)
        settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
        try:
            compiled = core().compile_model(model, "CPU", {**settings, "INFERENCE_PRECISION_HINT": HINTS[precision]})
            self.layers = executed(compiled.get_runtime_model())
        except RuntimeError as fault:
            raise refused(path, "OpenVINO", fault) from None
        self._request = compiled.create_infer_request()
        self.precision = most(self.layers, precision)

    def __call__(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        logits_BK: NDArray[np.float32] = self._request.infer(ordered(inputs), share_inputs=True)[0]
        return logits_BK


def executed(runtime_model: Any) -> Mapping[str, int]:
    """Matrix layers of a compiled model by the precision that they run in."""
    said = [operator.get_rt_info() for operator in runtime_model.get_ordered_ops()]
    runs = [str(info["runtimePrecision"].astype(str)) for info in said if info["layerType"].astype(str) in _MATRIX]
    return dict(Counter(_NAMES.get(name, name) for name in runs))


def without_telemetry() -> None:
    """Convert without reporting to anybody: the converter's own stand-in takes the sender's place."""
    from openvino.tools.ovc import telemetry_stub, telemetry_utils

    telemetry_utils.tm = telemetry_stub
