"""A language model that is packed goes on with a text, without netwright."""

import subprocess
import sys
import zipfile

import pytest

from netwright.data.tokenizer import Tokenizer
from netwright.export import decoding, package


@pytest.mark.parametrize("name", ["openvino", "onnx"])
def test_the_loader_writes_what_the_decoder_would(name, written, tmp_path):
    made = written[1][name]
    with zipfile.ZipFile(package.pack(made, tmp_path / "model.zip")) as archive:
        archive.extractall(tmp_path)
    code = "import sys; sys.modules['netwright'] = sys.modules['torch'] = None; import runpy; sys.argv = sys.argv[1:]; "
    code += "runpy.run_path(sys.argv[0], run_name='__main__')"
    said = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "model" / "run.py"), "3 sheep"],
        capture_output=True, check=True,
    ).stdout.decode("utf-8", "replace")  # fmt: skip
    tokenizer = Tokenizer.read(made.folder, made.processor)
    ids = tokenizer.encode("3 sheep")
    decoder = decoding.open(written[1]["torch"])
    logits_V = decoder.feed(ids)
    while len(ids) < 48:
        ids.append(int(logits_V.argmax()))
        if ids[-1] in tokenizer.stop:
            break
        if len(ids) < 48:
            logits_V = decoder.feed(ids[-1:])
    assert said.strip() == tokenizer.decode(ids).strip()
    assert set((tmp_path / "model" / "requirements.txt").read_text().split("==")[0].split()) == {
        package.needed(made)[0]
    }
