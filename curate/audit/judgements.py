"""The file of an audit: the draw, and every judgement, on the disk before the page shows it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from curate.audit.draw import Draw
from curate.audit.kinds import KINDS
from curate.review.append_log import AppendLog
from manifests.errors import DatasetError
from manifests.records import InvalidRecordError, Limits, parse_record

UNDONE = ""
"""Kind of a judgement that is taken back."""


@dataclass(frozen=True)
class Judgement:
    """A line after the first: what an annotator said of the photo with this number in the draw."""

    annotator: str
    number: Annotated[int, Limits(low=0)]
    kind: Annotated[str, Limits(choices=(*(kind.name for kind in KINDS), UNDONE))]


class Judgements:
    """The judgements of a draw, by annotator.

    Args:
        path: of the file. A new one begins with `draw`; of one that exists, the draw must be the same.

    Raises DatasetError where the file is damaged, or of another draw.
    """

    def __init__(self, path: Path, draw: Draw) -> None:
        self.path, self.draw = path, draw
        self.given: dict[str, dict[int, str]] = {}
        self._order: dict[str, list[int]] = {}
        self._lines = AppendLog(path)
        try:
            self._read()
        except BaseException:
            self._lines.close()
            raise

    def _read(self) -> None:
        """Take the lines that the file has, or begin it with the draw."""
        path, draw = self.path, self.draw
        if not self._lines.lines:
            self._lines.append(json.dumps(asdict(draw)).encode())
        for number, line in enumerate(self._lines.lines, 1):
            try:
                if number == 1:
                    same = parse_record(line, Draw) == draw
                    if not same:
                        raise InvalidRecordError("it is of another draw")
                else:
                    self._take(parse_record(line, Judgement))
            except InvalidRecordError as error:
                raise DatasetError(
                    f"{path}, line {number}: damaged ({error}); restore it, or remove it to judge again"
                ) from error

    def judge(self, annotator: str, number: int, kind: str) -> None:
        """Record a judgement. Raises InvalidRecordError for an unknown kind or number, OutputError as `AppendLog`."""
        judgement = parse_record(json.dumps(asdict(Judgement(annotator, number, kind))), Judgement)
        if number >= len(self.draw.photos):
            raise InvalidRecordError(f"number is {number}, expected less than {len(self.draw.photos)}")
        self._lines.append(json.dumps(asdict(judgement)).encode())
        self._take(judgement)

    def undo(self, annotator: str) -> int | None:
        """Take back an annotator's last judgement; return its number, None where there is none."""
        order = self._order.get(annotator, [])
        if not order:
            return None
        number = order[-1]
        self.judge(annotator, number, UNDONE)
        return number

    def next_of(self, annotator: str) -> int | None:
        """Return the first photo that an annotator has not judged; None where all are."""
        given = self.given.get(annotator, {})
        return next((number for number in range(len(self.draw.photos)) if number not in given), None)

    def close(self) -> None:
        """Close the file."""
        self._lines.close()

    def _take(self, judgement: Judgement) -> None:
        given = self.given.setdefault(judgement.annotator, {})
        order = self._order.setdefault(judgement.annotator, [])
        if judgement.number in given:
            order.remove(judgement.number)
            del given[judgement.number]
        if judgement.kind != UNDONE:
            given[judgement.number] = judgement.kind
            order.append(judgement.number)
