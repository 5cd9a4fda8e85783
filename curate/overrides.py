"""overrides.csv: what a person decided, by hand or in the review page. `relate` and `decide` read it.

    image_id,verdict,note,identity,other
    n000002/0001_01.jpg,keep,profile view of the same person
    n000002/0007_01.jpg,move,the second person of the folder,n000002 (2)
    n000005/0003_01.jpg,not_duplicate,next frame,,n000005/0004_01.jpg
    ,same_person,one person under two names,n000009,n000031
    ,not_same_person,sisters,n000009,n000040

Removing a line undoes it: the source, and what was measured, are not changed.
"""

import csv
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import PolicyError
from curate.fingerprint import fingerprint
from manifests.csv_rows import read_rows
from manifests.input import readable
from manifests.output import atomic
from manifests.schema import VERDICTS

FILE_NAME = "overrides.csv"
COLUMNS = ("image_id", "verdict", "note", "identity", "other")
"""Columns of the file; the first two must be there."""

BOM = "\ufeff"
"""Byte order mark, which spreadsheets write."""

MOVE, NOT_DUPLICATE, SAME_PERSON, NOT_SAME_PERSON = "move", "not_duplicate", "same_person", "not_same_person"

_NEEDED = {
    **dict.fromkeys(VERDICTS, ("image_id",)),
    MOVE: ("image_id", "identity"),
    NOT_DUPLICATE: ("image_id", "other"),
    SAME_PERSON: ("identity", "other"),
    NOT_SAME_PERSON: ("identity", "other"),
}
"""Word in the column verdict -> columns that must not be empty."""

_WHAT = {
    "image_id": "no image_id; copy it from the manifest",
    "identity": "no identity; write its name into the column identity",
    "other": "the column other is empty; name the second photo or identity there",
}

Pair = tuple[str, str]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Overrides:
    """Human decisions.

    Attributes:
        verdicts: image_id -> 'keep', 'review' or 'drop'.
        lines: image_id -> line number in the file, for messages.
        moved: image_id -> identity that the photo shows.
        joined: identity -> identity of the same person that takes its photos.
        not_same_person: pairs of identities, sorted, that are different persons.
        not_duplicates: pairs of image_ids, sorted, that are different pictures.
    """

    verdicts: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    joined: dict[str, str] = field(default_factory=dict)
    not_same_person: set[Pair] = field(default_factory=set)
    not_duplicates: set[Pair] = field(default_factory=set)

    def fingerprint(self) -> str:
        """Return a hash of everything that verdicts depend on; notes, and the layout of the file, have no effect."""
        values: dict[str, object] = {"verdicts": self.verdicts}
        for name in ("moved", "joined", "not_same_person", "not_duplicates"):
            entries = getattr(self, name)
            if entries:
                values[name] = entries if isinstance(entries, dict) else sorted(entries)
        return fingerprint(values)

    def identities_fingerprint(self) -> str:
        """Return a hash of the identities that photos are moved or joined to."""
        return fingerprint({"moved": self.moved, "joined": self.joined})

    def photos(self) -> set[str]:
        """Return the image_ids that lines name first."""
        return set(self.lines)

    def identity_of(self, identity: str) -> str:
        """Return the identity that takes the photos of `identity`: itself unless it is joined to another."""
        while identity in self.joined:
            identity = self.joined[identity]
        return identity


def read_overrides(path: str | Path) -> Overrides:
    """Read a CSV file with some of COLUMNS, in any order; a missing file has no overrides.

    Case and surrounding spaces of a verdict are ignored, blank lines are skipped, and a byte order mark, which
    spreadsheets write, is accepted. A line may be repeated. Raises PolicyError with the line number for an unknown
    verdict, an empty cell that the verdict needs, contradicting lines, and a wrong header.
    """
    return parse_overrides(read_text(path), path)


def read_text(path: str | Path) -> str:
    """Read a file of overrides as it is, with byte order mark and line breaks; empty where there is no file."""
    path = Path(path)
    if not path.exists():
        return ""
    try:
        with readable(path, PolicyError):
            return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise PolicyError(f"{path}: not UTF-8 text; save it as UTF-8") from error


def parse_overrides(text: str, path: str | Path) -> Overrides:
    """Parse the text of the file `path`, which messages name; errors as of `read_overrides`."""
    try:
        (_, header), *rows = [*read_rows(text.removeprefix(BOM))] or [(1, [*COLUMNS])]
    except csv.Error as error:
        raise PolicyError(f"{path}: not a CSV file ({error}); write one photo a line") from error
    names = column_names(header, path)
    overrides = Overrides()
    for line, cells in rows:
        if any(cell.strip() for cell in cells):
            add_line(overrides, dict(zip(names, cells, strict=False)), f"{path}, line {line}", line)
    return overrides


def column_names(header: Sequence[str], path: str | Path) -> list[str]:
    """Return the columns of a file from the cells of its first line. Raises PolicyError for another header."""
    header = [cell.strip() for cell in header]
    if header[:2] != [*COLUMNS[:2]] or not set(header) <= set(COLUMNS) or len(set(header)) < len(header):
        raise PolicyError(f"{path}, line 1: the header is {','.join(header)!r}; change it to {','.join(COLUMNS)!r}")
    # A file that was begun by an earlier version has three columns.
    return header + [name for name in COLUMNS if name not in header]


def add_line(overrides: Overrides, cells: Mapping[str, str], place: str, line: int) -> None:
    """Add the cells of a line, by column, to `overrides`. Raises PolicyError, which names `place`."""
    image_id, verdict = cells["image_id"], cells.get("verdict", "").strip().lower()
    if verdict not in _NEEDED and image_id:
        words = ", ".join(repr(word) for word in _NEEDED)
        raise PolicyError(f"{place}: unknown verdict {verdict!r} for {image_id!r}; write {words}")
    for column in _NEEDED.get(verdict, ("image_id",)):  # a line without a verdict lacks its image_id, too
        if not cells.get(column):
            raise PolicyError(f"{place}: {_WHAT[column]}")
    identity, other = cells.get("identity", ""), cells.get("other", "")
    if verdict in VERDICTS:
        _set(overrides, overrides.verdicts, image_id, verdict, place, line)
    elif verdict == MOVE:
        _set(overrides, overrides.moved, image_id, identity, place, line)
    elif verdict == NOT_DUPLICATE:
        overrides.not_duplicates.add(sorted_pair(image_id, other))
        overrides.lines.setdefault(image_id, line)
    elif verdict == SAME_PERSON:
        first, second = overrides.identity_of(identity), overrides.identity_of(other)
        if sorted_pair(identity, other) in overrides.not_same_person:
            raise PolicyError(f"{place}: {identity} and {other} are not the same person in an earlier line; remove one")
        if first != second:
            overrides.joined[second] = first
    else:
        if overrides.identity_of(identity) == overrides.identity_of(other):
            raise PolicyError(f"{place}: {identity} and {other} are the same person in an earlier line; remove one")
        overrides.not_same_person.add(sorted_pair(identity, other))


def _set(overrides: Overrides, decisions: dict[str, str], image_id: str, decision: str, place: str, line: int) -> None:
    previous = decisions.get(image_id, decision)
    if previous != decision:
        noun = "verdict" if decisions is overrides.verdicts else "identity"
        raise PolicyError(
            f"{place}: {noun} {decision!r} for {image_id!r} contradicts {previous!r} in line "
            f"{overrides.lines[image_id]}; remove one of the two lines"
        )
    decisions[image_id] = decision
    overrides.lines.setdefault(image_id, line)


def sorted_pair(first: str, second: str) -> Pair:
    """Return two names in order, the form of `Overrides.not_same_person` and `Overrides.not_duplicates`."""
    return (first, second) if first < second else (second, first)


def corrected_identity(
    image_id: pa.ChunkedArray, source_identity: pa.ChunkedArray, overrides: Overrides
) -> tuple[pa.Array, Flags]:
    """Return the identities of N photos as overrides correct them, and (N,) flags of the photos that are moved."""
    identity = source_identity.combine_chunks()
    joined = {name: overrides.identity_of(name) for name in overrides.joined}
    identity, _ = _replaced(identity, identity, joined)
    targets = {name: overrides.identity_of(target) for name, target in overrides.moved.items()}
    return _replaced(identity, image_id.combine_chunks(), targets)


def _replaced(values: pa.Array, keys: pa.Array, replacements: Mapping[str, str]) -> tuple[pa.Array, Flags]:
    """`values`, replaced where `keys` are in `replacements`, and (N,) flags of these rows."""
    if not replacements:
        return values, np.zeros(len(values), bool)
    index = pc.index_in(keys, pa.array(list(replacements), pa.string()))
    found = pc.is_valid(index)
    replaced = pc.if_else(found, pa.array(list(replacements.values()), pa.string()).take(index), values)
    return replaced, np.asarray(found.to_numpy(zero_copy_only=False), bool)


def create_overrides(path: str | Path) -> bool:
    """Write a file with the header alone unless the file exists; return whether it was written."""
    path = Path(path)
    if path.exists():
        return False
    with atomic(path) as partial:
        partial.write_text(f"{','.join(COLUMNS)}\n", encoding="utf-8")
    return True


def unmatched_warnings(
    overrides: Overrides, unmatched: Collection[str], suggestions: Mapping[str, str] | None = None
) -> list[str]:
    """Return one warning for each image_id in `unmatched`, which no photo of the dataset has, in file order.

    suggestions: image_ids that are probably meant, see `suggest`.
    """
    warnings = []
    for image_id, line in overrides.lines.items():
        if image_id in unmatched:
            suggestion = (suggestions or {}).get(image_id)
            meant = f"; did you mean {suggestion!r}?" if suggestion else ""
            warnings.append(
                f"{FILE_NAME}, line {line}: no photo {image_id!r} in this dataset; the line has no effect{meant}"
            )
    return warnings


def suggest(unmatched: Collection[str], image_ids: Iterable[str]) -> dict[str, str]:
    """Map unmatched image_ids to those of the dataset that differ in Unicode form or in the path's notation only."""
    wanted = {_plain(image_id) for image_id in unmatched}
    photos = {plain: image_id for image_id in image_ids if (plain := _plain(image_id)) in wanted}
    return {image_id: photos[_plain(image_id)] for image_id in unmatched if _plain(image_id) in photos}


def _plain(image_id: str) -> str:
    """The image_id in normalisation form C, with slashes, without surrounding spaces and "./"."""
    return unicodedata.normalize("NFC", image_id).replace("\\", "/").strip().removeprefix("./").strip("/")
