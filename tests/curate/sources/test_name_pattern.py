"""Identities in the names of photos, by a regular expression."""

from pathlib import Path

import pytest

from curate.errors import SourceError
from curate.sources import open_source
from curate.sources.layouts.folder import resolve_identities
from tests.samples.sources import MAKE, listed, make_directory

AGEDB = ["0_MariaCallas_35_f.jpg", "1_MariaCallas_40_f.jpg", "2_GlennClose_62_f.jpg", "readme_.jpg"]
PATTERN = r"regex:^\d+_([^_]+)_"


@pytest.mark.parametrize("store", ["directory", "zip"])
def test_the_first_group_is_the_identity_and_photos_without_one_are_named(tmp_path: Path, store: str) -> None:
    source = open_source("folder", MAKE[store](tmp_path / "AgeDB", *(f"AgeDB/{name}" for name in AGEDB)), PATTERN)
    people = {key: len(source.entries(key)) for key in source.identities()}
    assert {key: count for key, count in people.items() if not key.startswith(".")} == {
        "MariaCallas": 2, "GlennClose": 1,
    }  # fmt: skip
    assert source.notes() == [
        rf"1 photo does not match {PATTERN.removeprefix('regex:')} (AgeDB/readme_.jpg, for instance): read without "
        "identity"
    ]


def test_the_expression_sees_the_path(tmp_path: Path) -> None:
    root = make_directory(tmp_path / "set", "imdb_crop/00/nm0000100_rm1_1955.jpg")
    assert list(listed(open_source("folder", root, "regex:crop/(\\d+)/"))) == ["00"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("regex:(", "is not a regular expression: missing \\)"),
        ("regex:.*", "has no group: put the identity into parentheses"),
        ("regex:^(x)y", "matches no photo \\(the first is AgeDB/0_MariaCallas_35_f.jpg\\)"),
    ],
)
def test_expressions_that_cannot_work_are_refused(tmp_path: Path, value: str, message: str) -> None:
    root = make_directory(tmp_path / "set", *(f"AgeDB/{name}" for name in AGEDB))
    with pytest.raises(SourceError, match=message):
        open_source("folder", root, value)


def test_an_expression_is_recorded_as_it_is() -> None:
    assert resolve_identities(PATTERN) == PATTERN
