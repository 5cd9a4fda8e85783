"""The discriminator's size, scales, logits and features."""

import pytest
import torch

from train.complexity import parameters
from train.networks.discriminator import MultiScalePatchGan, PatchGan


def test_parameters() -> None:
    with torch.device("meta"):
        assert parameters(PatchGan()) == 6_962_369
        assert parameters(MultiScalePatchGan()) == 2 * 6_962_369


def test_logits_and_features_at_each_scale() -> None:
    (fine, fine_features), (coarse, features) = MultiScalePatchGan(width=4)(torch.rand(2, 3, 128, 128))
    assert fine.shape == (2, 1, 6, 6)
    assert coarse.shape == (2, 1, 2, 2)
    assert [tuple(x.shape[1:]) for x in features] == [(4, 32, 32), (8, 16, 16), (16, 8, 8), (32, 4, 4), (32, 3, 3)]
    assert [len(x) for x in fine_features] == [2] * 5


def test_the_input_of_the_coarse_scale_is_the_averaged_image() -> None:
    """3x3 means with stride 2; padding is not counted, so that a flat image stays flat."""
    discriminator = MultiScalePatchGan(width=4).eval()
    image = torch.rand(1, 3, 96, 96)
    inputs_of_scale: list[torch.Tensor] = []
    discriminator.scales[1].register_forward_pre_hook(lambda _, inputs: inputs_of_scale.append(inputs[0]))
    discriminator(image)
    discriminator(torch.full((1, 3, 96, 96), 0.3))
    torch.testing.assert_close(inputs_of_scale[0][0, :, 5, 7], image[0, :, 9:12, 13:16].mean((1, 2)))
    torch.testing.assert_close(inputs_of_scale[0][0, :, 0, 0], image[0, :, :2, :2].mean((1, 2)))
    torch.testing.assert_close(inputs_of_scale[1], torch.full((1, 3, 48, 48), 0.3))


@pytest.mark.parametrize("scale", [0, 1])
def test_a_logit_depends_on_its_receptive_field_only(scale: int) -> None:
    discriminator = MultiScalePatchGan(width=4).eval()
    image = torch.rand(1, 3, 256, 256)
    changed = image.clone()
    changed[..., 250:] = 0
    with torch.no_grad():
        before, after = (discriminator(x)[scale][0] for x in (image, changed))
    assert torch.equal(before[..., 0], after[..., 0])
    assert not torch.equal(before[..., -1], after[..., -1])
