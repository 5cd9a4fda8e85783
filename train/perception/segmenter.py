"""Trains the built-in face segmenter and exports its weights.

    python -m train.perception.segmenter --data celebamask --out run --export segmenter.safetensors

Continues from the last checkpoint in the run folder. CelebAMask-HQ (Lee et al. 2020, arxiv.org/abs/1907.11922) is for
non-commercial research; so are weights trained on it.
"""

import argparse
import json
from dataclasses import fields
from pathlib import Path

import torch
from safetensors.torch import save

from curate.faces.segment import FORMAT, digest, read_weights
from curate.program import run
from manifests.errors import OutputError
from manifests.landmarks import MASK_CLASSES
from manifests.output import atomic
from manifests.partials import remove_partials_of
from train.perception.recipe import LICENCE, SPEC
from train.perception.state import read_state
from train.perception.training import SegmenterOptions, train


def export(checkpoint: Path, path: Path, options: SegmenterOptions, share: float = 1.0) -> None:
    """Write the averaged weights of a checkpoint as float16 safetensors, with all that is needed to use them.

    Args:
        checkpoint: of the run.
        path: of the new file.
        options: of the run.
        share: of the trained weights, 0 to 1; the rest is that of the weights from which the run started. A fine-tuned
            network is linearly connected to its start, and in between keeps the accuracy of both (Wortsman et al. 2022,
            arxiv.org/abs/2109.01903).
    """
    state = read_state(checkpoint)
    average = state.average
    if share < 1:
        if options.start is None:
            raise OutputError(f"--share {share}: a run from random weights has no weights to blend with: add --start")
        start, _ = read_weights(options.start)
        average = {
            name: torch.lerp(start[name].float(), tensor, share) if tensor.is_floating_point() else tensor
            for name, tensor in average.items()
        }
    tensors = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous() for name, tensor in average.items()
    }
    training = {
        "data": "CelebAMask-HQ, 900 photos",
        "images_seen": state.images,
        "phases": options.phases,
        "share": share,
    }
    metadata = {
        "format": FORMAT,
        "spec": SPEC.to_json(),
        "classes": json.dumps(MASK_CLASSES),
        "licence": LICENCE,
        "training": json.dumps(training),
        "sha256": digest(tensors),
    }
    remove_partials_of(path)
    with atomic(path) as partial:
        partial.write_bytes(save(tensors, metadata))


def main() -> None:
    """Run the program: errors and signals are one line."""
    kept = "The last checkpoint is kept; run the same command again"
    run(_train_and_export, "segmenter", f"{kept} to continue.", f"{kept} with a smaller --batch.")


def _train_and_export() -> None:
    parser = argparse.ArgumentParser(
        description="Train the built-in face segmenter.", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    default = SegmenterOptions(Path(), Path())
    parser.add_argument("--data", type=Path, required=True, help="folder with images/*.jpg and masks/*.png")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run: last.pt, log.jsonl")
    parser.add_argument("--export", type=Path, help="safetensors file to write the averaged weights to")
    parser.add_argument("--share", type=_share, default=1.0, help="of the trained weights beside those of --start")
    parser.add_argument("--images", type=_positive, default=default.images, help="images to train on in all")
    parser.add_argument("--warmup", type=_positive, default=default.warmup, help="images of linear warm-up")
    parser.add_argument("--batch", type=_positive, default=default.batch, help="images of a step")
    parser.add_argument("--rate", type=float, default=default.rate, help="peak learning rate")
    parser.add_argument("--decay", type=float, default=default.decay, help="weight decay of matrices and kernels")
    parser.add_argument("--ema", type=float, default=default.ema, help="decay of the averaged weights per step")
    parser.add_argument("--start", type=Path, help="safetensors file to start from, with the phases of fine-tuning")
    parser.add_argument("--bfloat16", action="store_true", help="run the network in bfloat16")
    parser.add_argument("--seed", type=int, default=default.seed, help="of weights, order of photos and augmentation")
    parser.add_argument("--threads", type=_positive, default=1, help="CPU threads; OMP_NUM_THREADS must be the same")
    parser.add_argument("--log-every", type=_positive, default=default.log_every, help="images between log lines")
    parser.add_argument("--test-every", type=_positive, default=default.test_every, help="images between tests")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    options = SegmenterOptions(**{field.name: getattr(arguments, field.name) for field in fields(SegmenterOptions)})
    train(options)
    if arguments.export:
        export(options.checkpoint, arguments.export, options, arguments.share)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number from 1 on")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give a share above 0, at most 1")
    return share


if __name__ == "__main__":
    main()
