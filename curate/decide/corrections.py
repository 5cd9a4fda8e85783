"""Corrections of identities and of duplicate groups by a person, applied to measures and relations."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.decide.kept_photo import Duplicates
from curate.overrides import Overrides, corrected_identity

Flags = npt.NDArray[np.bool_]

OF_IDENTITY = (
    "own_similarity", "nearest_identity", "nearest_similarity", "margin", "identity_size", "identity_cohesion",
    "identity_purity", "wrong_person", "suggested_identity", "same_person_as", "person_group",
)  # fmt: skip
"""Columns of the relations that compare a face with its identity."""


@dataclass(frozen=True)
class Corrected:
    """Relations of N main faces under the identities that a person gave them.

    Attributes:
        relations: with the corrected identity; OF_IDENTITY is null where `relate` compared with another identity.
        judged: the same for rules: OF_IDENTITY is null for moved photos too, because a person has looked at these.
    """

    relations: pa.Table
    judged: pa.Table


def correct(measures: pa.Table, relations: pa.Table, overrides: Overrides) -> Corrected:
    """Apply the moves and joins of `overrides`, and forget a `same_person_as` that a person has refused.

    Args:
        measures: N rows with image_id and identity, that of the source.
        relations: the same rows, with the identities that `relate` compared them with.
        overrides: human decisions.
    """
    relations = _without_refused_persons(relations, overrides)
    identity, moved = corrected_identity(measures["image_id"], measures["identity"], overrides)
    compared = relations["identity"]
    stale = np.asarray(pc.not_equal(identity, compared.combine_chunks()).to_numpy(zero_copy_only=False), bool)
    relations = relations.set_column(
        relations.schema.get_field_index("identity"), relations.schema.field("identity"), pa.chunked_array([identity])
    )
    relations = _null(relations, stale)
    return Corrected(relations, _null(relations, moved))


def without_refused(duplicates: Duplicates, overrides: Overrides) -> Duplicates:
    """Return the copies without those that a person called another picture than the photo that their group keeps."""
    if not overrides.not_duplicates or not len(duplicates.image_id):
        return duplicates
    pairs = zip(duplicates.image_id.to_pylist(), duplicates.duplicate_of.to_pylist(), strict=True)
    stays = pa.array([(min(pair), max(pair)) not in overrides.not_duplicates for pair in pairs])
    return Duplicates(
        duplicates.image_id.filter(stays),
        duplicates.duplicate_of.filter(stays),
        duplicates.duplicate_kind.filter(stays),
    )


def _without_refused_persons(relations: pa.Table, overrides: Overrides) -> pa.Table:
    if not overrides.not_same_person:
        return relations
    names = relations["identity"].to_pylist(), relations["same_person_as"].to_pylist()
    refused = [
        other is not None and (min(own, other), max(own, other)) in overrides.not_same_person
        for own, other in zip(*names, strict=True)
    ]
    return _null(relations, np.array(refused, bool), ("same_person_as",))


def _null(relations: pa.Table, rows: Flags, names: tuple[str, ...] = OF_IDENTITY) -> pa.Table:
    """Set columns to null in the (N,) flagged rows."""
    if not rows.any():
        return relations
    for name in names:
        column = relations[name].combine_chunks()
        nulled = pc.if_else(pa.array(~rows), column, pa.scalar(None, column.type))
        index = relations.schema.get_field_index(name)
        relations = relations.set_column(index, relations.schema.field(index), pa.chunked_array([nulled]))
    return relations
