"""Format "onnx": one ONNX file, its constants inside, run by ONNX Runtime on the CPU.

The file names no path of the machine it was made on. What is executed is read from the graph that ONNX
Runtime optimized, not from the file: it may keep a layer in float that the file has quantized.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netwright import export
from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.core.table import extra
from netwright.export import decoding
from netwright.export.executed import bounded, check_inputs, most, ordered, refused

if TYPE_CHECKING:
    import torch

    from netwright.data.tasks import Task
    from netwright.export.decoding.rows import RowsRunner

FILE = "model.onnx"
OPSET = 20
"""The newest that ONNX Runtime 1.31, OpenVINO 2026.4 and NNCF 3.4 all take."""
OPSET_4 = 21
"""The first with INT4."""
SETTINGS: Mapping[str, Any] = {"format": "onnx", "opset": OPSET}
_TYPES = {"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(bool)": "bool"}
_FLOAT = {"Conv", "FusedConv", "NhwcFusedConv", "ConvTranspose", "MatMul", "FusedMatMul", "Gemm", "FusedGemm"}
_FLOAT |= {"Attention", "MultiHeadAttention"}
_INT8 = {"QLinearConv", "ConvInteger", "QLinearMatMul", "MatMulInteger", "MatMulIntegerToFloat", "QGemm", "QAttention"}
_INT8 |= {"DynamicQuantizeMatMul"}


def write(artifact: Artifact, task: Task, draft: Path, opset: int | None = None) -> None:
    """Trace a torch artifact and write it as ONNX, batch and open dimensions by name; `opset` as in export.Config."""
    extra("onnx", "the format onnx")
    if decoding.generates(artifact):
        from netwright.export.decoding import onnx as cached

        cached.write(artifact, draft, opset)
        return
    from netwright.export.trace import trace

    save(converted(trace(artifact), artifact, opset), artifact, draft)


def converted(program: torch.export.ExportedProgram, artifact: Artifact, opset: int | None = None) -> Any:
    """The ModelProto of a traced network; weights that it rounds to a grid are stored as integers."""
    from netwright.export.trace import layers

    model = _translated(program, artifact, opset)
    name_layers(model, [name for name, _ in layers(program)])
    return model


def exported(
    module: torch.nn.Module,
    artifact: Artifact,
    example: Mapping[str, Any],
    open_dimensions: Any,
    opset: int | None = None,
    **names: Any,
) -> Any:
    """The ModelProto of a module with inputs of its own; `names` are those of its inputs and outputs."""
    import torch

    from netwright.export.trace import layers, quiet

    with quiet(), torch.no_grad():
        program = torch.export.export(module, (), dict(example), dynamic_shapes=open_dimensions)
    model = _translated(program, artifact, opset, **names)
    name_layers(model, [name.removeprefix("network.") for name, _ in layers(program)])
    return model


def _translated(
    program: torch.export.ExportedProgram, artifact: Artifact, opset: int | None = None, **names: Any
) -> Any:
    extra("onnxscript", "the format onnx")
    import torch

    from netwright.export.absorb import absorb
    from netwright.export.trace import quiet

    if opset is None:
        opset = OPSET_4 if export.stored(artifact).startswith("int4") else OPSET
    with quiet():
        found = torch.onnx.export(
            program, (), dynamo=True, opset_version=opset, external_data=False, verbose=False, **names
        )  # fmt: skip
    assert found is not None
    model = found.model_proto  # made anew whenever it is asked for
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        fold(model)
        absorb(model)
    return model


def fold(model: Any) -> None:
    """Store weights that the graph rounds to a grid as the integers they become: a quarter of the bytes."""
    onnx = extra("onnx", "the format onnx")
    constants = {x.name: x for x in model.graph.initializer}
    known = {name: onnx.numpy_helper.to_array(x) for name, x in constants.items()}
    values, gone = dict(known), []
    for node in model.graph.node:
        given = [values.get(name) for name in node.input]
        if any(x is None for x in given) or node.op_type not in _FOLDED:
            continue
        values[node.output[0]] = _FOLDED[node.op_type](node, *given)
        gone.append(node)
    for node in gone:
        model.graph.node.remove(node)
    readers = {name: node.op_type for node in model.graph.node for name in node.input}
    for node in list(model.graph.node):
        if node.op_type == "DequantizeLinear" and node.input[0] in values.keys() - known.keys():
            _narrow(values, node)
            if readers.get(node.output[0]) == "Conv" and str(values[node.input[0]].dtype) == "int4":
                _widened(model, values, node)
    used = {name for node in model.graph.node for name in node.input}
    for name in sorted(used & values.keys()):
        if values[name] is not known.get(name):
            model.graph.initializer.append(onnx.numpy_helper.from_array(values[name], name))
            used.discard(name)
    for name in constants.keys() - used:
        model.graph.initializer.remove(constants[name])


def _narrow(values: dict[str, Any], node: Any) -> None:
    """Levels that fit into 4 bits become INT4, with zero points of their own: others may share the old ones."""
    import ml_dtypes

    name, _, zero = node.input
    if values[name].min() >= -7 and values[name].max() <= 7:
        values[name], values[f"{name}_zero"] = (values[x].astype(ml_dtypes.int4) for x in (name, zero))
        node.input[2] = f"{name}_zero"


def _widened(model: Any, values: dict[str, Any], node: Any) -> None:
    """Let the runtime make INT8 of INT4 when it opens the file: it has convolutions of INT8, and none of INT4."""
    onnx = extra("onnx", "the format onnx")
    name, _, zero = node.input
    values[zero] = values[zero].astype(np.int8)
    node.input[0] = f"{name}_int8"
    cast = onnx.helper.make_node("Cast", [name], [node.input[0]], name=f"{name}_cast", to=onnx.TensorProto.INT8)
    model.graph.node.insert(list(model.graph.node).index(node), cast)


def _rounded(node: Any, x: Any, scale: Any, zero: Any = None) -> Any:
    """QuantizeLinear of a constant, by channel or by tensor."""
    axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
    shape = [-1 if at == axis % x.ndim else 1 for at in range(x.ndim)] if scale.ndim else []
    zero = np.zeros(scale.shape, np.uint8) if zero is None else zero
    ends = np.iinfo(zero.dtype)
    levels = np.rint(x / scale.reshape(shape)) + zero.reshape(shape)
    return levels.clip(ends.min, ends.max).astype(zero.dtype)


def _kind(node: Any) -> Any:
    """What a Cast turns into."""
    to = next(a.i for a in node.attribute if a.name == "to")
    return extra("onnx", "the format onnx").helper.tensor_dtype_to_np_dtype(to)


_FOLDED: Mapping[str, Callable[..., Any]] = {
    "QuantizeLinear": _rounded,
    "Clip": lambda node, x, low=None, high=None: np.clip(x, low, high),
    "Reshape": lambda node, x, shape: x.reshape([old or x.shape[at] for at, old in enumerate(shape)]),
    "Identity": lambda node, x: x,
    "Cast": lambda node, x: x.astype(_kind(node)),
}
"""Operators on constants that are carried out when a file is written."""


def save(model: Any, artifact: Artifact, draft: Path) -> None:
    """Write a ModelProto: inputs and outputs named, notes and paths of its making left out."""
    for message in (model, *_messages(model)):
        for field in ("doc_string", "metadata_props"):
            if field in message.DESCRIPTOR.fields_by_name:
                message.ClearField(field)
    for stated in () if decoding.generates(artifact) else model.graph.input:
        shape = artifact.inputs[stated.name]["shape"]
        for dimension, size in zip(stated.type.tensor_type.shape.dim, [None, *shape], strict=True):
            if size is None:
                dimension.dim_param = "batch" if dimension is stated.type.tensor_type.shape.dim[0] else "length"
    del model.graph.value_info[:]  # its dimensions have the names of the trace
    answer = model.graph.output[0]
    answer.type.tensor_type.shape.dim[0].dim_param = "batch"
    (draft / FILE).write_bytes(model.SerializeToString(deterministic=True))


def load(artifact: Artifact) -> Any:
    """The ModelProto of an artifact. Raises UserError for no ONNX, or for data outside the file."""
    onnx, path = extra("onnx", "the format onnx"), artifact.path(FILE)
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(bounded(path).read_bytes())
    except DecodeError as fault:
        raise refused(path, "ONNX", fault) from None
    if not model.graph.node or not model.graph.output:  # an empty file is a valid message
        raise refused(path, "ONNX", ValueError("it has no graph"))
    for message in _messages(model):
        if message.DESCRIPTOR.name == "TensorProto" and (message.data_location or message.external_data):
            raise UserError(
                "file", str(path), f"its tensor {message.name!r} lies in another file, which is never followed",
                "export it again, with its constants inside",
            )  # fmt: skip
    return model


def name_layers(model: Any, names: Sequence[str]) -> None:
    """Call operators by the layers of the network that they are: both are in the order of execution."""
    constants = {x.name for x in model.graph.initializer}
    for node in model.graph.node:  # constants that are only turned or cast stay constants
        if node.input and constants.issuperset(filter(None, node.input)):
            constants.update(node.output)
    found = [n for n in model.graph.node if n.op_type in _FLOAT and not constants.isdisjoint(n.input[1:2])]
    if len(found) == len(names):
        for node, name in zip(found, names, strict=True):
            node.name = name


def open(artifact: Artifact, threads: int, precision: str | None) -> OnnxRunner | RowsRunner:
    """A session of ONNX Runtime."""
    if decoding.generates(artifact):
        from netwright.export.decoding import onnx as cached

        return cached.runner(artifact, threads, precision)
    check_precision(artifact, precision)
    model = load(artifact)
    content, quantized = model.SerializeToString(), any(n.op_type == "DequantizeLinear" for n in model.graph.node)
    del model
    return OnnxRunner(artifact, content, quantized, threads)


def check_precision(artifact: Artifact, precision: str | None) -> None:
    """Raises UserError for another precision than that of the file."""
    if precision not in (None, artifact.precision):
        raise UserError(
            "precision", precision, f"ONNX Runtime runs this file in {artifact.precision}",
            f"precision={artifact.precision}",
        )  # fmt: skip


def session(content: bytes, path: Path, threads: int, quantized: bool) -> tuple[Any, Mapping[str, int]]:
    """A session of ONNX Runtime, and its matrix layers by what they are executed in. Raises UserError."""
    runtime = extra("onnxruntime", "the format onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    # idle threads that spin would slow down whatever runs next in this process
    options.add_session_config_entry("session.force_spinning_stop", "1")
    with tempfile.TemporaryDirectory() as folder:
        optimized = Path(folder) / "optimized.onnx"
        if quantized:
            options.optimized_model_filepath = str(optimized)
        try:
            opened = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as fault:  # its exceptions have no common base but this
            raise refused(path, "ONNX Runtime", fault) from None
        return opened, _layers(optimized.read_bytes() if quantized else content)


class OnnxRunner:
    """An ONNX Runtime session with arrays for inputs."""

    def __init__(self, artifact: Artifact, content: bytes, quantized: bool, threads: int) -> None:
        path = artifact.path(FILE)
        self._session, self.layers = session(content, path, threads, quantized)
        check_inputs(artifact, path, {x.name: _TYPES.get(x.type, x.type) for x in self._session.get_inputs()})
        self.precision = most(self.layers, artifact.precision)

    def __call__(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        logits_BK: NDArray[np.float32] = self._session.run(None, ordered(inputs))[0]
        return logits_BK


def _layers(content: bytes) -> Mapping[str, int]:
    model = extra("onnx", "the format onnx").load_model_from_string(content)
    kinds = Counter(node.op_type for node in model.graph.node)
    counts = {"int8": sum(kinds[kind] for kind in _INT8), "fp32": sum(kinds[kind] for kind in _FLOAT)}
    return {name: count for name, count in counts.items() if count}


def _messages(message: Any) -> Iterator[Any]:
    """Every message inside a protobuf message, subgraphs and functions included."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if field.is_repeated else (value,):
                yield part
                yield from _messages(part)
