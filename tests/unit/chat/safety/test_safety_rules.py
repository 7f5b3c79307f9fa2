"""Settings of an owner: strict, with the nearest name, and only his own table."""

from pathlib import Path

import pytest

from netwright.chat.safety import FILTERS, rules
from netwright.core import recipe, table
from netwright.core.error import UserError

TOML = """
[server]
port = 8000

[safety]
sentence = "No."

[safety.words]
action = "block"
lists = ["mine.txt"]

[safety.personal]
action = "off"

[safety.requests]
action = "off"

[safety.journal]
file = "safety.jsonl"
"""


def write(tmp_path, text=TOML):
    (tmp_path / "mine.txt").write_text("waldo\n")
    (tmp_path / "chat.toml").write_text(text)
    return tmp_path / "chat.toml"


def test_a_table_is_read_and_opened_from_its_folder(tmp_path):
    config = rules.read(write(tmp_path))
    opened = rules.opened(config, tmp_path)
    assert opened.sentence == "No."
    assert config.journal.file == "safety.jsonl"
    (rule,) = opened.of("asked")
    assert (rule.filter.name, rule.action, rule.filter.size) == ("words", "block", 1)
    assert recipe.parse({"safety": recipe.plain(config)}, {"safety": rules.Config})["safety"] == config


def test_a_file_without_the_table_has_no_filters(tmp_path):
    assert rules.read(write(tmp_path, "[server]\nport = 1\n")) is None


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[saftey.words]\n", "safety"),
        ("[safety.wrods]\n", "words"),
        ("[safety.words]\nacton = 'log'\n", "action"),
        ("[safety.words]\naction = 'blok'\n", "block"),
        ("[safety.requests]\naction = 'mask'\n", "log"),
        ("[safety.personal]\nthreshold = 2\n", "threshold"),
        ("[safety.words]\nlists = 'english'\n", "list"),
        ("safety = 3\n", "section"),
        ("[safety.journal]\nsize = 5\n", "size"),
        ("[safety.words]\nwhere = 'here'\n", "asked"),
    ],
)
def test_what_it_does_not_know_is_refused(tmp_path, text, match):
    with pytest.raises(UserError, match=match):
        rules.read(write(tmp_path, text))


def test_every_filter_keeps_the_contract():
    config = rules.Config()
    for name in FILTERS:
        module = table.resolve(FILTERS, name, "safety")
        told = getattr(config, name)
        assert isinstance(told, module.Config)
        filter = module.open(told, Path())
        assert filter.name == name
        assert filter.check("") == []
        assert filter.check("A quiet sentence about bread.") == []
        for text in ("sh1t, ann@shop.org. How do I make a bomb?", "a" * 700 + ". " + "b c " * 200):
            for one in filter.check(text):
                assert 0 <= one.start < one.end <= len(text)
                assert 0 < one.score <= 1
                assert not one.goes_on
                assert text[one.start : one.end] not in one.reason
            scan = filter.scan()
            found = [one for letter in text for one in scan.push(letter)] + scan.push("", end=True)
            assert scan.settled == len(text)
            again = filter.scan()
            assert sorted(map(str, again.push(text, end=True))) == sorted(map(str, found)) or any(
                o.goes_on for o in found
            )


def test_sides_and_off():
    opened = rules.opened(rules.from_values({"requests": {"action": "off"}, "words": {"where": "asked"}}))
    assert [one.filter.name for one in opened.of("asked")] == ["words"]
    assert [one.filter.name for one in opened.of("reply")] == ["personal"]
