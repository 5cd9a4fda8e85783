"""The generator for people never seen: what reaches the decoder, and where training starts from."""

import pytest
import torch
from torch import Tensor

from curate.errors import ModelError
from train.build import build_generator
from train.config import load_recipe
from train.networks.conditioning import SourceFaces, conditioning
from train.networks.general import GeneralGenerator

SIZE, DIM = 64, 8
POINTS = torch.tensor([[[20.0, 26.0], [44.0, 26.0], [32.0, 38.0], [24.0, 48.0], [40.0, 48.0]]])


def generator(**changes: object) -> GeneralGenerator:
    torch.manual_seed(0)
    network = build_generator(load_recipe("general", **{"size": SIZE, "width": 4, "refine_images": 10} | changes), DIM)
    assert isinstance(network, GeneralGenerator)
    return network.eval()


def photos(count: int, seed: int) -> Tensor:
    """Smooth random images, whose finest band is weak, as that of faces."""
    noise = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(noise, size=SIZE, mode="bicubic").clamp(0, 1)


def condition(network: GeneralGenerator, sources: Tensor, points: Tensor = POINTS) -> Tensor:
    count = len(sources)
    faces = SourceFaces(sources, POINTS.expand(count, -1, -1))
    latents = torch.eye(DIM)[:count]
    return conditioning(network, latents, torch.zeros(DIM), faces, points.expand(count, -1, -1))


def test_the_second_input_is_the_latent_and_the_source_warped_to_the_target() -> None:
    network = generator()
    sources = photos(2, 1)
    unmoved, moved = condition(network, sources), condition(network, sources, POINTS + 2)
    assert unmoved.shape == (2, network.condition_dim) == (2, DIM + 3 * SIZE**2)
    assert torch.equal(unmoved[:, :DIM], torch.eye(DIM)[:2])
    torch.testing.assert_close(unmoved[:, DIM:].view(2, 3, SIZE, SIZE), sources, atol=1e-4, rtol=0)
    assert not torch.allclose(unmoved, moved, atol=1e-2)
    with pytest.raises(ModelError, match="reads the source's crop beside the latent"):
        conditioning(network, torch.eye(DIM)[:2], torch.zeros(DIM), None, None)


@pytest.mark.parametrize("size", [64, 96, 112, 128])
def test_training_starts_from_the_source(size: int) -> None:
    network = generator(size=size)
    source = torch.nn.functional.interpolate(photos(1, 1), size=size, mode="bilinear")
    target = torch.nn.functional.interpolate(photos(1, 2), size=size, mode="bilinear")
    second = torch.cat([torch.eye(DIM)[:1], source.flatten(1)], 1)
    swapped = network(target, second)
    assert swapped.shape == (1, 3, size, size)
    assert (swapped - source).abs().mean() < 0.05 < 0.1 < (swapped - target).abs().mean()


def test_no_weights_move_all_pixels_out_of_reach() -> None:
    network = generator()
    source = photos(1, 1)
    second = torch.cat([torch.eye(DIM)[:1], source.flatten(1)], 1)
    for level in network.levels:
        torch.nn.init.constant_(level.flow.bias, 100.0)
        level.flow.weight.requires_grad_(True)
    swapped = network(photos(1, 2), second)
    swapped.mean().backward()
    assert swapped.std() > 0.02  # the source's pixels, not one of its corners
    assert all(level.flow.bias.grad.abs().max() > 0 for level in network.levels)


def test_light_is_too_coarse_for_features_of_a_face() -> None:
    network = generator(size=96)
    for level in network.levels:
        torch.nn.init.zeros_(level.flow.weight)
        if level.light is not None:
            torch.nn.init.normal_(level.light.weight)
    source = torch.full((1, 3, 96, 96), 0.5)
    change = network.decode(
        network.encode(torch.rand(1, 3, 96, 96)), torch.cat([torch.eye(DIM)[:1], source.flatten(1)], 1)
    )
    blurred = torch.nn.functional.avg_pool2d(change, 5, 1, 2, count_include_pad=False)
    assert (change - blurred).std() < 0.05 * change.std()


def test_only_the_code_of_the_target_reaches_the_decoder() -> None:
    network = generator(bottleneck=8)
    assert network.encode(photos(2, 2)).shape == (2, 8)
    torch.nn.init.zeros_(network.to_code.weight)
    second = condition(network, photos(1, 1)).expand(2, -1)
    first, other = network(photos(2, 2), second)
    assert torch.equal(first, other)


def test_latent_source_and_code_all_change_the_swap() -> None:
    network = generator()
    target, sources = photos(1, 2), photos(2, 1)
    second = condition(network, sources)
    swapped = network(target, second[:1])
    other_latent = torch.cat([second[1:, :DIM], second[:1, DIM:]], 1)
    for changed in (network(target, second[1:]), network(target, other_latent), network(photos(1, 3), second[:1])):
        assert not torch.equal(changed, swapped)


def test_every_weight_learns() -> None:
    network = generator().train()
    network.decode(network.encode(photos(2, 2)), condition(network, photos(2, 1))).square().mean().backward()
    idle = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert idle == []


def test_refining_starts_after_refine_images() -> None:
    network = generator()
    weights = []
    for images in (0, 10, 2010, 9000):
        network.set_progress(images)
        weights.append(network.refinement)
    assert weights == [0, 0, 0.5, 1]
    with pytest.raises(ModelError, match="size = 72 must be 4, 5, 6 or 7 times a power of 2"):
        GeneralGenerator(DIM, 72)
