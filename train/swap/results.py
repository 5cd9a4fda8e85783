"""Which target each result in OUT was made from, by content: a target that has changed is swapped again.

A result is recorded before it gets its name: a line of OUT/swap.journal.jsonl, which becomes part of OUT/swap.json when
the run ends, or when the next one begins. So a file without a record is not a result, and is never replaced.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Literal

from manifests.errors import OutputError
from manifests.output import atomic, writable
from manifests.records import InvalidRecordError, from_json, parse_record
from train.swap import run_record
from train.swap.run_record import FILE, RESULTS, RunRecord

JOURNAL = "swap.journal.jsonl"
State = Literal["new", "done", "changed", "edited", "other"]


@dataclass(frozen=True)
class Result:
    """A result.

    Attributes:
        target: name of the photo relative to the target folder, or of the video.
        target_sha256: of its bytes.
        size, sha256: of the result.
        target_marks: marks that the target carried: the name of each, and its summary.
        not_kept: which of them the result does not keep, and why.
    """

    target: str
    target_sha256: str
    size: int
    sha256: str
    target_marks: dict[str, Any] = field(default_factory=dict)
    not_kept: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, target: str, target_sha256: str, file: Path, marks: Mapping[str, str], not_kept: tuple[str, ...] = ()
    ) -> "Result":
        """The result in a complete file, which may have any name."""
        return cls(target, target_sha256, file.stat().st_size, sha256_of(file), dict(marks), not_kept)


@dataclass(frozen=True)
class JournalLine:
    """A line of the journal: the result `output`, a path relative to the folder."""

    output: str
    result: Result


class Results:
    """The results of a folder, which the caller has locked. A context manager: the record is complete when it ends.

    Nothing is written before the first result.

    Raises OutputError where the folder has results of other settings, or its record is damaged.
    """

    def __init__(self, out: Path, record: RunRecord) -> None:
        self.out, self.record = out, record
        self._lock = Lock()
        self._results: dict[str, Result] = {}
        recorded = run_record.read(out)
        self._is_recorded = recorded is not None
        if recorded is None:
            return
        run_record.require_same(out, record, recorded)
        try:
            self._results = {output: from_json(Result, value, output) for output, value in recorded.results.items()}
            self._results |= {line.output: line.result for line in self._journal_lines()}
        except InvalidRecordError as error:
            raise OutputError(f"{out / FILE} is damaged ({error}): remove it, or choose another --out") from error

    def __enter__(self) -> "Results":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_recorded:
            self._results = {output: result for output, result in self._results.items() if (self.out / output).exists()}
            self._write()
            (self.out / JOURNAL).unlink(missing_ok=True)

    def state(self, output: str, target_sha256: str) -> State:
        """What `output`, a path relative to the folder, is for a target of this content.

        "new": no such file. "done": the target's result. "changed": the result of a target that has changed. "edited":
        a result that was changed after it was written. "other": a file that is not a result.
        """
        path, result = self.out / output, self._results.get(output)
        if not path.exists():
            return "new"
        if result is None:
            return "other"
        if path.stat().st_size != result.size:
            return "edited"
        if result.target_sha256 == target_sha256:
            return "done"
        return "changed" if sha256_of(path) == result.sha256 else "edited"

    def refusal(self, output: str, state: State) -> str:
        """Why `output`, in the state "edited" or "other", is not written."""
        path = self.out / output
        if state == "edited":
            return f"{path} was changed after it was written: remove it, or choose another --out"
        return f"{path} exists already: choose another --out"

    def add(self, output: str, result: Result) -> None:
        """Record a complete but still unnamed file as the result `output`. May be called in any thread."""
        line = json.dumps({"output": output, "result": asdict(result)})
        with self._lock, writable(self.out / JOURNAL):
            if not self._is_recorded:
                self._write()
                self._is_recorded = True
            with (self.out / JOURNAL).open("a", encoding="utf-8") as file:
                file.write(line + "\n")
                file.flush()
                os.fsync(file.fileno())
            self._results[output] = result

    def _write(self) -> None:
        results = {output: asdict(result) for output, result in sorted(self._results.items())}
        with atomic(self.out / FILE) as partial:
            text = json.dumps(asdict(self.record) | {RESULTS: results}, indent=2)
            partial.write_text(text + "\n", encoding="utf-8")

    def _journal_lines(self) -> list[JournalLine]:
        path = self.out / JOURNAL
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        # The last line is incomplete if the process was killed while writing it; its result has no name then.
        return [parse_record(line, JournalLine) for line in lines if line.endswith(b"\n")]


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
