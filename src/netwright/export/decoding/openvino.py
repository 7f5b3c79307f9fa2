"""Decoder "openvino": a stateful model, which keeps keys and values in the runtime, with the ports of OpenVINO GenAI.

    inputs   input_ids, attention_mask, position_ids, beam_idx
    output   logits_BTV

OpenVINO GenAI opens the same file. Here it gets one more input when it is opened: of how many tokens logits are wanted,
so that a prompt of 1,000 tokens makes one row of logits and not 1,000. Other devices than the CPU, and certificates,
take the file so; on the CPU `decoding.paged` makes pages of the states. Cutting states copies all of them, so tokens to
forget are masked first, and cut when they are many.

Shape legend: B batch, T new tokens, S all tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.core.table import extra
from netwright.export import openvino as plain
from netwright.export.decoding import Decoder, room
from netwright.export.decoding.devices import named
from netwright.export.decoding.joined import join
from netwright.export.decoding.rows import RowsRunner
from netwright.export.executed import most, refused
from netwright.hardware import detect

if TYPE_CHECKING:
    from netwright.export.decoding.network import Shape

IDS, MASK, POSITIONS, BEAMS, WANTED = "input_ids", "attention_mask", "position_ids", "beam_idx", "wanted"
PORTS = {IDS: "int64", MASK: "int64", POSITIONS: "int64", BEAMS: "int32"}
SETTINGS: Mapping[str, Mapping[str, str]] = {
    "fp32": {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"},
    "bf16": {"INFERENCE_PRECISION_HINT": "bf16", "KV_CACHE_PRECISION": "bf16", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"},
    "int8": {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "u8", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "32"},
    "int8-bf16": {
        "INFERENCE_PRECISION_HINT": "bf16", "KV_CACHE_PRECISION": "u8", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "32"
    },
}  # fmt: skip
"""What to compute in -> what OpenVINO is told. "int8" multiplies compressed weights by inputs rounded to 8 bits as they
come, and keeps keys and values in 8 bits: quicker where the processor has dot products of integers (VNNI), else not."""
STALE = 64
"""Masked tokens that are carried along, at least; a quarter of the text where that is more."""


def write(artifact: Artifact, draft: Path) -> None:
    """Convert a torch artifact to a stateful model; constants stay in fp32, the embedding and a tied head are one."""
    plain.save(converted(artifact), artifact, draft)


def converted(artifact: Artifact) -> Any:
    """The stateful Model of a torch artifact."""
    openvino = extra("openvino", "the format openvino")
    import torch

    from netwright.export.decoding import network
    from netwright.export.trace import quiet

    module = network.opened(artifact)
    shape = network.shape(module)
    with quiet(), torch.no_grad():
        plain.without_telemetry()
        model = openvino.convert_model(module, example_input=network.example(shape))
    plain.name_layers(model, network.layers(module.network))
    _name_ports(model, shape)
    _make_stateful(model, shape)
    return model


def _name_ports(model: Any, shape: Shape) -> None:
    openvino = extra("openvino", "the format openvino")
    sizes = [[-1, -1]] * 3 + [[-1, heads, -1, shape.width] for heads in shape.heads for _ in range(2)]
    names = [IDS, MASK, POSITIONS, *shape.names("past_key_values")]
    for port, name, size in zip(model.inputs, names, sizes, strict=True):
        port.get_tensor().set_names({name})
        port.get_node().set_friendly_name(name)
        port.get_node().set_partial_shape(openvino.PartialShape(size))
    for port, name in zip(model.outputs, ["logits", *shape.names("present")], strict=True):
        port.get_tensor().set_names({name})
    model.validate_nodes_and_infer_types()


def _make_stateful(model: Any, shape: Shape) -> None:
    """Keys and values become states of the request, reordered by `beam_idx`, and empty where nothing was read."""
    openvino = extra("openvino", "the format openvino")
    from openvino import opset13
    from openvino._offline_transformations import apply_make_stateful_transformation

    beams = opset13.parameter(openvino.PartialShape([-1]), openvino.Type.i32, name=BEAMS)
    beams.output(0).get_tensor().set_names({BEAMS})
    model.add_parameters([beams])
    zero = opset13.constant(0, openvino.Type.i64)
    past = set(shape.names("past_key_values"))
    for parameter in model.get_parameters():
        if parameter.output(0).get_any_name() in past:
            readers = list(parameter.output(0).get_target_inputs())
            chosen = opset13.gather(parameter, beams, zero)
            for reader in readers:
                reader.replace_source_output(chosen.output(0))
    pairs = dict(zip(shape.names("past_key_values"), shape.names("present"), strict=True))
    apply_make_stateful_transformation(model, pairs)
    rows = opset13.gather(opset13.shape_of(model.input(IDS), "i64"), opset13.constant([0], openvino.Type.i64), zero)
    for operator in model.get_ops():
        if operator.get_type_name() == "ReadValue":
            heads = operator.output(0).partial_shape[1].get_length()
            empty = opset13.concat([rows, opset13.constant([heads, 0, shape.width], openvino.Type.i64)], 0)
            operator.set_arguments([opset13.broadcast(opset13.constant(0.0, openvino.Type.f32), empty)])
    model.validate_nodes_and_infer_types()


def last_product(model: Any) -> Any:
    """The matrix product that makes the logits."""
    node = model.output("logits").get_node().input_value(0).get_node()
    while node.get_type_name() != "MatMul":
        node = node.input_value(0).get_node()
    return node


def only_wanted(model: Any) -> None:
    """Make logits of the last tokens only, of as many as the new input `wanted` says."""
    openvino = extra("openvino", "the format openvino")
    from openvino import opset13

    head = last_product(model)
    wanted = opset13.parameter(openvino.PartialShape([1]), openvino.Type.i64, name=WANTED)
    wanted.output(0).get_tensor().set_names({WANTED})
    model.add_parameters([wanted])
    first, last, step, axis = (opset13.constant([at], openvino.Type.i64) for at in (0, 2**62, 1, 1))
    start = opset13.subtract(first, wanted)
    some = opset13.slice(head.input_value(0), start, last, step, axis)
    head.input(0).replace_source_output(some.output(0))
    model.validate_nodes_and_infer_types()


def choices(artifact: Artifact) -> tuple[str, ...]:
    """What this processor computes natively, of what a decoder can be opened in."""
    bf16 = "BF16" in plain.core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    integers = artifact.precision.startswith("int")
    return tuple(x for x in SETTINGS if (bf16 or "bf16" not in x) and (integers or "int8" not in x))


def open(artifact: Artifact, threads: int, precision: str | None, device: str = "CPU") -> Decoder:
    """A model that generates; `precision` is one of `SETTINGS`, by default fp32 for any weights.

    `device` is one of OpenVINO's (`decoding.devices`). On a CPU keys and values are in pages (`decoding.paged`); others
    compute in what suits them best, on the stateful file as it is.
    """
    if device.upper() == "CPU":
        from netwright.export.decoding import paged

        return paged.PagedDecoder(paged.PagedSession(artifact, threads, precision or "fp32"))
    return OpenvinoDecoder(Session(artifact, threads, precision or "fp32", device), int(artifact.model["positions"]))


def runner(artifact: Artifact, threads: int, precision: str | None) -> RowsRunner:
    """A `Runner` of the same file, for certificates and evaluations."""
    wanted = precision if precision in SETTINGS else None
    session = Session(artifact, threads, wanted or ("bf16" if artifact.precision == "bf16" else "fp32"))
    return RowsRunner(session.rows, session.precision, session.layers)


def opened(artifact: Artifact) -> Any:
    """The stateful Model of an artifact, products put together. Raises UserError for a file of another kind."""
    model, path = plain.load(artifact), artifact.path(plain.FILE)
    found = {port.any_name: str(port.element_type.to_dtype()) for port in model.inputs}
    if found != PORTS or not model.get_sinks():
        raise UserError("file", str(path), f"takes {found}: no language model with a cache", "export it again")
    join(model)
    return model


def compile(model: Any, artifact: Artifact, threads: int, precision: str, device: str = "CPU") -> Any:
    """A CompiledModel in one of `SETTINGS`.

    Raises UserError for another precision, an absent device, a bad file, and what would end the process.
    """
    if precision not in SETTINGS:
        raise UserError("precision", precision, f"OpenVINO generates in {', '.join(SETTINGS)}", "precision=fp32")
    device = named(device)
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if device == "CPU":
        if crashes(artifact.precision, precision, threads):
            allowed = "2 threads or more, fp32, or INT8 weights: OpenVINO 2026.4 crashes with this on a CPU with AMX"
            raise UserError("precision", f"{precision} on one thread", allowed, "precision=fp32")
        settings |= {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, **SETTINGS[precision]}
    try:
        return plain.core().compile_model(model, device, settings)
    except RuntimeError as fault:
        raise refused(artifact.path(plain.FILE), "OpenVINO", fault) from None


def crashes(stored: str, computed: str, threads: int) -> bool:
    """Whether OpenVINO would divide by zero and end the process: its issue 33300, open in 2026.

    Whole weights, bf16 in the tiles of AMX and one thread, which it cannot share between two halves of an MLP.
    """
    amx = "amx_bf16" in detect.isa()
    return amx and "bf16" in computed and not stored.startswith("int") and min(threads, detect.usable_threads()) < 2


class Session:
    """A compiled model and one request."""

    def __init__(self, artifact: Artifact, threads: int, precision: str, device: str = "CPU") -> None:
        model = opened(artifact)
        only_wanted(model)
        compiled = compile(model, artifact, threads, precision, device)
        self.layers = plain.executed(compiled.get_runtime_model())
        self.precision = most(self.layers, precision)
        self.vocabulary = int(compiled.output(0).partial_shape[2].get_length())
        self.request = compiled.create_infer_request()

    def step(
        self, ids_BT: NDArray[np.int64], mask_BS: NDArray[np.int64], positions_BT: NDArray[np.int64], wanted: int
    ) -> NDArray[np.float32]:
        """Read on; logits of the last `wanted` tokens of each row."""
        beams_B = np.arange(len(ids_BT), dtype=np.int32)
        inputs = {IDS: ids_BT, MASK: mask_BS, POSITIONS: positions_BT, BEAMS: beams_B, WANTED: np.array([wanted])}
        logits_BTV: NDArray[np.float32] = self.request.infer(inputs, share_inputs=True)[0]
        return logits_BTV

    def rows(self, ids_NL: NDArray[np.int64], positions_NL: NDArray[np.int64]) -> NDArray[np.float32]:
        """Logits of every token of whole texts."""
        self.request.reset_state()
        return self.step(ids_NL, np.ones_like(ids_NL), positions_NL, ids_NL.shape[1])

    def cut(self, kept: NDArray[np.int64]) -> None:
        """Leave only these tokens in the states."""
        openvino = extra("openvino", "the format openvino")
        for state in self.request.query_state():
            state.state = openvino.Tensor(np.ascontiguousarray(state.state.data[:, :, kept]))


class OpenvinoDecoder:
    """A `Decoder` on a stateful model: which of the tokens in its states count is in a mask."""

    def __init__(self, session: Session, longest: int) -> None:
        self._session, self.longest = session, longest
        self.vocabulary, self.precision, self.layers = session.vocabulary, session.precision, session.layers
        self._mask = np.ones((1, 0), np.int64)
        self._read = 0

    def __len__(self) -> int:
        return self._read

    def feed(self, ids: Sequence[int], all: bool = False) -> NDArray[np.float32]:
        T = len(ids)
        room(self._read, T, self.longest)
        ids_1T = np.array([ids], np.int64)
        mask_1S = np.concatenate([self._mask, np.ones((1, T), np.int64)], 1)
        positions_1T = np.arange(self._read, self._read + T)[None]
        logits_TV = self._session.step(ids_1T, mask_1S, positions_1T, T if all else 1)[0]
        self._mask, self._read = mask_1S, self._read + T
        answer: NDArray[np.float32] = logits_TV if all else logits_TV[0]
        return answer

    def keep(self, count: int) -> None:
        if count >= self._read:
            return
        self._read = max(0, count)
        if not self._read:
            self._session.request.reset_state()
            self._mask = self._mask[:, :0]
            return
        seen = np.flatnonzero(self._mask[0])
        self._mask[0, seen[count:]] = 0
        if self._mask.size - count > max(STALE, count // 4):
            self._session.cut(seen[:count])
            self._mask = np.ones((1, count), np.int64)
