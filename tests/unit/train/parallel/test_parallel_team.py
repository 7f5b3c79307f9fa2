"""Settings that a kind of team cannot train with are refused before any process is joined."""

import pytest
import torch

from netwright.core.error import UserError
from netwright.core.table import resolve
from netwright.train.parallel import KINDS, Team
from netwright.train.step import Config

CPU = torch.device("cpu")


def team(kind, world=2, rank=0):
    return resolve(KINDS, kind, "train.parallel")(kind, rank, world, CPU)


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        ("ddp", {"batch": 41}, "train.batch = 41: a multiple of the 2 processes"),
        ("fsdp2", {"batch": 41}, "train.batch = 41: a multiple of the 2 processes"),
        ("tensor", {"precision": "fp16"}, "fp32 or bf16 with train.parallel=tensor"),
        ("pipeline", {"precision": "fp16", "accumulate": 2}, "fp32 or bf16 with train.parallel=pipeline"),
        ("pipeline", {"batch": 40}, "train.accumulate = 1: at least the 2 stages"),
        ("pipeline", {"batch": 40, "accumulate": 3}, "a divisor of train.batch=40. Next: train.accumulate=2"),
    ],
)
def test_settings_that_cannot_be(kind, settings, said):
    with pytest.raises(UserError) as refused:
        team(kind).check(Config(**settings, parallel=kind))
    assert said in str(refused.value)


def test_recomputation_needs_blocks_that_stay_whole():
    one = team("pipeline")
    one.check(Config(parallel="pipeline", accumulate=2, checkpointing=True))
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(), torch.nn.Linear(4, 4))
    with pytest.raises(UserError, match=r"train\.checkpointing = True: only blocks of a ModuleList"):
        one.check_network(model, {"input": torch.randn(2, 4)})


@pytest.mark.parametrize("kind", KINDS)
def test_the_parts_of_a_batch_are_the_batch(kind):
    indices_B = torch.arange(12)
    shares = [indices_B[team(kind, 3, rank).share(indices_B)] for rank in range(3)]
    if kind in ("ddp", "fsdp2"):
        assert torch.equal(torch.cat(shares), indices_B)
    else:
        assert all(torch.equal(share, indices_B) for share in shares)


def test_a_team_of_one_measures_no_messages():
    assert Team("none", 0, 1, CPU).messages() == []
    assert Team("none", 0, 1, CPU).everyone(3) == [3]
