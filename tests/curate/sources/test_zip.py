"""The store `zip`: members that are refused, damaged and truncated archives, expansion within limits."""

import io
import stat
import struct
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from curate.errors import DecodeError, SourceError
from curate.sources import open_source
from tests.samples.sources import listed, make_zip, only, readable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def test_members_that_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("al/1.jpg", "../out.jpg", "/abs.jpg", "al/secret.jpg"):
            archive.writestr(name, b"data")
        archive.writestr("al/bz.jpg", b"data", zipfile.ZIP_BZIP2)
        link = zipfile.ZipInfo("al/link.jpg")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    data = bytearray(path.read_bytes())
    directory = data.rindex(b"al/secret.jpg") - 46
    data[directory + 8] |= 1  # the flag of encryption
    path.write_bytes(data)
    source = open_source("folder", path)
    refusals = {entry.image_id: entry.refusal for name in source.identities() for entry in source.entries(name)}
    outside = "zip member outside the zip's own folder"
    assert refusals == {
        "al/1.jpg": None, "../out.jpg": outside, "/abs.jpg": outside, "al/secret.jpg": "zip member is encrypted",
        "al/bz.jpg": "zip member is compressed by method 12, which is not supported",
        "al/link.jpg": "zip member is a link",
    }  # fmt: skip


def test_a_wrapping_folder_and_duplicate_members(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = make_zip(tmp_path / "set.zip", "set/al/1.jpg", "set/bo/1.jpg", "set/al/1.jpg")
    source = open_source("folder", path)
    assert listed(source) == {"al": ["set/al/1.jpg", "set/al/1.jpg%001"], "bo": ["set/bo/1.jpg"]}
    assert source.entries("al")[1].refusal == "duplicate: a later zip member has the same name"


class Pipe(io.RawIOBase):
    """A file that can only be appended to, so that sizes and checksums follow the data."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("wb")

    def writable(self) -> bool:
        return True

    def write(self, data: "ReadableBuffer", /) -> int:
        return self.file.write(data)

    def close(self) -> None:
        self.file.close()
        super().close()


def test_members_written_to_a_pipe_and_with_64_bit_sizes(tmp_path: Path) -> None:
    with Pipe(tmp_path / "set.zip") as pipe, zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("al/1.jpg", b"piped" * 100)
        with archive.open("al/2.jpg", "w", force_zip64=True) as member:
            member.write(b"64 bits")
    source = open_source("folder", tmp_path / "set.zip")
    assert [source.read(entry) for entry in source.entries("al")] == [b"piped" * 100, b"64 bits"]


def test_a_self_extracting_prefix_does_not_move_the_members(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "set.zip", "al/1.jpg")
    path.write_bytes(b"PK\x03\x04" + bytes(1000) + path.read_bytes())
    source = open_source("folder", path)
    assert source.read(only(source, "al")) == b"al/1.jpg"


def test_a_member_that_expands_beyond_its_listed_size(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("al/bomb.jpg", bytes(20 << 20))
        archive.writestr("al/huge.jpg", b"x")
    data = bytearray(path.read_bytes())
    for name, size in ((b"al/bomb.jpg", 1000), (b"al/huge.jpg", 1 << 30)):
        struct.pack_into("<I", data, data.rindex(name) - 46 + 24, size)
    path.write_bytes(data)
    bomb, huge = open_source("folder", path).entries("al")
    assert huge.refusal == "larger than 256 MiB"
    with pytest.raises(DecodeError, match=r"cannot be read: zip member is damaged \(size or checksum differs\)"):
        open_source("folder", path).read(bomb)


def test_damaged_data(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "set.zip", "al/1.jpg", "al/2.jpg")
    data = bytearray(path.read_bytes())
    data[data.index(b"al/1.jpg") + 8] ^= 1  # stored
    data[data.index(b"al/2.jpg") + 8] = 0xFF  # deflated
    path.write_bytes(data)
    source = open_source("folder", path)
    for entry in source.entries("al"):
        with pytest.raises(DecodeError, match=r"^cannot be read: zip member is damaged \("):
            source.read(entry)


def test_a_truncated_zip_is_one_line(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "set.zip", "al/1.jpg", "al/2.jpg")
    whole = path.read_bytes()
    for size in (10, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:size])
        with pytest.raises(SourceError, match=r"set\.zip cannot be read as a zip \(.*\): fetch it again"):
            open_source("folder", path)


def test_random_damage_gives_rows_or_one_line(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "set.zip", *(f"al/{number}.jpg" for number in range(8)))
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(200):
        data = bytearray(whole)
        for at in generator.integers(0, len(data), 10):
            data[at] = generator.integers(0, 256)
        data[:4] = whole[:4]
        path.write_bytes(data)
        assert all(len(content) == entry.size for entry, content in readable(path))


def test_a_zip_that_changed_is_not_read(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "set.zip", "al/1.jpg")
    source = open_source("folder", path)
    entry = only(source, "al")
    make_zip(path, "bo/1.jpg", "bo/2.jpg")
    with pytest.raises(DecodeError, match="the zip changed after it was listed"):
        source.read(entry)


def test_a_member_without_a_name_is_not_a_photo(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "set.zip", "al/1.jpg", "al/2.jpg")
    data = bytearray(path.read_bytes())
    directory = data.rindex(b"al/2.jpg") - 46
    data[directory + 28 : directory + 34] = struct.pack("<HHH", 0, 0, 8)  # sizes of name, extra field and comment
    path.write_bytes(data)
    assert listed(open_source("folder", path)) == {"al": ["al/1.jpg"]}


def test_an_empty_zip(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is empty: expected one folder"):
        open_source("folder", make_zip(tmp_path / "set.zip"))
