import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from netwright.core.error import UserError
from netwright.svg import judge, learn, statistics
from netwright.svg.setting import RANGES, draw

FEW = learn.Config(members=1, epochs=25, batch=32, hidden=32, dropout=0.0)


def made(images: int = 60, settings: int = 8, seed: int = 0) -> learn.Table:
    """A data set whose amounts follow from one feature and two parameters."""
    random = np.random.default_rng(seed)
    names = statistics.columns()
    features = random.normal(size=(images, len(names))).astype(np.float32)
    frame = pd.DataFrame({
        "image": [f"i{k}" for k in range(images)], "family": [f"f{k % 6}" for k in range(images)],
        "kind": ["photo" if k % 6 == 0 else "icon" for k in range(images)],
        "split": ["test" if k % 5 == 0 else "validation" if k % 5 == 1 else "train" for k in range(images)],
    })  # fmt: skip
    rows = []
    features += 3 * random.normal(size=(images, 1)).astype(np.float32)  # one thing that all features show
    for k in range(images):
        steep = features[k, names.index("piece spread")] / 3
        for one in draw(settings, seed=k):
            lost = 0.3 / one.color_precision * np.exp(0.3 * steep)
            size = 1000 * np.exp(steep) * (3 if one.mode == "spline" else 1)
            rows.append({"image": f"i{k}", **one.plain(), "ssim": 1 - lost, "ssim_active": 1 - 1.2 * lost,
                         "bytes": size, "paths": size / 100, "tracer_bytes": 3 * size,
                         "corners": size / 50, "failed": ""})  # fmt: skip
    rows.append({**rows[0], "failed": "the tracer died"})
    return learn.table(frame, pd.DataFrame(rows), features)


@pytest.fixture(scope="module")
def table() -> learn.Table:
    return made()


@pytest.fixture(scope="module")
def model(table):
    return learn.fit(table, table.rows_of("train"), FEW)


def test_failed_rows_are_left_out_and_rows_know_their_images(table):
    assert len(table.targets_RT) == 60 * 8
    assert (table.rows["image"].to_numpy() == table.images["image"].to_numpy()[table.image_R]).all()
    assert table.settings_RP.shape[1] == len(RANGES) + 2


def test_what_follows_from_features_and_settings_is_learned(table, model):
    rows = table.rows_of("test")
    mean = learn.predict(model, table, rows)[0]
    found, blind = judge.judge(table, rows, mean), judge.judge(table, rows, mean[::-1])
    assert found.within > 0.8
    assert found.pearson_log_bytes > 0.5
    assert found.size_error < blind.size_error


def test_learning_is_the_same_twice(table):
    few = learn.Config(members=1, epochs=2, hidden=16)
    rows = table.rows_of("train")
    first, second = (learn.predict(learn.fit(table, rows, few), table, rows)[0] for _ in range(2))
    assert (first == second).all()


def test_two_processes_learn_what_one_does(table):
    few = learn.Config(members=2, epochs=1, hidden=16)
    rows = table.rows_of("train")
    one, two = (learn.predict(learn.fit(table, rows, few, workers=n), table, rows)[0] for n in (1, 2))
    assert np.allclose(one, two, atol=1e-4)
    alone, together = (learn.unseen(table, dataclasses.replace(few, members=1), 2, n)[0] for n in (1, 2))
    assert np.allclose(alone, together, atol=1e-4)


def test_families_are_left_out_whole_and_every_row_is_predicted_once(table):
    fold = learn.folds(table, 3)
    assert table.images.assign(fold=fold).groupby("family")["fold"].nunique().max() == 1
    assert set(fold) == {0, 1, 2}
    mean, spread = learn.unseen(table, learn.Config(members=1, epochs=1, hidden=16), 3)
    assert np.isfinite(mean).all()
    assert (spread > 0).all()


def test_reach_holds_nine_tenths_of_the_errors(table, model):
    rows = table.rows_of("validation")
    mean, spread = learn.predict(model, table, rows)
    wide = np.array(learn.reach(table, rows, mean, spread)) * spread
    assert all(0.88 <= share <= 0.93 for share in judge.covered(table, rows, mean, wide).values())
    assert all(share < 0.88 for share in judge.covered(table, rows, mean, wide / 3).values())


def test_what_was_learned_is_near_and_what_is_strange_is_far(table):
    measure = learn.distance(table, np.arange(40))
    near = learn.distances(measure, table)
    strange = learn.distances(measure, learn.table(table.images, table.rows, table.features_IF + 30))
    assert strange.min() > np.quantile(near, 0.9)


def test_a_folder_without_a_data_set_is_refused(tmp_path):
    with pytest.raises(UserError, match="netwright svg data"):
        learn.read(tmp_path)


def test_controls_say_what_images_and_settings_are_worth(table):
    found = judge.controls(table, FEW)
    assert set(found) == {"parameters only", "image only", "leaky rows"}
    assert found["image only"].within == pytest.approx(0.0, abs=0.05)
    assert found["parameters only"].within > 0.5
    assert found["parameters only"].pearson_log_bytes < found["leaky rows"].pearson_log_bytes


def test_an_error_that_all_settings_of_an_image_share_does_not_set_them_apart():
    goal_BT, image_B = torch.rand(30, 6), torch.arange(30) // 10
    shifted_BT = goal_BT + torch.tensor([0.3, -0.2, 0.1])[image_B][:, None]
    others_BT = goal_BT + 0.3 * torch.randn(30, 6)
    config = learn.Config(raw=0.0, within=0.0)
    spread_BT = torch.zeros(30, 6)

    def more(mean_BT):
        ways = [dataclasses.replace(config, within=weight) for weight in (0.0, 1.0)]
        both = [learn._loss((mean_BT, spread_BT), goal_BT, torch.zeros(30, 2), image_B, one) for one in ways]
        return float(both[1] - both[0])

    assert more(goal_BT) == pytest.approx(0, abs=1e-6)
    assert more(shifted_BT) == pytest.approx(0, abs=1e-6)
    assert more(others_BT) > 0.05
