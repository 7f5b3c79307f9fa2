"""A language model that was made smaller is compared with the one it was made from, once."""

import pytest

from netwright.compress import chain
from netwright.core import trend
from netwright.core.error import UserError
from netwright.core.measurement import in_result
from netwright.core.run import state
from netwright.measure import quality
from netwright.study import stages
from small_languages import small_llama, text_file


@pytest.fixture
def source(tmp_path):
    return small_llama(tmp_path / "source", text_file(tmp_path, 300), 30)


STEPS = chain.parse("qat to=int8", {"qat": {"epochs": 1}})


def test_what_it_cost_stands_in_the_run(source, tmp_path, monkeypatch):
    made = stages.carried_out(tmp_path / "runs", source, STEPS)
    said = stages.verdicts(made)
    assert len(said) == 1
    assert "fp32 torch" in said[0]
    assert "tuned" in said[0]
    seen = {one.quantity: one for one in in_result(state(made.folder.parent)["result"])}
    assert seen["perplexity_ratio"].conditions["reference"] == source.digest
    assert seen["perplexity"].artifact == made.digest
    assert any("perplexity" in what for what in trend.series(tmp_path / "runs"))
    monkeypatch.setattr(quality, "quality", lambda *_: pytest.fail("done before"))
    assert stages.verdicts(stages.carried_out(tmp_path / "runs", source, STEPS)) == said


def test_what_cannot_be_compared_is_made_all_the_same(source, tmp_path, monkeypatch):
    def refuse(*_):
        raise UserError("artifact", "x", "cannot be run here", "netwright doctor")

    monkeypatch.setattr(stages, "evaluated", refuse)
    made = stages.carried_out(tmp_path / "runs", source, STEPS)
    assert stages.verdicts(made) == []
    assert "cannot be run here" in (made.folder.parent / "log.txt").read_text()


def test_an_evaluation_found_again_keeps_its_texts(source, tmp_path):
    from netwright.models.load import open_task

    task = open_task(source)
    first, accuracy = stages.evaluated(tmp_path / "runs", source, task, 1)
    again, same = stages.evaluated(tmp_path / "runs", source, task, 1)
    assert (again.text_N == first.text_N).all()
    assert again.accuracy().low == pytest.approx(accuracy.low) == same.low
    change = quality.accuracy_change(again, first)
    assert change.low <= 0 <= change.high
