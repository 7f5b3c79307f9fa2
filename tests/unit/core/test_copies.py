"""Copies of a run's folder: whole, only what changed, in an order that a kill may cut anywhere."""

import threading
from pathlib import Path

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.core import copies
from netwright.core.error import UserError
from netwright.core.run import Run

FILES = {
    "run.json": "{}", "metrics.jsonl": "1\n", "checkpoints/best.safetensors": "b",
    "checkpoints/last.safetensors": "l", "checkpoints/spent.json": "{}", "artifact/artifact.json": "{}",
}  # fmt: skip


def fill(folder: Path, files=FILES) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def read(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(params=["folder", "file", "memory"])
def url(request, tmp_path):
    yield {"folder": str(tmp_path / "away"), "file": f"file://{tmp_path}/away", "memory": "memory://away"}[
        request.param
    ]
    fsspec.filesystem("memory").store.clear()


def test_what_was_copied_comes_back(url, tmp_path):
    folder, told = fill(tmp_path / "runs" / "20260101-train-abc"), []
    (folder / ".lock").touch()
    (folder / ".run.json.7.draft").touch()
    copies.Copy(folder, url, told.append).close()
    back = copies.restored(tmp_path / "fresh", url, "*-train-abc")
    assert back == tmp_path / "fresh" / folder.name
    assert read(back) == FILES
    assert told == []
    assert copies.restored(tmp_path / "fresh", url, "*-train-abc") is None  # it is here
    assert copies.restored(tmp_path / "other", url, "*-train-abd") is None  # there is none
    assert not list((tmp_path / "fresh").glob(".*"))


def test_only_what_changed_is_sent(url, tmp_path, monkeypatch):
    folder, sent = fill(tmp_path / "r"), []
    write = copies._write
    monkeypatch.setattr(copies, "_write", lambda system, path, handle: (sent.append(path), write(system, path, handle)))
    copy = copies.Copy(folder, url, print)
    copy.close()
    assert len(sent) == len(FILES)
    sent.clear()
    copy.close()
    assert sent == []
    (folder / "metrics.jsonl").write_text("1\n2\n")
    copy.close()
    assert [path.rpartition("/")[2] for path in sent] == ["metrics.jsonl"]
    assert copies.restored(tmp_path / "fresh", url, "r").joinpath("metrics.jsonl").read_text() == "1\n2\n"


@settings(deadline=None, max_examples=12)
@given(stop=st.integers(0, len(FILES)))
def test_a_copy_cut_anywhere_holds_nothing_newer_than_what_it_relies_on(stop, tmp_path_factory):
    """After `stop` files of the second copying, a checkpoint `last` of the new state means that `best` is of it too."""
    tmp = tmp_path_factory.mktemp("cut")
    folder = fill(tmp / "r")
    copy = copies.Copy(folder, str(tmp / "away"), lambda told: None)
    copy.close()
    fill(folder, {name: f"{text} new" for name, text in FILES.items()})
    done, write = 0, copies._write

    def counted(system, path, handle):
        nonlocal done
        if done == stop:
            raise OSError("the machine is gone")
        done += 1
        write(system, path, handle)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copies, "_write", counted)
        copy.close()
    found = read(tmp / "away" / "r")
    if found["checkpoints/last.safetensors"].endswith("new"):
        assert found["checkpoints/best.safetensors"].endswith("new")
    if found["run.json"].endswith("new"):
        assert all(text.endswith("new") for text in found.values())


def test_a_file_replaced_meanwhile_is_sent_as_it_was(tmp_path, monkeypatch):
    folder = fill(tmp_path / "r")
    copy, goes, reached = copies.Copy(folder, str(tmp_path / "away"), print), threading.Event(), threading.Event()
    write = copies._write

    def slow(system, path, handle):
        reached.set()
        goes.wait(10)
        write(system, path, handle)

    monkeypatch.setattr(copies, "_write", slow)
    copy.update()
    reached.wait(10)
    for name in ("best", "last"):
        (folder / "checkpoints" / "new").write_text(f"{name} new")
        (folder / "checkpoints" / "new").replace(folder / "checkpoints" / f"{name}.safetensors")
    copy.update()  # the first still goes on: nothing is begun
    goes.set()
    copy._worker.join()
    assert read(tmp_path / "away" / "r")["checkpoints/best.safetensors"] == "b"
    assert read(tmp_path / "away" / "r")["checkpoints/last.safetensors"] == "l"
    copy.close()
    assert read(tmp_path / "away" / "r")["checkpoints/last.safetensors"] == "last new"


def test_a_copy_that_fails_says_so_once_and_is_tried_again(tmp_path, monkeypatch):
    folder, told = fill(tmp_path / "r"), []
    (tmp_path / "away").write_text("a file where the folder should be")
    copy = copies.Copy(folder, str(tmp_path / "away"), told.append)
    for _ in range(3):
        copy.close()
    assert len(told) == 1
    assert "The run goes on" in told[0]
    (tmp_path / "away").unlink()
    copy.close()
    assert len(told) == 2
    assert read(tmp_path / "away" / "r") == FILES


def test_one_that_hangs_is_left(tmp_path, monkeypatch):
    goes, told = threading.Event(), []
    monkeypatch.setattr(copies, "PATIENCE_S", 0.05)
    monkeypatch.setattr(copies, "_write", lambda *args: goes.wait(10))
    copy = copies.Copy(fill(tmp_path / "r"), str(tmp_path / "away"), told.append)
    copy.update()
    copy.close()
    assert "hangs" in told[0]
    goes.set()
    copy._worker.join()


def test_a_copy_without_run_json_is_none(tmp_path):
    fill(tmp_path / "away" / "1-train-a", {"metrics.jsonl": ""})
    assert copies.restored(tmp_path / "runs", str(tmp_path / "away"), "*-train-a") is None


@pytest.mark.parametrize("url", ["nothing://here", "memory2://x"])
def test_a_url_that_nothing_knows_is_refused(url, tmp_path):
    with pytest.raises(UserError, match=r"run\.copy_to"):
        copies.Copy(tmp_path, url, print)


def test_a_run_is_found_again_from_its_copy(tmp_path):
    key, away = {"task": "t"}, str(tmp_path / "away")
    with Run.start(tmp_path / "a", "train", key) as run:
        run.copy_to(away)
        run.log(1, loss=0.5)
        run.saved()
        run.finish({"best": 1})
    assert Run.restored(tmp_path / "b", "train", {"task": "u"}, away) is None
    assert Run.restored(tmp_path / "b", "train", key, away) is not None
    with Run.start(tmp_path / "b", "train", key) as run:
        assert run.done
        assert run.result == {"best": 1}
        assert run.metrics() == [{"step": 1, "loss": 0.5}]
