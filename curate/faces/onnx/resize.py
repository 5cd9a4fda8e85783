"""Nearest and bilinear resizing by ONNX's rules, which name where an output pixel lies and how that is rounded."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from curate.errors import ModelError

SMOOTH = ("half_pixel", "pytorch_half_pixel", "align_corners")
"""The transforms that bilinear resizing may have; nearest may be "asymmetric" as well."""

ROUNDING: dict[str, Callable[[Tensor], Tensor]] = {
    "floor": torch.floor,
    "ceil": torch.ceil,
    "round_prefer_floor": lambda position: torch.ceil(position - 0.5),
    "round_prefer_ceil": lambda position: torch.floor(position + 0.5),
}


def resize(
    x: Tensor, scales: Tensor | None, sizes: Tensor | None, *, mode: str, transform: str, rounding: str
) -> Tensor:
    """(N, C, H, W) -> (N, C, h, w), by the last two of `sizes` or, where those are empty, of `scales`."""
    height, width = x.shape[2:]
    if sizes is not None and len(sizes):
        out = int(sizes[-2]), int(sizes[-1])
        factors = (out[0] / height, out[1] / width)
    elif scales is not None and len(scales):
        factors = (float(scales[-2]), float(scales[-1]))
        out = math.floor(height * factors[0]), math.floor(width * factors[1])
    else:
        raise ModelError("Resize: neither scales nor sizes are given")
    if mode == "linear":
        return F.interpolate(x, out, mode="bilinear", align_corners=transform == "align_corners")
    whole = out[0] % height == 0 and out[1] % width == 0
    if whole and (transform, rounding) in (("asymmetric", "floor"), ("half_pixel", "round_prefer_floor")):
        return F.interpolate(x, out, mode="nearest")  # every reading agrees at whole factors; the fast path
    for axis, size in ((2, height), (3, width)):
        positions = _source_positions(size, out[axis - 2], factors[axis - 2], transform)
        nearest = ROUNDING[rounding](positions).clamp(0, size - 1).long()
        x = x.index_select(axis, nearest.to(x.device))
    return x


def _source_positions(size: int, out: int, scale: float, transform: str) -> Tensor:
    """Where each of `out` pixels lies on an axis of `size` pixels (pixel centres at integers)."""
    position = torch.arange(out, dtype=torch.float64)
    if transform == "align_corners":
        return position * ((size - 1) / max(out - 1, 1))
    if transform == "asymmetric":
        return position / scale
    if transform == "pytorch_half_pixel" and out == 1:
        return torch.zeros(1, dtype=torch.float64)
    return (position + 0.5) / scale - 0.5
