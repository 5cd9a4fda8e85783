"""The store `recordio`: MXNet's RecordIO pack (.rec + .idx), the form of MS1MV2, MS1MV3, CASIA-WebFace and Glint360K.

A record is a little-endian uint32 magic number, a uint32 (continuation flag in the upper 3 bits, length in the lower
29) and its data, padded to 4 bytes. Where the data hold the magic number at a multiple of 4 bytes, the record is
written in parts without it: continuation flag 1 first, 2, then 3 last; 0 is a whole record. The data of an image are a
header (uint32 flag, float32 label, uint64 id, uint64 id2), `flag` float32 labels that replace the one of the header,
and the encoded image. The index has a line "key<tab>offset" per record. In packs of insightface, record 0 holds the
first and last keys of records that describe identities; neither has an image.
"""

import math
import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from curate.errors import DecodeError, SourceError
from curate.sources.entry import MAX_FILE_BYTES
from curate.sources.stores.archive import TOO_LARGE, ArchiveStore, Member, pread_exactly

_MAGIC = 0xCED7230A
_MAGIC_BYTES = struct.pack("<I", _MAGIC)
_RECORD = struct.Struct("<II")  # magic, continuation flag and length
_IMAGE = struct.Struct("<IfQQ")  # flag, label, id, id2
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)

_PACK = "train.rec"
"""File name of the pack in a folder as distributed."""


class RecordIOStore(ArchiveStore):
    """The photos of one pack, listed as LABEL/KEY.jpg. Photos without a number as their label are listed as KEY.jpg.

    Without an index the records are found one after the other, and numbered from 0.
    """

    kind = "pack"
    wraps = False

    @classmethod
    def accepts(cls, root: Path) -> bool:
        return (root.suffix.lower() == ".rec" and root.is_file()) or (root / _PACK).is_file()

    def _find_files(self) -> list[Path]:
        return [self.root / _PACK if self.root.is_dir() else self.root]

    def _members(self) -> Iterator[Member]:
        (path,) = self.files
        status = path.stat()
        if not status.st_size:
            raise SourceError(f"{path} is empty: fetch it again")
        index = path.with_suffix(".idx")
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pack:
            keys, offsets = _read_index(index) if index.is_file() else _scan(pack, path)
            photo_keys = _photo_keys(pack, keys, offsets)
            end = 0
            for key, offset in zip(keys.tolist(), offsets.tolist(), strict=True):
                record = _Record(pack, offset)
                end = max(end, record.end)
                if not record.is_image or key not in photo_keys:
                    continue
                name = f"{key}.png" if record.png else f"{key}.jpg"
                name = name if record.label is None else f"{record.label}/{name}"
                yield Member(name, offset, record.size, status.st_mtime_ns, record.refusal)
            if end < len(pack) and (not len(offsets) or offsets[-1] < end):
                raise SourceError(
                    f"{index} is cut off: {len(pack) - end:,} bytes of {path.name} follow its last record; fetch it "
                    f"again, or remove it so that the pack is read without an index"
                )

    def _extract(self, descriptor: int, location: int, size: int) -> bytes:
        parts = []
        flag = _FIRST
        while flag in (_FIRST, _MIDDLE):
            magic, word = _RECORD.unpack(pread_exactly(descriptor, _RECORD.size, location, self.kind))
            flag, length = word >> 29, word & 0x1FFFFFFF
            if magic != _MAGIC or length > MAX_FILE_BYTES:
                raise DecodeError("cannot be read: damaged record")
            parts.append(pread_exactly(descriptor, length, location + _RECORD.size, self.kind))
            location += _RECORD.size + _padded(length)
        data = _MAGIC_BYTES.join(parts)
        return data[len(data) - size :]


class _Record:
    """The photo in a record at `offset` of a pack.

    Attributes:
        size: Bytes of the encoded image.
        end: Offset after the record, 0 if it is unknown.
        label: The identity, None if the record has none.
        png: Whether the image is a PNG.
        is_image: False for records that hold a header alone.
        refusal: Why the photo cannot be read, else None.
    """

    __slots__ = ("end", "is_image", "label", "png", "refusal", "size")

    def __init__(self, pack: mmap.mmap, offset: int) -> None:
        self.size = self.end = 0
        self.label: str | None = None
        self.png = False
        self.is_image = True
        self.refusal: str | None = "cut off: the pack ends before this record does"
        if offset + _RECORD.size > len(pack):
            return
        magic, word = _RECORD.unpack_from(pack, offset)
        flag, length = word >> 29, word & 0x1FFFFFFF
        if magic != _MAGIC or flag not in (_WHOLE, _FIRST):
            self.refusal = "the index points to no record of the pack"
            return
        data = pack[offset + _RECORD.size : offset + _RECORD.size + min(length, 64)]
        if length < _IMAGE.size:
            self.refusal = "record is shorter than its header"
        elif len(data) >= _IMAGE.size:
            labels, label, _, _ = _IMAGE.unpack_from(data)
            start = _IMAGE.size + 4 * labels
            if labels and len(data) >= _IMAGE.size + 4:
                (label,) = struct.unpack_from("<f", data, _IMAGE.size)
            self.label = _label_text(label)
            self.png = data[start : start + 4] == b"\x89PNG"
            total, self.end = _extent(pack, offset)
            self.is_image = total != start
            self.size = max(total - start, 0)
            if self.end and total < start:
                self.refusal = "record is shorter than its header"
            elif self.end:
                self.refusal = TOO_LARGE if total > MAX_FILE_BYTES else None


def _extent(pack: mmap.mmap, offset: int) -> tuple[int, int]:
    """Return the bytes of a record's data, and the offset after it: 0 if the pack ends before."""
    total = -len(_MAGIC_BYTES)
    flag = _FIRST
    while flag in (_FIRST, _MIDDLE):
        if offset + _RECORD.size > len(pack):
            return max(total, 0), 0
        magic, word = _RECORD.unpack_from(pack, offset)
        flag, length = word >> 29, word & 0x1FFFFFFF
        if magic != _MAGIC or (total >= 0 and flag not in (_MIDDLE, _LAST)):
            return max(total, 0), 0
        total += len(_MAGIC_BYTES) + length
        offset += _RECORD.size + length
        if offset > len(pack):
            return total, 0
        offset += -length % 4
    return total, offset


def _label_text(label: float) -> str | None:
    if not math.isfinite(label):
        return None
    return str(int(label)) if label == int(label) else f"{label:g}"


def _padded(length: int) -> int:
    return length + -length % 4


def _photo_keys(pack: mmap.mmap, keys: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64]) -> range:
    """The keys of photos: those that record 0 of an insightface pack gives, else all."""
    everything = range(2**62)
    (first,) = np.nonzero(keys == 0)
    if not len(first):
        return everything
    offset = int(offsets[first[0]])
    size = _RECORD.size + _IMAGE.size + 8
    if offset + size > len(pack):
        return everything
    magic, word = _RECORD.unpack_from(pack, offset)
    labels = _IMAGE.unpack_from(pack, offset + _RECORD.size)[0]
    if (magic, word, labels) != (_MAGIC, _IMAGE.size + 8, 2):
        return everything
    (end,) = struct.unpack_from("<f", pack, offset + _RECORD.size + _IMAGE.size)
    return range(1, int(end)) if math.isfinite(end) else everything


def _scan(pack: mmap.mmap, path: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Find all records without an index: keys from 0, and offsets."""
    offsets = []
    offset = 0
    while offset < len(pack):
        if pack[offset : offset + 4] != _MAGIC_BYTES[: len(pack) - offset]:
            raise SourceError(f"{path} is damaged at byte {offset:,} of {len(pack):,}: fetch it and its .idx again")
        offsets.append(offset)
        _, following = _extent(pack, offset)
        if not following:
            break
        offset = following
    return np.arange(len(offsets)), np.array(offsets, np.int64)


def _read_index(path: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Read keys and offsets, sorted by offset."""
    # Imported here: only packs need it.
    import pyarrow as pa
    import pyarrow.csv

    again = "fetch it again, or remove it so that the pack is read without an index"
    try:
        table = pa.csv.read_csv(
            path,
            read_options=pa.csv.ReadOptions(column_names=["key", "offset"]),
            parse_options=pa.csv.ParseOptions(delimiter="\t"),
            convert_options=pa.csv.ConvertOptions(column_types={"key": pa.int64(), "offset": pa.int64()}),
        )
    except pa.ArrowInvalid as error:
        detail = str(error).splitlines()[0]
        raise SourceError(f"{path} cannot be read as lines of KEY<tab>OFFSET ({detail}): {again}") from error
    if any(table.column(name).null_count for name in table.column_names):
        raise SourceError(f"{path} has lines without a key or an offset: {again}")
    keys, offsets = (
        np.concatenate(
            [np.empty(0, np.int64)]
            + [
                np.frombuffer(chunk.buffers()[1], np.int64)[chunk.offset : chunk.offset + len(chunk)]
                for chunk in table.column(name).chunks
                if len(chunk)
            ]
        )
        for name in table.column_names
    )
    if len(offsets) and min(offsets.min(), keys.min()) < 0:
        raise SourceError(f"{path} has negative keys or offsets: {again}")
    order = np.argsort(offsets, kind="stable")
    return keys[order], offsets[order]
