"""SCRFD from an insightface pack's ONNX file: photos -> boxes, five landmarks and scores.

Guo et al. 2021, "Sample and Computation Redistribution for Efficient Face Detection", arxiv.org/abs/2105.04714.
Each cell of three maps (strides 8, 16 and 32 px) has two anchors; an anchor predicts a score, the distances of the
face's four sides from the cell's corner, and five landmarks relative to that corner, in units of the stride.

A batch is processed as insightface processes one photo: photos of any sizes are scaled to fit a square, at its top left
on black; candidates above the threshold are scaled back to the photo's pixels by the inverse scale alone, without the
half-pixel shift, as the pack's aligned crops assume.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from curate.errors import ModelError
from curate.faces.align import Photo
from curate.faces.detectors.nms import suppress
from curate.faces.faces import Faces
from curate.faces.onnx.graph import OnnxGraph
from curate.faces.weights import file_sha256

STRIDES = (8, 16, 32)
SIZES = (128, 640)
_REVISION = 1  # part of the fingerprint: increase it when results change
_ANCHORS = 2
_CHANNELS = (1, 4, 10)  # of each anchor: score, distances to the sides, landmarks
_BATCH = {"cpu": 8, "cuda": 64}  # squares of 640 px in one call; more of smaller ones


@dataclass(frozen=True)
class ScrfdSettings:
    """Settings of `Scrfd`; the defaults are insightface's, but for `max_faces`.

    Attributes:
        max_faces: faces returned for one photo, the largest ones.
        sizes: sides in px, divisible by 32, of the squares that each photo is fitted into; their faces are merged. 640
            alone misses faces that fill the photo, which 128 finds. A file whose input size is fixed has that size.
        threshold: smallest score.
        overlap: largest intersection over union of two faces.
        half: type in which convolutions compute on CUDA, None for float32; boxes are decoded in float32 either way.
    """

    max_faces: int = 4
    sizes: tuple[int, ...] = SIZES
    threshold: float = 0.5
    overlap: float = 0.4
    half: torch.dtype | None = None

    def fingerprint(self, file: Path) -> str:
        """sha256 of the file and of every setting that changes results."""
        settings = (_REVISION, self.max_faces, self.sizes, self.threshold, self.overlap, str(self.half))
        return hashlib.sha256(f"{file_sha256(file)} {settings}".encode()).hexdigest()


class Scrfd:
    """The detector of an insightface pack; a `Detector`.

    Raises ModelError for a file that is not a SCRFD with landmarks (9 outputs).
    """

    confident_score = 0.65

    def __init__(self, file: Path, device: str | torch.device = "cpu", settings: ScrfdSettings | None = None) -> None:
        self.device = torch.device(device)
        self.settings = settings or ScrfdSettings()
        self.fingerprint = self.settings.fingerprint(file)
        # The file's outputs are flattened over photos as well as positions; its maps keep them apart.
        network = OnnxGraph(file, maps=True)
        if len(network.output_names) != len(STRIDES) * len(_CHANNELS):
            raise ModelError(
                f"{file}: {len(network.output_names)} outputs where a SCRFD with landmarks has 9; "
                "use the pack's det_*.onnx"
            )
        height, width = network.input_shape[2:]
        if height != width:
            raise ModelError(f"{file}: input fixed to {height} x {width} px, expected a square or a free size")
        self.sizes = self.settings.sizes if height is None else (height,)
        if not self.sizes or any(size % STRIDES[-1] or size <= 0 for size in self.sizes):
            raise ModelError(f"{file}: sizes {self.sizes} must be divisible by {STRIDES[-1]} px")
        self._half = self.settings.half if self.device.type == "cuda" else None
        self._network = network.eval().to(memory_format=torch.channels_last).to(self.device)

    @torch.inference_mode()
    def __call__(self, photos: Sequence[Photo]) -> Faces:
        """Detect the faces of photos, uint8 (H, W, 3) RGB of any sizes; see `Detector`."""
        parts = [torch.empty(0, 16, device=self.device)]
        for size in self.sizes:
            for first, squares, scales in self._squares(photos, size):
                rows = self._candidates(squares, scales.to(self.device))
                rows[:, 0] += first
                parts.append(rows)
        rows = torch.cat(parts)  # (M, 16): photo, score, box, landmarks
        # As in insightface, a box includes its last pixel: its area is (x1 - x0 + 1) (y1 - y0 + 1).
        inclusive = rows[:, 2:6].double() + torch.tensor([0, 0, 1, 1], device=self.device)
        rows = rows[suppress(inclusive, rows[:, 1].double(), rows[:, 0], self.settings.overlap)]
        table = _largest(rows.cpu().numpy(), self.settings.max_faces)
        return Faces(table[:, 0].astype(np.int64), table[:, 2:6], table[:, 6:].reshape(-1, 5, 2), table[:, 1])

    def _squares(self, photos: Sequence[Photo], size: int) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Batches of photos: index of the first, uint8 (B, size, size, 3), scales (B,) from photo px to square px."""
        batch = max(1, _BATCH[self.device.type] * 640 * 640 // (size * size))
        for first in range(0, len(photos), batch):
            chunk = photos[first : first + batch]
            squares = np.zeros((len(chunk), size, size, 3), np.uint8)
            scales = [letterbox(photo, square) for photo, square in zip(chunk, squares, strict=True)]
            yield first, torch.from_numpy(squares), torch.tensor(scales, dtype=torch.float64)

    def _candidates(self, squares: Tensor, scales: Tensor) -> Tensor:
        """Squares and scales -> float32 (M, 16) in px of the photos: index in the batch, score, box, landmarks."""
        x = squares.to(self.device).permute(0, 3, 1, 2)  # channels last already
        with torch.autocast(self.device.type, self._half, enabled=self._half is not None):
            maps = self._network((x.float() - 127.5) / 128.0)
        parts = []
        for level, stride in enumerate(STRIDES):
            score, box, points = (
                _rows(level_map.float(), channels)
                for level_map, channels in zip(maps[level :: len(STRIDES)], _CHANNELS, strict=True)
            )
            photo, cell = torch.nonzero(score[..., 0] >= self.settings.threshold, as_tuple=True)
            position = cell // _ANCHORS
            width = squares.shape[2] // stride
            centre = torch.stack([position % width, position // width], 1) * float(stride)  # (M, 2) x, y
            box, points = box[photo, cell] * stride, points[photo, cell] * stride
            corners = torch.cat([centre - box[:, :2], centre + box[:, 2:]], 1)
            points = points + centre.repeat(1, 5)
            geometry = (torch.cat([corners, points], 1).double() / scales[photo, None]).float()
            parts.append(torch.cat([photo[:, None], score[photo, cell], geometry], 1))
        return torch.cat(parts)


def letterbox(photo: Photo, square: Photo) -> float:
    """Write `photo`, scaled to fit, into the top left of `square` (S, S, 3); return photo px -> square px."""
    height, width = photo.shape[:2]
    side = square.shape[0]
    # As in insightface: sides are rounded down, and the scale is the ratio of the heights.
    if height > width:
        fitted = max(1, int(side / (height / width))), side
    else:
        fitted = side, max(1, int(side * (height / width)))
    square[: fitted[1], : fitted[0]] = cv2.resize(photo, fitted)
    return float(fitted[1] / height)


def _rows(level_map: Tensor, channels: int) -> Tensor:
    """A map (N, anchors * channels, h, w) -> (N, h * w * anchors, channels)."""
    if level_map.dim() != 4 or level_map.shape[1] != _ANCHORS * channels:
        raise ModelError(
            f"SCRFD: a map of shape {tuple(level_map.shape)}, expected {_ANCHORS * channels} channels; "
            "the file is not a SCRFD with landmarks"
        )
    return level_map.permute(0, 2, 3, 1).reshape(level_map.shape[0], -1, channels)


def _largest(rows: npt.NDArray[np.float32], max_faces: int) -> npt.NDArray[np.float32]:
    """Rows (M, 16) in any order -> at most `max_faces` rows a photo, in the order of the photos, largest box first."""
    area = (rows[:, 4:6] - rows[:, 2:4]).prod(1)
    rows = rows[np.lexsort((-area, rows[:, 0]))]
    rank = np.arange(len(rows)) - np.searchsorted(rows[:, 0], rows[:, 0])
    return rows[rank < max_faces]
