"""Counts as text."""

_PLURALS = {"person": "people", "identity": "identities"}


def counted(number: int, noun: str) -> str:
    """Format a count with its noun: '1 photo', '2,000 photos', '3 people'."""
    return f"{number:,} {noun if number == 1 else _PLURALS.get(noun, noun + 's')}"
