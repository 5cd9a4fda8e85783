"""`curate.clean`: photos -> a curated dataset, all four steps."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from curate import decide, measure, relate, report
from curate.counts import counted
from curate.decide.decide import Decided
from curate.decide.rules import Policy
from curate.durations import format_duration
from curate.listener import SILENT, Listener
from curate.measure.measure import MeasureResult
from curate.measure.request import MeasureRequest
from curate.measure.sharpness import BlurCalibration
from curate.relate.exclude import check_galleries
from manifests.layout import MANIFEST


@dataclass(frozen=True)
class Cleaned:
    """A cleaned dataset: its directory, what was measured, the verdicts, and the report's page."""

    out: Path
    measured: MeasureResult
    decided: Decided
    report: Path

    @property
    def manifest(self) -> Path:
        """Path of the manifest, a Parquet file with one row per photo."""
        return self.out / MANIFEST


def clean(
    request: MeasureRequest,
    policy: Policy | None = None,
    listener: Listener = SILENT,
    *,
    exclude: Sequence[Path] = (),
    calibration: BlurCalibration | None = None,
) -> Cleaned:
    """Measure, relate and decide a source, and write the report.

    Killed at any moment, it continues with the unfinished shards when it is called again with the same request.

    Args:
        request: Source, models and output directory.
        policy: Thresholds of the verdicts; None: the preset "default".
        listener: Receives progress, and a note on the result of each step.
        exclude: Photos of people who must not be in the dataset: folders, or curated datasets.
        calibration: Blur calibration of `curate calibrate`; None: the built-in one.

    Raises a `manifests.errors.SwapsetError` that names the value, the place and the next step.
    """
    check_galleries(exclude)
    plan = measure.plan(request, listener)
    measured = measure.run(plan, listener)
    if measured.photos:
        listener.note(measured.summary())
    began = time.monotonic()
    relate.run(relate.RelateRequest(request.out, tuple(exclude), plan.job.device), listener)
    listener.note(f"compared all faces with all identities in {format_duration(time.monotonic() - began)}")
    began = time.monotonic()
    decided = decide.run(decide.DecideRequest(request.out, policy or Policy(), calibration), listener)
    listener.note(f"decided {counted(decided.photos, 'photo')} in {format_duration(time.monotonic() - began)}")
    return Cleaned(request.out, measured, decided, report.run(request.out))
