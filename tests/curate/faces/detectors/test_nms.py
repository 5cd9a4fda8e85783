"""Non-maximum suppression against its definition."""

import torch

from curate.faces.detectors.nms import suppress


def iou(a: torch.Tensor, b: torch.Tensor) -> float:
    shared = (torch.minimum(a[2:], b[2:]) - torch.maximum(a[:2], b[:2])).clamp_min(0).prod()
    return float(shared / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared))


def test_boxes_are_suppressed_by_better_ones_of_their_group() -> None:
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(60, 2, generator=generator) * 50
    boxes = torch.cat([corners, corners + 10 + torch.rand(60, 2, generator=generator) * 20], 1)
    scores, groups = torch.rand(60, generator=generator), torch.randint(0, 3, (60,), generator=generator)
    expected: list[int] = []
    for index in scores.argsort(descending=True).tolist():
        better = [kept for kept in expected if groups[kept] == groups[index]]
        if all(iou(boxes[index], boxes[kept]) <= 0.3 for kept in better):
            expected.append(index)
    kept = suppress(boxes, scores, groups, 0.3).tolist()
    assert 3 < len(kept) < 60
    for group in range(3):
        assert [k for k in kept if groups[k] == group] == [k for k in expected if groups[k] == group]


def test_no_boxes_leave_no_boxes() -> None:
    assert len(suppress(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0), 0.5)) == 0
