"""Scores of swaps whose quality is known: the target unchanged, and the source in place of the swap."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curate.faces.models import load_embedder
from manifests.reader import Dataset
from tests.conftest import Cleaned
from train.data.faces import read_training_faces
from train.data.latents import read_latents
from train.judge.candidate import Blend
from train.judge.judge import Judge, JudgeEmbedder
from train.judge.pair_scores import PairScorer
from train.judge.pairs import JudgedFaces, PairSet


@pytest.fixture(scope="module")
def scorer(cleaned: Cleaned) -> PairScorer:
    faces = read_training_faces(Dataset.open(cleaned.out), "simswap-224")
    pairs = PairSet.sample(JudgedFaces(faces, np.arange(len(faces)), True, ""), "simswap-224", 224, 12)
    latents = read_latents(Dataset.open(cleaned.out), pairs.faces, load_embedder("builtin"), Path("unused"))
    judge = Judge.create(JudgeEmbedder.load("builtin", ()), latents, latents[pairs.faces.first], "cpu")
    assert judge.centre.any()  # the built-in embedder maps all people to a small region of the sphere
    return PairScorer(pairs, [judge])


def scores_of(scorer: PairScorer, alpha: float) -> pd.DataFrame:
    return scorer.score(Blend(scorer.pairs.faces, scorer.pairs.size, alpha)).table.to_pandas()


def test_an_unchanged_target_keeps_pose_and_pixels_and_gains_nothing(scorer: PairScorer) -> None:
    scores = scores_of(scorer, 0)
    same, cross = scores[scores.kind == "same"], scores[scores.kind == "cross"]
    assert np.isinf(same.psnr).all()
    np.testing.assert_allclose(same.ssim, 1)
    assert cross[["psnr", "ssim"]].isna().all(axis=None)
    np.testing.assert_allclose(scores[["gain", "distance_target"]], 0, atol=1e-5)
    assert scores.detected.all()
    np.testing.assert_allclose(scores[["pose_error", "landmark_error"]], 0, atol=1e-3)
    assert not cross.retrieved.mean() > 0.3
    np.testing.assert_allclose(scores.expression.dropna(), 1, atol=1e-3)


def test_the_source_in_place_of_the_swap_gains_the_identity_and_loses_the_pose(scorer: PairScorer) -> None:
    scores = scores_of(scorer, 1)
    cross = scores[scores.kind == "cross"]
    # Not 0: the judge aligns the swap by the target's landmarks.
    assert cross.distance.mean() < 0.3 < cross.distance_before.mean()
    assert cross.gain.mean() > 0.5
    assert cross.retrieved.mean() > 0.9
    assert cross.pose_error.mean() > 5
    assert cross.landmark_error.mean() > 0.03
    assert cross.expression.mean() < 0.7
