"""Runs a planned swap."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from curate.listener import SILENT, Listener
from manifests.output import OutputLock
from train.errors import ConsentError, TargetError
from train.swap import run_record
from train.swap.photos import REPORT, Outcome, PhotoSwapper
from train.swap.plan import SwapPlan
from train.swap.video import SwappedVideo, swap_video
from train.swap.video_writer import output_name


@dataclass(frozen=True)
class SwappedPhotos:
    """The result of swapping photos. interrupted: some of the photos have no outcome. report: the CSV file."""

    outcomes: list[Outcome]
    interrupted: bool
    report: Path


def run(
    plan: SwapPlan, listener: Listener = SILENT, interrupted: Callable[[], bool] = lambda: False
) -> SwappedPhotos | SwappedVideo:
    """Swap the photos or the video of a plan into its `out`, which is locked meanwhile.

    When `interrupted` returns True, the run ends early with complete, marked results. `listener` receives a note for
    each photo without a result.

    Raises:
        OutputError: `out` has results of other settings, or cannot be written.
        BusyError: Another run uses `out`.
        TargetError: The target is a single photo or video that cannot be swapped, or a video whose result exists.
        ConsentError: The target is a single photo or video with a person in the exclusion galleries.
        MarkError: The container of a video does not keep the marks.
    """
    out = plan.request.out
    with OutputLock(out):
        continued = run_record.read(out) is not None
        run_record.claim(out, plan.record)
        if plan.target_is_video:
            return _run_video(plan, listener, interrupted)
        return _run_photos(plan, continued, listener, interrupted)


def _run_photos(plan: SwapPlan, continued: bool, listener: Listener, interrupted: Callable[[], bool]) -> SwappedPhotos:
    request = plan.request
    photo_swapper = PhotoSwapper(
        plan.swapper,
        plan.marker,
        request.out,
        plan.source.photos,
        keep_location=request.keep_location,
        continued=continued,
        threads=request.threads,
    )
    outcomes = photo_swapper.run(plan.photos, listener, interrupted)
    report = request.out / REPORT
    if request.target.is_file() and outcomes and outcomes[0].status in ("failed", "refused"):
        error = ConsentError if outcomes[0].status == "refused" else TargetError
        raise error(f"target {request.target}: {outcomes[0].reason}; nothing was written but {report}")
    return SwappedPhotos(outcomes, len(outcomes) < len(plan.photos), report)


def _run_video(plan: SwapPlan, listener: Listener, interrupted: Callable[[], bool]) -> SwappedVideo:
    request = plan.request
    final = request.out / output_name(request.target)
    if final.exists():
        raise TargetError(f"{final} exists already and is not overwritten: remove it, or choose another --out")
    return swap_video(
        request.target,
        request.out,
        plan.swapper,
        plan.marker,
        listener,
        interrupted,
        keep_location=request.keep_location,
    )
