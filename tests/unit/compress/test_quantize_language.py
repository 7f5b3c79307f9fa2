"""Language models with smaller weights still generate, and what is not made of them is refused."""

import pytest

from netwright.compress import quantize
from netwright.core.error import UserError
from netwright.export import decoding, verify


@pytest.mark.parametrize("format", ["openvino", "onnx"])
@pytest.mark.parametrize("to", ["int8-weights", "int4-weights"])
def test_smaller_weights_keep_perplexity_and_generate(to, format, written, tmp_path):
    task, files = written
    config = quantize.Config(to=to, format=format, examples=20, samples=8, group=32)
    made = quantize.apply(files[format], task, config, tmp_path / "made")
    certificate = verify.read(made)
    assert certificate.perplexity < (1.02 if to == "int8-weights" else 1.3) * certificate.reference_perplexity
    assert certificate.agreement > (0.9 if to == "int8-weights" else 0.5)
    decoder = decoding.open(made)
    assert decoder.feed([1, 2, 3]).shape == (257,)
    assert len(decoder) == 3


def test_static_int8_of_a_language_model_is_refused(written):
    with pytest.raises(UserError, match="of language models int8-weights"):
        quantize.check_source(written[1]["openvino"], quantize.Config(to="int8"))
