"""The task of requests: held-out families and authors are unseen, frames tell nothing, both labels are everywhere."""

from collections import Counter

import pytest

from netwright.core.error import UserError
from netwright.data import requests

OTHERS = ("AdvBench", "BFCL", "HarmBench", "GSM8K", "Shakespeare", "chatterbot-corpus")


@pytest.fixture(scope="module")
def shipped():
    return list(requests.shipped())


def test_no_family_and_no_text_stands_in_two_splits(shipped):
    texts = [one.text for one in shipped]
    assert len(set(texts)) == len(texts)
    families = Counter(source for source, _ in {(one.source, one.split) for one in shipped if one.source not in OTHERS})
    assert set(families.values()) == {1}
    assert {one.split for one in shipped if one.source == "HarmBench"} == {"test"}
    assert {one.split for one in shipped if one.source == "AdvBench"} == {"train", "validation"}


def test_no_unsafe_test_request_is_nearly_a_training_one(shipped):
    bags = [(set(one.text.lower().split()), one) for one in shipped]
    trained = [bag for bag, one in bags if one.split == "train" and one.unsafe]
    for bag, one in bags:
        if one.source == "HarmBench":
            assert max(len(bag & other) / len(bag | other) for other in trained) < 0.75, one.text


def test_frames_go_with_both_labels(shipped):
    for split in ("train", "test"):
        begun = {
            label: Counter(
                " ".join(one.text.split()[:2])
                for one in shipped
                if one.split == split and one.unsafe == label and one.source not in OTHERS
            )
            for label in (True, False)
        }
        assert set(begun[True]) == set(begun[False])


def test_both_labels_are_in_every_split(shipped):
    counts = Counter((one.split, one.unsafe) for one in shipped)
    assert min(counts.values()) > 50
    assert all(len(one.text.strip()) > 3 for one in shipped)


def test_another_seed_takes_other_frames_and_the_digest_says_so():
    first, other = requests.open(requests.Config()), requests.open(requests.Config(seed=1))
    assert first.digest != other.digest
    assert first.requests != other.requests
    from netwright.core import recipe

    with pytest.raises(UserError, match="frames"):
        recipe.build(requests.Config, {"frames": 0}, "task")
