"""Locations of files: paths of this machine, and objects of S3, Google Cloud Storage and Azure under URLs.

`as_path` turns what a user gives into a `Path`. A URL of an object store becomes an `ObjectPath`, which is used like
the path of a file: it is joined, listed and read. It is written by `manifests.output.atomic` alone, as a whole.
"""

import io
import os
import re
import stat
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PosixPath
from typing import IO, Any, NoReturn
from urllib.parse import unquote, urlsplit

# With one slash too: pathlib writes "s3://bucket" as "s3:/bucket".
_OBJECTS = re.compile(r"(s3|gs|az):/+(?=[^/])")


def as_path(location: str | os.PathLike[str]) -> Path:
    """Return a location as a path: "s3://", "gs://" and "az://" URLs as an ObjectPath, "file://" URLs as their path.

    An ObjectPath is returned as it is.
    """
    if isinstance(location, ObjectPath):
        return location
    text = os.fspath(location)
    if match := _OBJECTS.match(text):
        return ObjectPath(f"{match[1]}:/{text[match.end() :]}")
    if text.startswith("file:/"):
        return Path(unquote(urlsplit(text).path))
    return Path(location)


class ObjectPath(PosixPath):
    """An object, or the prefix of objects that stands for a folder: "s3://bucket/folder/name".

    The methods that read are those of `Path`, and raise the same errors. Those that write raise TypeError, except
    `unlink`, and `mkdir`, which has nothing to do.
    """

    def __str__(self) -> str:
        return super().__str__().replace(":/", "://", 1)

    def __fspath__(self) -> str:
        return str(self)

    @property
    def scheme(self) -> str:
        """Kind of the store: "s3", "gs" or "az"."""
        return self.parts[0].rstrip(":")

    @property
    def key(self) -> str:
        """Bucket and name of the object, as pyarrow's file systems take it."""
        return "/".join(self.parts[1:])

    def resolve(self, strict: bool = False) -> "ObjectPath":
        return type(self)(os.path.normpath(super().__str__()))

    def absolute(self) -> "ObjectPath":
        return self

    def is_absolute(self) -> bool:
        return True

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return type, size and modification time."""
        from manifests.object_storage import describe

        info = describe(self)
        kind = stat.S_IFDIR | 0o755 if info.is_folder else stat.S_IFREG | 0o644
        seconds = info.mtime_ns / 1e9
        return os.stat_result(
            (kind, 0, 0, 1, 0, 0, info.size, int(seconds), int(seconds), int(seconds)),
            {"st_mtime": seconds, "st_mtime_ns": info.mtime_ns},
        )

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        try:
            self.stat()
        except FileNotFoundError:
            return False
        return True

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return self.exists() and stat.S_ISDIR(self.stat().st_mode)

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return self.exists() and stat.S_ISREG(self.stat().st_mode)

    def is_symlink(self) -> bool:
        return False

    def iterdir(self) -> Iterator["ObjectPath"]:  # type: ignore[override]
        from manifests.object_storage import list_folder

        for info in list_folder(self):
            yield self / info.name

    def glob(self, pattern: str, **options: Any) -> Iterator["ObjectPath"]:  # type: ignore[override]
        """Match names in this folder, or with one "/" in the pattern, in the folders in it."""
        first, _, rest = pattern.partition("/")
        if not self.exists():
            return
        for path in self.iterdir():
            if fnmatchcase(path.name, first):
                if not rest:
                    yield path
                elif path.is_dir():
                    yield from path.glob(rest)

    def rglob(self, pattern: str, **options: Any) -> Iterator["ObjectPath"]:  # type: ignore[override]
        from manifests.object_storage import list_folder

        for info in list_folder(self, deep=True) if self.exists() else ():
            if fnmatchcase(info.name.rpartition("/")[2], pattern):
                yield self / info.name

    def read_bytes(self) -> bytes:
        from manifests.object_storage import read

        return read(self)

    def read_text(self, encoding: str | None = None, errors: str | None = None, newline: str | None = None) -> str:
        data = io.BytesIO(self.read_bytes())
        return io.TextIOWrapper(data, encoding or "utf-8", errors, newline).read()

    def open(self, mode: str = "r", *arguments: Any, **options: Any) -> IO[Any]:  # type: ignore[override]
        if mode == "rb":
            return io.BytesIO(self.read_bytes())
        if mode in ("r", "rt"):
            options.pop("buffering", None)
            return io.StringIO(self.read_text(*arguments[1:], **options))
        raise self._refusal()

    def unlink(self, missing_ok: bool = False) -> None:
        from manifests.object_storage import remove

        if not missing_ok or self.exists():
            remove(self)

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing: a folder is there when an object is in it."""

    def write_bytes(self, data: Any) -> NoReturn:
        raise self._refusal()

    def write_text(self, data: str, *arguments: Any, **options: Any) -> NoReturn:
        raise self._refusal()

    def rename(self, target: Any) -> NoReturn:
        raise self._refusal()

    def _refusal(self) -> TypeError:
        return TypeError(f"{self} is an object: write it as a whole, with manifests.output.atomic")
