"""Roadmap and search on made-up data: what they decide and say, what stops them, and that they find again."""

import json

import pytest

from netwright.compress import chain
from netwright.core import recipe
from netwright.measure import memory
from netwright.study import roadmap, search, stages, trials
from netwright.study.study import SECTIONS, check, study

TINY = """
[task]
name = "synthetic"
examples = 400
[model]
name = "cnn"
width = 16
[train]
epochs = 3
batch = 50
lr = 0.02
threads = 1
[quantize]
samples = 20
examples = 60
[bench]
batch = [1]
threads = 1
seconds = 0.03
rounds = 6
[study]
formats = ["openvino"]
"""


@pytest.fixture(autouse=True)
def made_up_memory(monkeypatch):
    monkeypatch.setattr(memory, "peak", lambda artifact, batches, threads: {"import": 1e6, "1": 2e6, "4": 3e6})


def done(folder, *overrides):
    path = folder / "tiny.toml"
    path.write_text(TINY)
    return study(recipe.load(path, overrides, SECTIONS), folder / "runs")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("strategies")


def said(found):
    return [one["what"] for one in found.summary["decisions"]]


def test_a_roadmap_tries_all_turns_and_gives_reasons(place):
    found = done(place, "study.strategy=roadmap", "study.max_drop=0.5")
    assert said(found) == [
        "Go on with OpenVINO", "Keep int8", "Keep prune > int8", "Keep distill keep=0.25 > int8",
        "Keep distill keep=0.25 > qat to=int4",
    ]  # fmt: skip
    assert all("points [" in one["why"] for one in found.summary["decisions"][1:])
    labels = [row["label"] for row in found.summary["candidates"]]
    assert labels == ["PyTorch FP32", "OpenVINO FP32", "OpenVINO INT8", "OpenVINO prune > int8",
                      "OpenVINO distill keep=0.25 > int8", "OpenVINO distill keep=0.25 > qat to=int4"]  # fmt: skip
    page = found.report.read_text()
    assert "What was decided, and why" in page
    assert "distill keep=0.25 &gt; int8" in page
    assert "What was decided" in (found.folder / "report.md").read_text()


def test_again_nothing_is_done(place):
    first = done(place, "study.strategy=roadmap", "study.max_drop=0.5")
    again = done(place, "study.strategy=roadmap", "study.max_drop=0.5")
    assert again.reused
    assert again.summary == first.summary


def test_a_limit_that_nothing_keeps_leaves_what_it_was(place):
    found = done(place, "study.strategy=roadmap", "study.max_drop=0.0")
    assert all(what.startswith(("Go on", "Do not keep")) for what in said(found))
    assert "Do not keep equalize > int8" in said(found)
    assert "Do not keep equalize > int8 engine=netwright" in said(found)
    assert "Do not keep int8 sensitive=2" in said(found)
    assert "Do not keep qat to=int8" in said(found)


def test_of_few_examples_only_ranges_are_trained(place, tmp_path, monkeypatch):
    monkeypatch.setattr(roadmap, "EACH", 1000)
    words = ["study.strategy=roadmap", "study.max_drop=0.0", "study.minutes=1e-6"]
    assert f"Skip {roadmap.RANGES}" in said(done(tmp_path, *words))
    assert "Skip qat to=int8" not in said(done(tmp_path, *words))


def test_limits_that_are_met_end_the_road(place):
    found = done(place, "study.strategy=roadmap", "study.max_drop=0.5", "study.max_size=1e9", "study.max_latency=10")
    assert said(found) == ["Go on with OpenVINO", "Stop: every limit is met"]
    found = done(place, "study.strategy=roadmap", "study.max_drop=0.5", "study.max_size=50000")
    assert said(found)[1] == "Go on: a limit is not met"
    assert "of at most 50 kB" in found.summary["decisions"][1]["why"]


def test_without_time_nothing_is_trained(place, tmp_path):
    found = done(tmp_path, "study.strategy=roadmap", "study.max_drop=0.5", "study.minutes=1e-6")
    assert [what for what in said(found) if what.startswith("Skip")] == [
        "Skip prune > int8", "Skip distill keep=0.5 > int8", "Skip qat to=int4",
    ]  # fmt: skip
    assert not [row for row in found.summary["candidates"] if "prune" in row["chain"]]


NETWORKS = '["prune keep=0.6", "prune keep=0.3", "qat to=int4"]'


def test_a_search_halves_combines_and_measures_a_part(place):
    words = ["study.strategy=search", f"study.networks={NETWORKS}", 'study.finishes=["int8"]', "study.threads=[1]",
             "train.epochs=6", "study.max_drop=0.5"]  # fmt: skip
    found = done(place, *words)
    assert said(found)[0] == "Round 1: 2 of 3 networks go on"
    assert said(found)[-1].startswith("Measure ")
    measured, of = (int(word) for word in said(found)[-1].split() if word.isdigit())
    assert measured == len(found.summary["candidates"]) - 1
    assert measured <= of
    assert done(place, *words).reused
    assert json.loads((found.folder / "report.json").read_text())["strategy"] == "search"


def test_rank_before_accuracy():
    import numpy as np

    scores = np.array([(-0.9, 1.0), (-0.8, 0.5), (-0.8, 0.9), (-0.7, 0.6), (-0.9, 1.0)])
    assert search.by_rank(scores) == [0, 4, 1, 2, 3]


def test_jobs_that_share_a_network_wait_for_it():
    steps = [{"name": "prune", "keep": 0.5}, {"name": "quantize", "to": "int8"}]
    jobs = [stages.Job("r", "s", format, tuple(steps)) for format in ("onnx", "openvino")]
    waves = stages.waves(jobs)
    assert [len(wave) for wave in waves] == [1, 2, 2]
    assert waves[0] == [stages.Job("r", "s", "", tuple(steps[:1]))]
    assert waves[1] == [stages.Job("r", "s", format, tuple(steps[:1])) for format in ("onnx", "openvino")]
    assert stages.waves([]) == []


def test_every_method_that_trains_has_a_cost():
    trained = {name for name in chain.METHODS if name not in ("equalize", "quantize")}
    assert trials.COST.keys() == trained


@pytest.mark.parametrize(("strategy", "format"), [("roadmap", "program"), ("search", "onnx"), ("search", "program")])
def test_what_a_strategy_chooses_by_itself_is_left_out_where_no_format_has_it(strategy, format, tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    words = [f"study.strategy={strategy}", f'study.formats=["{format}"]']
    assert check(recipe.load(path, words, SECTIONS), tmp_path / "runs") == []
