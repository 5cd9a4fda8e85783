"""A trained generator: its embedder, its masks, the size of its crops, and its open blocks."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from curate.errors import ModelError
from manifests.landmarks import TEMPLATES
from tests.samples.swap import IdentityGenerator, embedder, trained, write_checkpoint
from train.errors import CheckpointError
from train.networks.simswap import SimSwapGenerator
from train.trained import load_network, load_trained, shrink


def test_a_checkpoint_is_loaded_with_the_embedder_of_its_latents(tmp_path: Path) -> None:
    recipe = write_checkpoint(tmp_path / "a.safetensors")
    generator = load_trained(tmp_path / "a.safetensors", "cpu")
    assert generator.embedder.embedder_id == embedder().embedder_id
    assert (generator.recipe, generator.size, generator.template) == (recipe, 64, TEMPLATES["simswap-224"])
    assert not generator.network.training
    assert not any(parameter.requires_grad for parameter in generator.network.parameters())


def test_crops_are_swapped_in_batches(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.safetensors")
    generator = load_network(tmp_path / "a.safetensors")
    swapped = generator.swap(torch.full((9, 3, 64, 64), 100.0), torch.eye(128)[3])
    assert swapped.shape == (9, 3, 64, 64)
    assert 0 <= swapped.min() < swapped.max() <= 255
    assert generator.swap(torch.zeros(0, 3, 64, 64), torch.eye(128)[3]).shape == (0, 3, 64, 64)


def test_a_missing_embedder_or_checkpoint_is_named(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "b.safetensors", embedder_id="0123456789abcdef")
    with pytest.raises(ModelError, match=r"needs embedder 0123456789abcdef, and builtin is .*--embedder"):
        load_trained(tmp_path / "b.safetensors", "cpu")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_trained(tmp_path / "c.safetensors", "cpu")
    network = load_network(tmp_path / "b.safetensors")
    with pytest.raises(ModelError, match="was loaded without its embedder 0123456789abcdef"):
        network.embedder  # noqa: B018


def test_identities_are_relative_to_the_latent_centre() -> None:
    generator = trained(IdentityGenerator(), centre=torch.linspace(-0.1, 0.1, 128))
    latents = normalize(torch.randn(2, 128, generator=torch.Generator().manual_seed(1)))
    condition = generator.condition(latents)
    torch.testing.assert_close(condition, normalize(latents - generator.centre))
    torch.testing.assert_close(generator.person_condition(latents[:1]), condition[0])


def test_a_recipe_that_masks_its_input_gets_the_mask(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.safetensors", mask="face", masked="input")
    generator = load_network(tmp_path / "a.safetensors")
    assert (generator.input_mask, generator.mask_weight) == ("face", 1)
    target = torch.rand(1, 3, 64, 64) * 255
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 20:40, 20:40] = 1
    swapped = generator.swap(target, torch.eye(128)[0], mask)
    background = mask.expand(-1, 3, -1, -1) == 0
    assert torch.allclose(swapped[background], target[background], atol=1e-3)
    assert (swapped - target)[~background].abs().mean() > 1


def test_as_many_blocks_are_open_as_the_images_of_the_training_call_for(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.safetensors", blocks=3, block_share=0.75)
    network = load_network(tmp_path / "a.safetensors").network
    assert isinstance(network, SimSwapGenerator)
    assert network.active_blocks == 2


def test_crops_are_resized_as_in_training() -> None:
    crop = np.random.default_rng(0).uniform(0, 255, (224, 224, 3)).astype(np.float32)
    resized = shrink(torch.from_numpy(crop).permute(2, 0, 1)[None], 128)[0].permute(1, 2, 0).numpy()
    assert np.allclose(resized, cv2.resize(crop, (128, 128), interpolation=cv2.INTER_AREA), atol=0.01)
