"""Counts as text."""

import pytest

from curate.counts import counted


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 people are"), (1, "1 person is"), (2, "2 people are"), (2000, "2,000 people are")]
)
def test_noun_and_verb_follow_the_number(number: int, text: str) -> None:
    assert counted(number, "person", "is", "are") == text
    assert counted(number, "photo") == f"{number:,} photo" + "s" * (number != 1)
