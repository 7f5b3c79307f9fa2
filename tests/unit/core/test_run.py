"""A run is found again by its key, held by one process, and survives being cut anywhere."""

import contextlib
import json
import math
import os
import resource
import signal
import subprocess
import sys

import pytest

from netwright.core import run as run_module
from netwright.core.error import UserError
from netwright.core.run import Run, progress, state

KEY = {"train": {"epochs": 3}, "data": "ab" * 32}


def test_an_unfinished_run_is_resumed_and_a_finished_one_reused(tmp_path):
    with Run.start(tmp_path, "train", KEY) as first:
        assert (first.resumed, first.done, first.result) == (False, False, None)
    with Run.start(tmp_path, "train", KEY) as second:
        assert (second.folder, second.resumed, second.done) == (first.folder, True, False)
        assert second.finish({"accuracy": 0.9, "layers": (1, 2)}) == {"accuracy": 0.9, "layers": [1, 2]}
    with Run.start(tmp_path, "train", KEY) as third:
        assert (third.folder, third.done) == (first.folder, True)
        assert third.result == {"accuracy": 0.9, "layers": [1, 2]}


def test_another_key_or_verb_is_another_run(tmp_path):
    folders = set()
    for verb, key in (("train", KEY), ("study", KEY), ("train", {**KEY, "data": "cd" * 32})):
        with Run.start(tmp_path, verb, key) as run:
            folders.add(run.folder)
            assert not run.resumed
    assert len(folders) == 3


def test_fresh_begins_anew_only_where_one_is_done(tmp_path):
    with Run.start(tmp_path, "train", KEY) as unfinished:
        pass
    with Run.start(tmp_path, "train", KEY, fresh=True) as same:
        assert same.folder == unfinished.folder
        same.finish({"which": 1})
    with Run.start(tmp_path, "train", KEY, fresh=True) as new:
        assert new.folder != same.folder
        assert not new.done
        new.finish({"which": 2})
    with Run.start(tmp_path, "train", KEY, fresh=True) as third:
        assert third.folder not in (same.folder, new.folder)
    with Run.start(tmp_path, "train", KEY) as resumed:
        assert resumed.folder == third.folder


HOLD = """
import sys
from pathlib import Path
from netwright.core.run import Run
with Run.start(Path(sys.argv[1]), "train", {"a": 1}) as run:
    run.log(1, loss=1.0)
    print(run.folder, flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    folder = tmp_path / holder.stdout.readline().strip()
    assert state(folder)["status"] == "running"
    with pytest.raises(UserError, match="another process"):
        Run.start(tmp_path, "train", {"a": 1})
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    assert state(folder)["status"] == "unfinished"
    with Run.start(tmp_path, "train", {"a": 1}) as run:
        assert run.resumed
        assert run.metrics() == [{"step": 1, "loss": 1.0}]
        run.finish({})
    assert state(folder)["status"] == "done"


def test_metrics_come_back_and_what_is_not_finite_is_null(tmp_path):
    with Run.start(tmp_path, "train", KEY) as run:
        run.log(1, loss=0.1 + 0.2)
        run.log(2, loss=math.nan, rate=math.inf)
        assert run.metrics() == [{"step": 1, "loss": 0.1 + 0.2}, {"step": 2, "loss": None, "rate": None}]


@pytest.mark.parametrize("cut", range(1, 26))
def test_a_line_that_was_cut_takes_no_other_with_it(tmp_path, cut):
    with Run.start(tmp_path, "train", KEY) as run:
        run.log(1, loss=1.0)
        run.log(2, loss=2.0)
    path = run.folder / "metrics.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    with Run.start(tmp_path, "train", KEY) as run:
        kept = [row for row in run.metrics() if row["step"] != 1]
        run.log(3, loss=3.0)
        assert run.metrics() == [{"step": 1, "loss": 1.0}, *kept, {"step": 3, "loss": 3.0}]
    assert kept == ([{"step": 2, "loss": 2.0}] if cut == 1 else [])


def test_rewind_forgets_what_came_after(tmp_path):
    with Run.start(tmp_path, "train", KEY) as run:
        for step in range(5):
            run.log(step, loss=float(step))
        run.rewind(2)
        assert [row["step"] for row in run.metrics()] == [0, 1, 2]
        run.log(3, loss=9.0)
        assert [row["step"] for row in run.metrics()] == [0, 1, 2, 3]


def test_drafts_that_a_kill_left_are_swept(tmp_path):
    with Run.start(tmp_path, "train", KEY) as run:
        (run.folder / ".run.json.123.draft").write_text("half")
        (run.folder / "checkpoints" / ".last-abc.draft").mkdir(parents=True)
        (run.folder / "checkpoints" / ".last-abc.draft" / "w").write_text("half")
    with Run.start(tmp_path, "train", KEY):
        assert not list(run.folder.rglob("*draft*"))


class Mirror:
    def __init__(self):
        self.seen = []

    def log(self, step, metrics):
        self.seen.append((step, dict(metrics)))

    def close(self, status):
        self.seen.append(status)


@pytest.mark.parametrize(
    ("fault", "status"), [(None, "FINISHED"), (ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
def test_mirrors_see_what_is_finite_and_how_it_ended(tmp_path, fault, status):
    mirror = Mirror()
    run = Run.start(tmp_path, "train", KEY)
    run.mirror(mirror)
    with pytest.raises(fault) if fault else contextlib.nullcontext(), run:
        run.log(1, loss=1.0, rate=math.nan)
        if fault:
            raise fault
    assert mirror.seen == [(1, {"loss": 1.0}), status]


def test_notes_go_to_the_person_and_the_log(tmp_path, capsys):
    with Run.start(tmp_path, "train", KEY) as run:
        run.note("the loss is [bold] no number")
    assert "the loss is [bold] no number" in capsys.readouterr().err
    assert (run.folder / "log.txt").read_text().endswith("the loss is [bold] no number\n")


def test_the_environment_names_versions_and_no_one(tmp_path):
    with Run.start(tmp_path, "train", KEY) as run:
        pass
    told = json.loads((run.folder / "environment.json").read_text())
    assert told["packages"]["numpy"]
    assert os.uname().nodename not in json.dumps({k: v for k, v in told.items() if k != "command"})


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="part of its path is a file"):
        Run.start(tmp_path / "file", "train", KEY)


def test_a_full_disk_is_told(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Run.start(tmp_path, "train", KEY) as run:
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
        try:
            with pytest.raises(UserError, match="larger than this process may write"):
                run.log(0, **{f"loss_{at}": 1.0 for at in range(9)})
            with pytest.raises(UserError, match="larger than this process may write"):
                run.note("x" * 100)
            with pytest.raises(UserError, match="larger than this process may write"):
                run.finish({"a": "x" * 100})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert not run.done
        assert run.metrics() == []


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"verb": "train", "key": "k"}'])
def test_a_folder_that_is_no_run_is_refused(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError):
        state(tmp_path)


def test_progress_without_a_terminal_is_a_line_now_and_then(capsys, monkeypatch):
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr(run_module.time, "monotonic", lambda: float(next(clock)))
    with progress("fetching", 10) as advance:
        for _ in range(10):
            advance(note="fast")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "Fetching: 3/10, 28 s left fast",
        "Fetching: 6/10, 16 s left fast",
        "Fetching: 9/10, 4 s left fast",
    ]


def test_progress_on_a_terminal_draws_a_bar_also_inside_another(monkeypatch):
    import io

    from rich.console import Console

    screen = io.StringIO()
    monkeypatch.setattr(run_module, "console", Console(file=screen, force_terminal=True, width=100))
    with progress("outer", 2) as outer:
        with progress("inner", 3, done=1) as inner:
            inner(2, note="almost")
        outer()
    text = screen.getvalue()
    assert "Inner" in text
    assert "3/3" in text
    assert "1/2" in text


INTERRUPTED = """
import os, signal
from netwright.core.run import interrupted_later
try:
    with interrupted_later():
        os.kill(os.getpid(), signal.SIGINT)
        print("what was begun")
    print("not reached")
except KeyboardInterrupt:
    print("then the interrupt", signal.getsignal(signal.SIGINT) is signal.default_int_handler)
with interrupted_later():
    print("nothing else")
"""


def test_an_interrupt_waits_where_it_would_be_lost():
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == ["what was begun", "then the interrupt True", "nothing else"]
