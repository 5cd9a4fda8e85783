"""A photo, or a folder of them -> swapped and marked photos in OUT, the same tree; one row of a report for each."""

import csv
import errno
import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from threading import Lock
from typing import Literal

from curate.errors import DecodeError
from curate.sources.stores.walk import read_file
from manifests.output import atomic
from train.errors import MarkError
from train.marks.mark import Provenance
from train.marks.marker import Marker
from train.swap.paths import Target
from train.swap.photo import Picture, name_for, read_picture
from train.swap.stages import Behind, ahead
from train.swap.swapper import Swapped, Swapper

REPORT = "report.csv"
Status = Literal["swapped", "exists", "refused", "failed"]

_PHOTOS = 8  # of a batch
_PIXELS = 16_000_000  # of a batch, unless one photo alone has more


@dataclass(frozen=True)
class Outcome:
    """What became of a photo: its path in the target, that of the result in OUT, how many faces were found and how
    many swapped, why none was, and what of the file had to change."""

    path: str
    output: str
    status: Status
    reason: str = ""
    faces: int = 0
    swapped: int = 0
    notes: str = ""


@dataclass(frozen=True)
class _Read:
    target: Target
    picture: Picture | None
    outcome: Outcome | None  # where it is known without looking for faces


class Album:
    """Swaps photos in batches: one thread reads the next ones, `threads` others encode the last ones.

    parents and components of the content credentials are the target and `sources`. `continued`: results in OUT are of
    an earlier run of the same settings; they are kept and not made again. Otherwise nothing may be in the way.
    """

    def __init__(
        self,
        swapper: Swapper,
        marker: Marker,
        out: Path,
        sources: Sequence[Path],
        *,
        continued: bool = False,
        threads: int = 2,
    ) -> None:
        self.swapper, self.marker, self.out, self.sources = swapper, marker, out, tuple(sources)
        self.continued = continued
        self._ahead = threads  # photos decoded at once: each may be large
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="photos")
        self._marking = Lock()
        self._taken: set[str] = set()

    def run(
        self, targets: Sequence[Target], tell: Callable[[Outcome], None], stop: Callable[[], bool] = lambda: False
    ) -> Counter[Status]:
        """Swap all; `tell` gets each outcome. After `stop` says so no new batch is begun. Leaves OUT/report.csv.

        Raises OutputError: OUT cannot be written. MarkError: nothing can be marked.
        """
        outcomes: list[Outcome] = []

        def keep(made: list[Outcome]) -> None:
            outcomes.extend(made)
            for outcome in made:
                tell(outcome)

        behind: Behind[tuple[list[_Read], list[Swapped]]] = Behind(lambda work: keep(self._finish(*work)), 1)
        try:
            for batch in ahead(self._batches(targets), 1):
                pictures = [one.picture.pixels for one in batch if one.picture is not None]
                behind.put((batch, self.swapper(pictures) if pictures else []))
                if stop():
                    break
            behind.close()
        finally:
            behind.drop()
            self._report(outcomes)
        return Counter(outcome.status for outcome in outcomes)

    def _batches(self, targets: Sequence[Target]) -> Iterator[list[_Read]]:
        batch: list[_Read] = []
        pixels = 0
        for start in range(0, len(targets), self._ahead):
            for read in self._threads.map(self._read, targets[start : start + self._ahead]):
                size = read.picture.pixels.size // 3 if read.picture else 0
                if batch and (len(batch) == _PHOTOS or pixels + size > _PIXELS):
                    yield batch
                    batch, pixels = [], 0
                batch.append(read)
                pixels += size
        if batch:
            yield batch

    def _read(self, target: Target) -> _Read:
        """A photo decoded, or why it is not."""
        try:
            if target.refusal is not None:
                raise DecodeError(target.refusal)
            picture = read_picture(read_file(str(target.file.parent), target.file.name))
        except DecodeError as error:
            return _Read(target, None, Outcome(target.name, "", "failed", str(error)))
        output = name_for(target.name, picture.format)
        if (self.out / output).exists():
            if self.continued:
                return _Read(target, None, Outcome(target.name, output, "exists"))
            reason = f"{self.out / output} is in the way: choose another --out"
            return _Read(target, None, Outcome(target.name, "", "failed", reason))
        return _Read(target, picture, None)

    def _finish(self, batch: list[_Read], swapped: list[Swapped]) -> list[Outcome]:
        """Marks, encodes and writes a batch; outcomes in its order."""
        results = iter(swapped)
        return list(self._threads.map(self._write, batch, [next(results) if one.picture else None for one in batch]))

    def _write(self, read: _Read, swapped: Swapped | None) -> Outcome:
        if read.picture is None or swapped is None:
            assert read.outcome is not None
            return read.outcome
        picture, target = read.picture, read.target
        notes = "; ".join(picture.notes)
        if not swapped.swapped:
            status: Status = "refused" if swapped.refused else "failed"
            return Outcome(target.name, "", status, swapped.reason, swapped.faces, 0, notes)
        output = name_for(target.name, picture.format)
        with self._marking:
            if output in self._taken:
                reason = f"another photo's result is called {output} already: rename one of them"
                return Outcome(target.name, "", "failed", reason, swapped.faces, 0, notes)
            self._taken.add(output)
        try:
            with self._marking:
                marked = self.marker.frames(swapped.pixels[None])[0]
            data = picture.encode(marked)
            with atomic(self.out / output) as partial:
                partial.write_bytes(data)
                with self._marking:
                    self.marker.seal(partial, Provenance(target.file, self.sources))
        except MarkError as error:
            return Outcome(target.name, "", "failed", str(error), swapped.faces, 0, notes)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            return Outcome(target.name, "", "failed", "the name is too long to be written", swapped.faces, 0, notes)
        return Outcome(target.name, output, "swapped", "", swapped.faces, swapped.swapped, notes)

    def _report(self, outcomes: list[Outcome]) -> None:
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow([field.name for field in fields(Outcome)])
        rows.writerows(astuple(outcome) for outcome in outcomes)
        with atomic(self.out / REPORT) as partial:
            partial.write_text(text.getvalue(), encoding="utf-8", errors="surrogateescape")
