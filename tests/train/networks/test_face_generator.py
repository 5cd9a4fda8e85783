"""What all one-pass generators share: pixel spaces, residual output, gradients, batches, precision, and their cost."""

from functools import cache

import pytest
import torch
import torch.nn.functional as F

from curate.errors import ModelError
from tests.samples.generators import GENERATORS, compact, faces, generator, simswap
from train.complexity import Complexity, measure
from train.networks.compact import CompactGenerator
from train.networks.convolutions import CONVOLUTIONS
from train.networks.face_generator import FaceGenerator
from train.networks.simswap import SimSwapGenerator


def test_pixel_spaces() -> None:
    white = torch.ones(1, 3, 1, 1)
    plain, normalised = FaceGenerator(8, "rgb01_tanh"), FaceGenerator(8, "imagenet")
    assert torch.equal(plain.to_rgb01(plain.to_input(white)), white)
    torch.testing.assert_close(
        normalised.to_input(white).flatten(), torch.tensor([2.2489, 2.4286, 2.6400]), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(normalised.to_rgb01(normalised.to_input(white)), white)


@pytest.mark.parametrize("io_space", ["rgb01_tanh", "imagenet"])
@pytest.mark.parametrize("build", [simswap, compact])
def test_a_change_is_added_to_the_target_and_small_at_first(build: "type[FaceGenerator]", io_space: str) -> None:
    network = build(output="change", io_space=io_space)  # type: ignore[call-arg,arg-type]
    target, latent = faces()
    change = network(target, latent) - target
    assert 0 < change.abs().mean() < 0.05
    change[0].mean().backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("build", [simswap, compact])
def test_the_change_of_a_shrunk_target_is_that_of_a_small_one_enlarged(build: "type[FaceGenerator]") -> None:
    network = build(output="change", shrink=2).eval()  # type: ignore[call-arg]
    target, latent = faces(size=64)
    with torch.no_grad():
        change = network(target, latent) - target
        small = F.avg_pool2d(target, 2)
        network.shrink = 1
        smaller = network(small, latent) - small
    torch.testing.assert_close(change, F.interpolate(smaller, scale_factor=2, mode="bilinear"), atol=1e-6, rtol=1e-4)


def test_arguments_that_do_not_fit_are_refused() -> None:
    target, latent = faces(size=20)
    with pytest.raises(ValueError, match="multiples of 8, got 20x20"):
        simswap()(target, latent)
    with pytest.raises(ValueError, match="multiples of 16, got 40x40"):
        simswap(output="change", shrink=2)(faces(size=40)[0], latent)
    with pytest.raises(ValueError, match=r"latents must be \(2, 16\), got \(2, 4\)"):
        simswap()(faces()[0], latent[:, :4])
    with pytest.raises(ModelError, match="shrink = 2 computes the output at lower resolution and needs output"):
        simswap(shrink=2)
    for option, value in (("convolution", "wavelet"), ("io_space", "bgr"), ("output", "mask"), ("variant", "256")):
        with pytest.raises(ModelError, match=f"unknown {option} '{value}'"):
            simswap(**{option: value})


@pytest.mark.parametrize("name", GENERATORS)
def test_every_parameter_learns_and_the_output_depends_on_both_inputs(name: str) -> None:
    network = generator(name)
    target, latent = faces()
    target.requires_grad_()
    latent.requires_grad_()
    image = network(target, latent)
    assert image.shape == target.shape
    (image * torch.rand_like(image)).sum().backward()
    for tensor in (target, latent, *network.parameters()):
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()
    # A bias before a normalisation that subtracts the mean has no gradient; an attention starts with zeros.
    idle = {n for n, p in network.named_parameters() if p.grad is not None and not p.grad.any()}
    assert all("bias" in n or "attention.0" in n for n in idle), idle
    assert latent.grad is not None
    assert latent.grad.abs().max() > 0


@pytest.mark.parametrize("name", [*CONVOLUTIONS, "compact"])
def test_a_photo_does_not_depend_on_its_batch(name: str) -> None:
    network = generator(name).eval()
    target, latent = faces(3)
    with torch.no_grad():
        together = network(target, latent)
        alone = torch.cat([network(target[i : i + 1], latent[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [*CONVOLUTIONS, "compact"])
def test_autocast_and_channels_last_change_little(name: str) -> None:
    network = generator(name).eval()
    target, latent = faces()
    with torch.no_grad():
        expected = network(target, latent)
        network = network.to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            image = network(target.contiguous(memory_format=torch.channels_last), latent)
    assert image.dtype == torch.float32
    assert (image - expected).abs().mean() < 0.02


@cache
def cost_at_224(name: str) -> Complexity:
    with torch.device("meta"):
        network = CompactGenerator() if name == "compact" else SimSwapGenerator(convolution=name)  # type: ignore[arg-type]
    return measure(network, (16, 3, 224, 224), (16, 512))


def test_the_cheap_generators_are_cheap() -> None:
    assert cost_at_224("compact").macs < 5e9
    assert cost_at_224("separable").macs < 0.76 * cost_at_224("standard").macs


def test_dynamic_keeps_no_more_memory_than_standard_at_224() -> None:
    dynamic, standard = cost_at_224("dynamic"), cost_at_224("standard")
    assert dynamic.activation_bytes < 1.05 * standard.activation_bytes
    assert dynamic.training_bytes(16) < 6 * 2**30
