"""The hardware verb: tables for people, JSON and CSV for programs, refusals that lead on."""

import csv
import io
import json
from pathlib import Path

import pytest

from netwright import cli
from netwright.cli import hardware
from netwright.cli.hardware import compare
from netwright.core import db
from netwright.hardware import catalog, derived, matrices, probe


@pytest.fixture(autouse=True)
def own_places(tmp_path, monkeypatch):
    monkeypatch.setenv("NETWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv(db.VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)


def run(capsys, *words: str):
    code = cli.main(["hardware", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


def listed(capsys, *words: str) -> list[dict]:
    code, out, _ = run(capsys, "list", "--json", *words)
    assert code == 0
    return json.loads(out)["devices"]


def test_the_list_names_every_device(capsys):
    code, out, _ = run(capsys, "list")
    assert code == 0
    assert all(device.name in out for device in catalog.all())
    assert "Epoch AI" in out
    assert not Path("runs").exists()


def test_the_list_for_programs(capsys):
    devices = listed(capsys)
    assert [device["name"] for device in devices] == [device.name for device in catalog.all()]
    assert devices[0]["rates"]["bf16"] == 9.89e14
    assert (devices[0]["tier"], devices[0]["ai_tier"]) == ("Ultra", "AI_Flagship")


def test_the_list_fits_a_narrow_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for words in ((), ("--sort", "flops_per_watt_bf16"), ("--kind", "cpu")):
        _, out, _ = run(capsys, "list", *words)
        assert max(map(len, out.splitlines())) <= 80
        assert "H100 SXM" in out or "cpu" in words


@pytest.mark.parametrize(
    ("words", "keeps"),
    [
        (("--manufacturer", "amd"), lambda d: d["manufacturer"] == "AMD"),
        (("--architecture", "ada lovelace"), lambda d: d["architecture"] == "Ada Lovelace"),
        (("--kind", "accelerator"), lambda d: d["kind"] == "accelerator"),
        (("--min-memory", "100"), lambda d: d["memory"] >= 100e9),
        (("--min-bandwidth", "3000"), lambda d: d["bandwidth"] >= 3e12),
        (("--max-price", "2000"), lambda d: d["price"] <= 2000),
        (("--max-power", "100"), lambda d: d["power"] <= 100),
        (("--since", "2024"), lambda d: d["year"] >= 2024),
        (("--tier", "ai_flagship"), lambda d: d["ai_tier"] == "AI_Flagship"),
        (("--tier", "Entry"), lambda d: d["tier"] == "Entry"),
        (("--kind", "gpu", "--max-power", "300", "--min-memory", "40"), lambda d: d["power"] <= 300),
    ],
)
def test_filters_keep_what_they_say_and_nothing_else(capsys, words, keeps):
    found = listed(capsys, *words)
    every = listed(capsys)
    assert 0 < len(found) < len(every)
    assert all(keeps(device) for device in found)
    left = [device for device in every if device["name"] not in {one["name"] for one in found}]
    if len(words) == 2:
        fields = {"--max-price": "price", "--max-power": "power", "--since": "year"}
        assert not any(keeps(device) for device in left if device[fields.get(words[0], "name")] is not None)


def test_devices_of_which_a_limit_is_not_known_are_counted(capsys):
    _, out, _ = run(capsys, "list", "--max-price", "100")
    assert "No device keeps all of these limits." in out
    assert "no source states their price" in out


def test_order_and_limit(capsys):
    prices = [device["price"] for device in listed(capsys, "--sort", "price", "--limit", "5")]
    assert prices == sorted(prices)
    assert len(prices) == 5
    names = [device["name"] for device in listed(capsys, "--sort", "ridge_bf16")]
    values = [derived.value(catalog.find(name), "ridge_bf16") for name in names]
    stated = [value for value in values if value is not None]
    assert values[: len(stated)] == sorted(stated, reverse=True)
    _, out, _ = run(capsys, "list", "--sort", "ridge_bf16", "--limit", "3")
    assert "ridge_bf16" in out
    assert "FLOP/B" in out


def test_one_device_with_its_sources_guesses_and_prices(capsys):
    code, out, _ = run(capsys, "show", "4090")
    assert code == 0
    assert "330 TFLOP/s" in out
    assert "row NVIDIA GeForce RTX 4090" in out
    assert "predictions use half" in out
    assert "ResNet-50 throughput" in out
    assert "on demand: $" in out
    code, out, _ = run(capsys, "show", "h100-pcie")
    assert "~price at release" in out
    assert "guessed, not stated" in out


def test_a_stated_value_is_never_shown_as_a_guess(capsys):
    for name in ("h100", "mi300x", "tpu-v5e"):
        told = json.loads(run(capsys, "show", name, "--json")[1])
        guessed = {one["quantity"] for one in told["imputed"]}
        stated = {f"rates.{dtype}" for dtype in told["device"]["rates"]}
        stated |= {key for key, value in told["device"].items() if value is not None and key != "rates"}
        assert not guessed & stated
        assert told["derived"]["sweep_time"]["value"] > 0


def test_a_comparison_has_ratios_and_bars(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run(capsys, "compare", "h100", "a100", "4090")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    block = out[out.index("bandwidth\n") :].splitlines()[1:4]
    assert ["1.00×" in block[0], "0.61×" in block[1], "0.30×" in block[2]] == [True] * 3
    drawn = [line.count("█") for line in block]
    assert drawn[0] > drawn[1] > drawn[2] > 0
    told = json.loads(run(capsys, "compare", "h100", "a100", "--json")[1])
    row = next(one for one in told["comparison"] if one["quantity"] == "power")
    assert row["values"] == [700, 400]
    assert row["ratios"] == pytest.approx([1, 4 / 7])


@pytest.mark.parametrize(("share", "drawn"), [(1.0, "████"), (0.5, "██"), (0.53, "██▏"), (0.0001, "▏")])
def test_bars_are_in_eighths(share, drawn):
    assert compare.bar(share, 4) == drawn


def test_the_metrics_with_their_formulas(capsys):
    _, out, _ = run(capsys, "derive")
    assert "ridge_DTYPE" in out
    assert "Williams" in out
    metrics = json.loads(run(capsys, "derive", "--json")[1])["metrics"]
    assert list(metrics) == list(derived.METRICS)
    assert all(metric["formula"] and metric["source"] and metric["unit"] for metric in metrics.values())
    _, out, _ = run(capsys, "derive", "h100", "l4")
    assert "NVIDIA H100 SXM" in out
    assert "NVIDIA L4" in out


def test_an_export_is_a_matrix(capsys):
    _, out, _ = run(capsys, "export", "--matrix", "compute", "--manufacturer", "NVIDIA")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert list(rows[0]) == ["name", *matrices.MATRICES["compute"]]
    assert float(next(row for row in rows if row["name"] == "NVIDIA H100 SXM")["bf16"]) == 9.89e14
    told = json.loads(run(capsys, "export", "--matrix", "unified", "--json")[1])
    assert told["coverage"]["bandwidth"] == 1.0
    assert 0 < told["filled"] < 1
    code, out, _ = run(capsys, "export", "-o", "all.csv")
    assert code == 0
    assert "all.csv" in out
    assert len(list(csv.reader(Path("all.csv").read_text().splitlines()))) == len(catalog.all()) + 1
    run(capsys, "export", "-o", "all.json")
    assert json.loads(Path("all.json").read_text())["matrix"] == "complete"


def test_an_import_fills_the_database_once(capsys):
    code, out, _ = run(capsys, "import", "epoch", "--dry-run")
    assert code == 0
    assert "Nothing was written" in out
    assert not Path("runs").exists()
    code, out, _ = run(capsys, "import", "epoch", "runs=kept")
    assert code == 0
    assert "Written to kept/netwright.db" in out
    told = json.loads(run(capsys, "import", "epoch", "runs=kept", "--json")[1])
    assert all(pair == [0, 0] for pair in told["changes"].values())
    assert told["kept"]
    told = json.loads(run(capsys, "impute", "runs=kept", "--json")[1])
    assert 0 < told["written"] <= len(told["imputed"])


def test_a_trial_of_an_import_leaves_a_database_as_it_was(capsys):
    run(capsys, "import", "epoch")
    before = json.loads(run(capsys, "import", "curated", "--dry-run", "--json")[1])
    again = json.loads(run(capsys, "import", "curated", "--dry-run", "--json")[1])
    assert before["changes"] == again["changes"]
    assert any(added for added, _ in again["changes"].values())


def test_guesses_have_errors_and_a_trial_writes_none(capsys):
    code, out, _ = run(capsys, "impute", "--dry-run")
    assert code == 0
    assert "Nothing was written" in out
    assert "covered" in out
    assert not Path("runs").exists()


def test_a_synthetic_device(capsys):
    code, out, _ = run(capsys, "synthesize", "Ampere", "--units", "60", "--bandwidth", "1000", "--memory", "32")
    assert code == 0
    assert "Synthetic Ampere" in out
    assert "as asked" in out
    assert "no such device is known" in out


def test_a_diagram(capsys):
    assert "Table devices {" in run(capsys, "diagram")[1]
    assert run(capsys, "diagram", "-o", "schema.mmd")[0] == 0
    assert Path("schema.mmd").read_text().startswith("erDiagram")


def test_advice_is_one_of_the_actions(capsys):
    code, out, _ = run(capsys, "advise", "Qwen3-8B", "--dry-run")
    assert code == 0
    assert "would rank" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "h10"), "did you mean"),
        (("shwo", "h100"), 'did you mean "show"'),
        (("show",), "show takes a device"),
        (("list", "h100"), "list takes no name"),
        (("compare", "h100"), "two to eight devices"),
        (("compare", "h100", "H100"), "each device once"),
        (("probe", "--seconds", "900"), "1 to 60 seconds"),
        (("list", "--sort", "bandwith"), 'did you mean "bandwidth"'),
        (("list", "--tier", "AI_Flagshp"), 'did you mean "AI_Flagship"'),
        (("list", "--manufacturer", "Nvida"), 'did you mean "NVIDIA"'),
        (("list", "--kind", "toaster"), "accelerator, cpu, gpu"),
        (("list", "--min-memory", "-4"), "a number above 0"),
        (("list", "--min-memory", "nan"), "a number above 0"),
        (("list", "--since", "22"), "a year such as 2022"),
        (("list", "--limit", "0"), "a number above 0"),
        (("list", "--format", "xml"), "csv"),
        (("export", "--matrix", "graphic"), 'did you mean "graphics"'),
        (("import", "epohc"), 'did you mean "epoch"'),
        (("import", "mlperf"), "the file of MLPerf"),
        (("import",), "import takes a source"),
        (("synthesize", "Hopper"), "units, GB/s and GB"),
        (("report", "-o", "report.pdf"), "ends in .html"),
        (("diagram", "--format", "png"), "dbml, mermaid"),
        (("show", "h100", "--tier", "Ultra"), "an option of list, export, report, not of show"),
        (("list", "--units", "4"), "an option of synthesize"),
        (("compare", "h100", "a100", "-o", "x.csv"), "not of compare"),
    ],
)
def test_wrong_requests_lead_on_and_leave_nothing(capsys, tmp_path, words, said):
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert said in err
    assert "Next: " in err
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("cache", "runs")] == []


def test_a_dry_probe_measures_nothing(capsys, tmp_path):
    code, out, _ = run(capsys, "probe", "--dry-run")
    assert code == 0
    assert "would measure" in out
    assert list(tmp_path.iterdir()) == []


def test_this_machine_before_and_after_a_probe(capsys, monkeypatch):
    assert "not measured yet" in run(capsys, "show", "this-machine")[1]
    lines = [
        {"quantity": "bandwidth", "dtype": "", "library": "numpy", "rates": [1e10] * 3},
        {"quantity": "gemm_rate", "dtype": "fp32", "library": "numpy", "rates": [1e11] * 3},
    ]

    def measure(seconds, here):
        found = [probe.measurement(line, here) for line in lines]
        probe.cache_folder().mkdir(parents=True)
        probe.artifact.write_json(probe._path(here), {"measurements": found})
        return found

    monkeypatch.setattr(probe, "probe", measure)
    code, out, _ = run(capsys, "probe", "--json")
    assert code == 0
    assert json.loads(out)["measurements"][1]["value"] == 1e11
    shown = run(capsys, "show", "this-machine")[1]
    assert "100 GFLOP/s" in shown
    assert "measured here" in shown


WORDS = {
    "show": ("l4",), "compare": ("l4", "t4"), "import": ("epoch",), "advise": ("Qwen3-8B",),
    "synthesize": ("Ampere", "--units", "60", "--bandwidth", "1000", "--memory", "32"), "report": ("-o", "page.html"),
    "export": ("-o", "all.csv"), "diagram": ("-o", "schema.dbml"),
}  # fmt: skip


@pytest.mark.parametrize("action", hardware.ACTIONS)
def test_every_action_can_be_tried_and_says_so_as_json(capsys, tmp_path, action):
    words = (action, *WORDS.get(action, ()))
    code, out, _ = run(capsys, *words, "--dry-run", "--json")
    assert code == 0
    assert isinstance(json.loads(out), dict)
    assert list(tmp_path.iterdir()) == []
    code, out, _ = run(capsys, *words, "--dry-run")
    assert code == 0
    assert out.strip()


def test_every_action_is_in_the_help():
    text = cli.build_parser("hardware")._subparsers._group_actions[0].choices["hardware"].format_help()
    assert all(action in text for action in hardware.ACTIONS)
    assert all(example.split()[2] in hardware.ACTIONS for example in hardware.EXAMPLE.splitlines())


def test_the_catalogue_in_postgresql(capsys, monkeypatch, postgres_url):
    """Import, guess twice, list and export where the database is a server."""
    import sqlalchemy as sa

    from netwright.hardware import schema

    monkeypatch.setenv(db.VARIABLE, postgres_url)
    code, out, _ = run(capsys, "import", "curated")
    assert code == 0
    assert f"the database of {db.VARIABLE}" in out
    written = [json.loads(run(capsys, "impute", "--json")[1])["written"] for _ in range(2)]
    assert written[0] == written[1] > 0
    engine = db.engine(Path("runs"))
    with engine.connect() as connection:
        rows = connection.scalar(sa.select(sa.func.count()).select_from(schema.imputed_values))
        tiered = {name: tier for name, tier, _ in connection.execute(sa.text("SELECT * FROM tiers"))}
    engine.dispose()
    assert rows == written[0]
    assert tiered["NVIDIA H100 SXM"] == "Ultra"
    assert len(listed(capsys)) == len(catalog.all())
    told = json.loads(run(capsys, "export", "--matrix", "graphics", "--json")[1])
    assert told["coverage"]["cuda"] == 0.0
    assert not Path("runs").exists()
