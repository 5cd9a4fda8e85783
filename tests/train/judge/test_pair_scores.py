"""Scores of swaps whose quality is known: the target unchanged, and the source in place of the swap."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from curate.faces.models import load_embedder
from manifests.pixels import PixelReader, decode_crop
from manifests.reader import Dataset
from tests.conftest import Cleaned
from tests.samples.swap import write_checkpoint
from train.data.faces import TrainingFaces, read_training_faces
from train.data.latents import read_latents
from train.data.loader import Batch
from train.judge.candidate import Candidate
from train.judge.judge import Judge, JudgeEmbedder
from train.judge.pair_scores import score_pairs
from train.judge.pairs import JudgedFaces, PairSet
from train.trained import load_trained


class CopyTarget(Candidate):
    """Returns the target."""

    def swap(self, batch: Batch) -> torch.Tensor:
        return batch.target.float() / 255


class CopySource(Candidate):
    """Returns the source photo."""

    faces: TrainingFaces

    def swap(self, batch: Batch) -> torch.Tensor:
        faces, reader, crops = self.faces, PixelReader(self.faces.root), []
        for row in batch.sources:
            place = (faces.crop_offset[row], faces.crop_length[row], faces.crop_crc[row])
            data = reader.read(faces.shards[faces.shard[row]], *place)
            crops.append(torch.from_numpy(decode_crop(data).copy()).permute(2, 0, 1).float() / 255)
        return torch.nn.functional.interpolate(torch.stack(crops), batch.target.shape[2:], mode="area")


@pytest.fixture(scope="module")
def pairs(cleaned: Cleaned) -> PairSet:
    faces = read_training_faces(Dataset.open(cleaned.out), "simswap-224")
    return PairSet.sample(JudgedFaces(faces, np.arange(len(faces)), True, ""), "simswap-224", 12)


@pytest.fixture(scope="module")
def judge(cleaned: Cleaned, pairs: PairSet) -> Judge:
    embedder = load_embedder("builtin")
    latents = read_latents(Dataset.open(cleaned.out), pairs.faces, embedder, Path("unused"))
    judge = Judge.create(JudgeEmbedder(embedder, True), latents, latents[pairs.faces.first], "cpu")
    assert judge.centre.any()  # the built-in embedder maps all people to a small region of the sphere
    return judge


def scores_of(kind: type[Candidate], pairs: PairSet, judge: Judge, folder: Path) -> pd.DataFrame:
    path = folder / "tiny.safetensors"
    write_checkpoint(path)
    trained = load_trained(path)
    facts = replace(trained.facts, recipe=replace(trained.recipe, size=224))
    latents = np.ones((len(pairs.faces), trained.embedder.dim), np.float16)
    candidate = kind(path, replace(trained, facts=facts), latents)
    return score_pairs(candidate, pairs, judge).to_pandas()


def test_an_unchanged_target_keeps_pose_and_pixels_and_gains_nothing(
    pairs: PairSet, judge: Judge, tmp_path: Path
) -> None:
    scores = scores_of(CopyTarget, pairs, judge, tmp_path)
    same, cross = scores[scores.kind == "same"], scores[scores.kind == "cross"]
    assert np.isinf(same.psnr).all()
    np.testing.assert_allclose(same.ssim, 1)
    assert cross[["psnr", "ssim"]].isna().all(axis=None)
    np.testing.assert_allclose(scores[["gain", "distance_target"]], 0, atol=1e-5)
    assert scores.detected.all()
    np.testing.assert_allclose(scores[["pose_error", "landmark_error"]], 0, atol=1e-3)
    assert not cross.retrieved.mean() > 0.3


def test_the_source_in_place_of_the_swap_gains_the_identity_and_loses_the_pose(
    pairs: PairSet, judge: Judge, tmp_path: Path
) -> None:
    CopySource.faces = pairs.faces
    scores = scores_of(CopySource, pairs, judge, tmp_path)
    cross = scores[scores.kind == "cross"]
    # Not 0: the judge aligns the swap by the target's landmarks.
    assert cross.distance.mean() < 0.3 < cross.distance_before.mean()
    assert cross.gain.mean() > 0.5
    assert cross.retrieved.mean() > 0.9
    assert cross.pose_error.mean() > 5
    assert cross.landmark_error.mean() > 0.03
