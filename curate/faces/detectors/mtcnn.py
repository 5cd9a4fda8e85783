"""Photos -> faces: boxes, five landmarks and scores, by a cascade that stays on the device from pixels to points.

Every resize of MTCNN is an *area* resize of a rectangle: a pyramid level is the whole photo made small, a candidate is
a box made 24 or 48 px wide. A photo is therefore turned once into sums over rectangles (a summed-area table, Crow
1984) of exact integers; each output pixel of any level or candidate is then four look-ups, for all photos and boxes
at once. Tables of photos of different sizes lie end to end in one buffer, so a batch needs no common size.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision.ops import nms

from curate.faces.detectors import mtcnn_networks as mtcnn
from curate.faces.detectors.canvas import LARGEST_COPY, Canvas, Copy
from curate.faces.detectors.refine import refine_landmarks as second_look
from curate.faces.faces import Faces

Photo = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating]
Rows = npt.NDArray[np.float32]
Mode = Literal["coarse", "full"]

_REVISION = 3  # part of the fingerprint: raise it when results change
_FACTOR = 0.709  # between two levels of the pyramid, as in the original
_CELL = 12  # side of what a cell of PNet sees
_THRESHOLDS = (0.6, 0.7, 0.7)
_FIRST = 6  # coarse mode begins with faces of a sixth of the shorter side
_CERTAIN = 0.9  # score of a face that ends the search
_CHUNK = {"cpu": 2_000_000, "cuda": 48_000_000}  # px of photos taken together
_FRAME = {"cpu": 400_000, "cuda": 24_000_000}  # px of pyramid levels in one PNet call
_CROPS = {"cpu": 32, "cuda": 4096}  # crops in one RNet or ONet call


@dataclass(frozen=True)
class _Candidates:
    """Boxes (K, 4) of photos `photo` (K,), with `score` (K,) and, after ONet, `points` (K, 5, 2)."""

    photo: Tensor
    boxes: Tensor
    score: Tensor
    points: Tensor


class Mtcnn:
    """Finds up to `max_faces` faces a photo, largest first.

    mode "full" searches every level of the pyramid down to faces of `min_face` px and agrees with facenet-pytorch's
    `MTCNN(keep_all=True).detect` within a pixel, on photos of up to 2048 x 2048 px (larger ones are made smaller
    by a whole number first, and so is `min_face`).

    mode "coarse" searches the same levels of the same pixels from the largest faces down, and stops at the first level
    below a third of the largest face found with a score of 0.9 or more. Faces that only finer levels propose may be
    missing, also among comparable ones. Where no face is found among those of a sixth of the photo's shorter side
    and more, the photo is looked at with a margin, for faces that fill the frame; then finer and finer, down to
    `min_face`. Measured against "full" on 551 photos of six collections, as bench/detection.py does: the same main
    face in all, its landmarks the same at the 95th percentile; all 55 further faces of a third of the largest one's
    side.

    refine_landmarks: the points are then looked at again on an upright crop (detectors/refine.py), for faces that
    fill the frame or are turned; boxes and scores stay the cascade's. False leaves the cascade's own points.

    Memory: photos are taken in chunks of 2 Mpx or one photo, a photo as a copy of at most 4.2 Mpx, at 16 bytes a px
    for its table; besides it one call's pyramid levels are held, and 32 (CPU) candidates at a time.
    """

    def __init__(
        self,
        device: str | torch.device = "cpu",
        mode: Mode = "coarse",
        max_faces: int = 4,
        min_face: int = 20,
        refine_landmarks: bool = True,
    ) -> None:
        self.device = torch.device(device)
        self.mode = mode
        self.max_faces = max_faces
        self.min_face = min_face
        self.refine_landmarks = refine_landmarks
        self._pnet, self._rnet, self._onet, weights = mtcnn.load(self.device)
        settings = (_REVISION, mode, max_faces, min_face, refine_landmarks, _FACTOR, _THRESHOLDS, LARGEST_COPY)
        self._fingerprint = hashlib.sha256(f"{weights} {settings}".encode()).hexdigest()

    @property
    def fingerprint(self) -> str:
        """sha256 over the weights and every setting that changes results."""
        return self._fingerprint

    @torch.inference_mode()
    def __call__(self, photos: Sequence[Photo]) -> Faces:
        """Detect the faces of photos, uint8 (H, W, 3) RGB of any sizes.

        The faces of a photo do not depend on the other photos.
        """
        parts: list[Faces] = []
        first = 0
        for chunk in _chunks(photos, _CHUNK[self.device.type]):
            faces = self._detect(chunk)
            if self.refine_landmarks:
                landmarks = second_look(self._onet, chunk, faces.photo, faces.landmarks, self.device)
                faces = replace(faces, landmarks=landmarks.astype(np.float32))
            parts.append(faces.with_photos(np.arange(first, first + len(chunk))))
            first += len(chunk)
        return Faces.concat(parts)

    def _detect(self, photos: Sequence[Photo]) -> Faces:
        sides = np.array([min(photo.shape[:2]) for photo in photos])
        lowest = np.full(len(photos), float(self.min_face))
        found = [np.zeros((0, 15), np.float32)] * len(photos)
        if self.mode == "full":
            self._search(photos, found, lowest, np.full(len(photos), np.inf))
            return _faces_of(found, self.max_faces)
        reached = np.maximum(lowest, sides / _FIRST)
        self._search(photos, found, reached, np.full(len(photos), np.inf))
        sought = np.array([_largest(rows) == 0 for rows in found])
        self._search(photos, found, np.where(sought, sides / 2, np.inf), np.full(len(photos), np.inf), margin=0.3)
        while True:
            largest = np.array([_largest(rows) for rows in found])
            wanted = np.maximum(lowest, np.where(largest > 0, largest / 3, reached / 3))
            if (wanted >= reached).all():
                return _faces_of(found, self.max_faces)
            self._search(photos, found, wanted, reached)
            reached = np.minimum(reached, wanted)

    def _search(
        self,
        photos: Sequence[Photo],
        found: list[Rows],
        smallest: Floats,
        below: Floats,
        margin: float = 0.0,
    ) -> None:
        """Adds to `found`, per photo, the faces that levels from `smallest` to under `below` px (N,) show."""
        chosen: list[int] = []
        copies: list[Copy] = []
        levels: list[tuple[int, float]] = []
        for index, photo in enumerate(photos):
            side = min(photo.shape[:2]) * (1 + 2 * margin)
            faces = [f for f in _faces(self.min_face, side) if smallest[index] <= f < below[index]]
            if not faces:
                continue
            copy = Copy(photo, margin)
            smallest_seen = copy.shrink * self.min_face  # only a very large photo hides what was sought
            levels += [(len(copies), face / copy.shrink) for face in faces if face >= smallest_seen]
            chosen.append(index)
            copies.append(copy)
        if not copies:
            return
        canvas = Canvas([copy.pixels for copy in copies], self.device)
        rows = _rows(self._cascade(canvas, levels))  # (K, 1 + 15)
        for number, (index, copy) in enumerate(zip(chosen, copies, strict=True)):
            mine = rows[rows[:, 0] == number, 1:]
            found[index] = np.concatenate([found[index], copy.in_photo(mine)])

    def _cascade(self, canvas: Canvas, levels: list[tuple[int, float]]) -> _Candidates:
        """`levels`: (photo, side in px of the faces to look for) -> what all three networks take for a face."""
        proposals = self._propose(canvas, levels)
        return self._output(canvas, self._refine(canvas, proposals))

    def _propose(self, canvas: Canvas, levels: list[tuple[int, float]]) -> _Candidates:
        photos, groups, boxes, scores, shifts = [], [], [], [], []
        for frame in _frames(canvas, levels, _FRAME[self.device.type]):
            which = torch.tensor([level.photo for level in frame], device=self.device)
            ids = torch.tensor([level.index for level in frame], device=self.device)
            size = torch.tensor([level.size for level in frame], device=self.device)  # (G, 2): height, width
            scale = torch.tensor([level.scale for level in frame], device=self.device)
            whole = torch.cat([torch.zeros_like(size), canvas.size[which].flip(1)], 1)  # the whole photo as a box
            height, width = (max(level.size[axis] for level in frame) for axis in (0, 1))
            pixels = canvas.resample(which, whole, size, (height, width))
            ragged = bool((size.amin(0) < size.amax(0)).any())
            probability, regression = self._pnet(pixels, _beyond(size - 2, height - 2, width - 2) if ragged else None)
            if ragged:
                cells = (size - 1) // 2 - 4
                probability = probability.masked_fill(_beyond(cells, *probability.shape[1:])[:, 0], 0)
            item, y, x = torch.nonzero(probability >= _THRESHOLDS[0], as_tuple=True)
            corner = torch.stack([x, y], 1).float() * 2  # (K, 2)
            at = scale[item, None]
            boxes.append(torch.cat([((corner + 1) / at).floor(), ((corner + _CELL) / at).floor()], 1))
            scores.append(probability[item, y, x])
            shifts.append(regression[item, :, y, x])
            photos.append(which[item])
            groups.append(ids[item])
        if not boxes:
            return _Candidates(*(torch.zeros(s, device=self.device) for s in ((0,), (0, 4), (0,), (0, 5, 2))))
        photo, group, box, score, shift = (torch.cat(part) for part in (photos, groups, boxes, scores, shifts))
        keep = _suppress(box, score, group, 0.5)
        keep = keep[_suppress(box[keep], score[keep], photo[keep], 0.7)]
        photo, box, score, shift = photo[keep], box[keep], score[keep], shift[keep]
        side = box[:, 2:] - box[:, :2]
        box = _square(box + shift * side.repeat(1, 2))
        return _Candidates(photo, box, score, torch.zeros(len(box), 5, 2, device=self.device))

    def _refine(self, canvas: Canvas, found: _Candidates) -> _Candidates:
        probability, shift = self._look(canvas, found, self._rnet, 24)
        ok = probability > _THRESHOLDS[1]
        photo, box, score, shift = found.photo[ok], found.boxes[ok], probability[ok], shift[ok]
        keep = _suppress(box, score, photo, 0.7)
        box = _square(_shifted(box[keep], shift[keep]))
        return _Candidates(photo[keep], box, score[keep], found.points[: len(keep)])

    def _output(self, canvas: Canvas, found: _Candidates) -> _Candidates:
        probability, shift, points = self._look(canvas, found, self._onet, 48)
        ok = probability > _THRESHOLDS[2]
        box = found.boxes[ok]
        side = box[:, 2:] - box[:, :2] + 1
        points = box[:, None, :2] - 1 + points[ok] * side[:, None]
        return _Candidates(found.photo[ok], _shifted(box, shift[ok]), probability[ok], points)

    def _look(
        self, canvas: Canvas, found: _Candidates, network: Callable[[Tensor], tuple[Tensor, ...]], side: int
    ) -> tuple[Tensor, ...]:
        """What `network` says of each box's pixels, resized to side x side; a box outside its photo scores 0."""
        size = canvas.size[found.photo.long()].flip(1)  # (K, 2): width, height
        box = found.boxes.trunc().long()
        low, high = (box[:, :2] - 1).clamp_min(0), torch.minimum(box[:, 2:], size)
        inside = (high > low).all(1)
        low = torch.where(inside[:, None], low, 0)
        high = torch.where(inside[:, None], high, 1)
        square = torch.full((1, 2), side, device=self.device)
        chunk = _CROPS[self.device.type]
        said = []
        for start in range(0, max(len(box), 1), chunk):
            part = slice(start, start + chunk)
            crops = torch.cat([low[part], high[part]], 1)
            grids = square.expand(len(crops), 2)
            said.append(network(canvas.resample(found.photo[part].long(), crops, grids, (side, side))))
        probability, *rest = (torch.cat(one) for one in zip(*said, strict=True))
        return probability * inside, *rest


@dataclass(frozen=True)
class _Level:
    """One level of one photo's pyramid: `scale` photo px -> level px, `size` (height, width) of the level."""

    index: int
    photo: int
    scale: float
    size: tuple[int, int]


def _faces(smallest: float, side: int) -> list[float]:
    """Sides of the faces that the levels of a pyramid look for: from `smallest` px to a photo's shorter side."""
    faces = [float(smallest)]
    while faces[-1] <= side:
        faces.append(faces[-1] / _FACTOR)
    return faces[:-1]


def _frames(canvas: Canvas, levels: list[tuple[int, float]], budget: int) -> list[list[_Level]]:
    """Levels that may go through PNet together: similar in size (at most a quarter is padding), few enough px."""
    made = []
    for index, (photo, face) in enumerate(levels):
        scale = _CELL / face
        height, width = canvas.sizes[photo]
        made.append(_Level(index, photo, scale, (int(height * scale + 1), int(width * scale + 1))))
    made.sort(key=lambda level: (level.size, level.index))
    frames: list[list[_Level]] = []
    height = width = used = 0
    for level in made:
        own = level.size[0] * level.size[1]
        height, width, used = max(height, level.size[0]), max(width, level.size[1]), used + own
        count = len(frames[-1]) + 1 if frames else 1
        if not frames or count * height * width > min(1.34 * used, max(budget, own)):
            frames.append([])
            (height, width), used = level.size, own
        frames[-1].append(level)
    return frames


def _beyond(size: Tensor, height: int, width: int) -> Tensor:
    """(G, 2) heights and widths -> bool (G, 1, height, width), true outside each."""
    rows = torch.arange(height, device=size.device)[None, :, None] >= size[:, 0, None, None]
    columns = torch.arange(width, device=size.device)[None, None, :] >= size[:, 1, None, None]
    return (rows | columns)[:, None]


def _square(boxes: Tensor) -> Tensor:
    """Boxes (K, 4) -> squares about their centres with the longer side."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True) / 2
    return torch.cat([centre - half, centre + half], 1)


def _shifted(boxes: Tensor, shift: Tensor) -> Tensor:
    """Boxes (K, 4) moved by regressions (K, 4) in units of their sides."""
    return boxes + shift * (boxes[:, 2:] - boxes[:, :2] + 1).repeat(1, 2)


def _suppress(boxes: Tensor, scores: Tensor, groups: Tensor, overlap: float) -> Tensor:
    """Indices of the boxes left by non-maximum suppression inside each group, best first inside a group."""
    if boxes.device.type != "cpu":
        # Groups pushed apart do not overlap; float64 keeps the shifted corners exact.
        apart = boxes.double() + groups[:, None].double() * 1e5
        return torch.as_tensor(nms(apart, scores.double(), overlap))
    order = torch.argsort(groups, stable=True)
    sizes = torch.unique_consecutive(groups[order], return_counts=True)[1].tolist()
    parts = torch.split_with_sizes(order, sizes) if sizes else (order,)
    return torch.cat([part[nms(boxes[part], scores[part], overlap)] for part in parts])


def _rows(found: _Candidates) -> Rows:
    """What the last network found -> float32 (K, 1 + 4 + 1 + 10): photo, box, score, points; the copy to the host."""
    flat = torch.cat([found.photo[:, None], found.boxes, found.score[:, None], found.points.flatten(1)], 1)
    return np.asarray(flat.cpu().numpy(), np.float32)


def _largest(rows: Rows) -> float:
    """The longer side of the largest face that is certain, 0 where there is none."""
    sure = rows[rows[:, 4] >= _CERTAIN]
    return float((sure[:, 2:4] - sure[:, :2]).max()) if len(sure) else 0.0


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
    shared = np.clip(high - low + 1, 0, None).prod(2) / np.minimum(area[:, None], area[None])
    kept: list[int] = []
    for row in range(len(rows)):
        if not kept or shared[row, kept].max() <= 0.7:
            kept.append(row)
    sides = boxes[kept, 2:] - boxes[kept, :2]
    kept = [kept[i] for i in np.argsort(-sides.prod(1), kind="stable")[:max_faces]]
    return rows[kept].astype(np.float32)


def _chunks(photos: Sequence[Photo], budget: int) -> list[Sequence[Photo]]:
    """Consecutive photos of together at most `budget` px, or a single larger one."""
    chunks: list[Sequence[Photo]] = []
    first = used = 0
    for index, photo in enumerate(photos):
        area = photo.shape[0] * photo.shape[1]
        if index > first and used + area > budget:
            chunks.append(photos[first:index])
            first, used = index, 0
        used += area
    return [*chunks, photos[first:]] if len(photos) else []
