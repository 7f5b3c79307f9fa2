"""Votes are counted as the page gave them out, with an interval; other files are refused."""

import json

import pytest

from netwright import cli
from netwright.core.error import UserError
from netwright.measure import votes


def file(folder, name="votes.json", wins=(10, 30), ties=4, blind=True, **other):
    best = ["base"] * wins[0] + ["tuned"] * wins[1] + [None] * ties
    told = {
        "page": "ab", "blind": blind, "seed": 0, "prompts": len(best), "tally": {"base": wins[0], "tuned": wins[1]},
        "ties": ties, "votes": [{"prompt": at + 1, "best": one} for at, one in enumerate(best)], **other,
    }  # fmt: skip
    path = folder / name
    path.write_text(json.dumps(told))
    return path


def test_votes_become_a_verdict_with_interval(tmp_path):
    found = votes.read([file(tmp_path)])
    assert found == votes.Votes({"base": 10, "tuned": 30}, 4, True)
    assert votes.verdicts(found) == ["tuned preferred over base: 30 of 40 votes, 75 % [60, 86]; 4 ties"]


@pytest.mark.parametrize(
    ("wins", "word"), [((30, 10), "not preferred over"), ((5, 6), "not told apart from"), ((0, 0), "no votes for")]
)
def test_what_votes_do_not_show_is_not_said(wins, word, tmp_path):
    (said,) = votes.verdicts(votes.read([file(tmp_path, wins=wins, blind=False)]))
    assert word in said
    assert said.endswith("; names were seen")


def test_two_files_are_one_count_and_other_models_are_refused(tmp_path):
    first, second = file(tmp_path), file(tmp_path, "more.json", (1, 2), 0)
    assert votes.read([first, second]).best == {"base": 11, "tuned": 32}
    other = file(tmp_path, "other.json", tally={"base": 1, "third": 2})
    with pytest.raises(UserError, match="votes on base, tuned"):
        votes.read([first, other])


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "null", '{"tally": {}}', '{"tally": 3, "votes": []}', "[" * 100_000,
             '{"tally": {"a": 1, "b": 2}, "blind": true, "votes": [3]}'],
)  # fmt: skip
def test_other_files_are_refused(text, tmp_path):
    path = tmp_path / "votes.json"
    path.write_text(text)
    with pytest.raises(UserError, match="side by side gives out"):
        votes.read([path])


def test_a_vote_for_nobody_and_a_missing_file_are_refused(tmp_path):
    with pytest.raises(UserError, match="a vote for one of base, tuned"):
        votes.read([file(tmp_path, votes=[{"prompt": 1, "best": "other"}])])
    with pytest.raises(UserError, match="No such file"):
        votes.read([tmp_path / "none.json"])


def test_the_command_reads_votes(tmp_path, capsys):
    assert cli.main(["evaluate", "--votes", str(file(tmp_path))]) == 0
    assert "tuned preferred over base" in capsys.readouterr().out
    assert cli.main(["evaluate"]) == 2
