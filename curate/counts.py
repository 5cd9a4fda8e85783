"""Counts as text."""

_PLURALS = {"person": "people", "identity": "identities", "copy": "copies"}


def counted(number: int, noun: str, verb: str = "", verbs: str = "") -> str:
    """Format a count with its noun: '1 photo', '2,000 photos', '3 people'.

    `verb`, `verbs`: what follows one and what follows any other number ('does not match', 'do not match').
    """
    noun = noun if number == 1 else _PLURALS.get(noun, noun + "s")
    return " ".join(filter(None, (f"{number:,}", noun, verb if number == 1 else verbs)))
