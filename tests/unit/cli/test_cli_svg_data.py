"""`netwright svg data` on the command line."""

import json

import pytest

from netwright import cli
from netwright.svg import dataset
from netwright.svg.collection import families


def test_a_dry_run_lists_sources_with_licences_and_fetches_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("NETWRIGHT_CACHE", str(tmp_path / "cache"))
    assert cli.main(["svg", "data", "--dry-run", "--json", "--families", "noto,mate-nature"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["families"] == {name: families()[name].source.licence for name in ("noto", "mate-nature")}
    assert not list(tmp_path.iterdir())


def test_what_is_asked_for_is_what_is_built(capsys, tmp_path, monkeypatch):
    asked = []

    def build(config, out, workers):
        asked.append((config, out, workers))
        raise KeyboardInterrupt

    monkeypatch.setattr(dataset, "build", build)
    words = ["--images", "9", "--settings", "3", "--seed", "2", "--families", "noto, mdi", "--workers", "2"]
    assert cli.main(["svg", "data", *words, "--out", str(tmp_path)]) == 130
    assert asked == [(dataset.Config(images=9, settings=3, seed=2, families=("noto", "mdi")), tmp_path, 2)]
    assert "goes on where this one stopped" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data", "--families", "notto"], 'did you mean "noto"'),
        (["data", "--images", "0"], "images = 0: 1 to"),
        (["data", "--workers", "0"], "workers = 0: 1 to 256"),
        (["date"], 'did you mean "data"'),
    ],
)
def test_a_wrong_word_is_refused_in_one_line(capsys, words, message):
    assert cli.main(["svg", *words]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1
