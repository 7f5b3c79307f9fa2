"""Decoder "onnx": a graph with keys and values as inputs and outputs, under the names that Hugging Face gives them.

    inputs   input_ids, attention_mask, position_ids, past_key_values.N.key, past_key_values.N.value
    outputs  logits_BTV, present.N.key, present.N.value

When it is opened it gets one more input: of how many tokens logits are wanted. What one call answers is handed to the
next without a copy through NumPy; the graph itself joins old and new keys, which copies them.

Shape legend: B batch, T new tokens, S all tokens, K heads of keys and values, E width of a head, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.core.table import extra
from netwright.export import onnx as plain
from netwright.export.decoding import room
from netwright.export.decoding.rows import RowsRunner
from netwright.export.executed import most

IDS, MASK, POSITIONS, WANTED = "input_ids", "attention_mask", "position_ids", "wanted"
PAST, PRESENT = "past_key_values", "present"


def write(artifact: Artifact, draft: Path, opset: int | None = None) -> None:
    """Trace a torch artifact and write it as ONNX with a cache; the embedding and a tied head are one constant."""
    plain.save(converted(artifact, opset), artifact, draft)


def converted(artifact: Artifact, opset: int | None = None) -> Any:
    """The ModelProto of a torch artifact, its batch, length and past dynamic."""
    import torch

    from netwright.export.decoding import network

    module = network.opened(artifact)
    shape = network.shape(module)
    auto = torch.export.Dim.DYNAMIC(min=1)
    dynamic = {name: {0: auto, 1: auto} for name in (IDS, MASK, POSITIONS)}
    cache = {0: auto, 2: auto}
    model = plain.exported(
        module,
        artifact,
        network.example(shape),
        {**dynamic, "past": [(cache, cache)] * shape.depth},
        opset,
        input_names=[IDS, MASK, POSITIONS, *shape.names(PAST)],
        output_names=["logits", *shape.names(PRESENT)],
    )
    _name_dimensions(model)
    return model


def _name_dimensions(model: Any) -> None:
    """Dimensions that vary by what they are: batch, sequence, past_sequence, total_sequence."""
    names: dict[str, tuple[str, ...]] = dict.fromkeys((IDS, POSITIONS), ("batch", "sequence"))
    names |= {MASK: ("batch", "total_sequence"), "logits": ("batch", "sequence", "")}
    for port in (*model.graph.input, *model.graph.output):
        length = "past_sequence" if port.name.startswith(PAST) else "total_sequence"
        dimensions = names.get(port.name, ("batch", "", length, ""))
        for dimension, name in zip(port.type.tensor_type.shape.dim, dimensions, strict=True):
            if name:
                dimension.dim_param = name


def only_wanted(model: Any) -> None:
    """Make logits of the last tokens only, of as many as the new input `wanted` says."""
    onnx = extra("onnx", "the format onnx")
    producers = {name: node for node in model.graph.node for name in node.output}
    head = producers["logits"]
    while head.op_type not in HEADS:
        head = producers[head.input[0]]
    features, made = head.input[0], onnx.helper.make_node
    for name, value in (("wanted.end", 2**62), ("wanted.axis", 1)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([value]), name))
    model.graph.input.append(onnx.helper.make_tensor_value_info(WANTED, onnx.TensorProto.INT64, [1]))
    at = list(model.graph.node).index(head)
    model.graph.node.insert(at, made("Neg", [WANTED], ["wanted.start"]))
    some = made("Slice", [features, "wanted.start", "wanted.end", "wanted.axis"], ["wanted.features"])
    model.graph.node.insert(at + 1, some)
    head.input[0] = "wanted.features"


HEADS = ("MatMul", "MatMulNBits", "DynamicQuantizeLinear")
"""What reads the features that logits are made of."""


def choices(artifact: Artifact) -> tuple[str, ...]:
    """What a decoder can be opened in: as the file is."""
    return (artifact.precision,)


def open(artifact: Artifact, threads: int, precision: str | None) -> OnnxDecoder:
    """A session that generates, in the precision of the file."""
    return OnnxDecoder(Session(artifact, threads, precision), int(artifact.model["positions"]))


def runner(artifact: Artifact, threads: int, precision: str | None) -> RowsRunner:
    """A `Runner` of the same file, for certificates and evaluations."""
    session = Session(artifact, threads, precision)
    return RowsRunner(session.rows, session.precision, session.layers)


class Session:
    """A session of ONNX Runtime on a graph with a cache."""

    def __init__(self, artifact: Artifact, threads: int, precision: str | None) -> None:
        plain.check_precision(artifact, precision)
        model, path = plain.load(artifact), artifact.path(plain.FILE)
        names = [port.name for port in model.graph.input]
        if names[:3] != [IDS, MASK, POSITIONS] or not all(name.startswith(PAST) for name in names[3:]):
            raise UserError("file", str(path), "is no language model with a cache", "export it again")
        sizes = [[axis.dim_value for axis in port.type.tensor_type.shape.dim] for port in model.graph.input[3:]]
        only_wanted(model)
        content = model.SerializeToString()
        self.vocabulary = model.graph.output[0].type.tensor_type.shape.dim[2].dim_value
        del model
        self._session, self.layers = plain.session(content, path, threads, quantized=artifact.precision != "fp32")
        self.precision = most(self.layers, artifact.precision)
        self.past = names[3:]
        self.present = [port.name for port in self._session.get_outputs()][1:]
        self._value = extra("onnxruntime", "the format onnx").OrtValue.ortvalue_from_numpy
        self._empty = [(heads, 0, width) for _, heads, _, width in sizes]

    def empty(self, batch: int = 1) -> list[Any]:
        """Keys and values of nothing."""
        return [self._value(np.zeros((batch, *size), np.float32)) for size in self._empty]

    def step(
        self, ids_BT: NDArray[np.int64], before: int, positions_BT: NDArray[np.int64], wanted: int, past: Sequence[Any]
    ) -> tuple[NDArray[np.float32], list[Any]]:
        """Logits of the last `wanted` tokens of each row, and the keys and values of all tokens."""
        binding = self._session.io_binding()
        B, T = ids_BT.shape
        given = {IDS: ids_BT, MASK: np.ones((B, before + T), np.int64), POSITIONS: positions_BT}
        given[WANTED] = np.array([wanted])
        for name, x in given.items():
            binding.bind_ortvalue_input(name, self._value(x))
        for name, value in zip(self.past, past, strict=True):
            binding.bind_ortvalue_input(name, value)
        for name in ("logits", *self.present):
            binding.bind_output(name, "cpu")
        self._session.run_with_iobinding(binding)
        logits_BTV, *present = binding.get_outputs()
        return logits_BTV.numpy(), present

    def rows(self, ids_NL: NDArray[np.int64], positions_NL: NDArray[np.int64]) -> NDArray[np.float32]:
        """Logits of every token of whole texts."""
        return self.step(ids_NL, 0, positions_NL, ids_NL.shape[1], self.empty(len(ids_NL)))[0]

    def cut(self, past: Sequence[Any], count: int) -> list[Any]:
        """The first `count` of the keys and values."""
        return [self._value(np.ascontiguousarray(x.numpy()[:, :, :count])) for x in past]


class OnnxDecoder:
    """A `Decoder` on a graph with a cache."""

    def __init__(self, session: Session, longest: int) -> None:
        self._session, self.longest = session, longest
        self.vocabulary, self.precision, self.layers = session.vocabulary, session.precision, session.layers
        self._past, self._read = session.empty(), 0

    def __len__(self) -> int:
        return self._read

    def feed(self, ids: Sequence[int], all: bool = False) -> NDArray[np.float32]:
        T = len(ids)
        room(self._read, T, self.longest)
        positions_1T = np.arange(self._read, self._read + T)[None]
        ids_1T = np.array([ids], np.int64)
        logits_1TV, self._past = self._session.step(ids_1T, self._read, positions_1T, T if all else 1, self._past)
        self._read += T
        answer: NDArray[np.float32] = logits_1TV[0] if all else logits_1TV[0, 0]
        return answer

    def keep(self, count: int) -> None:
        if count >= self._read:
            return
        self._read = max(0, count)
        self._past = self._session.cut(self._past, self._read) if self._read else self._session.empty()
