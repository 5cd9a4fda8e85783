"""OUT/swap.json: the inputs and settings of the results in OUT, so that no folder mixes results of different runs.

Its key `results` lists the results with the targets that they were made from, see `train.swap.results`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from manifests.errors import OutputError
from manifests.records import Limits, read_record

FILE = "swap.json"
RESULTS = "results"
FORMAT = 2


@dataclass(frozen=True)
class RunRecord:
    """What results depend on besides the target: hashes of files, settings, and the mark ID (8 hexadecimal digits)."""

    checkpoint: str
    sources: tuple[str, ...]
    source_face: int | None
    only: str | None
    exclude: str | None
    detector: str
    mask: str
    label: str
    corner: str
    mark_id: Annotated[str, Limits(pattern="[0-9a-f]{8}")]
    keep_location: bool = False
    person: str | None = None
    strength: Annotated[float, Limits(low=0, high=1)] = 1.0
    format: int = FORMAT


@dataclass(frozen=True)
class RecordedSwap(RunRecord):
    """swap.json as a whole. results: path relative to the folder -> `train.swap.results.Result`."""

    results: dict[str, Any] = field(default_factory=dict)


def sha256(paths: Sequence[Path]) -> tuple[str, ...]:
    """The SHA-256 of each file."""
    digests = []
    for path in paths:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return tuple(digests)


def read(out: Path) -> RecordedSwap | None:
    """The contents of `out`/swap.json; None where there is none. Raises OutputError where it is not valid."""
    path = out / FILE
    if not path.exists():
        return None
    return read_record(path, RecordedSwap, OutputError, "remove it, or choose another --out")


def require_same(out: Path, record: RunRecord, recorded: RecordedSwap) -> None:
    """Raise OutputError where `recorded`, the contents of `out`/swap.json, are of other inputs or settings."""
    settings = asdict(recorded)
    differences = sorted(key for key, value in asdict(record).items() if value != settings[key])
    if differences:
        raise OutputError(
            f"{out} contains swaps of other settings ({', '.join(differences)}, see {out / FILE}): choose another --out"
        )
