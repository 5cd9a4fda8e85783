"""The store `tar`: members that are refused, damaged archives, wrapping folders."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from curate.errors import DecodeError, SourceError
from curate.sources import open_source
from curate.sources.stores.tar import TarStore
from tests.samples.sources import listed, make_directory, make_tar, only


def test_a_wrapping_folder_is_not_an_identity(tmp_path: Path) -> None:
    wrapped = make_tar(tmp_path / "a.tar", "set/al/1.jpg", "set/bo/1.jpg")
    assert listed(open_source("folder", wrapped)) == {"al": ["set/al/1.jpg"], "bo": ["set/bo/1.jpg"]}
    unwrapped = make_tar(tmp_path / "b.tar", "al/1.jpg", "al/old/2.jpg")
    assert listed(open_source("folder", unwrapped)) == {"al": ["al/1.jpg", "al/old/2.jpg"]}


def test_members_outside_the_tar_and_special_members_are_refused(tmp_path: Path) -> None:
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


def test_names_that_are_long_or_not_utf8(tmp_path: Path) -> None:
    long = "al/" + "x" * 200 + ".jpg"
    source = open_source("folder", make_tar(tmp_path / "set.tar", long, os.fsdecode(b"ren\xe9/\xff.jpg")))
    assert listed(source) == {"al": [long], "ren%E9": ["ren%E9/%FF.jpg"]}
    assert source.read(only(source, "al")) == long.encode()


def test_a_truncated_tar_keeps_the_whole_members(tmp_path: Path) -> None:
    whole = make_tar(tmp_path / "set.tar", "al/1.jpg", "al/2.jpg").read_bytes()
    (tmp_path / "set.tar").write_bytes(whole[: 3 * 512 + 3])
    source = open_source("folder", tmp_path / "set.tar")
    assert [(entry.image_id, entry.refusal) for entry in source.entries("al")] == [
        ("al/1.jpg", None),
        ("al/2.jpg", "cut off: the tar ends before this member does"),
    ]


def test_a_damaged_tar_is_refused_not_shortened(tmp_path: Path) -> None:
    tar = make_tar(tmp_path / "set.tar", "al/1.jpg", "al/2.jpg")
    data = bytearray(tar.read_bytes())
    data[1024:1100] = b"\x55" * 76
    tar.write_bytes(data)
    with pytest.raises(SourceError, match=r"is damaged at byte 1,024 of .*: fetch it again"):
        open_source("folder", tar)


def test_a_tar_that_changed_is_not_read(tmp_path: Path) -> None:
    tar = make_tar(tmp_path / "set.tar", "al/1.jpg")
    source = open_source("folder", tar)
    entry = only(source, "al")
    make_tar(tar, "bo/1.jpg", "bo/2.jpg", *(f"bo/{number}.jpg" for number in range(30)))
    with pytest.raises(DecodeError, match="the tar changed after it was listed"):
        source.read(entry)


@pytest.mark.parametrize(("mode", "command"), [("w:gz", "gunzip"), ("w:bz2", "bunzip2"), ("w:xz", "unxz")])
def test_a_compressed_tar_names_the_command_that_decompresses_it(tmp_path: Path, mode: str, command: str) -> None:
    with tarfile.open(tmp_path / "set.tar", mode) as archive:
        archive.add(make_directory(tmp_path / "x", "al/1.jpg"), ".")
    with pytest.raises(
        SourceError, match=rf"is compressed.*decompress it first \({command} --keep set.tar\), .* 0\.0 GB"
    ):
        open_source("folder", tmp_path / "set.tar")


def test_a_tar_compressed_by_zstandard(tmp_path: Path) -> None:
    (tmp_path / "set.tar.zst").write_bytes(b"\x28\xb5\x2f\xfd" + bytes(100))
    with pytest.raises(SourceError, match=r"is compressed.* first \(unzstd --keep set\.tar\.zst\)"):
        open_source("folder", tmp_path / "set.tar.zst")


def test_a_file_that_is_not_a_tar(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"\xff\xd8" * 600)
    with pytest.raises(SourceError, match=r"is a file but not an archive: give a folder .*\.zip, \.rec or \.parquet"):
        open_source("folder", tmp_path / "x.jpg")
    with pytest.raises(SourceError, match="neither a folder nor an archive"):
        open_source("folder", Path(os.devnull))


def test_headers_of_a_gigabyte_and_negative_sizes_are_refused(tmp_path: Path) -> None:
    for name, edit, message in (
        ("long", {"type": tarfile.GNUTYPE_LONGNAME, "size": 1 << 30}, "has a header of 1,073,741,824 bytes at byte 0"),
        ("pax", {"type": tarfile.XHDTYPE, "size": 1 << 30}, "has a header of 1,073,741,824 bytes at byte 0"),
        ("negative", {"size": -1024}, "a tar has a member of -1024 bytes"),
    ):
        header = tarfile.TarInfo("a/1.jpg")
        for key, value in edit.items():
            setattr(header, key, value)
        path = tmp_path / f"{name}.tar"
        path.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
        with pytest.raises(SourceError, match=message):
            TarStore(path)
    pax = tarfile.TarInfo("a/1.jpg")
    pax.pax_headers = {"size": "-2048"}
    (tmp_path / "loop.tar").write_bytes(pax.tobuf(tarfile.PAX_FORMAT) + bytes(2048))
    with pytest.raises(SourceError, match="a tar has a member of -2048 bytes"):
        TarStore(tmp_path / "loop.tar")
