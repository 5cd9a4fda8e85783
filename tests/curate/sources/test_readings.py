"""How trees of each layout are read, on every store: splits, wrapping folders, system files, twins of a name."""

import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from curate.errors import SourceError
from curate.sources import Source, open_source
from curate.sources.layouts.listing import is_no_identity
from tests.samples.sources import MAKE, make_directory, make_tar

TREE_STORES = [store for store in ("directory", "tar", "zip") if store in MAKE]
NFC, NFD = (unicodedata.normalize(form, "Zoë") for form in ("NFC", "NFD"))


def people(source: Source) -> dict[str, Counter[str | None]]:
    """List a source as identity -> split -> number of photos."""
    result: dict[str, Counter[str | None]] = {}
    for key in source.identities():
        for entry in source.entries(key):
            assert entry.identity == ("." if is_no_identity(key) else key)
            assert source.read(entry)
            result.setdefault(entry.identity, Counter())[entry.split] += 1
    return result


READINGS = {
    "splits": ("folder", None, ["train/al/1.jpg", "train/bo/1.jpg", "val/al/2.jpg"],
               {"al": {"train": 1, "val": 1}, "bo": {"train": 1}}),
    "splits in other words": ("folder", None, ["Training/al/1.jpg", "Valid/bo/2.jpg", "TEST/bo/3.jpg", "list/x.txt"],
                              {"al": {"train": 1}, "bo": {"val": 1, "test": 1}}),
    "one split": ("folder", None, ["train/al/1.jpg", "train/bo/1.jpg"], {"al": {"train": 1}, "bo": {"train": 1}}),
    "splits as people": ("folder", "first", ["train/al/1.jpg", "val/al/2.jpg"],
                         {"train": {None: 1}, "val": {None: 1}}),
    "wrapped splits": ("folder", None, ["set/train/al/1.jpg", "set/val/bo/1.jpg"],
                       {"al": {"train": 1}, "bo": {"val": 1}}),
    "wrapped": ("folder", None, ["set/al/1.jpg", "set/bo/1.jpg"], {"al": {None: 1}, "bo": {None: 1}}),
    "a wrapping folder as a person": ("folder", "first", ["al/a/1.jpg", "al/b/1.jpg"], {"al": {None: 2}}),
    "a person called test": ("folder", None, ["test/1.jpg", "al/1.jpg"], {"test": {None: 1}, "al": {None: 1}}),
    "parent": ("folder", "parent", ["x/train/al/1.jpg", "x/val/al/2.jpg", "y/bo/3.jpg", "4.jpg"],
               {"al": {"train": 1, "val": 1}, "bo": {None: 1}, ".": {None: 1}}),
    "none": ("folder", "none", ["1.jpg", "a/2.jpg", "val/3.jpg"], {".": {None: 2, "val": 1}}),
    "FFHQ": ("folder", None, ["00000/00000.png", "00000/00999.png", "01000/01000.png"], {".": {None: 3}}),
    "numbered people": ("folder", None, ["00000/0.png", "01000/1.png"], {"00000": {None: 1}, "01000": {None: 1}}),
    "twins of a name": ("folder", None, [f"{NFC}/1.jpg", f"{NFD}/1.jpg", "zoe/1.jpg", "Zoe/1.jpg"],
                        {NFC: {None: 2}, "zoe": {None: 1}, "Zoe": {None: 1}}),
    "twins in sjtu": ("sjtu", None, [f"{NFC}/1.png", f"{NFD}_2.png"], {NFC: {None: 2}}),
    "train and val": ("vggface2", None, ["train/n000002/1.jpg", "val/n000001/1.jpg"],
                      {"n000001": {"val": 1}, "n000002": {"train": 1}}),
    "only val": ("vggface2", None, ["val/n000001/1.jpg"], {"n000001": {"val": 1}}),
    "published again": ("vggface2", None, ["VGG-Face2/data/vggface2_train/n000002/1.jpg"], {"n000002": {"train": 1}}),
    "cropped by MTCNN": ("vggface2", None, ["train_mtcnnpy_182/n000002/1.png", "test_mtcnnpy_160/n000001/1.png"],
                         {"n000001": {"test": 1}, "n000002": {"train": 1}}),
    "in a folder of any name": ("vggface2", None, ["my crops/112/n000002/1.jpg"], {"n000002": {None: 1}}),
    "without splits": ("vggface2", None, ["n000001/1.jpg", "n000002/1.jpg"],
                       {"n000001": {None: 1}, "n000002": {None: 1}}),
}  # fmt: skip
"""Tree -> layout, value of `identities`, files, and photos by identity and split."""


@pytest.mark.parametrize("store", TREE_STORES)
@pytest.mark.parametrize("tree", READINGS)
def test_how_a_tree_is_read(tmp_path: Path, store: str, tree: str) -> None:
    layout, identities, paths, expected = READINGS[tree]
    source = open_source(layout, MAKE[store](tmp_path / "set", *paths), identities)
    assert people(source) == expected
    image_ids = [entry.image_id for key in source.identities() for entry in source.entries(key)]
    assert sorted(image_ids) == sorted(path for path in paths if not path.endswith(".txt"))


SYSTEM = [
    "al/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg", "#recycle/al/2.jpg", "$RECYCLE.BIN/$R1.jpg", "__MACOSX/al/._1.jpg",
    "System Volume Information/x.jpg", "lost+found/y.jpg", "al/.ipynb_checkpoints/1-checkpoint.jpg", "al/Thumbs.db",
    "desktop.ini", "al/._1.jpg", ".trash/z.jpg",
]  # fmt: skip


@pytest.mark.parametrize("store", TREE_STORES)
@pytest.mark.parametrize("identities", [None, "first", "parent", "none"])
def test_system_files_are_skipped_and_counted(tmp_path: Path, store: str, identities: str | None) -> None:
    photos = ["al/1.jpg", "recycle/1.jpg", "@eaDirk/1.jpg", "#1/1.jpg", "lost/1.jpg", "thumbs/1.jpg"]
    source = open_source("folder", MAKE[store](tmp_path / "set", *photos, *SYSTEM), identities)
    for _ in range(2):
        image_ids = [entry.image_id for key in source.identities() for entry in source.entries(key)]
        assert sorted(image_ids) == sorted(photos)
    names = ("@eaDir", "#recycle", "$RECYCLE.BIN", "__MACOSX", "System Volume Information", "lost+found")
    assert source.ignored() == {
        **{f"in {name}": 1 for name in (*names, ".ipynb_checkpoints")},
        "Thumbs.db": 1, "desktop.ini": 1, "hidden (name begins with a dot)": 2,
    }  # fmt: skip


@pytest.mark.parametrize("store", TREE_STORES)
def test_folders_named_like_splits_beside_people_are_refused(tmp_path: Path, store: str) -> None:
    root = MAKE[store](tmp_path / "set", "train/al/1.jpg", "bo/1.jpg")
    with pytest.raises(SourceError, match=r"holds train, named like splits, beside bo: --identities parent reads"):
        open_source("folder", root)
    assert people(open_source("folder", root, "parent")).keys() == {"al", "bo"}
    flat = MAKE[store](tmp_path / "flat", "train/1.jpg", "val/1.jpg")
    with pytest.raises(SourceError, match=r"photos directly in train, val and no folder per person: --identities none"):
        open_source("folder", flat)
    assert people(open_source("folder", flat, "none")) == {".": {"train": 1, "val": 1}}


@pytest.mark.parametrize(
    ("paths", "folder", "option"),
    [
        (["images/1.jpg", "x/notes.txt"], "images", "none"), (["set/train_set/img/1.jpg"], "set/train_set/img", "none"),
        (["images/al/1.jpg", "images/bo/1.jpg", "labels/x.txt"], "images", "parent"),
    ],
)  # fmt: skip
def test_folders_with_a_name_that_is_no_person_are_refused(
    tmp_path: Path, paths: list[str], folder: str, option: str
) -> None:
    root = make_directory(tmp_path, *paths)
    with pytest.raises(
        SourceError, match=rf"photos in {folder} and no folder per person beside: --identities {option}"
    ):
        open_source("folder", root)
    assert people(open_source("folder", root, option)).keys() == ({"."} if option == "none" else {"al", "bo"})


@pytest.mark.parametrize(
    ("paths", "note"),
    [
        (["train/al/1.jpg"], "read as splits: train; --identities first reads them as people instead"),
        (["set/al/1.jpg"], "all photos are below set: its folders are read as people; --identities first reads set as "
         "one person"),
        (["actors/al/1.jpg", "actors/bo/1.jpg", "actresses/ann/1.jpg", "actresses/bea/1.jpg"], "actors, actresses hold "
         "folders and no photos: read as people; --identities parent reads the folder that holds each photo as its "
         "person"),
        (["a/set/al/1.jpg", "a/set/bo/1.jpg"], "all photos are below a/set: its folders are read as people; "
         "--identities first reads a as one person"),
        (["A/Anna/1.jpg", "B/Bert/1.jpg"], "A, B hold folders and no photos: read as people; --identities parent reads "
         "the folder that holds each photo as its person"),
        (["anna_1.jpg", "bo_1.jpg"], "there is no folder per person: photos are read without identities; --identities "
         "takes them from a file, or with regex:EXPRESSION from the names of the photos"),
        (["set/00000/00000.png", "set/01000/01000.png"], "numbered photos in folders of a thousand, as in FFHQ: read "
         "without identities; --identities first reads each folder as a person"),
        (["0000/0.png", "1000/1000.png"], "numbered photos in folders of a thousand, as in FFHQ: read without "
         "identities; --identities first reads each folder as a person"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("store", TREE_STORES)
def test_a_note_names_the_option_that_reads_a_tree_otherwise(
    tmp_path: Path, store: str, paths: list[str], note: str
) -> None:
    root = MAKE[store](tmp_path / "set", *paths)
    assert open_source("folder", root).notes() == [note]
    assert open_source("folder", root, "first").notes() == []


@pytest.mark.parametrize("store", TREE_STORES)
def test_folders_that_vggface2_does_not_read_are_named(tmp_path: Path, store: str) -> None:
    files = ["train/n000002/1.jpg", "train/1.jpg", "extra/a/1.jpg", "extra/2.jpg", "meta/identity_meta.csv"]
    source = open_source("vggface2", MAKE[store](tmp_path / "set", *files))
    start = "not read, no folder of a person (nNNNNNN): "
    assert source.notes() == [f"{start}directly in train, 1 photo", f"{start}extra/, 2 photos"]


@pytest.mark.parametrize(
    ("paths", "option"),
    [
        (["al/1.jpg", "bo/1.jpg"], None), (["train/al/1.jpg", "val/bo/1.jpg"], None),
        (["a/b/al/1.jpg", "a/b/bo/1.jpg"], None), (["1.jpg"], "none"), (["train/1.jpg", "val/2.jpg"], "none"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("store", TREE_STORES)
def test_the_command_that_a_refusal_of_vggface2_advises_works(
    tmp_path: Path, store: str, paths: list[str], option: str | None
) -> None:
    root = MAKE[store](tmp_path / "set", *paths)
    with pytest.raises(SourceError) as refusal:
        open_source("vggface2", root)
    assert f"`curate clean folder --root {root}{f' --identities {option}' if option else ''}`" in str(refusal.value)
    expected = {"."} if option == "none" else {"al", "bo"}
    assert people(open_source("folder", root, option)).keys() == expected


@pytest.mark.parametrize("store", TREE_STORES)
def test_a_folder_of_one_name_in_each_person_is_no_person(tmp_path: Path, store: str) -> None:
    source = open_source("folder", MAKE[store](tmp_path / "set", "al/images/1.jpg", "bo/images/1.jpg"))
    assert (people(source).keys(), source.notes()) == ({"al", "bo"}, [])


def test_other_layouts_refuse_the_option(tmp_path: Path) -> None:
    make_directory(tmp_path, "n000001/1.jpg")
    for layout in ("vggface2", "sjtu"):
        with pytest.raises(SourceError, match="--identities applies to the layout 'folder' only"):
            open_source(layout, tmp_path, "parent")


def test_backslashes_in_an_archive_separate_folders(tmp_path: Path) -> None:
    tar = make_tar(tmp_path / "set.tar", r"al\1.jpg", r"bo\2.jpg", r"bo\.x.jpg", r"..\out.jpg", r"bo\notes.txt")
    source = open_source("folder", tar)
    image_ids = {key: [entry.image_id for entry in source.entries(key)] for key in source.identities()}
    assert image_ids == {"al": ["al/1.jpg"], "bo": ["bo/2.jpg"], ".": ["../out.jpg"]}
    assert source.entries(".")[0].refusal is not None


def test_backslashes_in_names_of_files_are_noted(tmp_path: Path) -> None:
    source = open_source("folder", make_directory(tmp_path, r"al\1.jpg", "bo/2.jpg"))
    assert people(source) == {".": {None: 1}, "bo": {None: 1}}
    (note,) = source.notes()
    assert note.startswith("1 photo has backslashes in the name and no folder, so no identity: unpack")


def test_many_photos_without_identity_are_listed_in_parts(tmp_path: Path) -> None:
    paths = [f"{number}.jpg" for number in range(100)]
    source = open_source("folder", make_directory(tmp_path / "set", *paths), "none")
    keys = source.identities()
    assert len(keys) > 50
    part = keys[0]
    entries = source.entries(part)
    make_directory(tmp_path / "set", *(f"new/{number}.jpg" for number in range(100)))
    again = open_source("folder", tmp_path / "set", "none")
    assert set(entries) <= set(again.entries(part))
