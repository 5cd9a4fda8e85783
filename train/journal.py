"""The visible record of a training: RUN/log.jsonl, TensorBoard events, RUN/samples/*.png."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from manifests.output import atomic, writable
from train.marks.watermark.writer import mark_sample


class Journal:
    """Writes log lines and sample grids to `out`; log lines after `images`, of an interrupted run, are removed."""

    def __init__(self, out: Path, images: int) -> None:
        self.out = out
        self._log = out / "log.jsonl"
        lines = self._log.read_bytes().splitlines(keepends=True) if self._log.exists() else []
        # The last line is incomplete if the process was killed while writing it.
        complete = [line for line in lines if line.endswith(b"\n") and json.loads(line)["images"] <= images]
        with atomic(self._log) as partial:
            partial.write_bytes(b"".join(complete))
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
        """Write a sample grid, uint8 RGB (H, W, 3), as PNG with the invisible watermark: its faces are generated."""
        path = self.out / "samples" / f"{images:012d}.png"
        with atomic(path) as partial:
            Image.fromarray(mark_sample(pixels)).save(partial, "PNG")
        return path

    def close(self) -> None:
        """Finish the event file."""
        if self._events is not None:
            self._events.close()


def _tensorboard() -> ModuleType | None:
    try:
        from torch.utils import tensorboard
    except ModuleNotFoundError:
        return None
    return tensorboard
