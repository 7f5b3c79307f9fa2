"""Prepared tensors are made once, and again when the file was touched."""

import pytest
import torch

from netwright.core.error import UserError
from netwright.data.prepared import prepared


def test_made_once_and_checked(tmp_path, monkeypatch):
    monkeypatch.setenv("NETWRIGHT_CACHE", str(tmp_path))
    made = []

    def make():
        made.append(1)
        return {"x": torch.arange(5)}

    for _ in range(2):
        assert torch.equal(prepared("thing", {"v": 1}, make)["x"], torch.arange(5))
    assert len(made) == 1
    (file,) = (tmp_path / "prepared").iterdir()
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert torch.equal(prepared("thing", {"v": 1}, make)["x"], torch.arange(5))
    assert len(made) == 2
    prepared("thing", {"v": 2}, make)
    assert len(made) == 3
    assert len(list((tmp_path / "prepared").iterdir())) == 2


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NETWRIGHT_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="NETWRIGHT_CACHE"):
        prepared("thing", {}, lambda: {"x": torch.zeros(1)})
