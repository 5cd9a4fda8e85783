"""The INFO list of AVI files, which holds their metadata: texts by names of four characters.

FFmpeg's muxer writes the names of its own table only, and leaves padding behind the list. Texts are added in place of
that padding, so that no other byte of the file moves: its indexes hold positions.
"""

import struct
from collections.abc import Mapping
from pathlib import Path

from train.errors import MarkError

PADDING = 1 << 14
"""Bytes of padding that a file needs for `add_texts`; FFmpeg's muxer takes them as `metadata_header_padding`."""

_MAX_HEADER = 1 << 20
_HEADER = struct.Struct("<4sI")


def add_texts(path: Path, texts: Mapping[str, str]) -> None:
    """Add texts to the INFO list of a file that FFmpeg wrote, in place; those of the same names are replaced.

    Names have four ASCII characters; texts are written as UTF-8.

    Raises MarkError where the file is damaged, or the padding is too small.
    """
    with path.open("r+b") as file:
        head = file.read(_MAX_HEADER)
        try:
            start, end, present = _room(head)
        except struct.error as error:
            raise MarkError("the AVI file is damaged: its header cannot be parsed") from error
        items = present | {name.encode("ascii"): text.encode("utf-8") + b"\0" for name, text in texts.items()}
        added = _chunk(b"LIST", b"INFO" + b"".join(_chunk(*item) for item in items.items()))
        rest = end - start - len(added) - _HEADER.size
        if rest < 0:
            raise MarkError(f"the AVI file has {end - start:,} bytes of room for metadata, {len(added):,} are needed")
        file.seek(start)
        file.write(added + _chunk(b"JUNK", bytes(rest)))


def _room(head: bytes) -> tuple[int, int, dict[bytes, bytes]]:
    """Where the INFO lists and padding directly before the frames begin and end, and the items of these lists."""
    start, at, items = 12, 12, dict[bytes, bytes]()
    while True:
        name, length = _HEADER.unpack_from(head, at)
        kind, end = head[at + 8 : at + 12], at + 8 + length + length % 2
        if (name, kind) == (b"LIST", b"movi"):
            return start, at, items
        if (name, kind) == (b"LIST", b"INFO"):
            items |= _items(head[at + 12 : at + 8 + length])
        elif name != b"JUNK":
            start, items = end, {}
        at = end


def _items(content: bytes) -> dict[bytes, bytes]:
    items, at = dict[bytes, bytes](), 0
    while at < len(content):
        name, length = _HEADER.unpack_from(content, at)
        items[name] = content[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
    return items


def _chunk(name: bytes, content: bytes) -> bytes:
    return _HEADER.pack(name, len(content)) + content + b"\0" * (len(content) % 2)
