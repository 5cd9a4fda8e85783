"""The contract of a mark: how it is applied to results, and how `simswap verify` reads it back.

A mark is a class with the members of `FrameMark` or `FileMark`, most simply a subclass. `train.marks.table.MARKS` lists
the marks in the order in which they are applied.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt

from train.marks.containers import ALL_FORMATS, Container
from train.marks.marking import Marking
from train.marks.media import MediaFile

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Provenance:
    """The files that a result is made of.

    Attributes:
        parent: the photo or video that was edited, None where there is none.
        components: the photos of the identity.
        marks: of these files, those that carry marks: the name of each mark, and its summary.
    """

    parent: Path | None = None
    components: tuple[Path, ...] = ()
    marks: Mapping[Path, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class MarkFinding:
    """Result of looking for one mark in one file.

    Attributes:
        marked: the mark is present and declares the content AI-made.
        summary: one line for people.
        details: the same for programs, JSON-serialisable; None where there is nothing to report.
        forgeable: any metadata editor can write the mark into any file.
        invalid: the mark is present but does not belong to these bytes, or is damaged.
        declares_nothing: the mark is present, but does not declare the content AI-made, as that of a camera.
    """

    marked: bool
    summary: str
    details: dict[str, Any] | None = None
    forgeable: bool = False
    invalid: bool = False
    declares_nothing: bool = False

    @property
    def present(self) -> bool:
        """Whether the file has the mark at all."""
        return self.marked or self.invalid or self.declares_nothing


class _Mark(Protocol):
    """Members of both kinds of marks.

    An instance is built once per run, from its settings. The constructor raises MarkError or OutputError where the mark
    cannot be applied, before anything is swapped.
    """

    name: ClassVar[str]
    """Unique; key in the output of `simswap verify`."""

    containers: ClassVar[frozenset[Container]]
    """Formats of results that carry the mark."""

    readable: ClassVar[bool] = True
    """Whether `read` can find it. The visible label is for people only."""

    def __init__(self, marking: Marking) -> None: ...

    @staticmethod
    def read(file: MediaFile) -> MarkFinding | None:
        """Look for the mark in any photo or video; None where the kind of file cannot carry it.

        Raises DecodeError or OSError where the file cannot be read.
        """
        return None


class FrameMark(_Mark, Protocol):
    """A mark in the pixels of photos and video frames, which every format carries."""

    acts_on: ClassVar[Literal["frames"]] = "frames"
    containers: ClassVar[frozenset[Container]] = ALL_FORMATS

    def apply(self, frames: Pixels) -> Pixels:
        """Mark frames, uint8 (N, H, W, 3) RGB; returns a new array of the same shape."""
        ...


class FileMark(_Mark, Protocol):
    """A mark in the encoded file, beside the pixels; it is not applied to formats other than its `containers`."""

    acts_on: ClassVar[Literal["file"]] = "file"

    def tags(self, container: Container) -> dict[str, str]:
        """Container metadata that the muxer writes into a video of this format."""
        return {}

    def apply(self, path: Path, container: Container, provenance: Provenance) -> tuple[str, ...]:
        """Mark a finished file in place; the pixels do not change. `path` may have any name.

        Returns notes on what the file does not keep of the marks of `provenance`. Raises MarkError where the file or a
        file of `provenance` does not allow it.
        """
        return ()


Mark = FrameMark | FileMark


def target_tag(name: str) -> str:
    """The tag of a swapped video that keeps what its target had in the tag `name` of a mark."""
    return f"{name.upper()}_TARGET"
