"""The lines of overrides.csv as a document that actions edit: what a person wrote by hand stays as it is, to the byte.

An action is an `Edit`: lines that are removed, with their places, and lines that are appended. Its inverse puts the
document back, to the byte where nothing else has changed in between.
"""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from curate.overrides import (
    BOM,
    COLUMNS,
    MOVE,
    NOT_DUPLICATE,
    NOT_SAME_PERSON,
    SAME_PERSON,
    Overrides,
    add_line,
    column_names,
    parse_overrides,
    sorted_pair,
)
from manifests.csv_rows import CsvWriter, read_rows

Key = tuple[str, ...]
Cells = tuple[str, str, str, str, str]
"""Cells of a line, in the order of `curate.overrides.COLUMNS`."""

Place = tuple[int, str]
"""Number of a line, the first after the header being 0, and its text."""

VERDICT, COPY, PERSON = "verdict", "copy", "person"
"""First parts of keys, beside MOVE."""


@dataclass(frozen=True)
class Line:
    """One line of the file.

    Attributes:
        text: with the line break.
        cells: None for a blank line.
        key: what the line decides; two lines with the same key exclude each other. None for a blank line.
    """

    text: str
    cells: Cells | None
    key: Key | None

    @property
    def decision(self) -> tuple[str, ...]:
        """The cells that decide: all but the note, the verdict in lower case."""
        if self.cells is None:
            return ()
        image_id, verdict, _, identity, other = self.cells
        return image_id, verdict.strip().lower(), identity, other


@dataclass(frozen=True)
class Edit:
    """A change of the document: lines are removed, then inserted at their places, then appended.

    Attributes:
        removed: place and text of each removed line, ascending.
        inserted: place and text of each line that is put back, ascending.
        added: text of the lines that are appended.
    """

    removed: tuple[Place, ...] = ()
    inserted: tuple[Place, ...] = ()
    added: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.removed or self.inserted or self.added)


def key_of(cells: Cells) -> Key:
    """Return what a line decides: the verdict or identity of a photo, or the relation of a pair."""
    image_id, verdict, _, identity, other = cells
    verdict = verdict.strip().lower()
    if verdict == NOT_DUPLICATE:
        return (COPY, *sorted_pair(image_id, other))
    if verdict in (SAME_PERSON, NOT_SAME_PERSON):
        return (PERSON, *sorted_pair(identity, other))
    return (MOVE if verdict == MOVE else VERDICT, image_id)


@dataclass
class Document:
    """The lines of an overrides.csv.

    Attributes:
        head: the header with its line break, and a byte order mark where the file has one.
        names: columns of a line, in the file's order.
        path: of the file, for messages.
        lines: the other lines.
    """

    head: str
    names: list[str]
    path: Path
    lines: list[Line] = field(default_factory=list)
    _by_key: dict[Key, list[Line]] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, text: str, path: Path) -> "Document":
        """Read the text of a file.

        A file of an earlier version gets the columns that it lacks, and its last line a line break, so that lines can
        be appended. Raises PolicyError as `curate.overrides.read_overrides` does.
        """
        parse_overrides(text, path)
        plain = text.removeprefix(BOM)
        (head, header), *rows = [*_records(plain)] or [(",".join(COLUMNS) + "\n", [*COLUMNS])]
        names = column_names(header, path)
        if len(header) < len(names):
            head = ",".join(names) + "\n"
        document = cls(BOM * text.startswith(BOM) + _ended(head), names, path)
        for record, _ in rows:
            document._append(document.line(_ended(record)))
        return document

    def text(self) -> str:
        """Return the text of the file."""
        return self.head + "".join(line.text for line in self.lines)

    def line(self, text: str) -> Line:
        """Parse the text of one line."""
        (_, cells), *_ = [*read_rows(text)] or [(1, [])]
        if not any(cell.strip() for cell in cells):
            return Line(text, None, None)
        values = dict(zip(self.names, cells, strict=False))
        image_id, verdict, note, identity, other = (values.get(name, "") for name in COLUMNS)
        known = (image_id, verdict, note, identity, other)
        return Line(text, known, key_of(known))

    def new_line(self, **cells: str) -> str:
        """Return the text of a line with these cells, in the file's order of columns."""
        out = io.StringIO()
        CsvWriter(out, (cells.get(name, "") for name in self.names))
        return out.getvalue()

    def cells(self, *key: str) -> Cells | None:
        """Return the cells of the last line with this key."""
        lines = self._by_key.get(key)
        return lines[-1].cells if lines else None

    def keys(self, kind: str) -> Iterator[Key]:
        """Yield the keys of a kind: VERDICT, MOVE, COPY or PERSON."""
        return (key for key in self._by_key if key[0] == kind)

    def edit(self, added: Iterable[str] = (), removed: Iterable[Key] = ()) -> Edit:
        """Return the edit that removes the lines with these keys, and appends lines in place of those of their keys.

        A line that decides what the document says already changes nothing.
        """
        keys, fresh = set(removed), []
        for text in added:
            line = self.line(text)
            present = self._by_key.get(line.key or (), [])
            if line.key not in keys and any(other.decision == line.decision for other in present):
                continue
            keys.update([line.key] if line.key else [])
            fresh.append(text)
        return Edit(self._places(keys), added=tuple(fresh))

    def apply(self, edit: Edit) -> None:
        """Change the document. Raises ValueError where a removed line is not at its place."""
        gone = dict(edit.removed)
        for place, text in edit.removed:
            if place >= len(self.lines) or self.lines[place].text != text:
                raise ValueError(f"line {place} is not {text!r}")
            self._unregister(self.lines[place])
        if gone:
            self.lines = [line for place, line in enumerate(self.lines) if place not in gone]
        for place, text in edit.inserted:
            line = self.line(text)
            self.lines.insert(min(place, len(self.lines)), line)
            self._register(line)
        for text in edit.added:
            self._append(self.line(text))

    def inverse(self, edit: Edit) -> Edit:
        """Return the edit that undoes an earlier one. What has changed since is left as it is."""
        texts = {*edit.added, *(text for _, text in edit.inserted)}
        keys = {self.line(text).key for text in texts}
        removed = tuple(place for place in self._places(keys) if place[1] in texts)
        gone = {place for place, _ in removed}
        taken = {line.key for place, line in enumerate(self.lines) if line.key and place not in gone}
        inserted = tuple((place, text) for place, text in edit.removed if self.line(text).key not in taken)
        return Edit(removed, inserted)

    def overrides(self, image_ids: Iterable[str] = ()) -> Overrides:
        """Return all decisions on identities and copies, and the verdicts and moves of these photos.

        Raises PolicyError where decisions on identities contradict each other.
        """
        lines = [line for line in self.lines if line.key and line.key[0] in (PERSON, COPY)]
        for image_id in image_ids:
            for kind in (VERDICT, MOVE):
                lines += self._by_key.get((kind, image_id), [])
        overrides = Overrides()
        for line in lines:
            cells = dict(zip(COLUMNS, line.cells or (), strict=False))
            add_line(overrides, cells, str(self.path), 0)
        return overrides

    def _places(self, keys: Iterable[Key | None]) -> tuple[Place, ...]:
        wanted = {key for key in keys if key in self._by_key}
        if not wanted:
            return ()
        return tuple((place, line.text) for place, line in enumerate(self.lines) if line.key in wanted)

    def _append(self, line: Line) -> None:
        self.lines.append(line)
        self._register(line)

    def _register(self, line: Line) -> None:
        if line.key:
            self._by_key.setdefault(line.key, []).append(line)

    def _unregister(self, line: Line) -> None:
        if line.key:
            self._by_key[line.key].remove(line)
            if not self._by_key[line.key]:
                del self._by_key[line.key]


def rebased(base: Document, latest: Document, hand: Document) -> Document:
    """Return `hand`, which a person made of `base`, with the changes that made `latest` of `base`.

    Where both decide the same photo or pair, the hand prevails.
    """
    was, now = {line.text for line in base.lines}, {line.text for line in latest.lines}
    kept = {line.text for line in hand.lines}
    by_hand = {line.key for line in hand.lines if line.text not in was}
    by_hand |= {line.key for line in base.lines if line.text not in kept}
    added = [line.text for line in latest.lines if line.text not in was and line.key not in by_hand]
    removed = [line.key for line in base.lines if line.text not in now and line.key not in by_hand]
    hand.apply(hand.edit(added, [key for key in removed if key]))
    return hand


def _ended(record: str) -> str:
    return record if record.endswith(("\n", "\r")) else record + "\n"


def _records(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield text and cells of each record; a quoted cell may hold line breaks."""
    lines = [*io.StringIO(text, newline="")]
    begin = 0
    for end, cells in read_rows(text):
        yield "".join(lines[begin:end]), cells
        begin = end
