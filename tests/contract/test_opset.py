"""Files of ONNX in every opset that the setting allows: certified, and refused where there is none to choose."""

import dataclasses

import onnx
import pytest

from netwright import export
from netwright.core.error import UserError
from netwright.export import verify
from netwright.export.decoding import onnx as cached
from small_language import LLAMA, language_artifact


@pytest.mark.parametrize(("kind", "opset"), [("image", 18), ("text", 22)])
def test_a_file_has_the_opset_that_was_asked_for_and_answers_alike(tiny, tmp_path, kind, opset):
    made = export.write(tiny[kind].artifact, "onnx", tiny[kind].task, tmp_path / "made", n=20, opset=opset)
    assert {one.domain: one.version for one in onnx.load(made.path("model.onnx")).opset_import} == {"": opset}
    assert made.made_by["opset"] == opset
    assert verify.read(made).passed


def test_with_a_cache_too(tmp_path):
    cached.write(language_artifact(tmp_path / "source", LLAMA), tmp_path, 22)
    assert [one.version for one in onnx.load(tmp_path / "model.onnx").opset_import if not one.domain] == [22]


def test_other_formats_have_none(tiny, tmp_path):
    with pytest.raises(UserError, match="openvino has no opset"):
        export.write(tiny["image"].artifact, "openvino", tiny["image"].task, tmp_path / "made", opset=20)
    assert not (tmp_path / "made").exists()


def test_weights_of_four_bits_need_a_newer_one(tiny):
    narrow = dataclasses.replace(tiny["image"].artifact, precision="int4")
    with pytest.raises(UserError, match="21 or more"):
        export.check_source(narrow, "onnx", opset=20)
