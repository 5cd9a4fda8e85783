"""The store `webdataset`: a folder of tar shards with a label beside each photo.

A sample is the members of one key, the path up to the first dot of the file name: `000017.jpg` and `000017.cls` (the
label as text) or `000017.json` (an object with the label under one of `LABEL_KEYS`).
"""

import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby, islice
from pathlib import Path

from curate.errors import SourceError
from curate.sources.entry import extension, is_photo
from curate.sources.stores.archive import LABEL_KEYS, ArchiveStore, Member, files_in, folder_name, pread_exactly
from curate.sources.stores.tar import refusal_of, tar_headers

_LABELS = (".cls", ".json")
_MAX_LABEL_BYTES = 1 << 20


class WebDatasetStore(ArchiveStore):
    """The photos of the shards, listed as LABEL/SHARD/KEY.jpg; those without a label as SHARD_KEY.jpg.

    The members of one sample follow one another, as WebDataset requires.
    """

    kind = "shard"
    wraps = False

    @classmethod
    def accepts(cls, root: Path) -> bool:
        shards = files_in(root, ".tar")
        if not shards:
            return False
        photos, labels = set[str](), set[str]()
        with suppress(SourceError):  # a tar that cannot be read, of a folder that may be something else
            for header in islice(tar_headers(shards[0]), 8):
                if is_photo(header.name):
                    photos.add(_key(header.name))
                elif extension(header.name) in _LABELS:
                    labels.add(_key(header.name))
                if photos & labels:
                    return True
        return False

    def _find_files(self) -> list[Path]:
        return files_in(self.root, ".tar")

    def _members(self) -> Iterator[Member]:
        for number, shard in enumerate(self.files):
            end = shard.stat().st_size
            with shard.open("rb") as file:
                for key, headers in groupby(tar_headers(shard), key=lambda header: _key(header.name)):
                    sample = list(headers)
                    label = self._label(file.fileno(), [header for header in sample if header.offset_data < end])
                    for header in sample:
                        if header.isdir() or extension(header.name) in _LABELS:
                            continue
                        listed = self._visible_path(header.name)
                        if listed is None:
                            continue
                        _, outside = listed
                        name = folder_name(key) + header.name[len(key) :]
                        path = f"{shard.stem}_{name}" if label is None else f"{label}/{shard.stem}/{name}"
                        refusal = refusal_of(header, end, outside=outside)
                        mtime_ns = int(header.mtime * 1e9)
                        yield Member(path, header.offset_data, header.size, mtime_ns, refusal, file=number)

    def _extract(self, descriptor: int, location: int, size: int) -> bytes:
        return pread_exactly(descriptor, size, location, self.kind)

    def _label(self, descriptor: int, sample: list[tarfile.TarInfo]) -> str | None:
        """The folder name of a sample's label, None without one. A label that cannot be read is counted as ignored."""
        by_extension = {extension(header.name): header for header in sample if header.isreg()}
        for kind in _LABELS:
            header = by_extension.get(kind)
            if header is None:
                continue
            text = os.pread(descriptor, min(header.size, _MAX_LABEL_BYTES), header.offset_data)
            value = _json_label(text) if kind == ".json" else text.decode("utf-8", "replace").strip()
            if value:
                return folder_name(value)
            self._ignored[f"{kind} without a label"] += 1
        return None


def _json_label(text: bytes) -> str | None:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    value = next((content[key] for key in LABEL_KEYS if key in content), None)
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else None


def _key(name: str) -> str:
    """The key of a member: its path up to the first dot of the file name."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]
