"""The whole reference: the network from pixels answers what the trained layers answer of the features."""

import copy

import numpy as np
import pytest
import torch

import small_svg
from netwright import export
from netwright.core import recipe
from netwright.data.tasks import Input
from netwright.models import regressor, resnet50
from netwright.study import delivery
from netwright.svg import backbone, whole
from netwright.train import training


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """Trained on what a ResNet-50 of random weights sees, which stands for the real one."""
    torch.manual_seed(0)
    network = resnet50.build(resnet50.Config(), {"image": Input((3, 224, 224), "float32")}, 1).eval()
    del network.head
    monkeypatch.setenv("NETWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(regressor, "backbone", lambda: copy.deepcopy(network))
    monkeypatch.setattr(backbone, "backbone", lambda: copy.deepcopy(network))
    data = small_svg.write(tmp_path / "data", tmp_path / "not the cache", images=10, settings=3)
    told = recipe.parse({
        "task": {"name": "svg-quality", "folder": str(data), "device": "cpu"},
        "model": {"name": "regressor", "widths": [8]}, "train": {"epochs": 1, "batch": 16, "threads": 1},
    }, delivery.SECTIONS)  # fmt: skip
    return training.train(told, tmp_path / "runs")


def test_pixels_are_answered_as_their_features_are(trained, tmp_path):
    full = whole.joined(tmp_path / "runs", trained.artifact)
    assert full.inputs.keys() == {"image", "parameters"}
    assert full.parents == (trained.artifact.digest,)
    assert full.size > 90e6
    features, pixels = (
        whole.task_of({**whole.section(trained.artifact), "see": see}) for see in ("features", "pixels")
    )
    rows = torch.arange(3)
    answers = [
        export.open(one)({name: x.numpy() for name, x in task.batch("test", rows).inputs.items()})
        for one, task in ((trained.artifact, features), (full, pixels))
    ]
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-4)
    again = whole.joined(tmp_path / "runs", trained.artifact)
    assert again.digest == full.digest
    correlation, change = whole.compared(full, trained.artifact, rows=5)
    assert correlation.quantity == "correlation"
    assert abs(change.value) < 1e-3
