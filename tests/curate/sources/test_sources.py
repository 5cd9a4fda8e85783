"""Every layout on every store, toy stores and layouts, and roots that hold no collection."""

import os
import pickle
from collections import Counter
from pathlib import Path

import pytest

from curate.errors import SourceError
from curate.sources import Entry, decode_name, encode_name, open_source
from curate.sources.layouts import LAYOUTS, Layout
from curate.sources.stores import STORES
from curate.sources.stores.directory import DirectoryStore
from curate.sources.stores.store import PhotoFile, no_photos
from tests.samples.sources import COLLECTIONS, MAKE, MAKE_LABELLED, listed, make_directory, only

OTHERS = ["al/notes.txt", ".trash/z.jpg", "al/.x.jpg", "readme"]
"""Files that are not photos, and hidden ones."""


def test_there_is_a_collection_for_every_layout_and_a_maker_for_every_store() -> None:
    assert COLLECTIONS.keys() == LAYOUTS.keys()
    assert MAKE.keys() | MAKE_LABELLED.keys() | {"objects"} == STORES.keys()  # for objects, see test_object_storage


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("store", MAKE)
def test_a_collection_is_the_same_in_every_store(tmp_path: Path, store: str, layout: str) -> None:
    expected = COLLECTIONS[layout]
    paths = [os.fsdecode(decode_name(image_id)) for image_ids in expected.values() for image_id in image_ids]
    source = open_source(layout, MAKE[store](tmp_path / "set", ".trash/z.jpg", "readme", *paths))
    assert listed(source) == {identity: sorted(image_ids) for identity, image_ids in sorted(expected.items())}
    assert source.identities() == sorted(expected)
    assert source.entries("n1") == source.entries("..") == source.entries("al/../bo") == source.entries("") == []
    again = pickle.loads(pickle.dumps(source))
    for identity in expected:
        assert again.entries(identity) == source.entries(identity)
        for entry in source.entries(identity):
            assert entry.identity == identity
            assert entry.size == len(source.read(entry))
            assert encode_name(source.read(entry)) == entry.image_id
            assert again.read(entry) == source.read(entry)


@pytest.mark.parametrize("store", MAKE_LABELLED)
def test_photos_with_labels_are_listed_as_a_directory_of_the_same_names(tmp_path: Path, store: str) -> None:
    make, names = MAKE_LABELLED[store]
    source = open_source("folder", make(tmp_path / "set", *names))
    directory = open_source("folder", make_directory(tmp_path / "directory", *names))
    assert listed(source) == listed(directory)
    again = pickle.loads(pickle.dumps(source))
    for identity in source.identities():
        for entry, file in zip(source.entries(identity), directory.entries(identity), strict=True):
            assert source.read(entry) == again.read(entry) == directory.read(file)
            assert (entry.size, entry.refusal) == (file.size, None)


@pytest.mark.parametrize("store", MAKE)
def test_splits_of_vggface2(tmp_path: Path, store: str) -> None:
    source = open_source("vggface2", MAKE[store](tmp_path / "set", *COLLECTIONS["vggface2"]["n000002"]))
    assert [entry.split for entry in source.entries("n000002")] == ["test", "train"]


@pytest.mark.parametrize("store", MAKE)
def test_files_that_are_not_photos_are_counted_and_hidden_ones_left_out(tmp_path: Path, store: str) -> None:
    source = open_source("folder", MAKE[store](tmp_path / "set", "al/1.jpg", *OTHERS))
    for _ in range(2):
        assert listed(source) == {"al": ["al/1.jpg"]}
        assert source.ignored() == {".txt": 1, "": 1, "hidden (name begins with a dot)": 2}


def test_size_and_time_are_those_of_the_file_and_an_empty_folder_is_an_identity(tmp_path: Path) -> None:
    make_directory(tmp_path, "al/x.webp")
    (tmp_path / "empty").mkdir()
    source = open_source("folder", tmp_path)
    status = (tmp_path / "al/x.webp").stat()
    assert (only(source, "al").size, only(source, "al").mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert listed(source) == {"al": ["al/x.webp"], "empty": []}


class ListStore(DirectoryStore):
    """A toy store: a text file with one path per line; each path is the content of its photo."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.paths = root.read_text().split()

    @classmethod
    def accepts(cls, root: Path) -> bool:
        return root.suffix == ".list"

    def require_photos(self, expected: str) -> None:
        if not self.paths:
            raise no_photos(self.root, 0, Counter(), expected)

    def folders(self, folder: str) -> list[str]:
        start = f"{folder}/" if folder else ""
        below = [path.removeprefix(start) for path in self.paths if path.startswith(start)]
        return sorted({path.partition("/")[0] for path in below if "/" in path})

    def photos(self, folder: str, *, deep: bool) -> list[PhotoFile]:
        start = f"{folder}/" if folder else ""
        below = [path for path in self.paths if path.startswith(start)]
        return [PhotoFile(path, path, len(path)) for path in below if deep or "/" not in path.removeprefix(start)]

    def named(self, path: str) -> list[PhotoFile]:
        return [PhotoFile(path, path, len(path))]

    def read(self, entry: Entry) -> bytes:
        return str(entry.location).encode()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_new_store_is_one_class_and_one_entry(tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STORES, "list", ListStore)
    expected = {name: ids for name, ids in COLLECTIONS[layout].items() if "%" not in "".join(ids)}
    (tmp_path / "set.list").write_text("\n".join(path for paths in expected.values() for path in paths))
    source = open_source(layout, tmp_path / "set.list")
    assert listed(source) == {identity: sorted(image_ids) for identity, image_ids in sorted(expected.items())}
    assert all(source.read(entry).decode() == entry.image_id for name in expected for entry in source.entries(name))


class Initials(Layout):
    """A toy layout: the first letter of a flat file name is the identity."""

    summary = "initials"
    expected = "ab.jpg"

    def identities(self) -> list[str]:
        return list({file.path[0] for file in self.store.photos("", deep=False)})

    def entries(self, identity: str) -> list[Entry]:
        return [file.entry(identity) for file in self.store.photos("", deep=False) if file.path[0] == identity]


@pytest.mark.parametrize("store", MAKE)
def test_a_new_layout_is_one_class_and_one_entry(tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LAYOUTS, "initials", Initials)
    source = open_source("initials", MAKE[store](tmp_path / "set", "al.jpg", "ann.jpg", "bo.jpg"))
    assert listed(source) == {"a": ["al.jpg", "ann.jpg"], "b": ["bo.jpg"]}


@pytest.mark.parametrize("kind", ["folder", "sjtu", "vggface2"])
def test_roots_that_hold_no_collection(tmp_path: Path, kind: str) -> None:
    with pytest.raises(SourceError, match=r"cannot be opened \(No such file or directory\): give the folder"):
        open_source(kind, tmp_path / "missing")
    with pytest.raises(SourceError, match=r"is empty: expected .*--root"):
        open_source(kind, tmp_path)
    make_directory(tmp_path, "al/notes.txt", "vggface2_train.tar")
    with pytest.raises(
        SourceError, match=r"no photo in .*: found 1 folder and 1 \.tar, 1 \.txt, expected .*the .tar as --root"
    ):
        open_source(kind, tmp_path)


def test_an_unknown_layout_and_a_wrong_one(tmp_path: Path) -> None:
    make_directory(tmp_path, "alice/1.jpg")
    with pytest.raises(SourceError, match="no layout is called 'vggface'; choose vggface2, sjtu, folder"):
        open_source("vggface", tmp_path)


@pytest.mark.parametrize("store", MAKE)
def test_photos_that_are_not_laid_out_as_vggface2(tmp_path: Path, store: str) -> None:
    root = MAKE[store](tmp_path / "set", "alice/1.jpg")
    with pytest.raises(
        SourceError, match=r"not laid out as VGGFace2: expected train/.*found alice.*`curate clean folder --root"
    ):
        open_source("vggface2", root)
    with pytest.raises(SourceError, match=r"not laid out as VGGFace2: .*, found no folders; "):
        open_source("vggface2", MAKE[store](tmp_path / "flat", "1.jpg"))


def test_a_tar_without_photos(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no photo in .*set\.tar: found 0 folders and 1 \.txt, expected one folder"):
        open_source("folder", MAKE["tar"](tmp_path / "set", "al/notes.txt"))
