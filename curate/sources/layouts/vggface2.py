"""VGGFace2 as published: train and test splits, nNNNNNN folders, and its CSVs of people, boxes and landmarks."""

import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from curate.errors import SourceError
from curate.sources.entry import Entry
from curate.sources.layouts.folder import read_entry, require_photos
from curate.sources.layouts.vggface2_tables import (
    PhotoTable,
    box_table,
    landmark_table,
    plausible,
    read_people,
    table_files,
)
from curate.sources.stores.tar import TarSource
from curate.sources.stores.walk import is_folder, photos_under

_PERSON = re.compile(r"n\d+")
_ON_THE_WAY = re.compile(r"data|train|test|vgg[-_ ]?face[-_ ]?2?.*", re.IGNORECASE)
_MAX_DEPTH = 4
_IN_TAR = re.compile(r"(?:.*/)?(n\d+)/[^/]+")
_LAYOUT = "train/n000002/0001_01.jpg, data/train/n000002/..., or n000002/... at once"


class Annotations:
    """Landmarks, boxes and names that lie in CSVs at `root`; read when first asked for, then kept.

    The full set's 3.3 million rows take 0.3 GB.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, entries: list[Entry]) -> list[Entry]:
        """The same entries with the boxes, and the landmarks where plausible, that the CSVs have for them."""
        if not self.present or not entries:
            return entries
        names = [f"{entry.identity}/{entry.image_id.rpartition('/')[2].rpartition('.')[0]}" for entry in entries]
        boxes = self._boxes.rows(names)
        boxes[:, 2:] += boxes[:, :2]  # (left, top, width, height) -> (x0, y0, x1, y1)
        points = self._landmarks.rows(names)
        trusted = plausible(points, boxes)
        annotated = []
        for row, entry in enumerate(entries):
            landmarks = tuple(points[row].tolist()) if trusted[row] else None
            x0, y0, x1, y1 = boxes[row].tolist()
            box = (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None
            annotated.append(replace(entry, landmarks=landmarks, box=box))
        return annotated

    @cached_property
    def present(self) -> bool:
        return bool(table_files(self.root, "loose_landmark") or table_files(self.root, "loose_bb"))

    @cached_property
    def _landmarks(self) -> PhotoTable:
        return landmark_table(self.root)

    @cached_property
    def _boxes(self) -> PhotoTable:
        return box_table(self.root)

    def people(self) -> Mapping[str, Mapping[str, str]]:
        return read_people(self.root)

    def describe(self) -> str:
        return "landmarks given" if table_files(self.root, "loose_landmark") else "no landmark CSV: faces are detected"


class VggFace2Source:
    """ROOT/{train,test}/n000002/0001_01.jpg, the same below ROOT/data, or ROOT that is itself one split."""

    kind = "vggface2"

    def __init__(self, root: Path) -> None:
        self.root = root
        require_photos(root, _LAYOUT)
        self._splits: dict[str, list[str]] = {}  # identity -> the folders, relative to root, that hold it
        self._other = Counter[str]()
        self._ignored: dict[str, Counter[str]] = {}
        self._find_splits("", _MAX_DEPTH)
        if not self._splits:
            top = sorted(name for name in os.listdir(root) if not name.startswith("."))
            raise SourceError(
                f"{root} is not laid out as VGGFace2: expected {_LAYOUT}, found {', '.join(top[:5])}"
                f"{', ...' if len(top) > 5 else ''}; for a folder per person use the source 'folder'"
            )
        self.annotations = Annotations(root)

    def _find_splits(self, folder: str, depth: int) -> None:
        """Note the people's folders directly in `folder`; where there are none, look where the layout has them."""
        with os.scandir(self.root / folder) as listing:
            below = [item.name for item in listing if not item.name.startswith(".") and is_folder(item)]
        people = [name for name in below if _PERSON.fullmatch(name)]
        for name in people:
            self._splits.setdefault(name, []).append(folder)
        for name in sorted(set(below) - set(people)):
            if not people and depth and _ON_THE_WAY.fullmatch(name):
                self._find_splits(f"{folder}/{name}" if folder else name, depth - 1)
            elif people and folder:
                self._other["other folder"] += 1

    def describe(self) -> str:
        splits = Counter(
            split_of(folder, self.root) or "one split" for held in self._splits.values() for folder in held
        )
        counts = ", ".join(f"{count:,} identities in {split}" for split, count in sorted(splits.items()))
        return f"{self.root}: {counts}; {self.annotations.describe()}"

    def identities(self) -> list[str]:
        return sorted(self._splits)

    def entries(self, identity: str) -> list[Entry]:
        ignored = self._ignored[identity] = Counter()
        entries: list[Entry] = []
        for folder in self._splits.get(identity, []):
            start = f"{folder}/{identity}" if folder else identity
            split = split_of(folder, self.root)
            entries += [photo.entry(identity, split) for photo in photos_under(str(self.root), start, ignored)]
        return self.annotations.add(sorted(entries, key=lambda entry: entry.image_id))

    def read(self, entry: Entry) -> bytes:
        return read_entry(self.root, entry)

    def ignored(self) -> dict[str, int]:
        return dict(sum(self._ignored.values(), self._other))

    def metadata(self) -> Mapping[str, Mapping[str, str]]:
        return self.annotations.people()


class VggFace2Tar(TarSource):
    """The same in one tar; the CSVs are looked for beside it."""

    def __init__(self, root: Path) -> None:
        super().__init__("vggface2", root, self._person, unwrap=False)
        self.annotations = Annotations(root.parent)

    def _person(self, path: str) -> tuple[str, str | None] | None:
        match = _IN_TAR.fullmatch(path)
        return (match[1], split_of(path[: match.start(1)].rstrip("/"), self.root)) if match else None

    def describe(self) -> str:
        return f"{super().describe()}; {self.annotations.describe()}"

    def entries(self, identity: str) -> list[Entry]:
        return self.annotations.add(super().entries(identity))

    def metadata(self) -> Mapping[str, Mapping[str, str]]:
        return self.annotations.people()


def open_tar(root: Path) -> VggFace2Tar:
    """A tar such as vggface2_train.tar, holding train/n000002/0001_01.jpg or n000002/0001_01.jpg."""
    return VggFace2Tar(root)


def split_of(folder: str, root: Path) -> str | None:
    """ "train" or "test": the nearest part of the path that says so, ROOT's own name last; else None."""
    for name in (*reversed(folder.split("/")), root.stem):
        for split in ("train", "test"):
            if re.search(rf"(^|[^a-z]){split}([^a-z]|$)", name, re.IGNORECASE):
                return split
    return None
