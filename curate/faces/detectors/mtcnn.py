"""MTCNN: photos -> boxes, five landmarks and scores, by a cascade of three networks for all photos of a batch at once.

Zhang et al. 2016, "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks",
arxiv.org/abs/1604.02878.

Every resize of MTCNN is an *area* resize of a rectangle: a pyramid level is the whole photo shrunk, a candidate is a
box resized to 24 or 48 px. `Canvas` computes all of them from summed-area tables, so photos need no common size and
pixels stay on the device from the photo to the landmarks.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from curate.faces.align import Photo
from curate.faces.detectors.canvas import MAX_COPY, Canvas, Copy
from curate.faces.detectors.mtcnn_networks import load, weights_sha256
from curate.faces.detectors.nms import suppress
from curate.faces.detectors.pyramid import CELL, FACTOR, face_sides, frame_boxes, frames_of, outside
from curate.faces.detectors.refine import refine_landmarks
from curate.faces.faces import Faces

Floats = npt.NDArray[np.floating]
Rows = npt.NDArray[np.float32]
Mode = Literal["coarse", "full"]

_REVISION = 4  # part of the fingerprint: increase it when results change
_THRESHOLDS = (0.6, 0.7, 0.7)  # scores of PNet, RNet and ONet
_FIRST_SHARE = 6  # coarse mode begins with faces of a sixth of the shorter side
_COARSE_SCORE = 0.9  # score of a face that ends the search in coarse mode
_MARGIN = 0.3  # of the shorter side, for faces that fill the frame
_WIDE_MARGIN = 0.5  # the same, where PNet has proposed none
_FRAME_PIXELS = 400 * 400  # px of the copy on which those are searched
_FRAME_SCORE = 0.9  # score of a face that PNet has not proposed
_MAX_CONTAINED = 0.7  # share of the smaller of two boxes of one face
_CHUNK = {"cpu": 2_000_000, "cuda": 48_000_000}  # px of the photos processed together
_FRAME = {"cpu": 400_000, "cuda": 24_000_000}  # px of the pyramid levels in one PNet call
_CROPS = {"cpu": 32, "cuda": 4096}  # crops in one RNet or ONet call


@dataclass(frozen=True)
class MtcnnSettings:
    """Settings of `Mtcnn`.

    mode "full" searches every level of the pyramid down to faces of `min_face` px and agrees with facenet-pytorch's
    `MTCNN(keep_all=True).detect` within a pixel, on photos of up to 2048 x 2048 px (larger ones are shrunk by a whole
    number first, and `min_face` grows with it).

    mode "coarse" searches the same levels of the same pixels from the largest faces down, and stops at the first level
    below a third of the largest face with a score of at least 0.9. It may miss faces that only finer levels propose,
    also among comparable ones. If there is no face of at least a sixth of the photo's shorter side, the photo is
    searched with a margin, for faces that fill the frame; then at finer and finer levels, down to `min_face`. A photo
    in which nothing is found may show a large face that PNet, which sees 12 x 12 px, does not propose: RNet and ONet
    then judge `frame_boxes`; of 1,009 photos without a face they accept none. Measured against "full" on 551 photos of
    six collections, as bench/detection.py does: the same main face in all, its landmarks equal at the 95th percentile;
    all 55 further faces of a third of the largest one's side.

    Attributes:
        mode: see above.
        max_faces: faces returned for one photo, the largest ones.
        min_face: side in px of the smallest face searched for.
        refine_landmarks: estimate the landmarks again on an upright crop (`refine.py`), for faces that fill the frame
            or are rotated; boxes and scores stay the cascade's. False keeps the cascade's landmarks.
    """

    mode: Mode = "coarse"
    max_faces: int = 4
    min_face: int = 20
    refine_landmarks: bool = True

    def fingerprint(self) -> str:
        """sha256 of the weights and of every setting that changes results. Raises ModelError for missing weights."""
        settings = (_REVISION, *astuple(self), FACTOR, _THRESHOLDS, MAX_COPY)
        return hashlib.sha256(f"{weights_sha256()} {settings}".encode()).hexdigest()


@dataclass(frozen=True)
class _Candidates:
    """K candidate faces: photo (K,) on the canvas, boxes (K, 4), score (K,) and, after ONet, points (K, 5, 2)."""

    photo: Tensor
    boxes: Tensor
    score: Tensor
    points: Tensor

    def numpy(self) -> Rows:
        """Copy to the host: float32 (K, 1 + 4 + 1 + 10), photo, box, score, points."""
        rows = torch.cat([self.photo[:, None], self.boxes, self.score[:, None], self.points.flatten(1)], 1)
        return np.asarray(rows.cpu().numpy(), np.float32)


@dataclass(frozen=True)
class _Searched:
    """Photos that are searched, perhaps several times.

    Attributes:
        indices: of the photos in their chunk.
        copies: with a margin each.
        longest: side in px of the largest face that can be searched for.
        canvas: of the copies.
    """

    indices: Sequence[int]
    copies: list[Copy]
    longest: list[float]
    canvas: Canvas

    @classmethod
    def create(
        cls,
        photos: Sequence[Photo],
        indices: Sequence[int],
        margin: float,
        device: torch.device,
        max_pixels: int = MAX_COPY,
    ) -> "_Searched":
        """`margin`: width on each side, in units of the shorter side of each photo; `max_pixels`: without it."""
        copies = [Copy(photos[index], margin, max_pixels) for index in indices]
        longest = [min(photos[index].shape[:2]) * (1 + 2 * margin) for index in indices]
        return cls(indices, copies, longest, Canvas([copy.pixels for copy in copies], device))

    def extend(self, candidates: list[Rows], rows: Rows) -> None:
        """Add candidates on the canvas (K, 16), as `_Candidates.numpy` returns them, to those of each photo."""
        for number in np.unique(rows[:, 0]).astype(int).tolist():
            on_copy = rows[rows[:, 0] == number, 1:]
            index = self.indices[number]
            candidates[index] = np.concatenate([candidates[index], self.copies[number].in_photo(on_copy)])


class Mtcnn:
    """The built-in detector; a `Detector`.

    Memory: photos are processed in chunks of 2 Mpx or one photo, a photo as a copy of at most 4.2 Mpx, at 16 bytes a px
    for its table; in addition the pyramid levels of one PNet call, and 32 candidates at a time (CPU).

    Raises ModelError where the weights are missing or damaged.
    """

    confident_score = 0.997

    def __init__(self, device: str | torch.device = "cpu", settings: MtcnnSettings | None = None) -> None:
        self.device = torch.device(device)
        self.settings = settings or MtcnnSettings()
        self.fingerprint = self.settings.fingerprint()
        self._pnet, self._rnet, self._onet = load(self.device)

    @torch.inference_mode()
    def __call__(self, photos: Sequence[Photo]) -> Faces:
        """Detect the faces of photos, uint8 (H, W, 3) RGB of any sizes; see `Detector`."""
        parts: list[Faces] = []
        first = 0
        for chunk in _chunks(photos, _CHUNK[self.device.type]):
            faces = _faces_of(self._candidates(chunk), self.settings.max_faces)
            if self.settings.refine_landmarks:
                landmarks = refine_landmarks(self._onet, chunk, faces.photo, faces.landmarks, self.device)
                faces = replace(faces, landmarks=landmarks.astype(np.float32))
            parts.append(faces.with_photos(np.arange(first, first + len(chunk))))
            first += len(chunk)
        return Faces.concat(parts)

    def _candidates(self, photos: Sequence[Photo]) -> list[Rows]:
        """Search the photos as `MtcnnSettings.mode` describes: for each photo (K, 15), box, score, points."""
        candidates = [np.zeros((0, 15), np.float32)] * len(photos)
        min_face = np.full(len(photos), float(self.settings.min_face))
        unlimited = np.full(len(photos), np.inf)
        everything = _Searched.create(photos, range(len(photos)), 0.0, self.device)
        if self.settings.mode == "full":
            self._search(everything, candidates, min_face, unlimited)
            return candidates
        sides = np.array([min(photo.shape[:2]) for photo in photos])
        searched = np.maximum(min_face, sides / _FIRST_SHARE)  # faces of this side and more have been searched for
        self._search(everything, candidates, searched, unlimited)
        missing = [index for index, rows in enumerate(candidates) if _largest_side(rows) == 0]
        if missing:
            framed = _Searched.create(photos, missing, _MARGIN, self.device)
            self._search(framed, candidates, sides / 2, unlimited)
        while True:
            largest = np.array([_largest_side(rows) for rows in candidates])
            target = np.maximum(min_face, np.where(largest > 0, largest / 3, searched / 3))
            if (target >= searched).all():
                break
            self._search(everything, candidates, target, searched)
            searched = np.minimum(searched, target)
        if empty := [index for index, rows in enumerate(candidates) if not len(rows)]:
            self._search_frames(_Searched.create(photos, empty, _WIDE_MARGIN, self.device, _FRAME_PIXELS), candidates)
        return candidates

    def _search(self, photos: _Searched, candidates: list[Rows], smallest: Floats, below: Floats) -> None:
        """Extend `candidates` by the faces on the levels for sides from `smallest` to under `below` px, both (N,)."""
        levels: list[tuple[int, float]] = []
        for number, (index, copy, longest) in enumerate(
            zip(photos.indices, photos.copies, photos.longest, strict=True)
        ):
            min_side = copy.shrink * self.settings.min_face  # smaller faces are lost in the shrunk copy
            levels += [
                (number, side / copy.shrink)
                for side in face_sides(self.settings.min_face, longest)
                if smallest[index] <= side < below[index] and side >= min_side
            ]
        if not levels:
            return
        photos.extend(candidates, self._cascade(photos.canvas, levels).numpy())

    def _search_frames(self, photos: _Searched, candidates: list[Rows]) -> None:
        """Extend `candidates` by the faces that fill the frame, without PNet."""
        boxes = [frame_boxes(height, width, _WIDE_MARGIN) for height, width in photos.canvas.sizes]
        number = np.repeat(np.arange(len(boxes), dtype=np.float32), [len(part) for part in boxes])
        box, photo = (torch.from_numpy(part).to(self.device) for part in (np.concatenate(boxes), number))
        proposals = _Candidates(photo, box, torch.ones_like(photo), box.new_zeros(len(box), 5, 2))
        rows = self._output(photos.canvas, self._refine(photos.canvas, proposals)).numpy()
        photos.extend(candidates, rows[rows[:, 5] >= _FRAME_SCORE])

    def _cascade(self, canvas: Canvas, levels: list[tuple[int, float]]) -> _Candidates:
        """Faces that all three networks confirm. `levels`: (photo, side in px of the faces to search for)."""
        proposals = self._propose(canvas, levels)
        return self._output(canvas, self._refine(canvas, proposals))

    def _propose(self, canvas: Canvas, levels: list[tuple[int, float]]) -> _Candidates:
        photos, groups, boxes, scores, shifts = [], [], [], [], []
        for frame in frames_of(canvas, levels, _FRAME[self.device.type]):
            photo = torch.tensor([level.photo for level in frame], device=self.device)
            level_index = torch.tensor([level.index for level in frame], device=self.device)
            size = torch.tensor([level.size for level in frame], device=self.device)  # (G, 2): height, width
            scale = torch.tensor([level.scale for level in frame], device=self.device)
            whole = torch.cat([torch.zeros_like(size), canvas.size[photo].flip(1)], 1)  # the whole photo as a box
            height, width = (max(level.size[axis] for level in frame) for axis in (0, 1))
            pixels = canvas.resample(photo, whole, size, (height, width))
            ragged = bool((size.amin(0) < size.amax(0)).any())
            probability, regression = self._pnet(pixels, outside(size - 2, height - 2, width - 2) if ragged else None)
            if ragged:
                cells = (size - 1) // 2 - 4
                probability = probability.masked_fill(outside(cells, *probability.shape[1:])[:, 0], 0)
            item, y, x = torch.nonzero(probability >= _THRESHOLDS[0], as_tuple=True)
            corner = torch.stack([x, y], 1).float() * 2  # (K, 2)
            to_level = scale[item, None]
            boxes.append(torch.cat([((corner + 1) / to_level).floor(), ((corner + CELL) / to_level).floor()], 1))
            scores.append(probability[item, y, x])
            shifts.append(regression[item, :, y, x])
            photos.append(photo[item])
            groups.append(level_index[item])
        if not boxes:
            return _Candidates(*(torch.zeros(s, device=self.device) for s in ((0,), (0, 4), (0,), (0, 5, 2))))
        photo, group, box, score, shift = (torch.cat(part) for part in (photos, groups, boxes, scores, shifts))
        keep = suppress(box, score, group, 0.5)
        keep = keep[suppress(box[keep], score[keep], photo[keep], 0.7)]
        photo, box, score, shift = photo[keep], box[keep], score[keep], shift[keep]
        side = box[:, 2:] - box[:, :2]
        box = _square(box + shift * side.repeat(1, 2))
        return _Candidates(photo, box, score, torch.zeros(len(box), 5, 2, device=self.device))

    def _refine(self, canvas: Canvas, candidates: _Candidates) -> _Candidates:
        probability, shift = self._run_on_boxes(canvas, candidates, self._rnet, 24)
        ok = probability > _THRESHOLDS[1]
        photo, box, score, shift = candidates.photo[ok], candidates.boxes[ok], probability[ok], shift[ok]
        keep = suppress(box, score, photo, 0.7)
        box = _square(_shifted(box[keep], shift[keep]))
        return _Candidates(photo[keep], box, score[keep], candidates.points[: len(keep)])

    def _output(self, canvas: Canvas, candidates: _Candidates) -> _Candidates:
        probability, shift, points = self._run_on_boxes(canvas, candidates, self._onet, 48)
        ok = probability > _THRESHOLDS[2]
        box = candidates.boxes[ok]
        side = box[:, 2:] - box[:, :2] + 1
        points = box[:, None, :2] - 1 + points[ok] * side[:, None]
        return _Candidates(candidates.photo[ok], _shifted(box, shift[ok]), probability[ok], points)

    def _run_on_boxes(
        self, canvas: Canvas, candidates: _Candidates, network: Callable[[Tensor], tuple[Tensor, ...]], side: int
    ) -> tuple[Tensor, ...]:
        """Outputs of `network` for each box, resized to side x side; the score of a box outside its photo is 0."""
        size = canvas.size[candidates.photo.long()].flip(1)  # (K, 2): width, height
        box = candidates.boxes.trunc().long()
        low, high = (box[:, :2] - 1).clamp_min(0), torch.minimum(box[:, 2:], size)
        inside = (high > low).all(1)
        low = torch.where(inside[:, None], low, 0)
        high = torch.where(inside[:, None], high, 1)
        square = torch.full((1, 2), side, device=self.device)
        batch = _CROPS[self.device.type]
        outputs = []
        for start in range(0, max(len(box), 1), batch):
            part = slice(start, start + batch)
            crops = torch.cat([low[part], high[part]], 1)
            grids = square.expand(len(crops), 2)
            outputs.append(network(canvas.resample(candidates.photo[part].long(), crops, grids, (side, side))))
        probability, *rest = (torch.cat(output) for output in zip(*outputs, strict=True))
        return probability * inside, *rest


def _square(boxes: Tensor) -> Tensor:
    """Boxes (K, 4) -> squares about their centres with the longer side."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True) / 2
    return torch.cat([centre - half, centre + half], 1)


def _shifted(boxes: Tensor, shift: Tensor) -> Tensor:
    """Boxes (K, 4) moved by regressions (K, 4) in units of their sides."""
    return boxes + shift * (boxes[:, 2:] - boxes[:, :2] + 1).repeat(1, 2)


def _largest_side(rows: Rows) -> float:
    """The longer side in px of the largest face with a score of at least `_COARSE_SCORE`; 0 without one."""
    rows = rows[rows[:, 4] >= _COARSE_SCORE]
    return float((rows[:, 2:4] - rows[:, :2]).max()) if len(rows) else 0.0


def _faces_of(candidates: list[Rows], max_faces: int) -> Faces:
    """Candidates (K, 4 + 1 + 10) of each photo -> the photos' faces."""
    parts = [_select(rows, max_faces) for rows in candidates]
    photo = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    rows = np.concatenate(parts)
    return Faces(photo, rows[:, :4], rows[:, 5:].reshape(-1, 5, 2), rows[:, 4])


def _select(rows: Rows, max_faces: int) -> Rows:
    """Candidates of one photo -> its largest faces, largest first, without boxes mostly inside a better one."""
    rows = rows[np.argsort(-rows[:, 4], kind="stable")]
    boxes = rows[:, :4].astype(np.float64)
    area = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    contained = np.clip(high - low + 1, 0, None).prod(2) / np.minimum(area[:, None], area[None])
    kept: list[int] = []
    for row in range(len(rows)):
        if not kept or contained[row, kept].max() <= _MAX_CONTAINED:
            kept.append(row)
    sides = boxes[kept, 2:] - boxes[kept, :2]
    kept = [kept[i] for i in np.argsort(-sides.prod(1), kind="stable")[:max_faces]]
    return rows[kept].astype(np.float32)


def _chunks(photos: Sequence[Photo], max_pixels: int) -> list[Sequence[Photo]]:
    """Consecutive photos of at most `max_pixels` px together, or a single larger one."""
    chunks: list[Sequence[Photo]] = []
    first = used = 0
    for index, photo in enumerate(photos):
        area = photo.shape[0] * photo.shape[1]
        if index > first and used + area > max_pixels:
            chunks.append(photos[first:index])
            first, used = index, 0
        used += area
    return [*chunks, photos[first:]] if len(photos) else []
