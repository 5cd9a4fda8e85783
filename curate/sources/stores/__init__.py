"""Stores: where the bytes of a collection are. Each lists files and reads them, and interprets no path."""

from pathlib import Path

from curate.errors import SourceError
from curate.sources.stores.directory import DirectoryStore
from curate.sources.stores.objects import ObjectStore
from curate.sources.stores.parquet import ParquetStore
from curate.sources.stores.recordio import RecordIOStore
from curate.sources.stores.store import Store
from curate.sources.stores.tar import TarStore
from curate.sources.stores.webdataset import WebDatasetStore
from curate.sources.stores.zip import ZipStore
from manifests.locations import ObjectPath

__all__ = ["STORES", "Store", "open_store"]

STORES: dict[str, type[Store]] = {
    "objects": ObjectStore,
    "recordio": RecordIOStore,
    "webdataset": WebDatasetStore,
    "parquet": ParquetStore,
    "directory": DirectoryStore,
    "tar": TarStore,
    "zip": ZipStore,
}
"""Name -> class. The first one that accepts a path opens it."""

_COMPRESSED = {
    b"\x1f\x8b": "gunzip",
    b"BZh": "bunzip2",
    b"\xfd7zXZ": "unxz",
    b"\x28\xb5\x2f\xfd": "unzstd",
}
"""First bytes of a compressed file -> the program that decompresses it."""


def open_store(root: Path) -> Store:
    """Open the directory or archive at `root`. Raises SourceError where no store accepts it."""
    try:
        root.stat()
    except OSError as error:
        raise SourceError(
            f"{root} cannot be opened ({error.strerror}): give the folder of photos with --root DIR"
        ) from error
    if isinstance(root, ObjectPath) and not ObjectStore.accepts(root):
        raise SourceError(
            f"{root} is one object: archives are read from a file system only; copy it to a disk, or unpack it and "
            "give the prefix of the photos"
        )
    for name, store in STORES.items():
        if store.accepts(root):
            return _open_below(root) if name == "directory" else store(root)
    raise SourceError(_reason(root))


def _open_below(root: Path) -> Store:
    """Open the archives in the only folder of a directory (`data/*.parquet` of a repository), else the directory."""
    try:
        folders = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    except OSError:  # reported by the store
        folders = []
    if len(folders) == 1:
        for name in ("recordio", "webdataset", "parquet"):
            if STORES[name].accepts(folders[0]):
                return STORES[name](folders[0])
    return DirectoryStore(root)


def _reason(root: Path) -> str:
    """Why no store accepts `root`, and what to do."""
    if not root.is_file():
        return f"{root} is neither a folder nor an archive: give the folder of photos with --root DIR"
    with root.open("rb") as file:
        head = file.read(8)
    for magic, command in _COMPRESSED.items():
        if head.startswith(magic):
            size = f"{root.stat().st_size / 1e9:.1f} GB"
            return (
                f"{root} is compressed, and photos are read by offset: decompress it first ({command} --keep "
                f"{root.name}), which takes a little more than {size} of space"
            )
    return f"{root} is a file but not an archive: give a folder of photos, a .tar, .zip, .rec or .parquet with --root"
