"""Dynamic and modulated convolutions against their formulas."""

import torch
import torch.nn.functional as F
from torch import nn

from train.networks.conditioned import STYLE_SPREAD
from train.networks.convolutions import Dynamic, Modulated


def test_dynamic_is_a_mixture_of_kernels_and_checkpointing_changes_nothing() -> None:
    torch.manual_seed(4)
    layer = Dynamic(3, 5, 2, kernels=3)
    nn.init.normal_(layer.attention[2].weight)  # type: ignore[arg-type]
    nn.init.normal_(layer.bias)
    x = torch.randn(2, 3, 8, 8, requires_grad=True)
    shares = layer.attention(x.mean((2, 3))).softmax(1)
    # The report mixed the results of K convolutions: equal, with K times the features.
    each = torch.stack(
        [F.conv2d(x, w, b, 2, 1) for w, b in zip(layer.weight.view(3, 5, 3, 3, 3), layer.bias, strict=True)], 1
    )
    expected = (each * shares[:, :, None, None, None]).sum(1)
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)
    (recomputed,) = torch.autograd.grad(layer(x).square().sum(), layer.weight)
    layer.checkpointing = False
    (stored,) = torch.autograd.grad(layer(x).square().sum(), layer.weight)
    torch.testing.assert_close(recomputed, stored)


def test_a_new_modulated_convolution_depends_on_the_person_as_much_as_an_adain_block() -> None:
    torch.manual_seed(6)
    for dim in (128, 512):
        scale = Modulated(64, 8, 1, latent_dim=dim).style(F.normalize(torch.randn(400, dim)))
        assert abs(scale.std(0).mean().item() - STYLE_SPREAD) < 0.03
        assert abs(scale.mean().item() - 1) < 0.03


def test_modulated_equals_a_kernel_for_each_person() -> None:
    torch.manual_seed(5)
    layer = Modulated(3, 5, 1, latent_dim=6)
    x, latent = torch.randn(2, 3, 8, 8), torch.randn(2, 6)
    kernels = layer.conv.weight[None] * layer.style(latent)[:, None, :, None, None]
    kernels = kernels / (kernels.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
    expected = torch.cat([F.conv2d(x[i : i + 1], kernels[i], layer.conv.bias, padding=1) for i in range(2)])
    torch.testing.assert_close(layer(x, latent), expected, rtol=1e-4, atol=1e-5)
