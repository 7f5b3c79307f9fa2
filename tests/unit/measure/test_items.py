"""Items out of files: what is recognised, what is right, and one clear error for each broken line."""

import contextlib
import gzip
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.core.error import UserError
from netwright.data import language
from netwright.data.text.streams import BrokenError
from netwright.measure import items


def one(**row):
    return items.item(row)


def test_kinds_by_their_fields():
    assert one(question="2+2?", choices=["3", "4"], answer=1).kind == "choice"
    assert one(prompt="Capital of France?", answer="Paris").kind == "exact"
    assert one(question="2+2?", answer="2+2 = 4\n#### 4", ans=4.0).kind == "number"
    assert one(prompt="Write a poem").kind == "free"
    talk = one(messages=[{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hi"}], answer="Hello")
    assert [turn.role for turn in talk.messages] == ["system", "user"]
    assert "user: Hi" in talk.said


@pytest.mark.parametrize(("answer", "wanted"), [(1, 1), ("B", 1), (" b ", 1), ("four", 1), ("A", 0)])
def test_the_right_choice_is_said_in_several_ways(answer, wanted):
    assert one(question="2+2?", choices=["three", "four"], answer=answer).answer == wanted


def test_a_choice_that_is_a_letter_means_itself():
    assert one(question="?", choices=["B", "A"], answer="A").answer == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("so\n#### 1,234", 1234), ("#### -5", -5), ("#### $18", 18), ("#### -$18.50", "-18.5"), ("####42", 42),
        ("#### \u22127", -7), ("12 and then 13.", 13), ("#### 5\n#### 6", 6), ("nothing", None), ("#### none, 7", None),
        ("#### 3.0", 3), ("half is .5", "0.5"), ("#### +4", 4), ("#### 18, I think", 18),
    ],
)  # fmt: skip
def test_numbers_of_gsm8k(text, value):
    assert items.number(text) == (None if value is None else Decimal(value))


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("#### 4", True), ("it is\n#### 1,000 \n", True), ("#### 5.", True), ("#### 5 %", True), ("4", False),
        ("#### 4 apples", False), ("####", False), ("#### four", False), ("#### 4\nand so on", False),
    ],
)  # fmt: skip
def test_the_form_of_gsm8k(text, fine):
    assert items.in_form(text) is fine


def test_exact_answers_but_for_how_they_are_written():
    paris = one(prompt="?", answer=["Paris", "the city of Paris"])
    assert items.right(paris, " paris. \n")
    assert items.right(paris, "\u201cPARIS\u201d")
    assert items.right(paris, "The  city of Paris")
    assert not items.right(paris, "Paris, of course")
    assert items.right(one(prompt="?", answer=-4), "-4")
    assert not items.right(one(prompt="?", answer=-4), "4")


def test_the_shipped_sample_is_read_whole():
    found = items.read(language._path("gsm8k-sample"))
    assert len(found) == 600
    assert {each.kind for each in found} == {"number"}
    assert found[0].answer == 27


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"prompt": "a", "answer": "b"', "broken JSON"), ("[1]", "list"), ('"x"', "str"), ("{}", "none of the fields"),
        ('{"prompt": ""}', "is no text"), ('{"prompt": 3, "answer": "x"}', "is no text"),
        ('{"prompt": "a"}', "has no answer"), ('{"prompt": "a", "answer": []}', "no text, number or list"),
        ('{"prompt": "a", "answer": {"b": 1}}', "no text, number or list"),
        ('{"prompt": "a", "answer": true}', "no text, number or list"),
        ('{"prompt": "a", "answer": "#### x"}', "no number after ####"),
        ('{"prompt": "a", "choices": ["x"], "answer": 0}', "list of 2 to 26"),
        ('{"prompt": "a", "choices": "xy", "answer": 0}', "list of 2 to 26"),
        ('{"prompt": "a", "choices": ["x", "x"], "answer": 0}', "the same"),
        ('{"prompt": "a", "choices": ["x", ""], "answer": 0}', "empty"),
        ('{"prompt": "a", "choices": ["x", "y"], "answer": 2}', "none of: 0 to 1, A to B"),
        ('{"prompt": "a", "choices": ["x", "y"], "answer": true}', "none of"),
        ('{"prompt": "a", "choices": ["x", "y"]}', "none of"),
        ('{"messages": [], "answer": "x"}', "no list of turns"),
        ('{"messages": [{"role": "me", "content": "x"}], "answer": "x"}', "message 1"),
        ('{"messages": [{"role": "assistant", "content": "x"}], "answer": "x"}', "the last message"),
    ],
)  # fmt: skip
def test_a_broken_line_is_one_clear_error(tmp_path, line, why):
    path = tmp_path / "exam.jsonl"
    path.write_text('{"prompt": "fine", "answer": "yes"}\n\n' + line + "\n")
    with pytest.raises(UserError, match=why) as told:
        items.read(path)
    assert f"{path}:3" in str(told.value)
    assert "\n" not in str(told.value)


def test_several_broken_lines_are_counted(tmp_path):
    path = tmp_path / "exam.jsonl"
    path.write_text("{\n{\n{\n")
    with pytest.raises(UserError, match="2 more lines are broken") as told:
        items.read(path)
    assert f"{path}:1" in str(told.value)


def test_files_that_are_none(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        items.read(tmp_path / "absent.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(UserError, match="holds no questions"):
        items.read(tmp_path / "empty.jsonl")
    (tmp_path / "binary.jsonl").write_bytes(bytes(range(32)) * 50)
    with pytest.raises(UserError, match="not text"):
        items.read(tmp_path / "binary.jsonl")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"prompt": "a"}\n' * 99)[:-9])
    with pytest.raises(UserError, match="cut off or damaged"):
        items.read(tmp_path / "cut.jsonl.gz")


def test_prompts_are_a_line_each(tmp_path):
    (tmp_path / "prompts.txt").write_text("Hello\n\n  Who are you? \n")
    assert [each.prompt for each in items.read(tmp_path / "prompts.txt", answered=False)] == ["Hello", "Who are you?"]
    with pytest.raises(UserError, match="has no answer"):
        items.read(tmp_path / "prompts.txt")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
fields = st.sampled_from(["prompt", "question", "messages", "choices", "answer", "ans", "role", "content"])


@given(st.dictionaries(fields, values, max_size=5) | values)
def test_a_row_is_an_item_or_broken_and_nothing_else(row):
    with contextlib.suppress(BrokenError):
        assert items.item(json.loads(json.dumps(row))).kind in ("choice", "exact", "number", "free")


@given(st.text(max_size=200) | st.text("#-+$0123456789,. \n", max_size=60))
def test_any_answer_is_judged(text):
    found = items.number(text)
    assert found is None or found == found  # noqa: PLR0124 - no NaN
    if items.in_form(text):
        assert found is not None
    assert items.normalised(items.normalised(text)) == items.normalised(text)


@given(st.integers(-(10**12), 10**12))
def test_a_number_in_the_form_is_read_back(value):
    text = f"some steps 3 * 4\n#### {value:,}"
    assert items.in_form(text)
    assert items.number(text) == value
