"""train/data/latents.py: stored embeddings of the same embedder, computed latents otherwise, and their centre."""

from pathlib import Path

import numpy as np
import torch

from manifests.landmarks import TEMPLATES
from manifests.reader import Dataset
from tests.samples.dataset import EMBEDDER
from tests.samples.listener import Recorder, Step
from train.data.faces import TrainingFaces
from train.data.latents import latent_centre, read_latents


class StoredEmbedder(torch.nn.Module):
    """The embedder of the dataset; it must not be called."""

    embedder_id, dim = EMBEDDER, 4


class OtherEmbedder(torch.nn.Module):
    embedder_id, dim, template = "f" * 16, 4, TEMPLATES["arcface-112"]
    mean = torch.zeros(1)

    def embed(self, crops: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(crops.float().mean((2, 3)) @ torch.ones(3, 4) + torch.arange(4))


def test_stored_embeddings_of_the_embedder_are_read(dataset: Dataset, faces: TrainingFaces, tmp_path: Path) -> None:
    latents = read_latents(dataset, faces, StoredEmbedder(), tmp_path)  # type: ignore[arg-type]
    face_ids, vectors = dataset.embeddings(EMBEDDER, int(faces.shards[faces.shard[3]][-9:-8]))
    assert np.array_equal(latents[3], vectors[face_ids.index(faces.face_id[3])])
    assert not list(tmp_path.iterdir())


def test_latents_of_another_embedder_are_computed_once(dataset: Dataset, faces: TrainingFaces, tmp_path: Path) -> None:
    stored = read_latents(dataset, faces, StoredEmbedder(), tmp_path)  # type: ignore[arg-type]
    recorder = Recorder()

    def read() -> np.ndarray:
        return read_latents(dataset, faces, OtherEmbedder(), tmp_path, recorder)  # type: ignore[arg-type]

    computed = read()
    assert not np.allclose(computed, stored)
    (cached,) = tmp_path.iterdir()
    assert cached.name.startswith("f" * 16)
    assert np.array_equal(read(), computed)
    assert recorder.steps == [Step("embedding", len(faces), "faces", done=len(faces), finished=True)]
    assert recorder.notes == [f"embedded {len(faces)} faces"]


def test_a_centre_is_subtracted_only_where_all_latents_are_similar() -> None:
    similar = np.tile(np.array([1, 0], np.float16), (4, 1))
    spread = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]], np.float16)
    assert latent_centre(similar, 0.5).tolist() == [1, 0]
    assert latent_centre(spread, 0.5).tolist() == [0, 0]
