"""What a study begins with: a network that was trained before is studied as it is."""

import json
import shutil

import pytest

from netwright.core import recipe
from netwright.core.error import UserError
from netwright.core.measurement import exact
from netwright.measure import memory
from netwright.study import beginning
from netwright.study.study import SECTIONS, study

SETTINGS = {
    "quantize": {"samples": 20, "examples": 100},
    "bench": {"batch": [1], "threads": 1, "seconds": 0.03, "rounds": 6},
}


def asked(source, more=None, **settings):
    sections = {**SETTINGS, **(more or {}), "study": {"source": str(source), "formats": ["openvino"], **settings}}
    return recipe.parse(sections, SECTIONS)


@pytest.fixture(autouse=True)
def made_up_memory(monkeypatch):
    monkeypatch.setattr(memory, "peak", lambda artifact, batches, threads: {"import": 1e6, "1": 2e6})


def test_a_trained_network_is_studied_and_not_trained(tiny, tmp_path):
    source = tiny["image"].artifact
    done = study(asked(source.folder, chains=["int8"], objectives=["accuracy", "cost"], price=0.36), tmp_path)
    assert [row["label"] for row in done.summary["candidates"]] == ["PyTorch FP32", "OpenVINO FP32", "OpenVINO INT8"]
    assert done.summary["candidates"][0]["artifact"] == source.digest
    assert done.summary["title"] == "synthetic: cnn"
    assert not list(tmp_path.glob("*-train-*"))
    for page in (done.report, done.folder / "report.md"):
        assert "Plan against actual" not in page.read_text()
    for row in done.summary["candidates"]:
        assert row["figures"]["cost"]["value"] == pytest.approx(100 / row["figures"]["throughput"]["value"])
    again = study(asked(source.folder, chains=["int8"], objectives=["accuracy", "cost"], price=0.36), tmp_path)
    assert again.reused


def test_another_network_at_the_same_place_is_another_study(tiny, tmp_path):
    place = tmp_path / "network"
    first = []
    for kind in ("image", "text"):
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(tiny[kind].artifact.folder, place)
        first.append(study(asked(place), tmp_path / "runs"))
    assert not first[1].reused
    assert first[0].folder != first[1].folder


def test_it_has_a_task_and_a_model_of_its_own(tiny):
    assert beginning.source(recipe.parse({"task": {"name": "synthetic"}}, SECTIONS)) is None
    source = tiny["image"].artifact
    assert beginning.source(asked(source.folder)).digest == source.digest
    for section in ({"task": {"name": "synthetic"}}, {"model": {"name": "cnn"}}):
        with pytest.raises(UserError, match="an artifact has its own"):
            beginning.source(asked(source.folder, section))


def test_files_and_what_is_no_artifact_are_refused(tiny, tmp_path):
    from netwright import export

    task, source = tiny["image"]
    file = export.write(source, "openvino", task, tmp_path / "file", n=50)
    with pytest.raises(UserError, match="a study takes an fp32 artifact"):
        beginning.source(asked(file.folder))
    with pytest.raises(UserError, match="no artifact"):
        beginning.source(asked(tmp_path / "nothing"))


def test_the_time_of_its_training_is_told_by_its_run_or_by_a_plan(tiny, tmp_path):
    source = tiny["image"].artifact
    epochs, seconds = beginning.pace(beginning.found(source), tmp_path)
    assert epochs >= 1
    assert seconds > 0
    run = tmp_path / "run"
    shutil.copytree(source.folder, run / "artifact")
    told = {"verb": "train", "key": "k", "status": "done"}
    took = recipe.plain([exact("training_time", 123.0)])
    (run / "run.json").write_text(json.dumps({**told, "result": {"measurements": took, "plan": []}}))
    copy = beginning.source(asked(run))
    assert beginning.pace(beginning.found(copy), tmp_path)[1] == 123.0
    (run / "run.json").write_text(json.dumps({**told, "verb": "import", "result": {"artifact": copy.digest}}))
    assert beginning.found(copy).measurements == ()
