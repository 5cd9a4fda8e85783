"""Identities that show the same person, and the other identity in which copies of a photo may be found."""

import numpy as np
import numpy.typing as npt

from curate.relate.identities import BucketFaces, identity_offsets
from curate.relate.other_identities import Centroids, OtherIdentities, other_identities
from curate.relate.similarity import PairSimilarity

Rows = npt.NDArray[np.int64]


def same_person(faces: list[BucketFaces], similarity: PairSimilarity) -> Rows:
    """Find identities that show the same person: (K,) row of the nearest other identity where it does, else -1.

    Two centroids of m and n photos of one person have an expected cosine of r sqrt(m n) / sqrt((1+(m-1)r)(1+(n-1)r)),
    with r the cosine of a pair of photos. They match from 1.5 standard deviations below that, if also 5 standard
    deviations of chance above chance.
    """
    centroids = np.concatenate([part.centroids for part in faces])
    weight = np.maximum(np.concatenate([part.centroid_weight for part in faces]), 1)
    others = other_identities(centroids, np.arange(len(centroids)), Centroids(centroids))
    r = max(similarity.same_mean, 0.05)
    gain = np.sqrt(weight / (1 + (weight - 1) * r))
    nearest = np.maximum(others.nearest, 0)
    expected = r * gain * gain[nearest]
    spread = similarity.same_std * np.sqrt(1 / weight + 1 / weight[nearest])
    above_chance = np.nan_to_num(
        others.mean + 5 * others.std, nan=similarity.different_mean + 5 * similarity.different_std
    )
    matches = others.similarity >= np.maximum(expected - 1.5 * spread, np.minimum(above_chance, 0.9))
    defined = np.linalg.norm(centroids, axis=1) > 0.5
    return np.where(defined & matches & (others.nearest >= 0), others.nearest, -1)


def alternative_identities(faces: list[BucketFaces], others: list[OtherIdentities], same: Rows) -> Rows:
    """Return for every row of the dataset another identity that may hold copies of the photo, -1 for none.

    That is the nearest other identity where it is at least as similar as the own one, else the other identity of the
    same person (`same`, from `same_person`).
    """
    offsets = identity_offsets(faces)
    alternatives = []
    for bucket, (part, other) in enumerate(zip(faces, others, strict=True)):
        nearer = part.main & (other.similarity >= np.nan_to_num(part.own_similarity, nan=-1.0))
        alternatives.append(np.where(nearer, other.nearest, same[offsets[bucket] + part.identity]))
    return np.concatenate(alternatives)
