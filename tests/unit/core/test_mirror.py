"""The mirrors hold what the run logged, once, whatever was killed in between; their faults stop nothing."""

import sys

import pytest

from netwright.core import mirror
from netwright.core.error import UserError
from netwright.core.run import Run

PARAMS = {"train": {"epochs": 3, "schedule": {"name": "cosine"}}, "seed": 1}


def mlflow_runs(runs):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{runs / 'mlflow.db'}")
    return client, client.search_runs([client.get_experiment_by_name("netwright").experiment_id])


def history(runs, key):
    client, (run,) = mlflow_runs(runs)
    return [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, key)]


def events(folder):
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    found = [
        event for path in sorted((folder / "tensorboard").iterdir()) for event in EventFileLoader(str(path)).Load()
    ]
    return [(e.step, v.tag, v.tensor.float_val[0]) for e in found for v in e.summary.value]


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_run_that_is_killed_and_goes_on_is_one_run_in_each_mirror(tmp_path):
    with Run.start(tmp_path, "train", {"a": 1}) as run:
        run.mirror(*mirror.mirrors(["mlflow", "tensorboard"], run.folder, PARAMS))
        run.log(1, loss=2.0, lr=0.1)
        run.log(2, loss=float("nan"), lr=0.1)
        run.log(3, loss=1.5)
        run._mirrors = []  # killed: nothing is flushed or closed
    with Run.start(tmp_path, "train", {"a": 1}) as run:
        assert run.resumed
        run.mirror(*mirror.mirrors(["mlflow", "tensorboard"], run.folder, PARAMS))
        run.rewind(2)
        run.log(3, loss=1.5)
        run.log(4, loss=1.0)
    with Run.start(tmp_path, "train", {"a": 1}) as run:  # and once more, after an orderly end
        run.mirror(*mirror.mirrors(["mlflow", "tensorboard"], run.folder, PARAMS))
        run.log(5, loss=0.5)
    losses = [(1, 2.0), (3, 1.5), (4, 1.0), (5, 0.5)]
    assert history(tmp_path, "loss") == losses
    assert history(tmp_path, "lr") == [(1, 0.1), (2, 0.1)]
    assert [(step, value) for step, tag, value in events(run.folder) if tag == "loss"] == losses
    _, (kept,) = mlflow_runs(tmp_path)
    assert kept.info.status == "FINISHED"
    assert kept.info.run_name == run.folder.name
    assert kept.data.params == {"train.epochs": "3", "train.schedule.name": "cosine", "seed": "1"}


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_mlflow_gets_the_plots_of_a_run_that_ends(tmp_path):
    with Run.start(tmp_path / "runs", "train", {"a": 1}) as run:
        run.mirror(*mirror.mirrors(["mlflow"], run.folder, PARAMS))
        (run.folder / "plots").mkdir()
        for name in ("work.svg", "hierarchy.svg"):
            (run.folder / "plots" / name).write_text(f"<svg>{name}</svg>")
    client, (kept,) = mlflow_runs(tmp_path / "runs")
    assert [one.path for one in client.list_artifacts(kept.info.run_id, "plots")] == [
        "plots/hierarchy.svg",
        "plots/work.svg",
    ]
    copied = list((tmp_path / "runs" / "mlflow").rglob("work.svg"))
    assert [path.read_text() for path in copied] == ["<svg>work.svg</svg>"]


class Faulty:
    calls = 0

    def __init__(self, folder, params):
        pass

    def log(self, step, metrics):
        Faulty.calls += 1
        raise OSError("[disk] full")

    def close(self, status):
        raise OSError("full")


def test_a_mirror_that_fails_says_so_once_and_stops_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(mirror, "_TensorBoard", Faulty)
    with Run.start(tmp_path, "train", {}) as run:
        run.mirror(*mirror.mirrors(["tensorboard"], run.folder, {}))
        for step in range(3):
            run.log(step, loss=1.0)
    assert capsys.readouterr().err.count("[disk] full") == 1
    assert Faulty.calls == 1
    assert len(run.metrics()) == 3


def test_a_mirror_that_cannot_be_opened_stops_nothing(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "tensorboard").write_text("a file where a folder should be")
    (broken,) = mirror.mirrors(["tensorboard"], tmp_path / "run", {})
    broken.log(1, {"loss": 1.0})
    broken.close("FINISHED")
    assert capsys.readouterr().err.count("The run goes on") == 1


def test_unknown_names_and_missing_extras_stop_before_any_work(tmp_path, monkeypatch):
    with pytest.raises(UserError, match='did you mean "mlflow"'):
        mirror.mirrors(["ml-flow"], tmp_path, {})
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(UserError, match=r"netwright\[tensorboard\]"):
        mirror.mirrors(["tensorboard"], tmp_path, {})
    assert list(tmp_path.iterdir()) == []
