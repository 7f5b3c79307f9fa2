"""A chain of methods in one line: read as written, written as read, refused where it cannot be."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.compress import chain
from netwright.core.error import UserError


@pytest.mark.parametrize(
    "text",
    [
        "int8", "int8-weights", "bf16", "int4", "prune keep=0.25", "prune > int8", "qat", "qat to=int8",
        "prune keep=0.5 epochs=2 > distill keep=0.3 > qat to=int4-weights", "prune kinds=[\"head\"] > int8",
        "distill student=[\"width=16\"] temperature=2.0", "int8 sensitive=3 engine=nncf",
    ],
)  # fmt: skip
def test_what_was_read_is_written_again(text):
    steps = chain.parse(text)
    again = chain.parse(chain.written(steps))
    assert again == steps
    assert chain.written(again) == chain.written(steps)


def test_settings_of_a_recipe_come_first_and_those_of_the_line_win():
    steps = chain.parse("prune keep=0.3 > int8", {"prune": {"keep": 0.9, "epochs": 7}, "quantize": {"samples": 5}})
    assert (steps[0].keep, steps[0].epochs, steps[1].samples, steps[1].to) == (0.3, 7, 5, "int8")


def test_what_makes_a_file_comes_last():
    assert [chain.makes_torch(step) for step in chain.parse("prune > qat > int4")] == [True, True, True]
    assert not chain.makes_torch(chain.parse("int8")[0])
    with pytest.raises(UserError, match="int8 comes last") as refusal:
        chain.parse("int8 > prune")
    assert 'prune > int8"' in refusal.value.next


@pytest.mark.parametrize(
    ("text", "formats"),
    [
        ("int8", {"onnx", "openvino"}),
        ("bf16", {"openvino"}),
        ("int8-dynamic", {"onnx"}),
        ("prune > bf16", {"openvino"}),
        ("prune", {"onnx", "openvino", "program"}),
        ("qat", {"onnx", "openvino", "program"}),
    ],
)
def test_which_formats_a_chain_can_have(text, formats):
    assert {name for name in ("onnx", "openvino", "program") if chain.possible(chain.parse(text), name)} == formats


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("int9", 'did you mean "int8"'),
        ("", "llowed"),
        ("prune > ", "llowed"),
        ("prune keep", "key=value"),
        ("prune keep=2", "0.01 to 0.99"),
        ("prune kep=0.5", 'did you mean "keep"'),
        ("prune > > int8", "llowed"),
        ("quantize to=int7", "did you mean"),
    ],
)
def test_what_is_no_chain_is_refused(text, said):
    with pytest.raises(UserError) as refusal:
        chain.parse(text)
    assert said in str(refusal.value)


@given(st.text(max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_chain_or_refused(text):
    try:
        steps = chain.parse(text)
    except UserError:
        return
    assert chain.parse(chain.written(steps)) == steps
