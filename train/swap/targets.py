"""Targets: the photos of a target path, and the checks that results never lie among their originals."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from curate.decode.signatures import HEAD_BYTES, format_of
from curate.errors import SourceError
from curate.sources.stores.walk import photos_under
from manifests.errors import OutputError
from train.errors import TargetError
from train.swap.video_reader import VideoReader, open_video


@dataclass(frozen=True)
class TargetPhoto:
    """A photo to swap. name: its path relative to the target folder. refusal: why it cannot be read, or None."""

    file: Path
    name: str
    refusal: str | None = None


def find_photos(target: Path) -> tuple[list[TargetPhoto], dict[str, int]]:
    """The photos of a target, sorted by name, and the number of other files by extension.

    target: a file, or a folder that is searched recursively. Raises SourceError where there is no photo.
    """
    if target.is_file():
        return [TargetPhoto(target, target.name)], {}
    if not target.is_dir():
        raise SourceError(f"target {target}: no such file or folder")
    ignored: Counter[str] = Counter()
    photos = [
        TargetPhoto(target / photo.path, photo.path, photo.refusal) for photo in photos_under(str(target), "", ignored)
    ]
    if not photos:
        others = ", ".join(f"{count} {ending or 'without a suffix'}" for ending, count in sorted(ignored.items()))
        raise SourceError(
            f"target {target}: no photo in it{f' (but {others})' if others else ''}: give a photo, a video or a folder "
            "of photos"
        )
    return sorted(photos, key=lambda photo: photo.name), dict(ignored)


def is_video(target: Path) -> bool:
    """Whether a file is a video, by its content.

    Raises TargetError where it is neither in a photo format nor a video that can be decoded, or cannot be read.
    """
    try:
        with target.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise TargetError(f"target {target}: cannot be read ({error.strerror})") from error
    if format_of(head) is not None:
        return False
    with open_video(target) as container:
        VideoReader(container, target)
    return True


def require_separate(out: Path, target: Path, sources: Sequence[Path]) -> None:
    """Raise OutputError where results would lie among the target or source photos."""
    output = out.resolve()
    for name, path in (("target", target), *(("source", source) for source in sources)):
        folder = (path if path.is_dir() else path.parent).resolve()
        if output == folder:
            raise OutputError(f"--out {out} is the folder of the {name} {path}: choose another --out")
        if path.is_dir() and output.is_relative_to(folder):
            raise OutputError(f"--out {out} lies inside the {name} {path}: choose another --out")
        if path.is_dir() and folder.is_relative_to(output):
            raise OutputError(f"--out {out} contains the {name} {path}: choose another --out")
