"""Traces of training steps: what is multiplied, moved, kept and alive, against sums by hand and against torch."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from netwright.core.error import UserError
from netwright.core.workload import OPTIMIZERS
from netwright.models import facts
from small_networks import One, every

NETWORKS = every()


def perceptron() -> nn.Module:
    return One(nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 3)))


def test_a_perceptron_by_hand():
    """Forward 2(4x10x20 + 4x20x3); backward twice that, less the gradient of the inputs, which nobody needs."""
    work = facts.trace_training(perceptron(), {"x": torch.empty(4, 10)})
    products = {o.matrix.grows: 0.0 for o in work.operators if o.matrix}
    for o in work.operators:
        if o.matrix:
            products[o.matrix.grows] += o.flops
    assert products == {"m": 2 * 4 * (10 * 20 + 20 * 3) + 2 * 4 * 20 * 3, "k": 2 * 4 * (10 * 20 + 20 * 3)}
    # inputs (4, 10), what the second layer reads (4, 20), and the loss
    assert work.kept_bytes == 4 * (4 * 10 + 4 * 20 + 1)
    assert work.kind == "training"
    assert work.stored_bytes == 4 * work.parameters


def test_gradients_of_weights_are_written_once_whatever_the_batch():
    few, many = (facts.trace_training(perceptron(), {"x": torch.empty(n, 10)}) for n in (4, 8))
    assert [o.weight_bytes for o in few.operators] == [o.weight_bytes for o in many.operators]
    grown = few.at_batch(8)
    products = [(o.name, o.flops, o.matrix, o.bytes) for o in grown.operators if o.matrix]
    assert products == [(o.name, o.flops, o.matrix, o.bytes) for o in many.operators if o.matrix]
    assert grown.operators[-1] == many.operators[-1]  # the optimizer
    assert grown.peak_bytes == pytest.approx(many.peak_bytes, rel=0.01)
    assert grown.kept_bytes == pytest.approx(many.kept_bytes, rel=0.01)


@pytest.mark.parametrize("autocast", [False, True])
def test_layers_with_several_gradients_write_each_where_it_belongs(autocast):
    """A convolution's and a norm's gradient of the input grow with the batch, those of the weights do not."""
    layer = One(nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3)))
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        few, many = (facts.trace_training(layer, {"x": torch.empty(n, 2, 12, 12)}) for n in (2, 4))
    assert [o.name for o in few.operators] == [o.name for o in many.operators]
    for a, b in zip(few.operators, many.operators, strict=True):
        assert a.weight_bytes == b.weight_bytes, a.name
        if a.name.endswith("backward") and a.output_bytes:
            assert b.output_bytes == 2 * a.output_bytes


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_the_optimizer_passes_over_what_it_trains(name):
    model = perceptron()
    model.layer[0].weight.requires_grad_(False)
    update = facts.trace_training(model, {"x": torch.empty(4, 10)}, optimizer=name).operators[-1]
    trained = 20 + 20 * 3 + 3
    assert (update.name, update.flops, update.weight_bytes) == (
        name,
        OPTIMIZERS[name].flops * trained,
        OPTIMIZERS[name].moves * 4 * trained,
    )
    assert update.input_bytes == update.output_bytes == 0


# on a CPU torch takes recurrent layers apart, and attention with shared keys: it saves what fused ones do not
@pytest.mark.parametrize("name", sorted(NETWORKS.keys() - {"lstm", "gru", "rnn", "decoder"}))
def test_what_is_kept_is_what_autograd_saves(name):
    model, inputs = NETWORKS[name]
    saved = {}
    weights = {p.untyped_storage().data_ptr() for p in [*model.parameters(), *model.buffers()]}

    def keep(tensor):
        if tensor.untyped_storage().data_ptr() not in weights:
            saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        answer = model(**inputs).mean()
    for tensor in inputs.values():  # held by whoever made them
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
    kept = facts.trace_training(model, inputs).kept_bytes
    assert sum(saved.values()) + answer.nbytes == pytest.approx(kept, rel=0.02)


@pytest.mark.parametrize("name", ["detector", "segmentation", "explicit", "transposed", "three dimensions"])
def test_products_are_those_of_torch(name):
    model, inputs = NETWORKS[name]
    with FlopCounterMode(display=False) as counter:
        model(**inputs).mean().backward()
    model.zero_grad()
    work = facts.trace_training(model, inputs)
    counted = sum(o.flops for o in work.operators if o.matrix or o.attention)
    if name == "transposed":  # torch counts the gradient of grouped weights as if they were not grouped
        forward = facts.trace(model, inputs).flops
        assert counted == 2 * forward  # no gradient of the inputs: one more pass, not two
    else:
        assert counted == counter.get_total_flops()


@settings(max_examples=25, deadline=None)
@given(
    channels=st.integers(1, 4), out=st.integers(1, 4), groups=st.integers(1, 3), kernel=st.integers(1, 3),
    stride=st.integers(1, 2), dilation=st.integers(1, 2), batch=st.integers(1, 3), transposed=st.booleans(),
)  # fmt: skip
def test_convolutions_backward_are_two_forwards(channels, out, groups, kernel, stride, dilation, batch, transposed):
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    layer = kind(channels * groups, out * groups, kernel, stride, dilation=dilation, groups=groups)
    work = facts.trace_training(
        One(nn.Sequential(nn.Identity(), layer)), {"x": torch.empty(batch, channels * groups, 9, 9)}
    )
    forward, backward = (next(o for o in work.operators if o.name.endswith(n)) for n in ("convolution", "backward"))
    assert backward.flops == forward.flops == forward.matrix.flops == backward.matrix.flops


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_a_step_takes_two_to_three_forwards_and_more_memory(name):
    model, inputs = NETWORKS[name]
    forward, step = facts.trace(model, inputs), facts.trace_training(model, inputs)
    products = [sum(o.flops for o in work.operators if o.matrix or o.attention) for work in (forward, step)]
    assert 2 * products[0] <= products[1] <= 3.2 * products[0]
    assert step.kept_bytes <= step.peak_bytes
    assert step.peak_bytes >= forward.peak_bytes


def test_recomputation_keeps_less_and_multiplies_more():
    layers = nn.Sequential(*(nn.Sequential(nn.Linear(16, 16), nn.GELU()) for _ in range(4)))

    class Recomputed(One):
        def forward(self, x):
            for layer in self.layer:
                x = checkpoint(layer, x, use_reentrant=False)
            return x

    x = {"x": torch.empty(8, 16)}
    plain, less = facts.trace_training(One(layers), x), facts.trace_training(Recomputed(layers), x)
    assert less.kept_bytes < plain.kept_bytes
    assert sum(o.flops for o in less.operators if o.matrix) > sum(o.flops for o in plain.operators if o.matrix)


def test_autocast_computes_in_bf16_and_keeps_copies_of_the_weights():
    with torch.autocast("cpu", torch.bfloat16):
        work = facts.trace_training(perceptron(), {"x": torch.empty(4, 10)})
    assert {o.dtype for o in work.operators if o.matrix} == {"bf16"}
    assert work.operators[-1].dtype == "fp32"
    assert work.stored_bytes == (4 + 2) * work.parameters
    twice = work.at_batch(8)
    copies = [o.weight_bytes for o in work.operators if o.name == "_to_copy" and not o.input_bytes]
    assert copies
    assert copies == [o.weight_bytes for o in twice.operators if o.name == "_to_copy" and not o.input_bytes]


def test_a_loss_of_ones_own():
    def loss(answer):
        return nn.functional.cross_entropy(answer, torch.zeros(4, dtype=torch.long))

    work = facts.trace_training(perceptron(), {"x": torch.empty(4, 10)}, loss)
    assert any("log_softmax" in o.name for o in work.operators)


def test_the_model_is_left_as_it_was():
    model = perceptron().eval()
    facts.trace_training(model, {"x": torch.empty(4, 10)})
    assert not model.training
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        (lambda model: {"optimizer": "adamv"}, "optimizer"),
        (lambda model: model.requires_grad_(False) and {}, "model"),
        (lambda model: {"loss": lambda answer: facts._mean(answer.detach())}, "loss"),
    ],
)
def test_what_cannot_be_trained(change, setting):
    model = perceptron()
    with pytest.raises(UserError) as refusal:
        facts.trace_training(model, {"x": torch.empty(4, 10)}, **change(model))
    assert refusal.value.setting == setting


@pytest.mark.parametrize("name", ["decoder", "explicit", "recommender", "perceptron"])
def test_alive_at_once_is_what_the_allocator_sees(name):
    """A real step lends out what is traced, and gradients of weights as they come, which a trace leaves out."""
    model, inputs = NETWORKS.get(name) or (perceptron(), {"x": torch.zeros(64, 10)})
    step = facts.trace_training(model, inputs)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        model.train()(**inputs).mean().backward()
    changes = [e.nbytes() for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"]
    seen = max(itertools.accumulate(changes)) + sum(x.nbytes for x in inputs.values())
    gradients = sum(p.grad.nbytes for p in model.parameters())
    model.zero_grad()
    assert 0.9 * step.peak_bytes <= seen <= step.peak_bytes + 1.5 * gradients


def test_a_learned_bias_of_attention_has_a_gradient():
    class Biased(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.zeros(9, 4))

        def forward(self, x):
            index = torch.zeros(5, 5, dtype=torch.long)
            bias = self.table[index.flatten()].unflatten(0, (5, 5)).permute(2, 0, 1)
            return nn.functional.scaled_dot_product_attention(x, x, x, attn_mask=bias)

    step = facts.trace_training(Biased(), {"x": torch.zeros(2, 4, 5, 8)})
    attention = next(o for o in step.operators if o.name == "scaled_dot_product_attention_backward")
    assert attention.output_bytes >= 4 * (3 * 2 * 4 * 5 * 8 + 4 * 5 * 5)
    assert any("index_put" in o.name for o in step.operators)  # the gradient of the table
