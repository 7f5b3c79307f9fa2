"""What is chosen keeps its perplexity and is the fastest that does; what was measured is found again."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.chat import candidate, choice, trial
from netwright.chat.candidate import Config, Row
from netwright.chat.engine import Engine
from netwright.chat.turn import Piece, Statistics
from netwright.core.error import UserError
from netwright.core.measurement import exact
from netwright.data.language import byte_tokenizer
from small_language import LLAMA, language_artifact

ROWS = st.lists(
    st.builds(
        Row,
        format=st.sampled_from(["torch", "gguf"]),
        stored=st.sampled_from(["", "Q8_0", "Q4_0", "int4-weights"]),
        computed=st.none(),
        threads=st.integers(1, 4),
        folder=st.just("x"),
        loss=st.floats(-0.01, 0.1),
        decode=st.floats(0, 100),
        fault=st.sampled_from(["", "", "", "broken"]),
    ),
    min_size=1, max_size=8,
)  # fmt: skip


@given(ROWS)
def test_what_is_chosen_is_the_fastest_that_keeps_its_perplexity(rows):
    config = Config()
    fine = [row for row in rows if not row.fault and row.decode > 0 and row.loss <= (0.05 if row.four_bits else 0.01)]
    if not fine:
        with pytest.raises(UserError, match="no candidate"):
            candidate.weighed(rows, config)
        return
    at, why = candidate.weighed(rows, config)
    row = rows[at]
    assert row in fine
    assert row.name in why
    whole = max((one.decode for one in fine if not one.four_bits), default=0.0)
    four = max((one.decode for one in fine if one.four_bits), default=0.0)
    if row.four_bits:
        assert row.decode == four >= 1.05 * whole
    else:
        assert row.decode >= 0.98 * whole
        assert four < 1.05 * whole


class Steady:
    """A generator of a known speed that remembers its prompts."""

    tokenizer, longest, precision = byte_tokenizer(), 200, "fp32"

    def __init__(self, speed, prompts):
        self.speed, self.prompts = speed, prompts

    def stream(self, prompt, sampling=None, cancelled=None):
        self.prompts.append(tuple(prompt))
        seconds = 1e-9 + 3 / self.speed
        yield Piece("", finish="length", statistics=Statistics(len(prompt), 0, 0, 4, 1e-9, seconds, self.speed))


def test_four_bits_are_judged_by_the_upper_end_of_their_interval():
    row = Row(format="gguf", stored="Q4_0", computed=None, threads=1, folder="x", loss=0.01, loss_high=0.04)
    assert candidate.passes(row, Config())
    assert not candidate.passes(dataclasses.replace(row, loss_high=0.06), Config())
    assert candidate.passes(dataclasses.replace(row, stored="Q8_0", loss_high=0.06), Config())


def test_speeds_are_measured_with_prompts_that_differ_and_slow_ones_leave():
    prompts = []
    speeds = [100.0, 90.0, 10.0, 160.0, 64.0, 0.0]
    row = Row(format="torch", stored="", computed=None, threads=1, folder="x")
    rows = [row, row, row, dataclasses.replace(row, folder="bad"), row, dataclasses.replace(row, fault="broken")]
    opened, judged = [], []

    def open_row(at):
        opened.append(at)
        return Steady(speeds[at], prompts)

    def judge(row):
        judged.append(row)
        return dataclasses.replace(row, loss=0.5 if row.folder == "bad" else 0.0)

    found = trial.timed(rows, open_row, 257, Config(rounds=4, seconds=0), judge)
    assert [row.decode for row in found] == pytest.approx(speeds)
    assert [opened.count(at) for at in range(6)] == [4, 4, 1, 2, 2, 0]
    assert [row.slow for row in found] == [False, False, True, False, True, False]
    assert [row.folder for row in judged] == ["bad", "x", "x"], "from the fastest down, and not the slow ones"
    assert candidate.weighed(found, Config())[0] == 0
    assert len(set(prompts)) == len(prompts)
    assert all(len(prompt) == 128 for prompt in prompts)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(st.floats(1, 1000), st.booleans()), min_size=1, max_size=8), st.integers(2, 4))
def test_judging_only_the_fast_ones_chooses_as_judging_all_would(candidates, rounds):
    row = Row(format="torch", stored="", computed=None, threads=1, folder="x")
    rows = [dataclasses.replace(row, folder=str(at)) for at in range(len(candidates))]
    judge = lambda row: dataclasses.replace(row, loss=0.0 if candidates[int(row.folder)][1] else 0.5)  # noqa: E731
    open_row = lambda at: Steady(candidates[at][0], [])  # noqa: E731
    most = max(speed for speed, _ in candidates)
    fine = [speed for speed, good in candidates if good and speed >= 0.4 * most]
    found = trial.timed(rows, open_row, 257, Config(rounds=rounds, seconds=0), judge)
    assert not any(one.slow and candidate.passes(one, Config()) for one in found)
    if fine:
        assert found[candidate.weighed(found, Config())[0]].decode >= 0.98 * max(fine)
    else:
        with pytest.raises(UserError, match="no candidate"):
            candidate.weighed(found, Config())


def test_int4_for_openvino_is_made_only_where_its_bytes_could_make_it_fastest():
    best = Row(format="gguf", stored="Q8_0", computed=None, threads=1, folder="x", decode=100.0)
    eight = dataclasses.replace(best, format="openvino", stored="int8-weights")
    assert trial.could_win([best, eight], Config())
    slower = dataclasses.replace(eight, decode=80.0)
    assert not trial.could_win([best, slower], Config())
    assert not trial.could_win([best], Config()), "nothing is known of OpenVINO here"
    assert trial.could_win([dataclasses.replace(best, loss=0.5), slower], Config())


def test_a_candidate_that_fails_while_it_is_timed_is_left_out():
    row = Row(format="torch", stored="", computed=None, threads=1, folder="x")

    def open_row(at):
        if at:
            raise UserError("engine", "x", "no", "none")
        return Steady(5.0, [])

    found = trial.timed([row, row], open_row, 257, Config(rounds=2, seconds=0))
    assert [bool(one.fault) for one in found] == [False, True]
    assert candidate.weighed(found, Config())[0] == 0


@pytest.mark.parametrize(("eight", "made"), [(100.0, True), (80.0, False)])
def test_int4_for_openvino_is_timed_beside_the_best_of_the_others(tmp_path, monkeypatch, eight, made):
    artifact = language_artifact(tmp_path / "a", dataclasses.replace(LLAMA, vocabulary=257))
    kinds = {("gguf", "Q8_0"): 100.0, ("openvino", "int8-weights"): eight, trial.LATER: 120.0}
    rounds = []

    def all_made(artifact, runs, config, wanted, useless):
        for format, stored in kinds:
            if wanted(format, stored):
                yield Row(format=format, stored=stored, computed=None, threads=1, folder=f"{format}-{stored}")

    def timed(rows, *_):
        rounds.append([row.folder for row in rows])
        return [dataclasses.replace(row, decode=kinds[row.format, row.stored]) for row in rows]

    monkeypatch.setattr(trial, "_made", all_made)
    monkeypatch.setattr(trial, "timed", timed)
    rows = trial.measured(artifact, tmp_path, Config(threads=(1,)))
    first = ["gguf-Q8_0", "openvino-int8-weights"]
    assert rounds == [first, ["gguf-Q8_0", "openvino-int4-weights"]] if made else [first]
    assert sorted(row.folder for row in rows) == sorted([*first, *(["openvino-int4-weights"] if made else [])])
    assert rows[candidate.weighed(rows, Config())[0]].four_bits == made


def test_whole_weights_that_memory_cannot_bring_often_enough_are_not_measured(tmp_path, monkeypatch):
    artifact = language_artifact(tmp_path / "a", dataclasses.replace(LLAMA, vocabulary=257))
    megabytes = trial.deployed(artifact) / 1e6
    monkeypatch.setattr(trial.detect, "largest_cache", lambda: 1)
    rate = exact("bandwidth", 1e6 * megabytes)
    monkeypatch.setattr(trial.probe, "cached", lambda: [rate])
    reason = trial._too_large(artifact, 100.0)
    assert "read 1 times a second" in reason("", "fp32")
    assert reason("int8-weights", "int8") == "", "of these it is not known"
    assert trial._too_large(artifact, 1.0)("", "fp32") == "", "a tenth more than was measured may be"
    assert trial._too_large(artifact, 1.2)("", "fp32")
    assert not trial._too_large(artifact, 1.2)("", "bf16"), "half the bytes"
    assert not trial._too_large(artifact, 0.0)("", "fp32"), "nothing passed before"
    monkeypatch.setattr(trial.detect, "largest_cache", lambda: 2**40)
    assert not reason("", "fp32"), "all of it fits into the cache"


def test_what_cannot_win_is_not_made(tmp_path, monkeypatch):
    artifact = language_artifact(tmp_path / "a", dataclasses.replace(LLAMA, vocabulary=257))
    monkeypatch.setattr(trial, "_written", lambda *_: pytest.fail("made"))
    config = Config(formats=("torch", "openvino"), threads=(1,))
    rows = list(trial._made(artifact, tmp_path, config, lambda _, stored: not stored, lambda *_: "too slow"))
    assert {row.fault for row in rows} == {"too slow"}
    assert {row.format for row in rows} == {"torch", "openvino"}


@pytest.mark.parametrize(("seconds", "replies"), [(0, 2), (0.1, 5)])
def test_replies_are_repeated_until_they_can_be_timed(seconds, replies):
    prompts = []
    generator = np.random.default_rng(0)
    decode, *_ = trial._speed(Steady(100.0, prompts), generator, 257, Config(seconds=seconds))
    assert decode == pytest.approx(100)
    assert len(prompts) == len(set(prompts)) == replies, "the first one warms up"


def test_a_turn_counts_and_not_decoding_alone():
    config = Config(prompt=128, answer=256)
    decodes = Row(format="gguf", stored="Q8_0", computed=None, threads=2, folder="x", decode=57.0, prefill=153.0)
    reads = dataclasses.replace(decodes, format="openvino", decode=54.0, prefill=1631.0)
    assert candidate.weighed([decodes, reads], config)[0] == 1
    assert candidate.weighed([decodes, reads], dataclasses.replace(config, prompt=1))[0] == 0
    assert candidate.pace(50.0, 100.0, config) == pytest.approx(256 / (128 / 100 + 256 / 50))
    assert candidate.pace(0.0, 100.0, config) == 0


def test_those_that_fall_behind_leave_before_the_last_rounds():
    speeds, opened = [100.0, 95.0, 85.0, 75.0], []
    row = Row(format="torch", stored="", computed=None, threads=1, folder="x")

    def open_row(at):
        opened.append(at)
        return Steady(speeds[at], [])

    trial.timed([row] * 4, open_row, 257, Config(rounds=7, seconds=0))
    assert [opened.count(at) for at in range(4)] == [7, 7, 5, 3]


@pytest.mark.parametrize(("most", "counts"), [(1, (1,)), (2, (1, 2)), (6, (1, 2, 4, 6)), (8, (1, 2, 4, 8))])
def test_counts_of_threads(most, counts):
    assert trial.thread_counts(most) == counts


def test_a_choice_is_measured_once_and_opens(tmp_path, monkeypatch):
    artifact = language_artifact(tmp_path / "a", dataclasses.replace(LLAMA, vocabulary=257))
    texts = [([1, 2, 3], np.array([2, 3, 4])), ([5, 6], np.array([6, -100]))]
    monkeypatch.setattr(trial, "held_out", lambda artifact, most: texts)
    config = Config(rounds=2, reply=4, prompt=8, threads=(1,), formats=("torch",), loss=0.5)
    assert choice.known(artifact, tmp_path / "runs", config) is None
    found = choice.choose(artifact, tmp_path / "runs", config)
    assert [row.computed for row in found.rows] == ["fp32", "bf16"]
    assert found.rows[0].loss == pytest.approx(0, abs=1e-6)
    monkeypatch.setattr(choice, "measured", lambda *args: pytest.fail("measured again"))
    assert choice.choose(artifact, tmp_path / "runs", config) == found
    assert choice.known(artifact, tmp_path / "runs", config) == found
    assert isinstance(found.open(), Engine)
    assert choice.table(found, config).renderables[0].row_count == 2


def test_held_out_texts_are_no_more_than_asked(tiny_language):
    texts = trial.held_out(tiny_language, 100)
    assert 0 < sum(len(ids) for ids, _ in texts) <= 100
    assert all(len(ids) == len(labels) for ids, labels in texts)


@pytest.fixture
def tiny_language(tmp_path):
    from netwright.data import language

    artifact = language_artifact(tmp_path / "a", dataclasses.replace(LLAMA, vocabulary=257))
    task = language.open(language.Config(max_tokens=128))
    return dataclasses.replace(artifact, task={**artifact.task, "max_tokens": 128, "digest": task.digest})
