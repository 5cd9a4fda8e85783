"""Batches of pairs with their pixels, decoded ahead by threads."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from curate.faces.align import fit, rescale_points
from curate.faces.segment import MaskKind, binary_mask
from manifests.landmarks import Template, flip_mask, flip_points
from train.data.crops import CropReader, Pixels
from train.data.faces import Indices
from train.data.jitter import jitter
from train.data.pairs import Kind, PairRows, PairSampler
from train.errors import CheckpointError
from train.networks.conditioning import SourceFaces


@dataclass(frozen=True)
class Batch:
    """B pairs. Pixels are RGB.

    Attributes:
        index: number of the batch.
        kind: whether sources are of the targets' person or of another.
        targets, sources: (B,) indices of faces.
        target: uint8 (B, 3, S, S), channels last in memory.
        latents: float32 (B, D) of the sources, unit norm.
        same_person: bool (B,).
        points: float32 (B, 5, 2), landmarks on the target, px.
        matrices: float32 (B, 2, 3), target -> the embedder's chip.
        masks: uint8 (B, 1, S, S), 1 on the face; None without a mask kind.
        source: uint8 (B, 3, S, S); None unless the loader decodes sources.
        source_points: float32 (B, 5, 2), landmarks on the source, px; None likewise.
    """

    index: int
    kind: Kind
    targets: Indices
    sources: Indices
    target: Tensor
    latents: Tensor
    same_person: Tensor
    points: Tensor
    matrices: Tensor
    masks: Tensor | None
    source: Tensor | None
    source_points: Tensor | None = None

    @property
    def source_faces(self) -> SourceFaces | None:
        """The sources for generators that read their pixels; None unless the loader decodes sources."""
        if self.source is None or self.source_points is None:
            return None
        return SourceFaces(self.source.float() / 255, self.source_points)

    def to(self, device: torch.device) -> "Batch":
        """Copy the batch to `device`, asynchronously from pinned memory."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> "Batch":
        """Copy the batch to pinned memory."""
        return self._map(Tensor.pin_memory)

    def row(self, row: int) -> "Batch":
        """Return a batch of pair number `row` alone."""
        selected = slice(row, row + 1)
        single = self._map(lambda tensor: tensor[selected])
        return replace(single, targets=self.targets[selected], sources=self.sources[selected])

    def _map(self, function: Callable[[Tensor], Tensor]) -> "Batch":
        mapped: dict[str, Any] = {name: function(t) for name, t in vars(self).items() if isinstance(t, Tensor)}
        return replace(self, **mapped)


class PairLoader:
    """Iterator over batches `position`, `position` + 1, ...

    Args:
        sampler: draws the pairs of a batch.
        kind_of: number of a batch -> its kind.
        latents: (N, D), row for row as `sampler.faces`.
        template: crop geometry of the embedder's chips.
        size: side of the generator's crops, px.
        mask: kind of binary mask in the batches.
        sources: whether to decode the source photos too.
        workers: threads that decode ahead.
        pin: whether batches are in pinned memory.
        turn: (k, n): load every n-th batch from `position` + k on; `position` counts all of them.

    Raises:
        DatasetError: while iterating, a shard is missing or an image is damaged.
    """

    def __init__(
        self,
        sampler: PairSampler,
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
        self.sampler, self.kind_of, self.latents, self.template = sampler, kind_of, latents, template
        self.size, self.mask, self.sources, self.pin = size, mask, sources, pin
        self.position = 0
        self._offset, self._step = turn
        self._reader = CropReader(sampler.faces, size)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="pairs")
        self._ahead: deque[Future[Batch]] = deque()
        self._depth = workers + 2
        self._digest = sampler.faces.digest()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        while len(self._ahead) < self._depth:
            index = self.position + self._offset + self._step * len(self._ahead)
            self._ahead.append(self._threads.submit(self.load, index))
        batch = self._ahead.popleft().result()
        self.position += self._step
        return batch

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next batch depends on, as plain values."""
        return {
            "position": self.position,
            "seed": self.sampler.seed,
            "batch": self.sampler.batch,
            "photos": self._digest,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue at a saved state. Raises CheckpointError if it is of other faces, another seed or batch size."""
        current = self.state_dict()
        for name in ("seed", "batch", "photos"):
            if state.get(name) != current[name]:
                raise CheckpointError(
                    f"the checkpoint was made with other training data ({name} {state.get(name)}, here "
                    f"{current[name]}): train on the same dataset, or start in another --out"
                )
        position = state.get("position")
        if not isinstance(position, int) or position < 0:
            raise CheckpointError(
                f"the checkpoint has no position in the training data ({position!r}): use another one"
            )
        self._cancel()
        self.position = position

    def close(self) -> None:
        """Stop the threads."""
        self._cancel()
        self._threads.shutdown()

    def _cancel(self) -> None:
        for future in self._ahead:
            future.cancel()
        self._ahead.clear()

    def load(self, index: int) -> Batch:
        """Load batch `index`, independent of earlier batches."""
        kind = self.kind_of(index)
        batch = self.assemble(index, kind, self.sampler.rows(index, kind))
        return batch.pinned() if self.pin else batch

    def assemble(self, index: int, kind: Kind, rows: PairRows) -> Batch:
        """Read, decode and align the given pairs; `index` seeds the jitter."""
        faces, size = self.sampler.faces, self.size
        target = self._reader.crops(rows.targets)
        masks = self._masks(rows.targets)
        points = rescale_points(faces.points[rows.targets].astype(np.float64), size / faces.side)
        rng = np.random.default_rng([self.sampler.seed, 2, index])
        for row in np.flatnonzero(rows.jitter):
            mask = None if masks is None else masks[row]
            target[row], points[row], mask = jitter(target[row], points[row], mask, rng)
            if masks is not None and mask is not None:
                masks[row] = mask
        target[rows.flips] = target[rows.flips, :, ::-1]
        points[rows.flips] = flip_points(points[rows.flips], size)
        if masks is not None and self.mask == "box":
            masks[rows.flips] = masks[rows.flips, :, ::-1]
        elif masks is not None:
            masks[rows.flips] = flip_mask(masks[rows.flips])
            masks = binary_mask(masks, self.mask).astype(np.uint8)  # type: ignore[arg-type]
        matrices, _ = fit(points, self.template)
        latents = np.asarray(self.latents[rows.sources], np.float32)
        return Batch(
            index=index,
            kind=kind,
            targets=rows.targets,
            sources=rows.sources,
            target=_channels_first(target),
            latents=torch.nn.functional.normalize(torch.from_numpy(latents)),
            same_person=torch.from_numpy(faces.person[rows.targets] == faces.person[rows.sources]),
            points=torch.from_numpy(points.astype(np.float32)),
            matrices=torch.from_numpy(matrices.astype(np.float32)),
            masks=None if masks is None else torch.from_numpy(masks)[:, None],
            source=_channels_first(self._reader.crops(rows.sources)) if self.sources else None,
            source_points=self._source_points(rows.sources) if self.sources else None,
        )

    def _source_points(self, indices: Indices) -> Tensor:
        faces = self.sampler.faces
        points = rescale_points(faces.points[indices].astype(np.float64), self.size / faces.side)
        return torch.from_numpy(points.astype(np.float32))

    def _masks(self, indices: Indices) -> Pixels | None:
        """Return uint8 (B, S, S): label maps, or box masks of 0 and 1."""
        if self.mask == "none":
            return None
        return self._reader.box_masks(indices) if self.mask == "box" else self._reader.label_maps(indices)


def _channels_first(pixels: Pixels) -> Tensor:
    """View uint8 (B, S, S, 3) as (B, 3, S, S), channels last in memory."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)
