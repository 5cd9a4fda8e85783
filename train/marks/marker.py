"""Applies all marks of a run to frames and files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from train.errors import MarkError
from train.marks.containers import Container, photo_format
from train.marks.mark import Mark, Provenance
from train.marks.marking import Marking
from train.marks.media import MediaFile, kind_of, open_media
from train.marks.table import MARKS

Pixels = npt.NDArray[np.uint8]


class Marker:
    """Applies the marks of the table, in its order, with the settings of one run.

    Raises MarkError where a certificate and key cannot sign, OutputError where no certificate can be written.
    """

    def __init__(self, marking: Marking, marks: Sequence[type[Mark]] = MARKS) -> None:
        self._marks = [mark(marking) for mark in marks]

    def frames(self, rgb: Pixels) -> Pixels:
        """Apply the marks that act on frames, uint8 (N, H, W, 3) RGB; returns a new array of the same shape."""
        marked = rgb.copy()
        for mark in self._marks:
            if mark.acts_on == "frames":
                marked = mark.apply(marked)
        return marked

    def tags(self, container: Container) -> dict[str, str]:
        """Container metadata that a video of this format must carry.

        For MP4 and MOV, the muxer needs the option movflags=use_metadata_tags; without it the tags are lost silently.
        """
        tags: dict[str, str] = {}
        for mark in self._marks:
            if mark.acts_on == "file" and container in mark.containers:
                tags |= mark.tags(container)
        return tags

    def seal(self, path: Path, provenance: Provenance, container: Container | None = None) -> tuple[str, ...]:
        """Apply the marks that act on files to an encoded file, in place.

        container: of a video; None for a photo, whose format (JPEG, PNG or WebP) is recognised by content. The file
        names of `provenance` are published in the content credentials.

        Returns notes on the marks of the target that the file does not keep. Raises MarkError for other formats, and
        where a mark cannot be applied, OSError where the file cannot be written; it is then to be discarded.
        """
        if container is None:
            with path.open("rb") as file:
                container = photo_format(file.read(16))
        if container is None:
            raise MarkError("the file format cannot carry the marks: write JPEG, PNG or WebP")
        notes: list[str] = []
        target_marks = provenance.marks.get(provenance.parent, {}) if provenance.parent else {}
        for mark in self._marks:
            if mark.acts_on == "file" and container in mark.containers:
                notes += mark.apply(path, container, provenance)
            elif mark.acts_on == "file" and mark.name in target_marks:
                notes.append(f"{mark.name} of the target: not kept, {container} cannot carry them")
        return tuple(notes)

    def marks_of(self, file: MediaFile) -> dict[str, str]:
        """The marks that a target or source file carries: the name of each, and its summary.

        Raises DecodeError or OSError where the file cannot be read.
        """
        findings = {mark.name: mark.read(file) for mark in self._marks if mark.readable}
        return {name: finding.summary for name, finding in findings.items() if finding and finding.present}

    def marks_of_files(self, paths: Sequence[Path]) -> dict[Path, dict[str, str]]:
        """`marks_of` each of these photos that carries marks."""
        marks_by_path = {path: self.marks_of(open_media(path, kind_of(path))) for path in paths}
        return {path: marks for path, marks in marks_by_path.items() if marks}
