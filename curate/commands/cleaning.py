"""`curate clean` and its steps: measure, relate, decide, report."""

import os
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from curate.commands.findings import print_findings
from curate.commands.options import (
    CalibrationOption,
    Dataset,
    Device,
    DryRun,
    Exclude,
    MeasureOptions,
    MeasureStepOptions,
    PolicyOption,
    StrictChecks,
    Verify,
    calibration_of,
    policy_of,
    with_options,
)
from curate.commands.progress import ProgressBar

if TYPE_CHECKING:
    from curate.decide.decide import Decided
    from curate.measure.request import MeasureRequest


@with_options
def clean(
    options: MeasureOptions,
    policy: PolicyOption = "default",
    calibration: CalibrationOption = None,
    exclude: Exclude = None,
    strict_checks: StrictChecks = False,
    dry_run: DryRun = False,
) -> None:
    """Clean a collection of photos: measure, relate, decide, report.

    Writes a dataset of aligned crops, label maps, embeddings and a manifest with a verdict (keep, review or
    drop) and its reasons for every photo. Photos are only read. Interrupted or killed, the same command continues where
    it stopped.

    Example: curate clean vggface2 --root /data/VGGFace2 --out curated/vggface2
    """
    request = options.measure_request()
    chosen_policy, chosen_calibration = policy_of(policy), calibration_of(calibration)
    if dry_run:
        _print_estimate(request)
        return

    from curate.cleaning import clean

    cleaned = clean(request, chosen_policy, ProgressBar(), exclude=exclude or (), calibration=chosen_calibration)
    _print_verdicts(cleaned.decided)
    print(f"manifest: {cleaned.manifest}")
    print(f"report:   {cleaned.report}")
    print_findings(cleaned.decided.findings, cleaned.out, strict=strict_checks)


@with_options
def plan(options: MeasureOptions) -> None:
    """Before step 1, for a cluster: list the photos once, for all parts.

    Writes dataset.json and plan.parquet, the listing of all photos by shard, so that no worker lists them. Then run
    `curate measure OUT --part i/n` on any number of machines.

    Example: curate plan vggface2 --root /data/VGGFace2 --out curated/vggface2
    """
    from curate.measure.measure import freeze

    planned = freeze(options.measure_request(), ProgressBar())
    print(f"planned: {planned.job.out}")


@with_options
def measure(options: MeasureStepOptions, dry_run: DryRun = False) -> None:
    """Step 1: measure every photo.

    Decodes, detects, aligns, segments, embeds and scores. Slow; finished shards are not measured again, and of the
    others only the photos that are new or have changed.

    Example: curate measure folder --root photos --out curated/photos
    """
    request = options.measure_request()
    if dry_run:
        _print_estimate(request)
        return

    from curate.measure.measure import plan, run
    from curate.measure.part import in_array

    if request.part is None and in_array(os.environ):
        print("curate: this task of a job array measures all shards; --part auto takes its share", file=sys.stderr)

    listener = ProgressBar()
    measured = run(plan(request, listener), listener)
    if measured.photos:
        print(measured.summary())


def status(
    dataset: Dataset,
    planned: Annotated[
        bool, typer.Option("--planned", help="Compare with the listing of `curate plan`; do not list the source.")
    ] = False,
    verify: Verify = False,
    parts: Annotated[
        int | None, typer.Option(min=1, help="Number of parts of the next run. Default: one for each shard.")
    ] = None,
) -> None:
    """Show what is measured, what is missing, and what has changed at the source.

    Ends with the command, and the expression for a job array, that measures the rest. Only reads.

    Example: curate status curated/vggface2 --parts 64
    """
    from curate.status import StatusRequest, run

    for line in run(StatusRequest(dataset, planned, verify, parts), ProgressBar()).lines():
        print(line)


def relate(dataset: Dataset, exclude: Exclude = None, device: Device = None) -> None:
    """Step 2: compare faces with identities and find duplicates.

    Writes relations.parquet: similarities to identity centroids, nearest other identities, duplicate groups.
    Killed, it continues after its last whole pass.

    Example: curate relate curated/photos --exclude photos-of-people-who-opted-out
    """
    from curate.durations import format_duration
    from curate.faces.models import check_device
    from curate.relate.relate import RelateRequest, run

    began = time.monotonic()
    run(RelateRequest(dataset, tuple(exclude or ()), check_device(device)), ProgressBar())
    print(f"compared all faces with all identities in {format_duration(time.monotonic() - began)}")


def decide(
    dataset: Dataset,
    policy: PolicyOption = "default",
    calibration: CalibrationOption = None,
    strict_checks: StrictChecks = False,
) -> None:
    """Step 3: decide what to keep, by a policy.

    Writes manifest.parquet. Verdicts in overrides.csv take precedence. Takes seconds; nothing is measured again.

    Example: curate decide curated/photos --policy strict
    """
    from curate.counts import counted
    from curate.decide import DecideRequest, run
    from curate.durations import format_duration
    from manifests.layout import MANIFEST

    began = time.monotonic()
    decided = run(DecideRequest(dataset, policy_of(policy), calibration_of(calibration)), ProgressBar())
    print(f"decided {counted(decided.photos, 'photo')} in {format_duration(time.monotonic() - began)}")
    _print_verdicts(decided)
    print(f"manifest: {dataset / MANIFEST}")
    print_findings(decided.findings, dataset, strict=strict_checks)


def report(dataset: Dataset) -> None:
    """Step 4: write report/index.html.

    The report shows what was dropped and why, with pictures.

    Example: curate report curated/photos
    """
    from curate.report import run

    print(f"report:   {run(dataset)}")


def _print_estimate(request: "MeasureRequest") -> None:
    from curate.measure.estimate import estimate
    from curate.measure.measure import plan

    print(estimate(plan(request, ProgressBar())).summary())


def _print_verdicts(decided: "Decided") -> None:
    for warning in decided.warnings:
        print(f"curate: {warning}", file=sys.stderr)
    print(f"keep {decided.kept:,}, review {decided.review:,}, drop {decided.dropped:,}")
    for reason, count in decided.reasons.items():
        if count:
            print(f"  {count:>9,}  {reason}")
    if decided.review:
        used = "are used as kept ones" if decided.review_is_used else "are not used in training and exports"
        print(
            f"  photos to review {used} (policy key keep_review): settle them with `curate review`, or "
            "write 'keep' or 'drop' into overrides.csv"
        )
