"""A text file that assigns photos to identities: CelebA's `identity_CelebA.txt`, or a CSV."""

import csv
import io
import re
import unicodedata
from pathlib import Path

from curate.counts import counted
from curate.errors import SourceError
from curate.sources.entry import PHOTO_EXTENSIONS, encode_name, is_photo
from manifests.identity import NO_IDENTITY

_IDENTITY_COLUMNS = (
    "identity",
    "identity_id",
    "person",
    "person_id",
    "label",
    "name",
    "subject",
    "subject_id",
    "id",
    "class",
)
_EXTENSIONS = "|".join(sorted((ending[1:] for ending in PHOTO_EXTENSIONS), key=len, reverse=True))
_SPACED = re.compile(rf"([^,;\t]+?\.(?:{_EXTENSIONS}))\s+(\S.*)", re.IGNORECASE)


class IdentityFile:
    """Identities by photo path, or by file name where the file gives names without folders.

    Each line names a photo and its identity, separated by a comma, semicolon, tab or spaces, with or without a header.
    A header's column "identity", "person", "label", "name", "subject", "id" or "class" is the identity; without one it
    is the first column beside the photo's.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._identities: dict[str, str] = {}
        for photo, identity in _read(path):
            key = _normal(photo)
            if self._identities.setdefault(key, identity) != identity:
                raise SourceError(f"{path}: {photo} has two identities, {self._identities[key]} and {identity}")
        self._matched = dict[str, str]()
        self.without_row = 0

    def identity_of(self, path: str) -> str:
        """Return the identity of the photo at this path, NO_IDENTITY where the file has no row for it.

        The path may have more leading folders than the file's. Raises SourceError where a row names two photos.
        """
        parts = _normal(path).split("/")
        for start in range(len(parts)):
            key = "/".join(parts[start:])
            if key in self._identities:
                if self._matched.setdefault(key, path) != path:
                    raise SourceError(
                        f"{self.path}: {key} names both {self._matched[key]} and {path}: give the folder of the photos "
                        "with --root, or paths with folders in the file"
                    )
                return self._identities[key]
        self.without_row += 1
        return NO_IDENTITY

    def require_match(self) -> None:
        """Raise SourceError where the file has a row for none of the photos."""
        if not self._matched:
            raise SourceError(
                f"{self.path}: no row of {len(self._identities):,} names a photo of the source (the first is "
                f"{next(iter(self._identities))}): give the folder of these photos with --root"
            )

    def notes(self) -> list[str]:
        """Describe photos without a row, and rows without a photo."""
        unused = len(self._identities) - len(self._matched)
        notes = []
        if self.without_row:
            notes.append(
                f"{counted(self.without_row, 'photo', 'has', 'have')} no row in {self.path}: read without identity"
            )
        if unused:
            notes.append(f"{counted(unused, 'row')} of {self.path} {'names' if unused == 1 else 'name'} no photo")
        return notes


def _normal(path: str) -> str:
    parts = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".")]
    return unicodedata.normalize("NFC", "/".join(parts))


def _read(path: Path) -> list[tuple[str, str]]:
    """Read (photo, identity) pairs. Raises SourceError where the file cannot be read, or a line has no photo."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SourceError(
            f"--identities {path} cannot be read ({error.strerror}): give first, parent, none or a file of photos and "
            "identities"
        ) from error
    except UnicodeDecodeError as error:
        raise SourceError(f"--identities {path} is not UTF-8 text: save it as UTF-8") from error
    rows = [(number, cells) for number, cells in enumerate(_rows(text), 1) if cells]
    photo_column = next((column for _, cells in rows[:3] for column, cell in enumerate(cells) if is_photo(cell)), None)
    if photo_column is None:
        raise SourceError(f"--identities {path}: its first lines name no photo; expected lines such as 000001.jpg,2880")
    header = [cell.lower() for cell in rows[0][1]]
    has_header = photo_column >= len(header) or not is_photo(header[photo_column])
    # The first line of CelebA's other lists is the number of rows, the second the names of the columns.
    data = rows[1:] if has_header else rows
    while has_header and data and not (len(data[0][1]) > photo_column and is_photo(data[0][1][photo_column])):
        header, data = [cell.lower() for cell in data[0][1]], data[1:]
    named = [header.index(name) for name in _IDENTITY_COLUMNS if has_header and name in header]
    others = [column for column in (*named, 0, 1) if column != photo_column]
    pairs = []
    for number, cells in data:
        if len(cells) <= max(photo_column, others[0]) or not is_photo(cells[photo_column]):
            raise SourceError(
                f"--identities {path}, line {number}: expected a photo and its identity, found {', '.join(cells)!r}"
            )
        identity = unicodedata.normalize("NFC", encode_name(cells[others[0]].encode()))
        pairs.append((cells[photo_column], identity or NO_IDENTITY))
    return pairs


def _rows(text: str) -> list[list[str]]:
    """Split the lines of a file into cells; an empty list for an empty line."""
    lines = text.splitlines()
    sample = "\n".join(lines[:3])
    matches = [_SPACED.fullmatch(line.strip()) for line in lines]
    for delimiter in ("\t", ",", ";"):
        if delimiter in sample and (delimiter == "\t" or not any(matches[:3])):
            cells = csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter)
            return [[cell.strip() for cell in row] if any(row) else [] for row in cells]
    return [[match[1], match[2]] if match else line.split() for line, match in zip(lines, matches, strict=True)]
