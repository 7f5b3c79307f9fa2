"""Tracing counts what torch's own counter counts, and allocates nothing."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from netwright.models import facts

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
