"""Identities that a person gave: photos are compared with them, and rows stay in the order of the measures."""

import numpy as np
import pyarrow as pa

from curate.overrides import Overrides
from curate.relate.corrected_buckets import CorrectedBuckets
from curate.relate.relate import RelateSettings, relate_collection
from curate.relate.relations import relation_rows
from tests.samples.embeddings import SIMILARITY, bucket, folder, people, photos_of

PERSONS = people(12)
MIXED = folder("a", *photos_of(PERSONS[0], 6, 0), None, *photos_of(PERSONS[10], 5, 1))
SHARDS = [
    bucket([*MIXED, *folder("b", *photos_of(PERSONS[1], 8, 2)), *folder("c", *photos_of(PERSONS[2], 8, 3))]),
    bucket([row for i in range(3, 9) for row in folder(f"p{i}", *photos_of(PERSONS[i], 8, 10 + i))]),
    bucket([*folder("q", *photos_of(PERSONS[10], 7, 50)), *folder("r", *photos_of(PERSONS[1], 6, 51))]),
]


def related(overrides: Overrides) -> list[pa.Table]:
    """Relations of each shard."""
    buckets = CorrectedBuckets(SHARDS.__getitem__, len(SHARDS), overrides)
    relations = relate_collection(buckets.read, buckets.count, RelateSettings(prior=SIMILARITY))
    return [
        buckets.relations(shard, lambda number: relation_rows(buckets.read(number), number, relations))
        for shard in range(len(SHARDS))
    ]


def test_without_corrections_shards_are_read_as_they_are():
    buckets = CorrectedBuckets(SHARDS.__getitem__, 3, Overrides(verdicts={"a/000.jpg": "drop"}))
    assert buckets.count == 3
    assert buckets.read(1) is SHARDS[1]


def test_rows_keep_the_order_of_the_measures():
    overrides = Overrides(moved={f"a/{i:03d}.jpg": "q" for i in range(7, 12)}, joined={"r": "b"})
    for shard, table in zip(SHARDS, related(overrides), strict=True):
        assert table["image_id"].to_pylist() == shard.measures["image_id"].to_pylist()
        assert table["face_id"].to_pylist() == shard.measures["face_id"].to_pylist()


def test_moved_photos_are_compared_with_their_new_identity():
    second = [f"a/{i:03d}.jpg" for i in range(7, 12)]
    before = {row["image_id"]: row for table in related(Overrides()) for row in table.to_pylist()}
    after = {
        row["image_id"]: row
        for table in related(Overrides(moved=dict.fromkeys(second, "q")))
        for row in table.to_pylist()
    }
    assert {before[name]["person_group"] for name in second} == {2}
    assert {after[name]["identity"] for name in second} == {"q"}
    assert {after[name]["identity_size"] for name in second} == {12}
    assert max(after[name]["wrong_person"] for name in second) < 0.1
    assert {after[f"a/{i:03d}.jpg"]["person_group"] for i in range(6)} == {None}
    assert after["a/000.jpg"]["identity_size"] == 6


def test_a_new_identity_is_made_by_moving_photos_to_it():
    tables = related(Overrides(moved={f"a/{i:03d}.jpg": "a (2)" for i in range(7, 12)}))
    rows = [row for row in tables[0].to_pylist() if row["identity"] == "a (2)"]
    assert [row["identity_size"] for row in rows] == [5] * 5
    assert {row["nearest_identity"] for row in rows} == {"q"}


def test_joined_identities_have_one_centroid():
    before, after = (
        [row for table in related(overrides) for row in table.to_pylist() if row["image_id"].startswith(("b/", "r/"))]
        for overrides in (Overrides(), Overrides(joined={"r": "b"}))
    )
    assert {row["nearest_identity"] for row in before} == {"b", "r"}
    assert {(row["identity"], row["identity_size"]) for row in after} == {("b", 14)}
    assert np.mean([row["margin"] for row in after]) > np.mean([row["margin"] for row in before]) + 0.2
