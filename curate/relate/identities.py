"""Faces of one bucket compared with the centroids of their own identities, and the choice of main faces."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import DatasetError
from curate.relate.bucket import QUALITY, RANK, MeasuredBucket
from curate.relate.centroids import MIN_NEIGHBOUR_MASS, Centroid, robust_centroid, weighted_centroid
from curate.relate.main_face import highest, most_prominent
from curate.relate.similarity import PairSimilarity
from manifests.arrays import hash_array
from manifests.schema import BOX, NO_IDENTITY

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class BucketFaces:
    """The M rows of one bucket and the K identities among them. NaN where a number is undefined.

    Attributes:
        names: K identities.
        identity: (M,) row of each identity in `names`.
        has_face: (M,).
        main: (M,) one True for each photo.
        own_similarity: (M,) leave-one-out cosine of each face to its identity's centroid.
        neighbours: (M,) soft neighbour count: sum of the weights behind that centroid, the photo itself excluded.
        weight: (M,) 0-1, the weight of each main face in the centroid.
        quality: (M, Q).
        hashes: (M, 3) perceptual hashes: whole photo, its mirror image, aligned crop.
        has_hashes: (M,) all three are present.
        decoded: (M,) the photo could be decoded.
        sha256: (M,), empty where absent.
        rank: (M, 3) eye distance, sharpness, bytes.
        centroids: (K, D), zeros where undefined.
        centroid_weight: (K,) sum of the weights behind each centroid.
        identity_size: (K,) main faces of each identity.
    """

    names: list[str]
    identity: Rows
    has_face: Flags
    main: Flags
    own_similarity: Floats
    neighbours: Floats
    weight: Floats
    quality: Floats
    hashes: npt.NDArray[np.uint64]
    has_hashes: Flags
    decoded: Flags
    sha256: npt.NDArray[np.bytes_]
    rank: Floats
    centroids: Floats
    centroid_weight: Floats
    identity_size: Rows


def identity_offsets(faces: list[BucketFaces]) -> Rows:
    """Return the (buckets + 1,) number of identities before each bucket: rows of the concatenated centroids."""
    return np.cumsum([0, *(len(part.names) for part in faces)])


def row_offsets(faces: list[BucketFaces]) -> Rows:
    """Return the (buckets + 1,) number of rows before each bucket: rows of the dataset."""
    return np.cumsum([0, *(len(part.has_face) for part in faces)]).astype(np.int64)


def relate_bucket(bucket: MeasuredBucket, similarity: PairSimilarity) -> BucketFaces:
    """Compute the centroid of each identity, the similarity of each face to it, and the main face of each photo.

    A first centroid is computed from each photo's most prominent face; the face nearest to it becomes the photo's main
    face, and the centroid is computed again from these. A face is compared with the other photos of its identity only.
    """
    table, has_face = bucket.measures, bucket.has_face
    names, identity = _runs(table["identity"])
    photo = _runs(table["image_id"])[1]
    box = np.stack([_numbers(table, name) for name in BOX], axis=1)
    main = most_prominent(photo, box, _numbers(table, "width"), _numbers(table, "height"))
    vectors = _row_vectors(bucket.vectors, has_face)
    own_similarity, neighbours, weight = (np.full(len(has_face), np.nan, np.float32) for _ in range(3))
    centroids = np.zeros((len(names), vectors.shape[1]), np.float32)
    centroid_weight, identity_size = np.zeros(len(names), np.float32), np.zeros(len(names), np.int64)
    for k, rows in enumerate(_slices(identity, len(names))):
        if names[k] == NO_IDENTITY:
            continue
        related = relate_identity(vectors[rows], has_face[rows], main[rows], photo[rows], similarity)
        main[rows], weight[rows] = related.main, related.weight
        own_similarity[rows], neighbours[rows] = related.own_similarity, related.neighbours
        centroids[k] = related.centroid.vector
        centroid_weight[k] = related.centroid.weights.sum()
        identity_size[k] = len(related.centroid.weights)
    hashes = [_hashes(table, name) for name in ("phash", "phash_mirror", "face_phash")]
    return BucketFaces(
        names=names,
        identity=identity,
        has_face=has_face,
        main=main,
        own_similarity=own_similarity,
        neighbours=neighbours,
        weight=weight,
        quality=_quality(table),
        hashes=np.stack([values for values, _ in hashes], axis=1),
        has_hashes=np.logical_and.reduce([valid for _, valid in hashes]),
        decoded=hashes[0][1],
        sha256=np.asarray(pc.fill_null(table["sha256"], "").to_numpy(zero_copy_only=False), "S64"),
        rank=np.stack([_numbers(table, name) for name in RANK], axis=1).astype(np.float32),
        centroids=centroids,
        centroid_weight=centroid_weight,
        identity_size=identity_size,
    )


def refine(bucket: MeasuredBucket, faces: BucketFaces, weight: Floats) -> BucketFaces:
    """Compute the centroids again with other weights (M,) of the main faces; NaN keeps the previous weight."""
    vectors = _row_vectors(bucket.vectors, faces.has_face)
    own_similarity, neighbours = faces.own_similarity.copy(), faces.neighbours.copy()
    weight = np.where(np.isnan(weight), faces.weight, weight).astype(np.float32)
    centroids, centroid_weight = faces.centroids.copy(), faces.centroid_weight.copy()
    photo = _runs(bucket.measures["image_id"])[1]
    for k, rows in enumerate(_slices(faces.identity, len(faces.names))):
        chosen = faces.main[rows] & faces.has_face[rows]
        if faces.names[k] == NO_IDENTITY or chosen.sum() < 2:
            continue
        if weight[rows][chosen].max() < 0.5:  # no face is likely to be right: keep the previous centroid
            weight[rows] = faces.weight[rows]
        centroid = weighted_centroid(vectors[rows][chosen], weight[rows][chosen])
        own_similarity[rows], neighbours[rows] = leave_photo_out(
            vectors[rows], faces.has_face[rows], chosen, photo[rows] - photo[rows.start], centroid.weights
        )
        centroids[k], centroid_weight[k] = centroid.vector, centroid.weights.sum()
    return replace(
        faces,
        own_similarity=own_similarity,
        neighbours=neighbours,
        weight=weight,
        centroids=centroids,
        centroid_weight=centroid_weight,
    )


@dataclass(frozen=True)
class RelatedIdentity:
    """Centroid of one identity of m rows; the (m,) arrays are those of `BucketFaces`."""

    centroid: Centroid
    main: Flags
    own_similarity: Floats
    neighbours: Floats
    weight: Floats


def relate_identity(
    vectors: Floats, has_face: Flags, main: Flags, photo: Rows, similarity: PairSimilarity
) -> RelatedIdentity:
    """Compute the centroid of one identity and choose the main face of each of its photos.

    Args:
        vectors: (m, D), zeros for rows without a face.
        has_face: (m,).
        main: (m,) initial main faces.
        photo: (m,) photo of each row, ascending.
        similarity: Of pairs of photos.
    """
    photo = photo - photo[0]
    chosen = main & has_face
    centroid = robust_centroid(vectors[chosen], similarity)
    own_similarity, neighbours = leave_photo_out(vectors, has_face, chosen, photo, centroid.weights)
    # In a photo without neighbours, similarity to the centroid is chance: the initial main face is kept.
    nearest = highest(photo, np.where(has_face & (neighbours >= 0.5), own_similarity, np.nan))
    nearest = np.where(has_neighbours(photo, neighbours), nearest, main)
    if not np.array_equal(nearest, main):
        main, chosen = nearest, nearest & has_face
        centroid = robust_centroid(vectors[chosen], similarity)
        own_similarity, neighbours = leave_photo_out(vectors, has_face, chosen, photo, centroid.weights)
    weight = np.full(len(has_face), np.nan, np.float32)
    weight[chosen] = centroid.weights
    return RelatedIdentity(centroid, main, own_similarity, neighbours, weight)


def has_neighbours(photo: Rows, neighbours: Floats) -> Flags:
    """Mark the rows (m,) of photos in which some face has a soft neighbour count (NaN: no face) of 0.5 or more."""
    highest_count = np.zeros(photo.max() + 1)
    np.maximum.at(highest_count, photo, np.nan_to_num(neighbours))
    return highest_count[photo] >= 0.5


def leave_photo_out(
    vectors: Floats, has_face: Flags, main: Flags, photo: Rows, weights: Floats
) -> tuple[Floats, Floats]:
    """Compare every face of an identity with the weighted main faces of its other photos.

    Args:
        vectors: (m, D), zeros for rows without a face.
        has_face, main: (m,).
        photo: (m,) photo of each row, from 0.
        weights: Of the main faces only.

    Returns:
        The (m,) cosine to the centroid of the others and the (m,) soft neighbour count; NaN for rows without a face,
        and where there is no other photo.
    """
    own_similarity, neighbours = (np.full(len(has_face), np.nan, np.float32) for _ in range(2))
    if main.sum() < 2 and not (has_face & ~np.isin(photo, photo[main])).any():
        return own_similarity, neighbours
    row_weight = np.zeros(len(has_face), np.float32)
    row_weight[main] = weights
    # Row of the photo's main face, for each row.
    main_row = np.zeros(photo.max() + 1, np.int64)
    main_row[photo[main]] = np.flatnonzero(main)
    own_main = main_row[photo]
    own_weight = row_weight[own_main] * np.isin(photo, photo[main])
    rest = row_weight @ vectors - own_weight[:, None] * vectors[own_main]
    mass = row_weight.sum() - own_weight
    # Where the other photos have no weight, their unweighted mean is used.
    unweighted = mass < MIN_NEIGHBOUR_MASS
    plain = main.astype(np.float32) @ vectors - vectors[own_main]
    rest = np.where(unweighted[:, None], plain, rest)
    cosine = np.einsum("nd,nd->n", vectors, rest) / np.maximum(np.linalg.norm(rest, axis=1), 1e-12)
    own_similarity[has_face], neighbours[has_face] = cosine[has_face], np.maximum(mass, 0)[has_face]
    return own_similarity, neighbours


def cohesion_and_purity(faces: BucketFaces, wrong: Floats) -> tuple[Floats, Floats]:
    """Describe how uniform the K identities of a bucket are; NaN for identities of fewer than two main faces.

    Args:
        faces: Of the bucket.
        wrong: (M,) probability of another person, NaN for rows that are not judged.

    Returns:
        The (K,) median leave-one-out similarity of the main faces, and the (K,) share of them that show the person at
        the centroid: 0 where no two faces agree, because a face without neighbours does not count.
    """
    count = len(faces.names)
    cohesion, purity = np.full(count, np.nan, np.float32), np.full(count, np.nan, np.float32)
    judged = np.flatnonzero(~np.isnan(wrong))
    agreeing = np.clip(faces.neighbours[judged], 0, 1)
    right = np.bincount(faces.identity[judged], (1 - wrong[judged]) * agreeing, minlength=count)
    size = np.bincount(faces.identity[judged], minlength=count)
    several = size > 1
    purity[several] = right[several] / size[several]
    order = judged[np.lexsort((faces.own_similarity[judged], faces.identity[judged]))]
    bounds = np.concatenate([[0], np.cumsum(size)])
    low, high = bounds[:-1] + (size - 1) // 2, bounds[:-1] + size // 2
    own_similarity = faces.own_similarity[order]
    cohesion[several] = (own_similarity[low[several]] + own_similarity[high[several]]) / 2
    return cohesion, purity


def _row_vectors(vectors: npt.NDArray[np.floating], has_face: Flags) -> Floats:
    """(F, D) vectors of the faces -> (M, D), zeros for rows without a face."""
    if int(has_face.sum()) != len(vectors):
        raise DatasetError(
            f"{int(has_face.sum())} faces measured, {len(vectors)} embedded: run `curate measure` with this embedder "
            "again"
        )
    rows = np.zeros((len(has_face), vectors.shape[1]), np.float32)
    rows[has_face] = vectors
    return rows


def _slices(identity: Rows, count: int) -> list[slice]:
    """Rows of each identity."""
    bounds = np.searchsorted(identity, np.arange(count + 1))
    return [slice(int(a), int(b)) for a, b in pairwise(bounds)]


def _runs(values: pa.ChunkedArray) -> tuple[list[str], Rows]:
    """Sorted strings -> the distinct ones in order, and the index of each row among them."""
    encoded = values.combine_chunks().dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)


def _numbers(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    return np.asarray(table[name].to_numpy(), np.float64)


def _quality(table: pa.Table) -> Floats:
    """(M, 6) numbers that explain a lower similarity of right faces; the direction of a turned head is irrelevant."""
    sharpness, eyes, yaw, pitch, brightness, contrast = (_numbers(table, name) for name in QUALITY)
    columns = [sharpness, np.log(np.maximum(eyes, 1)), np.abs(yaw), np.abs(pitch), brightness, contrast]
    return np.stack(columns, axis=1).astype(np.float32)


def _hashes(table: pa.Table, name: str) -> tuple[npt.NDArray[np.uint64], Flags]:
    """(M,) hashes, 0 where null, and (M,) flags of the rows that have one."""
    valid = np.asarray(pc.is_valid(table[name]).to_numpy(zero_copy_only=False), bool)
    return hash_array(table[name]), valid
