"""Intersection over union of label maps, counted by hand."""

import torch

from manifests.landmarks import MASK_CLASSES
from train.perception.iou import confusion, count_maps, iou_scores

SKIN, NOSE = MASK_CLASSES.index("skin"), MASK_CLASSES.index("nose")


def test_iou_of_classes_and_masks() -> None:
    truth = torch.tensor([[[0, 0, SKIN, SKIN], [0, 0, SKIN, NOSE]]], dtype=torch.uint8)
    predicted = torch.tensor([[[0, SKIN, SKIN, SKIN], [0, 0, SKIN, SKIN]]], dtype=torch.uint8)
    counts = confusion(predicted, truth)
    assert counts.sum() == 8
    assert counts[0, SKIN] == counts[NOSE, SKIN] == 1
    assert count_maps(truth)[[0, SKIN, NOSE]].tolist() == [1, 1, 1]
    scores = iou_scores(predicted, truth, min_maps=1)
    assert (scores["background"], scores["skin"], scores["nose"]) == (0.75, 0.6, 0)
    assert scores["mean"] == 0.45  # of the three classes that occur
    assert scores["face"] == 0.8  # skin and nose together
