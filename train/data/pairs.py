"""Kept faces -> seeded batches of pairs: a target to change and the latent of a source photo, same person or another.

Batch number i is a pure function of the seed and i, so a training can continue at any batch. Targets go through every
face once an epoch, each person's spread evenly over it. A source is another photo of the target's person, or, in a
cross-person batch, another row's face by a derangement over the people.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, Self

import cv2
import imagecodecs
import numpy as np
import numpy.typing as npt
import simplejpeg
import torch
from torch import Tensor

from curate.faces.align import fit, rescale_matrices, rescale_points
from curate.faces.segment import MaskKind, binary_mask, box_mask
from manifests.errors import DatasetError
from manifests.landmarks import Template, flip_mask, flip_points
from manifests.reader import PixelReader
from train.data.faces import TrainingFaces
from train.errors import CheckpointError

Kind = Literal["same", "cross"]
Ints = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint8]

# How far the target of a person's only photo is moved: at most so much rotation, scale and shift, and so much contrast.
_TURN, _SCALE, _SHIFT, _GAIN = np.deg2rad(5), 0.05, 0.03, 0.15


@dataclass(frozen=True)
class Batch:
    """B pairs. `targets`, `sources`: indices into the photos. Pixels are RGB.

    target: uint8 (B, 3, S, S), channels last in memory. latents: float32 (B, D) of the sources, unit norm. same_person:
    bool (B,). matrices: float32 (B, 2, 3), target -> the embedder's chip. masks: uint8 (B, 1, S, S), 1 on the face,
    or None where no mask is asked for. source: uint8 (B, 3, S, S), or None where sources are not asked for.
    """

    index: int
    kind: Kind
    targets: Ints
    sources: Ints
    target: Tensor
    latents: Tensor
    same_person: Tensor
    matrices: Tensor
    masks: Tensor | None
    source: Tensor | None

    def to(self, device: torch.device) -> "Batch":
        """The same on another device; from pinned memory without waiting."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> "Batch":
        """The same in memory that a GPU can read by itself."""
        return self._each(Tensor.pin_memory)

    def row(self, row: int) -> "Batch":
        """Pair number `row` alone."""
        at = slice(row, row + 1)
        one = self._each(lambda tensor: tensor[at])
        return replace(one, targets=self.targets[at], sources=self.sources[at])

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        changed: dict[str, Any] = {name: change(t) for name, t in vars(self).items() if isinstance(t, Tensor)}
        return replace(self, **changed)


@dataclass(frozen=True)
class Rows:
    """Which faces make up a batch: indices (B,), whether each target is mirrored, and whether it is jittered."""

    targets: Ints
    sources: Ints
    flips: npt.NDArray[np.bool_]
    jitter: npt.NDArray[np.bool_]


class Pairs:
    """Which photos are paired in batch i: no pixels, no state.

    Raises DatasetError where there is only one person: nobody to swap with.
    """

    def __init__(self, photos: TrainingFaces, batch: int, seed: int, flip: float = 0.5) -> None:
        if len(photos.people) < 2:
            names = ", ".join(photos.people) or "nobody"
            raise DatasetError(f"{photos.root}: only {names} is left to train on; swapping takes two people")
        self.photos, self.batch, self.seed, self.flip = photos, batch, seed, flip
        self._first, self._count = photos.first, photos.count
        self._epoch = lru_cache(maxsize=2)(self._shuffled)

    def rows(self, index: int, kind: Kind) -> Rows:
        """The faces of batch `index`."""
        rng = np.random.default_rng([self.seed, 1, index])
        places = index * self.batch + np.arange(self.batch)
        targets = np.array(
            [self._epoch(place // len(self.photos))[place % len(self.photos)] for place in places.tolist()]
        )
        person = self.photos.person[targets]
        flips = rng.random(self.batch) < self.flip
        alone = self._count[person] == 1
        if kind == "same":
            # One of the person's other photos: any but the target, each as likely.
            step = 1 + rng.integers(0, np.maximum(self._count[person] - 1, 1))
            first = self._first[person]
            sources = first + (targets - first + step) % self._count[person]
            return Rows(targets, sources, flips | alone, alone)
        order = derangement(person, rng)
        if order is None:
            # Most of the batch is one person: sources come from all the others' photos.
            drawn = rng.integers(0, len(self.photos) - self._count[person])
            sources = drawn + np.where(drawn >= self._first[person], self._count[person], 0)
        else:
            sources = targets[order]
        return Rows(targets, sources, flips, np.zeros(self.batch, bool))

    def _shuffled(self, epoch: int) -> Ints:
        """Every face once, each person's evenly spread: the k-th of n lies about at (k + u) / n of the epoch."""
        rng = np.random.default_rng([self.seed, 0, epoch])
        mixed = np.lexsort([rng.random(len(self.photos)), self.photos.person])
        rank = np.arange(len(self.photos)) - self._first[self.photos.person]
        start = rng.random(len(self.photos.people))[self.photos.person]
        return mixed[np.argsort((rank + start) / self._count[self.photos.person], kind="stable")]


def derangement(people: Ints, rng: np.random.Generator) -> Ints | None:
    """People (B,) -> an order o (B,) with people[o[i]] != people[i] for every i; None where there is none.

    There is one exactly where nobody has more than half of the rows.
    """
    _, person, counts = np.unique(people, return_inverse=True, return_counts=True)
    most = int(counts.max())
    if 2 * most > len(people):
        return None
    # With people side by side, in random order, a turn by the largest one's count lands on someone else.
    where = np.lexsort([rng.random(len(people)), rng.permutation(len(counts))[person]])
    order = np.empty_like(where)
    order[where] = np.roll(where, -most)
    return order


class PairLoader:
    """Iterator over batches number `position`, `position` + 1, ...; decodes ahead in `workers` threads.

    kind_of: number of a batch -> its kind. latents: (N, D), row for row as `pairs.photos`. mask: which binary mask, if
    any. sources: decode the source photos as well. turn: (k, n) takes every n-th batch from `position` + k on, while
    `position` counts them all. Raises DatasetError while iterating: a missing shard, a bad crop.
    """

    def __init__(
        self,
        pairs: Pairs,
        kind_of: Callable[[int], Kind],
        latents: npt.NDArray[np.float16] | npt.NDArray[np.float32],
        template: Template,
        size: int,
        mask: MaskKind | Literal["none", "box"] = "none",
        sources: bool = False,
        workers: int = 1,
        pin: bool = False,
        turn: tuple[int, int] = (0, 1),
    ) -> None:
        self.pairs, self.kind_of, self.latents, self.template = pairs, kind_of, latents, template
        self.size, self.mask, self.sources, self.pin = size, mask, sources, pin
        self.position = 0
        self._mine, self._every = turn
        self._reader = PixelReader(pairs.photos.root)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="pairs")
        self._ahead: deque[Future[Batch]] = deque()
        self._depth = workers + 2
        self._digest = pairs.photos.digest()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        while len(self._ahead) < self._depth:
            index = self.position + self._mine + self._every * len(self._ahead)
            self._ahead.append(self._threads.submit(self.load, index))
        batch = self._ahead.popleft().result()
        self.position += self._every
        return batch

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next batch depends on; plain values."""
        return {
            "position": self.position,
            "seed": self.pairs.seed,
            "batch": self.pairs.batch,
            "photos": self._digest,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken. Raises CheckpointError if that was on other photos, or in another order."""
        mine = self.state_dict()
        for name in ("seed", "batch", "photos"):
            if state[name] != mine[name]:
                raise CheckpointError(
                    f"the checkpoint was made with other training data ({name} {state[name]}, here {mine[name]}): "
                    "train on the same dataset, or start in another --out"
                )
        self._forget()
        self.position = int(state["position"])

    def close(self) -> None:
        """Stop the threads."""
        self._forget()
        self._threads.shutdown()

    def _forget(self) -> None:
        for waiting in self._ahead:
            waiting.cancel()
        self._ahead.clear()

    def load(self, index: int) -> Batch:
        """Batch number `index`, whatever was read before."""
        kind = self.kind_of(index)
        batch = self.assemble(index, kind, self.pairs.rows(index, kind))
        return batch.pinned() if self.pin else batch

    def assemble(self, index: int, kind: Kind, rows: Rows) -> Batch:
        """Read, decode and align these rows."""
        photos, size = self.pairs.photos, self.size
        target = self._crops(rows.targets)
        masks = self._masks(rows.targets)
        points = rescale_points(photos.points[rows.targets].astype(np.float64), size / photos.side)
        rng = np.random.default_rng([self.pairs.seed, 2, index])
        for row in np.flatnonzero(rows.jitter):
            target[row], points[row], moved = _jittered(
                target[row], points[row], None if masks is None else masks[row], rng
            )
            if masks is not None and moved is not None:
                masks[row] = moved
        target[rows.flips] = target[rows.flips, :, ::-1]
        points[rows.flips] = flip_points(points[rows.flips], size)
        if masks is not None and self.mask != "box":
            masks[rows.flips] = flip_mask(masks[rows.flips])
            masks = binary_mask(masks, self.mask).astype(np.uint8)  # type: ignore[arg-type]
        elif masks is not None:
            masks[rows.flips] = masks[rows.flips, :, ::-1]
        matrices, _ = fit(points, self.template)
        latents = np.asarray(self.latents[rows.sources], np.float32)
        return Batch(
            index=index,
            kind=kind,
            targets=rows.targets,
            sources=rows.sources,
            target=_channels_first(target),
            latents=torch.nn.functional.normalize(torch.from_numpy(latents)),
            same_person=torch.from_numpy(photos.person[rows.targets] == photos.person[rows.sources]),
            matrices=torch.from_numpy(matrices.astype(np.float32)),
            masks=None if masks is None else torch.from_numpy(masks)[:, None],
            source=_channels_first(self._crops(rows.sources)) if self.sources else None,
        )

    def _crops(self, rows: Ints) -> Pixels:
        """uint8 (B, S, S, 3)."""
        photos = self.pairs.photos
        crops = np.empty((len(rows), self.size, self.size, 3), np.uint8)
        for at, data in self._bytes(rows, photos.crop_offset, photos.crop_length):
            try:
                crop = simplejpeg.decode_jpeg(data, "RGB", min_height=self.size, min_width=self.size)
            except ValueError as error:
                raise self._damaged(rows[at], "crop", error) from error
            # INTER_AREA keeps the pixel grid: corner to corner, averaged over what each pixel covers.
            sized = (self.size, self.size)
            crops[at] = crop if crop.shape[:2] == sized else cv2.resize(crop, sized, interpolation=cv2.INTER_AREA)
        return crops

    def _masks(self, rows: Ints) -> Pixels | None:
        """uint8 (B, S, S): label maps, or boxes as 0 and 1."""
        photos, size = self.pairs.photos, self.size
        if self.mask == "none":
            return None
        if self.mask == "box":
            matrix = rescale_matrices(photos.matrix[rows], size / photos.side)
            return box_mask(photos.box[rows], matrix, size).astype(np.uint8)
        masks = np.empty((len(rows), size, size), np.uint8)
        for at, data in self._bytes(rows, photos.mask_offset, photos.mask_length):
            try:
                labels = imagecodecs.png_decode(data)
            except imagecodecs.PngError as error:
                raise self._damaged(rows[at], "mask", error) from error
            # The label at each pixel's centre: classes do not average.
            nearest = np.floor((np.arange(size) + 0.5) * (len(labels) / size)).astype(np.intp)
            masks[at] = labels if len(labels) == size else labels[np.ix_(nearest, nearest)]
        return masks

    def _bytes(self, rows: Ints, offsets: Ints, lengths: Ints) -> list[tuple[int, bytes]]:
        """(place in the batch, encoded image) of each row, shard by shard."""
        photos = self.pairs.photos
        found: list[tuple[int, bytes]] = []
        shards = photos.shard[rows]
        for shard in np.unique(shards):
            at = np.flatnonzero(shards == shard)
            data = self._reader.many(photos.shards[shard], offsets[rows[at]], lengths[rows[at]])
            found += zip(at.tolist(), data, strict=True)
        return found

    def _damaged(self, row: np.int64, what: str, error: Exception) -> DatasetError:
        photos = self.pairs.photos
        shard = photos.root / photos.shards[photos.shard[row]]
        return DatasetError(
            f"{shard}: the {what} of {photos.face_id[row]} is damaged ({error}): remove the shard and run "
            "`curate measure` again"
        )


def _jittered(
    crop: Pixels, points: npt.NDArray[np.float64], mask: Pixels | None, rng: np.random.Generator
) -> tuple[Pixels, npt.NDArray[np.float64], Pixels | None]:
    """A crop (S, S, 3) slightly turned, scaled, shifted and relit, with its points (5, 2) and its mask (S, S)."""
    size = len(crop)
    turn, scale = rng.uniform(-_TURN, _TURN), rng.uniform(1 - _SCALE, 1 + _SCALE)
    shift = rng.uniform(-_SHIFT, _SHIFT, 2) * size
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    centre = np.full(2, (size - 1) / 2)
    matrix = np.column_stack([linear, centre - linear @ centre + shift])
    moved = cv2.warpAffine(crop, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    gain, lift = rng.uniform(1 - _GAIN, 1 + _GAIN, 2)
    relit = np.clip((moved.astype(np.float32) - 128) * gain + 128 * lift, 0, 255).round().astype(np.uint8)
    if mask is not None:
        labels = cv2.warpAffine(mask, matrix, (size, size), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
        mask = np.asarray(labels, np.uint8)
    return relit, points @ linear.T + matrix[:, 2], mask


def _channels_first(pixels: Pixels) -> Tensor:
    """uint8 (B, S, S, 3) -> (B, 3, S, S) of the same memory: what torch calls channels last."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)
