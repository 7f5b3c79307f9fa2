"""A checkpoint holds all that the next step depends on, and a broken one is refused in one sentence."""

import pytest
import torch
from torch import nn

from netwright.core.error import UserError
from netwright.train import checkpoint


def trained_optimizer(kind, steps=2, **settings):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 9, 2)).to(memory_format=torch.channels_last)
    optimizer = kind(model.parameters(), lr=0.1, **settings)
    for _ in range(steps):
        model(torch.ones(2, 1, 5, 5)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer


@pytest.mark.parametrize(
    ("kind", "settings"),
    [(torch.optim.SGD, {"momentum": 0.9}), (torch.optim.SGD, {}), (torch.optim.Adam, {}), (torch.optim.AdamW, {})],
)
def test_optimizer_state_returns_bit_for_bit_and_in_its_layout(tmp_path, kind, settings):
    _, optimizer = trained_optimizer(kind, **settings)
    checkpoint.write(tmp_path / "c.safetensors", checkpoint.optimizer_tensors(optimizer), {"step": 2})
    tensors, meta = checkpoint.read(tmp_path / "c.safetensors")
    assert meta == {"step": 2}
    _, other = trained_optimizer(kind, steps=0, **settings)
    checkpoint.restore_optimizer(other, tensors)
    kept, back = optimizer.state_dict()["state"], other.state_dict()["state"]
    for at, values in kept.items():
        for key, value in values.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, back[at][key])
                assert value.stride() == back[at][key].stride()
    assert len(tensors) == sum(isinstance(v, torch.Tensor) for s in kept.values() for v in s.values())


@pytest.mark.parametrize("damage", ["empty", "cut", "noise", "pickle", "foreign"])
def test_a_broken_checkpoint_is_refused(tmp_path, damage):
    path = tmp_path / "last.safetensors"
    checkpoint.write(path, {"model.x": torch.arange(100.0)}, {"step": 1})
    whole = path.read_bytes()
    if damage == "pickle":
        torch.save({"step": 1}, path)
    elif damage == "foreign":
        from safetensors.torch import save_file

        save_file({"x": torch.zeros(1)}, path)
    else:
        path.write_bytes({"empty": b"", "cut": whole[:-7], "noise": b"\xff" * 200}[damage])
    with pytest.raises(UserError, match="not a whole checkpoint"):
        checkpoint.read(path)


def test_a_checkpoint_of_another_network_is_refused():
    model = nn.Linear(2, 2)
    with pytest.raises(UserError, match="holds other tensors"):
        checkpoint.restore_model(model, {"model.weight": torch.zeros(2, 2)}, "model.")


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    path = tmp_path / "last.safetensors"
    checkpoint.write(path, {"model.x": torch.zeros(3)}, {"step": 1})

    def full(tensors, name, metadata):
        with open(name, "wb") as handle:
            handle.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(UserError, match="the disk is full"):
        checkpoint.write(path, {"model.x": torch.ones(3)}, {"step": 2})
    assert checkpoint.read(path)[1] == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["last.safetensors"]
