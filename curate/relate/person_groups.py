"""Identities whose faces fall into two groups, one person each: a folder of two persons.

The faces are divided by mean linkage: each belongs to the group to whose faces its mean cosine is higher, as in
2-means. Of unit vectors, that mean is the cosine to the group's sum, so that no pairwise matrix is needed.
"""

import numpy as np
import numpy.typing as npt

from curate.relate.identities import BucketFaces
from curate.relate.similarity import PairSimilarity

Floats = npt.NDArray[np.float32]
HalfFloats = npt.NDArray[np.float16]
Flags = npt.NDArray[np.bool_]
Groups = npt.NDArray[np.int8]

MIN_FACES, MIN_GROUP = 5, 2
"""Fewer faces of an identity, or of a group, agree or differ by chance."""
MIN_SHARE = 0.15
"""Minimum share of the smaller group; a few faces among many are wrong persons (`wrong_person`), not a group."""
MIN_SEPARATION = 1.7
"""Minimum difference between the mean cosine within the looser group and that across the groups, in standard deviations
of the cosine of one person. Groups by light, pose or age are less apart; relatives who resemble each other are not."""
MAX_DEVIATIONS = 2.1
"""Maximum mean cosine across the groups, in standard deviations above that of different persons. `bench.identities`
measures what it finds, and how often it divides a folder of one person."""
STRANGER_DEVIATIONS = 0.5
"""A face belongs to neither person below so many standard deviations above the mean cosine of different persons; hard
photos of the right person measure 1.3."""

_SAMPLE = 64
"""Faces of an identity that decide whether it is divided; the others are assigned to the groups."""
_PCA_ROUNDS, _ROUNDS = 8, 20


def person_groups(faces: BucketFaces, vectors: HalfFloats, similarity: PairSimilarity) -> Groups:
    """Return the group of each row of a bucket: 1 or 2 where its identity shows two persons, else 0.

    Args:
        faces: Of the bucket, M rows.
        vectors: (F, D) unit vectors of the rows with a face, in their order.
        similarity: Of pairs of photos.

    Returns:
        (M,) groups; 1 is the person at the identity's centroid. 0 also for faces that are not the main face of their
        photo, and for faces that resemble neither person.
    """
    groups = np.zeros(len(faces.has_face), np.int8)
    row_of_vector = np.flatnonzero(faces.has_face)
    size = faces.identity_size[faces.identity[row_of_vector]]  # 0 for photos without an identity
    judged = np.flatnonzero(faces.main[row_of_vector] & (size >= MIN_FACES))
    identity = faces.identity[row_of_vector[judged]]
    for members in np.split(judged, np.flatnonzero(np.diff(identity)) + 1):
        second = second_person(vectors[members], similarity)
        if second is not None:
            centroid = faces.centroids[faces.identity[row_of_vector[members[0]]]]
            groups[row_of_vector[members]] = _numbered(
                vectors[members].astype(np.float32), second, centroid, similarity
            )
    return groups


def second_person(vectors: HalfFloats, similarity: PairSimilarity) -> Flags | None:
    """Divide (N, D) unit vectors of an identity: (N,) flags of the smaller group, None where they show one person.

    They show two if both groups agree within themselves, as pairs of one person do, if the groups are as far apart as
    different persons may be, and if they are further apart than the photos of one person differ.
    """
    if len(vectors) < MIN_FACES:
        return None
    rows = np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), _SAMPLE)).astype(np.int64))
    sample = vectors[rows].astype(np.float32)
    second = _divide(sample)
    count = second.sum()
    if min(count, len(sample) - count) < MIN_GROUP:
        return None
    sums = np.stack([sample[~second].sum(axis=0), sample[second].sum(axis=0)])  # (2, D)
    sizes = np.array([len(sample) - count, count])
    within = ((sums**2).sum(axis=1) - sizes) / (sizes * (sizes - 1))
    across = sums[0] @ sums[1] / sizes.prod()
    limit = similarity.different_mean + MAX_DEVIATIONS * similarity.different_std
    if within.min() < similarity.boundary or across > limit:
        return None
    if within.min() - across < MIN_SEPARATION * similarity.same_std:
        return None
    cosine = vectors.astype(np.float32) @ (sums / sizes[:, None]).T  # (N, 2)
    flags = np.asarray(cosine[:, 1] > cosine[:, 0], bool)
    flags = flags if 2 * flags.sum() <= len(flags) else ~flags
    return flags if flags.sum() >= max(MIN_GROUP, MIN_SHARE * len(flags)) else None


def _numbered(vectors: Floats, second: Flags, centroid: Floats, similarity: PairSimilarity) -> Groups:
    """Number the groups of (N, D) faces: 1 is the one nearer to the centroid (D,); 0 where a face resembles neither."""
    mean = _mean_cosines(vectors, second)
    sums = np.stack([vectors[~second].sum(axis=0), vectors[second].sum(axis=0)])
    towards = sums @ centroid / np.linalg.norm(sums, axis=1)
    number = np.where(second == (towards[1] > towards[0]), 1, 2)
    stranger = mean.max(axis=1) < similarity.different_mean + STRANGER_DEVIATIONS * similarity.different_std
    return np.where(stranger, 0, number).astype(np.int8)


def _mean_cosines(vectors: Floats, second: Flags) -> Floats:
    """Mean cosine of each face to the other faces of either group, (N, 2)."""
    count = np.array([(~second).sum(), second.sum()])
    sums = np.stack([vectors[~second].sum(axis=0), vectors[second].sum(axis=0)])
    own = np.stack([~second, second], axis=1)  # a face is not compared with itself
    return np.asarray((vectors @ sums.T - own) / np.maximum(count - own, 1), np.float32)


def _divide(vectors: Floats) -> Flags:
    """Divide (N, D) unit vectors in two by mean linkage, from the sign of their first principal component."""
    centred = vectors - vectors.mean(axis=0)
    direction = centred[np.argmax((centred**2).sum(axis=1))]
    for _ in range(_PCA_ROUNDS):  # power iteration
        direction = centred.T @ (centred @ direction)
        direction /= max(float(np.linalg.norm(direction)), 1e-12)
    second = centred @ direction > 0
    for _ in range(_ROUNDS):
        if second.all() or not second.any():
            break
        mean = _mean_cosines(vectors, second)
        following = mean[:, 1] > mean[:, 0]
        if np.array_equal(following, second):
            break
        second = following
    return np.asarray(second, bool)
