"""The log of decisions: a line of JSON for each action, on the disk before the action is acknowledged.

`overrides.csv` is derived from the log. Who edits the file by hand, also while the page is open, changes what is
decided: the difference becomes an entry of the log. A log that was cut off by a kill ends with its last whole line.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from curate.overrides import COLUMNS, FILE_NAME, read_text
from curate.review.append_log import AppendLog
from curate.review.document import Document, Edit, rebased
from manifests.errors import DatasetError
from manifests.output import atomic
from manifests.records import InvalidRecordError, parse_record

FOLDER = "review"
LOG = "decisions.jsonl"

BEGUN, BY_HAND, UNDO, REDO = "begun", "by hand", "undo", "redo"
"""Names of entries that are no action of the page."""


NO_EDIT = Edit()


@dataclass(frozen=True)
class Entry:
    """A line of the log.

    Attributes:
        number: 1, 2, ...; 0 for the first line, and for a note that overrides.csv was written.
        action: name, such as "drop".
        by: the browser tab that acted; empty for entries that are no action of the page.
        edit: the change of overrides.csv.
        undoes: number of the entry that this one takes back: of an action, or, for a redo, of the undo.
        photos: number of photos, for display.
        text: of overrides.csv, in the first line and in those of changes by hand.
        written: SHA-256 of overrides.csv, in a note that it was written.
        shows: number of the last entry that the written file shows; None in notes of earlier versions: the one before.
    """

    number: int = 0
    action: str = ""
    by: str = ""
    edit: Edit = NO_EDIT
    undoes: int | None = None
    photos: int = 0
    text: str | None = None
    written: str | None = None
    shows: int | None = None

    def encoded(self) -> bytes:
        """Return the line; values that are not set are left out."""
        values = {name: value for name, value in asdict(self).items() if value != _DEFAULTS[name]}
        if "edit" in values:
            values["edit"] = {name: value for name, value in values["edit"].items() if value}
        return json.dumps(values, separators=(",", ":")).encode()


_DEFAULTS = asdict(Entry())


@dataclass(frozen=True)
class Latest:
    """overrides.csv as it is to be written: its text, and the number of the last entry that it shows."""

    text: str
    shows: int


class DecisionLog:
    """The log of one dataset, and the document that its entries give.

    Attributes:
        document: overrides.csv as the entries give it.
        entries: all actions, in order; the entry with number n is `entries[n - 1]`.

    Raises DatasetError where the log is damaged, PolicyError where overrides.csv is faulty, OutputError where the log
    cannot be written.
    """

    def __init__(self, dataset: Path) -> None:
        self.overrides_path = dataset / FILE_NAME
        self.path = dataset / FOLDER / LOG
        self.entries: list[Entry] = []
        self._undone: set[int] = set()
        self.document: Document
        self._lines = AppendLog(self.path)
        try:
            self._read()
        except BaseException:
            self._lines.close()
            raise

    def close(self) -> None:
        """Write overrides.csv, and close the log."""
        self.write_overrides()
        self._lines.close()

    def add(self, action: str, edit: Edit, by: str = "", photos: int = 0, undoes: int | None = None) -> Entry:
        """Record an action; it is on the disk when this returns."""
        entry = Entry(len(self.entries) + 1, action, by, edit, undoes, photos)
        self._append(entry)
        self._apply(entry)
        return entry

    def last(self, by: str) -> Entry | None:
        """Return the last action of a browser tab that is not undone; None where there is none."""
        for entry in reversed(self.entries):
            if entry.by == by and entry.action not in (UNDO, REDO) and entry.number not in self._undone:
                return entry
        return None

    def last_undo(self, by: str) -> Entry | None:
        """Return the last undo of a browser tab that is not redone, nor followed by an action of it; None without."""
        for entry in reversed(self.entries):
            if entry.by != by or entry.action == REDO or entry.number in self._undone:
                continue
            return entry if entry.action == UNDO else None
        return None

    def take_back(self, entry: Entry, inverse: Edit) -> Entry:
        """Record that an action is undone, or an undo redone, by the `inverse` of its edit."""
        action = REDO if entry.action == UNDO else UNDO
        return self.add(action, inverse, entry.by, entry.photos, entry.number)

    def read_by_hand(self) -> Entry | None:
        """Take over what a person changed in overrides.csv since it was written; None where nothing was.

        A file that was removed is no change: it is written again. Raises PolicyError where the file is faulty.
        """
        if not self.overrides_path.exists():
            return None
        text = read_text(self.overrides_path)
        if _digest(text) == self._written or text == self.document.text():
            return None
        hand = Document.parse(text, self.overrides_path)
        document = rebased(Document.parse(self._base, self.overrides_path), self.document, hand)
        entry = Entry(len(self.entries) + 1, BY_HAND, text=document.text())
        self._append(entry)
        self._apply(entry)
        # Decisions that the file does not show are in it when it is written next.
        self.note_written(Latest(text, entry.number))
        return entry

    def write_overrides(self) -> None:
        """Write overrides.csv from the log, unless it is up to date. What was changed by hand is taken over before."""
        self.read_by_hand()
        latest = self.latest()
        if latest is not None:
            self.write_file(latest)
            self.note_written(latest)

    def latest(self) -> Latest | None:
        """Return what overrides.csv must be, after `read_by_hand`; None where it is that."""
        text = self.document.text()
        if _digest(text) == self._written and self.overrides_path.exists():
            return None
        return Latest(text, len(self.entries))

    def write_file(self, latest: Latest) -> None:
        """Write overrides.csv. Takes as long as the disk does; other threads may add entries meanwhile."""
        with atomic(self.overrides_path) as partial:
            partial.write_bytes(latest.text.encode())

    def note_written(self, latest: Latest) -> None:
        """Note what overrides.csv is, so that changes by hand are recognised."""
        self._written, self._base = _digest(latest.text), latest.text
        # Not synchronised: where the note is lost, the next run finds the state of the log that the file shows.
        self._lines.append(Entry(written=self._written, shows=latest.shows).encoded(), sync=False)

    def _append(self, entry: Entry) -> None:
        self._lines.append(entry.encoded())

    def _apply(self, entry: Entry) -> None:
        if entry.text is None:
            self.document.apply(entry.edit)
        else:
            self.document = Document.parse(entry.text, self.overrides_path)
        self.entries.append(entry)
        if entry.undoes is not None:
            self._undone.add(entry.undoes)
            # The action of an undo that is taken back applies again.
            self._undone.discard(self.entries[entry.undoes - 1].undoes or 0)

    def _read(self) -> None:
        lines = self._lines.lines
        if not lines:
            text = read_text(self.overrides_path) or f"{','.join(COLUMNS)}\n"
            self.document = Document.parse(text, self.overrides_path)
            text = self.document.text()
            self._append(Entry(action=BEGUN, text=text))
            self._written, self._base = "", text
            self.write_overrides()
            return
        entries = [self._entry(number, line) for number, line in enumerate(lines, 1)]
        self._fold(entries)
        self.write_overrides()

    def _fold(self, entries: list[Entry]) -> None:
        """Apply all entries; find the state of the log that overrides.csv shows, or was derived from."""
        first, *others = entries
        present = read_text(self.overrides_path)
        shown, written = _last_note(others)
        self.document = Document.parse(first.text or "", self.overrides_path)
        self._base = self.document.text()
        for place, entry in enumerate(others, 2):
            if not entry.number:
                continue
            if entry.number != len(self.entries) + 1:
                raise self._damaged(place, f"entry {entry.number} after {len(self.entries)}")
            try:
                self._apply(entry)
            except (ValueError, IndexError) as error:
                raise self._damaged(place, str(error)) from error
            # The file may have been written after the last note, and the process killed before the next one.
            if entry.number == shown or (entry.number > shown and self.document.text() == present):
                self._base = self.document.text()
        if _digest(present) == written:
            self._base = present
        self._written = _digest(self._base)

    def _entry(self, number: int, line: bytes) -> Entry:
        try:
            entry = parse_record(line.decode(), Entry)
        except (InvalidRecordError, UnicodeDecodeError) as error:
            raise self._damaged(number, str(error)) from error
        if (entry.action == BEGUN) is not (number == 1):
            raise self._damaged(number, "another entry was expected")
        return entry

    def _damaged(self, number: int, why: str) -> DatasetError:
        return DatasetError(
            f"{self.path}, line {number}: damaged ({why}); restore it, or remove it: {FILE_NAME} keeps what is decided"
        )


def _last_note(entries: list[Entry]) -> tuple[int, str | None]:
    """Return the number of the last entry that overrides.csv showed when it was noted last, and its SHA-256."""
    number, shown, written = 0, 0, None
    for entry in entries:
        number = entry.number or number
        if entry.written:
            shown, written = number if entry.shows is None else entry.shows, entry.written
    return shown, written


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
