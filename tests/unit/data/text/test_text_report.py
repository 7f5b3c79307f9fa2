"""One report of one reading: what is there, what is broken, alike, private, and in two splits at once."""

import dataclasses
import json

import pytest

from netwright.core import recipe
from netwright.data.text import Config as Reading
from netwright.data.text.report import Config, report
from netwright.data.text.splits import Config as Splits

LONG = "This is a rather long sentence that is told once more, so that all but a number stays the same. " * 2 + "{}"


@pytest.fixture
def mixed(tmp_path):
    chat = {"messages": [{"role": "user", "content": "Who are you?"}, {"role": "assistant", "content": "A net."}]}
    rows = [
        chat, {"messages": chat["messages"][:1]}, {"instruction": "Add 1 and 1, please.", "output": "2"},
        {"text": "Itâ€™s\0 of jane@company.com at 10.0.0.1, and again of jane@company.com."}, {"text": "  "}, chat, "{",
        *({"text": LONG.format(n)} for n in range(30)),
    ]  # fmt: skip
    path = tmp_path / "mixed.jsonl"
    path.write_text("\n".join(row if row == "{" else json.dumps(row) for row in rows) + "\n")
    (tmp_path / "notes.docx").write_bytes(b"x")
    return path


def test_everything_is_counted_with_its_place(mixed):
    found = report(mixed.parent)
    assert (found.files, found.records, found.looked_at) == (1, 35, 35)
    assert found.shapes == {"text": 31, "messages": 3, "Alpaca": 1}
    assert (found.broken.count, found.empty) == (1, 1)
    assert found.broken.places[0].startswith(f"{mixed}:7: broken JSON")
    assert found.left_out.places == (str(mixed.parent / "notes.docx"),)
    assert found.unanswered == 1
    assert found.exact_duplicates.places == (f"{mixed}:6 = {mixed}:1",)
    assert found.near_duplicates.count >= 29
    assert found.uncleaned["lines of mojibake"] == found.uncleaned["control characters"] == 1
    assert [(one.kind, one.count) for one in found.private] == [("e-mail", 2)]
    assert found.private[0].places[0] == f"{mixed}:4 (sure)"
    assert found.lengths["100%"] >= found.lengths["50%"] > found.lengths["5%"] > found.lengths["0%"] == 12
    assert found.turns == {"0%": 1, "5%": 1, "50%": 2, "95%": 2, "100%": 2}
    assert found.languages["en"] >= 30
    assert sum(found.splits.values()) == 35
    assert len(found.first) == 3
    json.dumps(recipe.plain(found))


def test_leaks_name_the_held_out_record(mixed):
    found = report(mixed, Config(splits=Splits(validation=0.3, test=0.3)))
    assert found.leaks.count > 5
    assert all(place.startswith(("validation ", "test ")) for place in found.leaks.places)
    assert report(mixed, Config(splits=Splits(validation=0, test=0))).leaks.count == 0


def test_only_the_first_are_looked_at_closely_and_settings_reach_the_reader(mixed):
    found = report(mixed, Config(looked_at=3, shown=1, reading=Reading(column="text", broken=1)))
    assert found.looked_at == 3
    assert found.records == 31
    assert found.shapes == {"text": 31}
    assert len(found.first) == 1
    assert dataclasses.is_dataclass(found)


def test_without_the_extra_languages_are_left_out(mixed, monkeypatch):
    monkeypatch.setattr("netwright.data.text.report.importlib.util.find_spec", lambda name: None)
    assert report(mixed).languages == {}
