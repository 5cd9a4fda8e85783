"""Edits of overrides.csv: what is written by hand stays, and undoing gives the same bytes."""

from pathlib import Path

import pytest

from curate.errors import PolicyError
from curate.overrides import parse_overrides
from curate.review.document import Document, rebased

HEADER = "image_id,verdict,note,identity,other\n"
BY_HAND = '\ufeffimage_id,verdict,identity,note,other\r\na.jpg,Keep,,"two\nlines",\r\n\r\n,same_person,anna,,ann\r\n'
"""Another order of columns, Windows line breaks, a blank line, a line break in a cell, a byte order mark."""


def document(text: str = HEADER) -> Document:
    return Document.parse(text, Path("overrides.csv"))


def test_a_file_that_a_person_wrote_is_reproduced_to_the_byte() -> None:
    assert document(BY_HAND).text() == BY_HAND


def test_a_line_replaces_the_one_that_decides_the_same() -> None:
    known = document(BY_HAND)
    known.apply(known.edit([known.new_line(image_id="a.jpg", verdict="drop")]))
    assert known.text() == BY_HAND.replace('a.jpg,Keep,,"two\nlines",\r\n', "") + "a.jpg,drop,,,\n"
    assert parse_overrides(known.text(), "overrides.csv").verdicts == {"a.jpg": "drop"}


def test_undoing_puts_a_line_back_where_it_was() -> None:
    known = document(BY_HAND)
    edit = known.edit([known.new_line(image_id="a.jpg", verdict="drop")])
    known.apply(edit)
    known.apply(known.inverse(edit))
    assert known.text() == BY_HAND


def test_undoing_leaves_what_was_decided_since() -> None:
    known = document()
    first = known.edit([known.new_line(image_id="a.jpg", verdict="drop")])
    known.apply(first)
    known.apply(known.edit([known.new_line(image_id="a.jpg", verdict="keep")]))
    assert not known.inverse(first)


def test_a_decision_that_stands_is_not_repeated() -> None:
    assert not document(BY_HAND).edit(["a.jpg,keep,,,\n"])


def test_names_that_look_like_formulas_are_escaped_and_found() -> None:
    known = document()
    known.apply(known.edit([known.new_line(image_id='=1,"x".jpg', verdict="drop")]))
    assert known.text().endswith('"\'=1,""x"".jpg",drop,,,\n')
    assert known.cells("verdict", '=1,"x".jpg') is not None


def test_a_file_of_an_earlier_version_gets_the_columns_that_it_lacks() -> None:
    assert document("image_id,verdict,note\na.jpg,drop,blur").text() == HEADER + "a.jpg,drop,blur\n"


def test_changes_by_hand_prevail_over_those_that_were_pending() -> None:
    base = document(HEADER + "a.jpg,drop,,,\nb.jpg,drop,,,\n")
    latest = document(HEADER + "a.jpg,drop,,,\nb.jpg,keep,,,\nc.jpg,drop,,,\n")
    hand = document(HEADER + "\nb.jpg,review,look again,,\n")
    assert rebased(base, latest, hand).text() == HEADER + "\nb.jpg,review,look again,,\nc.jpg,drop,,,\n"


def test_a_faulty_file_is_refused_with_its_line() -> None:
    with pytest.raises(PolicyError, match=r"overrides.csv, line 2: unknown verdict 'kep'"):
        document(HEADER + "a.jpg,kep,,,\n")
