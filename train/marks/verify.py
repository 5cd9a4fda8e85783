"""Checks which marks files carry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curate.errors import DecodeError
from train.marks.mark import Mark, MarkFinding
from train.marks.media import Kind, kind_of, open_media
from train.marks.table import MARKS


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

    def to_dict(self) -> dict[str, Any]:
        """The object that `simswap verify --json` prints."""
        if self.error is not None:
            return {"file": str(self.path), "kind": self.kind, "error": self.error}
        details = {name: finding and finding.details for name, finding in self.findings.items()}
        return {"file": str(self.path), "kind": self.kind, "marked": self.marked, **details}

    def to_lines(self) -> list[str]:
        """One line for the file, then one for each mark."""
        if self.error is not None:
            return [f"{self.path}: cannot be read: {self.error}"]
        lines = [f"{self.path}: {'marked as AI-made' if self.marked else 'not marked'}"]
        return lines + [f"  {name:<13}{finding.summary}" for name, finding in self.findings.items() if finding]


def verify(path: Path, device: str = "cpu", marks: Sequence[type[Mark]] = MARKS) -> Verdict:
    """Look for the marks of the table in a photo or a video; a file that cannot be read has a verdict with `error`."""
    kind: Kind = "photo"
    try:
        kind = kind_of(path)
        file = open_media(path, kind)
        return Verdict(path, kind, {mark.name: mark.read(file, device) for mark in marks if mark.readable})
    except DecodeError as error:
        return Verdict(path, kind, error=str(error))
    except OSError as error:
        return Verdict(path, kind, error=error.strerror or str(error))
