"""A review in progress: the photos, the log, and what an action changes. Safe in threads."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from curate.overrides import MOVE, Overrides
from curate.review.actions import ACTIONS, RefusedError, Target, edit_of, new_name, photos_of
from curate.review.decider import Decider
from curate.review.document import COPY, PERSON, Document, Edit
from curate.review.index import NONE, PhotoIndex
from curate.review.log import DecisionLog, Entry
from curate.review.queues import to_decide

Rows = npt.NDArray[np.int64]

MAX_CHANGES = 3_000
"""Photos listed in a change; a page that lacks some loads its screen again."""


@dataclass(frozen=True)
class Change:
    """What an action changed.

    Attributes:
        number: of the entry in the log.
        action: name; "undo" for one that was undone, "redo" for one that was done again.
        by: the browser tab that acted.
        photos: photos that the action was applied to.
        rows: changed photos, at most MAX_CHANGES.
        complete: whether `rows` holds all of them.
        identity: code of the identity of the first photo that the action was applied to; NONE without one.
        counts: photos of each verdict, and those that are open.
    """

    number: int
    action: str
    by: str
    photos: int
    rows: Rows
    complete: bool
    identity: int
    counts: tuple[int, int, int, int]


class Review:
    """The state of a review. `lock` guards all of it.

    Args:
        dataset: directory of the dataset.
        index: its photos.
        log: the decisions.
        decider: decides photos again.
    """

    def __init__(self, dataset: Path, index: PhotoIndex, log: DecisionLog, decider: Decider) -> None:
        self.dataset, self.index, self.log, self.decider = dataset, index, log, decider
        self.lock = threading.RLock()
        self._writing = threading.Lock()
        self._row_of: dict[str, int] = {}  # of photos that an action has touched; rows do not change
        self.problem = ""
        self.written = threading.Event()
        self.counts = self._counted(slice(None))
        self._listeners: list[Callable[[Change], None]] = []

    @property
    def document(self) -> Document:
        """overrides.csv as it is decided now."""
        return self.log.document

    def listen(self, listener: Callable[[Change], None]) -> None:
        """Call `listener` after every change, in the thread of the action."""
        self._listeners.append(listener)

    def act(self, action: str, rows: Rows, by: str, identity: int = NONE, other: int = NONE) -> Change:
        """Do an action of ACTIONS; it is on the disk when this returns.

        Args:
            rows: photos.
            by: the browser tab.
            identity, other: codes of identities, see `Target`; of a split, the new identity is named after `identity`.

        Raises RefusedError where it cannot be done, OutputError where the log cannot be written.
        """
        with self.lock:
            target = self._target(action, np.unique(rows), identity, other)
            edit = edit_of(action, self.document, target)
            if not edit:
                raise RefusedError("nothing to change: that is decided already")
            return self._record(lambda: self.log.add(action, edit, by, len(rows)), rows, edit)

    def undo(self, by: str) -> Change | None:
        """Undo the last action of a browser tab; None where there is none."""
        with self.lock:
            return self._take_back(self.log.last(by))

    def redo(self, by: str) -> Change | None:
        """Do again what a browser tab undid last; None where there is nothing, or it has acted since."""
        with self.lock:
            return self._take_back(self.log.last_undo(by))

    def _take_back(self, last: Entry | None) -> Change | None:
        if last is None:
            return None
        edit = self.document.inverse(last.edit)
        rows = self._rows_of(photos_of([last.edit, edit], self.document), ())
        return self._record(lambda: self.log.take_back(last, edit), rows, edit)

    def act_on_queue(self, action: str, queue: str, by: str) -> Change:
        """Do an action on all undecided photos of a queue."""
        with self.lock:
            rows = np.flatnonzero(to_decide(queue, self.index, self.dataset))
            return self.act(action, rows, by)

    def write_overrides(self) -> None:
        """Write overrides.csv, after taking over what was changed in it by hand. Actions do not wait for the disk.

        Raises PolicyError where the file is faulty: it is then not written.
        """
        with self._writing:
            with self.lock:
                before = self.document
                entry = self.log.read_by_hand()
                if entry is not None:
                    self._take_over(before, entry)
                latest = self.log.latest()
            if latest is not None:
                self.log.write_file(latest)
                with self.lock:
                    self.log.note_written(latest)

    def _take_over(self, before: Document, entry: Entry) -> None:
        was, now = {line.text for line in before.lines}, {line.text for line in self.document.lines}
        edit = Edit(added=tuple(was ^ now))
        rows = self._rows_of(photos_of([edit], before), ())
        self._record(lambda: entry, rows, edit)

    def _target(self, action: str, rows: Rows, identity: int, other: int) -> Target:
        names, index = self.index.names.names, self.index
        kept = index.copy_of[rows]
        name = names[identity] if identity != NONE else ""
        target = names[other] if other != NONE else ""
        if ACTIONS[action].of_photos and not len(rows):
            raise RefusedError("no photo is chosen")
        if action == "split":
            if not name:
                raise RefusedError("no identity to split")
            target = new_name(name, index.names.__contains__)
        if action == "move" and not target:
            raise RefusedError("no identity is suggested for this photo: choose one with a click")
        if not ACTIONS[action].of_photos and not (name and target):
            raise RefusedError("this screen shows one identity: join and keep apart are for pairs")
        return Target(
            tuple(index.ids(rows)),
            name,
            target,
            tuple(index.ids(np.array([row], np.int64))[0] if row != NONE else "" for row in kept.tolist())
            if action == "not_copy"
            else (),
        )

    def _record(self, add: Callable[[], Entry], rows: Rows, edit: Edit) -> Change:
        """Record an action, and bring the index up to date."""
        index = self.index
        keys = [self.document.line(text).key for text in _texts(edit)]
        kinds = {key[0] for key in keys if key}
        joined = self.document.overrides() if PERSON in kinds else Overrides()
        entry = add()
        touched = self._rows_of(photos_of([edit], self.document), rows)
        again = touched[index.copies[touched] != NONE]
        if kinds & {MOVE, COPY}:
            again = touched
        if PERSON in kinds:
            pairs = {name for key in keys if key and key[0] == PERSON for name in key[1:]}
            again = np.union1d(again, self._rows_of_identities(pairs, joined))
        again = index.members(again)
        changed = np.union1d(touched, again)
        before = self._counted(changed)
        index.decide(self.document, touched)
        if len(again):
            index.update(again, self.decider.decide(again, self.document), self.decider.applied)
        after = self._counted(changed)
        self.counts = _sum(self.counts, after, before)
        first = int(index.identity[rows[0]]) if len(rows) else NONE
        complete = len(changed) <= MAX_CHANGES
        change = Change(
            entry.number, entry.action, entry.by, entry.photos, changed[:MAX_CHANGES], complete, first, self.counts
        )
        for listener in self._listeners:
            listener(change)
        self.written.set()
        return change

    def _rows_of(self, image_ids: set[str], known: Rows | tuple[()]) -> Rows:
        """Rows of photos; `known`: rows that these photos probably have. Only other photos are searched, and once."""
        rows = np.asarray(known, np.int64)
        found = self._row_of
        found.update(zip(self.index.ids(rows), rows.tolist(), strict=True))
        missing = image_ids - found.keys()
        if missing:
            found.update(self.index.rows_of(missing))
        return np.array(sorted(found[image_id] for image_id in image_ids if image_id in found), np.int64)

    def _rows_of_identities(self, pairs: set[str], before: Overrides) -> Rows:
        """Photos that change where identities were joined or kept apart.

        Args:
            pairs: names in the lines that were changed.
            before: the joined identities before that.
        """
        index, after = self.index, self.document.overrides()
        ends = {*before.joined, *after.joined}
        changed = {name for name in ends if before.identity_of(name) != after.identity_of(name)}
        of_pairs = np.isin(index.compared, self._codes(pairs))
        flags = of_pairs | (np.isin(index.source, self._codes(changed)) & ~index.moved)
        moved = {key[1] for key in self.document.keys(MOVE) if (self.document.cells(*key) or ("",) * 5)[3] in changed}
        return np.union1d(np.flatnonzero(flags), self._rows_of(moved, ()))

    def _codes(self, names: set[str]) -> npt.NDArray[np.int32]:
        return np.array([self.index.names.code(name) for name in names if name in self.index.names], np.int32)

    def _counted(self, rows: Rows | slice) -> tuple[int, int, int, int]:
        keep, review, drop = np.bincount(self.index.verdict(rows), minlength=3).tolist()
        return keep, review, drop, int(self.index.open(rows).sum())


def _texts(edit: Edit) -> Sequence[str]:
    return [*edit.added, *(text for _, text in (*edit.removed, *edit.inserted))]


def _sum(
    counts: tuple[int, int, int, int], after: tuple[int, int, int, int], before: tuple[int, int, int, int]
) -> tuple[int, int, int, int]:
    keep, review, drop, open_ = (count + new - old for count, new, old in zip(counts, after, before, strict=True))
    return keep, review, drop, open_
