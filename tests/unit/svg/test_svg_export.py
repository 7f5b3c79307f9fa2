"""The three files of a predictor say the same as the network, in less room."""

import json
import zipfile

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from netwright.svg import export, statistics, tracer
from netwright.svg.amounts import TARGETS, unscaled
from netwright.svg.network import Distance, Ensemble, Member
from netwright.svg.predictor import LEVEL, Predictor
from netwright.svg.raster import from_pixels
from netwright.svg.setting import draw, vectors
from netwright.svg.views import views
from scripted_tracer import picture

RASTER, SETTINGS = from_pixels(picture(96)), draw(5)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predictor")
    count = len(statistics.columns())
    about = {"tracer": tracer.version(), "targets": list(TARGETS), "level": LEVEL, "limit": 1e9,
             "reach": {"familiar": [1.0] * len(TARGETS), "unfamiliar": [2.0] * len(TARGETS)}}  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Ensemble([Member(count, hidden=16), Member(count, hidden=16)]).eval()
        distance = Distance(torch.zeros(count), torch.randn(count, 4), torch.randn(8, 4))
    export.write(export.Whole(model, distance), about, folder)
    return folder, model, about


def inputs():
    return (*(torch.from_numpy(one)[None] for one in views(RASTER)), torch.from_numpy(vectors(SETTINGS)))


def wanted(model):
    with torch.inference_mode():
        features_1F = statistics.Statistics().eval()(*inputs()[:3])
        return model(features_1F, inputs()[3])


def test_the_onnx_file_predicts_what_the_network_does(made):
    folder, model, _ = made
    predictor = Predictor(folder / "quality.onnx")
    guess = predictor.predict(predictor.features(RASTER), SETTINGS)
    mean_NT, _ = wanted(model)
    want_NT = unscaled(mean_NT.double().numpy())
    for at, name in enumerate(TARGETS):
        assert np.allclose(getattr(guess, name), want_NT[:, at], rtol=0.02, atol=0.02), name  # weights of 16 bits


def test_the_other_files_predict_the_same(made):
    folder, model, about = made
    want_NT, _ = wanted(model)
    found = {"netwright": ""}
    with pytest.warns(DeprecationWarning, match="deprecated"):
        script = torch.jit.load(str(folder / "quality.torchscript.pt"), _extra_files=found)
    assert json.loads(found["netwright"]) == about
    program = torch.export.load(folder / "quality.pt2", extra_files={"netwright": ""}).module()
    for one in (script, program):
        with torch.inference_mode():
            assert torch.allclose(one(*inputs())[0], want_NT, atol=0.01)
    with zipfile.ZipFile(folder / "quality.pt2") as archive:
        assert all(entry.compress_type == zipfile.ZIP_DEFLATED for entry in archive.infolist())


def test_no_table_of_one_number_is_written_out(made):
    graph = onnx.load(str(made[0] / "quality.onnx")).graph
    large = [numpy_helper.to_array(one) for one in graph.initializer if len(one.raw_data) >= export.TABLE]
    assert large
    assert all((values != values.flat[0]).any() for values in large)
    assert any(node.op_type == "ConstantOfShape" for node in graph.node)
