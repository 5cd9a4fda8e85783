"""overrides.csv: human verdicts, read strictly and never rewritten."""

from pathlib import Path

import pytest

from curate.errors import PolicyError
from curate.overrides import create_overrides, read_overrides, suggest, unmatched_warnings


def read(tmp_path, text):
    path = tmp_path / "overrides.csv"
    path.write_text(text)
    return read_overrides(path)


def test_verdicts_with_and_without_a_note(tmp_path):
    overrides = read(tmp_path, 'image_id,verdict,note\na/1.jpg,keep\n\n"a/2,b.jpg", Drop ,"blurred, I think"\n')
    assert overrides.verdicts == {"a/1.jpg": "keep", "a/2,b.jpg": "drop"}


def test_moves_joins_and_refusals(tmp_path):
    overrides = read(
        tmp_path,
        "image_id,verdict,note,identity,other\na/1.jpg,move,,b\na/1.jpg,keep\n"
        "a/2.jpg,not_duplicate,next frame,,a/1.jpg\n"
        ",same_person,two spellings,ann,anne\n,same_person,,anna,ann\n,not_same_person,sisters,c,b\n",
    )
    assert (overrides.moved, overrides.verdicts) == ({"a/1.jpg": "b"}, {"a/1.jpg": "keep"})
    assert overrides.not_duplicates == {("a/1.jpg", "a/2.jpg")}
    assert [overrides.identity_of(name) for name in ("ann", "anne", "anna", "b")] == ["anna", "anna", "anna", "b"]
    assert overrides.not_same_person == {("b", "c")}


def test_everything_but_notes_is_part_of_the_fingerprint(tmp_path):
    lines = ["a,keep,", "a,move,,b", "a,not_duplicate,,,b", ",same_person,,a,b", ",not_same_person,,a,b"]
    hashes = {read(tmp_path, f"image_id,verdict,note,identity,other\n{line}\n").fingerprint() for line in lines}
    assert len(hashes) == len(lines)
    noted = read(tmp_path, "image_id,verdict,note\na,keep,a note\n").fingerprint()
    assert noted == read(tmp_path, "image_id,verdict,note,identity,other\na,keep,\n").fingerprint()


def test_a_byte_order_mark_is_accepted(tmp_path):
    assert read(tmp_path, "\ufeffimage_id,verdict\r\na.jpg,keep\r\n").verdicts == {"a.jpg": "keep"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_id,verdict\na.jpg,keep\nb.jpg,delete\n", "line 3: unknown verdict 'delete' for 'b.jpg'; write 'keep'"),
        ("image_id,verdict\na.jpg\n", "line 2: unknown verdict '' for 'a.jpg'"),
        ("image_id,verdict\n,keep\n", "line 2: no image_id"),
        ("image_id,verdict,note\na.jpg,move\n", "line 2: no identity; write its name into the column identity"),
        ("image_id,verdict\n,same_person,,ann\n", "line 2: the column other is empty; name the second photo or"),
        ("image_id,verdict\na,move,,b\na,move,,c\n", "line 3: identity 'c' for 'a' contradicts 'b' in line 2"),
        (
            "image_id,verdict\n,same_person,,a,b\n,not_same_person,,b,a\n",
            "line 3: b and a are the same person in an earlier line; remove one",
        ),
        ("image_id,verdict,commment\n", "line 1: the header is 'image_id,verdict,commment'; change it to"),
        ("photo,what\n", "line 1: the header is 'photo,what'; change it to 'image_id,verdict,note,identity,other'"),
        (
            "image_id,verdict\na.jpg,keep\na.jpg,drop\n",
            "line 3: verdict 'drop' for 'a.jpg' contradicts 'keep' in line 2; remove one of the two lines",
        ),
    ],
)
def test_a_mistake_is_reported_with_its_line(tmp_path, text, message):
    with pytest.raises(PolicyError) as error:
        read(tmp_path, text)
    assert message in str(error.value)


def test_the_file_is_created_once(tmp_path):
    path = tmp_path / "overrides.csv"
    assert create_overrides(path)
    assert path.read_text() == "image_id,verdict,note,identity,other\n"
    path.write_text("image_id,verdict\na.jpg,keep\n")
    assert not create_overrides(path)
    assert read_overrides(path).verdicts == {"a.jpg": "keep"}


def test_a_missing_file_has_no_overrides(tmp_path):
    assert read_overrides(tmp_path / "none.csv").verdicts == {}


def test_overrides_of_unknown_photos_are_reported_with_their_line(tmp_path):
    overrides = read(tmp_path, "image_id,verdict\na.jpg,keep\ngone.jpg,drop\n")
    assert unmatched_warnings(overrides, {"gone.jpg"}) == [
        "overrides.csv, line 3: no photo 'gone.jpg' in this dataset; the line has no effect"
    ]


@pytest.mark.parametrize(
    "written", ["Zoe\u0308/1.jpg", "Zo\u00eb\\1.jpg", "./Zo\u00eb/1.jpg", " Zoe\u0308\\1.jpg", "/Zo\u00eb/1.jpg"]
)
def test_an_image_id_in_another_notation_is_suggested(tmp_path, written):
    overrides = read(tmp_path, f"image_id,verdict\n{written},drop\ngone.jpg,drop\n")
    suggestions = suggest(overrides.verdicts, ["b.jpg", "Zo\u00eb/1.jpg"])
    first, second = unmatched_warnings(overrides, overrides.verdicts, suggestions)
    assert first.endswith("the line has no effect; did you mean 'Zo\u00eb/1.jpg'?")
    assert second.endswith("no photo 'gone.jpg' in this dataset; the line has no effect")


def test_an_escaped_image_id_of_a_report_is_the_photo(tmp_path: Path) -> None:
    path = tmp_path / "overrides.csv"
    path.write_text("image_id,verdict\n'=a/1.jpg,keep\n-b/2.jpg,drop\n'c/3.jpg,drop\n", encoding="utf-8")
    assert list(read_overrides(path).verdicts) == ["=a/1.jpg", "-b/2.jpg", "'c/3.jpg"]


def test_a_cell_without_end_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "overrides.csv"
    path.write_text('image_id,verdict\n"' + "x" * 200_000, encoding="utf-8")
    with pytest.raises(PolicyError, match=r"not a CSV file .* write one photo a line"):
        read_overrides(path)
