"""Audit a dataset: draw photos, serve the page, and record the result."""

from dataclasses import dataclass
from pathlib import Path

from curate.audit.draw import draw
from curate.audit.judgements import Judgements
from curate.audit.record import AuditRecord, basis_of, store, stored_audit
from curate.audit.result import result_of
from curate.listener import SILENT, Listener
from curate.review.log import FOLDER
from curate.review.review import ReviewRequest, opened, version_of
from curate.review.serving import require_server, serve
from curate.review.session import Review
from manifests import layout
from manifests.errors import DatasetError
from manifests.output import OutputLock
from manifests.reader import Dataset
from manifests.table_file import TableFile

MIN_PHOTOS = 20
"""Smallest sample of a population: each stratum needs some photos."""


@dataclass(frozen=True)
class AuditRequest:
    """What to audit.

    Attributes:
        dataset: directory of a decided dataset.
        kept, dropped: photos to draw of those that training uses, and of the dropped ones (0: none).
        seed: of the draw.
        annotator: name under which judgements are recorded; two annotators of the same draw give the agreement.
        port: of the server; 0: any free one.

    Raises ValueError for a sample of fewer than MIN_PHOTOS, or an empty name.
    """

    dataset: Path
    kept: int = 300
    dropped: int = 0
    seed: int = 0
    annotator: str = "first"
    port: int = 0

    def __post_init__(self) -> None:
        if self.kept < MIN_PHOTOS or 0 < self.dropped < MIN_PHOTOS:
            raise ValueError(f"{self.kept} kept and {self.dropped} dropped photos; draw at least {MIN_PHOTOS}")
        if not self.annotator.strip():
            raise ValueError("the annotator's name is empty")


@dataclass(frozen=True)
class Audited:
    """State of an audit when its page was closed.

    Attributes:
        photos, judged: photos of the draw, and those that the annotator has judged.
        record: result of the annotators who have judged all; it is in the manifest's footer.
        file: the draw and the judgements.
    """

    photos: int
    judged: int
    record: AuditRecord
    file: Path


def run(request: AuditRequest, listener: Listener = SILENT) -> Audited:
    """Serve the page until the process is interrupted, unless the annotator has judged everything; record the result.

    The same request continues an audit that was interrupted. Raises errors as `curate.review.run` does, and
    DatasetError where there is no photo to judge, or the file of the draw is damaged.
    """
    require_server()
    with opened(ReviewRequest(request.dataset), listener) as (review, dataset):
        judgements = drawn(request, review, dataset)
        try:
            if judgements.next_of(request.annotator) is not None:
                from curate.audit.server import AuditApp
                from curate.review.pictures import Pictures

                name = dataset.path.resolve().name
                pictures = Pictures(dataset, review.index)
                app = AuditApp(review, judgements, request.annotator, pictures, name, version_of(dataset))
                serve(app, request.port, dataset.path / FOLDER, listener)
            record = result_of(judgements)
        finally:
            judgements.close()
    if record.results:
        record_result(dataset, record)
    judged = len(judgements.given.get(request.annotator, {}))
    return Audited(len(judgements.draw.photos), judged, record, judgements.path)


def drawn(request: AuditRequest, review: Review, dataset: Dataset) -> Judgements:
    """Draw the photos, and open the file of their judgements."""
    basis = basis_of(TableFile(dataset.path / layout.MANIFEST).metadata)
    keep_review = review.decider.applied.keep_review
    photos = draw(review.index, request.seed, basis, request.kept, request.dropped, keep_review)
    if not photos.photos:
        raise DatasetError(f"{dataset.path}: there is no photo to judge: decide by a milder policy, or give --dropped")
    name = f"audit-{basis[:8]}-{request.kept}-{request.dropped}-{request.seed}.jsonl"
    return Judgements(dataset.path / FOLDER / name, photos)


def record_result(dataset: Dataset, record: AuditRecord) -> None:
    """Write a result into the manifest's footer, unless it is there."""
    manifest = dataset.path / layout.MANIFEST
    with OutputLock(dataset.path):
        metadata = TableFile(manifest).metadata
        if stored_audit(metadata) != record and basis_of(metadata) == record.basis:
            store(manifest, record)
