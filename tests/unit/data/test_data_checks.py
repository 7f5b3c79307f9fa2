"""Every check finds the fault that was planted, says where, and finds nothing in clean data."""

import numpy as np
import pytest
import torch

from netwright.data import checks, folds
from netwright.data.checks import Places
from netwright.data.inspect import _equal_neighbours, _same_buckets, inspect
from netwright.data.tasks import Batch, Input


def places(split: list[int], labels: list[int], classes: int = 2) -> Places:
    index = [split[:n].count(s) for n, s in enumerate(split)]
    return Places(np.array(split), np.array(index), np.array(labels), tuple(f"k{n}" for n in range(classes)))


def test_copies_leaks_and_torn_labels():
    where = places([0, 0, 0, 1, 2, 2], [0, 0, 1, 0, 1, 1])
    prints = [b"a", b"b", b"b", b"c", b"a", b"a"]
    within, leaks, torn = checks.copies(where, prints)
    assert (within.count, leaks.count, torn.count) == (2, 1, 2)
    assert within.examples == ("train 1 (k0) = train 2 (k1)", "test 0 (k1) = test 1 (k1)")
    assert leaks.examples == ("train 0 (k0) = test 0 (k1)",)
    assert [f.count for f in checks.copies(where, list("abcdef"))] == [0, 0, 0]


def test_near_copies_leave_exact_ones_out_and_list_leaks_first():
    where = places([0, 0, 0, 2], [0, 0, 0, 0])
    found = checks.near_copies(where, [(1, 0), (0, 1), (2, 3), (0, 2)], [b"a", b"b", b"a", b"c"], "so")
    assert found.count == 2
    assert found.examples == ("train 2 (k0) = test 0 (k0)", "train 0 (k0) = train 1 (k0)")
    assert found.method.endswith("1 across splits")


def test_imbalance():
    assert checks.imbalance(places([0] * 20 + [2] * 4, [0] * 17 + [1] * 3 + [0, 1, 0, 1])).examples == ("train k1: 3",)
    assert checks.imbalance(places([0] * 4 + [2] * 4, [0, 1] * 4)).count == 0


def test_a_flipped_label_is_the_first_suspect():
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(600, 5, generator=draw)
    labels = (x[:, 0] > 0).long() + 2 * (x[:, 1] > 0).long()
    x[:, :2] += 3 * x[:, :2].sign()
    wrong = [10, 200, 333]
    labels[wrong] = 3 - labels[wrong]
    where = places([0] * 600, labels.tolist(), 4)
    found = checks.label_suspects(where, folds.ridge_scores(x, labels, 4), "ridge")
    assert {int(line.split()[1]) for line in found.examples[:3]} == set(wrong)
    assert found.count == 3
    assert "out of fold right on 99.5 %" in found.method


def test_clean_labels_have_no_suspects():
    labels = torch.arange(300) % 3
    scores = torch.nn.functional.one_hot(labels, 3).float()
    assert checks.label_suspects(places([0] * 300, labels.tolist(), 3), scores, "oracle").count == 0


def test_calibration_finds_the_scale():
    draw = torch.Generator().manual_seed(0)
    scores = torch.randn(4000, 3, generator=draw)
    labels = torch.multinomial((5.0 * scores).softmax(1), 1, generator=draw).squeeze(1)
    assert checks.calibrate(scores, labels) == pytest.approx(5.0, rel=0.26)


def test_ridge_never_saw_the_fold_it_scores():
    draw = torch.Generator().manual_seed(0)
    noise, labels = torch.randn(300, 200, generator=draw), torch.arange(300) % 2
    share = float(
        (folds.ridge_scores(noise, labels[torch.randperm(300, generator=draw)], 2).argmax(1) == labels).float().mean()
    )
    assert 0.35 < share < 0.65  # a classifier that saw them would be right on nearly all: 200 features for 300 examples


def test_ridge_is_the_closed_form():
    draw = torch.Generator().manual_seed(0)
    x, labels = torch.randn(50, 3, generator=draw), torch.arange(50) % 2
    found = folds.ridge_scores(x, labels, 2, strength=0.01)
    z = torch.cat([(x - x.mean(0)) / x.std(0), torch.ones(50, 1)], 1).double()
    kept = torch.arange(50) % 5 != 0
    y = 2.0 * torch.nn.functional.one_hot(labels, 2).double() - 1
    weight = torch.linalg.solve(z[kept].T @ z[kept] + 0.5 * torch.eye(4), z[kept].T @ y[kept])
    assert torch.allclose(found[::5].double(), z[::5] @ weight, atol=1e-4)


@pytest.mark.parametrize("classes", [2, 3])
def test_text_scores_learn_words_and_never_saw_their_fold(classes):
    draw = np.random.default_rng(0)
    labels = np.arange(240) % classes
    lengths = draw.integers(3, 9, 240)
    ids = np.concatenate(
        [np.append(draw.integers(10, 60, n - 1), label) for n, label in zip(lengths, labels, strict=True)]
    )
    starts = np.concatenate([[0], np.cumsum(lengths)])
    assert (folds.text_scores(ids, starts, labels, classes).argmax(1).numpy() == labels).mean() > 0.95
    free = draw.permutation(labels)
    assert (folds.text_scores(ids, starts, free, classes).argmax(1).numpy() == free).mean() < 0.75


def test_equal_neighbours_are_linear_in_a_crowd():
    assert set(_equal_neighbours(np.array([7, 1, 7, 2, 1], np.uint64))) == {(0, 2), (1, 4)}
    assert len(list(_equal_neighbours(np.zeros(1000, np.uint64)))) < 5000


def test_nearly_equal_texts_share_a_bucket():
    draw = np.random.default_rng(0)
    texts = [draw.integers(3, 5000, 120) for _ in range(40)]
    texts.append(texts[7].copy())
    texts[-1][60] = 1
    texts.append(np.array([2]))
    starts = np.cumsum([0, *map(len, texts)])
    assert _same_buckets(np.concatenate(texts), starts) == {(7, 40)}


class Planted:
    """A task with one copy across splits, one near copy and one blank image."""

    name, digest, processor = "planted", "0", {}
    classes = ("dark", "light")

    def __init__(self) -> None:
        self.inputs = {"image": Input((1, 12, 12), "float32")}
        draw = torch.Generator().manual_seed(0)
        self.x = {
            s: torch.rand(n, 1, 12, 12, generator=draw) for s, n in (("train", 60), ("validation", 20), ("test", 20))
        }
        self.y = {s: torch.arange(len(x)) % 2 for s, x in self.x.items()}
        self.x = {s: x + self.y[s].view(-1, 1, 1, 1) for s, x in self.x.items()}
        self.x["test"][4] = self.x["train"][8]
        self.x["validation"][6] = self.x["train"][10] + 0.001 * torch.rand(1, 12, 12, generator=draw)
        self.x["test"][9] = 0.5

    def size(self, split):
        return len(self.x[split])

    def batch(self, split, indices_B, generator=None):
        return Batch({"image": self.x[split][indices_B]}, self.y[split][indices_B])


def test_a_walk_over_a_task_finds_what_was_planted():
    report = inspect(Planted())
    found = {finding.check: finding for finding in report.findings}
    assert report.counts == {"train": 60, "validation": 20, "test": 20}
    assert report.classes["test"] == {"dark": 10, "light": 10}
    assert found["leaks: copies across splits"].examples == ("train 8 (dark) = test 4 (dark)",)
    assert found["copies within a split"].count == 0
    assert found["near copies"].examples == ("train 10 (dark) = validation 6 (dark)",)
    assert found["empties"].examples == ("test 9 (light)",)
