"""The store `webdataset`: labels as text and JSON, samples without a label, truncated and damaged shards."""

import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from curate.errors import DecodeError, SourceError
from curate.sources import open_source
from tests.samples.sources import listed, make_directory, make_tar


def write_shard(path: Path, members: list[tuple[str, bytes]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_labels(tmp_path: Path) -> None:
    samples = [
        ("0.jpg", b"a"), ("0.cls", b"17\n"),
        ("1.json", json.dumps({"id": 5, "label": "anna"}).encode()), ("1.png", b"b"),
        ("2.jpg", b"c"), ("2.json", b"{damaged"),
        ("3.jpg", b"d"), ("3.txt", b"a caption"),
        ("sub/4.left.jpg", b"e"), ("sub/4.right.jpg", b"f"), ("sub/4.cls", b"../x"),
        ("5.jpg", b"g"), ("5.json", json.dumps(["anna"]).encode()),
        ("../6.jpg", b"h"), ("../6.cls", b"anna"),
    ]  # fmt: skip
    write_shard(tmp_path / "set-0.tar", samples)
    write_shard(tmp_path / "set-1.tar", samples[:2])
    source = open_source("folder", tmp_path)
    assert listed(source) == {
        ".": ["set-0_2.jpg", "set-0_3.jpg", "set-0_5.jpg"],
        "17": ["17/set-0/0.jpg", "17/set-1/0.jpg"],
        "_._x": ["_._x/set-0/sub_4.left.jpg", "_._x/set-0/sub_4.right.jpg"],
        "anna": ["anna/set-0/1.png", "anna/set-0/_._6.jpg"],
    }
    assert [source.read(entry) for entry in source.entries("_._x")] == [b"e", b"f"]
    assert [entry.refusal for entry in source.entries("anna")] == [None, "tar member outside the tar's own folder"]
    assert source.ignored() == {".json without a label": 2, ".txt": 1}


def test_a_truncated_and_a_damaged_shard(tmp_path: Path) -> None:
    shard = tmp_path / "0.tar"
    write_shard(shard, [("0.jpg", b"a"), ("0.cls", b"17"), ("1.jpg", b"b" * 600), ("1.cls", b"17")])
    os.truncate(shard, 5 * 512 + 100)
    source = open_source("folder", tmp_path)
    assert listed(source) == {".": ["0_1.jpg"], "17": ["17/0/0.jpg"]}
    assert source.entries(".")[0].refusal == "cut off: the tar ends before this member does"
    write_shard(shard, [("0.jpg", b"a"), ("0.cls", b"17"), ("1.jpg", b"b"), ("1.cls", b"17")])
    data = bytearray(shard.read_bytes())
    data[2048:2100] = b"\x55" * 52
    shard.write_bytes(data)
    with pytest.raises(SourceError, match=r"0\.tar is damaged at byte 2,048 of .*: fetch it again"):
        open_source("folder", tmp_path)


def test_a_shard_that_changed_is_not_read(tmp_path: Path) -> None:
    for number in range(2):
        write_shard(tmp_path / f"{number}.tar", [("0.jpg", b"a"), ("0.cls", b"17")])
    source = open_source("folder", tmp_path)
    first, second = source.entries("17")
    write_shard(tmp_path / "1.tar", [("0.jpg", b"other"), ("0.cls", b"17")])
    assert source.read(first) == b"a"
    with pytest.raises(DecodeError, match="the shard changed after it was listed"):
        source.read(second)


def test_a_folder_of_tars_without_labels_or_beside_photos_is_a_folder(tmp_path: Path) -> None:
    make_tar(tmp_path / "plain" / "a.tar", "al/1.jpg", "bo/1.jpg")
    with pytest.raises(SourceError, match=r"no photo in .*1 \.tar.*, or the \.tar as --root"):
        open_source("folder", tmp_path / "plain")
    root = make_directory(tmp_path / "photos", "al/1.jpg")
    write_shard(root / "0.tar", [("0.jpg", b"a"), ("0.cls", b"17")])
    assert listed(open_source("folder", root)) == {"al": ["al/1.jpg"]}
