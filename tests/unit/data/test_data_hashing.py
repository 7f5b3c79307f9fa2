"""Hashed ids: the same everywhere, for look-alikes too, bounded, and read back from a manifest."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netwright.core.error import UserError
from netwright.data.hashing import Hashed

ENCODER = Hashed(1 << 12, True, 4, 64)


@given(st.lists(st.text(max_size=400), min_size=1, max_size=4))
def test_ids_are_in_range_and_a_text_alone_has_the_same(texts):
    batch = ENCODER(texts)
    assert batch["ids"].shape == batch["mask"].shape
    assert batch["ids"].shape[1] <= 64
    assert torch.equal(batch["mask"], batch["ids"] != 0)
    assert int(batch["ids"].max()) < len(ENCODER)
    for row, text in zip(batch["ids"], texts, strict=True):
        alone = ENCODER([text])["ids"][0]
        assert row[row != 0].tolist() == alone[alone != 0].tolist() == ENCODER.ids(text)


def test_known_ids_never_change():
    assert Hashed(1 << 15, True, 4, 8).ids("Bake bread!") == [27544, 1749, 15534, 12537, 12954, 6350, 28966, 27641]


def test_look_alikes_change_nothing_and_order_does():
    assert ENCODER.ids("Ｂаke br\u200bead") == ENCODER.ids("bake bread") != ENCODER.ids("bread bake")


def test_words_come_before_parts_where_room_is_short():
    short = Hashed(1 << 12, False, 4, 8)
    assert short.ids("one two three four five six seven eight nine") == Hashed(1 << 12, False, 0, 8).ids(
        "one two three four five six seven eight"
    )


def test_a_manifest_gives_it_back_or_is_refused():
    assert Hashed.read(ENCODER.description()) == ENCODER
    for wrong in (
        {"kind": "words"},
        {"buckets": 1},
        {"buckets": True},
        {"parts": -1},
        {"max_tokens": 10**9},
        {"pairs": 1},
    ):
        with pytest.raises(UserError, match="hashed encoder"):
            Hashed.read({**ENCODER.description(), **wrong})
