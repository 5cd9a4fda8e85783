"""The compact generator's convolution."""

import torch
import torch.nn.functional as F

from train.networks.compact import CompactGenerator, SpatiallyVarying
from train.networks.convolutions import DepthwiseSeparable
from train.networks.identity_injection import instance_norm


def test_the_spatially_varying_convolution_varies_in_space_and_with_the_person() -> None:
    torch.manual_seed(6)
    layer = SpatiallyVarying(4, 8)
    x = torch.randn(1, 4, 6, 6)
    one, other = torch.randn(2, 1, 8)
    change = (layer(x, one) - layer(x, other))[0].detach()
    assert change.abs().max() > 0.05
    # AdaIN would apply one affine function of the same normalised features at every position of a channel.
    plain = F.conv2d(instance_norm(x), layer.weight, None, 1, 1, groups=4).view(4, 4, 6, 6).detach()
    for channel in range(4):
        inputs = torch.cat([plain[channel].flatten(1).T, torch.ones(36, 1)], 1)
        fitted = inputs @ torch.linalg.lstsq(inputs, change[channel].flatten()[:, None]).solution
        assert (fitted[:, 0] - change[channel].flatten()).abs().max() > 1e-3


def test_encoder_and_decoder_have_the_convolutions_of_the_recipe() -> None:
    for kind, count in (("separable", 6), ("standard", 0)):
        with torch.device("meta"):
            network = CompactGenerator(64, blocks=1, width=4, convolution=kind)  # type: ignore[arg-type]
        assert sum(isinstance(layer, DepthwiseSeparable) for layer in network.modules()) == count
