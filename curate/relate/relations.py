"""A related collection, and its rows in `relations.parquet`."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.relate.bucket import MeasuredBucket
from curate.relate.copies import OrderedCopies
from curate.relate.duplicates import DuplicateGroups
from curate.relate.exclude import Gallery, match
from curate.relate.identities import BucketFaces, cohesion_and_purity, identity_offsets
from curate.relate.other_identities import OtherIdentities
from curate.relate.person_groups import person_groups
from curate.relate.similarity import PairSimilarity
from manifests.schema import NO_IDENTITY, arrow_schema

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

_MIN_WRONG, _MIN_FLIPPED_SHARE = 0.2, 0.1
"""An identity is suggested from this probability of another person, and from this share of the nearest one in it."""


@dataclass(frozen=True)
class Related:
    """Relations of a whole collection.

    Attributes:
        faces: Per bucket.
        others: Per bucket, M rows each.
        wrong: Per bucket (M,), the probability of another person; NaN for rows that are not judged.
        flipped: Per bucket (M,), the part of `wrong` that falls to the nearest other identity.
        similarity: Of pairs of photos, as estimated.
        share_flipped, share_outliers: Fitted shares of faces of another identity, and of people outside the collection.
        same_person: For each identity, bucket by bucket, the row of another one of the same person, -1 for none.
        duplicates: Groups of photos that show one picture.
        copies: Order of their photos.
    """

    faces: list[BucketFaces]
    others: list[OtherIdentities]
    wrong: list[Floats]
    flipped: list[Floats]
    similarity: PairSimilarity
    share_flipped: float
    share_outliers: float
    same_person: Rows
    duplicates: DuplicateGroups
    copies: OrderedCopies

    @property
    def names(self) -> list[str]:
        """All identities, bucket by bucket: the rows that `OtherIdentities.nearest` and `same_person` refer to."""
        return [name for part in self.faces for name in part.names]


def relation_rows(part: MeasuredBucket, bucket: int, related: Related, gallery: Gallery | None = None) -> pa.Table:
    """Return the RELATIONS rows of one bucket, in the order of its measures."""
    faces, others = related.faces[bucket], related.others[bucket]
    names = pa.array(related.names, pa.string())
    wrong, flipped = related.wrong[bucket], related.flipped[bucket]
    without_identity = np.array([name == NO_IDENTITY for name in faces.names], bool)[faces.identity]
    suggested = (wrong >= _MIN_WRONG) & (flipped >= _MIN_FLIPPED_SHARE * wrong)
    same_person = related.same_person[identity_offsets(related.faces)[bucket] + faces.identity]
    cohesion, purity = cohesion_and_purity(faces, wrong)
    size = np.where(faces.has_face & ~without_identity, faces.identity_size[faces.identity], -1)
    group, copy = related.duplicates.of_bucket(bucket), related.duplicates.positions_in(bucket)
    persons = person_groups(faces, part.vectors, related.similarity)
    reference, similarity = _exclusion_matches(part, faces, gallery)
    columns = {
        "image_id": part.measures["image_id"],
        "identity": part.measures["identity"],
        "face_id": part.measures["face_id"],
        "main": pa.array(faces.main),
        "own_similarity": _nullable(faces.own_similarity),
        "nearest_identity": _take(names, others.nearest),
        "nearest_similarity": _nullable(others.similarity),
        "margin": _nullable(faces.own_similarity - others.similarity),
        "identity_size": pa.array(size.astype(np.int32), mask=size < 0),
        "identity_cohesion": _nullable(np.where(faces.has_face, cohesion[faces.identity], np.nan)),
        "identity_purity": _nullable(np.where(faces.has_face, purity[faces.identity], np.nan)),
        "wrong_person": _nullable(wrong),
        "suggested_identity": _take(names, np.where(suggested, others.nearest, -1)),
        "same_person_as": _take(names, same_person),
        "person_group": pa.array(persons, mask=persons == 0),
        "duplicate_group": pa.array(group, mask=group < 0),
        "copy_rank": _take(pa.array(related.copies.rank, pa.int32()), copy),
        "copy_flaw": _take(pa.array(related.copies.flaw, pa.string()), copy),
        "excluded_by": reference,
        "excluded_similarity": similarity,
    }
    schema = arrow_schema("relations")
    return pa.table([columns[name] for name in schema.names], names=schema.names).cast(schema)


def _exclusion_matches(part: MeasuredBucket, faces: BucketFaces, gallery: Gallery | None) -> tuple[pa.Array, pa.Array]:
    """Image_id of the matching reference of each row, null for none, and the cosine to the nearest reference."""
    similarity = np.full(len(faces.has_face), np.nan, np.float32)
    reference = np.full(len(faces.has_face), -1, np.int64)
    if gallery is None:
        return pa.nulls(len(similarity), pa.string()), _nullable(similarity)
    matches = match(part.vectors, gallery)
    similarity[faces.has_face], reference[faces.has_face] = matches.similarity, matches.reference
    return _take(pa.array(gallery.image_ids, pa.string()), reference), _nullable(similarity)


def _nullable(values: npt.NDArray[np.floating]) -> pa.Array:
    """float32, null for NaN."""
    return pa.array(values.astype(np.float32), pa.float32(), from_pandas=True)


def _take(values: pa.Array, rows: Rows) -> pa.Array:
    """values[rows], null where the row is -1."""
    return values.take(pa.array(rows, mask=rows < 0))
