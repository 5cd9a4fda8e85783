"""Listing and reading collections: every layout, from a directory and from a tar, and everything odd on a disk."""

import io
import os
import pickle
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from curate.errors import DecodeError, SourceError
from curate.sources import Entry, Source, decode_name, encode_name, open_source
from curate.sources.layouts.sjtu import person_of
from curate.sources.layouts.vggface2_tables import plausible


def make(root: Path, *names: str) -> Path:
    """Files with their own name as content: sources never look inside."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


def make_tar(path: Path, names: Iterable[str]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(os.fsencode(name))
            archive.addfile(member, io.BytesIO(os.fsencode(name)))
    return path


def listed(source: Source) -> dict[str, list[str]]:
    return {identity: [entry.image_id for entry in source.entries(identity)] for identity in source.identities()}


def only(source: Source, identity: str) -> Entry:
    (entry,) = source.entries(identity)
    return entry


# ---- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"a/b.jpg", "a/b.jpg"),
        ("李/a b.jpg".encode(), "李/a b.jpg"),
        (b"caf\xe9/1.jpg", "caf%E9/1.jpg"),
        (b"100%.jpg", "100%.jpg"),
        (b"a%20b.jpg", "a%2520b.jpg"),
        (b"caf%E9.jpg", "caf%25E9.jpg"),
        (b"%%41.jpg", "%%2541.jpg"),
        (b"two\nlines\x00.jpg", "two%0Alines%00.jpg"),
        (b"\xed\xa0\x80.jpg", "%ED%A0%80.jpg"),
    ],
)
def test_names_are_text_and_come_back(raw: bytes, text: str) -> None:
    assert encode_name(raw) == text
    assert decode_name(text) == raw
    text.encode("utf-8")


def test_random_names_come_back() -> None:
    generator = np.random.default_rng(0)
    seen = {}
    for _ in range(3000):
        raw = bytes(generator.choice(list(b"%0aF\xc3\xa9\xff.\n"), int(generator.integers(1, 7))).tolist())
        assert decode_name(encode_name(raw)) == raw
        assert seen.setdefault(encode_name(raw), raw) == raw


# ---- folder ---------------------------------------------------------------------------------------------------------


def test_folder_lists_people_nested_and_loose_photos(tmp_path: Path) -> None:
    make(
        tmp_path, "bo/2.JPG", "bo/deep/er/1.png", "al/x.webp", "loose.gif", "al/notes.txt", ".trash/z.jpg", "al/.x.jpg"
    )
    (tmp_path / "empty").mkdir()
    source = open_source("folder", tmp_path)
    assert listed(source) == {
        ".": ["loose.gif"], "al": ["al/x.webp"], "bo": ["bo/2.JPG", "bo/deep/er/1.png"], "empty": [],
    }  # fmt: skip
    assert source.ignored() == {".txt": 1}
    listed(source)
    assert source.ignored() == {".txt": 1}
    entry = only(source, "al")
    status = (tmp_path / "al/x.webp").stat()
    assert (entry.identity, entry.size, entry.mtime_ns) == ("al", status.st_size, status.st_mtime_ns)
    assert source.read(entry) == b"al/x.webp"
    assert source.entries("nobody") == source.entries("..") == source.entries("al/../bo") == []
    assert source.metadata() == {}
    again = pickle.loads(pickle.dumps(source))
    assert again.read(entry) == b"al/x.webp"


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    folder = os.path.join(os.fsencode(tmp_path), b"ren\xe9")
    os.mkdir(folder)
    with open(os.path.join(folder, b"\xff 50%41.jpg"), "wb") as file:
        file.write(b"pixels")
    source = open_source("folder", tmp_path)
    assert listed(source) == {"ren%E9": ["ren%E9/%FF 50%2541.jpg"]}
    assert source.read(only(source, "ren%E9")) == b"pixels"


def test_links_are_followed_once_and_loops_refused(tmp_path: Path) -> None:
    root, elsewhere = make(tmp_path / "root", "al/1.jpg"), make(tmp_path / "elsewhere", "bo/2.jpg")
    (root / "al/up").symlink_to(root)
    (root / "al/self").symlink_to(root / "al")
    (root / "al/slash").symlink_to("/")
    (root / "al/round.jpg").symlink_to("round.jpg")
    (root / "al/gone.jpg").symlink_to("nowhere.jpg")
    (root / "al/linked.jpg").symlink_to(elsewhere / "bo/2.jpg")
    (root / "bo").symlink_to(elsewhere / "bo")
    (root / "parent").symlink_to(tmp_path)
    source = open_source("folder", root)
    refusals = {entry.image_id: entry.refusal for name in source.identities() for entry in source.entries(name)}
    loop = "symlink loop: leads to a folder that is listed already"
    assert refusals == {
        "al/1.jpg": None, "al/linked.jpg": None, "al/gone.jpg": "broken link", "al/round.jpg": "symlink loop",
        "al/up": loop, "al/self": loop, "al/slash": loop, "bo/2.jpg": None, "parent": loop,
    }  # fmt: skip
    entries = {entry.image_id: entry for entry in source.entries("al")}
    assert source.read(entries["al/linked.jpg"]) == b"bo/2.jpg"
    with pytest.raises(DecodeError, match=r"^cannot be read: symlink loop: "):
        source.read(entries["al/up"])


def test_folders_that_link_to_each_other_end(tmp_path: Path) -> None:
    make(tmp_path, *(f"al/{name}/{name}.jpg" for name in "abcdefgh"))
    for one in "abcdefgh":
        for other in "abcdefgh":
            (tmp_path / "al" / one / f"to_{other}").symlink_to(tmp_path / "al" / other)
    entries = open_source("folder", tmp_path).entries("al")
    assert sum(entry.refusal is None for entry in entries) == 8
    assert len(entries) == 8 + 64


def test_what_cannot_be_read_says_so(tmp_path: Path) -> None:
    make(tmp_path, "al/1.jpg", "al/2.jpg")
    os.mkfifo(tmp_path / "al/pipe.jpg")
    with (tmp_path / "al/huge.jpg").open("wb") as file:
        file.truncate((256 << 20) + 1)
    source = open_source("folder", tmp_path)
    entries = {entry.image_id: entry for entry in source.entries("al")}
    assert entries["al/pipe.jpg"].refusal == "not a regular file"
    assert entries["al/huge.jpg"].refusal == "larger than 256 MiB"
    (tmp_path / "al/1.jpg").unlink()
    with pytest.raises(DecodeError, match=r"^cannot be read: No such file"):
        source.read(entries["al/1.jpg"])
    (tmp_path / "al/2.jpg").unlink()
    (tmp_path / "al/2.jpg").mkdir()
    with pytest.raises(DecodeError, match=r"^cannot be read: Is a directory"):
        source.read(entries["al/2.jpg"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_permissions(tmp_path: Path) -> None:
    make(tmp_path, "al/1.jpg", "bo/1.jpg")
    (tmp_path / "al/1.jpg").chmod(0)
    (tmp_path / "bo").chmod(0)
    source = open_source("folder", tmp_path)
    with pytest.raises(DecodeError, match=r"^cannot be read: Permission denied"):
        source.read(only(source, "al"))
    assert only(source, "bo").refusal == "folder cannot be listed: Permission denied"


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file whose reading fails for everybody")
def test_a_file_that_fails_while_it_is_read(tmp_path: Path) -> None:
    make(tmp_path, "al/1.jpg")
    source = open_source("folder", tmp_path)
    entry = only(source, "al")
    (tmp_path / "al/1.jpg").unlink()
    (tmp_path / "al/1.jpg").symlink_to("/proc/self/mem")
    with pytest.raises(DecodeError, match=r"^cannot be read: Input/output error"):
        source.read(entry)


# ---- sjtu -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "person"),
    [
        ("li_wei_0012.png", "li_wei"), ("li-3.png", "li"), ("li wei (12).png", "li wei"), ("li_1_2.png", "li_1"),
        ("liwei12.png", "liwei12"), ("liwei.png", "liwei"), ("0012.png", "."), ("12_0003.png", "."),
        ("a.b.7.png", "a.b"),
    ],
)  # fmt: skip
def test_the_person_in_a_flat_name(name: str, person: str) -> None:
    assert person_of(name) == person


def test_sjtu_reads_folders_and_flat_names_together(tmp_path: Path) -> None:
    make(tmp_path, "zhang/1.png", "zhang_0002.png", "li_1.png", "li_2.png", "007.png", "readme.txt")
    source = open_source("sjtu", tmp_path)
    expected = {".": ["007.png"], "li": ["li_1.png", "li_2.png"], "zhang": ["zhang/1.png", "zhang_0002.png"]}
    assert listed(source) == expected
    assert source.ignored() == {".txt": 1}
    assert [source.read(entry) for entry in source.entries("zhang")] == [b"zhang/1.png", b"zhang_0002.png"]
    tar = make_tar(tmp_path / "set.tar", [name for names in expected.values() for name in names])
    assert listed(open_source("sjtu", tar)) == expected


# ---- vggface2 -------------------------------------------------------------------------------------------------------

GOOD = "40,50, 80,50, 60,70, 45,90, 75,90"


def make_vggface2(root: Path, split: str = "train") -> Path:
    make(root, f"{split}/n000002/0001_01.jpg", f"{split}/n000002/0002_01.jpg", f"{split}/n000002/0003_01.jpg")
    make(root, f"{split}/n000009/0001_02.jpg", f"{split}/n000009/0001_03.jpg")
    points = ",".join(f"P{point}{axis}" for point in range(1, 6) for axis in "XY")
    rows = {
        "n000009/0001_02": GOOD, "n000002/0001_01": GOOD, "n000002/0002_01": "40,50, 41,50, 60,70, 45,90, 75,90",
        "n000002/0003_01": GOOD,
    }  # fmt: skip
    boxes = {"n000002/0001_01": "30,30,60,80", "n000002/0003_01": "300,300,60,80", "n000009/0001_03": "1,2,0,0"}
    (root / "bb_landmark").mkdir()
    (root / "bb_landmark" / "loose_landmark_train.csv").write_text(
        f"NAME_ID,{points}\n" + "".join(f'"{name}",{row.replace(" ", "")}\n' for name, row in rows.items())
    )
    (root / "bb_landmark" / "loose_bb_train.csv").write_text(
        "NAME_ID,X,Y,W,H\n" + "".join(f'"{name}",{row}\n' for name, row in boxes.items())
    )
    (root / "identity_meta.csv").write_text(
        'Class_ID, Name, Sample_Num, Flag, Gender\nn000002, "A_Fine_Fiona", 315, 1, f\nn000009, Bo, 2, 1, m\n'
    )
    return root


def test_vggface2_with_its_tables(tmp_path: Path) -> None:
    source = open_source("vggface2", make_vggface2(tmp_path))
    assert source.identities() == ["n000002", "n000009"]
    first, second, third = source.entries("n000002")
    assert (first.image_id, first.split) == ("train/n000002/0001_01.jpg", "train")
    assert first.landmarks == (40, 50, 80, 50, 60, 70, 45, 90, 75, 90)
    assert first.box == (30, 30, 90, 110)
    assert second.landmarks is None, "its eyes are one pixel apart"
    assert second.box is None
    assert third.landmarks is None, "its points lie far outside its box"
    assert third.box == (300, 300, 360, 380)
    with_points, empty_box = source.entries("n000009")
    assert with_points.landmarks is not None, "points without a box are believed"
    assert (empty_box.landmarks, empty_box.box) == (None, None)
    assert source.metadata()["n000002"] == {"Name": "A_Fine_Fiona", "Sample_Num": "315", "Flag": "1", "Gender": "f"}
    assert source.describe() == f"{tmp_path}: 2 identities in train; landmarks given"
    assert pickle.loads(pickle.dumps(source)).entries("n000002") == [first, second, third]


@pytest.mark.parametrize(
    ("photo", "root", "split"),
    [
        ("train/n000002/1.jpg", ".", "train"), ("test/n000002/1.jpg", ".", "test"),
        ("data/test/n000002/1.jpg", ".", "test"), ("n000002/1.jpg", ".", None),
        ("vggface2_train/train/n000002/1.jpg", ".", "train"), ("train/n000002/1.jpg", "train", "train"),
        ("VGG-Face2/data/vggface2_test/test/n000002/1.jpg", ".", "test"),
    ],
)  # fmt: skip
def test_vggface2_layouts(tmp_path: Path, photo: str, root: str, split: str | None) -> None:
    make(tmp_path / "set", photo, str(Path(photo).parents[1] / "n000003" / "2.jpg"))
    source = open_source("vggface2", tmp_path / "set" / root)
    entry = only(source, "n000002")
    assert entry.split == split
    assert (tmp_path / "set" / root / entry.image_id).read_bytes() == source.read(entry) == photo.encode()
    assert source.identities() == ["n000002", "n000003"]


def test_a_person_in_both_splits_keeps_all_photos(tmp_path: Path) -> None:
    source = open_source("vggface2", make(tmp_path, "train/n000002/1.jpg", "test/n000002/1.jpg"))
    assert [(entry.image_id, entry.split) for entry in source.entries("n000002")] == [
        ("test/n000002/1.jpg", "test"),
        ("train/n000002/1.jpg", "train"),
    ]


def test_vggface2_tar_uses_the_tables_beside_it(tmp_path: Path) -> None:
    root = make_vggface2(tmp_path / "set")
    directory = open_source("vggface2", root)
    with tarfile.open(root / "vggface2_train.tar", "w") as archive:
        archive.add(root / "train", "train")
    source = open_source("vggface2", root / "vggface2_train.tar")
    for identity in directory.identities():
        for ours, theirs in zip(source.entries(identity), directory.entries(identity), strict=True):
            assert (ours.image_id, ours.split, ours.landmarks, ours.box) == (
                theirs.image_id, theirs.split, theirs.landmarks, theirs.box,
            )  # fmt: skip
            assert source.read(ours) == directory.read(theirs)
    assert source.metadata() == directory.metadata()


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    root = make_vggface2(tmp_path)
    (root / "bb_landmark" / "loose_landmark_train.csv").write_text("NAME_ID,P1X\nn000002/0001_01,left\n")
    with pytest.raises(SourceError, match=r"loose_landmark_train\.csv cannot be read as NAME_ID,P1X.*remove it"):
        open_source("vggface2", root).entries("n000002")


def test_a_gap_in_a_table_costs_one_photo_its_landmarks(tmp_path: Path) -> None:
    root = make_vggface2(tmp_path)
    table = root / "bb_landmark" / "loose_landmark_train.csv"
    table.write_text(table.read_text().replace('"n000009/0001_02",40,', '"n000009/0001_02",,'))
    source = open_source("vggface2", root)
    assert [entry.landmarks is None for entry in source.entries("n000009")] == [True, True]
    assert source.entries("n000002")[0].landmarks is not None


def test_which_landmarks_are_plausible() -> None:
    good = np.array([40, 50, 80, 50, 60, 70, 45, 90, 75, 90], float)
    box = np.array([30, 30, 90, 110], float)

    def moved(**points: float) -> np.ndarray:
        changed = good.copy()
        for name, value in points.items():
            changed[int(name[1:])] = value
        return changed

    cases = {
        "good": (good, True),
        "tilted 40 degrees": (moved(_3=80, _7=110, _9=130, _6=20, _8=50), True),
        "profile": (moved(_2=46, _6=44, _8=43), True),
        "missing": (moved(_4=np.nan), False),
        "infinite": (moved(_4=np.inf), False),
        "eyes crossed": (moved(_0=80, _2=40), False),
        "eyes together": (moved(_2=42), False),
        "upside down": (moved(_7=10, _9=10), False),
        "far outside": (good + 200, False),
    }
    points = np.stack([case for case, _ in cases.values()])
    result = plausible(points, np.tile(box, (len(cases), 1)))
    assert dict(zip(cases, result.tolist(), strict=True)) == {name: expected for name, (_, expected) in cases.items()}
    assert plausible(good[None] + 200, np.full((1, 4), np.nan)).all()


# ---- tar ------------------------------------------------------------------------------------------------------------


def test_tar_equals_the_directory(tmp_path: Path) -> None:
    names = ["bo/2.jpg", "al/deep/1.png", "al/x.txt", "al/.hidden.jpg", "loose.jpg"]
    directory = open_source("folder", make(tmp_path / "root", *names))
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        archive.add(tmp_path / "root", ".")
    source = open_source("folder", tmp_path / "set.tar")
    assert listed(source) == listed(directory)
    assert source.ignored() == directory.ignored() == {".txt": 1}
    for identity in source.identities():
        for entry in source.entries(identity):
            assert source.read(entry) == entry.image_id.encode()
    again = pickle.loads(pickle.dumps(source))
    assert again.read(only(again, "bo")) == b"bo/2.jpg"


def test_a_wrapping_folder_is_not_a_person(tmp_path: Path) -> None:
    wrapped = make_tar(tmp_path / "a.tar", ["set/al/1.jpg", "set/bo/1.jpg"])
    assert listed(open_source("folder", wrapped)) == {"al": ["set/al/1.jpg"], "bo": ["set/bo/1.jpg"]}
    one = make_tar(tmp_path / "b.tar", ["al/1.jpg", "al/old/2.jpg"])
    assert listed(open_source("folder", one)) == {"al": ["al/1.jpg", "al/old/2.jpg"]}


def test_tar_members_that_escape_or_are_no_files(tmp_path: Path) -> None:
    tar = tmp_path / "set.tar"
    with tarfile.open(tar, "w") as archive:
        for name in ("al/1.jpg", "../out.jpg", "al/../../up.jpg", "/abs.jpg"):
            member = tarfile.TarInfo(name)
            member.size = 4
            archive.addfile(member, io.BytesIO(b"data"))
        for name, kind in (
            ("al/soft.jpg", tarfile.SYMTYPE), ("al/hard.jpg", tarfile.LNKTYPE), ("al/dev.jpg", tarfile.CHRTYPE),
            ("al/fifo.jpg", tarfile.FIFOTYPE),
        ):  # fmt: skip
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    before = sorted(tmp_path.rglob("*"))
    source = open_source("folder", tar)
    refusals = {entry.image_id: entry.refusal for name in source.identities() for entry in source.entries(name)}
    outside, link, special = (
        "tar member outside the tar's own folder", "tar member is a link", "tar member is not a regular file",
    )  # fmt: skip
    assert refusals == {
        "al/1.jpg": None, "../out.jpg": outside, "al/../../up.jpg": outside, "/abs.jpg": outside,
        "al/soft.jpg": link, "al/hard.jpg": link, "al/dev.jpg": special, "al/fifo.jpg": special,
    }  # fmt: skip
    assert len(source.entries(".")) == 3
    for entry in source.entries("."):
        with pytest.raises(DecodeError, match=r"^cannot be read: tar member outside"):
            source.read(entry)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_last_of_duplicate_members_is_the_photo(tmp_path: Path) -> None:
    tar = tmp_path / "set.tar"
    with tarfile.open(tar, "w") as archive:
        for name, content in (("al/1.jpg", b"first"), ("./al/1.jpg", b"second"), ("al/1.jpg", b"third")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    source = open_source("folder", tar)
    entries = source.entries("al")
    assert [entry.image_id for entry in entries] == ["al/1.jpg", "al/1.jpg%001", "al/1.jpg%002"]
    assert source.read(entries[0]) == b"third"
    assert {entry.refusal for entry in entries[1:]} == {"duplicate: a later tar member has the same name"}


def test_tar_names_long_and_not_utf8(tmp_path: Path) -> None:
    long = "al/" + "x" * 200 + ".jpg"
    source = open_source("folder", make_tar(tmp_path / "set.tar", [long, os.fsdecode(b"ren\xe9/\xff.jpg")]))
    assert listed(source) == {"al": [long], "ren%E9": ["ren%E9/%FF.jpg"]}
    assert source.read(only(source, "al")) == long.encode()


def test_a_cut_tar_keeps_what_is_whole(tmp_path: Path) -> None:
    whole = make_tar(tmp_path / "set.tar", ["al/1.jpg", "al/2.jpg"]).read_bytes()
    (tmp_path / "set.tar").write_bytes(whole[: 3 * 512 + 3])
    source = open_source("folder", tmp_path / "set.tar")
    assert [(entry.image_id, entry.refusal) for entry in source.entries("al")] == [
        ("al/1.jpg", None),
        ("al/2.jpg", "cut off: the tar ends before this member does"),
    ]


def test_a_damaged_tar_is_refused_not_shortened(tmp_path: Path) -> None:
    tar = make_tar(tmp_path / "set.tar", ["al/1.jpg", "al/2.jpg"])
    data = bytearray(tar.read_bytes())
    data[1024:1100] = b"\x55" * 76
    tar.write_bytes(data)
    with pytest.raises(SourceError, match=r"is damaged at byte 1,024 of .*: fetch it again"):
        open_source("folder", tar)


def test_a_tar_that_changed_is_not_read(tmp_path: Path) -> None:
    tar = make_tar(tmp_path / "set.tar", ["al/1.jpg"])
    source = open_source("folder", tar)
    entry = only(source, "al")
    make_tar(tar, ["bo/1.jpg", "bo/2.jpg", *(f"bo/{number}.jpg" for number in range(30))])
    with pytest.raises(DecodeError, match="the tar changed after it was listed"):
        source.read(entry)


# ---- what cannot be opened ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["folder", "sjtu", "vggface2"])
def test_roots_that_hold_no_collection(tmp_path: Path, kind: str) -> None:
    with pytest.raises(SourceError, match=r"cannot be opened \(No such file or directory\): give the folder"):
        open_source(kind, tmp_path / "missing")
    with pytest.raises(SourceError, match=r"is empty: expected .*--root"):
        open_source(kind, tmp_path)
    make(tmp_path, "al/notes.txt", "vggface2_train.tar")
    with pytest.raises(
        SourceError, match=r"no photo under .*: found 1 folders and 1 \.tar, 1 \.txt, expected .*tar itself"
    ):
        open_source(kind, tmp_path)


def test_an_unknown_kind_and_a_wrong_layout(tmp_path: Path) -> None:
    make(tmp_path, "alice/1.jpg")
    with pytest.raises(SourceError, match="no kind of source is called 'vggface'; there are folder, sjtu, vggface2"):
        open_source("vggface", tmp_path)
    with pytest.raises(SourceError, match=r"not laid out as VGGFace2: expected train/n000002.*found alice.*'folder'"):
        open_source("vggface2", tmp_path)
    with pytest.raises(SourceError, match="holds no photo where a vggface2 collection has them"):
        open_source("vggface2", make_tar(tmp_path / "set.tar", ["alice/1.jpg"]))


@pytest.mark.parametrize(("mode", "command"), [("w:gz", "gunzip"), ("w:bz2", "bunzip2"), ("w:xz", "unxz")])
def test_a_compressed_tar_says_how_to_go_on(tmp_path: Path, mode: str, command: str) -> None:
    with tarfile.open(tmp_path / "set.tar", mode) as archive:
        archive.add(make(tmp_path / "x", "al/1.jpg"), ".")
    with pytest.raises(SourceError, match=rf"is compressed.*decompress it first \({command} set.tar\)"):
        open_source("folder", tmp_path / "set.tar")


def test_a_file_that_is_no_tar(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"\xff\xd8" * 600)
    with pytest.raises(SourceError, match="is a file but not a tar"):
        open_source("folder", tmp_path / "x.jpg")
    with pytest.raises(SourceError, match=r"neither a folder nor a .tar"):
        open_source("folder", Path(os.devnull))
