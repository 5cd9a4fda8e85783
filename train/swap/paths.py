"""Target and OUT -> which photos there are, and what each result is called; nothing is ever overwritten."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from curate.errors import SourceError
from curate.sources.stores.walk import photos_under
from manifests.errors import OutputError

_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")


@dataclass(frozen=True)
class Target:
    """A photo: its file, its path relative to the target folder, and why it cannot be read, if so."""

    file: Path
    name: str
    refusal: str | None = None


def photos_of(target: Path) -> tuple[list[Target], dict[str, int]]:
    """A photo, or a folder of them at any depth -> the photos by name, and other files by extension.

    Raises SourceError where there is none.
    """
    if target.is_file():
        return [Target(target, target.name)], {}
    if not target.is_dir():
        raise SourceError(f"target {target}: no such file or folder")
    ignored: Counter[str] = Counter()
    found = [Target(target / photo.path, photo.path, photo.refusal) for photo in photos_under(str(target), "", ignored)]
    if not found:
        others = ", ".join(f"{count} {ending or 'without a suffix'}" for ending, count in sorted(ignored.items()))
        raise SourceError(
            f"target {target}: there is no photo in it{f' (but {others})' if others else ''}: name a photo, a video or "
            "a folder of photos"
        )
    return sorted(found, key=lambda photo: photo.name), dict(ignored)


def is_video(target: Path) -> bool:
    """Whether a file is to be opened as a video: its first bytes are not those of a picture."""
    with target.open("rb") as file:
        head = file.read(12)
    return not (head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:] == b"WEBP"))


def require_apart(out: Path, target: Path, sources: Sequence[Path]) -> None:
    """Raise OutputError where results would lie among the photos that they are made of."""
    there = out.resolve()
    for what, path in (("target", target), *(("source", source) for source in sources)):
        folder = (path if path.is_dir() else path.parent).resolve()
        if there == folder:
            raise OutputError(f"--out {out} is the folder of the {what} {path}: choose another --out")
        if path.is_dir() and there.is_relative_to(folder):
            raise OutputError(f"--out {out} lies inside the {what} {path}: choose another --out")
        if path.is_dir() and folder.is_relative_to(there):
            raise OutputError(f"--out {out} holds the {what} {path}: choose another --out")
