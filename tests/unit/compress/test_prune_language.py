"""Pruned and distilled language models, whose layers may differ in heads, generate in every format."""

import numpy as np
import pytest

from netwright import export
from netwright.compress import METHODS
from netwright.core import table, workload
from netwright.export import decoding
from netwright.models.load import open_model


@pytest.mark.parametrize("name", ["prune", "distill"])
def test_smaller_networks_generate_in_every_format(name, written, tmp_path):
    task, files = written
    method = table.resolve(METHODS, name, "compress.name")
    made = method.apply(files["torch"], task, method.Config(keep=0.6, epochs=1, threads=1), tmp_path / "made")
    assert workload.read(made.folder).flops <= 0.6 * workload.read(files["torch"].folder).flops
    before, after = (sum(key.shape[1] for key, _ in open_model(one).nothing_read()) for one in (files["torch"], made))
    assert after < before
    answers = []
    for one in (made, *(export.write(made, format, task, tmp_path / format, n=20) for format in ("openvino", "onnx"))):
        decoder = decoding.open(one)
        decoder.feed([7] * 5)
        decoder.keep(3)
        answers.append(decoder.feed([9, 8, 7], all=True))
    for answer in answers[1:]:
        np.testing.assert_allclose(answer, answers[0], rtol=1e-3, atol=1e-4)
