"""The learned predictor at the command line, on a suite of made-up rows."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "predict"))

import toy

from netwright import cli
from netwright.core.error import UserError
from netwright.hardware import catalog
from netwright.predict import suites
from netwright.predict.learning import learn, registry, store, validate


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """A folder of rows of five devices, another of one that is never fitted."""

    def find(name, *_):
        if name not in toy.DEVICES:
            raise UserError("device", name, "none of that name", "netwright hardware list")
        return toy.DEVICES[name]

    for module in (suites, store, learn, validate):
        monkeypatch.setattr(module, "SUITES", {"toy": "toy"})
    monkeypatch.setattr(catalog, "find", find)
    monkeypatch.setenv("NETWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(store, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setenv("COLUMNS", "80")
    store.current.cache_clear()
    for name, devices in (("many", ("a1", "a2", "b1", "b2", "c1")), ("few", ("d1", "a1"))):
        (tmp_path / name).mkdir()
        pd.DataFrame(toy.columns(900, names=devices)).to_csv(tmp_path / name / "toy.csv", index=False)
    yield tmp_path
    store.current.cache_clear()


def run(capsys, *words):
    code = cli.main(["predict", *map(str, words)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_fit_validate_and_what_is_said(capsys, rows):
    code, out, err = run(capsys, "fit", rows / "many", f"runs={rows / 'runs'}", "--quick")
    assert code == 0, err
    assert "toy, architecture left out" in out
    assert "mean of devices" in out
    assert "Next: netwright predict promote" in out
    made = next((rows / "runs").glob("*/predictor.npz"))
    code, out, err = run(capsys, "validate", rows / "few", "--predictor", made)
    assert code == 0, err
    assert "a1 *" in out
    assert "d1" in out
    assert max(map(len, out.splitlines())) <= 80
    code, out, _ = run(capsys, "validate", rows / "few", "--predictor", made, "--json")
    told = json.loads(out)
    assert {row["device"] for row in told["scores"]} == {"a1", "d1"}
    assert {row["k"] for row in told["scores"]} == {0, 3, 10, 30}
    strange = toy.columns(20, names=("a1",))
    (rows / "strange").mkdir()
    pd.DataFrame({**strange, "device": "nobody"}).to_csv(rows / "strange" / "toy.csv", index=False)
    code, out, err = run(capsys, "validate", rows / "strange", "--predictor", made)
    assert code == 0, err
    assert "toy: 20 rows refused" in out
    assert "give --specs" in out


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_mlflow_is_told_of_the_fit_and_of_the_promotion(capsys, rows):
    from mlflow.tracking import MlflowClient

    runs = rows / "runs"
    assert run(capsys, "fit", rows / "many", f"runs={runs}", "--quick", "--mlflow")[0] == 0
    made = next(runs.glob("*/predictor.npz"))
    client = MlflowClient(f"sqlite:///{runs / 'mlflow.db'}")
    assert not client.get_registered_model(registry.NAME).aliases
    fitted, _ = store.load(made)
    (rows / "shipped").mkdir()
    worse = {"scores": [{"suite": "toy", "k": 0, "error": 9.0, "coverage": 0.9}], "rows": store.load(made)[1]["rows"]}
    store.save(fitted, rows / "shipped" / "predictor.npz", worse)
    code, out, _ = run(capsys, "promote", made, f"runs={runs}", "--mlflow")
    assert (code, "Promoted" in out) == (0, True)
    assert client.get_model_version_by_alias(registry.NAME, "promoted").version
