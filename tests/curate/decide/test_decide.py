"""Deciding: from numbers, a policy and human verdicts to reasons. Photos are made up; no pixels are involved."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.decide.collection import TablePart, decide_collection
from curate.decide.decide import Decided, DecideRequest, run
from curate.decide.overrides import Overrides
from curate.decide.policy import Policy, load_policy
from curate.errors import DatasetError
from manifests.layout import POLICY, POLICY_HASH, write_info
from manifests.reader import Dataset, footer
from manifests.schema import REASONS, arrow_schema
from manifests.writer import write_table
from tests.samples.dataset import dataset_info, filled

GOOD = {
    "sha256": "0" * 64, "file_size": 1000, "width": 400, "height": 400, "eye_distance": 60.0, "upscale": 1.0,
    "sharpness": 0.9, "stretch": 1.0, "corruption": 0.0, "flat_rows": 0.0, "brightness": 100.0, "local_contrast": 20.0,
    "stretch_error": 0.05, "flat_fraction": 0.0,
    "clipped_dark": 0.0, "clipped_bright": 0.0, "wrong_person": 0.01, "identity_purity": 1.0, "main": True,
    "face_count": 1, "own_similarity": 0.7,
}  # fmt: skip


def tables(*photos):
    """Photos as what differs from a good one -> measures and relations."""
    measures, relations = [], []
    for number, changed in enumerate(photos):
        name = changed.get("image_id", f"anna/{number}.jpg")
        row = {**GOOD, "image_id": name, "identity": "anna", "face_id": f"{name}#0", **changed}
        measures.append(filled("measures", row, number))
        relations.append(filled("relations", row, number))
    schemas = arrow_schema("measures"), arrow_schema("relations")
    return [pa.Table.from_pylist(r, s) for r, s in zip((measures, relations), schemas, strict=True)]


def decided(*photos, policy=Policy(adapt_sharpness=False), human=None):  # noqa: B008
    """Rows of the manifest of a collection of `photos`; human: overrides by image_id."""
    parts = [TablePart(*tables(*photos))]
    return decide_collection(parts, policy, Overrides(human or {})).table().to_pylist()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"error": "not an image", "face_id": None}, "undecodable"),
        ({"face_id": None}, "no_face"),
        ({"eye_distance": 19.0}, "too_small"),
        ({"upscale": 9.0}, "too_small"),
        ({"sharpness": 0.49}, "blurred"),
        ({"stretch": 1.4}, "stretched"),
        ({"stretch": 0.7}, "stretched"),
        ({"flat_fraction": 0.5}, "corrupt_pixels"),
        ({"corruption": 0.2}, "corrupt_pixels"),
        ({"flat_rows": 0.4}, "corrupt_pixels"),
        ({"clipped_dark": 0.6}, "too_dark"),
        ({"brightness": 20.0, "local_contrast": 1.0}, "too_dark"),
        ({"clipped_bright": 0.6}, "too_bright"),
        ({"wrong_person": 0.5}, "other_person"),
        ({"identity_purity": 0.1}, "mixed_identity"),
        ({"excluded_by": "lfw/x.jpg", "excluded_similarity": 0.6}, "excluded"),
    ],
)
def test_each_number_beyond_its_threshold_gives_its_reason_and_no_other(changed, reason):
    (row,) = decided(changed)
    assert (row["verdict"], row["verdict_source"], row["reasons"]) == ("drop", "policy", [reason])


def test_a_good_photo_is_kept_and_dark_skin_with_structure_too():
    good, dark = decided({}, {"brightness": 15.0})
    assert (good["verdict"], good["reasons"]) == ("keep", [])
    assert dark["verdict"] == "keep"


def test_all_reasons_are_listed_in_the_order_of_the_vocabulary():
    (row,) = decided({"wrong_person": 0.9, "sharpness": 0.1, "eye_distance": 5.0})
    assert row["reasons"] == ["too_small", "blurred", "other_person"]
    assert row["reasons"] == [reason for reason in REASONS if reason in row["reasons"]]


def test_numbers_that_are_missing_speak_for_no_reason():
    names = [name for name in GOOD if name not in {"sha256", "main", "face_count"}]
    (row,) = decided(dict.fromkeys(names))
    assert row["verdict"] == "keep"


def test_loose_photos_are_of_nobody_so_of_no_other_person():
    (row,) = decided({"identity": ".", "wrong_person": 0.9, "identity_purity": 0.0})
    assert row["verdict"] == "keep"


def test_the_main_face_alone_stands_for_a_group_photo():
    group = {"image_id": "anna/group.jpg"}
    rows = decided({**group, "main": False, "wrong_person": 0.9}, {**group, "face_id": "anna/group.jpg#1"})
    assert [(row["face_id"], row["verdict"]) for row in rows] == [("anna/group.jpg#1", "keep")]


def test_human_verdicts_come_last_and_the_reasons_stay():
    kept, dropped = decided({"sharpness": 0.1}, {}, human={"anna/0.jpg": "keep", "anna/1.jpg": "drop"})
    assert (kept["verdict"], kept["verdict_source"], kept["reasons"]) == ("keep", "override", ["blurred"])
    assert (dropped["verdict"], dropped["verdict_source"], dropped["reasons"]) == ("drop", "override", [])


COPY = {"duplicate_group": 7}


def test_the_best_copy_is_kept_and_the_others_name_it():
    small, best, same = decided(
        {**COPY, "eye_distance": 30.0, "sha256": "a" * 64}, {**COPY, "sha256": "b" * 64}, {**COPY, "sha256": "b" * 64}
    )
    assert (best["verdict"], best["duplicate_of"]) == ("keep", None)
    assert (small["reasons"], small["duplicate_of"], small["duplicate_kind"]) == (
        ["near_duplicate"],
        "anna/1.jpg",
        "near",
    )
    assert (same["reasons"], same["duplicate_of"], same["duplicate_kind"]) == (["duplicate"], "anna/1.jpg", "exact")


def test_where_the_best_copy_is_dropped_for_itself_the_next_one_stands():
    best, second = decided({**COPY, "sharpness": 0.1}, {**COPY, "eye_distance": 30.0})
    assert (second["verdict"], second["duplicate_of"]) == ("keep", None)
    assert (best["reasons"], best["duplicate_of"]) == (["blurred", "duplicate"], "anna/1.jpg")


def test_where_all_copies_are_dropped_for_themselves_none_is_resurrected():
    rows = decided({**COPY, "sharpness": 0.1}, {**COPY, "sharpness": 0.2})
    assert [row["verdict"] for row in rows] == ["drop", "drop"]
    assert [row["duplicate_of"] for row in rows] == ["anna/1.jpg", None]


def test_a_copy_that_a_human_keeps_is_the_one_that_stands():
    best, human = decided({**COPY}, {**COPY, "eye_distance": 10.0}, human={"anna/1.jpg": "keep"})
    assert (best["reasons"], best["duplicate_of"]) == (["duplicate"], "anna/1.jpg")
    assert (human["verdict"], human["verdict_source"]) == ("keep", "override")


def test_of_a_picture_in_two_folders_the_one_that_resembles_its_person_stands():
    mine, wrong = decided({**COPY, "own_similarity": 0.8}, {**COPY, "identity": "bert", "own_similarity": 0.1})
    assert (mine["verdict"], wrong["verdict"]) == ("keep", "drop")


def test_landmarks_that_may_be_far_off_do_not_call_a_face_stretched():
    assert decided({"stretch": 1.4, "stretch_error": 0.2})[0]["verdict"] == "keep"


def test_keep_all_drops_only_what_cannot_be_trained_on():
    worst = {
        "eye_distance": 1.0, "upscale": 99.0, "sharpness": 0.0, "stretch": 5.0, "corruption": 1.0, "flat_rows": 1.0,
        "flat_fraction": 1.0, "brightness": 0.0, "local_contrast": 0.0, "clipped_dark": 1.0, "clipped_bright": 1.0,
        "wrong_person": 1.0,
        "identity_purity": 0.0, "excluded_by": "x", "excluded_similarity": 1.0, **COPY,
    }  # fmt: skip
    rows = decided(worst, worst, {"face_id": None}, policy=load_policy("keep-all"))
    assert [row["reasons"] for row in rows] == [[], [], ["no_face"]]


def dataset(folder, *buckets):
    """A dataset of measures and relations only, one tuple of photos per bucket."""
    relations = []
    for number, photos in enumerate(buckets):
        measures, related = tables(*photos)
        write_table(folder / "measures" / f"b-{number:03d}.parquet", measures, measures.schema)
        relations.append(related)
    write_table(folder / "relations.parquet", iter(relations), relations[0].schema)
    write_info(folder, dataset_info(len(buckets)))
    return folder


def test_a_dataset_is_decided_bucket_by_bucket_with_copies_across_buckets(tmp_path):
    far = {**COPY, "image_id": "bert/0.jpg", "identity": "bert", "own_similarity": 0.9}
    out = dataset(tmp_path, [{**COPY}, {"sharpness": 0.1}], [far])
    (tmp_path / "overrides.csv").write_text("image_id,verdict\nanna/1.jpg,keep\ngone.jpg,drop\n")
    found = run(DecideRequest(out))
    rows = Dataset.open(out).manifest().to_pylist()
    assert [(row["image_id"], row["verdict"], row["duplicate_of"]) for row in rows] == [
        ("anna/0.jpg", "drop", "bert/0.jpg"),
        ("anna/1.jpg", "keep", None),
        ("bert/0.jpg", "keep", None),
    ]
    assert found == Decided(3, 2, found.reasons, found.warnings)
    assert (found.reasons["duplicate"], found.reasons["blurred"]) == (1, 1)
    assert found.warnings == ["overrides.csv, line 3: no photo 'gone.jpg' in this dataset; the line is kept"]


def test_the_policy_and_its_hash_are_in_the_footer_and_the_bytes_repeat(tmp_path):
    out = dataset(tmp_path, [{}])
    run(DecideRequest(out))
    first = (out / "manifest.parquet").read_bytes()
    told = footer(out / "manifest.parquet")
    assert told[POLICY] == Policy().canonical_json()
    assert told[POLICY_HASH] == Policy().sha256() == Dataset.open(out).policy_hash()
    assert (out / "overrides.csv").read_text() == "image_id,verdict,note\n"
    run(DecideRequest(out))
    assert (out / "manifest.parquet").read_bytes() == first


def test_relations_of_other_measures_are_refused(tmp_path):
    out = dataset(tmp_path, [{}], [{}])
    other = tables({"image_id": "carl/0.jpg"})[1]
    write_table(out / "relations.parquet", iter([other, other]), other.schema)
    with pytest.raises(DatasetError, match=r"was computed from other measures .*run `curate relate` again"):
        run(DecideRequest(out))
    write_table(out / "relations.parquet", other, other.schema)
    with pytest.raises(DatasetError, match="1 row groups for 2 buckets"):
        run(DecideRequest(out))


def test_an_empty_bucket_changes_nothing(tmp_path):
    assert run(DecideRequest(dataset(tmp_path, [], [{}]))).photos == 1
    assert np.array_equal(Dataset.open(tmp_path).manifest(["image_id"])["image_id"].to_pylist(), ["anna/0.jpg"])


def test_small_buckets_share_a_row_group_of_the_manifest_and_large_ones_do_not(tmp_path, monkeypatch):
    out = dataset(tmp_path, [{}], [{}], [{}])
    run(DecideRequest(out))
    assert pq.ParquetFile(out / "manifest.parquet").num_row_groups == 1
    monkeypatch.setattr("curate.decide.collection.BATCH_ROWS", 1)
    run(DecideRequest(out))
    assert pq.ParquetFile(out / "manifest.parquet").num_row_groups == 3
