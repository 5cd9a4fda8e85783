"""The layout `folder`: identities by folder, by a file, by the photos' names, or none."""

import os
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

from curate.counts import counted
from curate.errors import SourceError
from curate.sources.entry import Entry, encode_name, join
from curate.sources.layouts.identity_file import IdentityFile
from curate.sources.layouts.layout import Layout
from curate.sources.layouts.listing import Listing
from curate.sources.layouts.name_pattern import PREFIX, NamePattern
from curate.sources.layouts.splits import split_name
from manifests.identity import NO_IDENTITY

if TYPE_CHECKING:
    from curate.sources.stores.store import Store

FIRST, PARENT, NONE = "first", "parent", "none"
_SAMPLE_FOLDERS = 8
_MAX_WRAPPERS = 8
_GENERIC = frozenset(("images", "image", "imgs", "img", "photos", "pictures", "faces", "data", "jpg", "jpeg", "png"))
Folders = dict[str, list[tuple[str, str | None]]]
"""Identity -> its folders and their splits."""


class Folder(Layout):
    """Photos in folders, read by the value of `--identities`.

    Args:
        identities:
            None: ROOT/<identity>/**/photo, ROOT/<split>/<identity>/**/photo or the same in one wrapping folder;
            numbered photos in folders of a thousand (FFHQ) have no identity.
            "first": the first folder is the identity, whatever its name.
            "parent": the folder that holds the photo is the identity; folders of one name are one identity.
            "none": no photo has an identity.
            "regex:EXPRESSION": the first group of the expression, in the photo's path or name.
            Else a file of photos and identities (see `IdentityFile`).

    Photos directly in ROOT have no identity; an empty folder is an identity too. The names of folders, and for
    "parent", "none" and a file those of all photos, are listed when the layout is opened.

    Raises SourceError where folders may be splits or people.
    """

    summary = "any folder per person"
    expected = "one folder of photos per person"

    def __init__(self, store: "Store", identities: str | None = None) -> None:
        super().__init__(store)
        if identities is None and not store.wraps:
            identities = FIRST
        self._notes: list[str] = []
        self._listing: Listing | None = None
        self._folders: Folders = {}
        self._loose: list[tuple[str, str | None]] = []  # folders whose photos have no identity, and their splits
        if identities == FIRST:
            self._read_people("", None)
        elif identities is None:
            self._detect()
        else:
            self._listing = self._list(identities)

    @classmethod
    def open(cls, store: "Store", identities: str | None) -> "Folder":
        return cls(store, identities)

    def identities(self) -> list[str]:
        if self._listing is not None:
            return self._listing.identities()
        loose = any(self.store.photos(folder, deep=False) for folder, _ in self._loose)
        return [*self._folders, *([NO_IDENTITY] if loose else [])]

    def entries(self, identity: str) -> list[Entry]:
        if self._listing is not None:
            return self._listing.entries(identity)
        if identity == NO_IDENTITY:
            found = [(file, split) for folder, split in self._loose for file in self.store.photos(folder, deep=False)]
            return [file.entry(identity, split) for file, split in found]
        return entries_in(self.store, self._folders, identity)

    def notes(self) -> list[str]:
        loose = [file for folder, _ in self._loose for file in self.store.photos(folder, deep=False)]
        backslashes = sum("\\" in file.path for file in loose)
        if not backslashes:
            return list(self._notes)
        return [
            *self._notes,
            f"{counted(backslashes, 'photo', 'has', 'have')} backslashes in the name and no folder, so no identity: "
            "unpack the archive with a tool that makes folders of them, or give the archive itself as --root",
        ]

    def _list(self, identities: str) -> Listing:
        files = self.store.photos("", deep=True)
        if identities == NONE:
            return Listing(self.store, files, lambda _: NO_IDENTITY)
        if identities == PARENT:
            return Listing(self.store, files, _parent)
        labels = NamePattern(identities) if identities.startswith(PREFIX) else IdentityFile(Path(identities))
        listing = Listing(self.store, files, labels.identity_of)
        labels.require_match()
        self._notes += labels.notes()
        return listing

    def _detect(self) -> None:
        base = self._base()
        if _looks_like_ffhq(self.store, base):
            self._listing = self._list(NONE)
            self._notes.append(
                "numbered photos in folders of a thousand, as in FFHQ: read without identities; --identities first "
                "reads each folder as a person"
            )
            return
        base_split = split_name(base.rpartition("/")[2])
        if base and base_split is None:
            self._notes.append(
                f"all photos are below {base}: its folders are read as people; --identities first reads "
                f"{base.partition('/')[0]} as one person"
            )
        names = self.store.folders(base)
        splits = [name for name in names if split_name(name)]
        if not splits:
            self._require_people([join(base, name) for name in names])
            self._read_people(base, base_split)
            if base_split:
                self._notes.append(_read_as_splits([base]))
            self._note_depth(base, names)
            return
        people = [name for name in splits if self.store.photos(join(base, name), deep=False)]
        nested = [name for name in splits if name not in people and self.store.folders(join(base, name))]
        others = [name for name in names if name not in splits and self.store.photos(join(base, name), deep=True)]
        if (nested and (people or others)) or (people and not others and not self._has_loose(base)):
            raise SourceError(_ambiguous(self.store.root, nested, people, others))
        if not nested:
            self._read_people(base, None)
            return
        inner = [join(join(base, name), folder) for name in nested for folder in self.store.folders(join(base, name))]
        self._require_people(inner)
        self._loose.append((base, None))
        for name in nested:
            self._read_people(join(base, name), split_name(name))
        self._notes.append(_read_as_splits(nested))

    def _base(self) -> str:
        """Return the folder that wraps everything, "" where there is none; of several around another the innermost."""
        base = self.store.top
        for _ in range(_MAX_WRAPPERS):
            names = [] if self._has_loose(base) else self.store.folders(base)
            inner = join(base, names[0]) if len(names) == 1 else ""
            # A folder around one person's photos is no wrapper, and splits below the first folder are read as such.
            if not inner or self._has_loose(inner) or not self.store.folders(inner) or (base and split_name(names[0])):
                break
            base = inner
        return base

    def _note_depth(self, base: str, names: list[str]) -> None:
        """Add a note where there are no folders, or the first ones hold only folders: categories, or albums."""
        if not names:
            self._notes.append(
                "there is no folder per person: photos are read without identities; --identities takes them from a "
                "file, or with regex:EXPRESSION from the names of the photos"
            )
            return
        sample = [join(base, name) for name in names[:_SAMPLE_FOLDERS]]
        if any(self._has_loose(folder) or not self.store.folders(folder) for folder in sample):
            return
        # One folder in each, of the same name everywhere ("images"), is neither a person nor an album.
        inner = {tuple(self.store.folders(folder)) for folder in sample}
        if len(inner) > 1 or len(next(iter(inner))) > 1:
            shown = f"{', '.join(sorted(names)[:3])}{', ...' if len(names) > 3 else ''}"
            self._notes.append(
                f"{shown} hold folders and no photos: read as people; --identities parent reads the folder that holds "
                "each photo as its person"
            )

    def _require_people(self, folders: list[str]) -> None:
        """Raise SourceError where every folder with photos has a name such as "images", which is no person's."""
        generic = [folder for folder in folders if folder.rpartition("/")[2].lower() in _GENERIC]
        others = [folder for folder in folders if folder not in generic]
        if generic and not any(self.store.photos(folder, deep=True) for folder in others):
            nested = any(self.store.folders(folder) for folder in generic)
            option = (
                "parent reads the folder that holds each photo as its person"
                if nested
                else ("none reads photos without identity")
            )
            raise SourceError(
                f"{self.store.root} holds photos in {', '.join(sorted(generic))} and no folder per person beside: "
                f"--identities {option}, --identities first reads the first folders as people"
            )

    def _has_loose(self, folder: str) -> bool:
        return bool(self.store.photos(folder, deep=False))

    def _read_people(self, base: str, split: str | None) -> None:
        self._loose.append((base, split))
        for identity, folders in identity_folders(self.store, base, split).items():
            self._folders.setdefault(identity, []).extend(folders)


def identity_folders(store: "Store", base: str, split: str | None = None) -> Folders:
    """List the folders in `base` by identity: names that differ in Unicode normalization only are one identity."""
    folders: Folders = {}
    for name in store.folders(base):
        folders.setdefault(_identity(name), []).append((join(base, name), split))
    return folders


def entries_in(store: "Store", folders: Folders, identity: str) -> list[Entry]:
    """List the photos in the folders of this identity and in all folders below them."""
    return [
        file.entry(identity, split)
        for folder, split in folders.get(identity, [])
        for file in store.photos(folder, deep=True)
    ]


def suggestion(store: "Store") -> str:
    """Return the `--identities` option (or "") with which the layout `folder` reads the people of a store."""
    files = store.photos("", deep=True)
    depths = [file.path.count("/") for file in files]
    if not any(depths):
        return " --identities none"
    try:
        layout = Folder(store)
    except SourceError:
        return " --identities none" if max(depths) < 2 else " --identities parent"
    people = [name for name in layout.identities() if not name.startswith(NO_IDENTITY)]
    parents = {os.path.dirname(file.path) for file in files}
    return " --identities parent" if len(people) < 2 <= len(parents) else ""


def resolve_identities(value: str | None) -> str | None:
    """Return a value of `--identities` that does not depend on the working directory: files as absolute paths."""
    if value is None or value in (FIRST, PARENT, NONE) or value.startswith(PREFIX):
        return value
    return str(Path(value).resolve())


def _parent(path: str) -> str:
    """Return the identity of a photo by the folder that holds it."""
    folder = path.rpartition("/")[0]
    return _identity(folder.rpartition("/")[2]) if folder else NO_IDENTITY


def _identity(folder_name: str) -> str:
    return unicodedata.normalize("NFC", encode_name(os.fsencode(folder_name)))


def _read_as_splits(folders: list[str]) -> str:
    return f"read as splits: {', '.join(sorted(folders))}; --identities first reads them as people instead"


def _ambiguous(root: Path, nested: list[str], people: list[str], others: list[str]) -> str:
    """Describe a tree in which folders named like splits may be splits or people."""
    if not nested:
        return (
            f"{root} holds photos directly in {', '.join(sorted(people))} and no folder per person: --identities none "
            f"reads photos without identity, --identities first reads these folders as people"
        )
    beside = ", ".join(sorted([*people, *others])[:5])
    return (
        f"{root} holds {', '.join(sorted(nested))}, named like splits, beside {beside}: --identities parent reads the "
        f"folder that holds each photo as its person, --identities first reads the folders in {root} as people"
    )


def _looks_like_ffhq(store: "Store", base: str) -> bool:
    """Whether all photos are numbered N to N + 999 in two or more folders N, multiples of 1,000."""
    names = store.folders(base)
    if len(names) < 2 or not all(name.isascii() and name.isdigit() and int(name) % 1000 == 0 for name in names):
        return False
    for name in names[:_SAMPLE_FOLDERS]:
        files = store.photos(join(base, name), deep=True)
        stems = [file.path.rpartition("/")[2].partition(".")[0] for file in files]
        if not all(stem.isascii() and stem.isdigit() and 0 <= int(stem) - int(name) < 1000 for stem in stems):
            return False
    return True
