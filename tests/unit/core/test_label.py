"""Labels do not cover each other nor leave the axes."""

from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.text import Text

from netwright.core import figure, label

unit = st.floats(0, 1)


def placed(points):
    with figure.panels([4.0]) as (drawn, (axis,)):
        axis.set_xlim(0, 1)
        axis.set_ylim(0, 1)
        label.place(axis, points, "#000", "#888", "#fff")
    renderer = drawn.canvas.get_renderer()
    boxes = [Text.get_window_extent(text, renderer) for text in axis.texts]  # without leader lines
    return axis.get_window_extent(renderer), [text.get_text() for text in axis.texts], boxes


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(unit, unit), min_size=1, max_size=12))
def test_labels_that_may_be_left_out_never_overlap(points):
    inside, names, boxes = placed([(x, y, f"candidate {i}", False) for i, (x, y) in enumerate(points)])
    assert names[0] == "candidate 0"
    for at, box in enumerate(boxes):
        assert box.x0 >= inside.x0 - 2
        assert box.x1 <= inside.x1 + 2
        assert not any(box.overlaps(other) for other in boxes[at + 1 :])


def test_labels_that_must_stand_do():
    _, names, _ = placed([(0.5, 0.5, f"candidate {i}", True) for i in range(80)])
    assert len(names) == 80


def test_crowded_labels_are_left_out():
    _, names, _ = placed([(0.5, 0.5, f"candidate {i}", False) for i in range(80)])
    assert 5 < len(names) < 80
