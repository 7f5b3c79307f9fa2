"""Tracing counts what torch's own counter counts, and allocates nothing."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from netwright.core.error import UserError
from netwright.models import facts
from small_networks import Decoder, Pyramid, Recurrent, Selecting, every
from small_networks import One as Layer

NETWORKS = every()
MATRIX = {"convolution", "depthwise_convolution", "grouped_convolution", "addmm", "mm", "bmm", "baddbmm"}


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(100, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 2)

    def forward(self, ids, mask=None):
        return self.head(self.encoder(self.embedding(ids), src_key_padding_mask=mask).mean(1))


class Conv(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(width, width, 3, groups=width),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(width, 10),
        )

    def forward(self, images):
        return self.body(images)


class Linear(nn.Module):
    def __init__(self, wide: int, out: int) -> None:
        super().__init__()
        self.layer = nn.Linear(wide, out)

    def forward(self, x):
        return self.layer(x)


def torch_count(model: nn.Module, inputs: dict) -> int:
    model.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(**inputs)
    return counter.get_total_flops()


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (Conv(), {"images": torch.randn(2, 3, 8, 8)}),
        (Linear(5, 7), {"x": torch.randn(3, 5)}),
        # attention on CPU, which torch's counter leaves out, has a test of its own
        (Encoder(), {"ids": torch.zeros(2, 6, dtype=torch.long), "mask": torch.zeros(2, 6, dtype=torch.bool)}),
    ],
    ids=["conv", "linear", "encoder"],
)
def test_matrix_flops_equal_those_of_torch(model, inputs):
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    expected = torch_count(model, inputs)
    torch.backends.mha.set_fastpath_enabled(fast)
    traced = facts.trace(model, inputs)
    assert sum(o.flops for o in traced.operators if o.name in MATRIX) == expected > 0


@settings(max_examples=20, deadline=None)
@given(
    sizes=st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 6)),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    bias=st.booleans(),
)
def test_convolutions_of_any_shape(sizes, kernel, stride, bias):
    batch, channels, out = sizes

    class One(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(channels, out, kernel, stride, bias=bias)

        def forward(self, x):
            return self.conv(x)

    model, inputs = One(), {"x": torch.randn(batch, channels, 7, 7)}
    (operator,) = facts.trace(model, inputs).operators
    side = (7 - kernel) // stride + 1
    assert operator.flops == torch_count(model, inputs) == 2 * batch * out * side**2 * channels * kernel**2
    assert operator.weight_bytes == 4 * facts.parameters(model)
    assert operator.input_bytes == 4 * batch * channels * 49
    assert operator.output_bytes == 4 * batch * out * side**2


def test_work_grows_with_the_batch_and_weights_do_not():
    one = facts.trace(Conv(), {"images": torch.empty(1, 3, 8, 8)})
    four = facts.trace(Conv(), {"images": torch.empty(4, 3, 8, 8)})
    assert four.flops == 4 * one.flops
    assert [o.weight_bytes for o in four.operators] == [o.weight_bytes for o in one.operators]
    assert one.at_batch(4) == four


def test_attention_is_counted():
    traced = facts.trace(Encoder(), {"ids": torch.zeros(3, 5, dtype=torch.long)})
    operator = next(o for o in traced.operators if "attention" in o.name)
    assert operator.flops == 2 * (2 * 3 * 2 * 5 * 5 * 8)  # two products, two heads of eight


def test_an_embedding_reads_only_the_rows_it_returns():
    traced = facts.trace(Encoder(), {"ids": torch.zeros(1, 4, dtype=torch.long)})
    lookup = traced.operators[0]
    assert (lookup.name, lookup.flops, lookup.weight_bytes) == ("embedding", 0, 0)
    assert lookup.input_bytes == 4 * 16 * 4 + 4 * 8
    assert lookup.output_bytes == 4 * 16 * 4


def test_views_cost_nothing():
    class Views(nn.Module):
        def forward(self, x):
            return x.reshape(2, 12).t().unsqueeze(0).expand(3, 12, 2)[:, 1:]

    assert facts.trace(Views(), {"x": torch.empty(2, 3, 4)}).operators == ()


def test_a_model_larger_than_memory_is_traced():
    """200,000 x 200,000 in fp32 are 160 GB; on the meta device it has no bytes, and tracing makes none."""
    with torch.device("meta"):
        model = Linear(200_000, 200_000)
    traced = facts.trace(model, {"x": torch.empty(1, 200_000, device="meta")})
    assert traced.parameters == 200_000 * 200_001
    assert traced.operators[0].weight_bytes == 4 * traced.parameters


def test_tracing_leaves_the_model_as_it_was():
    model = Conv().train()
    model.body[2].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    facts.trace(model, {"images": torch.randn(2, 3, 8, 8)})
    assert model.training
    assert not model.body[2].training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_tied_weights_count_once():
    model = Linear(6, 6)
    model.again = model.layer
    assert facts.trace(model, {"x": torch.empty(1, 6)}).parameters == 42


def test_dtype_follows_what_is_computed():
    model = Linear(4, 4).to(torch.bfloat16)
    assert facts.trace(model, {"x": torch.empty(1, 4, dtype=torch.bfloat16)}).operators[0].dtype == "bf16"


def test_wrong_inputs_raise_and_restore():
    model = Linear(4, 4).train()
    with pytest.raises(RuntimeError):
        facts.trace(model, {"x": torch.empty(1, 5)})
    assert model.training


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_networks_of_every_kind_count_as_torch_does(name):
    model, inputs = NETWORKS[name]
    traced = facts.trace(model, inputs)
    counted = sum(o.flops for o in traced.operators if o.matrix or o.attention)
    if name == "decoder":  # torch's counter has no formula for fused attention on a CPU
        counted -= sum(o.flops for o in traced.operators if o.attention)
    enabled = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)  # a fused LSTM would not be counted at all
    expected = torch_count(model, inputs)
    torch._C._set_mkldnn_enabled(enabled)
    assert counted == expected > 0
    for one in traced.operators:
        if one.matrix:
            assert one.flops == one.matrix.flops


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_twice_the_batch_is_twice_the_work(name):
    model, inputs = NETWORKS[name]
    two = facts.trace(model, inputs)
    four = facts.trace(model, {key: torch.cat([x, x]) for key, x in inputs.items()})
    grown = two.at_batch(4)
    assert [(o.name, o.matrix, o.attention) for o in grown.operators] == [
        (o.name, o.matrix, o.attention) for o in four.operators
    ]
    assert grown.flops == pytest.approx(four.flops)
    assert grown.bytes == pytest.approx(four.bytes, rel=0.01)
    assert grown.peak_bytes == pytest.approx(four.peak_bytes, rel=0.01)


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
@pytest.mark.parametrize("both", [False, True])
def test_recurrent_layers_by_hand(kind, gates, both):
    """Layer 1 multiplies gates x 5 rows with 6 inputs and 5 states at each of 2 x 6 positions, layer 2 the same."""
    model = Recurrent(kind, 2, both)
    operators = [o for o in facts.trace(model, {"ids": torch.zeros(2, 6, dtype=torch.long)}).operators if o.matrix]
    ways = 2 if both else 1
    expected = ways * [2 * 12 * gates * 5 * 6, 2 * 12 * gates * 5 * 5]
    expected += ways * [2 * 12 * gates * 5 * 5 * ways, 2 * 12 * gates * 5 * 5]
    assert [o.flops for o in operators[:-1]] == expected
    assert [o.matrix.count for o in operators[:2]] == [1, 6]  # the state's products follow one another


def test_a_decoder_reads_its_cache():
    model = Decoder()
    prefill = facts.trace(model, {"ids": torch.zeros(1, 7, dtype=torch.long)})
    assert prefill.kv_bytes_per_token == 2 * 2 * 2 * 4 * 4  # layers, keys and values, heads, width, fp32
    cache = [tuple(torch.zeros(1, 2, 9, 4) for _ in range(2)) for _ in range(2)]
    decode = facts.trace(model, {"ids": torch.zeros(1, 1, dtype=torch.long), "cache": cache})
    shapes = [o.attention for o in decode.operators if o.attention]
    assert [(a.queries, a.keys, a.heads, a.kv_heads) for a in shapes] == [(1, 10, 4, 2)] * 2
    attention = next(o for o in decode.operators if o.attention)
    assert attention.input_bytes == 4 * (16 + 2 * 10 * 8)
    assert decode.flops < prefill.flops


def test_bags_of_embeddings_read_the_rows_they_sum():
    traced = facts.trace(*NETWORKS["recommender"])
    bag = next(o for o in traced.operators if o.name == "embedding_bag")
    assert bag.weight_bytes == 0
    assert 4 * 8 * 8 <= bag.input_bytes <= 4 * 8 * 8 + 100  # eight rows of eight numbers, and their indices
    assert bag.flops == 8 * 8


def test_attention_written_out_is_products():
    traced = facts.trace(*NETWORKS["explicit"])
    scores, values = (o for o in traced.operators if o.name == "bmm")
    assert (scores.matrix.m, scores.matrix.n, scores.matrix.k, scores.matrix.count) == (5, 5, 4, 6)
    assert scores.matrix.grows == values.matrix.grows == "count"


def test_activations_are_the_numbers_that_products_make():
    """As timm counts them: attention's scores too, whether or not they are ever written."""
    written = facts.trace(*NETWORKS["explicit"]).activations
    assert written == 2 * 5 * 36 + 6 * 5 * 5 + 6 * 5 * 4 + 2 * 5 * 12
    fused = facts.trace(*NETWORKS["decoder"])
    attention = next(o for o in fused.operators if o.attention)
    assert attention.activations == 2 * 4 * 6 * 6 + 2 * 4 * 6 * 4


def test_alive_at_once_is_what_a_chain_needs():
    """Two of the three (4, 100) tensors live at a time, beside the inputs (4, 10)."""
    chain = Layer(nn.Sequential(nn.Linear(10, 100), nn.Sigmoid(), nn.Sigmoid(), nn.Linear(100, 1)))
    traced = facts.trace(chain, {"x": torch.empty(4, 10)})
    assert traced.peak_bytes == 4 * (4 * 10 + 2 * 4 * 100)


def test_alive_at_once_is_what_the_allocator_sees():
    """Against torch's own record of what a real call allocates; convolutions on a CPU take scratch besides."""
    for name in ("decoder", "explicit", "recommender"):
        model, inputs = NETWORKS[name]
        traced = facts.trace(model, inputs).peak_bytes
        with torch.no_grad(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as prof:
            model.eval()(**inputs)
        changes = [e.nbytes() for e in prof.profiler.kineto_results.events() if e.name() == "[memory]"]
        held = sum(x.nbytes for x in inputs.values())
        assert max(itertools.accumulate(changes)) + held == traced, name


@pytest.mark.parametrize(
    ("forward", "what"),
    [
        (lambda x: x[x > 0], "nonzero"),
        (lambda x: x * 2 if x.sum() > 0 else x, "_local_scalar_dense"),
        (lambda x: torch.from_numpy(x.numpy()), "NumPy"),
        (lambda x: x.new_zeros(int(x.max())), "_local_scalar_dense"),
    ],
)
def test_work_that_depends_on_values_is_refused_in_words(forward, what):
    class Dependent(nn.Module):
        def forward(self, x):
            return forward(x)

    with pytest.raises(UserError, match="depends on the values") as refusal:
        facts.trace(Dependent(), {"x": torch.empty(2, 3)})
    assert what in str(refusal.value)


def test_a_detector_is_traced_without_its_selection():
    images = {"images": torch.empty(1, 3, 16, 16)}
    with pytest.raises(UserError, match="non-maximum suppression"):
        facts.trace(Selecting(), images)
    assert facts.trace(Pyramid(), images).flops > 0


def test_no_inputs():
    with pytest.raises(UserError, match="at least one tensor"):
        facts.trace(Linear(2, 2), {})


def test_an_operator_without_a_shape_rule():
    @torch.library.custom_op("netwright_test::opaque", mutates_args=())
    def opaque(x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    class Opaque(nn.Module):
        def forward(self, x):
            return opaque(x)

    with pytest.raises(UserError, match="what shape"):
        facts.trace(Opaque(), {"x": torch.empty(2)})


def test_autocast_is_counted():
    with torch.autocast("cpu", torch.bfloat16):
        traced = facts.trace(*NETWORKS["lstm"])
    assert {o.dtype for o in traced.operators if o.matrix} == {"bf16"}
    assert {o.dtype for o in traced.operators if o.name == "embedding"} == {"fp32"}


def test_packed_sequences_are_work_that_depends_on_values():
    class Packed(Recurrent):
        def forward(self, ids):
            x = nn.utils.rnn.pack_padded_sequence(self.embedding(ids), ids[:, 0] + 1, batch_first=True)
            return self.layers(x)[1][0]

    with pytest.raises(UserError, match="depends on the values"):
        facts.trace(Packed(), {"ids": torch.zeros(2, 6, dtype=torch.long)})


LAYERS = st.lists(
    st.one_of(
        st.tuples(st.just("conv"), st.integers(1, 6), st.integers(1, 3), st.integers(1, 2)),
        st.tuples(st.sampled_from(["relu", "norm", "pool", "residual"])),
    ),
    min_size=1,
    max_size=6,
)


class Residual(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return x + self.layer(x)


def stack(plan, channels: int) -> nn.Module:
    """A network of those layers on images of 12 x 12."""
    layers: list[nn.Module] = []
    for kind, *sizes in plan:
        if kind == "conv":
            layers.append(nn.Conv2d(channels, sizes[0], sizes[1], sizes[2], padding=1))
            channels = sizes[0]
        else:
            made = {"relu": nn.ReLU(), "norm": nn.BatchNorm2d(channels), "pool": nn.AdaptiveAvgPool2d(6)}
            layers.append(made.get(kind) or Residual(nn.Conv2d(channels, channels, 1)))
    return Layer(nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(3)))


@settings(max_examples=25, deadline=None)
@given(plan=LAYERS, channels=st.integers(1, 4), batch=st.integers(1, 3))
def test_random_networks_count_as_torch_does(plan, channels, batch):
    model, inputs = stack(plan, channels), {"x": torch.zeros(batch, channels, 12, 12)}
    model.eval()(**inputs)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(**inputs)
    traced = facts.trace(model, inputs)
    assert sum(o.flops for o in traced.operators if o.matrix) == counter.get_total_flops()
    assert traced.stored_bytes == sum(x.nbytes for x in model.state_dict().values())
    with FlopCounterMode(display=False) as counter:
        model.train(batch > 1)(**inputs).mean().backward()
    step = facts.trace_training(model, inputs)
    assert sum(o.flops for o in step.operators if o.matrix) == counter.get_total_flops()
    assert step.kept_bytes >= traced.operators[-1].output_bytes


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_the_attention_of_torch_is_one_operator(dropout):
    layer = nn.TransformerDecoderLayer(16, 2, 32, dropout, batch_first=True)
    inputs = {"tgt": torch.zeros(3, 5, 16), "memory": torch.zeros(3, 7, 16)}
    for work in (facts.trace(layer, inputs), facts.trace_training(layer, inputs)):
        found = [o for o in work.operators if o.name == "scaled_dot_product_attention"]
        assert [(o.attention.queries, o.attention.keys) for o in found] == [(5, 5), (5, 7)]
        assert not any(o.name == "bmm" for o in work.operators)
    backward = [o for o in work.operators if o.name == "scaled_dot_product_attention_backward"]
    assert [o.flops for o in backward] == [2.5 * o.flops for o in reversed(found)]


def test_attention_of_any_rank():
    class Plain(nn.Module):
        def forward(self, q, mask):
            return nn.functional.scaled_dot_product_attention(q, q, q, mask)

    for shape, batch, heads in (((5, 8), 1, 1), ((4, 5, 8), 1, 4), ((3, 4, 5, 8), 3, 4), ((2, 3, 4, 5, 8), 6, 4)):
        inputs = {"q": torch.zeros(shape), "mask": torch.zeros(5, 5)}
        (attention,) = facts.trace(Plain(), inputs, batch=1).operators
        assert (attention.attention.batch, attention.attention.heads) == (batch, heads)
        assert attention.flops == 4 * batch * heads * 5 * 5 * 8
        assert attention.input_bytes == 4 * (3 * batch * heads * 40 + 25)


def test_flexible_attention_is_counted():
    from torch.nn.attention.flex_attention import flex_attention

    class Flexible(nn.Module):
        def forward(self, q):
            return flex_attention(q, q, q)

    traced = facts.trace(Flexible(), {"q": torch.zeros(2, 4, 128, 16)})
    attention = next(o for o in traced.operators if o.name == "flex_attention")
    assert attention.flops == 4 * 2 * 4 * 128 * 128 * 16


def test_a_decoder_of_a_state_trains_its_encoder():
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = (nn.GRU(4, 4, batch_first=True) for _ in range(2))

        def forward(self, x):
            return self.decoder(x, self.encoder(x)[1])[0]

    step = facts.trace_training(Pair(), {"x": torch.zeros(2, 5, 4)})
    assert sum(o.name == "gru_backward" for o in step.operators) == 2


def test_what_has_no_formula_is_named():
    class Spectrum(nn.Module):
        def forward(self, x):
            return torch.fft.rfft(x).abs()

    (note,) = facts.trace(Spectrum(), {"x": torch.zeros(2, 64)}).notes
    assert "fft" in note


class Sparse(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.eye(4).to_sparse()

    def forward(self, x):
        return torch.sparse.mm(self.weight, x.T)


@pytest.mark.parametrize(
    ("model", "what"),
    [
        (lambda: Layer(nn.LazyLinear(3)), "lazy"),
        (lambda: torch.jit.script(Linear(4, 3)), "TorchScript"),
        (Sparse, "sparse"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_traced_is_told(model, what):
    with pytest.raises(UserError, match=what):
        facts.trace(model(), {"x": torch.zeros(2, 4)})
