"""What a person decided about identities and copies changes the manifest, and is forgotten with its line."""

from curate.decide.collection import TablePart, decide_collection
from curate.decide.decide import DecideRequest, run
from curate.overrides import Overrides
from manifests.reader import Dataset
from tests.samples.photos import AS_GIVEN, related_dataset, tables


def decided(overrides, *photos):
    parts = [TablePart(*tables(*photos))]
    return decide_collection(parts, AS_GIVEN, overrides).table().to_pylist()


def test_a_moved_photo_has_its_new_identity_and_no_doubts():
    overrides = Overrides(moved={"anna/0.jpg": "bert"})
    moved, other = decided(overrides, {"wrong_person": 0.9, "person_group": 2}, {"wrong_person": 0.9})
    assert (moved["identity"], moved["source_identity"]) == ("bert", "anna")
    assert (moved["verdict"], moved["reasons"], moved["wrong_person"]) == ("keep", [], None)
    assert (other["identity"], other["verdict"]) == ("anna", "drop")


def test_a_moved_photo_is_dropped_for_other_reasons():
    (row,) = decided(Overrides(moved={"anna/0.jpg": "bert"}), {"sharpness": 0.1})
    assert (row["identity"], row["reasons"]) == ("bert", ["blurred"])


def test_joined_identities_have_one_name():
    overrides = Overrides(joined={"anna": "anne", "anne": "ann"}, moved={"bert/0.jpg": "anna"})
    rows = decided(
        overrides, {}, {"identity": "anne"}, {"image_id": "bert/0.jpg", "identity": "bert"}, {"identity": "x"}
    )
    assert [row["identity"] for row in rows] == ["ann", "ann", "ann", "x"]


def test_a_refused_person_is_not_suggested_again():
    same = {"same_person_as": "bert"}
    refused, other = decided(
        Overrides(not_same_person={("anna", "bert")}), same, same | {"identity": "carl", "image_id": "c/1.jpg"}
    )
    assert (refused["same_person_as"], other["same_person_as"]) == (None, "bert")


def test_a_refused_copy_is_kept():
    copy = {"duplicate_group": 7}
    best, refused, dropped = decided(
        Overrides(not_duplicates={("anna/0.jpg", "anna/1.jpg")}),
        copy,
        copy | {"eye_distance": 30.0},
        copy | {"eye_distance": 20.0},
    )
    assert (best["verdict"], refused["verdict"], refused["duplicate_of"]) == ("keep", "keep", None)
    assert (dropped["reasons"], dropped["duplicate_of"]) == (["duplicate"], "anna/0.jpg")


def test_a_move_is_remembered_and_undone_by_removing_its_line(tmp_path):
    out = related_dataset(tmp_path, [{}, {"identity": "bert", "image_id": "bert/1.jpg"}])
    file = out / "overrides.csv"
    file.write_text("image_id,verdict,note,identity,other\nanna/0.jpg,move,her sister,bert\n")
    warning = run(DecideRequest(out)).warnings
    assert [text for text in warning if "run `curate relate" in text] or not warning
    assert Dataset.open(out).manifest(["identity"])["identity"].to_pylist() == ["bert", "bert"]
    file.write_text("image_id,verdict,note,identity,other\n")
    run(DecideRequest(out))
    assert Dataset.open(out).manifest(["identity"])["identity"].to_pylist() == ["anna", "bert"]
