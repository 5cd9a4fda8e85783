"""Pairs: who is paired with whom, that a batch depends on its number alone, and what a flip does to it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from curate.faces.segment import binary_mask
from manifests.errors import DatasetError
from manifests.landmarks import TEMPLATES, flip_mask, flip_points
from manifests.reader import Dataset, decode_mask
from tests.samples.dataset import EMBEDDER, write_dataset
from train.data.faces import TrainingFaces, read_training_faces
from train.data.latents import centre_of, read_latents
from train.data.pairs import Kind, PairLoader, Pairs, Rows, derangement
from train.errors import CheckpointError

PEOPLE = {"ann": 5, "bob": 4, "cid": 6, "dee": 2}  # dee has one photo with a face: each person's last has none
CHIP = TEMPLATES["arcface-112"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("dataset")
    write_dataset(root, PEOPLE)
    return Dataset.open(root)


@pytest.fixture(scope="module")
def photos(dataset: Dataset) -> TrainingFaces:
    return with_faces(read_training_faces(dataset, "simswap-224"))


def with_faces(photos: TrainingFaces) -> TrainingFaces:
    """The made-up landmarks lie on one line; these are a frontal face on the crops' 32 px."""
    points = TEMPLATES["arcface-112"].points[0] * (32 / 112)
    return replace(photos, side=32, points=np.broadcast_to(points, (len(photos), 5, 2)).astype(np.float32).copy())


def loader(photos: TrainingFaces, kind: Kind = "same", **options: object) -> PairLoader:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(len(photos), 8)).astype(np.float16)
    given = {"batch": 4, "seed": 3, "flip": 0.5, "size": 32, "mask": "none"} | options
    pairs = Pairs(photos, given["batch"], given["seed"], given["flip"])
    return PairLoader(pairs, lambda _: kind, vectors, CHIP, given["size"], given["mask"], sources=True)


def test_kept_faces_lie_person_by_person(dataset: Dataset, photos: TrainingFaces) -> None:
    assert list(photos.people) == sorted(PEOPLE)
    assert photos.count.tolist() == [4, 3, 5, 1]
    row = photos.face_id.tolist().index("cid/0002.jpg#0")
    assert photos.people[photos.person[row]] == "cid"
    shard = photos.shards[photos.shard[row]]
    assert dataset.pixels.read(shard, photos.crop_offset[row], photos.crop_length[row])[:3] == b"\xff\xd8\xff"


@pytest.mark.parametrize(
    "people", [[0, 1], [0, 0, 1, 1], [0, 0, 0, 1, 2, 3], [5, 5, 2, 7, 7, 7, 2, 9], list(range(16))]
)
def test_nobody_keeps_his_own_identity(people: list[int]) -> None:
    who = np.array(people)
    for seed in range(20):
        order = derangement(who, np.random.default_rng(seed))
        assert order is not None
        assert sorted(order.tolist()) == list(range(len(who)))
        assert (who[order] != who).all()


def test_without_a_derangement_sources_come_from_all_the_others(photos: TrainingFaces) -> None:
    assert derangement(np.array([0, 0, 1]), np.random.default_rng(0)) is None
    crowd = photos.take(np.flatnonzero(np.isin(photos.person, [2, 3])))  # five photos of cid, one of dee
    rows = Pairs(crowd, 4, 0).rows(0, "cross")
    assert (crowd.person[rows.targets] != crowd.person[rows.sources]).all()


def test_same_person_pairs_are_two_photos_or_one_and_its_flip(photos: TrainingFaces) -> None:
    pairs = Pairs(photos, 4, seed=1, flip=0.0)
    seen = set()
    for index in range(40):
        rows = pairs.rows(index, "same")
        person = photos.person[rows.targets]
        assert (person == photos.person[rows.sources]).all()
        alone = photos.count[person] == 1
        assert ((rows.targets == rows.sources) == alone).all()
        assert (rows.jitter == alone).all()
        assert (rows.flips == alone).all()
        seen |= set(zip(rows.targets.tolist(), rows.sources.tolist(), strict=True))
    assert len([pair for pair in seen if photos.person[pair[0]] == 2]) == 5 * 4  # every pair of cid's comes up


def test_an_epoch_shows_every_photo_once(photos: TrainingFaces) -> None:
    pairs = Pairs(photos, 1, seed=2)
    epochs = [
        [pairs.rows(i, "cross").targets[0] for i in range(e * len(photos), (e + 1) * len(photos))] for e in (0, 1)
    ]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(len(photos)))
    assert epochs[0] != epochs[1]


def test_it_continues_in_the_middle_of_an_epoch(photos: TrainingFaces) -> None:
    whole = loader(photos, "cross")
    batches = [next(whole) for _ in range(6)]
    half = loader(photos, "cross")
    for _ in range(3):
        next(half)
    resumed = loader(photos, "cross")
    resumed.load_state_dict(half.state_dict())
    for before, after in zip(batches[3:], resumed, strict=False):
        assert before.index == after.index
        for name, value in vars(before).items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, getattr(after, name)), name
    other = loader(photos, "cross", seed=4)
    with pytest.raises(CheckpointError, match="other training data \\(seed 3, here 4\\)"):
        other.load_state_dict(half.state_dict())


def test_a_flip_mirrors_pixels_classes_and_points_together(dataset: Dataset, photos: TrainingFaces) -> None:
    rows, off = np.array([0, 5]), np.zeros(2, bool)
    ours = loader(photos, mask="face")
    plain = ours.assemble(0, "same", Rows(rows, rows, off, off))
    mirrored = ours.assemble(0, "same", Rows(rows, rows, ~off, off))
    assert torch.equal(mirrored.target, plain.target.flip(3))
    shard = photos.shards[photos.shard[0]]
    labels = decode_mask(dataset.pixels.read(shard, photos.mask_offset[0], photos.mask_length[0]))
    assert plain.masks is not None
    assert mirrored.masks is not None
    assert np.array_equal(plain.masks[0, 0], binary_mask(labels, "face"))
    assert np.array_equal(mirrored.masks[0, 0], binary_mask(flip_mask(labels), "face"))
    # The mirror image's image-left eye goes where the template has the image-left eye.
    points = flip_points(photos.points[:1].astype(np.float64), 32)[0]
    moved = points @ mirrored.matrices[0, :, :2].numpy().T + mirrored.matrices[0, :, 2].numpy()
    assert np.abs(moved - CHIP.points[0]).max() < 1.0


def test_shrinking_moves_the_chip_with_the_pixels(photos: TrainingFaces) -> None:
    rows, off = np.array([0]), np.zeros(1, bool)
    large = loader(photos).assemble(0, "same", Rows(rows, rows, off, off))
    small = loader(photos, size=16).assemble(0, "same", Rows(rows, rows, off, off))
    # Pixel (7, 3) of the small crop covers pixels 14, 15 and 6, 7 of the large one.
    at_small, at_large = np.array([7, 3, 1.0]), np.array([14.5, 6.5, 1.0])
    assert np.allclose(small.matrices[0].numpy() @ at_small, large.matrices[0].numpy() @ at_large, atol=1e-3)


def test_latents_are_the_stored_ones_of_this_embedder_only(
    dataset: Dataset, photos: TrainingFaces, tmp_path: Path
) -> None:
    class Same(torch.nn.Module):
        embedder_id, dim = EMBEDDER, 4

    class Other(Same):
        embedder_id, template = "f" * 16, CHIP
        mean = torch.zeros(1)

        def embed(self, crops: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.normalize(crops.float().mean((2, 3)) @ torch.ones(3, 4) + torch.arange(4))

    stored = read_latents(dataset, photos, Same(), tmp_path)  # type: ignore[arg-type]
    ids, vectors = dataset.embeddings(EMBEDDER, int(photos.shards[photos.shard[3]][-9:-8]))
    assert np.array_equal(stored[3], vectors[ids.index(photos.face_id[3])])
    assert not list(tmp_path.iterdir())
    computed = read_latents(dataset, photos, Other(), tmp_path)  # type: ignore[arg-type]
    assert not np.allclose(computed, stored)
    (cache,) = tmp_path.iterdir()
    assert cache.name.startswith("f" * 16)
    assert np.array_equal(read_latents(dataset, photos, Other(), tmp_path), computed)  # type: ignore[arg-type]


def test_a_centre_is_taken_off_only_where_all_people_look_alike() -> None:
    alike = np.tile(np.array([1, 0], np.float16), (4, 1))
    apart = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]], np.float16)
    assert centre_of(alike, 0.5).tolist() == [1, 0]
    assert centre_of(apart, 0.5).tolist() == [0, 0]


def test_held_out_people_are_whole_people(photos: TrainingFaces) -> None:
    held = photos.held_out(0.5)
    assert 0 < held.sum() < len(photos)
    assert not set(photos.person[held]) & set(photos.person[~held])
    assert len(photos.take(np.flatnonzero(held))) == held.sum()


def test_what_does_not_fit_is_refused_in_words(dataset: Dataset, photos: TrainingFaces, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="aligned to simswap-224, this recipe trains on ffhq-512"):
        read_training_faces(dataset, "ffhq-512")
    with pytest.raises(DatasetError, match="only ann is left to train on"):
        Pairs(photos.take(np.arange(4)), 4, 0)
    write_dataset(tmp_path, {"ann": 1})
    with pytest.raises(DatasetError, match="no photo with a face is kept"):
        read_training_faces(Dataset.open(tmp_path), "simswap-224")


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    write_dataset(tmp_path, PEOPLE)
    photos = with_faces(read_training_faces(Dataset.open(tmp_path), "simswap-224"))
    for shard in tmp_path.glob("faces/*"):
        shard.unlink()
    with pytest.raises(DatasetError, match="parquet is missing"):
        next(loader(photos))
    with pytest.raises(DatasetError, match="parquet is missing"):
        read_training_faces(Dataset.open(tmp_path), "simswap-224")
