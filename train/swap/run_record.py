"""OUT/swap.json: the inputs and settings of the results in OUT, so that no folder mixes results of different runs.

Its key `results` lists the results with the targets that they were made from, see `train.swap.results`.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from manifests.errors import OutputError

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
    mark_id: str
    keep_location: bool = False
    format: int = FORMAT


def sha256(paths: Sequence[Path]) -> tuple[str, ...]:
    """The SHA-256 of each file."""
    digests = []
    for path in paths:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return tuple(digests)


def read(out: Path) -> dict[str, object] | None:
    """The contents of `out`/swap.json; None where there is none. Raises OutputError where it is damaged."""
    path = out / FILE
    if not path.exists():
        return None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise OutputError(f"{path} is damaged ({error}): remove it, or choose another --out") from error


def require_same(out: Path, record: RunRecord, recorded: dict[str, object]) -> None:
    """Raise OutputError where `recorded`, the contents of `out`/swap.json, are of other inputs or settings."""
    current = json.loads(json.dumps(asdict(record)))
    settings = {key: value for key, value in recorded.items() if key != RESULTS}
    differences = sorted(key for key in current | settings if current.get(key) != settings.get(key))
    if differences:
        raise OutputError(
            f"{out} contains swaps of other settings ({', '.join(differences)}, see {out / FILE}): choose another --out"
        )
