"""`curate clean`, and its steps alone: measure, relate, decide, report."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from curate.commands.options import (
    Buckets,
    CalibrationOption,
    Dataset,
    Detection,
    Device,
    DryRun,
    EmbedderOption,
    Exclude,
    Limit,
    MaxPixels,
    ModelsOption,
    Out,
    PolicyOption,
    Root,
    Source,
    TemplateOption,
    Verify,
    Workers,
    calibration_of,
    device_of,
    request_of,
)
from curate.commands.progress import ProgressBar

if TYPE_CHECKING:
    from curate.decide.policy import Policy
    from curate.measure.plan import Plan, Request
    from curate.measure.sharpness import BlurCalibration


def clean(
    source: Source,
    root: Root = None,
    out: Out = None,
    policy: PolicyOption = "default",
    calibration: CalibrationOption = None,
    models: ModelsOption = None,
    embedder: EmbedderOption = None,
    detection: Detection = "coarse",
    template: TemplateOption = "simswap-224",
    exclude: Exclude = None,
    device: Device = None,
    workers: Workers = None,
    limit: Limit = None,
    buckets: Buckets = None,
    max_pixels: MaxPixels = 50_000_000,
    verify: Verify = False,
    dry_run: DryRun = False,
) -> None:
    """Measure, relate, decide, report: from photos to a manifest.

    Stopped or killed, it continues where it was when the same command is run again.

    Example: curate clean vggface2 --root /data/VGGFace2 --out curated/vggface2
    """
    request = request_of(
        source, root, out, models, embedder, detection, template, device, workers, limit, buckets, max_pixels
    )
    from curate.decide.policy import load_policy

    chosen, blur = load_policy(policy), calibration_of(calibration)
    if measured(request, dry_run, verify):
        related(request.out, exclude or [], request.device)
        decided(request.out, chosen, blur)
        reported(request.out)


def measure(
    source: Source,
    root: Root = None,
    out: Out = None,
    models: ModelsOption = None,
    embedder: EmbedderOption = None,
    detection: Detection = "coarse",
    template: TemplateOption = "simswap-224",
    device: Device = None,
    workers: Workers = None,
    limit: Limit = None,
    buckets: Buckets = None,
    max_pixels: MaxPixels = 50_000_000,
    verify: Verify = False,
    dry_run: DryRun = False,
) -> None:
    """Decode, detect, align, segment, embed and score every photo; the expensive step, done once."""
    request = request_of(
        source, root, out, models, embedder, detection, template, device, workers, limit, buckets, max_pixels
    )
    measured(request, dry_run, verify)


def relate(dataset: Dataset, exclude: Exclude = None, device: Device = None) -> None:
    """Compare each face with its own person, with all others, and find duplicates."""
    related(dataset, exclude or [], device_of(device))


def decide(dataset: Dataset, policy: PolicyOption = "default", calibration: CalibrationOption = None) -> None:
    """Decide again what to keep, from what was measured; overrides.csv is applied last. Takes seconds."""
    from curate.decide.policy import load_policy

    decided(dataset, load_policy(policy), calibration_of(calibration))


def report(dataset: Dataset) -> None:
    """Write report/index.html: what was dropped and why, in pictures."""
    reported(dataset)


def measured(request: "Request", dry_run: bool = False, verify: bool = False) -> bool:
    """Measures what is left; False when only asked what would be done."""
    from curate.measure.plan import make_plan, verify_photos
    from curate.measure.plan import measure as measure_all
    from manifests.output import OutputLock

    planned = make_plan(request)
    if verify:
        planned = verify_photos(planned, ProgressBar())
    _say_plan(planned)
    if dry_run:
        from curate.measure.estimate import estimate

        print(estimate(planned).words())
        return False
    with OutputLock(request.out):
        began = time.monotonic()
        measure_all(planned, ProgressBar())
    if planned.photos_todo:
        seconds = time.monotonic() - began
        rate = planned.photos_todo / seconds
        print(f"measured {planned.photos_todo:,} photos in {duration(seconds)} ({rate:.1f} a second)")
    return True


def _say_plan(planned: "Plan") -> None:
    people = sum(len(shard.identities) for shard in planned.shards)
    done = planned.photos - planned.photos_todo
    already = f", {done:,} of them measured before" if done else ""
    print(f"{planned.photos:,} photos of {people:,} people in {len(planned.shards):,} shards{already}")
    if planned.ignored:
        kinds = ", ".join(
            f"{count:,} {suffix or 'without suffix'}" for suffix, count in sorted(planned.ignored.items())
        )
        print(f"not photos, left alone: {kinds}")


def related(dataset: Path, exclude: list[Path], device: str) -> None:
    from curate.relate.relate import RelateRequest, run
    from manifests.output import OutputLock

    began = time.monotonic()
    with OutputLock(dataset):
        run(RelateRequest(dataset, tuple(exclude), device), ProgressBar())
    print(f"related every face to its person and to all others in {duration(time.monotonic() - began)}")


def decided(dataset: Path, policy: "Policy", calibration: "BlurCalibration | None" = None) -> None:
    from curate.decide.decide import decide as decide_all
    from manifests.output import OutputLock

    began = time.monotonic()
    with OutputLock(dataset):
        found = decide_all(dataset, policy, calibration)
    for warning in found.warnings:
        print(f"curate: {warning}", file=sys.stderr)
    took, dropped = duration(time.monotonic() - began), found.photos - found.kept
    print(f"decided {found.photos:,} photos in {took}: keep {found.kept:,}, drop {dropped:,}")
    for reason, count in found.reasons.items():
        if count:
            print(f"  {count:>9,}  {reason}")
    print(f"manifest: {dataset / 'manifest.parquet'}")


def reported(dataset: Path) -> None:
    from curate.report import write_report
    from manifests.output import OutputLock

    with OutputLock(dataset):
        page = write_report(dataset)
    print(f"report:   {page}")


def duration(seconds: float) -> str:
    from curate.measure.estimate import duration

    return duration(seconds)
