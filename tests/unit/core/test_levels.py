"""Figures of levels: every level, pair and run is drawn, from one unit and from thousands."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")
from matplotlib.colors import to_hex

from netwright.core import levels, plot
from netwright.core.figure import COLOURS

RNG = np.random.default_rng(0)


def merge(n, similarity=True):
    assign = np.arange(n) % (n - n // 2)
    return levels.Merge(assign=assign, similarity=RNG.uniform(-1, 1, n - n // 2) if similarity else None)


def band(name="a", n=8, kind="unit", changes=1, **more):
    sizes = [n]
    for _ in range(changes):
        sizes.append(sizes[-1] - sizes[-1] // 2)
    return levels.Band(
        name=name, kind=kind, sizes=tuple(sizes), merges=tuple(merge(size) for size in sizes[:-1]), **more
    )


def told(changes):
    return [levels.Level(parameters=1000 // 4**at, flops=0.25**at) for at in range(changes + 1)]


def texts(figure):
    found = [text.get_text() for axis in figure.axes for text in axis.texts]
    found += [axis.get_title(loc="left") for axis in figure.axes]
    found += [text.get_text() for axis in figure.axes for text in axis.get_xticklabels() + axis.get_yticklabels()]
    found += [text.get_text() for axis in figure.axes if axis.get_legend() for text in axis.get_legend().get_texts()]
    return found


def arcs(axis):
    return [line for line in axis.lines if line.get_linestyle() == "-"]


def test_every_level_and_every_band_is_named_with_its_sizes():
    figure = levels.hierarchy(told(2), [band("a", 8, changes=2), band("b", 6, "head", 2, count=3)])
    said = texts(figure)
    assert {"level 0", "level 1", "level 2", "A", "B ×3", "A a", "B b ×3"} <= set(said)
    assert {"8", "4", "2"} <= set(said)
    assert any("1,000 parameters\n100 %" in text for text in said)
    assert any(text.startswith("8 → 4 → 2 units, mean similarity") for text in said)


def test_few_units_have_an_arc_a_pair_in_the_colour_of_its_similarity():
    one = levels.Merge(assign=np.array([0, 1, 1, 0, 2]), similarity=np.array([1.0, -1.0, 1.0]))
    figure = levels.hierarchy(told(1), [levels.Band(name="a", kind="unit", sizes=(5, 3), merges=(one,))])
    drawn = arcs(figure.axes[1])
    assert sorted((round(line.get_xdata().min()), round(line.get_xdata().max())) for line in drawn) == [(0, 3), (1, 2)]
    colour = {round(line.get_xdata().min()): to_hex(line.get_color()) for line in drawn}
    assert colour == {0: COLOURS[0], 1: COLOURS[1]}  # the fifth unit is alone


def test_the_second_change_of_level_joins_aggregates_below_the_line():
    first = levels.Merge(assign=np.array([0, 0, 1, 1]), similarity=np.array([0.5, 0.5]))
    second = levels.Merge(assign=np.array([0, 0]), similarity=np.array([0.1]))
    figure = levels.hierarchy(told(2), [levels.Band(name="a", kind="unit", sizes=(4, 2, 1), merges=(first, second))])
    below = [line for line in arcs(figure.axes[1]) if line.get_ydata().min() < -0.1]
    assert [(round(line.get_xdata().min()), round(line.get_xdata().max())) for line in below] == [(0, 2)]


def test_many_units_are_counted_by_similarity():
    one = band("many", 4096)
    axis = levels.hierarchy(told(1), [one]).axes[1]
    assert sum(patch.get_height() for patch in axis.patches) == 2048
    assert len(arcs(axis)) == 0


def test_pairs_whose_similarity_nobody_knows_are_drawn_without_a_scale():
    unknown = levels.Band(name="a", kind="unit", sizes=(4, 2), merges=(merge(4, similarity=False),))
    figure = levels.hierarchy(told(1), [unknown])
    assert len(figure.axes) == 2
    assert not any("similarity" in text for text in texts(figure))


def test_of_many_bands_the_rest_is_counted():
    figure = levels.hierarchy(told(1), [band(f"b{at}") for at in range(11)])
    assert "and 3 more" in texts(figure)


def test_a_hierarchy_without_bands_is_still_a_figure():
    assert plot.svg_text(levels.hierarchy(told(0), [])).startswith("<svg")


def test_tiles_of_a_column_share_one_scale_and_name_their_units():
    dark, bright = np.zeros((4, 4)), np.full((4, 4), 2.0)
    pair = levels.Tile(units=(3, 9), similarity=-0.001, fine=(dark, bright), coarse=np.full((4, 4), 1.0))
    alone = levels.Tile(units=(5,), similarity=1.0, fine=(dark,), coarse=dark)
    figure = levels.tiles([levels.Layer(title="conv", tiles=(pair, alone))], "Maps", "a note " * 30)
    shown = [axis for axis in figure.axes if axis.images] + [a for f in figure.subfigs for a in f.axes if a.images]
    shown = list(dict.fromkeys(shown))
    assert len(shown) == 5
    titles = {axis.get_title() for axis in shown}
    assert {"3+9\n0.00", "5\n1.00"} <= titles
    scales = {axis.images[0].get_clim() for axis in shown}
    assert (0.0, 2.0) in scales


def test_a_layer_of_small_values_is_pale_where_it_says_what_is_dark():
    tile = levels.Tile(units=(0,), similarity=None, fine=(np.ones((2, 2)),), coarse=np.zeros((2, 2)))
    figure = levels.tiles([levels.Layer(title="even", tiles=(tile,), dark=4.0)], "Maps")
    shown = [axis for fold in figure.subfigs for axis in fold.axes if axis.images]
    assert {axis.images[0].get_clim() for axis in shown} == {(0.0, 4.0)}


def row(step, work, loss=None, level=0, **more):
    found = {"step": step, "level": level, "work": work, **more}
    return found | ({"loss": loss} if loss is not None else {})


def cascade():
    rows = [{"step": 0, "work": 0.0, "to_level": 1}]
    rows += [row(at, at / 4, 3.0 / (1 + at), 1) for at in range(1, 60)]
    rows += [{"step": 60, "work": 15.0, "validation_loss": 0.9, "level": 1}]
    rows += [{"step": 60, "work": 15.0, "to_level": 0, "accepted": 0.0}]
    rows += [row(at, at - 45.0, 3.0 / (1 + at)) for at in range(61, 120)]
    return [*rows, {"step": 120, "work": 75.0, "validation_loss": 0.5, "level": 0}]


def test_work_of_one_run_is_coloured_by_level_with_its_changes():
    figure = levels.work({"cascade": cascade()})
    loss, validation, level = figure.axes
    assert {"level 0", "level 1", "refused"} <= set(texts(figure))
    colours = {to_hex(line.get_color()) for line in loss.lines if len(line.get_xdata()) > 30}
    assert colours == {COLOURS[0], COLOURS[1]}
    points = {
        tuple(line.get_xdata()): to_hex(line.get_color()) for line in validation.lines if line.get_marker() == "o"
    }
    assert points == {(15.0,): COLOURS[1], (75.0,): COLOURS[0]}
    marks = [line for line in level.lines if line.get_linestyle() not in ("-", "None") and len(line.get_xdata()) == 2]
    assert sorted(line.get_xdata()[0] for line in marks) == [0.0, 15.0]
    assert level.get_ylim()[0] > level.get_ylim()[1]  # the finest above


def test_work_of_several_runs_is_coloured_by_run_and_a_plain_run_counts_steps():
    plain = [{"step": at, "loss": 2.0} for at in range(1, 50)]
    figure = levels.work({"cascade": cascade(), "one level": plain})
    assert {"cascade", "one level"} <= set(texts(figure))
    assert "pale" in figure.axes[-1].get_xlabel()
    second = [line for line in figure.axes[0].lines if to_hex(line.get_color()) == COLOURS[1] and len(line.get_xdata())]
    assert max(second[0].get_xdata()) == 49


def test_many_short_visits_are_one_line_a_level():
    rows = []
    for cycle in range(40):
        for level in (0, 1):
            rows.append({"step": 2 * cycle + level, "work": float(2 * cycle + level), "to_level": level})
            rows.append(row(2 * cycle + level, 2 * cycle + level + 0.5, 1.0, level))
    axis = levels.work({"v": rows}).axes[0]
    assert len([line for line in axis.lines if line.get_linestyle() == "-" and len(line.get_xdata()) == 40]) == 2


@pytest.mark.parametrize("rows", [[], [{"step": 1, "loss": 2.0}], [{"step": 1, "loss": float("nan"), "work": 1.0}]])
def test_work_of_next_to_nothing_is_a_figure(rows):
    assert plot.svg_text(levels.work({"run": rows})).startswith("<svg")
