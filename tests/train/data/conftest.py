"""A small dataset with embeddings, and its faces with frontal landmarks."""

from dataclasses import replace

import numpy as np
import pytest

from manifests.landmarks import TEMPLATES
from manifests.reader import Dataset
from tests.samples.dataset import write_dataset
from train.data.faces import TrainingFaces, read_training_faces

PEOPLE = {"ann": 5, "bob": 4, "cid": 6, "dee": 2}
"""Name -> photos. Each person's last photo has no face, so dee has one face."""


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("dataset")
    write_dataset(root, PEOPLE)
    return Dataset.open(root)


@pytest.fixture(scope="session")
def faces(dataset: Dataset) -> TrainingFaces:
    return with_small_crops(read_training_faces(dataset, "simswap-224"))


def with_small_crops(faces: TrainingFaces) -> TrainingFaces:
    """The sample's crops are 32 px square: put the landmarks of a frontal face on them."""
    points = TEMPLATES["arcface-112"].points[0] * (32 / 112)
    return replace(faces, side=32, points=np.broadcast_to(points, (len(faces), 5, 2)).astype(np.float32).copy())
