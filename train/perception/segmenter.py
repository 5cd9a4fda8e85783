"""Photos with label maps in, the built-in face segmenter's weights out.

    python -m train.perception.segmenter --data celebamask --out run --export segmenter.safetensors

Starts again from the last checkpoint in the run folder. Progress and schedule count images, never seconds, so a
paused run ends where an undisturbed one does. CelebAMask-HQ (Lee et al. 2020, arxiv.org/abs/1907.11922) is for
non-commercial research; so are weights trained on it.
"""

import argparse
import copy
import json
import math
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor, nn

from curate.faces.deeplab import DeepLabSpec, DeepLabV3Plus
from curate.faces.segment import FORMAT, Segmenter, digest
from manifests.landmarks import MASK_CLASSES
from train.perception.crops import degrade, load_pairs, split_names, warp
from train.perception.scores import scores

SPEC = DeepLabSpec(
    channels=(32, 64, 128, 192),
    stem_width=12,
    decoder_channels=80,
    atrous_rates=(2, 4, 6),
    size=176,  # between the sizes trained on: what 100 images/s on two cores leaves room for
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)
LICENCE = "research use only: trained on CelebAMask-HQ, whose photos and labels are for non-commercial research"
TEST_SIZE = 224
CACHE_SIZE = 320  # px at which photos are kept in memory: tight crops still see real detail


class Phase(NamedTuple):
    """A stretch of the run that begins when `start` of all images are seen."""

    start: float  # share of the images, 0..1
    size: int  # px of the crops
    stride: int  # px of the crop to a pixel of the loss
    tight: float  # share of crops framed as arcface-112 frames a face
    worn: float  # share of crops that `degrade` changes
    balance: float  # classes weigh frequency ** -balance in the cross-entropy


# Coarse and cheap first. Balanced weights find the rare classes early; equal weights later take back the hats and
# glasses that balance paints over hair.
PHASES = (
    Phase(0.00, 128, 4, tight=0.5, worn=1.0, balance=0.25),
    Phase(0.45, 160, 4, tight=0.5, worn=1.0, balance=0.25),
    Phase(0.60, 160, 4, tight=0.4, worn=1.0, balance=0.0),
    Phase(0.72, 192, 2, tight=0.4, worn=1.0, balance=0.0),
    Phase(0.83, 192, 2, tight=0.25, worn=0.5, balance=0.0),
)


def class_weights(labels: Tensor, balance: float) -> Tensor:
    """(19,) weights proportional to frequency^-balance, with mean 1 over the pixels of `labels`."""
    share = torch.bincount(labels.flatten().int(), minlength=len(MASK_CLASSES)).double() / labels.numel()
    weights = share.clamp_min(1e-4) ** -balance
    return (weights / (weights * share).sum()).float()


def loss_of(logits: Tensor, truth: Tensor, weights: Tensor) -> Tensor:
    """Weighted cross-entropy plus soft Dice over the classes present in the batch.

    `logits` (N, 19, h, w), `truth` int64 (N, h, w), `weights` (19,).
    """
    log_chance = logits.log_softmax(1)
    of_truth = weights[truth]
    hit = log_chance.gather(1, truth[:, None])[:, 0]
    cross = -(of_truth * hit).sum() / of_truth.sum()
    # Dice_c = 2 sum p_c t_c / (sum p_c + sum t_c)
    overlap = torch.zeros(len(MASK_CLASSES)).index_add(0, truth.flatten(), hit.exp().flatten())
    count = torch.bincount(truth.flatten(), minlength=len(MASK_CLASSES)).float()
    dice = 2 * overlap / (log_chance.exp().sum((0, 2, 3)) + count + 1.0)
    return cross + 0.5 * (1 - dice[count > 0]).mean()


def normalise(crops: Tensor) -> Tensor:
    """Crops in [0, 1] -> what the network reads."""
    mean = torch.tensor(SPEC.mean)[:, None, None]
    std = torch.tensor(SPEC.std)[:, None, None]
    return ((crops - mean) / std).contiguous(memory_format=torch.channels_last)


def shuffled(count: int, batch: int, seen: int, seed: int) -> Iterator[Tensor]:
    """Batches of indices for ever, epoch after epoch, from the epoch in which `seen` images fell."""
    epoch = seen // count
    while True:
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed + epoch))
        yield from order[: count // batch * batch].view(-1, batch)
        epoch += 1


def train(options: argparse.Namespace) -> None:
    """Run the schedule from its last checkpoint to `options.images` images."""
    torch.manual_seed(options.seed)
    train_names, test_names = split_names(options.data)
    images, labels = load_pairs(options.data, train_names, CACHE_SIZE)
    test_images, test_labels = load_pairs(options.data, test_names, TEST_SIZE)
    weights = {phase.balance: class_weights(labels, phase.balance) for phase in PHASES}

    network = DeepLabV3Plus(SPEC, len(MASK_CLASSES)).to(memory_format=torch.channels_last)
    average = copy.deepcopy(network).requires_grad_(False)
    matrices = [p for p in network.parameters() if p.ndim > 1]
    vectors = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": options.decay}, {"params": vectors, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=options.rate)

    seen = 0
    options.out.mkdir(parents=True, exist_ok=True)
    last: Path = options.out / "last.pt"
    if last.exists():
        state = torch.load(last, weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        seen = state["seen"]
    rng = torch.Generator().manual_seed(options.seed + seen)
    batches = shuffled(len(images), options.batch, seen, options.seed)

    def prepare(at: int) -> tuple[Tensor, Tensor, Tensor]:
        phase = [phase for phase in PHASES if at / options.images >= phase.start][-1]
        chosen = next(batches)
        crops, truth = warp(images[chosen], labels[chosen], phase.size, phase.stride, phase.tight, rng)
        worn = torch.rand(len(crops), 1, 1, 1, generator=rng) < phase.worn
        return normalise(torch.where(worn, degrade(crops, rng), crops)), truth, weights[phase.balance]

    # One thread prepares the next batch while this one is learnt from.
    ahead = ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,))
    coming = ahead.submit(prepare, seen)
    losses: list[float] = []
    since, started = seen, time.monotonic()
    next_log, next_test = seen + options.log_every, seen + options.test_every

    while seen < options.images:
        # Schedule: linear warm-up, then cosine to zero.
        warm = min(1.0, seen / options.warmup + 0.01)
        rate = options.rate * warm * 0.5 * (1 + math.cos(math.pi * seen / options.images))
        for group in optimiser.param_groups:
            group["lr"] = rate
        crops, truth, weight = coming.result()
        coming = ahead.submit(prepare, seen + len(crops))

        # Learn from the batch.
        network.train()
        logits = F.interpolate(network(crops), size=truth.shape[-2:], mode="bilinear", align_corners=False)
        loss = loss_of(logits, truth, weight)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        seen += len(crops)
        losses.append(loss.item())

        # Exponential moving average of weights and running statistics, younger while the run is young.
        keep = min(options.ema, seen / (seen + 10 * options.batch))
        with torch.no_grad():
            for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
                if kept.is_floating_point():
                    kept.lerp_(new, 1 - keep)
                else:
                    kept.copy_(new)

        if seen >= next_log:
            next_log += options.log_every
            speed = (seen - since) / (time.monotonic() - started)
            record = {"seen": seen, "size": crops.shape[-1], "rate": rate, "loss": sum(losses) / len(losses)}
            append(options.out / "log.jsonl", record | {"images_per_s": speed})
            losses, since, started = [], seen, time.monotonic()
        if seen >= next_test or seen >= options.images:
            next_test += options.test_every
            tested = Segmenter(copy.deepcopy(average), SPEC, LICENCE).label_maps(test_images)
            append(options.out / "log.jsonl", {"seen": seen, "test": scores(tested, test_labels)})
            state = {"network": network.state_dict(), "average": average.state_dict(), "seen": seen}
            torch.save(state | {"optimiser": optimiser.state_dict()}, options.out / "last.pt.tmp")
            os.replace(options.out / "last.pt.tmp", last)
            since, started = seen, time.monotonic()
    ahead.shutdown()


def append(log: Path, record: dict[str, Any]) -> None:
    """One line of JSON more."""
    with log.open("a") as stream:
        stream.write(json.dumps(record) + "\n")


def export(run: Path, path: Path) -> None:
    """The averaged weights of the last checkpoint as float16 safetensors, with all that is needed to use them."""
    state = torch.load(run / "last.pt", weights_only=True)
    tensors = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in state["average"].items()
    }
    training = {"data": "CelebAMask-HQ, 900 photos", "images_seen": state["seen"], "phases": PHASES}
    record = {
        "format": FORMAT,
        "spec": SPEC.to_json(),
        "classes": json.dumps(MASK_CLASSES),
        "licence": LICENCE,
        "training": json.dumps(training),
        "sha256": digest(tensors),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(save(tensors, record))
    os.replace(partial, path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the built-in face segmenter.")
    parser.add_argument("--data", type=Path, required=True, help="folder with images/*.jpg and masks/*.png")
    parser.add_argument("--out", type=Path, required=True, help="run folder: last.pt, log.jsonl")
    parser.add_argument("--export", type=Path, help="write the averaged weights to this safetensors file at the end")
    parser.add_argument("--images", type=int, default=81_500, help="images to see in all")
    parser.add_argument("--warmup", type=int, default=3_000, help="images of linear warm-up")
    parser.add_argument("--batch", type=int, default=16, help="images a step")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--decay", type=float, default=0.02, help="weight decay of matrices and kernels")
    parser.add_argument("--ema", type=float, default=0.997, help="decay of the averaged weights a step")
    parser.add_argument("--seed", type=int, default=0, help="order of photos, augmentation, first weights")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; set OMP_NUM_THREADS to the same")
    parser.add_argument("--log-every", type=int, default=900, help="images between lines of the log")
    parser.add_argument("--test-every", type=int, default=4_500, help="images between tests and checkpoints")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options)
    if options.export:
        export(options.out, options.export)


if __name__ == "__main__":
    main()
