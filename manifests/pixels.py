"""Crops and masks, read by `pread` at the offsets of the manifest, and decoded to arrays."""

import io
import os
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from manifests.errors import DatasetError
from manifests.input import readable
from manifests.layout import shard_file, shard_roots
from manifests.locations import ObjectPath, as_path
from manifests.open_file import OpenFile, open_file

_MAX_RUN_BYTES = 8 << 20
_LOCAL_GAP, _REMOTE_GAP = 4 << 10, 256 << 10


class Row(Protocol):
    """A row by column name: a dict of `to_pylist`, or a pandas Series."""

    def __getitem__(self, name: Any, /) -> Any: ...


class PixelReader:
    """Reads crops and masks of a dataset. Safe in threads, after a fork, and in worker processes (it pickles).

    Each image is compared with its checksum (`crop_crc`, `mask_crc`). Every method raises DatasetError: the shard is
    missing, cannot be read, or is not in `faces/` of the dataset or of one of its parts; or the bytes are not those of
    the image (the shard is damaged, or newer than the manifest).

    Args:
        root: directory of the dataset; shards are named relative to it, as in the manifest.
        files: maximum number of shards kept open.
    """

    def __init__(self, root: str | os.PathLike[str], files: int = 64) -> None:
        self.root = as_path(root)
        self.files = files
        self._reset()

    def crop(self, row: Row) -> bytes:
        """Return the JPEG of the aligned face of a row of the manifest or of the measures."""
        return self._read_row(row, "crop")

    def mask(self, row: Row) -> bytes:
        """Return the PNG of the label map of a row of the manifest or of the measures."""
        return self._read_row(row, "mask")

    def read(self, shard: str, offset: int, length: int, crc: int) -> bytes:
        """Return the encoded image of `length` bytes at byte `offset` of `shard`, whose CRC-32 is `crc`."""
        return self._checked(self._pread(shard, int(offset), int(length)), int(crc), shard, int(offset))

    def many(
        self,
        shard: str,
        offsets: Sequence[int] | npt.ArrayLike,
        lengths: Sequence[int] | npt.ArrayLike,
        crcs: Sequence[int] | npt.ArrayLike,
        *,
        gap: int | None = None,
    ) -> list[bytes]:
        """Return encoded images of one shard, in the order of `offsets`; `crcs` are their CRC-32.

        Images at most `gap` bytes apart are read in one call of up to 8 MiB: between two images of one identity there
        are only page headers, which cost less to read than another call. Default: 4 KiB, in object stores 256 KiB.
        """
        starts: list[int] = np.asarray(offsets, np.int64).tolist()
        sizes: list[int] = np.asarray(lengths, np.int64).tolist()
        checksums: list[int] = np.asarray(crcs, np.int64).tolist()
        images = [b""] * len(starts)
        if gap is None:
            gap = _REMOTE_GAP if isinstance(self.root, ObjectPath) else _LOCAL_GAP
        for run in _runs(starts, sizes, gap):
            begin = starts[run[0]]
            data = self._pread(shard, begin, max(starts[index] + sizes[index] for index in run) - begin)
            for index in run:
                start = starts[index] - begin
                images[index] = self._checked(
                    data[start : start + sizes[index]], checksums[index], shard, starts[index]
                )
        return images

    def _read_row(self, row: Row, kind: str) -> bytes:
        shard = row["shard"]
        # A missing string is NaN in pandas, None in pyarrow.
        if not isinstance(shard, str):
            raise DatasetError(
                f"{row['image_id']}: no face was detected in this photo, so it has no {kind}; skip such rows"
            )
        return self.read(shard, *(row[f"{kind}_{name}"] for name in ("offset", "length", "crc")))

    def _pread(self, shard: str, offset: int, length: int) -> bytes:
        file = self._file(shard)  # The reference keeps the file open if another thread evicts it meanwhile.
        with readable(self.root / shard):
            return file.pread(length, offset) if length >= 0 <= offset else b""

    def _checked(self, data: bytes, crc: int, shard: str, offset: int) -> bytes:
        if zlib.crc32(data) != crc:
            raise DatasetError(
                f"{self.root / shard}: the bytes at {offset} are not those of the image (its checksum differs): the "
                f"shard is damaged, or newer than the manifest; `curate verify {self.root}` names the next step"
            )
        return data

    def _file(self, shard: str) -> OpenFile:
        if self._process != os.getpid():
            # At the fork, another thread of the parent may have held the lock, which is then never released.
            self._reset()
        with self._lock:
            file = self._open.pop(shard, None)
            if file is None:
                path = shard_file(self.root, shard, self._roots)
                with readable(path):
                    try:
                        file = open_file(path)
                    except (FileNotFoundError, NotADirectoryError) as error:
                        raise DatasetError(
                            f"{self.root / shard} is missing: run `curate measure` again, or restore the directory "
                            "that a merged dataset refers to"
                        ) from error
            self._open[shard] = file
            while len(self._open) > self.files:
                self._open.popitem(last=False)
        return file

    @cached_property
    def _roots(self) -> frozenset[Path]:
        return frozenset(shard_roots(self.root))

    def _reset(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._open: OrderedDict[str, OpenFile] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root, "files": self.files}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["root"], state["files"])  # type: ignore[misc]


def _runs(starts: list[int], sizes: list[int], gap: int) -> Iterator[list[int]]:
    """Yield runs of indices, in the order of the file, that are read in one call each."""
    run: list[int] = []
    begin = end = 0
    for index in sorted(range(len(starts)), key=starts.__getitem__):
        start, stop = starts[index], starts[index] + sizes[index]
        if run and (start - end > gap or stop - begin > _MAX_RUN_BYTES):
            yield run
            run = []
        if not run:
            begin = end = start
        run.append(index)
        end = max(end, stop)
    if run:
        yield run


def decode_crop(data: bytes) -> npt.NDArray[np.uint8]:
    """Decode the JPEG of a crop to RGB uint8 (H, W, 3)."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def decode_mask(data: bytes) -> npt.NDArray[np.uint8]:
    """Decode the PNG of a label map to uint8 (H, W), CelebAMask classes 0-18 (`landmarks.MASK_CLASSES`)."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        # The pixels of a palette image are the classes; converting it to grey would give the colours.
        return np.asarray(image if image.mode in ("L", "P") else image.convert("L"))
