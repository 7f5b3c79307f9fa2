"""Opening files that are not what they say."""

import contextlib
import dataclasses
import hashlib
import io
import os
import pickle
import stat
import zipfile

import numpy as np
import pytest
import torch

from netwright import export
from netwright.core import artifact as artifacts
from netwright.core.error import UserError
from netwright.export import executed, program
from netwright.export.trace import quiet
from netwright.hardware import detect

FORMATS = sorted(export.FORMATS.keys() - set(export.OF_LANGUAGE))


@pytest.fixture(autouse=True)
def own_key(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.getbasetemp() / "data"))


@pytest.fixture(scope="module")
def exported(tiny, tmp_path_factory):
    """The image network in every format, made once."""
    folder = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.getbasetemp() / "data"))
        task, source = tiny["image"]
        return {name: export.write(source, name, task, folder / name, n=20) for name in FORMATS}


def forged(source, folder, change=lambda draft: None, **about):
    """The artifact after `change(draft)`, its hashes in order: what an attacker would hand on."""
    fields = {f.name: getattr(source, f.name) for f in dataclasses.fields(source) if f.name not in ("folder", "files")}

    def fill(draft):
        for name in source.files:
            (draft / name).write_bytes(source.path(name).read_bytes())
        change(draft)

    return artifacts.create(folder, fill, **{**fields, **about})


def replace(name, old, new):
    def change(draft):
        content = (draft / name).read_bytes()
        assert old in content
        (draft / name).write_bytes(content.replace(old, new, 1))

    return change


# ---- program: a .pt2 is code


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def poison(path, mark):
    """Put a pickle that makes a folder where torch.export.load unpickles."""
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    content = io.BytesIO()
    torch.save(Payload(mark), content)
    target = next(name for name in parts if name.endswith("sample_inputs/model.pt"))
    parts[target] = content.getvalue()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        for name, part in parts.items():
            file.writestr(name, part)


def test_torch_itself_would_run_the_code_in_a_poisoned_program(exported, tmp_path):
    """If this fails, torch has closed the hole that `program` is built around: read its docstring again."""
    path, mark = tmp_path / "model.pt2", tmp_path / "mark"
    path.write_bytes(exported["program"].path(program.FILE).read_bytes())
    poison(path, mark)
    with quiet(), contextlib.suppress(Exception):
        torch.export.load(path)
    assert mark.is_dir()


def test_a_poisoned_program_is_never_given_to_torch(exported, tmp_path):
    mark = tmp_path / "mark"
    bad = forged(exported["program"], tmp_path / "a", lambda draft: poison(draft / program.FILE, mark))
    with pytest.raises(UserError, match="can run code"):
        export.open(bad)
    assert not mark.exists()


def test_a_program_without_its_voucher_is_refused(exported, tmp_path):
    bad = forged(exported["program"], tmp_path / "a", lambda draft: (draft / program.VOUCHER).unlink())
    with pytest.raises(UserError, match="did not write it"):
        export.open(bad)


def test_a_program_of_another_user_is_refused(exported, tmp_path, monkeypatch):
    export.open(exported["program"])
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "other"))
    with pytest.raises(UserError, match="export TORCH_ARTIFACT --format program"):
        export.open(exported["program"])


def test_a_plain_hash_does_not_vouch(exported, tmp_path):
    def change(draft):
        content = (draft / program.FILE).read_bytes()
        (draft / program.VOUCHER).write_text(hashlib.sha256(content).hexdigest())

    with pytest.raises(UserError, match="can run code"):
        export.open(forged(exported["program"], tmp_path / "a", change))


def test_the_key_is_for_its_user_alone_and_never_short(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    key = program._key()
    path = tmp_path / "netwright" / "vouch.key"
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert program._key() == key
    assert [p.name for p in path.parent.iterdir()] == ["vouch.key"]
    path.write_bytes(b"")
    with pytest.raises(UserError, match="not 32 bytes"):
        program._key()


# ---- onnx


def external(draft):
    import onnx

    model = onnx.load(draft / "model.onnx")
    tensor = max(model.graph.initializer, key=lambda t: t.ByteSize())
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../../etc/passwd")
    (draft / "model.onnx").write_bytes(model.SerializeToString())


def hidden_external(draft):
    """External data in a subgraph's constant, where a look at the initializers alone would miss it."""
    import onnx
    from onnx import helper

    model = onnx.load(draft / "model.onnx")
    tensor = onnx.TensorProto(name="hidden", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/passwd")
    body = helper.make_graph([helper.make_node("Constant", [], ["c"], value=tensor)], "body", [], [])
    model.graph.node.append(helper.make_node("If", ["x"], [], then_branch=body, else_branch=body))
    (draft / "model.onnx").write_bytes(model.SerializeToString())


@pytest.mark.parametrize("change", [external, hidden_external])
def test_onnx_data_outside_the_file_is_never_followed(change, exported, tmp_path):
    with pytest.raises(UserError, match="lies in another file"):
        export.open(forged(exported["onnx"], tmp_path / "a", change))


@pytest.mark.parametrize("content", [b"", b"\x80\x04N.", b"\x00" * 50, b"GIF89a" * 20])
def test_what_is_no_onnx_is_refused(content, exported, tmp_path):
    bad = forged(exported["onnx"], tmp_path / "a", lambda draft: (draft / "model.onnx").write_bytes(content))
    with pytest.raises(UserError, match="refuses it"):
        export.open(bad)


def test_an_onnx_operator_nobody_knows_is_refused(exported, tmp_path):
    with pytest.raises(UserError, match="ONNX Runtime refuses it"):
        export.open(forged(exported["onnx"], tmp_path / "a", replace("model.onnx", b"Relu", b"Evil")))


# ---- openvino


@pytest.mark.parametrize("content", [b"", b"<net", b"<?xml version='1.0'?><other/>", b"\x00" * 64])
def test_what_is_no_ir_is_refused(content, exported, tmp_path):
    bad = forged(exported["openvino"], tmp_path / "a", lambda draft: (draft / "model.xml").write_bytes(content))
    with pytest.raises(UserError, match="OpenVINO refuses it"):
        export.open(bad)


def test_an_ir_whose_weights_are_cut_short_is_refused(exported, tmp_path):
    bad = forged(exported["openvino"], tmp_path / "a", lambda draft: (draft / "model.bin").write_bytes(b"\x00" * 8))
    with pytest.raises(UserError, match="OpenVINO refuses it"):
        export.open(bad)


def test_an_xml_bomb_does_not_expand(exported, tmp_path):
    bomb = b'<!DOCTYPE x [<!ENTITY a "' + b"a" * 1000 + b'"><!ENTITY b "' + b"&a;" * 1000 + b'">]>'
    change = replace("model.xml", b'<net name="', bomb + b'<net name="&b;')
    runner = export.open(forged(exported["openvino"], tmp_path / "a", change))
    assert runner.precision == "fp32"


def test_an_ir_that_names_other_inputs_than_its_manifest_is_refused(exported, tmp_path):
    with pytest.raises(UserError, match="its manifest says"):
        export.open(
            forged(exported["openvino"], tmp_path / "a", replace("model.xml", b'names="image"', b'names="other"'))
        )


# ---- all


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_the_manifest_and_the_file_must_agree_on_inputs(name, exported, tmp_path):
    inputs = {"image": {"shape": [1, 8, 8], "dtype": "int64"}}
    with pytest.raises(UserError, match="its manifest says"):
        export.open(forged(exported[name], tmp_path / "a", inputs=inputs))


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_too_large_to_parse_is_not_read(name, exported, monkeypatch):
    monkeypatch.setattr(executed, "MAX_FILE_BYTES", 10)
    if name == "torch":
        assert export.open(exported[name])  # safetensors are bounded by the network they must fit
    else:
        with pytest.raises(UserError, match="larger than 10 bytes"):
            export.open(exported[name])


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("precision", ["fp64", "int8", "", "f32"])
def test_a_precision_the_format_does_not_have_is_refused(name, precision, exported):
    if precision == "":
        assert export.open(exported[name], precision=None).precision == "fp32"
        return
    with pytest.raises(UserError, match="precision"):
        export.open(exported[name], precision=precision)


@pytest.mark.parametrize("name", ["torch", "program", "openvino"])
def test_bf16_is_another_model_and_says_so(name, exported, tiny):
    if "bf16" not in str(detect.detect().isa).lower():
        pytest.skip("this CPU has no bf16 arithmetic")
    inputs = {key: x.numpy() for key, x in tiny["image"].task.example(8).items()}
    full, half = export.open(exported[name]), export.open(exported[name], precision="bf16")
    assert (full.precision, half.precision) == ("fp32", "bf16")
    error = np.linalg.norm(full(inputs) - half(inputs)) / np.linalg.norm(full(inputs))
    assert 1e-4 < error < 5e-2


def test_a_runner_gives_the_threads_back(exported, tiny):
    before = torch.get_num_threads()
    runner = export.open(exported["torch"], threads=before + 1)
    runner({key: x.numpy() for key, x in tiny["image"].task.example(1).items()})
    assert torch.get_num_threads() == before


def test_most_promises_no_more_than_runs():
    assert executed.most({"int8": 3, "fp32": 2}, "fp32") == "int8"
    assert executed.most({"int8": 2, "fp32": 2}, "int8") == "fp32"
    assert executed.most({}, "fp32") == "fp32"
    assert executed.most({"bf16": 1, "int8": 1, "fp32": 1}, "int8") == "fp32"


def test_only_a_torch_artifact_is_exported(exported, tiny, tmp_path):
    with pytest.raises(UserError, match="only an artifact of format"):
        export.write(exported["onnx"], "openvino", tiny["image"].task, tmp_path / "a")
    with pytest.raises(UserError, match="did you mean"):
        export.write(exported["torch"], "onx", tiny["image"].task, tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_a_missing_extra_stops_before_any_work(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(UserError, match=r"pip install 'netwright\[openvino\]'"):
        export.write(tiny["image"].artifact, "openvino", tiny["image"].task, tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_pickles_are_not_opened_under_any_format(exported, tmp_path):
    content = pickle.dumps(Payload(tmp_path / "mark"))
    for name, file in {"onnx": "model.onnx", "openvino": "model.xml", "torch": "weights.safetensors"}.items():
        bad = forged(exported[name], tmp_path / name, lambda draft, file=file: (draft / file).write_bytes(content))
        with pytest.raises(UserError):
            export.open(bad)
    assert not (tmp_path / "mark").exists()
