"""The store `recordio`: packs by an independent writer, damaged indexes, truncated packs."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from curate.errors import DecodeError, SourceError
from curate.sources import open_source
from tests.samples.recordio import (
    MAGIC,
    header,
    image_record,
    write_insightface_pack,
    write_pack,
    write_records,
)
from tests.samples.sources import listed, only, readable


def photos(count: int) -> list[tuple[float, bytes]]:
    generator = np.random.default_rng(0)
    return [(number // 10, b"\xff\xd8" + generator.bytes(int(generator.integers(1, 4000)))) for number in range(count)]


def test_a_pack_of_a_thousand_photos(tmp_path: Path) -> None:
    content = photos(1000)
    root = write_insightface_pack(tmp_path, content)
    (root / "property").write_text("100,112,112")
    (root / "lfw.bin").write_bytes(b"pairs")
    for source in (open_source("folder", root), open_source("folder", root / "train.rec")):
        assert source.identities() == sorted(str(number) for number in range(100))
        entries = [entry for name in source.identities() for entry in source.entries(name)]
        assert len(entries) == 1000
        with ThreadPoolExecutor(4) as pool:
            images = list(pool.map(source.read, entries))
        for entry, image in zip(entries, images, strict=True):
            label, expected = content[int(Path(entry.image_id).stem) - 1]
            assert (entry.image_id.partition("/")[0], image, entry.size) == (f"{label:.0f}", expected, len(expected))


def test_the_magic_number_in_an_image(tmp_path: Path) -> None:
    images = [b"\xff\xd8ab" + MAGIC + b"cdef" + MAGIC * 2 + b"g", MAGIC, b"x" * 7 + MAGIC, b"\xff\xd8ab" + MAGIC]
    source = open_source("folder", write_pack(tmp_path, [(key, 5.0, image) for key, image in enumerate(images)]))
    assert [source.read(entry) for entry in source.entries("5")] == images


def test_labels_and_kinds_of_images(tmp_path: Path) -> None:
    records = [
        (3, header(2, [11.0, 0.5]) + b"\xff\xd8two labels"),
        (4, image_record(float("nan"), b"\xff\xd8no label")),
        (5, image_record(2.5, b"\x89PNG")),
        (6, header(2, [1.0, 2.0])),
        (7, b"short"),
        (8, header(9, [1.0])),
    ]
    source = open_source("folder", write_records(tmp_path, records))
    assert listed(source) == {".": ["4.jpg", "7.jpg"], "1": ["1/8.jpg"], "11": ["11/3.jpg"], "2.5": ["2.5/5.png"]}
    assert source.read(only(source, "11")) == b"\xff\xd8two labels"
    short = "record is shorter than its header"
    assert [entry.refusal for entry in source.entries(".")] == [None, short]
    assert only(source, "1").refusal == short


def test_a_pack_without_an_index(tmp_path: Path) -> None:
    root = write_insightface_pack(tmp_path, photos(30))
    expected = listed(open_source("folder", root))
    (root / "train.idx").unlink()
    assert listed(open_source("folder", root)) == expected
    data = bytearray((root / "train.rec").read_bytes())
    data[40] ^= 1
    (root / "train.rec").write_bytes(data)
    with pytest.raises(SourceError, match=r"train\.rec is damaged at byte 40 of .*: fetch it and its \.idx again"):
        open_source("folder", root)


@pytest.mark.parametrize("indexed", [True, False])
def test_a_truncated_pack(tmp_path: Path, indexed: bool) -> None:
    root = write_pack(tmp_path, [(key, 1.0, b"\xff\xd8" + bytes(100)) for key in range(4)])
    os.truncate(root / "train.rec", 2 * 136 + 50)
    if not indexed:
        (root / "train.idx").unlink()
    source = open_source("folder", root)
    entries = {entry.image_id: entry for name in source.identities() for entry in source.entries(name)}
    cut = "cut off: the pack ends before this record does"
    expected = {"1/0.jpg": None, "1/1.jpg": None, "1/2.jpg": cut} | ({"3.jpg": cut} if indexed else {})
    assert {image_id: entry.refusal for image_id, entry in entries.items()} == expected
    with pytest.raises(DecodeError, match=r"^cannot be read: cut off"):
        source.read(entries["1/2.jpg"])


def test_a_truncated_insightface_pack_has_no_rows_for_identities(tmp_path: Path) -> None:
    root = write_insightface_pack(tmp_path, photos(30))
    os.truncate(root / "train.rec", 30_000)
    source = open_source("folder", root)
    entries = [entry for name in source.identities() for entry in source.entries(name)]
    assert len(entries) == 30
    assert {entry.refusal for entry in entries} == {None, "cut off: the pack ends before this record does"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("2\t", "two\t"), r"train\.idx cannot be read as lines of KEY<tab>OFFSET"),
        (lambda text: text.replace("\t", " "), r"train\.idx cannot be read as lines of KEY<tab>OFFSET"),
        (lambda text: text[: text.index("\n2")], r"train\.idx is cut off: 272 bytes of train\.rec follow"),
        (lambda text: text[:-2], r"train\.idx is cut off: 136 bytes of train\.rec follow"),
        (lambda text: "", r"train\.idx "),
        (lambda text: text.replace("\t136", "\t-136"), r"train\.idx has negative keys or offsets"),
        (lambda text: text.replace("\t136", "\t"), r"train\.idx has lines without a key or an offset"),
    ],
)
def test_a_damaged_index_is_one_line(tmp_path: Path, change: object, message: str) -> None:
    root = write_pack(tmp_path, [(key, 1.0, b"\xff\xd8" + bytes(100)) for key in range(4)])
    text = (root / "train.idx").read_text()
    (root / "train.idx").write_text(change(text))  # type: ignore[operator]
    with pytest.raises(SourceError, match=message) as caught:
        open_source("folder", root)
    assert "or remove it so that the pack is read without an index" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_offset_that_points_to_no_record_is_a_row(tmp_path: Path) -> None:
    root = write_pack(tmp_path, [(key, 1.0, b"\xff\xd8" + bytes(100)) for key in range(4)])
    text = (root / "train.idx").read_text()
    (root / "train.idx").write_text(text.replace("\t136\n", "\t140\n"))
    source = open_source("folder", root)
    assert only(source, ".").refusal == "the index points to no record of the pack"
    assert [entry.refusal for entry in source.entries("1")] == [None] * 3


def test_random_damage_gives_rows_or_one_line(tmp_path: Path) -> None:
    root = write_insightface_pack(tmp_path, photos(20))
    whole = {name: (root / name).read_bytes() for name in ("train.rec", "train.idx")}
    generator = np.random.default_rng(1)
    for trial in range(200):
        name = ("train.rec", "train.idx")[trial % 2]
        data = bytearray(whole[name])
        for at in generator.integers(0, len(data), 30):
            data[at] = generator.integers(0, 256)
        for other, content in whole.items():
            (root / other).write_bytes(data if other == name else content)
        if trial % 4 == 0:
            (root / "train.idx").unlink()
        readable(root)


def test_an_empty_pack(tmp_path: Path) -> None:
    (tmp_path / "train.rec").touch()
    with pytest.raises(SourceError, match=r"train\.rec is empty: fetch it again"):
        open_source("folder", tmp_path)
