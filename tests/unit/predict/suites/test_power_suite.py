"""Rows of measured power: what is read and refused, and that physics moves the right way."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netwright.hardware.device import Device
from netwright.predict.learning.table import Columns, Described, Specs
from netwright.predict.suites import power

CARD = Device(
    name="card",
    manufacturer="Maker",
    kind="gpu",
    rates={"bf16": 1e15},
    bandwidth=3.35e12,
    memory=8.6e10,
    link=4.5e11,
    power=700.0,
)
LLM: dict[str, Any] = {
    "gpu_model": "card",
    "model_id": "Qwen/Qwen3-14B",
    "task": "gpqa",
    "num_gpus": 2,
    "avg_power_watts": 900.0,
    "avg_batch_size": 32.0,
    "avg_output_len": 1000.0,
    "median_itl_ms": 20.0,
    "p95_itl_ms": 22.0,
    "output_throughput_tokens_per_sec": 1500.0,
    "weight_precision": "bfloat16",
    "energy_per_token_joules": 0.6,
    "max_num_seqs": 32,
}
IMAGE: dict[str, Any] = {
    "gpu_model": "card",
    "model_id": "black-forest-labs/FLUX.1-dev",
    "task": "text-to-image",
    "num_gpus": 1,
    "avg_power_watts": 690.0,
    "batch_size": 4,
    "total_params_billions": 12.0,
    "inference_steps": 28,
    "image_height": 1024,
    "image_width": 1024,
    "batch_latency_s": 20.0,
}


def folder(path: Path, *rows: dict[str, Any]) -> Path:
    (path / "mlenergy").mkdir(parents=True, exist_ok=True)
    with (path / "mlenergy" / "card.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, sorted({key for row in rows for key in row}))
        writer.writeheader()
        writer.writerows(rows)
    return path


def told(columns: Columns, card: Device = CARD) -> Described:
    return power.describe(columns, Specs.of(columns["device"], {"card": card}))


def test_power_is_that_of_one_device(tmp_path: Path) -> None:
    columns, refused = power.read(folder(tmp_path, LLM, IMAGE))
    assert refused == {}
    assert columns["value"].tolist() == [450.0, 690.0]
    assert columns["kind"].tolist() == ["llm", "diffusion"]
    assert columns["tokens"][1] == 4096


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"avg_power_watts": 0}, "no measured power"),
        ({"avg_power_watts": ""}, "no measured power"),
        ({"model_id": "x/secret"}, "unknown model x/secret"),
        ({"avg_batch_size": ""}, "neither the load of a language model nor of a diffusion model"),
    ],
)
def test_broken_rows_are_counted(change: dict[str, Any], why: str, tmp_path: Path) -> None:
    columns, refused = power.read(folder(tmp_path, LLM, {**LLM, **change}))
    assert len(columns["value"]) == 1
    assert refused == {why: 1}


def test_energy_columns_are_not_read(tmp_path: Path) -> None:
    one, _ = power.read(folder(tmp_path, LLM))
    other, _ = power.read(folder(tmp_path, {**LLM, "energy_per_token_joules": 99.0}))
    assert np.array_equal(told(one).features, told(other).features, equal_nan=True)


def test_power_lies_below_the_design_power_and_grows_with_it(tmp_path: Path) -> None:
    columns, _ = power.read(folder(tmp_path, LLM, IMAGE))
    watts = np.exp(told(columns).base)
    assert (watts > 0.2 * 700).all()
    assert (watts <= 700).all()
    larger = Device(**{**vars(CARD), "power": 1000.0})
    assert np.exp(told(columns, larger).base) == pytest.approx(watts * 1000 / 700)


def test_a_fuller_batch_in_the_same_time_takes_more(tmp_path: Path) -> None:
    more = {**LLM, "avg_batch_size": 128.0, "output_throughput_tokens_per_sec": 6000.0}
    columns, _ = power.read(folder(tmp_path, LLM, more))
    watts = np.exp(told(columns).base)
    assert watts[1] > watts[0]


def test_without_measured_times_the_physics_stands_in(tmp_path: Path) -> None:
    missing = dict.fromkeys(("median_itl_ms", "p95_itl_ms", "output_throughput_tokens_per_sec", "avg_output_len"), "")
    columns, _ = power.read(folder(tmp_path, {**LLM, **missing}, {**IMAGE, "batch_latency_s": ""}))
    found = told(columns)
    assert not found.refused.any()
    assert np.isfinite(found.base).all()


def test_a_device_without_design_power_is_refused(tmp_path: Path) -> None:
    columns, _ = power.read(folder(tmp_path, LLM))
    found = told(columns, Device(**{**vars(CARD), "power": None}))
    assert found.refused.all()
    assert "design power" in found.why[0]


def test_devices_that_share_steps_wait_for_each_other(tmp_path: Path) -> None:
    eight = {**IMAGE, "num_gpus": 8, "batch_size": 32}
    brief = {"batch_latency_s": 2.0}
    columns, _ = power.read(folder(tmp_path, IMAGE, eight, {**IMAGE, **brief}, {**eight, **brief}))
    one, many, one_brief, many_brief = np.exp(told(columns).base)
    assert many < one
    assert many_brief < many
    assert one_brief == pytest.approx(one)


def test_a_brief_step_of_a_language_model_waits_for_its_host(tmp_path: Path) -> None:
    columns, _ = power.read(folder(tmp_path, LLM))
    terms, _ = power._language(columns, Specs.of(columns["device"], {"card": CARD}))
    assert terms["pauses"] == pytest.approx(0.05)  # of 20 ms
    assert terms["pauses together"] == pytest.approx(0.05)  # two devices
    assert power.LANGUAGE["pauses"] < 0
    assert set(terms) == set(power.LANGUAGE)


def served(count: int) -> list[dict[str, Any]]:
    """Rows of three models under random loads."""
    rng = np.random.default_rng(0)
    return [
        {
            **LLM,
            "model_id": str(rng.choice(["Qwen/Qwen3-14B", "openai/gpt-oss-20b", "Qwen/Qwen3-30B-A3B"])),
            "num_gpus": int(rng.choice([1, 2, 4])),
            "avg_batch_size": float(rng.uniform(1, 256)),
            "median_itl_ms": float(rng.uniform(10, 60)),
            "output_throughput_tokens_per_sec": float(rng.uniform(100, 4000)),
            "weight_precision": str(rng.choice(["bfloat16", "fp8"])),
        }
        for _ in range(count)
    ]


def drawn(columns: Columns) -> Columns:
    """The rows inside of the bounds of a share, with the power that the suite's own shares give them."""
    made = told(columns).base
    kept = (made > np.log(power.LEAST * 700) + 0.01) & (made < np.log(700) - 0.01)
    return {**{name: values[kept] for name, values in columns.items()}, "value": np.exp(made[kept])}


def test_shares_are_found_again_in_rows_made_of_them(tmp_path: Path) -> None:
    columns = drawn(power.read(folder(tmp_path, *served(150)))[0])
    specs = Specs.of(columns["device"], {"card": CARD})
    found = power.fit_constants(columns, specs)
    assert list(found) == ["llm"]
    assert power.describe(columns, specs, found).base == pytest.approx(np.log(columns["value"]), abs=0.01)
    assert power.fit_constants({name: values[:20] for name, values in columns.items()}, specs.take(np.arange(20))) == {}


def test_a_model_of_its_own_level_does_not_bend_the_shares(tmp_path: Path) -> None:
    columns = drawn(power.read(folder(tmp_path, *served(150)))[0])
    models = columns["family"].astype(str)
    level = {model: 70.0 * at for at, model in enumerate(np.unique(models), start=-1)}
    columns["value"] = columns["value"] + np.array([level[model] for model in models])
    specs = Specs.of(columns["device"], {"card": CARD})
    off = columns["value"] - np.exp(power.describe(columns, specs, power.fit_constants(columns, specs)).base)
    for model in level:
        assert np.std(off[models == model]) < 5
