import pytest
import sqlalchemy as sa
from toy import DEVICES, columns, suite

from netwright.core import db
from netwright.hardware.schema import model_runs
from netwright.predict.learning import hybrid, registry, store


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    fitted = {"toy": hybrid.fit(suite, columns(300), DEVICES, quick=True)}
    scores = [{"suite": "toy", "k": 0, "error": 0.1, "coverage": None}, {"suite": "toy", "k": 3, "error": None}]
    for name in ("one", "two"):
        store.save(fitted, folder / f"{name}.npz", {"scores": scores, "note": name})
    return folder


def statuses(runs):
    engine = db.engine(runs)
    with engine.connect() as connection:
        found = connection.execute(sa.select(model_runs.c.version, model_runs.c.status)).all()
    engine.dispose()
    return dict(map(tuple, found))


@pytest.mark.parametrize("where", ["sqlite", "postgres"])
def test_one_is_in_place_and_the_one_before_is_retired(where, files, tmp_path, request, monkeypatch):
    if where == "postgres":
        monkeypatch.setenv(db.VARIABLE, request.getfixturevalue("postgres_url"))
    assert registry.record(tmp_path, files / "one.npz") == 1
    assert registry.record(tmp_path, files / "one.npz") == 1
    assert statuses(tmp_path) == {1: "candidate"}
    registry.record(tmp_path, files / "one.npz", promoted=True)
    assert registry.record(tmp_path, files / "two.npz", promoted=True) == 2
    assert statuses(tmp_path) == {1: "retired", 2: "promoted"}


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_mlflow_keeps_versions_and_knows_the_promoted_one(files, tmp_path):
    from mlflow.tracking import MlflowClient

    first = registry.register(tmp_path, files / "one.npz", promoted=True)
    assert registry.register(tmp_path, files / "one.npz") == first
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    found = client.get_model_version_by_alias(registry.NAME, "promoted")
    assert (str(found.version), found.tags["error.toy"]) == (first, "0.1000")
