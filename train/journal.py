"""The visible record of a training: RUN/log.jsonl, TensorBoard events, RUN/samples/*.png."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from manifests.errors import OutputError
from manifests.input import readable
from manifests.output import atomic, writable
from manifests.records import InvalidRecordError, parse_record
from train.marks.watermark.writer import mark_sample


class Journal:
    """Writes log lines and sample grids to `out`; log lines after `images`, of an interrupted run, are removed."""

    def __init__(self, out: Path, images: int) -> None:
        self.out = out
        self._log = out / "log.jsonl"
        earlier = [line for line, row in read_log(self._log) if row["images"] <= images] if self._log.exists() else []
        with atomic(self._log) as partial:
            partial.write_bytes(b"".join(earlier))
        board = _tensorboard()
        self._events = None if board is None else board.SummaryWriter(str(out / "events"), purge_step=images)

    def line(self, row: dict[str, Any]) -> None:
        """Append one line; `row["images"]` is its step in TensorBoard."""
        with writable(self._log), self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        if self._events is not None:
            for name, value in row.items():
                self._events.add_scalar(name, value, row["images"])

    def grid(self, images: int, pixels: npt.NDArray[np.uint8]) -> Path:
        """Write a sample grid, uint8 RGB (H, W, 3), as PNG and TensorBoard image.

        It has the invisible watermark, because its faces are generated.
        """
        pixels = mark_sample(pixels)
        path = self.out / "samples" / f"{images:012d}.png"
        with atomic(path) as partial:
            Image.fromarray(pixels).save(partial, "PNG")
        if self._events is not None:
            self._events.add_image("samples", pixels, images, dataformats="HWC")
        return path

    def close(self) -> None:
        """Finish the event file."""
        if self._events is not None:
            self._events.close()


def read_log(path: Path) -> list[tuple[bytes, dict[str, float]]]:
    """Return the lines of a log and their values; a last line that a kill has cut is left out.

    Raises OutputError for a line that is not of a log.
    """
    with readable(path, OutputError):
        lines = path.read_bytes().splitlines(keepends=True)
    rows = []
    for number, line in enumerate(lines, 1):
        if line.endswith(b"\n"):
            try:
                row = parse_record(line, dict[str, float])
                if "images" not in row:
                    raise InvalidRecordError("no key 'images'")
            except InvalidRecordError as error:
                raise OutputError(f"{path}, line {number}, is not of a log ({error}): remove the line") from error
            rows.append((line, row))
    return rows


def _tensorboard() -> ModuleType | None:
    try:
        from torch.utils import tensorboard
    except ModuleNotFoundError:
        return None
    return tensorboard
