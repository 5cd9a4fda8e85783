"""The step `decide` of a dataset on disk, under its lock."""

from pathlib import Path

from curate.decide.decide import Decided, decide
from curate.decide.policy import Policy
from curate.measure.sharpness import BlurCalibration
from manifests.output import OutputLock


def run(dataset: Path, policy: Policy | None = None, calibration: BlurCalibration | None = None) -> Decided:
    """Write `manifest.parquet` of a related dataset: one verdict with its reasons per photo.

    Args:
        dataset: The dataset's directory. Verdicts in its `overrides.csv` take precedence.
        policy: Thresholds; None: the preset "default".
        calibration: Computes sharpness again from the stored statistics; None: the stored sharpness.

    Raises BusyError, DatasetError, PolicyError and OutputError.
    """
    with OutputLock(dataset):
        return decide(dataset, policy or Policy(), calibration)
