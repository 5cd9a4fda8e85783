"""Centroids of identities, similarities to other identities, and pair similarity estimated from a sample."""

import numpy as np
import pytest

from curate.relate.centroids import leave_one_out, robust_centroid
from curate.relate.device_centroids import DeviceCentroids
from curate.relate.main_face import most_prominent
from curate.relate.other_identities import Centroids, other_identities
from curate.relate.similarity import GENERIC, PairSimilarity, calibrated, estimate_similarity
from tests.samples.embeddings import DIM, SIMILARITY, people, photos_of_several


@pytest.mark.parametrize("wrong", [0, 10, 20, 28])
def test_the_largest_group_of_one_person_determines_the_centroid(wrong):
    anna, *strangers = people(wrong + 1)
    centroid = robust_centroid(photos_of_several((anna, 30), *((s, 1) for s in strangers)), SIMILARITY)
    assert centroid.vector @ anna > 0.95
    assert centroid.weights[:30].min() > 0.5
    assert centroid.weights[30:].max(initial=0) < 0.5


def test_of_two_people_in_a_folder_the_larger_group_determines_the_centroid():
    anna, bert = people(2)
    centroid = robust_centroid(photos_of_several((bert, 9), (anna, 12)), SIMILARITY)
    assert centroid.vector @ anna > 0.9
    assert centroid.own_similarity[:9].max() < 0.4 < centroid.own_similarity[9:].min()


def test_identities_of_up_to_three_photos():
    anna, bert = people(2)
    single = robust_centroid(photos_of_several((anna, 1)), SIMILARITY)
    assert np.isnan(single.own_similarity[0])
    two = photos_of_several((anna, 2))
    assert robust_centroid(two, SIMILARITY).own_similarity == pytest.approx([two[0] @ two[1]] * 2, abs=1e-5)
    three = robust_centroid(photos_of_several((bert, 1), (anna, 2)), SIMILARITY)
    assert (three.weights > 0.5).tolist() == [False, True, True]
    assert robust_centroid(np.empty((0, DIM), np.float32), SIMILARITY).vector.tolist() == [0.0] * DIM


def test_leave_one_out_excludes_the_face_itself():
    vectors = photos_of_several((people(1)[0], 5))
    own_similarity, mean = leave_one_out(vectors, np.ones(5, np.float32))
    others = vectors[1:].sum(axis=0)
    assert own_similarity[0] == pytest.approx(vectors[0] @ others / np.linalg.norm(others), abs=1e-5)
    assert mean[0] == pytest.approx((vectors[1:] @ vectors[0]).mean(), abs=1e-5)


@pytest.mark.parametrize(
    "comparison_of", [Centroids, lambda centroids: DeviceCentroids(centroids, "cpu")], ids=["numpy", "torch"]
)
def test_other_identities_in_blocks_equal_the_plain_product(comparison_of):
    vectors, centroids = people(50, 1).astype(np.float16), people(7, 2).astype(np.float32)
    centroids[3] = 0  # an identity without a face is never the nearest
    own = np.arange(50) % 7
    comparison = comparison_of(centroids)
    comparison.block = 8
    others = other_identities(vectors, own, comparison)
    cosine = vectors.astype(np.float32) @ centroids.T
    cosine[np.arange(50), own] = np.nan
    cosine[:, 3] = np.nan
    assert np.array_equal(others.nearest, np.nanargmax(cosine, axis=1))
    assert others.mean == pytest.approx(np.nanmean(cosine, axis=1), abs=1e-5)
    assert others.std == pytest.approx(np.nanstd(cosine, axis=1), abs=1e-4)
    alone = other_identities(vectors, own * 0, comparison_of(centroids[:1]))
    assert (alone.nearest == -1).all()
    assert np.isnan(alone.similarity).all()


def test_pair_similarity_is_estimated_in_spite_of_wrong_photos():
    persons = people(40)
    vectors = np.concatenate(
        [photos_of_several((p, 12), (persons[i - 1], 3), seed=20 * i) for i, p in enumerate(persons)]
    )
    estimate = estimate_similarity(vectors, np.repeat(np.arange(40), 15), PairSimilarity(0.7, 0.2, 0.1, 0.2))
    assert estimate.same_mean == pytest.approx(0.5, abs=0.03)
    assert estimate.different_mean == pytest.approx(0.0, abs=0.03)


def test_an_embedder_without_a_calibration_gets_the_generic_one():
    assert calibrated("unknown") == calibrated(None) == GENERIC


def test_the_largest_central_face_is_the_most_prominent():
    boxes = np.array([[0, 0, 40, 40], [40, 40, 70, 70], [np.nan] * 4])
    size = np.full(3, 100.0)
    assert most_prominent(np.array([0, 0, 1]), boxes, size, size).tolist() == [False, True, True]
