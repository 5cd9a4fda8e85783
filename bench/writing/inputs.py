"""What the commands of `bench.kills` read: photos, datasets, a training, a clip."""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import torch

from bench.writing.command import WritingCommand
from bench.writing.commands import COMMANDS, clean
from curate.evaluate import demo
from manifests.landmarks import MASK_CLASSES
from train.networks.simswap import SimSwapGenerator

RECIPE = """
size = 64
width = 8
blocks = 2
discriminator_width = 8
discriminator_scales = 1
batch = 4
images = 16
log_steps = 1
sample_images = 8
checkpoint_images = 4
checkpoints = 9
"""


def prepare(folder: Path) -> Path:
    """Write the inputs: photos of people, two datasets, a training, published weights, a clip. Returns their folder."""
    inputs = folder / "inputs"
    if (inputs / "ready").exists():
        return inputs
    shutil.rmtree(inputs, ignore_errors=True)
    demo.build(inputs / "demo", 24)
    people = sorted((inputs / "demo/train").iterdir())
    for name, chosen in (("photos", people[:3]), ("others", people[3:6])):
        for person in chosen:
            shutil.copytree(person, inputs / name / person.name)
    for photo in sorted((inputs / "photos").rglob("*.jpg"))[:8]:
        pixels = cv2.imread(str(photo))
        if pixels is not None:
            target = inputs / "pngs" / photo.parent.name / f"{photo.stem}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(target), pixels)
    for person in people[:2]:
        for photo in sorted(person.iterdir())[:2]:
            _write_small(inputs / "few" / person.name / photo.name, cv2.imread(str(photo)))
    (inputs / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    for name, out in (("photos", "a"), ("others", "b")):
        _run(WritingCommand("clean", "curate", lambda i, o, name=name: clean(i / name, o)), inputs, inputs / out)
    _run(WritingCommand("decide", "curate", lambda _, o: ["decide", o, "--policy", "keep-all"]), inputs, inputs / "a")
    _run(COMMANDS["merge"], inputs, inputs / "all")
    _run(COMMANDS["fit"], inputs, inputs / "run")
    torch.manual_seed(0)
    torch.save(SimSwapGenerator(128, blocks=2, width=8).state_dict(), inputs / "published.pth")
    _write_labelled(inputs / "labelled", sorted((inputs / "photos").rglob("*.jpg")))
    targets = sorted((inputs / "pngs").rglob("*.png"))[:3]
    (inputs / "targets").mkdir()
    for target in targets:
        shutil.copy(target, inputs / "targets" / f"{target.parent.name}-{target.name}")
    _write_clip(inputs / "clip.mp4", cv2.imread(str(targets[0])))
    _run(COMMANDS["swap folder"], inputs, inputs / "swapped")
    (inputs / "ready").touch()
    return inputs


def _run(command: WritingCommand, inputs: Path, out: Path) -> None:
    log = inputs / "log.txt"
    code = os.waitstatus_to_exitcode(os.waitpid(command.spawn(inputs, out, log), 0)[1])
    if code:
        sys.exit(f"{command.name} ended with {code}:\n{log.read_text()}")


def _write_small(path: Path, photo: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.resize(photo, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA))


def _write_labelled(folder: Path, photos: Sequence[Path]) -> None:
    """Write photos with label maps of random squares, as the segmenter is trained on."""
    random = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    decoded = (cv2.imread(str(photo)) for photo in photos)
    for number, pixels in zip(range(8), (photo for photo in decoded if photo is not None), strict=False):
        cv2.imwrite(str(folder / f"images/{number:02}.jpg"), cv2.resize(pixels, (64, 64)))
        labels = random.integers(0, len(MASK_CLASSES), (8, 8), np.uint8).repeat(8, 0).repeat(8, 1)
        cv2.imwrite(str(folder / f"masks/{number:02}.png"), labels)


def _write_clip(path: Path, photo: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    height, width = (side // 2 * 2 for side in photo.shape[:2])
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for shift in range(6):
            pixels = np.ascontiguousarray(np.roll(photo[:height, :width, ::-1], shift, 1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
