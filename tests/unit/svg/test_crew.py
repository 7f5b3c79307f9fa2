"""Jobs in processes: failures, deaths, interrupts, and nothing left behind."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from netwright.svg import crew
from netwright.svg.crew import Failed, each


@contextlib.contextmanager
def bench(folder):
    """Squares numbers; 13 raises, 66 kills its process, 7 kills it the first time only."""
    (folder / f"pid-{os.getpid()}").touch()

    def square(number):
        if number == 13:
            raise ValueError("thirteen")
        first = folder / f"first-{number}"
        if number == 66 or (number == 7 and not first.exists()):
            first.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number * number

    yield square
    (folder / f"closed-{os.getpid()}").touch()


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def pids(folder):
    return [int(path.name.partition("-")[2]) for path in folder.glob("pid-*")]


def test_every_job_is_answered_once_whatever_some_of_them_do(tmp_path):
    jobs = [1, 66, 13, 7, *range(2, 6)]
    answers = list(each(partial(bench, tmp_path), jobs, workers=2))
    assert sorted(job for job, _ in answers) == sorted(jobs)
    found = dict(answers)
    assert found[66] == Failed("its process died (exit -9)")
    assert found[13] == Failed("ValueError: thirteen")
    assert [found[number] for number in (1, 2, 3, 4, 5, 7)] == [1, 4, 9, 16, 25, 49]
    assert (tmp_path / "first-7").exists()
    assert len(pids(tmp_path)) >= 3
    assert not any(alive(pid) for pid in pids(tmp_path))
    assert list(tmp_path.glob("closed-*"))


def test_no_jobs_are_no_answers(tmp_path):
    assert list(each(partial(bench, tmp_path), [], workers=2)) == []


def test_a_bench_that_cannot_be_opened_gives_up(tmp_path):
    ((job, answer),) = each(partial(bench, tmp_path / "none"), [1], workers=1)
    assert job == 1
    assert answer == Failed("its process died (exit 1)")


def test_whoever_stops_listening_leaves_no_process(tmp_path):
    answers = each(partial(bench, tmp_path), range(100, 200), workers=2)
    next(answers)
    answers.close()
    assert pids(tmp_path)
    assert not any(alive(pid) for pid in pids(tmp_path))


def test_processes_end_when_their_parent_is_killed(tmp_path):
    here = str(Path(__file__).parent)
    text = (
        f"import sys, time; sys.path.insert(0, {here!r})\n"
        "import test_crew; from pathlib import Path; from functools import partial\n"
        "if __name__ == '__main__':\n"
        f"    answers = test_crew.each(partial(test_crew.bench, Path({str(tmp_path)!r})), range(1000), workers=1)\n"
        "    print(next(answers), flush=True); time.sleep(600)\n"
    )
    (tmp_path / "parent.py").write_text(text)
    with subprocess.Popen([sys.executable, str(tmp_path / "parent.py")], stdout=subprocess.PIPE) as parent:
        assert parent.stdout.readline() == b"(0, 0)\n"
        parent.kill()
    (worker,) = pids(tmp_path)
    for _ in range(600):
        if not alive(worker):
            break
        time.sleep(0.1)
    assert not alive(worker)


def test_no_more_processes_than_jobs_are_started(tmp_path, monkeypatch):
    started = []
    start = crew._started
    monkeypatch.setattr(crew, "_started", lambda bench: started.append(start(bench)) or started[-1])
    assert list(each(partial(bench, tmp_path), [2], workers=3)) == [(2, 4)]
    assert len(started) == 1
