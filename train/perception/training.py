"""The training loop of the segmenter.

Progress and schedule count images, never seconds, so that a resumed run ends where an uninterrupted one does.
"""

import copy
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from curate.errors import SourceError
from curate.faces.deeplab import DeepLabV3Plus
from curate.faces.segment import Segmenter, read_weights
from manifests.landmarks import MASK_CLASSES
from manifests.output import OutputLock, atomic
from train.errors import CheckpointError
from train.perception.augmentation import Augmentation, degrade
from train.perception.celebamask import load_photos, split_names
from train.perception.iou import iou_scores
from train.perception.occluders import Occluders
from train.perception.recipe import (
    CACHE_SIZE,
    FINE_TUNING,
    FROM_SCRATCH,
    LICENCE,
    SPEC,
    TEST_SIZE,
    Phase,
    learning_rate,
    phase_at,
)
from train.perception.segmentation_loss import class_weights, segmentation_loss
from train.perception.state import read_state

_MAX_GRADIENT_NORM = 5.0
_ADVICE = "train with the version that wrote it, or give another --out"


@dataclass(frozen=True)
class SegmenterOptions:
    """Settings of a run.

    Attributes:
        data: folder with images/*.jpg and masks/*.png.
        out: folder of the run: last.pt, log.jsonl.
        images: images to train on in all.
        warmup: images of linear warm-up.
        batch: images of a step.
        rate: peak learning rate.
        decay: weight decay of matrices and kernels.
        ema: decay of the averaged weights per step.
        start: safetensors file of weights from which a run starts, with the phases `FINE_TUNING`; None starts from
            random weights, with `FROM_SCRATCH`.
        bfloat16: whether the network runs in bfloat16 while training; CPUs with AVX-512 BF16 are 1.7 times as fast.
        seed: of the first weights, the order of photos and the augmentation.
        log_every: images between lines of the log.
        test_every: images between tests, each with a checkpoint.
    """

    data: Path
    out: Path
    images: int = 81_500
    warmup: int = 3_000
    batch: int = 16
    rate: float = 2e-3
    decay: float = 0.02
    ema: float = 0.997
    start: Path | None = None
    bfloat16: bool = False
    seed: int = 0
    log_every: int = 900
    test_every: int = 4_500

    @property
    def checkpoint(self) -> Path:
        """The last checkpoint of the run."""
        return self.out / "last.pt"

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases of the run."""
        return FROM_SCRATCH if self.start is None else FINE_TUNING


class SegmenterBatch(NamedTuple):
    """crops: (N, 3, S, S), normalised. labels: int64 (N, h, w). weights: (19,), of the cross-entropy."""

    crops: Tensor
    labels: Tensor
    weights: Tensor


class BatchSource:
    """Draws and augments batches; not thread-safe. A batch depends on the seed and the images before it alone.

    Args:
        images: uint8 (N, 3, T, T), RGB.
        labels: uint8 (N, T, T).
        options: of the run.
        images_before: images that the run was trained on before.
    """

    def __init__(self, images: Tensor, labels: Tensor, options: SegmenterOptions, images_before: int) -> None:
        self.options = options
        self._weights = {phase.balance: class_weights(labels, phase.balance) for phase in options.phases}
        photos, maps = np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy()), labels.numpy()
        self._augmentation = Augmentation(photos, maps, Occluders(photos, maps))
        self._rows = shuffled(repeated_rows(labels), options.batch, images_before, options.seed)

    def next(self, images_before: int) -> SegmenterBatch:
        """The next batch, augmented as in the phase after `images_before` images."""
        phase = phase_at(self.options.phases, images_before / self.options.images)
        rng = np.random.default_rng((self.options.seed, images_before))
        crops, labels = self._augmentation.crops(next(self._rows).numpy(), phase, rng)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        is_degraded = torch.rand(len(crops), 1, 1, 1, generator=generator) < phase.degraded
        crops = torch.where(is_degraded, degrade(crops, generator), crops)
        return SegmenterBatch(normalise(crops), labels, self._weights[phase.balance])


def repeated_rows(labels: Tensor) -> Tensor:
    """Rows of the photos, int64: those with a hat or glasses three times, with earrings or one visible eye twice."""
    shares = torch.stack([(labels == c).flatten(1).float().mean(1) for c in range(len(MASK_CLASSES))])
    has = dict(zip(MASK_CLASSES, shares > 5e-4, strict=True))
    rare = has["hat"] | has["glasses"]
    uncommon = has["ear_r"] | ~(has["l_eye"] & has["r_eye"])
    counts = torch.where(rare, 3, torch.where(uncommon, 2, 1))
    return torch.arange(len(labels)).repeat_interleave(counts)


class SegmenterTraining:
    """Network, averaged network (EMA) and optimiser of a run."""

    def __init__(self, options: SegmenterOptions) -> None:
        self.options = options
        self.network = DeepLabV3Plus(SPEC, len(MASK_CLASSES)).to(memory_format=torch.channels_last)
        if options.start is not None:
            tensors, _ = read_weights(options.start)
            self.network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        matrices = [p for p in self.network.parameters() if p.ndim > 1]
        vectors = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": options.decay}, {"params": vectors, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=options.rate)
        self.images = 0

    def step(self, batch: SegmenterBatch) -> float:
        """One update; returns the loss."""
        options = self.options
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.images, options.images, options.warmup, options.rate)
        self.network.train()
        torch.manual_seed(
            (options.seed << 32) + self.images
        )  # dropout of a continued run is that of an undisturbed one
        with torch.autocast("cpu", torch.bfloat16, enabled=options.bfloat16):
            logits = self.network(batch.crops)
        logits = F.interpolate(logits.float(), size=batch.labels.shape[-2:], mode="bilinear", align_corners=False)
        loss = segmentation_loss(logits, batch.labels, batch.weights)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), _MAX_GRADIENT_NORM)
        self.optimiser.step()
        self.images += len(batch.crops)
        self._update_average()
        return float(loss.item())

    @torch.no_grad()
    def _update_average(self) -> None:
        """EMA of weights and running statistics, with a shorter memory at the beginning of the run."""
        keep = min(self.options.ema, self.images / (self.images + 10 * self.options.batch))
        for average, value in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
            if average.is_floating_point():
                average.lerp_(value, 1 - keep)
            else:
                average.copy_(value)

    def test(self, images: Tensor, labels: Tensor) -> dict[str, float]:
        """IoU of the averaged network on photos uint8 (N, 3, S, S)."""
        return iou_scores(Segmenter(copy.deepcopy(self.average), SPEC, LICENCE).label_maps(images), labels)

    def save(self) -> None:
        """Write the checkpoint, whole or not at all. Raises OutputError."""
        state = {"network": self.network.state_dict(), "average": self.average.state_dict(), "images": self.images}
        # Given a path, torch.save records its name, which is a random one.
        with atomic(self.options.checkpoint) as partial, partial.open("wb") as file:
            torch.save(state | {"optimiser": self.optimiser.state_dict()}, file)

    def resume(self) -> None:
        """Load the checkpoint, if there is one. Raises CheckpointError where it is damaged or of another network."""
        path = self.options.checkpoint
        if not path.exists():
            return
        state = read_state(path)
        try:
            self.network.load_state_dict(state.network)
            self.average.load_state_dict(state.average)
            self.optimiser.load_state_dict(state.optimiser)
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(f"{path} is of another network ({reason}): {_ADVICE}") from error
        self.images = state.images


def train(options: SegmenterOptions) -> None:
    """Run the schedule from the last checkpoint of the run to `options.images` images.

    Raises BusyError where another run uses the folder, OutputError where it cannot be written, SourceError for data
    that cannot be used, CheckpointError for a checkpoint that cannot be continued.
    """
    with OutputLock(options.out):
        _train(options)


def _train(options: SegmenterOptions) -> None:
    torch.manual_seed(options.seed)
    train_names, test_names = split_names(options.data)
    images, labels = load_photos(options.data, train_names, CACHE_SIZE)
    test_images, test_labels = load_photos(options.data, test_names, TEST_SIZE)
    if len(repeated_rows(labels)) < options.batch:
        raise SourceError(f"--data {options.data}: {len(images)} photos are no batch of {options.batch}: lower --batch")
    training = SegmenterTraining(options)
    training.resume()
    source = BatchSource(images, labels, options, training.images)
    log = options.out / "log.jsonl"
    losses: list[float] = []
    images_before, time_before = training.images, time.monotonic()
    next_log, next_test = training.images + options.log_every, training.images + options.test_every

    # A thread prepares the next batch during a step.
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as thread:
        upcoming = thread.submit(source.next, training.images)
        while training.images < options.images:
            batch = upcoming.result()
            upcoming = thread.submit(source.next, training.images + len(batch.crops))
            losses.append(training.step(batch))
            if training.images >= next_log:
                next_log += options.log_every
                speed = (training.images - images_before) / (time.monotonic() - time_before)
                rate = training.optimiser.param_groups[0]["lr"]
                record = {"images": training.images, "size": batch.crops.shape[-1], "rate": rate}
                append(log, record | {"loss": sum(losses) / len(losses), "images_per_s": speed})
                losses, images_before, time_before = [], training.images, time.monotonic()
            if training.images >= next_test or training.images >= options.images:
                next_test += options.test_every
                append(log, {"images": training.images, "test": training.test(test_images, test_labels)})
                training.save()
                images_before, time_before = training.images, time.monotonic()


def normalise(crops: Tensor) -> Tensor:
    """Crops in [0, 1] -> input of the network, (crop - mean) / std, channels last in memory."""
    mean = torch.tensor(SPEC.mean)[:, None, None]
    std = torch.tensor(SPEC.std)[:, None, None]
    return ((crops - mean) / std).contiguous(memory_format=torch.channels_last)


def shuffled(rows: Tensor, batch: int, images_before: int, seed: int) -> Iterator[Tensor]:
    """Endless batches of rows, epoch after epoch, from the batch on that follows `images_before` images."""
    batches = len(rows) // batch
    epoch, done = divmod(images_before // batch, batches)
    while True:
        order = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed + epoch))]
        yield from order[: batches * batch].view(-1, batch)[done:]
        epoch, done = epoch + 1, 0


def append(log: Path, record: dict[str, Any]) -> None:
    """Append a line of JSON."""
    with log.open("a") as stream:
        stream.write(json.dumps(record) + "\n")
