"""OUT/swap.json: by what the results in OUT were made, so that no folder ever holds those of two different runs."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from manifests.errors import OutputError
from manifests.output import atomic

FILE = "swap.json"
FORMAT = 1


@dataclass(frozen=True)
class RunRecord:
    """What results depend on, besides the target: hashes of files, choices, the marks' ID (8 hexadecimal digits)."""

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
    format: int = FORMAT


def sha256(paths: Sequence[Path]) -> tuple[str, ...]:
    """sha256 of each file's bytes."""
    found = []
    for path in paths:
        with path.open("rb") as file:
            found.append(hashlib.file_digest(file, "sha256").hexdigest())
    return tuple(found)


def read(out: Path) -> dict[str, object] | None:
    """What `out` was made by; None where nothing is there. Raises OutputError where it is damaged."""
    path = out / FILE
    if not path.exists():
        return None
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return dict(told)
    except ValueError as error:
        raise OutputError(f"{path} is damaged ({error}): remove it, or choose another --out") from error


def claim(out: Path, record: RunRecord) -> None:
    """Make `out` this run's, or check that it is. Raises OutputError where it holds results of other settings."""
    told, mine = read(out), json.loads(json.dumps(asdict(record)))
    if told is None:
        with atomic(out / FILE) as partial:
            partial.write_text(json.dumps(mine, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        return
    differ = sorted(key for key in mine | told if mine.get(key) != told.get(key))
    if differ:
        raise OutputError(
            f"{out} holds swaps made in another way ({', '.join(differ)}, see {out / FILE}): choose another --out"
        )
