"""Photos -> the mean colours of any grid laid over any of their boxes, for all photos and boxes at once.

A photo is turned once into sums over rectangles (a summed-area table, Crow 1984) of exact integers; each pixel of a
resized box is then four look-ups. Tables of photos of different sizes lie end to end in one buffer.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from curate.faces.align import rescale_points

Photo = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.float32]

LARGEST_COPY = 2048 * 2048  # px; its tables of 255s still fit into 31 bits


class Copy:
    """A photo, given a margin and, where very large, made smaller by a whole number: `pixels` uint8, `shrink`."""

    def __init__(self, photo: Photo, margin: float) -> None:
        """margin: in units of the shorter side, on every side."""
        height, width = photo.shape[:2]
        shrink = 1
        while (height // shrink) * (width // shrink) > LARGEST_COPY:
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
        """Faces (K, 15) found on the copy -> the same in px of the photo."""
        places = rows.copy()
        x, y = [0, 2, *range(5, 15, 2)], [1, 3, *range(6, 15, 2)]
        for columns, scale in ((x, self._scale[0]), (y, self._scale[1])):
            places[:, columns] = rescale_points(rows[:, columns] - self._border, scale)
        return places


def _framed(pixels: Photo, border: int) -> Photo:
    """Pixels with a border of mid grey, which is 0 to the networks."""
    grey = cv2.copyMakeBorder(pixels, border, border, border, border, cv2.BORDER_CONSTANT, value=(127, 127, 127))
    return np.asarray(grey, np.uint8)


class Canvas:
    """Pictures as one flat buffer of summed-area tables. `sizes`: their [(height, width)], `size`: the same as int64
    (B, 2) on the device."""

    def __init__(self, copies: Sequence[Photo], device: torch.device) -> None:
        self.sizes = [copy.shape[:2] for copy in copies]
        self.size = torch.tensor(self.sizes, dtype=torch.long, device=device).reshape(-1, 2)
        areas = [(height + 1) * (width + 1) for height, width in self.sizes]
        starts = np.cumsum([0, *areas])
        self.start = torch.tensor(starts[:-1], device=device)
        sums = np.empty((starts[-1], 4), np.int32)
        for copy, start, stop in zip(copies, starts[:-1], starts[1:], strict=True):
            height, width = copy.shape[:2]
            table = sums[start:stop].reshape(height + 1, width + 1, 4)
            cv2.integral(cv2.cvtColor(copy, cv2.COLOR_RGB2RGBA), table, sdepth=cv2.CV_32S)
        # Four int32 a pixel travel as one 16-byte number: one look-up in place of four.
        self._sums = torch.view_as_complex(torch.from_numpy(sums.view(np.float64)).to(device))

    def resample(self, which: Tensor, boxes: Tensor, size: Tensor, shape: tuple[int, int]) -> Tensor:
        """Mean colours of a grid laid over each box, as networks want them.

        which: int64 (K,) photo of each; boxes: int64 (K, 4) x0, y0, x1, y1, end exclusive, inside the photo; size:
        int64 (K, 2) rows and columns of its grid; shape: (H, W), at least as many. Returns float32 (K, 3, H, W),
        channels last in memory; pixels beyond a grid smaller than `shape` are finite and meaningless.
        """
        height, width = shape
        start, stride = self.start[which], self.size[which, 1] + 1
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
        where = rows[:, :, None] + columns[:, None, :]
        entries = torch.index_select(self._sums, 0, where.flatten())
        return torch.view_as_real(entries).view(torch.int32).reshape(*where.shape, 4)


def _bins(low: Tensor, high: Tensor, count: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Ranges [low, high) (K,) split into `count` (K,) bins -> first and end of each (K, most), pixels may be shared."""
    step = torch.arange(most, device=low.device).minimum(count[:, None] - 1)  # (K, most)
    length = (high - low)[:, None]
    first = low[:, None] + step * length // count[:, None]
    end = low[:, None] - (-(step + 1) * length // count[:, None])
    return first, end
