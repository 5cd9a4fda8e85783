"""Finished passes of relating, kept beside the dataset until the relations are written: a killed run continues.

A file per pass, `.passes/NAME.npz`, under its name only when it is whole. It holds the inputs of the run that wrote it,
and ends with the SHA-256 of what comes before; a pass of other inputs, or a damaged file, is computed again.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from manifests.locations import ObjectPath
from manifests.output import atomic
from manifests.partials import PASSES

Part = TypeVar("Part")

_INPUTS = "inputs"
_DIGEST_BYTES = 32


class Passes:
    """Passes of one run on a dataset. A pass is a list of dataclasses, whose fields are arrays or lists of strings.

    Args:
        dataset: folder of the dataset; None keeps nothing.
        inputs: everything that the results depend on; values that JSON can hold.
    """

    def __init__(self, dataset: Path | None = None, inputs: Mapping[str, object] | None = None) -> None:
        self._folder = None if dataset is None else dataset / PASSES
        self._inputs = json.dumps(inputs or {}, sort_keys=True)

    def result(self, name: str, kind: type[Part], compute: Callable[[], list[Part]]) -> list[Part]:
        """Return the parts of a pass: as an earlier run has left them, else those of `compute`, which are kept."""
        if self._folder is None:
            return compute()
        path = self._folder / f"{name}.npz"
        parts = self._read(path, kind)
        if parts is None:
            parts = compute()
            content = _packed(self._inputs, parts)
            # Not waiting for the disk: a file that a loss of power leaves in part has another hash and is not used.
            with atomic(path, sync=False) as partial:
                partial.write_bytes(content + sha256(content).digest())
        return parts

    def remove(self) -> None:
        """Remove the files of all passes, of other runs too."""
        if self._folder is None or not self._folder.is_dir():
            return
        for path in list(self._folder.iterdir()):
            path.unlink(missing_ok=True)
        if not isinstance(self._folder, ObjectPath):
            self._folder.rmdir()

    def _read(self, path: Path, kind: type[Part]) -> list[Part] | None:
        """The parts in a file; None where it is missing, damaged, or of other inputs or fields."""
        try:
            file = memoryview(path.read_bytes())
            content, digest = file[:-_DIGEST_BYTES], file[-_DIGEST_BYTES:]
            if sha256(content).digest() != digest:
                return None
            with np.load(BytesIO(content), allow_pickle=False) as stored:
                if _text(stored[_INPUTS]) != self._inputs:
                    return None
                columns = {field.name: _unpacked(stored, field.name) for field in fields(kind)}  # type: ignore[arg-type]
        except (OSError, KeyError):
            return None
        return [kind(**dict(zip(columns, values, strict=True))) for values in zip(*columns.values(), strict=True)]


def _packed(inputs: str, parts: list[Part]) -> bytes:
    """The file of a pass: for each field its values of all parts in one array, and their lengths."""
    arrays = {_INPUTS: _bytes(inputs)}
    for field in fields(parts[0]):  # type: ignore[arg-type]
        values = [getattr(part, field.name) for part in parts]
        if isinstance(values[0], list):
            arrays[f"{field.name}.json"] = _bytes(json.dumps(values))
        else:
            arrays[field.name] = np.concatenate(values)
            arrays[f"{field.name}.lengths"] = np.array([len(value) for value in values], np.int64)
    buffer = BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _unpacked(stored: Mapping[str, npt.NDArray[Any]], name: str) -> list[Any]:
    """Values of one field, of each part."""
    if f"{name}.json" in stored:
        return list(json.loads(_text(stored[f"{name}.json"])))
    return np.split(stored[name], np.cumsum(stored[f"{name}.lengths"])[:-1])


def _bytes(text: str) -> npt.NDArray[np.uint8]:
    return np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)


def _text(array: npt.NDArray[np.uint8]) -> str:
    return array.tobytes().decode("utf-8", "surrogatepass")
