"""ONNX files against sums by hand, against traces of the networks they came from, and files that are broken."""

import logging
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from netwright.compress import METHODS
from netwright.core import table
from netwright.core.error import UserError
from netwright.models import facts
from netwright.predict.onnx import read
from small_networks import every

NETWORKS = every()
FLOAT = TensorProto.FLOAT


def save(path: Path, nodes, inputs, outputs, weights=None, opset=20, domains=()) -> Path:
    """A model file; shapes may hold names; `weights` are arrays by name."""
    infos = [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs]
    answers = [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs]
    constants = [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()]
    graph = helper.make_graph(nodes, "net", infos, answers, constants)
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets).SerializeToString())
    return path


def one(tmp_path, op, shapes, weights=None, opset=20, domain="", kind=FLOAT, **attributes):
    """The operators of a single node with inputs of these shapes; an input may be a weight."""
    weights = weights or {}
    names = [f"x{at}" for at in range(len(shapes))]
    node = helper.make_node(op, [*names, *weights], ["y"], domain=domain, **attributes)
    inputs = [(name, kind, shape) for name, shape in zip(names, shapes, strict=True)]
    path = save(tmp_path / "one.onnx", [node], inputs, ["y"], weights, opset, [domain] if domain else [])
    return read(path)


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


def test_a_convolution(tmp_path):
    work = one(tmp_path, "Conv", [(2, 8, 9, 9)], {"w": zeros(12, 2, 3, 3), "b": zeros(12)}, group=4)
    (conv,) = work.operators
    assert conv.name == "grouped_convolution"
    assert conv.flops == conv.matrix.flops == 2 * 2 * 7 * 7 * 12 * 2 * 9
    assert (conv.weight_bytes, conv.input_bytes, conv.output_bytes) == (4 * (216 + 12), 4 * 1296, 4 * 2 * 12 * 49)
    assert (work.batch, work.parameters, work.stored_bytes) == (2, 228, 912)
    assert work.peak_bytes == conv.input_bytes + conv.output_bytes


def test_names_of_convolutions(tmp_path):
    depthwise = one(tmp_path, "Conv", [(2, 8, 9, 9)], {"w": zeros(8, 1, 3, 3)}, group=8)
    assert depthwise.operators[0].name == "depthwise_convolution"
    transposed = one(tmp_path, "ConvTranspose", [(2, 6, 5, 5)], {"w": zeros(6, 2, 3, 3)}, strides=[2, 2], group=2)
    assert transposed.operators[0].flops == 2 * 2 * 25 * 6 * 2 * 9


@pytest.mark.parametrize(
    ("op", "shapes", "weights", "flops", "grows", "attributes"),
    [
        ("MatMul", [(2, 5, 4)], {"w": zeros(4, 3)}, 2 * 2 * 5 * 4 * 3, "m", {}),
        ("MatMul", [(2, 5, 4), (2, 4, 3)], {}, 2 * 2 * 5 * 4 * 3, "count", {}),
        ("MatMul", [(2, 3, 5, 4), (1, 1, 4, 3)], {}, 2 * 6 * 5 * 4 * 3, "m", {}),
        ("MatMul", [(4,), (4,)], {}, 2 * 4, "m", {}),
        ("Gemm", [(5, 4)], {"w": zeros(3, 4), "b": zeros(3)}, 2 * 5 * 4 * 3, "m", {"transB": 1}),
        ("Gemm", [(4, 5)], {"w": zeros(4, 3)}, 2 * 5 * 4 * 3, "m", {"transA": 1}),
        ("Einsum", [(2, 5, 4), (2, 6, 4)], {}, 2 * 2 * 5 * 4 * 6, "count", {"equation": "bij,bkj->bik"}),
        ("Einsum", [(2, 3, 5, 4)], {"w": zeros(4, 7)}, 2 * 6 * 5 * 4 * 7, "m", {"equation": "...ij,jk->...ik"}),
    ],
)
def test_products(tmp_path, op, shapes, weights, flops, grows, attributes):
    (product,) = one(tmp_path, op, shapes, weights, **attributes).operators
    assert product.flops == product.matrix.flops == flops
    assert product.matrix.grows == grows


@pytest.mark.parametrize(("op", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_recurrent_layers(tmp_path, op, gates):
    weights = {"w": zeros(2, gates * 5, 6), "r": zeros(2, gates * 5, 5)}
    work = one(tmp_path, op, [(7, 3, 6)], weights, hidden_size=5, direction="bidirectional")
    expected = 2 * [2 * 21 * gates * 5 * 6, 2 * 21 * gates * 5 * 5]
    assert [o.flops for o in work.operators] == expected
    assert work.operators[1].matrix.count == 7


def test_integer_products(tmp_path):
    weights = {"w": zeros(4, 3, dtype=np.int8)}
    (product,) = one(tmp_path, "MatMulInteger", [(5, 4)], weights, kind=TensorProto.INT8).operators
    assert (product.dtype, product.weight_bytes, product.output_bytes) == ("int8", 12, 4 * 15)
    assert product.activations == 15
    weights = {"w": zeros(3, 2, 3, 3, dtype=np.int8)}
    (conv,) = one(tmp_path, "ConvInteger", [(1, 2, 5, 5)], weights, kind=TensorProto.UINT8).operators
    assert (conv.dtype, conv.flops) == ("int8", 2 * 9 * 3 * 2 * 9)


def quantized(tmp_path, weight_only: bool) -> Path:
    """x -> [Q -> DQ ->] MatMul with a dequantized weight [-> Q -> DQ] -> Relu."""
    scale, zero = {"s": np.float32(0.1), "z": np.int8(0)}, ["s", "z"]
    nodes = [helper.make_node("DequantizeLinear", ["w", *zero], ["wf"])]
    if weight_only:
        nodes += [helper.make_node("MatMul", ["x", "wf"], ["y"]), helper.make_node("Relu", ["y"], ["a"])]
    else:
        nodes += [
            helper.make_node("QuantizeLinear", ["x", *zero], ["xq"]),
            helper.make_node("DequantizeLinear", ["xq", *zero], ["xf"]),
            helper.make_node("MatMul", ["xf", "wf"], ["y"]),
            helper.make_node("QuantizeLinear", ["y", *zero], ["yq"]),
            helper.make_node("DequantizeLinear", ["yq", *zero], ["yf"]),
            helper.make_node("Relu", ["yf"], ["a"]),
        ]
    weights = {"w": zeros(16, 8, dtype=np.int8), **scale}
    return save(tmp_path / "q.onnx", nodes, [("x", FLOAT, (4, 16))], ["a"], weights)


def test_a_quantized_layer_computes_in_eight_bits(tmp_path):
    work = read(quantized(tmp_path, False))
    assert [o.name for o in work.operators] == ["quantizelinear", "mm", "relu"]
    product = work.operators[1]
    assert (product.dtype, product.weight_bytes, product.input_bytes, product.output_bytes) == ("int8", 128, 64, 32)
    assert work.operators[0].output_bytes == 64
    assert work.operators[2].input_bytes == 32


def test_quantized_weights_alone_save_bytes_and_no_arithmetic(tmp_path):
    product, relu = read(quantized(tmp_path, True)).operators
    assert (product.dtype, product.weight_bytes, product.input_bytes) == ("fp32", 128, 4 * 64)
    assert relu.dtype == "fp32"


def test_four_bit_weights_of_onnx_runtime(tmp_path):
    weights = {"w": zeros(8, 1, 16, dtype=np.uint8), "s": zeros(8)}
    work = one(
        tmp_path, "MatMulNBits", [(4, 32)], weights, domain="com.microsoft", K=32, N=8, bits=4, block_size=32
    )  # fmt: skip
    (product,) = work.operators
    assert (product.flops, product.dtype, product.weight_bytes) == (2 * 4 * 32 * 8, "fp32", 128 + 32)
    assert work.notes == ()


def test_attention_is_put_together_again(tmp_path):
    nodes = [
        helper.make_node("MatMul", ["q", "k"], ["s"]),
        helper.make_node("Mul", ["s", "c"], ["t"]),
        helper.make_node("Add", ["t", "mask"], ["u"]),
        helper.make_node("Softmax", ["u"], ["p"], axis=-1),
        helper.make_node("MatMul", ["p", "v"], ["y"]),
    ]
    shapes = {"q": (2, 4, 6, 8), "k": (2, 4, 8, 10), "v": (2, 4, 10, 8), "mask": (2, 1, 6, 10)}
    path = save(
        tmp_path / "a.onnx", nodes, [(n, FLOAT, s) for n, s in shapes.items()], ["y"], {"c": np.float32(0.3)}
    )  # fmt: skip
    (attention,) = read(path).operators
    shape = attention.attention
    assert (shape.batch, shape.heads, shape.queries, shape.keys, shape.head_dim) == (2, 4, 6, 10, 8)
    assert attention.flops == 2 * (2 * 2 * 4 * 6 * 10 * 8)
    assert attention.input_bytes == 4 * 64 * (6 + 10 + 10)
    assert read(path).peak_bytes < 4 * (384 + 2 * 640 + 120 + 384) + 1  # scores are never written


def test_attention_of_the_standard(tmp_path):
    shapes = [(2, 8, 6, 16), (2, 2, 10, 16), (2, 2, 10, 16)]
    (attention,) = one(tmp_path, "Attention", shapes, opset=23, is_causal=1).operators
    assert (attention.attention.heads, attention.attention.kv_heads, attention.attention.causal) == (8, 2, True)
    assert attention.flops == 2 * 2 * 2 * 8 * 6 * 10 * 16


def test_a_lookup_reads_its_rows(tmp_path):
    nodes = [helper.make_node("Gather", ["table", "ids"], ["y"])]
    path = save(tmp_path / "g.onnx", nodes, [("ids", TensorProto.INT64, (2, 3))], ["y"], {"table": zeros(1000, 8)})
    (lookup,) = read(path).operators
    assert (lookup.name, lookup.flops, lookup.weight_bytes) == ("embedding", 0, 0)
    assert (lookup.input_bytes, lookup.output_bytes) == (4 * 48 + 8 * 6, 4 * 48)


def test_what_depends_on_weights_alone_costs_nothing(tmp_path):
    nodes = [helper.make_node("Transpose", ["w"], ["v"]), helper.make_node("MatMul", ["x", "v"], ["y"])]
    path = save(tmp_path / "t.onnx", nodes, [("x", FLOAT, (2, 4))], ["y"], {"w": zeros(3, 4)})
    (product,) = read(path).operators
    assert product.weight_bytes == 48


def test_shapes_that_the_graph_computes(tmp_path):
    """Flatten all but the batch, as exporters write it: shape, slice, concatenate, reshape."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["b"], axis=0),
        helper.make_node("Concat", ["b", "rest"], ["to"], axis=0),
        helper.make_node("Reshape", ["x", "to"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["y"]),
    ]
    weights = {"zero": np.array([0]), "rest": np.array([-1]), "w": zeros(12, 5)}
    path = save(tmp_path / "s.onnx", nodes, [("x", FLOAT, ("batch", 3, 4))], ["y"], weights)
    (product,) = read(path, batch=7).operators
    assert product.flops == 2 * 7 * 12 * 5


def test_unknown_operators_move_bytes_and_are_named(tmp_path):
    work = one(tmp_path, "Mystery", [(4, 8)], {"w": zeros(8)}, domain="my.domain")
    (operator,) = work.operators
    assert (operator.flops, operator.input_bytes, operator.output_bytes) == (0, 128, 128)
    assert any("my.domain.Mystery (1)" in note for note in work.notes)


def test_loops_and_what_follows_them_are_named(tmp_path):
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["state", "state"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info("at", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", FLOAT, (2, 3)),
        ],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, []), helper.make_tensor_value_info("next", FLOAT, None)],
    )
    node = helper.make_node("Loop", ["times", "", "x"], ["y"], body=body)
    path = save(tmp_path / "loop.onnx", [node], [("x", FLOAT, (2, 3))], ["y"], {"times": np.array(5)})
    assert any("Loop (1)" in note for note in read(path).notes)


def test_work_of_unknown_shape_is_named(tmp_path):
    work = one(tmp_path, "NonZero", [(4, 8)])
    assert any("NonZero" in note for note in work.notes)


# beside those: rnn is exported step by step, its first without the zero state; recommender as a loop over each bag
@pytest.mark.parametrize("name", ["detector", "segmentation", "lstm", "gru", "decoder", "explicit", "transposed"])
def test_products_are_those_of_the_network_it_came_from(name, tmp_path):
    model, inputs = NETWORKS[name]
    path = tmp_path / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.CRITICAL)
        torch.onnx.export(model.eval(), (), path, kwargs=inputs, dynamo=True, external_data=False, verbose=False)
    found, traced = read(path), facts.trace(model, inputs)
    products = [sum(o.flops for o in work.operators if o.matrix or o.attention) for work in (found, traced)]
    assert products[0] == pytest.approx(products[1], rel=0.01)
    tied = model.head.weight.numel() if name == "decoder" else 0  # stored once more, transposed
    assert found.parameters - tied == pytest.approx(traced.parameters, rel=0.05)
    assert found.batch == traced.batch == 2
    assert found.notes == ()


@pytest.mark.parametrize("kind", ["image", "text"])
def test_what_netwright_quantizes_computes_in_eight_bits(kind, tiny, tmp_path):
    task, source = tiny[kind]
    method = table.resolve(METHODS, "quantize", "compress.name")
    made = method.apply(source, task, method.Config(format="onnx", samples=64, examples=100), tmp_path / "made")
    narrow = read(made.path("model.onnx"), batch=1, sequence=8)
    wide = read(tmp_path / "made-fp32" / "model.onnx", batch=1, sequence=8)
    products = [[o for o in work.operators if o.matrix or o.attention] for work in (narrow, wide)]
    assert {o.dtype for o in products[0]} == {"int8"}
    assert sum(o.flops for o in products[0]) == sum(o.flops for o in products[1])
    assert {o.dtype for o in products[1]} == {"fp32"}
    assert sum(o.weight_bytes for o in products[0]) < 0.6 * sum(o.weight_bytes for o in products[1])
    assert narrow.stored_bytes < 0.5 * wide.stored_bytes
    assert narrow.notes == ()


def test_open_dimensions(tmp_path):
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    path = save(tmp_path / "o.onnx", [node], [("x", FLOAT, ("batch", "length", 4))], ["y"], {"w": zeros(4, 3)})
    with pytest.raises(UserError, match=r"dimension 1 \(length\) is open"):
        read(path, batch=2)
    assert read(path, batch=2, sequence=5) == replace(read(path, shapes={"x": (2, 5, 4)}), sequence=5)
    with pytest.raises(UserError, match="whole number"):
        read(path, sequence=0)
    work = read(path, shapes={"x": (2, 5, 4)})
    assert (work.batch, work.flops) == (2, 2 * 10 * 12)
    with pytest.raises(UserError, match="fixes dimension 2 at 4"):
        read(path, shapes={"x": (2, 5, 6)})
    with pytest.raises(UserError, match="3 whole numbers"):
        read(path, shapes={"x": (2, 5)})
    with pytest.raises(UserError, match="inputs are x"):
        read(path, shapes={"z": (2, 5, 4)})


def test_a_fixed_batch_is_scaled(tmp_path):
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    path = save(tmp_path / "f.onnx", [node], [("x", FLOAT, (1, 4))], ["y"], {"w": zeros(4, 3)})
    work = read(path, batch=8)
    assert (work.batch, work.flops, work.operators[0].matrix.m) == (8, 2 * 8 * 12, 8)
    with pytest.raises(UserError, match="whole number"):
        read(path, batch=0)


def test_weights_elsewhere_are_never_opened(tmp_path):
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    path = save(tmp_path / "e.onnx", [node], [("x", FLOAT, (1, 400))], ["y"], {"w": zeros(400, 30)})
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (tmp_path / "weights.bin").unlink()
    assert read(path).flops == 2 * 400 * 30


def test_liveness_by_hand(tmp_path):
    """Of a chain of four, two tensors live at once; the one that is read again at the end lives throughout."""
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Sigmoid", ["a"], ["b"]),
        helper.make_node("Reshape", ["b", "to"], ["c"]),
        helper.make_node("Tanh", ["c"], ["d"]),
        helper.make_node("Reshape", ["d", "back"], ["e"]),
        helper.make_node("Add", ["a", "e"], ["y"]),
    ]
    weights = {"to": np.array([2, 10]), "back": np.array([4, 5])}
    path = save(tmp_path / "l.onnx", nodes, [("x", FLOAT, (4, 5))], ["y"], weights)
    assert read(path).peak_bytes == 80 * (1 + 3)  # x beside a, b and d; or a, d and y


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"", "no graph"), (b"not onnx at all", "no ONNX"), (b"\x08\x07" * 9, "no graph"), (bytes(range(256)), "ONNX")],
)
def test_files_that_are_none(tmp_path, content, what):
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(UserError, match=what):
        read(path)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read(tmp_path / "none.onnx")
    with pytest.raises(UserError, match="plain file"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("op", "shapes", "weights"),
    [
        ("MatMul", [(2, 3), (4, 5)], {}),
        ("Conv", [(1, 2, 3)], {"w": zeros(1)}),
        ("Reshape", [(2, 3)], {"to": np.array([-7, 10**12])}),
        ("ConstantOfShape", [], {"to": np.array([10**12, 10**12])}),
        ("Expand", [(1,)], {"to": np.array([2**40, 2**40])}),
        ("Tile", [(9,)], {"to": np.array([2**62])}),
        ("LSTM", [(2, 3, 4)], {"w": zeros(1, 7, 4), "r": zeros(1, 8, 2)}),
    ],
)
def test_graphs_that_contradict_themselves_are_refused_or_counted(tmp_path, op, shapes, weights):
    try:
        work = one(tmp_path, op, shapes, weights)
    except UserError:
        return
    assert 0 <= work.flops < 1e6
    assert work.bytes < 1e6


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return quantized(tmp_path_factory.mktemp("whole"), False).read_bytes()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_never_crash(data, whole, tmp_path):
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    path = tmp_path / "damaged.onnx"
    path.write_bytes(bytes(content[: cut or None]))
    try:
        work = read(path)
    except UserError:
        return
    assert work.flops >= 0
    assert work.peak_bytes >= 0


@settings(max_examples=40, deadline=None)
@given(content=st.binary(max_size=200))
def test_noise_is_refused(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("noise") / "noise.onnx"
    path.write_bytes(content)
    with pytest.raises(UserError):
        read(path)
