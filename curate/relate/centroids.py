"""One bucket of measures and embeddings in; its identities' centres, and how each face lies to its own, out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import DatasetError
from curate.relate.identities import Centre, robust_centre, weighted_centre
from curate.relate.main_face import highest, most_prominent
from curate.relate.similarity import Pairs
from manifests.schema import NO_IDENTITY

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

"""Identity of photos that lie in the source's root: they are many people, so no centre is made of them."""

_BOX = ("box_x0", "box_y0", "box_x1", "box_y1")
_QUALITY = ("sharpness", "eye_distance", "yaw", "pitch", "brightness", "local_contrast")
_RANK = ("eye_distance", "sharpness", "file_size")
COLUMNS = (
    "image_id", "identity", "face_id", "sha256", "file_size", "width", "height", "phash", "phash_mirror", "face_phash",
    *_BOX, *_QUALITY,
)  # fmt: skip
"""Columns of the measures that relating needs."""


@dataclass(frozen=True)
class Bucket:
    """One shard: M measured rows (the columns COLUMNS, sorted by identity, image_id, face) and the (F, D) unit vectors
    of those F rows that have a face, in their order."""

    measures: pa.Table
    vectors: npt.NDArray[np.float16]


Read = Callable[[int], Bucket]
"""Number of a bucket -> its rows and vectors."""


@dataclass(frozen=True)
class Faces:
    """What is known of the M rows of one bucket, and of the K identities among them.

    identity: (M,) row of the identity in `names`. face, main: (M,). own, support, trust (M,): see `mixture.Evidence`;
    own and support of every face, trust of main faces; NaN elsewhere and for loose photos. quality (M, Q). hashes
    (M, 3): whole photo, its mirror image, crop; hashed (M,): all three are known; decoded (M,): it could be read.
    sha256 (M,), empty if unknown. rank (M, 3): eye distance, sharpness, bytes. centres (K, D), zeros without one;
    weight, size (K,): faces that count, faces.
    """

    names: list[str]
    identity: Rows
    face: Flags
    main: Flags
    own: Floats
    support: Floats
    trust: Floats
    quality: Floats
    hashes: npt.NDArray[np.uint64]
    hashed: Flags
    decoded: Flags
    sha256: npt.NDArray[np.bytes_]
    rank: Floats
    centres: Floats
    weight: Floats
    size: Rows


def first_pass(bucket: Bucket, pairs: Pairs) -> Faces:
    """A centre per identity, each face's own similarity, each photo's main face.

    The centre is first made of each photo's most prominent face; then the face nearest it becomes the photo's main
    face, and the centre is made of those. A face is compared with its identity's other photos only, never with its own.
    """
    table = bucket.measures
    face = np.asarray(pc.is_valid(table["face_id"]).to_numpy(zero_copy_only=False), bool)
    names, identity = _runs(table["identity"])
    photo = _runs(table["image_id"])[1]
    box = np.stack([_numbers(table, name) for name in _BOX], axis=1)
    main = most_prominent(photo, box, _numbers(table, "width"), _numbers(table, "height"))
    vectors = _spread_out(bucket.vectors, face)
    own, support, trust = (np.full(len(face), np.nan, np.float32) for _ in range(3))
    centres = np.zeros((len(names), vectors.shape[1]), np.float32)
    weight, size = np.zeros(len(names), np.float32), np.zeros(len(names), np.int64)
    for k, here in enumerate(_slices(identity, len(names))):
        if names[k] == NO_IDENTITY:
            continue
        related = relate_identity(vectors[here], face[here], main[here], photo[here], pairs)
        main[here], own[here], support[here], trust[here] = related.main, related.own, related.support, related.trust
        centres[k], weight[k], size[k] = (
            related.centre.centre,
            related.centre.weights.sum(),
            len(related.centre.weights),
        )
    hashes = [_hashes(table, name) for name in ("phash", "phash_mirror", "face_phash")]
    return Faces(
        names=names,
        identity=identity,
        face=face,
        main=main,
        own=own,
        support=support,
        trust=trust,
        quality=_quality(table),
        hashes=np.stack([values for values, _ in hashes], axis=1),
        hashed=np.logical_and.reduce([known for _, known in hashes]),
        decoded=hashes[0][1],
        sha256=np.asarray(pc.fill_null(table["sha256"], "").to_numpy(zero_copy_only=False), "S64"),
        rank=np.stack([_numbers(table, name) for name in _RANK], axis=1).astype(np.float32),
        centres=centres,
        weight=weight,
        size=size,
    )


def refine(bucket: Bucket, faces: Faces, trust: Floats) -> Faces:
    """The same with centres made of the main faces as `trust` (M,) weighs them (NaN: as before)."""
    vectors = _spread_out(bucket.vectors, faces.face)
    own, support = faces.own.copy(), faces.support.copy()
    trust = np.where(np.isnan(trust), faces.trust, trust).astype(np.float32)
    centres, weight = faces.centres.copy(), faces.weight.copy()
    photo = _runs(bucket.measures["image_id"])[1]
    for k, here in enumerate(_slices(faces.identity, len(faces.names))):
        chosen = faces.main[here] & faces.face[here]
        if faces.names[k] == NO_IDENTITY or chosen.sum() < 2:
            continue
        if trust[here][chosen].max() < 0.5:  # nobody is left to build on
            trust[here] = faces.trust[here]
        centre = weighted_centre(vectors[here][chosen], trust[here][chosen])
        own[here], support[here] = against_others(
            vectors[here], faces.face[here], chosen, photo[here] - photo[here.start], centre.weights
        )
        centres[k], weight[k] = centre.centre, centre.weights.sum()
    return replace(faces, own=own, support=support, trust=trust, centres=centres, weight=weight)


@dataclass(frozen=True)
class RelatedIdentity:
    """One identity's m rows: its centre, and (m,) main, own, support, trust as in `Faces`."""

    centre: Centre
    main: Flags
    own: Floats
    support: Floats
    trust: Floats


def relate_identity(vectors: Floats, face: Flags, main: Flags, photo: Rows, pairs: Pairs) -> RelatedIdentity:
    """(m, D) vectors of one identity's rows (zeros without a face), first guess of main faces, (m,) photo of each."""
    photo = photo - photo[0]
    chosen = main & face
    centre = robust_centre(vectors[chosen], pairs)
    own, support = against_others(vectors, face, chosen, photo, centre.weights)
    # Where the others are nobody in particular, nearness to them is chance: the first guess stands.
    nearer = highest(photo, np.where(face & (support >= 0.5), own, np.nan))
    nearer = np.where(support_of_photo(photo, support), nearer, main)
    if not np.array_equal(nearer, main):
        main, chosen = nearer, nearer & face
        centre = robust_centre(vectors[chosen], pairs)
        own, support = against_others(vectors, face, chosen, photo, centre.weights)
    trust = np.full(len(face), np.nan, np.float32)
    trust[chosen] = centre.weights
    return RelatedIdentity(centre, main, own, support, trust)


def support_of_photo(photo: Rows, support: Floats) -> Flags:
    """(m,) photo of each row, support of each face (NaN: no face) -> (m,) whether the photo's faces have company."""
    most = np.zeros(photo.max() + 1)
    np.maximum.at(most, photo, np.nan_to_num(support))
    return most[photo] >= 0.5


def against_others(vectors: Floats, face: Flags, chosen: Flags, photo: Rows, weights: Floats) -> tuple[Floats, Floats]:
    """Every face of an identity against its weighted main faces, those of its own photo left out -> own, support (m,).

    weights: of the rows `chosen`. NaN for rows without a face, and where there is no other photo.
    """
    own, support = (np.full(len(face), np.nan, np.float32) for _ in range(2))
    if chosen.sum() < 2 and not (face & ~np.isin(photo, photo[chosen])).any():
        return own, support
    by_row = np.zeros(len(face), np.float32)
    by_row[chosen] = weights
    # Row of the photo's main face, for each row of the photo.
    main_of = np.zeros(photo.max() + 1, np.int64)
    main_of[photo[chosen]] = np.flatnonzero(chosen)
    mine = main_of[photo]
    taken = by_row[mine] * np.isin(photo, photo[chosen])
    rest = by_row @ vectors - taken[:, None] * vectors[mine]
    mass = by_row.sum() - taken
    # Where nobody else counts, the plain mean of the other photos says how far off they are.
    bare = mass < 1e-3
    plain = chosen.astype(np.float32) @ vectors - vectors[mine]
    rest = np.where(bare[:, None], plain, rest)
    cosine = np.einsum("nd,nd->n", vectors, rest) / np.maximum(np.linalg.norm(rest, axis=1), 1e-12)
    own[face], support[face] = cosine[face], np.maximum(mass, 0)[face]
    return own, support


def _spread_out(vectors: npt.NDArray[np.floating], face: Flags) -> Floats:
    """Vectors of the faces -> one per row, zeros where there is no face."""
    if int(face.sum()) != len(vectors):
        raise DatasetError(
            f"{int(face.sum())} faces measured, {len(vectors)} embedded: run `curate measure` with this embedder again"
        )
    rows = np.zeros((len(face), vectors.shape[1]), np.float32)
    rows[face] = vectors
    return rows


def _slices(identity: Rows, count: int) -> list[slice]:
    bounds = np.searchsorted(identity, np.arange(count + 1))
    return [slice(int(a), int(b)) for a, b in pairwise(bounds)]


def _runs(values: pa.ChunkedArray) -> tuple[list[str], Rows]:
    """Sorted strings -> the distinct ones in order, and for each row which it is."""
    encoded = values.combine_chunks().dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)


def _numbers(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    return np.asarray(table[name].to_numpy(), np.float64)


def _quality(table: pa.Table) -> Floats:
    """(M, 6) what makes a right face resemble its centre less; turned left or right is one."""
    sharpness, eyes, yaw, pitch, brightness, contrast = (_numbers(table, name) for name in _QUALITY)
    columns = [sharpness, np.log(np.maximum(eyes, 1)), np.abs(yaw), np.abs(pitch), brightness, contrast]
    return np.stack(columns, axis=1).astype(np.float32)


def _hashes(table: pa.Table, name: str) -> tuple[npt.NDArray[np.uint64], Flags]:
    known = np.asarray(pc.is_valid(table[name]).to_numpy(zero_copy_only=False), bool)
    return np.asarray(pc.fill_null(table[name], 0).to_numpy(), np.uint64), known
