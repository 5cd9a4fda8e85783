"""The compact generator's convolution."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.functional import normalize

from train import complexity
from train.build import build_generator
from train.config import load_recipe
from train.networks.compact import CompactGenerator
from train.networks.conditioned import instance_norm
from train.networks.convolutions import DepthwiseSeparable
from train.networks.spatially_varying import ConditionalSeparable, SpatiallyVarying


def test_the_spatially_varying_convolution_varies_in_space_and_with_the_person() -> None:
    torch.manual_seed(6)
    layer = SpatiallyVarying(4, nn.Linear(8, SpatiallyVarying.numbers(4, 4)))
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


def test_a_strided_convolution_is_the_unstrided_one_at_every_other_position() -> None:
    torch.manual_seed(6)
    style = nn.Linear(8, SpatiallyVarying.numbers(4, 2))
    layer, strided = SpatiallyVarying(4, style, 2), SpatiallyVarying(4, style, 2, stride=2)
    strided.weight = layer.weight
    x, code = torch.randn(2, 4, 8, 8), torch.randn(2, 8)
    torch.testing.assert_close(strided(x, code), layer(x, code)[:, :, ::2, ::2])


def test_encoder_and_decoder_have_the_convolutions_of_the_recipe() -> None:
    for kind, layer in (("separable", DepthwiseSeparable), ("conditional", ConditionalSeparable)):
        with torch.device("meta"):
            network = CompactGenerator(64, blocks=1, width=4, convolution=kind)  # type: ignore[arg-type]
        assert sum(isinstance(module, layer) for module in network.modules()) == 6


def test_every_stage_depends_on_the_identity() -> None:
    torch.manual_seed(6)
    network = CompactGenerator(64, blocks=1, width=4).eval()
    one, other = normalize(torch.randn(2, 64)).split(1)
    x = torch.randn(1, 4, 16, 16)
    for stage in (network.encoder[0], network.decoder[-1]):
        channels = 4 if stage is network.encoder[0] else 8
        features = x if channels == 4 else torch.cat([x, x.flip(3)], 1)
        assert (stage(features, one) - stage(features, other)).abs().max() > 0.01


def test_the_recipe_takes_at_most_two_and_a_half_giga_multiply_adds() -> None:
    recipe = load_recipe("compact")
    cost = complexity.measure(build_generator(recipe, 512), (1, 3, 224, 224), (1, 512))
    assert 2.0e9 < cost.macs <= 2.5e9
