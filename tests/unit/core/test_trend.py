"""Quality over the runs of a folder."""

from netwright.core import artifact, trend
from netwright.core.measurement import Measurement
from netwright.core.recipe import plain
from netwright.core.run import Run

ABOUT = {"format": "torch", "precision": "fp32", "task": {"name": "language"}, "model": {"name": "llama"}, "inputs": {}}


def measured(value, of, when, quantity="perplexity", **conditions):
    return Measurement(
        quantity=quantity, value=value, low=value, high=value, n=9, artifact=of, when=when, conditions=conditions
    )


def test_series_by_what_was_measured_oldest_first(tmp_path):
    with Run.start(tmp_path, "train", {"a": 1}) as run:
        made = artifact.create(run.folder / "artifact", lambda draft: (draft / "w").write_bytes(b"1"), **ABOUT)
        run.finish({"measurements": [plain(measured(20.0, made.digest, "2026-01-02", split="test"))]})
        name = run.folder.name
    with Run.start(tmp_path, "evaluate", {"b": 1}) as run:
        rows = [
            measured(30.0, "f" * 64, "2026-01-01", on="book.txt"),
            measured(25.0, made.digest, "2026-01-03", on="book.txt"),
        ]
        run.finish({"measurements": plain([*rows, measured(9.0, made.digest, "2026-01-03", "loss", on="book.txt")])})
    with Run.start(tmp_path, "evaluate", {"b": 2}) as run:  # the same artifact once more
        run.finish({"measurements": plain([measured(24.0, made.digest, "2026-01-04", on="book.txt")])})
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    found = trend.series(tmp_path)
    assert set(found) == {"perplexity, language test", "perplexity, book.txt", "loss, book.txt"}
    assert [(row.name, row.measured.value) for row in found["perplexity, book.txt"]] == [
        ("ffffffff", 30.0),
        (name, 24.0),
    ]
    assert set(trend.series(tmp_path, "Perplexity, B")) == {"perplexity, book.txt"}
    assert trend.series(tmp_path / "absent") == {}
