"""overrides.csv: human verdicts, read strictly and never lost."""

import pytest

from curate.decide.overrides import create_overrides, read_overrides, unknown_overrides
from curate.errors import PolicyError


def read(tmp_path, text):
    path = tmp_path / "overrides.csv"
    path.write_text(text)
    return read_overrides(path)


def test_verdicts_with_and_without_a_note(tmp_path):
    found = read(tmp_path, 'image_id,verdict,note\na/1.jpg,keep\n\n"a/2,b.jpg", Drop ,"blurred, I think"\n')
    assert found.verdicts == {"a/1.jpg": "keep", "a/2,b.jpg": "drop"}


def test_a_spreadsheets_byte_order_mark_is_accepted(tmp_path):
    assert read(tmp_path, "\ufeffimage_id,verdict\r\na.jpg,keep\r\n").verdicts == {"a.jpg": "keep"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image_id,verdict\na.jpg,keep\nb.jpg,delete\n", "line 3: verdict 'delete' for b.jpg; write 'keep' or 'drop'"),
        ("image_id,verdict\na.jpg\n", "line 2: verdict '' for a.jpg"),
        ("image_id,verdict\n,keep\n", "line 2: no image_id"),
        ("photo,what\n", "line 1: the header is 'photo,what'"),
        ("image_id,verdict\na.jpg,keep\na.jpg,drop\n", "line 3: a.jpg is to drop, but line 2 says keep"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path, text, said):
    with pytest.raises(PolicyError) as error:
        read(tmp_path, text)
    assert said in str(error.value)


def test_the_empty_file_is_made_once_and_not_again(tmp_path):
    path = tmp_path / "overrides.csv"
    assert create_overrides(path)
    assert path.read_text() == "image_id,verdict,note\n"
    path.write_text("image_id,verdict\na.jpg,keep\n")
    assert not create_overrides(path)
    assert read_overrides(path).verdicts == {"a.jpg": "keep"}


def test_a_missing_file_is_no_overrides(tmp_path):
    assert read_overrides(tmp_path / "none.csv").verdicts == {}


def test_overrides_of_unknown_photos_are_told_by_line(tmp_path):
    found = read(tmp_path, "image_id,verdict\na.jpg,keep\ngone.jpg,drop\n")
    assert unknown_overrides(found, {"gone.jpg"}) == [
        "overrides.csv, line 3: no photo 'gone.jpg' in this dataset; the line is kept"
    ]
