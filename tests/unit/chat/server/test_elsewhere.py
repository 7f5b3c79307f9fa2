"""Every device of the list is in the catalogue, and a small model is predicted on most of them, with intervals."""

from netwright.chat.server import elsewhere
from netwright.core import artifact as artifacts
from netwright.hardware import catalog
from small_language import LLAMA, language_artifact


def test_every_device_is_in_the_catalogue():
    names = [catalog.find(name).name for name in elsewhere.DEVICES]
    assert len(set(names)) == len(names)


def test_a_small_model_is_predicted_with_intervals(tmp_path):
    made = language_artifact(tmp_path / "a", LLAMA)
    assert elsewhere.shape(artifacts.read(made.folder)).layers == LLAMA.depth
    found = elsewhere.predicted(made.folder, 64, 64)
    assert len(found) >= len(elsewhere.DEVICES) // 2
    for one in found:
        assert 0 < one["per_second"]["low"] < one["per_second"]["value"] < one["per_second"]["high"]
        assert 0 < one["first_token"]["low"] < one["first_token"]["high"]
    assert [one["per_second"]["value"] for one in found] == sorted(
        (o["per_second"]["value"] for o in found), reverse=True
    )
