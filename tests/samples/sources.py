"""Small photo collections for tests: files whose content is their own name. Sources never decode."""

import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import DecodeError, SourceError
from curate.sources import Entry, Source, open_source
from tests.samples.recordio import write_pack


def make_directory(root: Path, *names: str) -> Path:
    """Write one file per name below `root`."""
    root.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(name))
    return root


def make_tar(path: Path, *names: str) -> Path:
    """Write a tar with one member per name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(os.fsencode(name))
            archive.addfile(member, io.BytesIO(os.fsencode(name)))
    return path


class RawName(zipfile.ZipInfo):
    """A member whose name is stored as the bytes of a file name, without the flag for UTF-8, as Info-ZIP does."""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:
        return os.fsencode(self.filename), self.flag_bits


def make_zip(path: Path, *names: str) -> Path:
    """Write a zip with one member per name, stored and deflated in turn."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            method = zipfile.ZIP_DEFLATED if number % 2 else zipfile.ZIP_STORED
            archive.writestr(RawName(name), os.fsencode(name), method)
    return path


def make_pack(folder: Path, *names: str) -> Path:
    """Write a RecordIO pack with a record per "LABEL/KEY.jpg"."""
    photos = [(int(Path(name).stem), float(Path(name).parent.name), os.fsencode(name)) for name in names]
    return write_pack(folder, photos)


def make_shards(folder: Path, *names: str) -> Path:
    """Write WebDataset shards with a sample per "LABEL/SHARD/KEY.jpg", its label as text or JSON in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    for shard in {Path(name).parent.name for name in names}:
        with tarfile.open(folder / f"{shard}.tar", "w") as archive:
            for number, path in enumerate(Path(name) for name in names if Path(name).parent.name == shard):
                label = path.parent.parent.name
                files = {path.name: os.fsencode(path), f"{path.stem}.cls": label.encode()}
                if number % 2:
                    files = {path.name: os.fsencode(path), f"{path.stem}.json": json.dumps({"label": label}).encode()}
                for name, content in files.items():
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
    return folder


def make_parquet(folder: Path, *names: str) -> Path:
    """Write Parquet files with a row per "LABEL/FILE/ROW.jpg"."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in {Path(name).parent.name for name in names}:
        photos = [path for path in map(Path, names) if path.parent.name == file]
        images = [{"bytes": os.fsencode(path), "path": path.name} for path in photos]
        labels = [path.parent.parent.name for path in photos]
        pq.write_table(pa.table({"image": images, "label": labels}), folder / f"{file}.parquet", row_group_size=2)
    return folder


COLLECTIONS = {
    "folder": {
        ".": ["loose.gif"],
        "al": ["al/deep/er/1.png", "al/x.webp"],
        "bo": ["bo/2.JPG", "bo/50%2541.jpg"],
        "al-b": ["al-b/1.jpg"],
        "ren%E9": ["ren%E9/%FF.jpg"],
    },
    "sjtu": {
        ".": ["007.png"],
        "li": ["li_1.png", "li_2.png"],
        "zhang": ["zhang/1.png", "zhang/old/3.png", "zhang_0002.png"],
    },
    "vggface2": {
        "n000002": ["test/n000002/0001_01.jpg", "train/n000002/0001_01.jpg"],
        "n000009": ["train/n000009/0001_01.jpg", "train/n000009/more/0002_01.jpg"],
    },
}
"""Layout -> a collection as identity -> image_ids."""

MAKE: dict[str, Callable[..., Path]] = {
    "directory": make_directory,
    "tar": lambda path, *names: make_tar(path.with_suffix(".tar"), *names),
    "zip": lambda path, *names: make_zip(path.with_suffix(".zip"), *names),
}
"""Store -> how to make one that holds files of these names."""

MAKE_LABELLED: dict[str, tuple[Callable[..., Path], list[str]]] = {
    "recordio": (make_pack, ["0/1.jpg", "0/3.jpg", "7/2.jpg", "12/40.jpg"]),
    "webdataset": (make_shards, ["7/set-0/01.jpg", "anna/set-0/02.png", "7/set-1/01.jpg", "anna/set-1/a b.webp"]),
    "parquet": (make_parquet, ["7/train-0/0.jpg", "anna/train-0/1.png", "7/train-0/2.jpg", "7/train-1/0.webp"]),
}
"""Store of photos with a label each -> how to make one, and names of the form in which it lists photos."""


def listed(source: Source) -> dict[str, list[str]]:
    """List a source as identity -> image_ids."""
    return {identity: [entry.image_id for entry in source.entries(identity)] for identity in source.identities()}


def only(source: Source, identity: str) -> Entry:
    """Return the one photo of an identity."""
    (entry,) = source.entries(identity)
    return entry


def readable(root: Path) -> list[tuple[Entry, bytes]]:
    """Read every photo of a collection that may be damaged; those that cannot be read are left out.

    Asserts that a refusal of the whole is one line, and that a refusal of a photo is a reason for its row.
    """
    try:
        source = open_source("folder", root)
    except SourceError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return []
    contents = []
    for entry in (entry for identity in source.identities() for entry in source.entries(identity)):
        try:
            contents.append((entry, source.read(entry)))
        except DecodeError as error:
            assert str(error).startswith("cannot be read: ")  # noqa: PT017
    return contents
