"""The page of the catalogue: whole, self-contained, escaped, and of the same figures as its data."""

import dataclasses
import re

import pytest

pytest.importorskip("matplotlib")
from netwright.hardware import catalog, matrices, report
from netwright.hardware.device import Device, Source


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "hardware.html"
    steps = []
    summary = report.write(path, catalog.all(), {}, ["A note."], lambda: steps.append(1))
    return path.read_text(), summary, len(steps)


def test_the_page_holds_everything_and_fetches_nothing(written):
    text, summary, _ = written
    assert summary["devices"] == len(catalog.all())
    assert all(device.name.replace("'", "&#39;") in text for device in catalog.all())
    assert not re.search(r"(src|href)=\"(?!data:|#)", text)
    assert "@import" not in text
    assert "http-equiv" not in text
    assert text.count("<svg") == summary["figures"] == 6
    assert "A note." in text
    assert "CC BY" in text


def test_it_says_how_it_gets_on(written):
    assert written[2] <= report.STEPS


def test_the_summary_is_of_the_matrices(written):
    summary = written[1]
    for name, one in summary["matrices"].items():
        assert one["filled"] == matrices.matrix(name, catalog.all()).total
    assert sum(row["values"] for row in summary["sources"]) == sum(
        len(source.values) for device in catalog.all() for source in device.sources
    )
    assert summary["tiers"][0]["name"] == "Ultra"
    assert summary["trends"][0]["low"] <= summary["trends"][0]["yearly"] <= summary["trends"][0]["high"]


def test_names_are_text_not_markup(tmp_path):
    evil = Device(
        name="<script>alert(1)</script>", manufacturer='"><img src=x>', kind="gpu", rates={"bf16": 1e14},
        bandwidth=1e12, memory=1e10, architecture="</table>",
        sources=(Source(values=("bandwidth",), where="<b>who</b>", date="2026", licence="<i>free</i>"),),
    )  # fmt: skip
    report.write(tmp_path / "evil.html", [evil])
    text = (tmp_path / "evil.html").read_text()
    assert "<script>alert" not in text
    assert "<img" not in text
    assert "<b>who" not in text
    assert "<i>free" not in text
    assert text.count("</table>") == text.count("<table")


@pytest.mark.parametrize("n", [1, 2, 12])
def test_a_few_devices_make_a_page_too(n, tmp_path):
    few = [dataclasses.replace(device, price=None) for device in catalog.all()[:n]]
    summary = report.write(tmp_path / "few.html", few)
    text = (tmp_path / "few.html").read_text()
    assert summary["devices"] == n
    assert "Price and performance" not in text
    assert f"{n} device{'' if n == 1 else 's'} of" in text
    words = re.sub(r"<svg.*?</svg>|<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"\b(nan|inf|None)\b", words)
