"""Where a crop or mask lies (shard, offset, length) -> its bytes, read by `pread`; and those bytes -> an array."""

import io
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from manifests.errors import DatasetError

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
_RUN_MOST = 8 << 20


class Row(Protocol):
    """A row by column name: a dict of `to_pylist`, or a pandas Series."""

    def __getitem__(self, name: Any, /) -> Any: ...


class _File:
    """An open descriptor that closes when its last user lets go, so that no thread reads a closed one."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


class PixelReader:
    """Reads crops and masks of the dataset in directory `root`, keeping at most `files` shards open.

    Safe to use from several threads, after a fork, and in the worker processes of a DataLoader (it pickles). Shards are
    named relative to `root`, as the manifest names them; those of a merged dataset lie in other directories.

    All methods raise DatasetError: shard missing, or no JPEG or PNG at that place (the manifest is older than it).
    """

    def __init__(self, root: str | os.PathLike[str], files: int = 64) -> None:
        self.root = Path(root)
        self.files = files
        self._renew()

    def crop(self, row: Row) -> bytes:
        """Row of the manifest or of the measures -> the JPEG of its aligned face."""
        return self._of(row, "crop")

    def mask(self, row: Row) -> bytes:
        """Row of the manifest or of the measures -> the PNG of its label map."""
        return self._of(row, "mask")

    def read(self, shard: str, offset: int, length: int) -> bytes:
        """The one encoded image of `length` bytes at byte `offset` of `shard`."""
        return self._checked(self._pread(shard, int(offset), int(length)), shard, int(offset))

    def many(
        self,
        shard: str,
        offsets: Sequence[int] | npt.ArrayLike,
        lengths: Sequence[int] | npt.ArrayLike,
        gap: int = 4096,
    ) -> list[bytes]:
        """Encoded images of one shard, in the order asked for.

        Neighbours at most `gap` bytes apart are read in one call, up to 8 MiB: the bytes between two neighbours of one
        identity are page headers, cheaper to read than to ask again.
        """
        starts: list[int] = np.asarray(offsets, np.int64).tolist()
        sizes: list[int] = np.asarray(lengths, np.int64).tolist()
        found = [b""] * len(starts)
        for run in _runs(starts, sizes, gap):
            begin = starts[run[0]]
            data = self._pread(shard, begin, max(starts[at] + sizes[at] for at in run) - begin)
            for at in run:
                start = starts[at] - begin
                found[at] = self._checked(data[start : start + sizes[at]], shard, starts[at])
        return found

    def _of(self, row: Row, what: str) -> bytes:
        shard = row["shard"]
        # pandas says NaN, pyarrow None.
        if not isinstance(shard, str):
            raise DatasetError(
                f"{row['image_id']}: no face was found in this photo, so it has no {what}; skip such rows"
            )
        return self.read(shard, row[f"{what}_offset"], row[f"{what}_length"])

    def _pread(self, shard: str, offset: int, length: int) -> bytes:
        file = self._file(shard)  # held until the bytes are there, whatever another thread evicts meanwhile
        data = os.pread(file.descriptor, length, offset)
        if len(data) != length:
            raise self._stale(shard, offset)
        return data

    def _checked(self, data: bytes, shard: str, offset: int) -> bytes:
        if not data.startswith((_JPEG, _PNG)):
            raise self._stale(shard, offset)
        return data

    def _stale(self, shard: str, offset: int) -> DatasetError:
        return DatasetError(
            f"{self.root / shard}: no image at byte {offset}; the shard is newer than the manifest, or damaged: "
            "run `curate decide` again, or else remove the shard and `curate clean` again"
        )

    def _file(self, shard: str) -> _File:
        if self._process != os.getpid():
            # After a fork another thread of the parent may have held the lock for ever.
            self._renew()
        with self._lock:
            file = self._open.pop(shard, None)
            if file is None:
                try:
                    file = _File(self.root / shard)
                except (FileNotFoundError, NotADirectoryError) as error:
                    raise DatasetError(
                        f"{self.root / shard} is missing: run `curate measure` again, or restore the directory that "
                        "a merged dataset refers to"
                    ) from error
                except PermissionError as error:
                    raise DatasetError(
                        f"{self.root / shard} may not be read: make it readable for this user"
                    ) from error
            self._open[shard] = file
            while len(self._open) > self.files:
                self._open.popitem(last=False)
        return file

    def _renew(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._open: OrderedDict[str, _File] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root, "files": self.files}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["root"], state["files"])  # type: ignore[misc]


def _runs(starts: list[int], sizes: list[int], gap: int) -> Iterator[list[int]]:
    """Indices of pieces in the order of the file, in runs that one read each should fetch."""
    run: list[int] = []
    begin = end = 0
    for at in sorted(range(len(starts)), key=starts.__getitem__):
        start, stop = starts[at], starts[at] + sizes[at]
        if run and (start - end > gap or stop - begin > _RUN_MOST):
            yield run
            run = []
        if not run:
            begin = end = start
        run.append(at)
        end = max(end, stop)
    if run:
        yield run


def decode_crop(data: bytes) -> npt.NDArray[np.uint8]:
    """JPEG bytes of a crop -> RGB uint8 (H, W, 3)."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def decode_mask(data: bytes) -> npt.NDArray[np.uint8]:
    """PNG bytes of a label map -> uint8 (H, W), CelebAMask classes 0-18 (`landmarks.MASK_CLASSES`)."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        # A palette image's pixels are the classes; converting it to grey would give its colours.
        return np.asarray(image if image.mode in ("L", "P") else image.convert("L"))
