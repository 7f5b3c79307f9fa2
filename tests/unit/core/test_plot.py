"""Every figure draws what it was given, from nothing and from much."""

import numpy as np
import pytest

from netwright.core import plot
from netwright.core.measurement import Measurement, exact


def measured(quantity: str, value: float, spread: float = 0.1, source: str = "measured") -> Measurement:
    return Measurement(
        quantity=quantity, value=value, low=value * (1 - spread), high=value * (1 + spread), n=9, source=source
    )


def point(label: str, latency: float, accuracy: float, on_front: bool = False, source: str = "measured") -> plot.Point:
    figures = {
        "latency": measured("latency", latency, source=source),
        "accuracy": measured("accuracy", accuracy, 0.001),
    }
    return plot.Point(label=label, figures=figures, on_front=on_front)


def texts(figure) -> list[str]:
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def markers(axis, shape: str) -> list[tuple[float, float]]:
    return [tuple(line.get_xydata()[0]) for line in axis.lines if line.get_marker() == shape and len(line.get_xdata())]


VALIDATION = {"validation_accuracy": 0.9, "validation_loss": 1.0}
ROWS = [{"step": s, "loss": 2.0 / s, "lr": 0.1, **(VALIDATION if s % 50 == 0 else {})} for s in range(1, 201)]


def test_curves_have_a_panel_for_each_family():
    figure = plot.curves(ROWS)
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["Loss", "Accuracy", "Learning rate"]
    loss = figure.axes[0]
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["loss", "validation loss"]
    assert loss.get_yscale() == "log"


def test_curves_leave_out_what_is_null():
    figure = plot.curves([{"step": 1, "loss": None}, {"step": 2, "loss": 1.0}])
    assert figure.axes[0].lines[0].get_xdata().tolist() == [2.0]


def test_smoothing_keeps_a_constant_and_does_not_lag():
    assert plot._smooth(np.full(100, 3.0)) == pytest.approx(np.full(100, 3.0))
    line = np.arange(200.0)
    assert plot._smooth(line)[10:-10] == pytest.approx(line[10:-10])


def test_front_sets_measured_and_predicted_apart_by_shape():
    points = [point("here", 1e-3, 0.99, True), point("there", 1e-5, 0.98, source="predicted")]
    axis = plot.front(points, "latency", "accuracy").axes[0]
    assert markers(axis, "o") == [(1e-3, 0.99)]
    assert markers(axis, "D") == [(1e-5, 0.98)]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["measured", "predicted"]
    assert axis.get_xscale() == "log"
    assert set(texts(axis.figure)) == {"here", "there"}


def test_front_draws_both_intervals():
    axis = plot.front([point("a", 1e-3, 0.5)], "latency", "accuracy").axes[0]
    across, up = [line.get_xydata().ravel().tolist() for line in axis.lines if len(line.get_xdata()) == 2]
    assert across == pytest.approx([0.9e-3, 0.5, 1.1e-3, 0.5])
    assert up == pytest.approx([1e-3, 0.4995, 1e-3, 0.5005])


def test_front_line_joins_the_front_and_not_the_rest():
    points = [point("a", 1e-3, 0.9, True), point("b", 2e-3, 0.95, True), point("c", 3e-3, 0.93)]
    axis = plot.front(points, "latency", "accuracy").axes[0]
    (line,) = [line for line in axis.lines if line.get_linewidth() > 5]
    assert line.get_xydata().tolist() == [[1e-3, 0.9], [2e-3, 0.95]]


def test_bars_start_at_zero_unless_all_are_alike():
    apart = plot.bars({"a": measured("latency", 1.0), "b": measured("latency", 0.2)}).axes[0]
    assert apart.get_xlim()[0] == 0
    assert len(apart.patches) == 2
    alike = plot.bars({"a": measured("accuracy", 0.99, 0.001), "b": measured("accuracy", 0.991, 0.001)}).axes[0]
    assert len(alike.patches) == 0
    assert "does not start at zero" in alike.get_xlabel()


def test_bars_state_value_and_interval():
    one = measured("latency", 1e-3)
    assert texts(plot.bars({"cpu": one})) == ["cpu", str(one)]


def test_grid_shows_every_picture_under_its_title():
    figure = plot.grid(np.zeros((7, 8, 8)), [str(i) for i in range(7)])
    assert [axis.get_title() for axis in figure.axes] == [str(i) for i in range(7)]
    assert plot.grid(np.zeros((2, 8, 8, 3), dtype=np.uint8), []).axes[1].get_title() == ""


def test_plan_states_what_was_planned_and_what_came():
    figure = plot.plan(
        [measured("training_time", 10, source="predicted"), measured("training_memory", 1e9, source="predicted")],
        [exact("training_time", 12)],
    )
    assert texts(figure) == ["Training time", "plan 10 s, came 12 s", "Training memory", "plan 1 GB"]
    assert markers(figure.axes[0], "o") == [(1.2, 0.0)]


def test_range_test_marks_the_chosen_rate():
    rows = [{"step": i, "lr": 10.0 ** (i / 10 - 5), "loss": 2.0 - i / 50} for i in range(50)] + [
        {"lr": 1.0, "loss": None}
    ]
    figure = plot.range_test(rows, suggested=0.01)
    assert texts(figure) == ["chosen 0.01"]
    assert figure.axes[0].get_xscale() == "log"


@pytest.mark.parametrize(
    "empty",
    [
        lambda: plot.curves([]),
        lambda: plot.front([], "latency", "accuracy"),
        lambda: plot.bars({}),
        lambda: plot.grid(np.zeros((0, 8, 8)), []),
        lambda: plot.plan([], []),
        lambda: plot.range_test([]),
        lambda: plot.bars({"none": exact("latency", 0.0)}),
        lambda: plot.plan([exact("energy", 0.0)], [exact("energy", 0.0)]),
    ],
)
def test_a_figure_of_nothing_is_a_figure(empty):
    assert plot.svg_text(empty()).startswith("<svg")
