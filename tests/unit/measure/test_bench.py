"""Measuring real files, briefly: what is asserted is what must hold on a busy machine too."""

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from netwright import export
from netwright.compress import quantize
from netwright.core import workload
from netwright.core.error import UserError
from netwright.core.measurement import from_plain
from netwright.core.recipe import plain
from netwright.measure import bench, memory


@pytest.fixture(scope="module")
def candidates(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("candidates")
    task, source = tiny["image"]
    onnx = export.write(source, "onnx", task, folder / "onnx", n=20)
    return [onnx, quantize.apply(onnx, task, quantize.Config(samples=20, examples=20), folder / "int8"), onnx]


@pytest.fixture(scope="module")
def measured(candidates, tiny):
    config = bench.Config(batch=(1, 8), threads=1, seconds=0.1, rounds=6)
    return bench.bench(candidates, tiny["image"].task, config)


def test_every_candidate_is_measured_in_every_way(measured, candidates):
    kinds = {"latency", "latency_p90", "latency_p99", "throughput", "peak_memory"}
    for place, artifact in enumerate(candidates):
        own = [one for one in measured if one.conditions["place"] == place]
        assert {one.artifact for one in own} == {artifact.digest}
        assert {one.device for one in own} == {"this-machine"}
        for batch in (1, 8):
            assert {one.quantity for one in own if one.conditions.get("batch") == batch} >= kinds
        size = next(one for one in own if one.quantity == "size")
        assert size.value == artifact.files["model.onnx"].size
        assert {one.conditions["executed"] for one in own} == {"int8" if place == 1 else "fp32"}


def test_a_measurement_says_what_one_needs_to_measure_again(measured, candidates):
    latency = next(one for one in measured if one.quantity == "latency")
    about = latency.conditions
    assert (about["threads"], about["batch"], about["format"], about["precision"]) == (1, 1, "onnx", "fp32")
    assert about["calls"] >= 6
    assert latency.n == 6 == len(about["round_medians"])
    assert about["load_before"] >= 0 <= about["load_after"]
    assert about["cpus_busy"] >= 0
    assert latency.workload == workload.read(candidates[0].folder).digest
    assert 0 < latency.low <= latency.value <= latency.high
    assert from_plain(json.loads(json.dumps(plain(latency)))) == latency


def test_p50_p90_and_p99_stand_in_order_and_a_batch_is_worth_its_while(measured):
    own = {one.quantity: one.value for one in measured if one.conditions.get("batch") == 8}
    assert own["latency"] <= own["latency_p90"] <= own["latency_p99"]
    assert own["throughput"] <= 8 / min(
        one.conditions["round_medians"][0] for one in measured if one.quantity == "latency"
    )


def test_memory_is_that_of_a_fresh_process(measured):
    peaks = [one for one in measured if one.quantity == "peak_memory"]
    for one in peaks:
        assert 30e6 < one.conditions["after_imports"] < one.value < 200e6  # this process holds torch: 300 MB and more
        assert one.n == bench.PROCESSES


def test_the_process_that_measures_memory_does_not_import_torch(candidates, tmp_path):
    np.savez(tmp_path / "inputs.npz", **{"000000001/image": np.zeros((1, 1, 8, 8), np.float32)})
    code = (
        "import sys, pathlib; from netwright.measure import memory;"
        "memory._measure(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), 1);"
        "sys.exit('torch' in sys.modules or 'nncf' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(candidates[0].folder), str(tmp_path / "inputs.npz")]
    assert subprocess.run(command, check=False).returncode == 0


def test_high_water_is_of_this_program_not_of_the_one_it_was_started_from():
    held = np.ones(30_000_000)  # 240 MB here, which ru_maxrss would hand on
    code = "from netwright.measure.memory import high_water; print(high_water())"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 5e6 < int(answer.stdout) < 200e6 < memory.high_water()
    assert held.sum() == 30_000_000


def test_a_process_that_dies_is_reported(candidates, tiny, tmp_path):
    broken = dataclasses.replace(candidates[0], folder=tmp_path)
    inputs = {1: {"image": np.zeros((1, 1, 8, 8), np.float32)}}
    with pytest.raises(UserError, match="a fresh process could not run it"):
        memory.peak(broken, inputs, 1)


def test_latencies_of_one_session_are_compared_in_pairs(measured):
    latencies = [one for one in measured if one.quantity == "latency" and one.conditions["batch"] == 1]
    same = bench.compare(latencies[0], latencies[0])
    assert (same.low, same.value, same.high) == (1, 1, 1)
    twice = bench.compare(latencies[0], latencies[2])
    assert 0.3 < twice.value < 3
    other = dataclasses.replace(latencies[1], conditions={**latencies[1].conditions, "session": "another"})
    with pytest.raises(ValueError, match="one interleaved session"):
        bench.compare(latencies[0], other)
    with pytest.raises(ValueError, match="one interleaved session"):
        bench.compare(latencies[0], next(one for one in measured if one.quantity == "throughput"))


def test_energy_is_measured_where_the_machine_tells(candidates, tiny, monkeypatch):
    class Energy:
        joules = 0.5

        def __enter__(self):
            return self

        def __exit__(self, *fault):
            pass

    monkeypatch.setattr(bench, "Energy", Energy)
    monkeypatch.setattr(memory, "peak", lambda artifact, batches, threads: {"import": 1, "4": 2})
    config = bench.Config(batch=(4,), threads=1, seconds=0.06, rounds=6)
    found = bench.bench(candidates[:1], tiny["image"].task, config)
    energy = next(one for one in found if one.quantity == "energy")
    assert 0 < energy.value <= 0.5 / 4 / 2
    assert "idle included" in energy.conditions["counter"]


def test_inputs_differ_from_call_to_call_and_not_from_run_to_run(tiny):
    task = tiny["text"].task
    pool = bench.draw(task, 4, seed=0)
    assert len({one["ids"].tobytes() for one in pool}) == len(pool)
    again = bench.draw(task, 4, seed=0)
    assert all(np.array_equal(a["ids"], b["ids"]) for a, b in zip(pool, again, strict=True))
    assert bench.draw(task, 500, seed=0)[0]["ids"].shape[0] == 500  # more than there are examples


def test_nothing_to_measure_is_refused(tiny, candidates):
    with pytest.raises(UserError, match="one artifact"):
        bench.bench([], tiny["image"].task)
    with pytest.raises(UserError, match="one artifact"):
        bench.bench(candidates, tiny["image"].task, bench.Config(batch=()))


def test_threads_are_those_asked_for_or_all_that_may_be_used():
    assert bench.threads_of(bench.Config(threads=3)) == 3
    assert 1 <= bench.threads_of(bench.Config()) <= (os.cpu_count() or 1)
