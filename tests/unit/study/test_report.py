"""A report says what was measured, whatever the names in it are."""

import dataclasses
import html.parser
import json
import re
from pathlib import Path

import numpy as np
import pytest

from netwright.core import artifact, levels, plot, recipe
from netwright.core.measurement import Measurement, exact
from netwright.core.recipe import plain
from netwright.data.tasks import Evaluation
from netwright.export.verify import FILE, Certificate
from netwright.measure.quality import accuracy_change
from netwright.study import report, verdict
from netwright.study.pareto import Candidate
from netwright.study.study import SECTIONS
from netwright.study.trials import Decision
from netwright.train.training import Trained

HOSTILE = "<script>alert(1)</script>|`$\\frac$` \"'&\n# head"
SETTINGS = {
    "task": {"name": "synthetic"},
    "model": {"name": "cnn"},
    "study": {"devices": ["h100"], "max_drop": 0.01, "objectives": ["accuracy", "latency", "size"]},
}
CERTIFICATE = Certificate(
    reference="0" * 64, n=100, max_absolute_error=0.1, relative_error=0.01, relative_limit=1.0, agreement=0.99,
    agreement_low=0.95, agreement_high=1.0, agreement_limit=0.95, precision="int8", executed="int8",
    reference_executed="fp32", layers={"int8": 3}, batches=(1, 2), lengths=(), faults=(),
)  # fmt: skip


def made(folder, label, scale, correct, *, certificate=None, settled=True):
    """A candidate that takes `scale` ms and answers the first `correct` of 1000 examples."""

    def fill(draft):
        (draft / "model.bin").write_bytes(b"x" * int(1000 * scale))
        if certificate is not None:
            artifact.write_json(draft / FILE, certificate)

    about = {"format": "onnx", "precision": "int8" if certificate else "fp32", "inputs": {}, "model": {"name": "cnn"}}
    task = {"name": "synthetic", "classes": [HOSTILE]}
    one = artifact.create(folder, fill, task=task, made_by={"verb": HOSTILE}, parents=["1" * 64], **about)
    evaluation = Evaluation(np.arange(1000) < correct, np.ones(1000, np.float32))
    reference = Evaluation(np.arange(1000) < 900, np.ones(1000, np.float32))
    rounds = [1e-3 * scale * (1 + 0.01 * (at % 3)) for at in range(20)]
    seen = {
        "session": "s", "round_medians": rounds, "executed": HOSTILE, "threads": 1, "batch": 1, "settled": settled,
        "load_before": 0.5, "load_after": 0.7,
    }  # fmt: skip
    ms = {"value": 1e-3 * scale, "low": 0.99e-3 * scale, "high": 1.01e-3 * scale, "n": 20}
    figures = {
        "accuracy": evaluation.accuracy(),
        "accuracy_change": accuracy_change(evaluation, reference) if label != "first" else exact("accuracy_change", 0),
        "latency": Measurement(quantity="latency", conditions=seen, **ms),
        "throughput": Measurement(quantity="throughput", value=1000 / scale, low=990 / scale, high=1010 / scale, n=20,
                                  conditions={**seen, "batch": 64}),
        "peak_memory": Measurement(quantity="peak_memory", value=1e8, low=1e8 - 1, high=1e8 + 1, n=3),
        "size": exact("size", 1000 * scale),
    }  # fmt: skip
    return Candidate(label=label, artifact=one, figures=figures, evaluation=evaluation)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a report of three candidates, the second of which has a hostile name."""
    folder = tmp_path_factory.mktemp("report")
    candidates = [
        made(folder / "a", "first", 4.0, 900, settled=False),
        made(folder / "b", HOSTILE, 1.0, 899, certificate=CERTIFICATE),
        made(folder / "c", "third", 2.0, 700, certificate=dataclasses.replace(CERTIFICATE, faults=(HOSTILE,))),
    ]
    parsed = recipe.parse(SETTINGS, SECTIONS, Path(HOSTILE.replace("/", "")))
    run = folder / "20261120-train-aa"
    run.mkdir()
    planned = [Measurement(quantity="training_time", value=10, low=8, high=20, n=1, source="predicted")]
    artifact.write_json(run / "plan.json", planned)
    (run / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0, "validation_loss": 1.5}\n')
    actual = exact("training_time", 1234.5)
    row = {"quantity": "training_time", "low": 8.0, "high": 20.0, "actual": 1234.5, "unit": "s", "held": False}
    trained = Trained(run, candidates[0].artifact, (actual,), (row,), reused=False)
    about = {"source": "predicted", "n": 0}
    fast = Measurement(quantity="latency", value=1e-5, low=1e-6, high=1e-4, **about)
    rate = Measurement(quantity="throughput", value=1e5, low=1e4, high=1e6, **about)
    predictions = [
        {"device": HOSTILE, "precision": "fp32", "batch": 1, "measurements": [fast, rate], "refused": None},
        {"device": HOSTILE, "precision": "int8", "batch": 1, "measurements": [], "refused": HOSTILE},
    ]
    (run / "plots").mkdir()
    (run / "plots" / "work.svg").write_text(plot.svg_text(levels.work({"cascade": []}), "work of levels"))
    written = folder / "written"
    written.mkdir()
    decisions = [Decision(HOSTILE, HOSTILE, 12.5)]
    summary = report.summarize(parsed, trained, candidates, predictions, decisions, written)
    report.write(summary, candidates, predictions, trained, written)
    return written, summary, candidates


class Page(html.parser.HTMLParser):
    """Tags with their attributes, the text, and whether every element was closed."""

    VOID = ("meta", "link", "br", "path", "use", "rect", "line", "circle")

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.said = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.said.append(data)


def test_the_summary_is_json(place):
    folder, summary, _ = place
    assert json.loads((folder / "report.json").read_text()) == summary
    assert summary["candidates"][1]["label"] == HOSTILE
    assert summary["choice"] == HOSTILE
    assert summary["front"] == [HOSTILE]
    assert [row["within_limit"] for row in summary["candidates"]] == [True, True, False]
    assert [row["settled"] for row in summary["candidates"]] == [False, True, True]


def test_no_name_becomes_a_tag(place):
    folder, _, _ = place
    text = (folder / "report.html").read_text()
    page = Page(text)
    assert page.open == []
    assert [tag for tag, _ in page.tags].count("script") == 1  # ours
    assert "alert(1)" not in "".join(re.findall(r"<script>(.*?)</script>", text, re.DOTALL))
    for place_ in ("<script>alert", "onerror"):
        assert place_ not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert not [attrs for _, attrs in page.tags if any(name.startswith("on") for name in attrs)]
    fetched = [attrs.get("src") or attrs.get("href") or "" for _, attrs in page.tags]
    assert all(address.startswith(("#", "data:,")) for address in fetched if address)
    assert "url(http" not in text


def test_the_page_has_a_name_for_everything(place):
    folder, _, _ = place
    page = Page((folder / "report.html").read_text())
    headings = [tag for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == "h1"
    assert set(headings[1:]) == {"h2"}
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for tag, attrs in page.tags:
        if "aria-labelledby" in attrs:
            assert attrs["aria-labelledby"] in ids
        if tag == "svg":
            assert attrs["role"] == "img"
            assert attrs["aria-label"]
        if tag == "th":
            assert attrs.get("scope") in ("col", "row")
    tags = [tag for tag, _ in page.tags]
    assert tags.count("caption") == tags.count("table") == 5


def rows(text):
    """Tables of a Markdown page, each as its rows of cells."""
    found = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    return [[re.split(r"(?<!\\)\|", line)[1:-1] for line in table.splitlines()] for table in found]


def test_markdown_tables_keep_their_columns(place):
    folder, _, _ = place
    text = (folder / "report.md").read_text()
    tables = rows(text)
    assert [len(table) for table in tables] == [5, 3, 3, 4]
    for table in tables:
        assert {len(row) for row in table} == {len(table[0])}
        assert all(set(cell) == {"-"} for cell in table[1])
    outside_code = text.split("```")[0]
    assert "<script>" not in outside_code.split("## Do it again")[0]
    assert "20.6 min" in text  # not 1234.5
    assert not re.search(r"\d{5,}", outside_code.split("## Do it again")[0])


def test_plots_are_files_of_their_own(place):
    folder, _, _ = place
    assert {path.name for path in (folder / "plots").iterdir()} == {
        "front.svg", "devices.svg", "everywhere.svg", "training.svg", "plan.svg", "work.svg"
    }  # fmt: skip
    for path in (folder / "plots").iterdir():
        assert path.read_text() in (folder / "report.html").read_text()


def test_what_the_verdict_says(place):
    _, _, (first, second, third) = place
    said = verdict.sentences([first, second, third], [first, second], 0.01)
    assert len(said) == 2
    assert said[0].endswith("answers in 1 ms [990 µs to 1.01 ms] and is shown to lose at most 1 points of accuracy.")
    assert said[1].startswith("Against first it is 4 times as fast [4, 4] and takes 25 % of the room; accuracy changes")
    assert verdict.sentences([first, third], [third], 0.01) == [
        "No candidate on the front is shown to lose at most 1 points of accuracy."
    ]
    strict = verdict.sentences([first, second, third], [first, second], 0.001)
    assert strict[-1].startswith("Whether <script>")
    assert strict[-1].endswith("stays within 0.1 points cannot be said from this test set.")
    assert len(strict) == 2  # the reference is chosen, and is not compared with itself
    twin = dataclasses.replace(second, label="twin")
    tied = verdict.sentences([first, second, twin], [second, twin], 0.01)
    assert tied[0].endswith("; its latency cannot be told from that of twin.")


def test_a_table_of_predictions():
    def one(device, precision, batch, refused=None):
        known = [{"quantity": "latency", "value": batch}, {"quantity": "throughput", "value": 10 * batch}]
        return {"device": device, "precision": precision, "batch": batch,
                "measurements": [] if refused else known, "refused": refused}  # fmt: skip

    found = report.by_device([one("x", "fp32", 1), one("x", "fp32", 8), one("x", "int8", 8), one("y", "fp32", 8, "no")])
    assert found["heads"] == [("latency", 1, "fp32"), ("latency", 1, "int8"), ("throughput", 8, "fp32"),
                              ("throughput", 8, "int8")]  # fmt: skip
    (x, cells), (y, others) = found["rows"]
    assert (x, y) == ("x", "y")
    assert [cell and cell["value"] for cell in cells] == [1, None, 80, 80]
    assert others == [None, None, "no", None]
    assert report.by_device([]) == {"heads": [], "rows": []}


def figure(quantity, value, low, high):
    return plain(Measurement(quantity=quantity, value=value, low=low, high=high, n=3))


@pytest.mark.parametrize(
    ("one", "value", "interval"),
    [
        (("latency", 3.8e-5, 3.77e-5, 3.97e-5), "38 µs", "37.7–39.7 µs"),
        (("latency", 1e-4, 9e-5, 1.2e-3), "100 µs", "90 µs to 1.2 ms"),
        (("accuracy", 0.991, 0.98, 1.0), "99.10 %", "98.00–100.00 %"),
        (("accuracy_change", -0.0012, -0.002, 0.0003), "-0.12 pt", "-0.20 to +0.03"),
        (("accuracy_change", 0.0, 0.0, 0.0), "+0.00 pt", "the reference"),
        (("size", 227_000, 227_000, 227_000), "227 kB", "exact"),
        (("peak_memory", 3.29e8, 3.289e8, 3.291e8), "329 MB", "329 MB"),
        (("throughput", 12030, 11478, 13104), "12,030 items/s", "11,478–13,104 items/s"),
        (("parameters", 1000, 900, 1100), "1,000", "900–1,100"),
        (("loss", 0.5, 0.4, 0.6), "0.5 nat", "0.4–0.6 nat"),
    ],
)
def test_figures_are_written_with_their_unit_once(one, value, interval):
    assert report.value(figure(*one)) == value
    assert report.interval(figure(*one)) == interval


def test_titles_and_cells():
    assert [report.title(q) for q in ("latency", "peak_memory", "flops")] == ["latency p50", "peak memory", "FLOPs"]
    assert report.cell("a|b\n<i>\\") == "a\\|b &lt;i>\\\\"
    assert report.share(0.9962) == "99.62 %"


def test_pictures_of_levels_stand_in_the_page_where_a_training_left_them(place):
    folder, _, _ = place
    page = (folder / "report.html").read_text()
    assert "Work against loss" in page
    assert page.count('aria-label="work of levels"') == 1
    assert (folder / "plots" / "work.svg").is_file()
    assert "Feature maps" not in page


def test_what_levels_did_is_said_in_page_and_text(place, tmp_path):
    folder, summary, candidates = place
    told = "Levels: cascade, 2 changes of level; share of work: level 0 60 %, level 1 40 %"
    run = folder.parent / "20261120-train-aa"
    trained = Trained(run, candidates[0].artifact, (), (), reused=False)
    with_levels = {**summary, "predictions": [], "training": {**summary["training"], "levels": told}}
    report.write(with_levels, candidates, [], trained, tmp_path)
    assert told in (tmp_path / "report.html").read_text()
    assert told in (tmp_path / "report.md").read_text()
    assert "Levels:" not in (folder / "report.md").read_text()
