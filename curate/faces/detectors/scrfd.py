"""Photos -> faces: boxes, five landmarks and scores, by SCRFD read from an insightface pack's ONNX file.

Guo et al. 2021, "Sample and Computation Redistribution for Efficient Face Detection", arxiv.org/abs/2105.04714.
Each cell of three maps (strides 8, 16 and 32 px) holds two anchors; an anchor says how sure it is of a face, how far
the face's four sides lie from the cell's corner and where its five landmarks lie, in units of the stride.

What insightface's own detector does with one photo happens here with a batch: photos of any sizes are scaled to fit
a square, put at its top left on black, and measured together; what passes the threshold comes back to the photo's
pixels by the inverse scale alone, as insightface does it and as the pack's aligned crops assume.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision.ops import batched_nms

from curate.errors import ModelError
from curate.faces.align import Photo
from curate.faces.faces import Faces
from curate.faces.onnx.graph import OnnxGraph
from curate.faces.weights import file_sha256

STRIDES = (8, 16, 32)
SIZES = (128, 640)
_REVISION = 1  # part of the fingerprint: raise it when results change
_ANCHORS = 2
_CHANNELS = (1, 4, 10)  # of each anchor: score, distances to the sides, landmarks
_BATCH = {"cpu": 8, "cuda": 64}  # squares of 640 px measured together; more of smaller ones


class Scrfd:
    """Finds up to `max_faces` faces a photo, largest first.

    `file`: a pack's SCRFD with landmarks (9 outputs). `sizes`: sides of the squares, in px and divisible by 32, that
    each photo is fitted into and searched at; what they find is merged. 640 alone misses faces that fill the photo,
    128 finds those; both are insightface's default. A file whose input is fixed is searched at its own size.
    `threshold`: the least score; `overlap`: the largest intersection over union of two faces.
    `half`: what convolutions compute in on CUDA, None for float32; boxes are decoded in float32 either way.
    Raises `ModelError` for a file that is not such a network.
    """

    def __init__(
        self,
        file: Path,
        device: str | torch.device = "cpu",
        *,
        max_faces: int = 4,
        sizes: Sequence[int] = SIZES,
        threshold: float = 0.5,
        overlap: float = 0.4,
        half: torch.dtype | None = None,
    ) -> None:
        self.device = torch.device(device)
        # The file's outputs are flattened over photos as well as positions; its maps keep them apart.
        network = OnnxGraph(file, maps=True)
        if len(network.output_names) != len(STRIDES) * len(_CHANNELS):
            raise ModelError(
                f"{file}: {len(network.output_names)} outputs where a SCRFD with landmarks has 9; "
                "use the pack's det_*.onnx"
            )
        height, width = network.input_shape[2:]
        if height != width:
            raise ModelError(f"{file}: fixed to {height} x {width} px; a square or a free size is wanted")
        self.sizes = tuple(sizes) if height is None else (height,)
        if not self.sizes or any(size % STRIDES[-1] or size <= 0 for size in self.sizes):
            raise ModelError(f"{file}: sizes {self.sizes} must be divisible by {STRIDES[-1]} px")
        self.max_faces, self.threshold, self.overlap = max_faces, threshold, overlap
        self.half = half if self.device.type == "cuda" else None
        self._network = network.eval().to(memory_format=torch.channels_last).to(self.device)
        settings = (_REVISION, max_faces, self.sizes, threshold, overlap, str(self.half))
        self._fingerprint = hashlib.sha256(f"{file_sha256(file)} {settings}".encode()).hexdigest()

    @property
    def fingerprint(self) -> str:
        """sha256 over the weights and every setting that changes results."""
        return self._fingerprint

    @torch.inference_mode()
    def __call__(self, photos: Sequence[Photo]) -> Faces:
        """Detect the faces of photos, uint8 (H, W, 3) RGB of any sizes.

        The faces of a photo do not depend on the other photos.
        """
        found = [torch.empty(0, 16, device=self.device)]
        for size in self.sizes:
            for first, squares, scales in self._squares(photos, size):
                rows = self._candidates(squares, scales.to(self.device))
                rows[:, 0] += first
                found.append(rows)
        rows = torch.cat(found)  # (M, 16): photo, score, box, landmarks
        # insightface counts a box's last pixel in: areas are (x1 - x0 + 1) (y1 - y0 + 1).
        inclusive = rows[:, 2:6].double() + torch.tensor([0, 0, 1, 1], device=self.device)
        rows = rows[batched_nms(inclusive, rows[:, 1].double(), rows[:, 0], self.overlap)]
        table = _largest(rows.cpu().numpy(), self.max_faces)
        return Faces(table[:, 0].astype(np.int64), table[:, 2:6], table[:, 6:].reshape(-1, 5, 2), table[:, 1])

    def _squares(self, photos: Sequence[Photo], size: int) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Photos -> batches: index of the first, uint8 (B, size, size, 3), scales (B,) from photo px to square px."""
        batch = max(1, _BATCH[self.device.type] * 640 * 640 // (size * size))
        for first in range(0, len(photos), batch):
            chunk = photos[first : first + batch]
            squares = np.zeros((len(chunk), size, size, 3), np.uint8)
            scales = [letterbox(photo, square) for photo, square in zip(chunk, squares, strict=True)]
            yield first, torch.from_numpy(squares), torch.tensor(scales, dtype=torch.float64)

    def _candidates(self, squares: Tensor, scales: Tensor) -> Tensor:
        """Squares and their scales -> float32 (M, 16) in px of each photo: its index here, score, box, landmarks."""
        x = squares.to(self.device).permute(0, 3, 1, 2)  # channels last already
        with torch.autocast(self.device.type, self.half, enabled=self.half is not None):
            maps = self._network((x.float() - 127.5) / 128.0)
        parts = []
        for level, stride in enumerate(STRIDES):
            score, box, points = (
                _rows(level_map.float(), channels)
                for level_map, channels in zip(maps[level :: len(STRIDES)], _CHANNELS, strict=True)
            )
            photo, cell = torch.nonzero(score[..., 0] >= self.threshold, as_tuple=True)
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
    # Whole pixels rounded down and the scale taken from the heights: insightface's rule, to the pixel.
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
            f"SCRFD: a map of shape {tuple(level_map.shape)} where {_ANCHORS * channels} channels belong; "
            "the file is another kind of detector"
        )
    return level_map.permute(0, 2, 3, 1).reshape(level_map.shape[0], -1, channels)


def _largest(rows: npt.NDArray[np.float32], max_faces: int) -> npt.NDArray[np.float32]:
    """Rows (M, 16) in any order -> at most `max_faces` rows a photo, in the order of the photos, largest box first."""
    area = (rows[:, 4:6] - rows[:, 2:4]).prod(1)
    rows = rows[np.lexsort((-area, rows[:, 0]))]
    rank = np.arange(len(rows)) - np.searchsorted(rows[:, 0], rows[:, 0])
    return rows[rank < max_faces]
