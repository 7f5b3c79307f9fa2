"""Batches: what is found, where SVGs go, what is refused, and that a second call goes on."""

import json
import math
import os
import threading

import pytest
from PIL import Image as Pictures

from netwright.core.error import UserError
from netwright.svg import batch, choose
from netwright.svg.batch import Asked, Done, Failed, find, place, trace_all
from netwright.svg.wish import Wish
from scripted_tracer import ScriptedPredictor, ScriptedTracer, picture

QUICK = Asked(Wish(mode="polygon"), traces=2, quick=True, how="measure")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three images, one below; a file that is none; all traced by a script."""
    monkeypatch.setattr(batch, "Tracer", ScriptedTracer)
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for name, side in (("a.png", 24), ("b.jpg", 32), ("sub/a.png", 16)):
        Pictures.fromarray(picture(side)).save(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    (tmp_path / "in" / ".hidden.png").write_bytes(b"")
    return tmp_path


def run(folder, asked=QUICK, predictor=None):
    images, failed = find([folder / "in"])
    jobs = place(images, folder / "out")
    return [*failed, *trace_all(jobs, asked, predictor, folder / "out" / batch.KEPT)]


def test_folders_are_walked_and_mirrored(folder):
    images, failed = find([folder / "in", folder / "in" / "a.png"])
    assert failed == []
    assert [str(one.below) for one in images] == ["a.png", "b.jpg", "sub/a.png"]
    assert [str(one.target.relative_to(folder)) for one in place(images, folder / "out")] == [
        "out/a.svg", "out/b.svg", "out/sub/a.svg",
    ]  # fmt: skip
    beside = place(images, None)
    assert beside[0].target == folder / "in" / "a.svg"
    assert find([folder / "in" / "sub" / "..", folder / "in"])[0][0].below.name == "a.png"


def test_names_that_would_collide_keep_their_suffix(folder):
    Pictures.fromarray(picture(16)).save(folder / "in" / "a.gif")
    targets = [one.target.name for one in place(find([folder / "in"])[0], folder / "out")]
    assert sorted(targets) == ["a.gif.svg", "a.png.svg", "a.svg", "b.svg"]


def test_what_cannot_be_read_is_told_and_the_batch_goes_on(folder):
    (folder / "in" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "in" / "empty.png").write_bytes(b"")
    (folder / "in" / "drawn.png").write_text('<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>')
    found = run(folder)
    assert sum(isinstance(one, Done) for one in found) == 3
    why = {one.image.rsplit("/")[-1]: one.why for one in found if isinstance(one, Failed)}
    assert set(why) == {"broken.png", "empty.png", "drawn.png"}
    assert why["empty.png"] == "is empty"
    assert "SVG" in why["drawn.png"]
    (folder / "bare").mkdir()
    assert "no image" in find([folder / "bare"])[1][0].why


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_folder_is_told(folder):
    (folder / "in" / "sub").chmod(0)
    try:
        images, failed = find([folder / "in"])
    finally:
        (folder / "in" / "sub").chmod(0o755)
    assert len(images) == 2
    assert "cannot be read" in failed[0].why


def test_an_unreadable_folder_is_told_to_root_too(folder, monkeypatch):
    walk = os.walk

    def fails(path, onerror):
        onerror(PermissionError(13, "Permission denied", str(path / "locked")))
        yield from walk(path)

    monkeypatch.setattr(os, "walk", fails)
    images, failed = find([folder / "in"])
    assert len(images) == 3
    assert failed == [Failed(str(folder / "in" / "locked"), "this folder cannot be read (Permission denied)")]


def test_a_second_call_goes_on(folder):
    first = run(folder)
    assert not any(one.earlier for one in first)
    svg = (folder / "out" / "a.svg").read_bytes()
    assert all(one.earlier for one in run(folder))
    kept = folder / "out" / batch.KEPT
    lines = kept.read_text().splitlines()
    kept.write_text("\n".join([*lines[:2], lines[2][:40]]))  # as a kill leaves it
    (folder / "out" / "sub" / "a.svg").unlink()
    assert [one.earlier for one in run(folder)].count(False) == 1
    assert all(one.earlier for one in run(folder))
    assert (folder / "out" / "a.svg").read_bytes() == svg


def test_a_changed_image_is_traced_again_and_another_wish_asks_first(folder):
    run(folder)
    later = (folder / "out" / "a.svg").stat().st_mtime + 10
    Pictures.fromarray(255 - picture(24)).save(folder / "in" / "a.png")
    os.utime(folder / "in" / "a.png", (later, later))
    assert [one.job.source.name for one in run(folder) if not one.earlier] == ["a.png"]
    other = Asked(Wish(mode="curves"), traces=2, quick=True, how="measure")
    refused = run(folder, other)
    assert all("another wish" in one.why and "--overwrite" in one.why for one in refused)
    again = run(folder, Asked(Wish(mode="curves"), 2, True, "measure", overwrite=True))
    assert not any(one.earlier for one in again)


def test_what_others_made_is_never_written_over(folder):
    (folder / "out").mkdir()
    (folder / "out" / "a.svg").write_text("mine")
    found = run(folder)
    assert [one.why for one in found if isinstance(one, Failed)] == [
        f"{folder / 'out' / 'a.svg'} is there already: {batch.OVERWRITE}"
    ]
    assert (folder / "out" / "a.svg").read_text() == "mine"
    source = folder / "in" / "a.png"
    link = folder / "out" / "b.svg"
    link.unlink()
    link.symlink_to(source)
    before = source.read_bytes()
    asked = Asked(Wish(mode="polygon"), 2, True, "measure", overwrite=True)
    found = list(trace_all([batch.Job(source, link)], asked))
    assert "never written over" in found[0].why
    assert source.read_bytes() == before


def test_places(folder):
    images, _ = find([folder / "in"])
    with pytest.raises(UserError, match="3 images cannot become one file"):
        place(images, folder / "one.svg")
    assert place(images[:1], folder / "one.svg")[0].target == folder / "one.svg"
    (folder / "file").write_text("")
    with pytest.raises(UserError, match="a folder"):
        place(images, folder / "file")


def test_many_at_once_do_what_one_does(folder, monkeypatch):
    monkeypatch.setattr(choose, "PREDICTING_S", math.inf)  # how many are traced goes by how quickly else
    one = {row.job.source.name + str(row.job.target.parent): row.row["sha256"] for row in run(folder)}
    for name in ("a.svg", "b.svg", "sub/a.svg", batch.KEPT):
        (folder / "out" / name).unlink()
    many = run(folder, Asked(Wish(mode="polygon"), 2, True, "measure", workers=3))
    assert {row.job.source.name + str(row.job.target.parent): row.row["sha256"] for row in many} == one


def test_an_end_in_between_keeps_what_is_done(folder, monkeypatch):
    begun = threading.Event()

    class Slow(ScriptedTracer):
        def trace(self, pixels_HWC, setting):
            if pixels_HWC.shape[0] == 32:
                begun.set()
                if not ended.wait(20):
                    raise AssertionError("the batch was not ended")
            return super().trace(pixels_HWC, setting)

        def close(self):
            ended.set()

    ended = threading.Event()
    monkeypatch.setattr(batch, "Tracer", Slow)
    images, _ = find([folder / "in"])
    kept = folder / "out" / batch.KEPT
    asked = Asked(Wish(mode="polygon"), 2, True, "measure", workers=2)
    found = trace_all(place(images, folder / "out"), asked, None, kept)
    first = next(found)
    assert begun.wait(20)
    found.close()
    done = [json.loads(line)["svg"] for line in kept.read_text().splitlines()]
    assert first.row["svg"] in done
    assert "b.svg" not in done
    assert not (folder / "out" / "b.svg").exists()


def test_rows_are_plain(folder):
    for one in run(folder, Asked(Wish(), 2, how="predict"), ScriptedPredictor()):
        row = json.loads(json.dumps(one.row))
        assert row == one.row
        traced = row["traced"]
        assert traced["expected"]["bytes_low"] < traced["expected"]["bytes"]
        assert row["bytes"] <= traced["bytes"]
        assert row["tried"][0]["setting"]["mode"] == "spline"
