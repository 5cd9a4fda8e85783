"""Swaps photos, or folders of them: marked results in the same tree under OUT, and a report with one row per photo."""

import errno
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from threading import Lock
from typing import Literal

from curate.decode import Pixels
from curate.decode.boundary import decoder_errors
from curate.errors import DecodeError
from curate.listener import SILENT, Listener, progress
from curate.sources.stores.walk import read_file
from manifests.csv_rows import CsvWriter
from manifests.errors import OutputError
from manifests.output import atomic
from train.errors import MarkError, TargetError
from train.marks.mark import Provenance
from train.marks.marker import Marker
from train.marks.media import MediaFile
from train.swap.background import BackgroundWorker, prefetch
from train.swap.photo_files.photo_file import PhotoFile
from train.swap.photo_files.reader import output_name, read_photo
from train.swap.results import Result, Results
from train.swap.swapper import SwappedPhoto
from train.swap.targets import TargetPhoto

REPORT = "report.csv"
Status = Literal["swapped", "exists", "refused", "failed"]

_BATCH_PHOTOS = 8
_MAX_BATCH_PIXELS = 16_000_000  # unless a single photo has more


@dataclass(frozen=True)
class Outcome:
    """A row of the report.

    Attributes:
        path: The photo, relative to the target folder.
        output: The result, relative to OUT; empty where there is none.
        status: "exists" for results of an earlier run that was continued.
        reason: Why there is no result.
        faces: Number of faces detected.
        swapped: Number of faces swapped.
        notes: What the file of the result does not keep of the original.
    """

    path: str
    output: str
    status: Status
    reason: str = ""
    faces: int = 0
    swapped: int = 0
    notes: str = ""


@dataclass(frozen=True)
class _Item:
    """A photo of a batch.

    photo: None where it cannot be read. outcome: where it is known. sha256: of its bytes. marks: those that it carries.
    """

    target: TargetPhoto
    photo: PhotoFile | None
    outcome: Outcome | None = None
    sha256: str = ""
    marks: Mapping[str, str] = field(default_factory=dict)


class PhotoSwapper:
    """Swaps photos in batches; decoding, the networks, and encoding run at the same time.

    Args:
        swapper: Swaps the batches; a `Swapper`.
        marker: Marks the results.
        out: The folder of the results. No other file in it is overwritten.
        sources: The source photos, for the content credentials.
        keep_location: Results keep the GPS location of their photos.
        results: The results of earlier runs with the same settings, which are kept while their photos have not
            changed; new ones are added. None: `out` has no results.
        reports_failures: Whether a report is written where no photo has a result.
        threads: Threads that decode and encode.
    """

    def __init__(
        self,
        swapper: Callable[[Sequence[Pixels]], list[SwappedPhoto]],
        marker: Marker,
        out: Path,
        sources: Sequence[Path] = (),
        *,
        keep_location: bool = False,
        results: Results | None = None,
        reports_failures: bool = True,
        threads: int = 2,
    ) -> None:
        self.swapper, self.marker, self.out, self.sources = swapper, marker, out, tuple(sources)
        self.source_marks: Mapping[Path, Mapping[str, str]] = marker.marks_of_files(self.sources)
        self.keep_location, self.results = keep_location, results
        self.reports_failures = reports_failures
        self._prefetched = threads  # photos decoded in advance; each may be large
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="photos")
        self._marking = Lock()
        self._outputs: set[str] = set()

    def run(
        self,
        targets: Sequence[TargetPhoto],
        listener: Listener = SILENT,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> list[Outcome]:
        """Swap photos and write OUT/report.csv; returns the outcomes in the order of `targets`.

        After `interrupted` returns True, the current batch is finished and no other is begun. Raises OutputError where
        OUT cannot be written.
        """
        outcomes: list[Outcome] = []
        with progress(listener, "swapping", len(targets)) as advance:

            def finish(work: tuple[list[_Item], list[SwappedPhoto]]) -> None:
                batch = self._write_batch(*work)
                outcomes.extend(batch)
                for outcome in batch:
                    reasons = [text for text in (outcome.reason, outcome.notes) if text]
                    if reasons:
                        listener.note(f"{outcome.path}: {outcome.status}: {'; '.join(reasons)}")
                    advance(1)

            writer: BackgroundWorker[tuple[list[_Item], list[SwappedPhoto]]] = BackgroundWorker(finish, 1)
            try:
                for batch in prefetch(self._batches(targets), 1):
                    pixels = [item.photo.pixels for item in batch if item.photo is not None]
                    # Results may differ in the last bits with another batch: that of a continued run is the same.
                    finished = all(item.outcome is not None for item in batch)
                    writer.put((batch, [] if finished else self.swapper(pixels)))
                    if interrupted():
                        break
                writer.close()
            finally:
                writer.cancel()
                if self.reports_failures or any(outcome.output for outcome in outcomes):
                    self._write_report(outcomes)
        return outcomes

    def _batches(self, targets: Sequence[TargetPhoto]) -> Iterator[list[_Item]]:
        batch: list[_Item] = []
        batch_pixels = 0
        for start in range(0, len(targets), self._prefetched):
            for item in self._threads.map(self._read, targets[start : start + self._prefetched]):
                pixels = item.photo.pixels.size // 3 if item.photo else 0
                if batch and (len(batch) == _BATCH_PHOTOS or batch_pixels + pixels > _MAX_BATCH_PIXELS):
                    yield batch
                    batch, batch_pixels = [], 0
                batch.append(item)
                batch_pixels += pixels
        if batch:
            yield batch

    def _read(self, target: TargetPhoto) -> _Item:
        try:
            if target.refusal is not None:
                raise DecodeError(target.refusal)
            data = read_file(str(target.file.parent), target.file.name)
            photo = read_photo(data, self.keep_location)
        except DecodeError as error:
            return _Item(target, None, Outcome(target.name, "", "failed", str(error)))
        output = output_name(target.name, photo.format)
        sha256 = hashlib.sha256(data).hexdigest()
        if self.results is None:
            reason = f"{self.out / output} exists already: choose another --out" if (self.out / output).exists() else ""
        else:
            state = self.results.state(output, sha256)
            if state == "done":
                return _Item(target, photo, Outcome(target.name, output, "exists"))
            reason = self.results.refusal(output, state) if state in ("edited", "other") else ""
        if reason:
            return _Item(target, None, Outcome(target.name, "", "failed", reason))
        marks = self.marker.marks_of(MediaFile(target.file, "photo", data, _photo=photo.pixels))
        return _Item(target, photo, sha256=sha256, marks=marks)

    def _write_batch(self, batch: list[_Item], swapped: list[SwappedPhoto]) -> list[Outcome]:
        """Mark, encode and write a batch. swapped: of the items with a photo."""
        results = iter(swapped)
        pixels = [next(results, None) if item.photo else None for item in batch]
        writes = [self._threads.submit(self._write, *work) for work in zip(batch, pixels, strict=True)]
        wait(writes)  # no thread writes on where one failed and the run ends
        return [write.result() for write in writes]

    def _write(self, item: _Item, swapped: SwappedPhoto | None) -> Outcome:
        if item.outcome is not None:
            return item.outcome
        assert item.photo is not None
        assert swapped is not None
        target, notes = item.target, "; ".join(item.photo.notes)
        if not swapped.swapped:
            status: Status = "refused" if swapped.refused else "failed"
            return Outcome(target.name, "", status, swapped.reason, swapped.faces, 0, notes)
        output = output_name(target.name, item.photo.format)
        try:
            not_kept = self._write_result(item, item.photo, swapped, output)
        except (DecodeError, MarkError, TargetError) as error:
            return Outcome(target.name, "", "failed", str(error), swapped.faces, 0, notes)
        notes = "; ".join((*item.photo.notes, *not_kept))
        return Outcome(target.name, output, "swapped", "", swapped.faces, swapped.swapped, notes)

    def _write_result(self, item: _Item, photo: PhotoFile, swapped: SwappedPhoto, output: str) -> tuple[str, ...]:
        """Write a marked result; returns what it does not keep of the marks of the target.

        Raises DecodeError, MarkError or TargetError where this photo cannot be written.
        """
        with self._marking:
            if output in self._outputs:
                raise TargetError(f"the result of another photo is called {output} too: rename one of them")
            self._outputs.add(output)
            marked = self.marker.frames(swapped.pixels[None])[0]
        with decoder_errors("encoder"):
            data = photo.encode(marked)
        try:
            with atomic(self.out / output) as partial:
                partial.write_bytes(data)
                with self._marking:
                    marks = {**self.source_marks, item.target.file: item.marks}
                    not_kept = self.marker.seal(partial, Provenance(item.target.file, self.sources, marks))
                if self.results is not None:
                    result = Result.of(item.target.name, item.sha256, partial, item.marks, not_kept)
                    self.results.add(output, result)
        except OutputError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            raise TargetError("the file name of the result is too long: shorten the name of the photo") from error
        return not_kept

    def _write_report(self, outcomes: list[Outcome]) -> None:
        text = io.StringIO()
        rows = CsvWriter(text, [field.name for field in fields(Outcome)])
        for outcome in outcomes:
            rows.write(astuple(outcome))
        with atomic(self.out / REPORT) as partial:
            partial.write_text(text.getvalue(), encoding="utf-8", errors="surrogateescape")


def count_by_status(outcomes: Sequence[Outcome]) -> Counter[Status]:
    """The number of photos of each status."""
    return Counter(outcome.status for outcome in outcomes)
