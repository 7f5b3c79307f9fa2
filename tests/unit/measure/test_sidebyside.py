"""The page of answers side by side: whole, escaped, and in orders that tell nothing."""

import base64
import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.measure import sidebyside
from netwright.measure.items import Item
from netwright.measure.sidebyside import Column

EVIL = "</div><script>alert(1)</script><img src=x onerror=alert(2)> \" ' & {{ 7*7 }} \ud800 \0"


def row(text):
    return {"text": text, "tokens": 3, "seconds": 0.25, "ended": True}


def made(text="fine", count=3, prompts=4, blind=None):
    columns = [Column(f"model {n} {text}", f"artifact {n}", [row(f"{text} {n}")] * prompts) for n in range(count)]
    return sidebyside.html([Item("free", "", f"{text}?")] * prompts, columns, [f"said {text}"], blind)


def test_nothing_of_an_answer_becomes_part_of_the_page(tmp_path):
    page = made(EVIL, blind=0)
    assert page.count("<script") == 1
    assert "<img" not in page
    assert "{{ 7*7 }}" in page
    columns = [Column("a", "b", [row(EVIL)])]
    written = sidebyside.write(tmp_path / "page.html", [Item("free", "", EVIL)], columns)
    assert "alert(1)&lt;/script&gt;" in written.read_text(encoding="utf-8")


def test_only_the_script_of_the_page_may_run():
    page = made()
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)[1]
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in page
    assert "default-src 'none'" in page
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:)""", page)
    assert "http://" not in page
    assert "https://" not in page


def test_each_model_stands_in_each_place_equally_often():
    for count in range(2, 7):
        drawn = sidebyside.orders(count, 4 * count, 3)
        for place in range(count):
            assert sorted(order[place] for order in drawn) == sorted([*range(count)] * 4)
    assert sidebyside.orders(3, 9, 0) == sidebyside.orders(3, 9, 0) != sidebyside.orders(3, 9, 1)
    assert sidebyside.orders(3, 2, None) == [[0, 1, 2]] * 2


@given(st.integers(1, 6), st.integers(0, 20), st.integers(0, 2**31))
def test_every_answer_is_shown_once(count, prompts, seed):
    drawn = sidebyside.orders(count, prompts, seed)
    assert len(drawn) == prompts
    assert all(sorted(order) == list(range(count)) for order in drawn)


@pytest.mark.parametrize("count", [0, 7])
def test_of_too_many_or_none_there_is_no_page(count):
    with pytest.raises(ValueError, match="1 to 6 columns"):
        made(count=count)


def test_tokens_and_seconds_stand_under_each_answer():
    page = made()
    assert page.count("3 tokens<") == 12
    assert page.count("250 ms") == 12
    assert "12 tokens in 1 s, 12 tokens/s" in page
