"""Settings found by trying leave everything as it was."""

import torch

from netwright.data import synthetic
from netwright.models import cnn
from netwright.train import search
from netwright.train.step import Config

TASK = synthetic.open(synthetic.Config(examples=400))


def model():
    torch.manual_seed(0)
    return cnn.build(cnn.Config(width=8), TASK.inputs, 4)


def test_the_range_test_restores_all_state_and_draws_its_curve(tmp_path):
    network = model()
    before = {name: x.clone() for name, x in network.state_dict().items()}
    random = torch.get_rng_state()
    found = search.learning_rate(network, TASK, Config(batch=50, threads=1, optimizer="sgd"), tmp_path, steps=40)
    assert all(torch.equal(x, before[name]) for name, x in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert network.training
    assert 1e-4 < found["lr"] < 5
    assert found["suggestion"] == f"train.lr={found['lr']:.2g}"
    assert (tmp_path / "range-test.svg").read_text().startswith("<svg")


def test_the_batch_found_is_within_the_budget():
    network = model()
    before = {name: x.clone() for name, x in network.state_dict().items()}
    found = search.batch_size(network, TASK, Config(threads=1, memory_gb=100))
    assert found["batch"] == 400  # all there are
    assert found["peak_bytes"] <= 100e9
    assert all(torch.equal(x, before[name]) for name, x in network.state_dict().items())
