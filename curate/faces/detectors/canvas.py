"""Area resize of boxes of photos, for all photos and boxes of a batch at once.

A photo becomes a summed-area table (Crow 1984) of exact integers; each pixel of a resized box is then four look-ups.
The tables of photos of different sizes are concatenated in one buffer.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from curate.faces.align import Photo, rescale_points

Rows = npt.NDArray[np.float32]
Rows64 = npt.NDArray[np.int64]

MAX_COPY = 2048 * 2048
"""Largest copy of a photo in px: the sums of its values, at most 255, fit 31 bits."""
_MAX_PADDED = 1.5  # px of photos padded to one size, over their own


class Copy:
    """A photo with a margin, shrunk by a whole number where it is too large.

    Attributes:
        pixels: uint8 (h, w, 3).
        shrink: photo px per px of the copy, without rounding.
    """

    def __init__(self, photo: Photo, margin: float, max_pixels: int = MAX_COPY) -> None:
        """`margin`: width on each side, in units of the shorter side; `max_pixels`: of the photo without it."""
        height, width = photo.shape[:2]
        shrink = 1
        while (height // shrink) * (width // shrink) > max_pixels:
            shrink += 1
        shrink = min(shrink, height, width)
        self.pixels = np.ascontiguousarray(photo)
        self._scale = np.ones(2, np.float32)
        if shrink > 1:
            size = width // shrink, height // shrink
            self._scale = np.array([width / size[0], height / size[1]], np.float32)
            self.pixels = np.asarray(cv2.resize(self.pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
        self.shrink = shrink
        self._border = round(margin * min(self.pixels.shape[:2]))
        if self._border:
            self.pixels = _framed(self.pixels, self._border)

    def in_photo(self, rows: Rows) -> Rows:
        """Candidates (K, 15), box, score and points in px of the copy -> the same in px of the photo."""
        moved = rows.copy()
        x, y = [0, 2, *range(5, 15, 2)], [1, 3, *range(6, 15, 2)]
        for columns, scale in ((x, self._scale[0]), (y, self._scale[1])):
            moved[:, columns] = rescale_points(rows[:, columns] - self._border, scale)
        return moved


def _framed(pixels: Photo, border: int) -> Photo:
    """Add a border of mid grey, which is 0 after normalisation."""
    grey = cv2.copyMakeBorder(pixels, border, border, border, border, cv2.BORDER_CONSTANT, value=(127, 127, 127))
    return np.asarray(grey, np.uint8)


class Canvas:
    """Photos as one flat buffer of summed-area tables.

    On a GPU the tables are computed there, from pixels that take a fifth of their bytes.

    Attributes:
        sizes: (height, width) of each photo.
        size: the same as int64 (B, 2) on the device.
        start: int64 (B,), first entry of each photo's table.
        stride: int64 (B,), entries from one row of its table to the next.
    """

    def __init__(self, copies: Sequence[Photo], device: torch.device) -> None:
        self.sizes = [copy.shape[:2] for copy in copies]
        self.size = torch.tensor(self.sizes, dtype=torch.long, device=device).reshape(-1, 2)
        sums, starts, strides = _tables_on_cpu(copies) if device.type == "cpu" else _tables_on(device, copies)
        self.start, self.stride = torch.tensor(np.stack([starts, strides]), device=device)
        # Four int32 a pixel are viewed as one 16-byte number: one look-up instead of four.
        self._sums = torch.view_as_complex(sums.view(torch.float64))

    def resample(self, photo: Tensor, boxes: Tensor, size: Tensor, shape: tuple[int, int]) -> Tensor:
        """Area resize of boxes, normalised to (x - 127.5) / 128.

        Args:
            photo: int64 (K,), photo of each box.
            boxes: int64 (K, 4), x0, y0, x1, y1, end exclusive, inside the photo.
            size: int64 (K, 2), height and width of each resized box.
            shape: (H, W) of the result, at least `size`.

        Returns:
            float32 (K, 3, H, W), channels last in memory; values beyond `size` are finite and arbitrary.
        """
        height, width = shape
        start, stride = self.start[photo], self.stride[photo]
        top, bottom = _bins(boxes[:, 1], boxes[:, 3], size[:, 0], height)  # (K, H)
        left, right = _bins(boxes[:, 0], boxes[:, 2], size[:, 1], width)  # (K, W)
        count = ((bottom - top)[:, :, None] * (right - left)[:, None, :]).float()
        top = top * stride[:, None] + start[:, None]
        bottom = bottom * stride[:, None] + start[:, None]
        total = self._at(bottom, right) - self._at(bottom, left) - self._at(top, right) + self._at(top, left)
        pixels = (total[..., :3] / count[..., None] - 127.5) * 0.0078125
        return pixels.permute(0, 3, 1, 2)

    def _at(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Table entries at row starts (K, H) and columns (K, W) -> int32 (K, H, W, 4)."""
        index = rows[:, :, None] + columns[:, None, :]
        entries = torch.index_select(self._sums, 0, index.flatten())
        return torch.view_as_real(entries).view(torch.int32).reshape(*index.shape, 4)


def _tables_on_cpu(copies: Sequence[Photo]) -> tuple[Tensor, Rows64, Rows64]:
    """Tables int32 (E, 4) of all photos, start and row stride of each."""
    strides = np.array([copy.shape[1] + 1 for copy in copies], np.int64)
    ends = np.cumsum([(copy.shape[0] + 1) * stride for copy, stride in zip(copies, strides, strict=True)])
    starts = np.append(0, ends[:-1]).astype(np.int64)
    sums = np.empty((int(ends[-1]), 4), np.int32)
    for copy, start, end in zip(copies, starts, ends, strict=True):
        height, width = copy.shape[:2]
        table = sums[start:end].reshape(height + 1, width + 1, 4)
        cv2.integral(cv2.cvtColor(copy, cv2.COLOR_RGB2RGBA), table, sdepth=cv2.CV_32S)
    return torch.from_numpy(sums), starts, strides


def _tables_on(device: torch.device, copies: Sequence[Photo]) -> tuple[Tensor, Rows64, Rows64]:
    """The same on a GPU: photos of similar size are padded to one, and summed together."""
    starts, strides = np.empty(len(copies), np.int64), np.empty(len(copies), np.int64)
    tables: list[Tensor] = []
    first = 0
    for group in _similar([copy.shape[:2] for copy in copies]):
        height, width = (max(copies[index].shape[axis] for index in group) for axis in (0, 1))
        pixels = torch.zeros(len(group), height, width, 3, dtype=torch.uint8, pin_memory=device.type == "cuda")
        for row, index in enumerate(group):
            copy = copies[index]
            pixels.numpy()[row, : copy.shape[0], : copy.shape[1]] = copy
        area = (height + 1) * (width + 1)
        starts[group] = first + area * np.arange(len(group))
        strides[group] = width + 1
        first += area * len(group)
        sums = torch.zeros(len(group), height + 1, width + 1, 4, dtype=torch.int32, device=device)
        sums[:, 1:, 1:, :3] = pixels.to(device, non_blocking=True)
        tables.append(sums.cumsum(1, dtype=torch.int32).cumsum(2, dtype=torch.int32).view(-1, 4))
    return torch.cat(tables), starts, strides


def _similar(sizes: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Group sizes (height, width) so that padding to the largest of a group adds at most half to its pixels."""
    groups: list[list[int]] = []
    height = width = used = 0
    for index in sorted(range(len(sizes)), key=lambda index: sizes[index]):
        area = sizes[index][0] * sizes[index][1]
        height, width, used = max(height, sizes[index][0]), max(width, sizes[index][1]), used + area
        if not groups or (len(groups[-1]) + 1) * height * width > _MAX_PADDED * used:
            groups.append([])
            (height, width), used = sizes[index], area
        groups[-1].append(index)
    return groups


def _bins(low: Tensor, high: Tensor, count: Tensor, max_count: int) -> tuple[Tensor, Tensor]:
    """Split ranges [low, high) (K,) into `count` (K,) bins: first and end of each (K, max_count); bins may overlap."""
    step = torch.arange(max_count, device=low.device).minimum(count[:, None] - 1)  # (K, max_count)
    length = (high - low)[:, None]
    first = low[:, None] + step * length // count[:, None]
    end = low[:, None] - (-(step + 1) * length // count[:, None])
    return first, end
