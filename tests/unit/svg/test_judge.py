import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from netwright.svg.judge import within


@given(st.integers(0, 2**32 - 1))
def test_within_is_spearmans_mean_over_images(seed):
    random = np.random.default_rng(seed)
    image = np.repeat(np.arange(4), 7)
    truth, guess = random.integers(0, 6, (2, 28)).astype(float)
    guess[:7] += truth[:7]
    single = [spearmanr(truth[image == k], guess[image == k])[0] for k in range(4)
              if np.ptp(truth[image == k]) and np.ptp(guess[image == k])]  # fmt: skip
    flat = sum(np.ptp(truth[image == k]) > 0 and np.ptp(guess[image == k]) == 0 for k in range(4))
    assert np.isclose(within(image, truth, guess), sum(single) / (len(single) + flat))


def test_images_with_few_settings_or_one_value_are_left_out():
    image = np.array([0] * 5 + [1] * 2 + [2] * 5)
    truth = np.array([1, 2, 3, 4, 5, 9, 1, 3, 3, 3, 3, 3.0])
    assert within(image, truth, truth) == 1.0
