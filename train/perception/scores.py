"""Predicted and true label maps in, intersection over union of classes and masks out."""

import torch
from torch import Tensor

from curate.faces.segment import MASK_KINDS
from manifests.landmarks import MASK_CLASSES


def confusion(predicted: Tensor, truth: Tensor) -> Tensor:
    """Pixel counts int64 (19, 19), truth by prediction, of two stacks of label maps uint8 (N, H, W)."""
    pairs = truth.long() * len(MASK_CLASSES) + predicted.long()
    return torch.bincount(pairs.flatten(), minlength=len(MASK_CLASSES) ** 2).reshape(len(MASK_CLASSES), -1)


def scores(predicted: Tensor, truth: Tensor, least: int = 20) -> dict[str, float]:
    """IoU over all pixels: of each class, of the `MASK_KINDS`, and the mean over classes in >= `least` true maps.

    Keys: the class names, `mean`, and `face`, `face_hair`, `not_background`. A class that is nowhere scores 0.
    """
    counts = confusion(predicted, truth)
    either = counts.sum(0) + counts.sum(1) - counts.diag()
    iou = counts.diag().double() / either.clamp_min(1)
    result = dict(zip(MASK_CLASSES, iou.tolist(), strict=True))
    result["mean"] = iou[maps_with(truth) >= least].mean().item()
    for kind, members in MASK_KINDS.items():
        inside = torch.tensor([name in members for name in MASK_CLASSES])
        outside = counts[~inside][:, ~inside].sum()
        result[kind] = (counts[inside][:, inside].sum() / (counts.sum() - outside).clamp_min(1)).item()
    return {name: round(value, 4) for name, value in result.items()}


def maps_with(labels: Tensor) -> Tensor:
    """In how many of the label maps (N, H, W) each of the 19 classes occurs: int64 (19,)."""
    return torch.stack([(labels == c).flatten(1).any(1).sum() for c in range(len(MASK_CLASSES))])
