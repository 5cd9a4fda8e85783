"""A run of the segmenter's training on random photos: log, checkpoint, resume and export."""

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from curate.errors import SourceError
from curate.faces.segment import CLASSES, read_weights
from train.errors import CheckpointError
from train.perception.recipe import FINE_TUNING
from train.perception.segmenter import export
from train.perception.training import SegmenterOptions, shuffled, train


def write_photos(root: Path) -> None:
    """Write ten random photos and label maps."""
    random = np.random.default_rng(0)
    for folder, suffix in (("images", "jpg"), ("masks", "png")):
        (root / folder).mkdir()
        for number in range(10):
            values = random.integers(0, len(CLASSES), (32, 32, 3) if suffix == "jpg" else (32, 32), np.uint8)
            Image.fromarray(values).save(root / folder / f"{number}.{suffix}")


def test_a_run_continues_is_exported_and_starts_another(tmp_path: Path) -> None:
    write_photos(tmp_path)
    for images in (4, 8):
        train(SegmenterOptions(tmp_path, tmp_path / "run", images=images, batch=4, log_every=4, test_every=4))
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["images"] for line in lines] == [4, 4, 8, 8]
    assert all(np.isfinite(line["loss"]) for line in lines if "loss" in line)
    options = SegmenterOptions(tmp_path, tmp_path / "run")
    export(options.checkpoint, tmp_path / "segmenter.safetensors", options)
    _, metadata = read_weights(tmp_path / "segmenter.safetensors")
    assert "research use only" in metadata["licence"]

    tuned = SegmenterOptions(
        tmp_path, tmp_path / "tuned", images=4, batch=4, test_every=4, start=tmp_path / "segmenter.safetensors"
    )
    assert tuned.phases is FINE_TUNING
    train(tuned)
    first, second = (torch.load(tmp_path / run / "last.pt", weights_only=True) for run in ("run", "tuned"))
    name = "segmentation_head.0.weight"
    assert torch.allclose(first["average"][name], second["average"][name], atol=0.01)  # not from random weights
    export(tuned.checkpoint, tmp_path / "blend.safetensors", tuned, share=0.25)
    blend, _ = read_weights(tmp_path / "blend.safetensors")
    between = torch.lerp(first["average"][name], second["average"][name], 0.25)
    assert torch.allclose(blend[name].float(), between, atol=1e-3)


def damage(root: Path, kind: str) -> None:
    """Spoil one of the photos of `write_photos`."""
    photo, mask = root / "images/3.jpg", root / "masks/3.png"
    if kind == "no masks":
        mask.unlink()
    elif kind == "cut photo":
        photo.write_bytes(photo.read_bytes()[:200])
    elif kind == "unknown class":
        Image.fromarray(np.full((32, 32), 77, np.uint8)).save(mask)
    elif kind == "colours":
        Image.open(photo).save(mask)


@pytest.mark.parametrize(
    ("kind", "batch", "message"),
    [
        ("no masks", 4, r"masks/3\.png cannot be read \(No such file or directory\): restore it"),
        ("cut photo", 4, r"images/3\.jpg cannot be read \(.*\): restore it"),
        ("unknown class", 4, r"masks/3\.png: label 77 is no class, they are 0 to 18"),
        ("colours", 4, r"masks/3\.png: a label map has one channel, this one is RGB"),
        ("", 64, "9 photos are no batch of 64: lower --batch"),
    ],
)
def test_data_that_cannot_be_used_are_one_line(tmp_path: Path, kind: str, batch: int, message: str) -> None:
    write_photos(tmp_path)
    damage(tmp_path, kind)
    with pytest.raises(SourceError, match=message):
        train(SegmenterOptions(tmp_path, tmp_path / "run", images=4, batch=batch))


def test_missing_data_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere: 0 photos in .*, at least 10 are needed: give"):
        train(SegmenterOptions(tmp_path / "nowhere", tmp_path / "run"))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (b"PK\x03\x04 cut", "is damaged"),
        ({"network": {}}, "is no checkpoint of a segmenter"),
        ({"network": {"w": 1}, "average": {}, "optimiser": {}, "images": 0}, "holds something else than weights"),
        ({"network": {}, "average": {}, "optimiser": {}, "images": -4}, "-4 is no number of images"),
        ({"network": {}, "average": {}, "optimiser": {}, "images": 0}, "is of another network"),
    ],
)
def test_a_checkpoint_that_cannot_be_continued_is_one_line(
    tmp_path: Path, state: bytes | dict[str, object], message: str
) -> None:
    write_photos(tmp_path)
    options = SegmenterOptions(tmp_path, tmp_path / "run", images=4, batch=4)
    options.out.mkdir()
    if isinstance(state, bytes):
        options.checkpoint.write_bytes(state)
    else:
        torch.save(state, options.checkpoint)
    with pytest.raises(CheckpointError, match=message):
        train(options)


def test_a_continued_run_has_the_batches_of_an_undisturbed_one() -> None:
    rows = torch.arange(11)
    whole = list(islice(shuffled(rows, 4, 0, seed=3), 7))
    for done in (1, 2, 5):
        continued = list(islice(shuffled(rows, 4, 4 * done, seed=3), 7 - done))
        assert torch.equal(torch.stack(continued), torch.stack(whole[done:]))
