"""Each stage of a study is done once a key, and again when what determines it has changed."""

import dataclasses
import shutil

import numpy as np
import pytest

from netwright import export
from netwright.compress import quantize
from netwright.core.error import UserError
from netwright.core.measurement import exact
from netwright.hardware import detect
from netwright.measure import bench, quality
from netwright.study import stages


@pytest.fixture
def counted(monkeypatch):
    """How often each kind of work was really done."""
    done = {"write": 0, "apply": 0, "quality": 0, "bench": 0}

    def count(module, name):
        real = getattr(module, name)

        def wrapped(*args, **kwargs):
            done[name] += 1
            return real(*args, **kwargs)

        monkeypatch.setattr(module, name, wrapped)

    count(export, "write")
    count(quantize, "apply")
    count(quality, "quality")

    def benched(sources, task, config, run, threads):
        done["bench"] += 1
        return [exact("size", 1.0, artifact=source.digest, conditions={"n": done["bench"]}) for source in sources]

    monkeypatch.setattr(bench, "bench", benched)
    return done


def test_an_export_is_done_once(tiny, tmp_path, counted):
    _, source = tiny["image"]
    first = stages.exported(tmp_path, source, "torch")
    assert stages.exported(tmp_path, source, "torch") == first
    assert counted["write"] == 1
    assert first.parents == (source.digest,)
    assert stages.exported(tmp_path, tiny["text"].artifact, "torch") != first
    assert counted["write"] == 2


def test_a_compression_is_done_once_a_setting(tiny, tmp_path, counted):
    _, source = tiny["image"]
    graph = stages.exported(tmp_path, source, "onnx")
    config = quantize.Config(samples=10, examples=20)
    first = stages.compressed(tmp_path, graph, config)
    assert stages.compressed(tmp_path, graph, config) == first
    assert counted["apply"] == 1
    stages.compressed(tmp_path, graph, dataclasses.replace(config, seed=1))
    assert counted["apply"] == 2


def test_an_evaluation_is_found_again_as_it_was(tiny, tmp_path, counted, monkeypatch):
    task, source = tiny["image"]
    seen, accuracy = stages.evaluated(tmp_path, source, task, 1)
    again, same = stages.evaluated(tmp_path, source, task, 1)
    assert counted["quality"] == 1
    assert np.array_equal(again.correct_N, seen.correct_N)
    assert np.array_equal(again.loss_N, seen.loss_N)
    assert (again.correct_N.dtype, same) == (bool, accuracy)
    assert accuracy.n == task.size("test")
    stages.evaluated(tmp_path, source, task, 2)
    assert counted["quality"] == 2
    monkeypatch.setattr(detect, "fingerprint", lambda: "another machine")
    stages.evaluated(tmp_path, source, task, 1)
    assert counted["quality"] == 3


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:40])])
def test_an_evaluation_that_was_lost_is_done_again(damage, tiny, tmp_path, counted):
    task, source = tiny["image"]
    seen, _ = stages.evaluated(tmp_path, source, task, 1)
    (path,) = tmp_path.glob("*/evaluation.safetensors")
    damage(path)
    again, _ = stages.evaluated(tmp_path, source, task, 1)
    assert counted["quality"] == 2
    assert np.array_equal(again.correct_N, seen.correct_N)
    stages.evaluated(tmp_path, source, task, 1)
    assert counted["quality"] == 2


def test_a_bench_is_done_once_a_set_of_candidates_and_settings(tiny, tmp_path, counted):
    _, source = tiny["image"]
    other = stages.exported(tmp_path, source, "torch")
    config = bench.Config(batch=(1,), threads=1)
    first = stages.benched(tmp_path, [source, other], config)
    assert stages.benched(tmp_path, [source, other], config) == first
    assert counted["bench"] == 1
    assert [one.artifact for one in first[1]] == [source.digest, other.digest]
    stages.benched(tmp_path, [source], config)
    stages.benched(tmp_path, [source, other], dataclasses.replace(config, seconds=1.0))
    assert counted["bench"] == 3


def test_a_stage_that_fails_is_done_again(tiny, tmp_path, counted, monkeypatch):
    task, source = tiny["image"]
    real = quality.quality
    with monkeypatch.context() as broken:
        broken.setattr(quality, "quality", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            stages.evaluated(tmp_path, source, task, 1)
    assert quality.quality is real
    seen, _ = stages.evaluated(tmp_path, source, task, 1)
    assert counted["quality"] == 1
    assert len(seen.correct_N) == task.size("test")


def test_an_artifact_that_was_removed_is_made_again_and_a_damaged_one_says_how(tiny, tmp_path, counted):
    _, source = tiny["image"]
    first = stages.exported(tmp_path, source, "torch")
    shutil.rmtree(first.folder)
    assert stages.exported(tmp_path, source, "torch").digest == first.digest
    assert counted["write"] == 2
    first.path("weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(UserError, match="has 10 bytes, the manifest says") as refusal:
        stages.exported(tmp_path, source, "torch")
    assert refusal.value.next.startswith(f"rm -r {first.folder}")
