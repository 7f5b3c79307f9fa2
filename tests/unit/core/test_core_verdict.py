"""What pairs allow to say, in a sentence."""

import pytest

from netwright.core import verdict
from netwright.core.measurement import Measurement


def change(value, low, high, quantity="accuracy_change", n=500):
    return Measurement(quantity=quantity, value=value, low=low, high=high, n=n)


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        (change(0.021, 0.009, 0.033), "tuned better than base by 2.1 points [0.9, 3.3], n = 500"),
        (change(-0.021, -0.033, -0.009), "tuned worse than base by 2.1 points [0.9, 3.3], n = 500"),
        (
            change(0.004, -0.008, 0.016),
            "no difference shown between tuned and base: +0.4 points [-0.8, +1.6], n = 500",
        ),
        (
            change(0.75, 0.73, 0.77, "perplexity_ratio", 1200),
            "tuned better than base by 25.0 % in perplexity [23.0, 27.0], n = 1,200",
        ),
        (
            change(1.2, 1.1, 1.3, "perplexity_ratio"),
            "tuned worse than base by 20.0 % in perplexity [10.0, 30.0], n = 500",
        ),
        (
            change(4.2, 3.9, 4.5, "perplexity_ratio"),
            "tuned worse than base by 4.2 times the perplexity [3.9, 4.5], n = 500",
        ),
        (
            change(1.0001, 0.9999, 1.0003, "perplexity_ratio"),
            "no difference shown between tuned and base: +0.010 % in perplexity [-0.010, +0.030], n = 500",
        ),
        (change(0.0, 0.0, 0.0), "no difference shown between tuned and base: +0.000 points [+0.000, +0.000], n = 500"),
    ],
)
def test_sentences(measured, said):
    assert verdict.sentence(measured, "tuned", "base") == said


def test_only_changes_are_told():
    loss = Measurement(quantity="loss", value=1, low=1, high=1, n=1)
    assert len(verdict.of([loss, change(0.1, 0.05, 0.2)], "tuned", "base")) == 1
