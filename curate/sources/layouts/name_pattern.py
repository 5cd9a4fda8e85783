"""Identities in the names of photos, by a regular expression: AgeDB's `0_MariaCallas_35_f.jpg`."""

import os
import re
import unicodedata

from curate.counts import counted
from curate.errors import SourceError
from curate.sources.entry import encode_name
from manifests.identity import NO_IDENTITY

PREFIX = "regex:"
"""Beginning of a value of `--identities` that is a regular expression."""


class NamePattern:
    """The identity of a photo: the first group of an expression that is searched in its path.

    Args:
        value: `regex:` and the expression.

    Raises SourceError for an expression that is not valid, or has no group.
    """

    def __init__(self, value: str) -> None:
        self.text = value.removeprefix(PREFIX)
        try:
            self._pattern = re.compile(self.text)
        except re.error as error:
            raise SourceError(f"--identities {value} is not a regular expression: {error}") from error
        if not self._pattern.groups:
            raise SourceError(
                f"--identities {value} has no group: put the identity into parentheses, as in "
                r"regex:^\d+_([^_]+)_ for 0_MariaCallas_35_f.jpg"
            )
        self._matched = self._without = 0
        self._example = ""

    def identity_of(self, path: str) -> str:
        """Return the identity in the path of a photo, NO_IDENTITY where the expression does not match."""
        match = self._pattern.search(path) or self._pattern.search(path.rpartition("/")[2])
        if match is None or not match[1]:
            self._without += 1
            self._example = self._example or path
            return NO_IDENTITY
        self._matched += 1
        return unicodedata.normalize("NFC", encode_name(os.fsencode(match[1].replace("/", "_"))))

    def require_match(self) -> None:
        """Raise SourceError where the expression matched no photo."""
        if not self._matched:
            raise SourceError(f"--identities {PREFIX}{self.text} matches no photo (the first is {self._example})")

    def notes(self) -> list[str]:
        """Describe photos whose path does not match."""
        if not self._without:
            return []
        return [
            f"{counted(self._without, 'photo', 'does not match', 'do not match')} {self.text} ({self._example}, for "
            "instance): read without identity"
        ]
