"""Every network: builds for the tasks it is meant for, refuses the others, answers logits, and learns."""

import dataclasses

import pytest
import torch

from netwright.core import recipe, table
from netwright.core.error import UserError
from netwright.data.tasks import Input
from netwright.models import MODELS, FromData

IMAGE = {"image": Input((3, 20, 20), "float32")}
TEXT = {"ids": Input((None,), "int64", 50), "mask": Input((None,), "bool")}
LANGUAGE = {"ids": Input((None,), "int64", 50), "positions": Input((None,), "int64")}
FEATURES = {"features": Input((24,), "float32")}
KINDS = {"regressor": FEATURES, "transformer": TEXT, "bag": TEXT, "llama": LANGUAGE, "gpt2": LANGUAGE}
SMALL = {"regressor": {"dropout": 0.0}, "gpt2": {"width": 32, "depth": 2, "heads": 2}}
"""Settings of networks whose defaults would make a test slow."""
BUILT = sorted(set(MODELS) - {"pretrained"})
"""Networks that begin from nothing; trained ones are those of their own tests."""


def fitting(name):
    return KINDS.get(name, IMAGE)


def example(inputs, batch):
    torch.manual_seed(0)
    if "image" in inputs:
        return {"image": torch.randn(batch, 3, 20, 20)}
    if "features" in inputs:
        return {"features": torch.randn(batch, 24)}
    if "positions" in inputs:
        positions = torch.arange(9).repeat(batch, 1)
        positions[::2, 5:] -= 5  # two texts in a row
        return {"ids": torch.randint(1, 50, (batch, 9)), "positions": positions}
    mask = torch.arange(9) < torch.randint(4, 10, (batch, 1))
    return {"ids": torch.randint(1, 50, (batch, 9)) * mask, "mask": mask}


def answers_of(inputs):
    """Columns of an answer: classes, or one number."""
    return 1 if "features" in inputs else 5


def labels_of(inputs, batch):
    """A class of each example, or of each token; or a number."""
    if "features" in inputs:
        return torch.arange(batch) % 5 / 5 + 0.1
    labels = torch.arange(batch) % 5
    return labels[:, None].expand(batch, 9) + torch.arange(9) if "positions" in inputs else labels


def loss_of(logits, labels):
    if logits.shape[1:] == (1,):
        return 100 * torch.nn.functional.mse_loss(logits[:, 0], labels)  # off by 0.07 then makes 0.5
    return torch.nn.functional.cross_entropy(logits.flatten(0, -2), labels.flatten())


@pytest.fixture(params=BUILT)
def network(request):
    module = table.resolve(MODELS, request.param, "model.name")
    inputs = fitting(request.param)
    torch.manual_seed(0)
    model = module.build(module.Config(**SMALL.get(request.param, {})), inputs, answers_of(inputs))
    if isinstance(model, FromData):
        model.initialize(example(inputs, 64))
    return request.param, module, model, inputs


def test_it_answers_one_row_of_logits_an_example(network):
    _, _, model, inputs = network
    model.eval()
    for batch in (1, 3):
        logits = model(**example(inputs, batch))
        assert logits.shape == ((batch, 9, 50) if inputs is LANGUAGE else (batch, answers_of(inputs)))
        assert torch.isfinite(logits).all()


def test_an_example_is_answered_alike_in_any_batch(network):
    _, _, model, inputs = network
    model.eval()
    whole = example(inputs, 6)
    alone = torch.cat([model(**{name: x[at : at + 1] for name, x in whole.items()}) for at in range(6)])
    torch.testing.assert_close(model(**whole), alone, rtol=1e-4, atol=1e-5)


def test_every_trainable_weight_gets_a_gradient(network):
    _, _, model, inputs = network
    model.train()
    logits = model(**example(inputs, 8))
    loss_of(logits, labels_of(inputs, 8)).backward()
    assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


def test_it_learns_eight_examples_by_heart(network):
    _, _, model, inputs = network
    model.train()
    batch, labels = example(inputs, 8), labels_of(inputs, 8)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    for _ in range(60):
        loss = loss_of(model(**batch), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert float(loss.detach()) < 0.5


def test_the_same_seed_gives_the_same_network(network):
    _, module, _, inputs = network
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(module.build(module.Config(), inputs, answers_of(inputs)).state_dict())
    assert all(torch.equal(x, states[1][name]) for name, x in states[0].items())


def test_another_kind_of_task_is_refused(network):
    name, module, _, inputs = network
    for other in (IMAGE, TEXT, LANGUAGE):
        if other is not inputs:
            with pytest.raises(UserError, match=name):
                module.build(module.Config(), other, answers_of(inputs))


def test_its_config_names_it_and_round_trips(network):
    name, module, _, _ = network
    config = module.Config()
    assert config.name == name
    assert dataclasses.is_dataclass(config)
    assert recipe.build(module.Config, recipe.plain(config), "model") == config


@pytest.mark.parametrize("name", ["transformer", "bag"])
def test_padding_does_not_change_the_answer_of_a_text(name):
    module = table.resolve(MODELS, name, "model.name")
    model = module.build(module.Config(), TEXT, 5).eval()
    short = {"ids": torch.randint(1, 50, (2, 7)), "mask": torch.ones(2, 7, dtype=torch.bool)}
    padded = {name: torch.nn.functional.pad(x, (0, 6)) for name, x in short.items()}
    torch.testing.assert_close(model(**short), model(**padded), rtol=1e-4, atol=1e-5)


def test_the_first_layer_of_the_fast_network_whitens_its_patches():
    module = table.resolve(MODELS, "resnet9", "model.name")
    model = module.build(module.Config(width=4), IMAGE, 5)
    torch.manual_seed(0)
    smooth = torch.nn.functional.avg_pool2d(torch.randn(64, 3, 22, 22), 3, 1)  # neighbours are alike, as in pictures
    model.initialize({"image": 3 * smooth})
    out = model.whiten(3 * smooth)
    half = out.shape[1] // 2
    flat = out[:, :half].transpose(0, 1).flatten(1)
    torch.testing.assert_close(torch.cov(flat), torch.eye(half), atol=0.02, rtol=0)
    assert torch.equal(out[:, half:], -out[:, :half])
    assert not model.whiten.weight.requires_grad


def test_a_mirrored_network_answers_an_image_and_its_mirror_image_alike():
    module = table.resolve(MODELS, "resnet9", "model.name")
    model = module.build(module.Config(width=4, mirror=True), IMAGE, 5).eval()
    image = example(IMAGE, 2)["image"]
    torch.testing.assert_close(model(image), model(image.flip(3)))
    assert not torch.allclose(model.answer(image), model.answer(image.flip(3)))
