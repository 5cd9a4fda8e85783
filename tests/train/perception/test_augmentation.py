"""Augmented crops: labels follow the image, and a mirrored crop keeps the subject's left and right."""

import numpy as np
import torch

from tests.train.perception.drawn_face import CLASS, drawn_face
from train.perception.augmentation import Augmentation, degrade
from train.perception.occluders import Occluders
from train.perception.recipe import FINE_TUNING


def crops(count: int, **shares: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Augmented crops of the drawn face, 64 px, and their labels at stride 2."""
    photo, labels = drawn_face()
    photos, maps = np.repeat(photo[None], 4, 0), np.repeat(labels[None], 4, 0)
    shares = {"occluded": 0.0, "turned": 0.0, "padded": 0.0} | shares
    phase = FINE_TUNING[0]._replace(size=64, stride=2, **shares)
    augmentation = Augmentation(photos, maps, Occluders(photos, maps))
    return augmentation.crops(np.arange(count) % 4, phase, np.random.default_rng(1))


def test_the_subjects_left_eye_is_on_the_images_right() -> None:
    photos, classes = crops(16)
    assert photos.shape == (16, 3, 64, 64)
    assert classes.shape == (16, 32, 32)
    down, across = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    checked = 0
    for labels in classes:
        centre = {
            name: torch.stack([down[labels == c].mean(), across[labels == c].mean()]) for name, c in CLASS.items()
        }
        eyes, mouth = centre["l_eye"] - centre["r_eye"], centre["l_lip"] - (centre["l_eye"] + centre["r_eye"]) / 2
        if torch.isfinite(eyes).all() and torch.isfinite(mouth).all():
            checked += 1
            assert eyes[1] * mouth[0] - eyes[0] * mouth[1] > 0  # clockwise from the eyes to the mouth, in any rotation
    assert checked > 8


def test_labels_follow_turned_and_cut_photos() -> None:
    """The drawn face's pixels are 10 times their class; borders of other colours are background."""
    photos, classes = crops(16, turned=1.0)
    value = (photos * 25.5).mean(1)[:, ::2, ::2].round().long()
    face = classes > 0
    eyes = torch.tensor([CLASS["l_eye"], CLASS["r_eye"]])  # exchanged where mirrored
    agrees = (value == classes) | (torch.isin(value, eyes) & torch.isin(classes, eyes))
    assert agrees[face].float().mean() > 0.85  # edges are interpolated in the photo
    _, cut = crops(64, padded=1.0)
    _, whole = crops(64)
    assert (cut > 0).float().mean() < 0.98 * (whole > 0).float().mean()


def test_crops_depend_on_the_seed_only() -> None:
    first, second = (crops(8, occluded=0.5, turned=0.5, padded=0.5) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_degraded_crops_stay_in_range_and_depend_on_the_seed_only() -> None:
    photos = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    first, second = (degrade(photos.clone(), torch.Generator().manual_seed(1)) for _ in range(2))
    assert first.min() >= 0
    assert first.max() <= 1
    assert torch.equal(first, second)
    assert not torch.equal(first, photos)
