"""Label noise of a collection: every face against all identities, and the probability that each is wrong."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.relate import mixture
from curate.relate.identities import BucketFaces
from curate.relate.other_identities import OtherIdentities, other_identities
from curate.relate.similarity import PairSimilarity

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class WrongPersons:
    """Probabilities for the rows of each bucket, float64, NaN for all rows but main faces with an own similarity.

    Attributes:
        wrong: Per bucket (M,), the probability that the face shows another person than its identity.
        flipped: Per bucket (M,), the part of `wrong` that falls to the nearest other identity.
        share_flipped, share_outliers: Fitted shares of faces of another identity, and of people outside the collection.
    """

    wrong: list[npt.NDArray[np.float64]]
    flipped: list[npt.NDArray[np.float64]]
    share_flipped: float
    share_outliers: float


def identity_offsets(faces: list[BucketFaces]) -> Rows:
    """Return the (buckets + 1,) number of identities before each bucket: rows of the concatenated centroids."""
    return np.cumsum([0, *(len(part.names) for part in faces)])


def row_offsets(faces: list[BucketFaces]) -> Rows:
    """Return the (buckets + 1,) number of rows before each bucket: rows of the dataset."""
    return np.cumsum([0, *(len(part.has_face) for part in faces)]).astype(np.int64)


def find_wrong_persons(
    faces: list[BucketFaces], others: list[OtherIdentities], similarity: PairSimilarity
) -> WrongPersons:
    """Fit the mixture of right, flipped and outlying faces to the main faces of the whole collection."""
    offsets, centroid_weight = identity_offsets(faces), np.concatenate([part.centroid_weight for part in faces])
    identity = np.concatenate([part.identity + offsets[bucket] for bucket, part in enumerate(faces)])
    own_similarity = np.concatenate([part.own_similarity for part in faces]).astype(np.float64)
    weight = np.concatenate([part.weight for part in faces]).astype(np.float64)
    rows = np.flatnonzero(~np.isnan(own_similarity) & ~np.isnan(weight))
    nearest = np.concatenate([part.nearest for part in others])[rows]
    noise = mixture.fit_label_noise(
        mixture.Evidence(
            own_similarity=own_similarity[rows],
            nearest_similarity=np.concatenate([part.similarity for part in others])[rows].astype(np.float64),
            neighbours=np.concatenate([part.neighbours for part in faces])[rows].astype(np.float64),
            nearest_weight=np.where(nearest >= 0, centroid_weight[nearest], 0).astype(np.float64),
            chance_mean=np.concatenate([part.mean for part in others])[rows].astype(np.float64),
            chance_std=np.concatenate([part.std for part in others])[rows].astype(np.float64),
            quality=np.concatenate([part.quality for part in faces])[rows].astype(np.float64),
            identity=identity[rows],
            nearest_identity=nearest,
            weight=weight[rows],
        ),
        similarity,
    )
    wrong, flipped = np.full(len(own_similarity), np.nan), np.full(len(own_similarity), np.nan)
    wrong[rows], flipped[rows] = noise.wrong, noise.flipped
    bounds = row_offsets(faces)[1:-1]
    return WrongPersons(
        wrong=np.split(wrong, bounds),
        flipped=np.split(flipped, bounds),
        share_flipped=noise.share_flipped,
        share_outliers=noise.share_outliers,
    )


def same_person(faces: list[BucketFaces], similarity: PairSimilarity) -> Rows:
    """Find identities that show the same person: (K,) row of the nearest other identity where it does, else -1.

    Two centroids of m and n photos of one person have an expected cosine of r sqrt(m n) / sqrt((1+(m-1)r)(1+(n-1)r)),
    with r the cosine of a pair of photos. They match from 1.5 standard deviations below that, if also 5 standard
    deviations of chance above chance.
    """
    centroids = np.concatenate([part.centroids for part in faces])
    weight = np.maximum(np.concatenate([part.centroid_weight for part in faces]), 1)
    others = other_identities(centroids, np.arange(len(centroids)), centroids)
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
