"""The convolutions of a model, and their replacements in a checkpoint."""

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d
from torch.nn.utils.parametrizations import weight_norm

from core.base.errors import UserError
from core.models.facts import load_shape
from core.models.modeling_slimscope import reshape
from core.models.parts.convolutions import convolutions_of, pair_in_place_of
from core.models.parts.sizes import counted_sizes, is_language_model
from core.models.sources import ModelSource
from tests.core.encoders import encoder
from tests.core.tiny import tiny


class Standardised(nn.Conv2d):
    def forward(self, images):
        return conv2d(images, self.weight - self.weight.mean(), self.bias)


def test_only_plain_convolutions_count():
    model = nn.ModuleDict({"plain": nn.Conv1d(2, 4, 3), "normed": weight_norm(nn.Conv1d(2, 4, 3), dim=2)})
    model.update({"other": Standardised(2, 4, 3), "back": nn.ConvTranspose2d(2, 4, 3)})
    model.update({"volume": nn.Conv3d(2, 4, 3), "linear": nn.Linear(2, 4)})
    found = convolutions_of(model)
    assert [one.name for one in found] == ["plain", "normed"] and [one.shape for one in found] == [(4, 6)] * 2
    assert torch.equal(found[1].kernel, model["normed"].weight) and not found[1].kernel.requires_grad


def pair_of(module):
    """Return a pair as an identity of channels makes it, which computes what the module does."""
    kernel = module.weight.detach()
    axes = len(module.kernel_size)
    one = torch.eye(kernel.shape[0] // module.groups).repeat(module.groups, 1)[(..., *[None] * axes)]
    return pair_in_place_of(module, kernel, one, module.groups, axes)


@pytest.mark.parametrize("kind", [nn.Conv1d, nn.Conv2d])
def test_a_pair_is_rebuilt_from_its_description(kind):
    torch.manual_seed(0)
    module = kind(3, 6, 3, stride=2, padding=1, dilation=2, padding_mode="circular").eval()
    model = nn.ModuleDict({"conv": module})
    pair = pair_of(module)
    reshape(model, {"convolutions": {"conv": pair.settings}})
    model["conv"].load_state_dict(pair.state_dict())
    batch = torch.randn(2, 3, *[9] * len(module.kernel_size))
    assert torch.equal(model["conv"](batch), pair(batch)) and torch.allclose(pair(batch), module(batch), atol=1e-6)
    assert not pair.training and not pair[0].training


def test_ratio_refers_to_weights_of_the_model_kind():
    assert is_language_model(tiny()) and "model.layers.0.mlp.up_proj" in counted_sizes(tiny())
    model = encoder("whisper")
    assert not is_language_model(model)
    assert counted_sizes(model) == {"model.encoder.conv1": 16 * 8 * 3, "model.encoder.conv2": 16 * 16 * 3}


def test_a_hub_encoder_must_be_downloaded_first(tmp_path):
    encoder().save_pretrained(tmp_path)
    source = ModelSource(id="org/resnet", revision="r", kind="hub", hub_id="org/resnet", folder=tmp_path)
    with pytest.raises(UserError, match=r"is a ResNetForImageClassification, .* must be a local folder: download it"):
        load_shape(source)
