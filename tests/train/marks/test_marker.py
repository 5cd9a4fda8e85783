"""Applying the table of marks, and extending it."""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from tests.samples.marks import FORMATS, MARK_ID, Pixels, decoded, encoded
from train.errors import MarkError
from train.marks.containers import VIDEO_FORMATS, Container
from train.marks.credentials.signature import check
from train.marks.label import draw
from train.marks.mark import FileMark, FrameMark, MarkFinding, Provenance
from train.marks.marker import Marker
from train.marks.marking import Marking, mark_id_of, new_mark_id
from train.marks.media import MediaFile
from train.marks.metadata.aigc import aigc_fields, from_text
from train.marks.metadata.provenance import read_declarations
from train.marks.table import MARKS
from train.marks.verify import verify
from train.marks.watermark.writer import Watermark


def test_the_watermark_is_below_the_label(photo: Pixels) -> None:
    frames = Marker(Marking(MARK_ID, label="zh", corner="top-left")).frames(photo[None])
    assert np.array_equal(frames, draw(Watermark(MARK_ID).mark(photo[None]), "zh", "top-left"))


@pytest.mark.parametrize("name", FORMATS)
def test_a_sealed_photo_has_metadata_and_valid_credentials(name: str, photo: Pixels, tmp_path: Path) -> None:
    path = tmp_path / ".result.partial-1"  # the format is recognised by content
    path.write_bytes(encoded(photo, name))
    Marker(Marking(MARK_ID)).seal(path, Provenance())
    sealed = path.read_bytes()
    assert read_declarations(sealed).aigc == aigc_fields("swapset", MARK_ID, "both")
    assert check(sealed).state == "trusted"
    assert np.array_equal(decoded(sealed), decoded(encoded(photo, name)))


@pytest.mark.parametrize("container", sorted(VIDEO_FORMATS - {"avi"}))  # its muxer drops them
def test_videos_have_the_field_among_their_tags(container: Container) -> None:
    tags = Marker(Marking(MARK_ID, label="none")).tags(container)
    assert from_text(tags["AIGC"]) == aigc_fields("swapset", MARK_ID, "none")


def test_another_format_is_refused_and_left_unchanged(photo: Pixels, tmp_path: Path) -> None:
    path = tmp_path / "bitmap.jpg"
    Image.fromarray(photo).save(path, "BMP")
    before = path.read_bytes()
    with pytest.raises(MarkError, match="write JPEG, PNG or WebP"):
        Marker(Marking(MARK_ID)).seal(path, Provenance())
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("create", "error", "message"),
    [
        (lambda: Marking(1, producer="安娜"), MarkError, "--producer '安娜': must be printable ASCII"),
        (lambda: Marking(1, producer=""), MarkError, "must be printable ASCII"),
        (lambda: Marking(1, certificate=Path("a.pem")), MarkError, "--certificate is given without --key"),
        (lambda: Marking(1, key=Path("a.pem")), MarkError, "--key is given without --certificate"),
        (lambda: Marking(1 << 32), ValueError, "32 bits"),
    ],
)
def test_invalid_settings_are_errors(create: Callable[[], Marking], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        create()


def test_mark_ids() -> None:
    assert mark_id_of("a", "b") == mark_id_of("a", "b") != mark_id_of("ab") != mark_id_of("b", "a")
    assert 0 <= new_mark_id() < 1 << 32
    assert len({new_mark_id() for _ in range(8)}) > 1


def test_names_of_marks_are_unique() -> None:
    assert len({mark.name for mark in MARKS}) == len(MARKS)


# ---- a mark is one class and one entry of the table ------------------------------------------------------------------


class CornerPixel(FrameMark):
    """A toy: the first pixel is red."""

    name: ClassVar[str] = "corner"

    def __init__(self, marking: Marking) -> None: ...

    def apply(self, frames: Pixels) -> Pixels:
        marked = frames.copy()
        marked[:, 0, 0] = (255, 0, 0)
        return marked

    @staticmethod
    def read(file: MediaFile) -> MarkFinding:
        found = bool((next(file.frames())[0, 0] == (255, 0, 0)).all())
        return MarkFinding(found, "red" if found else "not red", {"red": found})


class Trailer(FileMark):
    """A toy: the mark ID behind the end of a PNG."""

    name: ClassVar[str] = "trailer"
    containers: ClassVar[frozenset[Container]] = frozenset({"PNG"})

    def __init__(self, marking: Marking) -> None:
        self._trailer = f"ID {marking.mark_id}".encode()

    def apply(self, path: Path, container: Container, provenance: Provenance) -> tuple[str, ...]:
        path.write_bytes(path.read_bytes() + self._trailer)
        return ()

    @staticmethod
    def read(file: MediaFile) -> MarkFinding:
        found = b"ID 7" in file.data[-8:]
        return MarkFinding(found, "there" if found else "none")


def test_a_new_mark_needs_only_its_class_and_its_entry(photo: Pixels, tmp_path: Path) -> None:
    marks = (CornerPixel, Trailer)
    marker = Marker(Marking(7), marks=marks)
    frame = marker.frames(photo[None])[0]
    for name in ("PNG", "WEBP lossless"):
        path = tmp_path / name
        path.write_bytes(encoded(frame, name))
        marker.seal(path, Provenance())
        verdict = verify(path, marks=marks)
        assert verdict.marked
        trailer = "there" if name == "PNG" else "none"  # WebP is not among its containers
        assert verdict.to_lines() == [f"{path}: marked as AI-made", "  corner       red", f"  trailer      {trailer}"]
        assert verdict.to_dict()["corner"] == {"red": True}
    assert marker.tags("mp4") == {}
