"""Open a dataset for review, serve its page, and bring the manifest up to date when the review ends."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from curate.decide.decide import DecideRequest
from curate.decide.decide import run as decide
from curate.decide.footer import applied_limits, requested_policy
from curate.decide.rules import Policy
from curate.decide.stored_parts import stored_parts
from curate.errors import PolicyError
from curate.lineage import is_made_from
from curate.listener import SILENT, Listener
from curate.overrides import FILE_NAME, read_overrides
from curate.review.decider import Decider
from curate.review.index import load_index
from curate.review.log import FOLDER, DecisionLog
from curate.review.serving import address_of, forget_address, require_server, serve
from curate.review.session import Review
from manifests import layout
from manifests.errors import BusyError, DatasetError, OutputError
from manifests.output import OutputLock
from manifests.reader import Dataset
from manifests.table_file import TableFile

if TYPE_CHECKING:
    from curate.measure.sharpness import BlurCalibration

_WRITE_SECONDS = 0.5
"""Time after an action in which further ones are awaited before overrides.csv is written."""

_POLL_SECONDS = 2.0
"""Time after which overrides.csv is compared with what was written."""


@dataclass(frozen=True)
class ReviewRequest:
    """What to review.

    Attributes:
        dataset: directory of a decided dataset.
        policy: decides the dataset before the review; None: the policy that it was decided by.
        calibration: blur calibration that the dataset was decided with.
        port: of the server; 0: any free one.
    """

    dataset: Path
    policy: Policy | None = None
    calibration: "BlurCalibration | None" = None
    port: int = 0


def run(request: ReviewRequest, listener: Listener = SILENT) -> int:
    """Serve the page until the process is interrupted; return the number of decisions in the log.

    The address is given to the listener. When the review ends, however it ends, overrides.csv is written, and the
    manifest is decided again. Raises DatasetError where the dataset is not decided or merged, PolicyError for a faulty
    overrides.csv or a missing calibration, BusyError where another review is open, OutputError where nothing can be
    written or the port is taken, ExtraError without the extra `review`.
    """
    require_server()
    with opened(request, listener) as (review, dataset):
        from curate.review.pictures import Pictures
        from curate.review.server import ReviewApp

        app = ReviewApp(review, Pictures(dataset, review.index), dataset.path.resolve().name, version_of(dataset))
        try:
            with background_writing(review):
                serve(app, request.port, dataset.path / FOLDER, listener)
        finally:
            close(review, request, listener)
        return len(review.log.entries)


@contextmanager
def opened(request: ReviewRequest, listener: Listener = SILENT) -> Iterator[tuple[Review, Dataset]]:
    """Context manager: open a dataset for review, its manifest up to date, and lock it against a second review.

    Raises BusyError with the address of the page where another process has opened it.
    """
    dataset = Dataset.open(request.dataset)
    if dataset.parts:
        parts = ", ".join(map(str, dataset.parts.values()))
        raise DatasetError(f"{dataset.path} is merged: review its parts, {parts}")
    with ExitStack() as stack:
        try:
            stack.enter_context(OutputLock(dataset.path / FOLDER))
        except BusyError as error:
            raise BusyError(_opened_elsewhere(dataset.path, error.holder), error.holder) from error
        forget_address(dataset.path / FOLDER)
        log = DecisionLog(dataset.path)
        try:
            policy = bring_up_to_date(dataset, request.policy, request.calibration, listener)
            footer = TableFile(dataset.path / layout.MANIFEST).metadata
            index = load_index(dataset, policy, log.document)
            decider = Decider(stored_parts(dataset, request.calibration), index, policy, applied_limits(footer))
            yield Review(dataset.path, index, log, decider), dataset
        finally:
            log.close()


def _opened_elsewhere(dataset: Path, holder: str) -> str:
    address = address_of(dataset / FOLDER)
    advice = f"open {address} for a second window, or end that process with Ctrl-C" if address else "wait until it ends"
    return f"{dataset} is open already in a `curate review` or `curate audit` (process {holder}): {advice}"


def bring_up_to_date(
    dataset: Dataset, policy: Policy | None, calibration: "BlurCalibration | None", listener: Listener
) -> Policy:
    """Decide a dataset whose manifest is missing, out of date or of another policy; return the policy.

    policy: None keeps the one that the manifest records.
    """
    manifest = dataset.path / layout.MANIFEST
    if not manifest.exists() and policy is None:
        policy = Policy()
    if manifest.exists():
        file = TableFile(manifest)
        if policy is None:
            policy = requested_policy(file.metadata)
            if layout.CALIBRATION_HASH in file.metadata and calibration is None:
                raise PolicyError(
                    f"{dataset.path} was decided with a blur calibration: give it with --calibration FILE, or decide "
                    f"without it: `curate decide {dataset.path}`"
                )
        inputs = {
            "relations": dataset.relations_file().digest,
            "overrides": read_overrides(dataset.path / FILE_NAME).fingerprint(),
        }
        if (
            calibration is None
            and is_made_from(file.metadata, **inputs)
            and file.metadata.get(layout.POLICY_HASH) == policy.sha256()
        ):
            return policy
    assert policy is not None
    decide(DecideRequest(dataset.path, policy, calibration), listener)
    return policy


def close(review: Review, request: ReviewRequest, listener: Listener = SILENT) -> None:
    """Write overrides.csv, and decide the dataset again by the policy of the review."""
    review.write_overrides()
    bring_up_to_date(Dataset.open(request.dataset), request.policy, request.calibration, listener)


def version_of(dataset: Dataset) -> str:
    """Return what identifies the rows of a dataset's index, 16 hex digits."""
    return dataset.relations_file().digest[:16]


@contextmanager
def background_writing(review: Review) -> Iterator[None]:
    """Context manager: write overrides.csv soon after every action, and take over what is changed in it by hand."""
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            if review.written.wait(_POLL_SECONDS):
                ended.wait(_WRITE_SECONDS)
                review.written.clear()
            try:
                review.write_overrides()
                review.problem = ""
            except (PolicyError, OutputError) as error:
                review.problem = str(error)

    thread = threading.Thread(target=work, name="overrides", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        review.written.set()
        thread.join()
