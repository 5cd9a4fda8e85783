"""overrides.csv: image_id -> a human verdict, applied last by `decide`; read here, created empty where absent, never
rewritten.

    image_id,verdict,note
    n000002/0001_01.jpg,keep,profile; it is her
"""

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path

from curate.errors import PolicyError
from manifests.output import atomic

FILE_NAME = "overrides.csv"
VERDICTS = ("keep", "drop")


@dataclass(frozen=True)
class Overrides:
    """Human verdicts: image_id -> 'keep' or 'drop'. `lines`: where in the file each stands, for messages."""

    verdicts: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)


def read_overrides(path: str | Path) -> Overrides:
    """CSV with the columns image_id, verdict and optionally note -> Overrides.

    A missing file is no overrides. Spaces around a verdict and its case do not matter; blank lines are skipped; a byte
    order mark, as spreadsheets write it, is accepted. The same photo twice with one verdict is one verdict.
    Raises PolicyError with the line number: another verdict word, no image_id, two verdicts for one photo, no header.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return Overrides()
    except UnicodeDecodeError as error:
        raise PolicyError(f"{path}: not UTF-8 text; save it as UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""))
    header = [cell.strip() for cell in next(reader, ["image_id", "verdict"])]
    if header[:2] != ["image_id", "verdict"]:
        raise PolicyError(f"{path}, line 1: the header is {','.join(header)!r}; make it 'image_id,verdict,note'")
    found = Overrides()
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        _add(found, cells, f"{path}, line {reader.line_num}", reader.line_num)
    return found


def _add(found: Overrides, cells: list[str], place: str, line: int) -> None:
    image_id, verdict = cells[0], cells[1].strip().lower() if len(cells) > 1 else ""
    if not image_id:
        raise PolicyError(f"{place}: no image_id; copy it from the manifest")
    if verdict not in VERDICTS:
        raise PolicyError(f"{place}: verdict {verdict!r} for {image_id}; write 'keep' or 'drop'")
    if found.verdicts.get(image_id, verdict) != verdict:
        raise PolicyError(
            f"{place}: {image_id} is to {verdict}, but line {found.lines[image_id]} says {found.verdicts[image_id]}; "
            "remove one of the two"
        )
    found.verdicts[image_id] = verdict
    found.lines.setdefault(image_id, line)


def create_overrides(path: str | Path) -> bool:
    """Write an empty overrides file (its header) unless there is a file; says whether one was written."""
    path = Path(path)
    if path.exists():
        return False
    with atomic(path) as partial:
        partial.write_text("image_id,verdict,note\n", encoding="utf-8")
    return True


def unknown_overrides(overrides: Overrides, unseen: set[str]) -> list[str]:
    """One warning for each override whose photo was not seen in the dataset, in the order of the file."""
    return [
        f"{FILE_NAME}, line {overrides.lines[image_id]}: no photo {image_id!r} in this dataset; the line is kept"
        for image_id in overrides.verdicts
        if image_id in unseen
    ]
