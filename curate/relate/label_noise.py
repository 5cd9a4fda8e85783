"""Label noise of a collection: the probability that a face shows another person than its identity."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.relate import mixture
from curate.relate.identities import BucketFaces, identity_offsets, row_offsets
from curate.relate.other_identities import OtherIdentities
from curate.relate.similarity import PairSimilarity


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
