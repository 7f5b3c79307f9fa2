"""The transformer encoder: padding says nothing, and neighbouring tokens may be taken as one."""

import pytest
import torch

from netwright.data.tasks import Input
from netwright.models import transformer
from netwright.models.transformer import merged

INPUTS = {"ids": Input((None,), "int64", 50, longest=64), "mask": Input((None,), "bool", longest=64)}


def network(**settings):
    torch.manual_seed(0)
    return transformer.build(transformer.Config(width=16, heads=2, **settings), INPUTS, 3).eval()


def texts(*lengths):
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return torch.randint(1, 50, mask.shape, generator=torch.Generator().manual_seed(1)) * mask, mask


@pytest.mark.parametrize("merge", [1, 2, 3, 4, 7, 64])
def test_padding_changes_no_answer(merge):
    model = network(merge=merge)
    ids, mask = texts(9, 4)
    wider = torch.nn.functional.pad(ids, (0, 23)), torch.nn.functional.pad(mask, (0, 23))
    torch.testing.assert_close(model(ids, mask), model(*wider))
    torch.testing.assert_close(model(ids, mask)[1:], model(ids[1:, :4], mask[1:, :4]))


def test_merged_tokens_are_means_of_those_that_are_there():
    x = torch.arange(10.0).view(1, 5, 2)
    weight = torch.tensor([1.0, 1, 1, 0, 1]).view(1, 5, 1)
    mean, weighs = merged(x, weight, 2)
    assert mean.tolist() == [[[1.0, 2.0], [4.0, 5.0], [8.0, 9.0]]]
    assert weighs.flatten().tolist() == [2, 1, 1]


def test_merging_is_the_mean_of_the_whole_text_at_last():
    """With all tokens as one, blocks see one token, and the order of words is lost but for their positions."""
    model = network(merge=64)
    with torch.no_grad():
        model.positions.zero_()
    ids, mask = texts(9)
    torch.testing.assert_close(model(ids, mask), model(ids.flip(1), mask))
    torch.testing.assert_close(network(merge=1)(ids, mask).isfinite().all(), torch.tensor(True))


def test_merging_is_less_work():
    seen = []
    for merge in (1, 4):
        model = network(merge=merge)
        model.blocks[0].register_forward_pre_hook(lambda block, given: seen.append(given[0].shape[1]))
        model(*texts(9))
    assert seen == [9, 3]
