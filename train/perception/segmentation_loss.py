"""The loss of the segmenter: weighted cross-entropy and soft Dice."""

import torch
from torch import Tensor

from manifests.landmarks import MASK_CLASSES


def class_weights(labels: Tensor, balance: float) -> Tensor:
    """Weights (19,) proportional to frequency^-balance, with mean 1 over the pixels of `labels` (N, H, W)."""
    share = torch.bincount(labels.flatten().int(), minlength=len(MASK_CLASSES)).double() / labels.numel()
    weights = share.clamp_min(1e-4) ** -balance
    return (weights / (weights * share).sum()).float()


def segmentation_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Weighted cross-entropy plus half the soft Dice loss over the classes present in the batch: a scalar.

    Args:
        logits: (N, 19, h, w).
        labels: int64 (N, h, w).
        weights: (19,), of the cross-entropy.
    """
    log_probability = logits.log_softmax(1)
    pixel_weights = weights[labels]
    of_label = log_probability.gather(1, labels[:, None])[:, 0]  # (N, h, w)
    cross_entropy = -(pixel_weights * of_label).sum() / pixel_weights.sum()
    # Dice_c = 2 sum p_c t_c / (sum p_c + sum t_c)
    overlap = torch.zeros(len(MASK_CLASSES)).index_add(0, labels.flatten(), of_label.exp().flatten())
    count = torch.bincount(labels.flatten(), minlength=len(MASK_CLASSES)).float()
    dice = 2 * overlap / (log_probability.exp().sum((0, 2, 3)) + count + 1.0)
    return cross_entropy + 0.5 * (1 - dice[count > 0]).mean()
