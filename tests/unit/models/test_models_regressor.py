"""The reference predictor's network: its size, its range, and the same with its ResNet-50 in it."""

import pytest
import torch

from netwright.core.error import UserError
from netwright.data.tasks import Input
from netwright.models import regressor

FEATURES = {"features": Input((2056,), "float32")}
PIXELS = {"image": Input((3, 64, 64), "float32"), "parameters": Input((8,), "float32")}


def test_it_has_as_many_weights_to_train_as_the_reference():
    model = regressor.build(regressor.Config(), FEATURES, 1)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 2_766_337
    whole = regressor.build(regressor.Config(), PIXELS, 1)
    assert sum(p.numel() for p in whole.parameters() if p.requires_grad) == 2_766_337


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_estimates_lie_between_0_and_1_in_full_precision(dtype):
    model = regressor.build(regressor.Config(widths=(16,)), FEATURES, 1).eval()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
        answer = model(100 * torch.randn(50, 2056))
    assert answer.dtype == torch.float32
    assert answer.shape == (50, 1)
    assert ((answer >= 0) & (answer <= 1)).all()


def test_the_backbone_stays_as_it_was():
    whole = regressor.build(regressor.Config(widths=(16,)), PIXELS, 1).train()
    before = {name: x.clone() for name, x in whole.backbone.state_dict().items()}
    inputs = {"image": torch.randn(4, 3, 64, 64), "parameters": torch.rand(4, 8)}
    optimizer = torch.optim.SGD([p for p in whole.parameters() if p.requires_grad], 0.1)
    whole(**inputs).sum().backward()
    optimizer.step()
    assert all(torch.equal(x, before[name]) for name, x in whole.backbone.state_dict().items())
    features = torch.cat([whole.backbone.features(inputs["image"]), inputs["parameters"]], 1)
    whole.eval()
    torch.testing.assert_close(whole(**inputs), whole.regressor(features))


def test_classes_are_refused():
    with pytest.raises(UserError, match="5 classes"):
        regressor.build(regressor.Config(), FEATURES, 5)
