"""Nearest and bilinear resizing by ONNX's coordinate transformations and rounding modes."""

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from curate.errors import ModelError
from curate.faces.onnx.registry import Attributes, Operator, operator

SMOOTH = ("half_pixel", "pytorch_half_pixel", "align_corners")
"""Coordinate transformations of bilinear resizing; nearest also supports "asymmetric"."""

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
        return F.interpolate(x, out, mode="nearest")  # at whole factors all transformations agree, and this is faster
    for axis, size in ((2, height), (3, width)):
        positions = _source_positions(size, out[axis - 2], factors[axis - 2], transform)
        nearest = ROUNDING[rounding](positions).clamp(0, size - 1).long()
        x = x.index_select(axis, nearest.to(x.device))
    return x


def _source_positions(size: int, out: int, scale: float, transform: str) -> Tensor:
    """Position of each of `out` pixels on an axis of `size` pixels (pixel centres at integers)."""
    position = torch.arange(out, dtype=torch.float64)
    if transform == "align_corners":
        return position * ((size - 1) / max(out - 1, 1))
    if transform == "asymmetric":
        return position / scale
    if transform == "pytorch_half_pixel" and out == 1:
        return torch.zeros(1, dtype=torch.float64)
    return (position + 0.5) / scale - 0.5


@operator("Resize")
def _resize(a: Attributes) -> Operator:
    mode = a.take("mode", "nearest")
    # Opset 10 has no coordinate_transformation_mode: output pixel i reads i / scale.
    transform = a.take("coordinate_transformation_mode", "half_pixel" if a.opset >= 11 else "asymmetric")
    rounding = a.take("nearest_mode", "round_prefer_floor" if a.opset >= 11 else "floor")
    for unused in ("cubic_coeff_a", "exclude_outside", "extrapolation_value"):
        a.take(unused)
    if a.take("antialias", 0) or a.take("keep_aspect_ratio_policy", "stretch") != "stretch" or a.take("axes"):
        raise a.unsupported("antialias, keep_aspect_ratio_policy or axes")
    if mode not in ("nearest", "linear") or transform not in (*SMOOTH, "asymmetric") or rounding not in ROUNDING:
        raise a.unsupported(f"mode={mode}, coordinate_transformation_mode={transform}, nearest_mode={rounding}")
    if mode == "linear" and transform not in SMOOTH:
        raise a.unsupported(f"mode=linear with coordinate_transformation_mode={transform}")
    run = partial(resize, mode=mode, transform=transform, rounding=rounding)
    if a.opset < 11:
        return lambda x, scales: run(x, scales, None)
    return lambda x, roi=None, scales=None, sizes=None: run(x, scales, sizes)


@operator("Upsample")
def _upsample(a: Attributes) -> Operator:
    if (mode := a.take("mode", "nearest")) != "nearest":
        raise a.unsupported(f"mode={mode}")
    fixed = a.take("scales")
    run = partial(resize, mode="nearest", transform="asymmetric", rounding="floor")
    return lambda x, scales=None: run(x, torch.tensor(fixed) if scales is None else scales, None)
