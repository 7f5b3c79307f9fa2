"""The journal of decisions: no text unless asked for, bounded files, readable after a kill, one key for all."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest

from netwright.chat.safety.journal import Config, Journal
from netwright.core.error import UserError

ROW = {"side": "reply", "filter": "words", "action": "mask", "kind": "mild", "score": 0.98765}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines() if line]


def test_a_decision_is_a_line_without_the_text(tmp_path):
    with Journal(Config(file="sub/j.jsonl"), tmp_path, clock=lambda: 12.3456) as journal:
        journal.write(**ROW, text="a very secret thing \ud800")
    path = tmp_path / "sub" / "j.jsonl"
    assert "secret" not in path.read_text()
    (row,) = lines(path)
    with Journal(Config(file="sub/j.jsonl"), tmp_path) as again:
        assert row.pop("digest") == again.digest("a very secret thing \ud800")
    assert row == {"time": 12.346, **ROW, "score": 0.9877, "characters": 21}
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "sub/j.jsonl.key").stat().st_mode) == 0o600


def test_digests_are_keyed(tmp_path):
    with Journal(Config(file="a"), tmp_path) as first, Journal(Config(file="b"), tmp_path) as other:
        assert first.digest("x") != other.digest("x")
        assert first.digest("x") != first.digest("y")
    assert (tmp_path / "a.key").read_bytes() != (tmp_path / "b.key").read_bytes()


def test_the_text_is_kept_where_the_owner_says_so(tmp_path):
    with Journal(Config(file="j", text=True), tmp_path) as journal:
        journal.write(**ROW, text="line\nbreak")
    assert lines(tmp_path / "j")[0]["text"] == "line\nbreak"


def test_files_turn_and_are_bounded(tmp_path):
    with Journal(Config(file="j", size=10_000, keep=2), tmp_path) as journal:
        for count in range(400):
            journal.write(**{**ROW, "kind": str(count)}, text="x")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["j", "j.1", "j.2", "j.key"]
    assert all((tmp_path / name).stat().st_size <= 10_000 for name in names)
    kept = [int(row["kind"]) for name in ("j.2", "j.1", "j") for row in lines(tmp_path / name)]
    assert kept == list(range(kept[0], 400))
    with Journal(Config(file="j", size=10_000, keep=0), tmp_path) as journal:
        for _ in range(200):
            journal.write(**ROW, text="x")
    assert (tmp_path / "j").stat().st_size <= 10_000


def test_many_threads_write_whole_lines(tmp_path):
    with Journal(Config(file="j", size=20_000, keep=100), tmp_path) as journal:
        threads = [
            threading.Thread(
                target=lambda n=n: [journal.write(**{**ROW, "kind": f"{n}-{at}"}, text="x") for at in range(50)]
            )
            for n in range(8)
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    kinds = [row["kind"] for path in tmp_path.glob("j*") if path.name != "j.key" for row in lines(path)]
    assert sorted(kinds) == sorted(f"{n}-{at}" for n in range(8) for at in range(50))


def test_after_a_kill_the_next_line_can_be_read(tmp_path):
    code = (
        "from netwright.chat.safety.journal import *\nfrom pathlib import Path\nimport sys\n"
        "j = Journal(Config(file='j', size=10**9), Path(sys.argv[1]))\n"
        "while True: j.write(side='reply', filter='w', action='mask', kind='k', score=1.0, text='x')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    while not (tmp_path / "j").exists() or (tmp_path / "j").stat().st_size < 5000:
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with (tmp_path / "j").open("ab") as file:
        file.write(b'{"cut')
    with Journal(Config(file="j"), tmp_path) as journal:
        journal.write(**ROW, text="after")
    told = (tmp_path / "j").read_text().splitlines()
    assert json.loads(told[-1])["characters"] == 5
    assert [line for line in told[:-1] if not line.endswith("}")] == ['{"cut']


def test_a_place_that_takes_nothing_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot be written|disk"):
        Journal(Config(file="file/j"), tmp_path)
    (tmp_path / "j.key").write_bytes(b"short")
    with pytest.raises(UserError, match="32 bytes"):
        Journal(Config(file="j"), tmp_path)


def test_without_a_file_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Journal(Config()) as journal:
        journal.write(**ROW, text="x")
    assert list(tmp_path.iterdir()) == []
