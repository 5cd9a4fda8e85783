"""A writer of RecordIO packs, from the format's description alone."""

import struct
from collections.abc import Iterable
from pathlib import Path

MAGIC = (0xCED7230A).to_bytes(4, "little")


def write_pack(folder: Path, photos: Iterable[tuple[int, float, bytes]]) -> Path:
    """Write train.rec and train.idx with a record per (key, label, encoded image)."""
    return write_records(folder, [(key, image_record(label, image)) for key, label, image in photos])


def write_insightface_pack(folder: Path, photos: list[tuple[float, bytes]]) -> Path:
    """Write a pack with the records that describe identities: photos, sorted by label, have the keys 1, 2, ..."""
    labels = sorted({label for label, _ in photos})
    first = len(photos) + 1
    records = [(0, header(2, [first, first + len(labels)]))]
    records += [(key, image_record(label, image)) for key, (label, image) in enumerate(photos, 1)]
    for number, label in enumerate(labels):
        keys = [key for key, (of_photo, _) in enumerate(photos, 1) if of_photo == label]
        records.append((first + number, header(2, [keys[0], keys[-1] + 1])))
    return write_records(folder, records)


def write_records(folder: Path, records: Iterable[tuple[int, bytes]]) -> Path:
    """Write train.rec and train.idx with these keys and data."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "train.rec").open("wb") as pack, (folder / "train.idx").open("w") as index:
        for key, data in records:
            index.write(f"{key}\t{pack.tell()}\n")
            pack.write(record(data))
    return folder


def record(data: bytes) -> bytes:
    """One record: in parts where the magic number is in the data at a multiple of 4 bytes."""
    parts = [bytearray()]
    for at in range(0, len(data), 4):
        word = data[at : at + 4]
        if word == MAGIC:
            parts.append(bytearray())
        else:
            parts[-1] += word
    written = b""
    for number, part in enumerate(parts):
        if len(parts) == 1:
            continuation = 0
        elif number == 0:
            continuation = 1
        else:
            continuation = 3 if number == len(parts) - 1 else 2
        written += MAGIC + (continuation << 29 | len(part)).to_bytes(4, "little") + part
        written += bytes(-len(part) % 4)
    return written


def image_record(label: float, image: bytes) -> bytes:
    """The data of a photo with one label in its header."""
    return struct.pack("<IfQQ", 0, label, 0, 0) + image


def header(flag: int, labels: list[float]) -> bytes:
    """The data of a record with several labels and no image."""
    return struct.pack("<IfQQ", flag, 0.0, 0, 0) + struct.pack(f"<{len(labels)}f", *labels)
