"""Explanations: every parameter that has an effect, around the setting; predictions where tracing takes too long."""

from netwright.svg import explain
from netwright.svg.propose import USELESS
from netwright.svg.raster import from_pixels
from netwright.svg.setting import DEFAULT, MENU, RANGES
from scripted_tracer import ScriptedPredictor, ScriptedTracer, picture

RASTER = from_pixels(picture(), "circles")


def test_each_parameter_alone():
    steps = explain.explain(RASTER, DEFAULT, ScriptedTracer())
    assert steps[0].setting == DEFAULT
    assert len(steps) == explain.count(DEFAULT)
    assert {step.parameter for step in steps[1:]} == {"mode", *RANGES}
    for step in steps[1:]:
        changed = {name for name, value in step.setting.plain().items() if value != DEFAULT.plain()[name]}
        assert changed <= {step.parameter}
        assert step.traced is not None
    found = explain.effects(steps)
    spans = [one.bytes_high / one.bytes_low for one in found]
    assert spans == sorted(spans, reverse=True)
    assert {one.parameter for one in found[-5:]} == {
        "layer_difference", "corner_threshold", "length_threshold", "max_iterations", "splice_threshold",
    }  # fmt: skip
    words = {one.parameter: explain.sentence(one, steps[0].best) for one in found}
    assert words["splice_threshold"] == "nothing better than here"
    assert "% bytes" in words["mode"]


def test_what_has_no_effect_is_left_out():
    steps = explain.explain(RASTER, MENU["polygon"], ScriptedTracer())
    assert not {step.parameter for step in steps} & set(USELESS["polygon"])


def test_predictions_take_over():
    tracer = ScriptedTracer()
    steps = explain.explain(RASTER, DEFAULT, tracer, ScriptedPredictor(), patience=0.0)
    assert tracer.asked == [DEFAULT]
    assert sum(step.traced is None for step in steps) > 20
    assert all(step.best.bytes > 0 for step in steps)


def test_failures_are_left_out():
    steps = explain.explain(RASTER, DEFAULT, ScriptedTracer(lambda setting: setting.filter_speckle == 0))
    assert all(step.setting.filter_speckle for step in steps)
