"""overrides.csv: human verdicts by image_id. `decide` reads it, creates it where it is missing and never rewrites it.

image_id,verdict,note
n000002/0001_01.jpg,keep,profile view of the same person
"""

import csv
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from curate.errors import PolicyError
from curate.fingerprint import fingerprint
from manifests.csv_rows import read_rows
from manifests.input import readable
from manifests.output import atomic
from manifests.schema import VERDICTS

FILE_NAME = "overrides.csv"
_HEADER = "image_id,verdict,note"


@dataclass(frozen=True)
class Overrides:
    """Human verdicts.

    verdicts: image_id -> 'keep', 'review' or 'drop'. lines: image_id -> line number in the file, for messages.
    """

    verdicts: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """Return a hash of everything that verdicts depend on; notes, and the layout of the file, have no effect."""
        return fingerprint({"verdicts": self.verdicts})


def read_overrides(path: str | Path) -> Overrides:
    """Read a CSV file with the columns image_id, verdict and optionally note; a missing file has no overrides.

    Case and surrounding spaces of a verdict are ignored, blank lines are skipped, and a byte order mark, which
    spreadsheets write, is accepted. A photo may be listed twice with the same verdict. Raises PolicyError with the
    line number for any other verdict, an empty image_id, contradicting verdicts, and a wrong header.
    """
    path = Path(path)
    if not path.exists():
        return Overrides()
    try:
        with readable(path, PolicyError):
            text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PolicyError(f"{path}: not UTF-8 text; save it as UTF-8") from error
    try:
        (_, header), *rows = [*read_rows(text)] or [(1, ["image_id", "verdict"])]
    except csv.Error as error:
        raise PolicyError(f"{path}: not a CSV file ({error}); write one photo a line") from error
    header = [cell.strip() for cell in header]
    if header[:2] != ["image_id", "verdict"]:
        raise PolicyError(f"{path}, line 1: the header is {','.join(header)!r}; change it to {_HEADER!r}")
    overrides = Overrides()
    for line, cells in rows:
        if any(cell.strip() for cell in cells):
            _add(overrides, cells, f"{path}, line {line}", line)
    return overrides


def _add(overrides: Overrides, cells: list[str], place: str, line: int) -> None:
    image_id, verdict = cells[0], cells[1].strip().lower() if len(cells) > 1 else ""
    if not image_id:
        raise PolicyError(f"{place}: no image_id; copy it from the manifest")
    if verdict not in VERDICTS:
        raise PolicyError(f"{place}: unknown verdict {verdict!r} for {image_id!r}; write 'keep', 'review' or 'drop'")
    previous = overrides.verdicts.get(image_id, verdict)
    if previous != verdict:
        raise PolicyError(
            f"{place}: verdict {verdict!r} for {image_id!r} contradicts {previous!r} in line "
            f"{overrides.lines[image_id]}; remove one of the two lines"
        )
    overrides.verdicts[image_id] = verdict
    overrides.lines.setdefault(image_id, line)


def create_overrides(path: str | Path) -> bool:
    """Write a file with the header alone unless the file exists; return whether it was written."""
    path = Path(path)
    if path.exists():
        return False
    with atomic(path) as partial:
        partial.write_text(f"{_HEADER}\n", encoding="utf-8")
    return True


def unmatched_warnings(
    overrides: Overrides, unmatched: Collection[str], suggestions: Mapping[str, str] | None = None
) -> list[str]:
    """Return one warning for each image_id in `unmatched`, which no photo of the dataset has, in file order.

    suggestions: image_ids that are probably meant, see `suggest`.
    """
    warnings = []
    for image_id in overrides.verdicts:
        if image_id in unmatched:
            suggestion = (suggestions or {}).get(image_id)
            meant = f"; did you mean {suggestion!r}?" if suggestion else ""
            warnings.append(
                f"{FILE_NAME}, line {overrides.lines[image_id]}: no photo {image_id!r} in this dataset; the line has "
                f"no effect{meant}"
            )
    return warnings


def suggest(unmatched: Collection[str], image_ids: Iterable[str]) -> dict[str, str]:
    """Map unmatched image_ids to those of the dataset that differ in Unicode form or in the path's notation only."""
    wanted = {_plain(image_id) for image_id in unmatched}
    photos = {plain: image_id for image_id in image_ids if (plain := _plain(image_id)) in wanted}
    return {image_id: photos[_plain(image_id)] for image_id in unmatched if _plain(image_id) in photos}


def _plain(image_id: str) -> str:
    """The image_id in normalisation form C, with slashes, without surrounding spaces and "./"."""
    return unicodedata.normalize("NFC", image_id).replace("\\", "/").strip().removeprefix("./").strip("/")
