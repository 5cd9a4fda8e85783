"""Runs a planned swap."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from curate.listener import SILENT, Listener
from manifests.output import OutputLock
from train.errors import ConsentError, TargetError
from train.swap.photos import REPORT, Outcome, PhotoSwapper
from train.swap.plan import SwapPlan
from train.swap.results import Results, sha256_of
from train.swap.video import SwappedVideo, swap_video
from train.swap.video_writer import output_name


@dataclass(frozen=True)
class SwappedPhotos:
    """The result of swapping photos. interrupted: some of the photos have no outcome. report: the CSV file."""

    outcomes: list[Outcome]
    interrupted: bool
    report: Path


@dataclass(frozen=True)
class ExistingVideo:
    """The result of an earlier run with the same target and settings."""

    output: Path


def run(
    plan: SwapPlan, listener: Listener = SILENT, interrupted: Callable[[], bool] = lambda: False
) -> SwappedPhotos | SwappedVideo | ExistingVideo:
    """Swap the photos or the video of a plan into its `out`, which is locked meanwhile.

    Results of an earlier run with the same settings are kept, or replaced where their target has changed. Where a
    single photo or video is refused, nothing is written, `out` included.

    When `interrupted` returns True, the run ends early with complete, marked results. `listener` receives a note for
    each photo without a result.

    Raises:
        OutputError: `out` has results of other settings, or cannot be written.
        BusyError: Another run uses `out`.
        TargetError: The target is a single photo or video that cannot be swapped, or a video whose result would
            replace another file.
        ConsentError: The target is a single photo or video with a person in the exclusion galleries.
        MarkError: The container of a video does not keep the marks.
    """
    out = plan.request.out
    with OutputLock(out), Results(out, plan.record) as results:
        if plan.target_is_video:
            return _run_video(plan, results, listener, interrupted)
        return _run_photos(plan, results, listener, interrupted)


def _run_photos(plan: SwapPlan, results: Results, listener: Listener, interrupted: Callable[[], bool]) -> SwappedPhotos:
    request = plan.request
    photo_swapper = PhotoSwapper(
        plan.swapper,
        plan.marker,
        request.out,
        plan.source.photos,
        keep_location=request.keep_location,
        results=results,
        reports_failures=request.target.is_dir(),
        threads=request.threads,
    )
    outcomes = photo_swapper.run(plan.photos, listener, interrupted)
    report = request.out / REPORT
    if request.target.is_file() and outcomes and outcomes[0].status in ("failed", "refused"):
        error = ConsentError if outcomes[0].status == "refused" else TargetError
        raise error(f"target {request.target}: {outcomes[0].reason}; nothing was written")
    return SwappedPhotos(outcomes, len(outcomes) < len(plan.photos), report)


def _run_video(
    plan: SwapPlan, results: Results, listener: Listener, interrupted: Callable[[], bool]
) -> SwappedVideo | ExistingVideo:
    request = plan.request
    output = output_name(request.target)
    state = results.state(output, sha256_of(request.target))
    if state == "done":
        return ExistingVideo(request.out / output)
    if state in ("edited", "other"):
        raise TargetError(results.refusal(output, state))
    return swap_video(
        request.target,
        request.out,
        plan.swapper,
        plan.marker,
        listener,
        interrupted,
        sources=plan.source.photos,
        keep_location=request.keep_location,
        results=results,
    )
