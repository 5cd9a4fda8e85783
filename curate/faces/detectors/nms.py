"""Non-maximum suppression of boxes, within groups."""

import functools
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor


def suppress(boxes: Tensor, scores: Tensor, groups: Tensor, max_overlap: float) -> Tensor:
    """Greedy non-maximum suppression inside each group.

    Args:
        boxes: float (K, 4), x0, y0, x1, y1.
        scores: float (K,).
        groups: (K,), a whole number for each box; boxes of different groups never suppress each other.
        max_overlap: largest intersection over union of two boxes that are kept.

    Returns:
        int64 indices of the boxes that are kept; within a group by descending score.
    """
    nms = _operator()
    if boxes.device.type != "cpu":
        # Groups are shifted apart so that they do not overlap; float64 keeps the shifted corners exact.
        shifted = boxes.double() + groups[:, None].double() * 1e5
        return nms(shifted, scores.double(), max_overlap)
    order = torch.argsort(groups, stable=True)
    sizes = torch.unique_consecutive(groups[order], return_counts=True)[1].tolist()
    parts = torch.split_with_sizes(order, sizes) if sizes else (order,)
    return torch.cat([part[nms(boxes[part], scores[part], max_overlap)] for part in parts])


@functools.cache
def _operator() -> Callable[[Tensor, Tensor, float], Tensor]:
    """Load the compiled operator of torchvision without importing the package, which takes seconds (torch._dynamo)."""
    spec = find_spec("torchvision")
    for folder in spec.submodule_search_locations or [] if spec else []:
        for library in sorted(path for path in Path(folder).glob("_C*") if path.suffix in (".so", ".pyd")):
            torch.ops.load_library(library)  # type: ignore[no-untyped-call]
    if not hasattr(torch.ops.torchvision, "nms"):
        import torchvision  # noqa: F401
    operator: Callable[[Tensor, Tensor, float], Tensor] = torch.ops.torchvision.nms
    return operator
