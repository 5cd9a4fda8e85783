"""train/data/loader.py: a batch depends on its number alone; flips and sizes keep pixels, masks and chips aligned."""

from pathlib import Path

import numpy as np
import pytest
import torch

from curate.faces.segment import binary_mask
from manifests.errors import DatasetError
from manifests.landmarks import TEMPLATES, flip_mask, flip_points
from manifests.reader import Dataset, decode_mask
from tests.samples.dataset import write_dataset
from tests.train.data.conftest import PEOPLE, with_small_crops
from train.data.faces import TrainingFaces, read_training_faces
from train.data.loader import Batch, PairLoader
from train.data.pairs import Kind, PairRows, PairSampler
from train.errors import CheckpointError

CHIP = TEMPLATES["arcface-112"]


def loader(faces: TrainingFaces, kind: Kind = "same", seed: int = 3, size: int = 32, mask: str = "none") -> PairLoader:
    latents = np.random.default_rng(0).normal(size=(len(faces), 8)).astype(np.float16)
    sampler = PairSampler(faces, 4, seed)
    return PairLoader(sampler, lambda _: kind, latents, CHIP, size, mask, sources=True)  # type: ignore[arg-type]


def assemble(loader: PairLoader, indices: list[int], flip: bool = False) -> Batch:
    rows = np.array(indices)
    never = np.zeros(len(rows), bool)
    return loader.assemble(0, "same", PairRows(rows, rows, never | flip, never))


def test_a_loader_continues_in_the_middle_of_an_epoch(faces: TrainingFaces) -> None:
    uninterrupted = loader(faces, "cross")
    batches = [next(uninterrupted) for _ in range(6)]
    interrupted = loader(faces, "cross")
    for _ in range(3):
        next(interrupted)
    resumed = loader(faces, "cross")
    resumed.load_state_dict(interrupted.state_dict())
    for expected, batch in zip(batches[3:], resumed, strict=False):
        assert expected.index == batch.index
        for name, value in vars(expected).items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, getattr(batch, name)), name


def test_a_state_of_other_data_is_refused(faces: TrainingFaces) -> None:
    with pytest.raises(CheckpointError, match=r"other training data \(seed 3, here 4\)"):
        loader(faces, seed=4).load_state_dict(loader(faces, seed=3).state_dict())


def test_a_flip_mirrors_pixels_classes_and_landmarks(dataset: Dataset, faces: TrainingFaces) -> None:
    pairs = loader(faces, mask="face")
    plain, mirrored = assemble(pairs, [0, 5]), assemble(pairs, [0, 5], flip=True)
    assert torch.equal(mirrored.target, plain.target.flip(3))
    shard = faces.shards[faces.shard[0]]
    labels = decode_mask(dataset.pixels.read(shard, faces.mask_offset[0], faces.mask_length[0], faces.mask_crc[0]))
    assert plain.masks is not None
    assert mirrored.masks is not None
    assert np.array_equal(plain.masks[0, 0], binary_mask(labels, "face"))
    assert np.array_equal(mirrored.masks[0, 0], binary_mask(flip_mask(labels), "face"))
    # The eye on the left of the mirror image is moved to the template's eye on the left.
    points = flip_points(faces.points[:1].astype(np.float64), 32)[0]
    moved = points @ mirrored.matrices[0, :, :2].numpy().T + mirrored.matrices[0, :, 2].numpy()
    assert np.abs(moved - CHIP.points[0]).max() < 1.0


def test_box_masks_are_mirrored_as_they_are(faces: TrainingFaces) -> None:
    pairs = loader(faces, mask="box")
    plain, mirrored = assemble(pairs, [0]).masks, assemble(pairs, [0], flip=True).masks
    assert plain is not None
    assert mirrored is not None
    assert plain.any()
    assert torch.equal(mirrored, plain.flip(3))


def test_a_smaller_size_moves_the_chip_with_the_pixels(faces: TrainingFaces) -> None:
    large, small = assemble(loader(faces), [0]), assemble(loader(faces, size=16), [0])
    # Pixel (7, 3) of the small crop covers pixels 14, 15 and 6, 7 of the large one.
    in_small, in_large = np.array([7, 3, 1.0]), np.array([14.5, 6.5, 1.0])
    assert np.allclose(small.matrices[0].numpy() @ in_small, large.matrices[0].numpy() @ in_large, atol=1e-3)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    write_dataset(tmp_path, PEOPLE)
    faces = with_small_crops(read_training_faces(Dataset.open(tmp_path), "simswap-224"))
    for shard in tmp_path.glob("faces/*"):
        shard.unlink()
    with pytest.raises(DatasetError, match="parquet is missing"):
        next(loader(faces))
