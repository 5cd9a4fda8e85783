"""Intersection over union of predicted and true label maps, by class and by mask."""

import torch
from torch import Tensor

from curate.faces.segment import MASK_KINDS
from manifests.landmarks import MASK_CLASSES


def confusion(predicted: Tensor, truth: Tensor) -> Tensor:
    """Confusion matrix of two stacks of label maps uint8 (N, H, W): pixels int64 (19, 19), true class by predicted."""
    pairs = truth.long() * len(MASK_CLASSES) + predicted.long()
    return torch.bincount(pairs.flatten(), minlength=len(MASK_CLASSES) ** 2).reshape(len(MASK_CLASSES), -1)


def iou_scores(predicted: Tensor, truth: Tensor, min_maps: int = 20) -> dict[str, float]:
    """IoU over the pixels of all maps, rounded to four digits.

    Args:
        predicted, truth: label maps uint8 (N, H, W).
        min_maps: the mean is over the classes that occur in at least so many true maps.

    Returns:
        By class name, `mean`, and by kind of mask (`MASK_KINDS`). A class that occurs nowhere has 0.
    """
    counts = confusion(predicted, truth)
    union = counts.sum(0) + counts.sum(1) - counts.diag()
    iou = counts.diag().double() / union.clamp_min(1)
    result = dict(zip(MASK_CLASSES, iou.tolist(), strict=True))
    result["mean"] = iou[count_maps(truth) >= min_maps].mean().item()
    for kind, members in MASK_KINDS.items():
        inside = torch.tensor([name in members for name in MASK_CLASSES])
        outside = counts[~inside][:, ~inside].sum()
        result[kind] = (counts[inside][:, inside].sum() / (counts.sum() - outside).clamp_min(1)).item()
    return {name: round(value, 4) for name, value in result.items()}


def count_maps(labels: Tensor) -> Tensor:
    """Number of the label maps (N, H, W) in which each class occurs: int64 (19,)."""
    return torch.stack([(labels == c).flatten(1).any(1).sum() for c in range(len(MASK_CLASSES))])
