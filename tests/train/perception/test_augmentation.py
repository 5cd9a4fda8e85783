"""Augmented crops: labels follow the image, and a mirrored crop keeps the subject's left and right."""

import torch

from manifests.landmarks import MASK_CLASSES
from train.perception.augmentation import degrade, random_crops

LEFT, RIGHT = MASK_CLASSES.index("l_eye"), MASK_CLASSES.index("r_eye")


def test_the_subjects_left_eye_is_on_the_images_right() -> None:
    labels = torch.zeros(8, 64, 64, dtype=torch.uint8)
    labels[:, 28:36, 40:48] = LEFT
    labels[:, 28:36, 16:24] = RIGHT
    images = torch.zeros(8, 3, 64, 64, dtype=torch.uint8)
    crops, classes = random_crops(images, labels, 64, 2, 0.5, torch.Generator().manual_seed(1))
    assert crops.shape == (8, 3, 64, 64)
    assert classes.shape == (8, 32, 32)
    columns = torch.arange(32.0)
    for left, right in zip(classes == LEFT, classes == RIGHT, strict=True):
        if left.any() and right.any():
            assert (left.sum(0) * columns).sum() / left.sum() > (right.sum(0) * columns).sum() / right.sum()


def test_degraded_crops_stay_in_range_and_depend_on_the_seed_only() -> None:
    crops = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    first, second = (degrade(crops.clone(), torch.Generator().manual_seed(1)) for _ in range(2))
    assert first.min() >= 0
    assert first.max() <= 1
    assert torch.equal(first, second)
    assert not torch.equal(first, crops)
