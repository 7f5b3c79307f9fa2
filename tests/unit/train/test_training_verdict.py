"""After training on what others trained: perplexity, its change on the same test tokens, and a sentence."""

import pytest

from netwright.core import recipe
from netwright.core.run import state
from netwright.data.tasks import Evaluation
from netwright.train import training
from small_languages import small_llama, text_file

RECIPE = """
[task]
name = "language"
data = "{data}"
unit = "line"
max_tokens = 32
[model]
name = "{model}"
{source}
[train]
epochs = 3
batch = 8
lr = 0.01
threads = 1
"""
SMALL = "width = 16\ndepth = 1\nheads = 2\nhidden = 32\npositions = 256"


def trained(folder, runs, **words):
    (folder / "tiny.toml").write_text(RECIPE.format(data=folder / "words.txt", **words))
    return training.train(recipe.load(folder / "tiny.toml", [], training.SECTIONS), runs)


def test_what_was_trained_before_is_compared(tmp_path):
    data = text_file(tmp_path)
    base = small_llama(tmp_path / "base", data)
    found = trained(tmp_path, tmp_path / "runs", model="pretrained", source=f'source = "{base.folder}"')
    seen = {one.quantity: one for one in found.measurements}
    assert seen["perplexity"].value > 1
    assert seen["perplexity_ratio"].high < 1
    assert seen["perplexity_ratio"].n == seen["perplexity"].n
    assert found.verdicts[0].startswith("tuned better than base by ")
    assert state(found.folder)["result"]["verdicts"] == list(found.verdicts)
    again = trained(tmp_path, tmp_path / "runs", model="pretrained", source=f'source = "{base.folder}"')
    assert again.reused
    assert again.verdicts == found.verdicts


def test_what_begins_from_nothing_has_nothing_to_be_compared_with(tmp_path):
    text_file(tmp_path)
    found = trained(tmp_path, tmp_path / "runs", model="llama", source=SMALL)
    seen = {one.quantity for one in found.measurements}
    assert "perplexity" in seen
    assert "perplexity_ratio" not in seen
    assert found.verdicts == ()


def test_pairs_need_the_same_tokens():
    import numpy as np

    one, two = (Evaluation(np.ones(n, bool), np.ones(n, np.float32)) for n in (3, 4))
    with pytest.raises(ValueError, match="cannot be paired"):
        one.perplexity_ratio(two)
    assert one.perplexity_ratio(one).value == 1
