"""A trained generator: its embedder, its masks, and the size of its crops."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from curate.errors import ModelError
from manifests.landmarks import TEMPLATES
from tests.samples.swap import embedder, write_checkpoint
from train.errors import CheckpointError
from train.trained import load_trained, shrink


def test_a_checkpoint_brings_its_embedder_or_says_which_it_needs(tmp_path: Path) -> None:
    recipe = write_checkpoint(tmp_path / "a.safetensors")
    model = load_trained(tmp_path / "a.safetensors", "cpu")
    assert model.embedder.embedder_id == embedder().embedder_id
    assert (model.size, model.template) == (recipe.size, TEMPLATES["simswap-224"])
    swapped = model.swap(torch.full((9, 3, 64, 64), 100.0), torch.eye(128)[3])
    assert swapped.shape == (9, 3, 64, 64)
    assert 0 <= swapped.min() < swapped.max() <= 255
    write_checkpoint(tmp_path / "b.safetensors", embedder_id="0123456789abcdef")
    with pytest.raises(ModelError, match=r"needs embedder 0123456789abcdef, and builtin is .*--embedder"):
        load_trained(tmp_path / "b.safetensors", "cpu")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_trained(tmp_path / "c.safetensors", "cpu")


def test_a_recipe_that_masks_its_input_gets_the_mask(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.safetensors", mask="face", masked="input")
    model = load_trained(tmp_path / "a.safetensors", "cpu")
    assert model.mask_weight == 1
    target = torch.rand(1, 3, 64, 64) * 255
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 20:40, 20:40] = 1
    swapped = model.swap(target, torch.eye(128)[0], mask)
    hidden = mask.expand(-1, 3, -1, -1) == 0
    assert torch.allclose(swapped[hidden], target[hidden], atol=1e-3)
    assert (swapped - target)[~hidden].abs().mean() > 1


def test_crops_shrink_as_training_shrinks_them() -> None:
    crop = np.random.default_rng(0).uniform(0, 255, (224, 224, 3)).astype(np.float32)
    ours = shrink(torch.from_numpy(crop).permute(2, 0, 1)[None], 128)[0].permute(1, 2, 0).numpy()
    assert np.allclose(ours, cv2.resize(crop, (128, 128), interpolation=cv2.INTER_AREA), atol=0.01)
