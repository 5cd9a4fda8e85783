"""The layout `vggface2`: as published, with train and test splits, nNNNNNN folders and CSVs of boxes and landmarks."""

import re
import shlex
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from curate.counts import counted
from curate.errors import SourceError
from curate.sources.entry import join
from curate.sources.layouts.folder import suggestion
from curate.sources.layouts.layout import Layout
from curate.sources.layouts.splits import split_in_name

if TYPE_CHECKING:
    from curate.sources.entry import Entry
    from curate.sources.layouts.vggface2_tables import PhotoTable
    from curate.sources.stores.store import Store

_IDENTITY = re.compile(r"n\d+")
_OUTER_FOLDER = re.compile(r"data|images?|faces?|vgg[-_ ]?face[-_ ]?2?.*", re.IGNORECASE)
_MAX_DEPTH = 4


class VggFace2(Layout):
    """ROOT/{train,test,val}/n000002/0001_01.jpg: any of the splits, or none, also below folders that wrap them.

    Folders are searched that are named like a split ("vggface2_train", "train_mtcnnpy_182") or like the dataset
    ("data", "VGG-Face2"); where these hold no nNNNNNN folder, all are.
    """

    summary = "as published"
    expected = "train/n000002/0001_01.jpg, data/train/n000002/... or n000002/..."

    def __init__(self, store: "Store") -> None:
        super().__init__(store)
        self._outer: dict[str, list[str]] = {}  # identity -> the folders that hold its folder
        self._searched: list[str] = []
        self._unread: list[str] = []
        self._search(store.top, _MAX_DEPTH, every_folder=False)
        if not self._outer:
            self._searched, self._unread = [], []
            self._search(store.top, _MAX_DEPTH, every_folder=True)
        if not self._outer:
            names = sorted(store.folders(store.top))
            raise SourceError(
                f"{store.root} is not laid out as VGGFace2: expected {self.expected}, found "
                f"{', '.join(names[:5]) or 'no folders'}{', ...' if len(names) > 5 else ''}; for one folder per person "
                f"use `curate clean folder --root {shlex.quote(str(store.root))}{suggestion(store)}`"
            )
        self.annotations = Annotations(_tables_root(store.beside, self._searched))

    def _search(self, folder: str, depth: int, *, every_folder: bool) -> None:
        """Find the identities' folders directly in `folder`; without any, search the folders that the layout has."""
        self._searched.append(folder)
        folders = self.store.folders(folder)
        identities = [name for name in folders if _IDENTITY.fullmatch(name)]
        for name in identities:
            self._outer.setdefault(name, []).append(folder)
        for name in sorted(set(folders) - set(identities)):
            outer = every_folder or _OUTER_FOLDER.fullmatch(name) or split_in_name(name)
            if not depth or not outer or (identities and not split_in_name(name)):
                self._unread.append(join(folder, name))
            else:
                self._search(join(folder, name), depth - 1, every_folder=every_folder)

    def identities(self) -> list[str]:
        return list(self._outer)

    def entries(self, identity: str) -> "list[Entry]":
        entries: list[Entry] = []
        for outer in self._outer.get(identity, []):
            folder = f"{outer}/{identity}" if outer else identity
            split = split_of(outer, self.store.root)
            entries += [file.entry(identity, split) for file in self.store.photos(folder, deep=True)]
        return self.annotations.add_to(entries)

    def notes(self) -> list[str]:
        loose = [(folder, self.store.photos(folder, deep=False)) for folder in self._searched]
        unread = [(f"{folder}/", self.store.photos(folder, deep=True)) for folder in self._unread]
        named = [*((f"directly in {folder or self.store.root}", files) for folder, files in loose), *unread]
        return [
            f"not read, no folder of a person (nNNNNNN): {place}, {counted(len(files), 'photo')}"
            for place, files in named
            if files
        ]


class Annotations:
    """Boxes and landmarks of the CSVs in a directory; read when first needed, then kept.

    The 3.3 million rows of the full set take 0.3 GB.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def add_to(self, entries: "list[Entry]") -> "list[Entry]":
        """Return the entries with the boxes, and the plausible landmarks, that the CSVs hold for them."""
        if not entries or not self._present:
            return entries
        # Imported here: this module is imported by `curate --help`.
        from curate.sources.layouts.vggface2_tables import plausible

        names = [f"{entry.identity}/{entry.image_id.rpartition('/')[2].rpartition('.')[0]}" for entry in entries]
        boxes = self._boxes.rows(names)
        boxes[:, 2:] += boxes[:, :2]  # (left, top, width, height) -> (x0, y0, x1, y1)
        points = self._landmarks.rows(names)
        usable = plausible(points, boxes)
        annotated = []
        for row, entry in enumerate(entries):
            landmarks = tuple(points[row].tolist()) if usable[row] else None
            x0, y0, x1, y1 = boxes[row].tolist()
            box = (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None
            annotated.append(replace(entry, landmarks=landmarks, box=box))
        return annotated

    @cached_property
    def _present(self) -> bool:
        from curate.sources.layouts.vggface2_tables import table_files

        return bool(table_files(self.root, "loose_landmark") or table_files(self.root, "loose_bb"))

    @cached_property
    def _landmarks(self) -> "PhotoTable":
        from curate.sources.layouts.vggface2_tables import landmark_table

        return landmark_table(self.root)

    @cached_property
    def _boxes(self) -> "PhotoTable":
        from curate.sources.layouts.vggface2_tables import box_table

        return box_table(self.root)


def _tables_root(beside: Path, searched: list[str]) -> Path:
    """Return the first of the searched folders that holds CSVs, itself or in bb_landmark or meta; else `beside`."""
    for root in (beside / folder for folder in searched):
        if any(any((root / inner).glob("loose_*.csv")) for inner in ("", "bb_landmark", "meta")):
            return root
    return beside


def split_of(folder: str, root: Path) -> str | None:
    """Return the split that the innermost part of the path names, ROOT's own name last; else None."""
    names = (*reversed(folder.split("/")), root.stem)
    return next((split for name in names if (split := split_in_name(name))), None)
