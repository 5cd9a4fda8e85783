"""Files -> which of our marks each carries: the watermark and its ID, the AIGC metadata, the content credentials."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import numpy.typing as npt

from curate.decode import decode
from curate.errors import DecodeError
from train.marks import aigc, credentials, metadata
from train.marks.credentials import Credentials
from train.marks.watermark import Reading, read, read_clip

Pixels = npt.NDArray[np.uint8]

VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi")
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")

CLIP_FRAMES = 100
"""Frames of a video that are read at most, from its beginning on."""


@dataclass(frozen=True)
class Verdict:
    """What was found in a file. `error`: why it could not be read, in words; everything else is then empty.

    `metadata`: the AIGC field. A file counts as `marked` by its watermark, by that field saying that it is AI-made, or
    by credentials that hold.
    """

    path: Path
    kind: Literal["photo", "video"]
    watermark: Reading | None = None
    metadata: dict[str, str] | None = None
    credentials: Credentials | None = None
    error: str | None = None

    @property
    def marked(self) -> bool:
        seen = self.watermark is not None and self.watermark.detected
        said = self.metadata is not None and self.metadata.get("Label") == "1"
        return seen or said or (self.credentials is not None and self.credentials.state in ("trusted", "valid"))

    def to_dict(self) -> dict[str, Any]:
        """For --json. The watermark's ID is 8 hexadecimal digits, as in the metadata; null where none was found."""
        if self.error is not None:
            return {"file": str(self.path), "kind": self.kind, "error": self.error}
        mark = self.watermark
        return {
            "file": str(self.path),
            "kind": self.kind,
            "marked": self.marked,
            "watermark": mark and {
                "detected": mark.detected,
                "id": f"{mark.mark_id:08x}" if mark.detected else None,
                "confidence": mark.confidence,
                "score": round(mark.score, 2),
                "mirrored": mark.mirrored and mark.detected,
                "crop": asdict(mark.crop) if mark.crop and mark.detected else None,
            },
            "metadata": self.metadata,
            "credentials": self.credentials and asdict(self.credentials),
        }  # fmt: skip

    def in_words(self) -> list[str]:
        """A line for the file, then one for each kind of mark."""
        if self.error is not None:
            return [f"{self.path}: cannot be read: {self.error}"]
        lines = [f"{self.path}: {'marked as AI-made' if self.marked else 'no mark of ours'}"]
        if (mark := self.watermark) is not None:
            lines.append(f"  watermark    {_watermark_in_words(mark)}")
        lines.append(f"  metadata     {_metadata_in_words(self.metadata)}")
        if self.credentials is not None:
            lines.append(f"  credentials  {_credentials_in_words(self.credentials)}")
        return lines


def files(paths: Iterable[Path]) -> Iterator[Path]:
    """Files as they are, and the photos and videos below each folder, sorted."""
    for path in paths:
        if path.is_dir():
            found = (file for file in path.rglob("*") if file.suffix.lower() in VIDEO_SUFFIXES + PHOTO_SUFFIXES)
            yield from sorted(file for file in found if file.is_file() and not file.name.startswith("."))
        else:
            yield path


def verify(path: Path, device: str = "cpu") -> Verdict:
    """Look for our marks in a photo or a video. What cannot be read is a verdict with an error."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
        if head[4:8] == b"ftyp" and head[8:12] not in (b"avif", b"avis", b"heic", b"mif1"):
            return _video(path, device)
        return _video(path, device) if path.suffix.lower() in VIDEO_SUFFIXES else _photo(path, device)
    except OSError as error:
        return Verdict(path, "photo", error=error.strerror or str(error))


def _photo(path: Path, device: str) -> Verdict:
    data = path.read_bytes()
    try:
        pixels = decode(data).pixels
    except DecodeError as error:
        return Verdict(path, "photo", error=str(error))
    return Verdict(path, "photo", read([pixels], device)[0], metadata.read(data), credentials.check(data))


def _video(path: Path, device: str) -> Verdict:
    # The decoder's own complaints about damaged frames go nowhere: the verdict says what matters.
    logging.getLogger("libav").setLevel(logging.CRITICAL)
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                return Verdict(path, "video", error="no video in it")
            said = next((value for key, value in container.metadata.items() if key.upper() == aigc.NAME), None)
            reading = read_clip(_sampled(container), device)
    except (av.error.FFmpegError, ValueError) as error:
        return Verdict(path, "video", error=getattr(error, "strerror", None) or str(error))
    return Verdict(path, "video", reading, aigc.from_text(said) if said else None)


def _sampled(container: "av.container.InputContainer") -> Iterator[Pixels]:
    """Frames from the beginning on, RGB; a video that is damaged further on ends there."""
    taken = 0
    try:
        for frame in container.decode(video=0):
            yield np.ascontiguousarray(frame.to_ndarray(format="rgb24"))
            taken += 1
            if taken == CLIP_FRAMES:
                return
    except av.error.InvalidDataError:
        if not taken:
            raise


def _watermark_in_words(mark: Reading) -> str:
    if not mark.detected:
        return "none found"
    words = f"ID {mark.mark_id:08x}, score {mark.score:.1f}, confidence {mark.confidence:.7f}"
    words += ", mirrored" if mark.mirrored else ""
    if mark.crop is None:
        return words
    return f"{words}, cropped to {mark.crop.width:.0%} of the width and {mark.crop.height:.0%} of the height"


def _metadata_in_words(fields: dict[str, str] | None) -> str:
    if fields is None:
        return "no AIGC field"
    said = {"1": "AI-made", "2": "possibly AI-made", "3": "suspected to be AI-made"}.get(
        fields["Label"], "unknown label"
    )
    rest = (f"{key} {value}" for key, value in fields.items() if key != "Label" and value)
    return f"AIGC: {said}; {', '.join(rest)}"


def _credentials_in_words(found: Credentials) -> str:
    match found.state:
        case "absent":
            return "none"
        case "trusted":
            return f"trusted, signed by {found.issuer}"
        case "valid":
            return f"valid, signed by {found.issuer}, whom this machine does not know"
        case "invalid":
            return f"INVALID: {', '.join(found.problems) or 'the file was changed after it was signed'}"
