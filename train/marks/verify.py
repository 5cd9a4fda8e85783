"""Checks which marks files carry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from curate.decode.boundary import decoder_errors
from curate.errors import DecodeError
from train.marks.mark import Mark, MarkFinding
from train.marks.media import Kind, kind_of, open_media
from train.marks.table import MARKS

State = Literal["unreadable", "invalid", "unmarked", "forgeable", "marked"]
"""What is known of a file, the worst first: it cannot be read; its credentials belong to another file; no mark declares
it AI-made; only marks do that any editor can write into any file; others do."""
HEADLINES: dict[State, str] = {
    "unreadable": "cannot be read",
    "invalid": "content credentials INVALID",
    "unmarked": "not marked",
    "forgeable": "marked as AI-made by metadata alone, which any editor can write",
    "marked": "marked as AI-made",
}


@dataclass(frozen=True)
class Verdict:
    """The marks of one file.

    Attributes:
        path, kind: of the file.
        findings: by name of the mark; None where this kind of file cannot carry it.
        error: why the file cannot be read; `findings` is then empty.
    """

    path: Path
    kind: Kind
    findings: Mapping[str, MarkFinding | None] = field(default_factory=dict)
    error: str | None = None

    @property
    def marked(self) -> bool:
        """Whether at least one mark declares the content AI-made."""
        return any(finding is not None and finding.marked for finding in self.findings.values())

    @property
    def state(self) -> State:
        """See `State`."""
        findings = [finding for finding in self.findings.values() if finding is not None]
        if self.error is not None:
            return "unreadable"
        if any(finding.invalid for finding in findings):
            return "invalid"
        if not self.marked:
            return "unmarked"
        return "marked" if any(finding.marked and not finding.forgeable for finding in findings) else "forgeable"

    def to_dict(self) -> dict[str, Any]:
        """The object that `simswap verify --json` prints."""
        if self.error is not None:
            return {"file": str(self.path), "kind": self.kind, "state": self.state, "error": self.error}
        details = {name: finding and finding.details for name, finding in self.findings.items()}
        return {"file": str(self.path), "kind": self.kind, "marked": self.marked, "state": self.state, **details}

    def to_lines(self) -> list[str]:
        """One line for the file, then one for each mark."""
        if self.error is not None:
            return [f"{self.path}: {HEADLINES[self.state]}: {self.error}"]
        lines = [f"{self.path}: {HEADLINES[self.state]}"]
        return lines + [f"  {name:<13}{finding.summary}" for name, finding in self.findings.items() if finding]


def verify(path: Path, marks: Sequence[type[Mark]] = MARKS) -> Verdict:
    """Look for the marks of the table in a photo or a video; a file that cannot be read has a verdict with `error`."""
    kind: Kind = "photo"
    try:
        kind = kind_of(path)
        with decoder_errors(passing=OSError):
            file = open_media(path, kind)
            return Verdict(path, kind, {mark.name: mark.read(file) for mark in marks if mark.readable})
    except DecodeError as error:
        return Verdict(path, kind, error=str(error))
    except OSError as error:
        return Verdict(path, kind, error=error.strerror or str(error))
