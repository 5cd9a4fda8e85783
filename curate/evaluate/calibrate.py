"""Blur calibration on a user's own photos: `CalibrateRequest` -> `run` -> `Calibrated`."""

from dataclasses import dataclass
from pathlib import Path

from curate.counts import counted
from curate.evaluate.blur_fit import fit_calibration
from curate.evaluate.sharp_faces import SharpFaceCounts, SharpFaces, sample_photos
from curate.faces.models import check_device, load_detector, resolve
from curate.faces.segment import Segmenter
from curate.listener import SILENT, Listener, progress
from curate.measure.existing import check_apart
from curate.measure.sharpness import BlurCalibration, load_calibration
from curate.sources import open_source
from manifests.output import atomic
from manifests.partials import remove_partials_of


@dataclass(frozen=True, kw_only=True)
class CalibrateRequest:
    """What to calibrate on.

    Attributes:
        layout: Directory layout of the source, a name of `curate.sources.layouts.LAYOUTS`.
        root: The photos. Only read.
        out: The calibration file (JSON) to write.
        limit: Maximum number of photos, taken evenly from all identities.
        all_sharp: Use all faces; otherwise those that the built-in calibration scores as blurred are left out.
        models: "auto", "builtin" or an insightface pack; its detector is used.
        detection: Mode of the built-in detector, "coarse" or "full".
        device: "cpu", "cuda" or "cuda:N". None: "cuda" where available.
        identities: See `curate.measure.measure.MeasureRequest`.
    """

    layout: str
    root: Path
    out: Path
    limit: int = 400
    all_sharp: bool = False
    models: str = "auto"
    detection: str = "coarse"
    device: str | None = None
    identities: str | None = None


@dataclass(frozen=True)
class Calibrated:
    """A calibration, the file that holds it, and the number of photos by result."""

    calibration: BlurCalibration
    path: Path
    counts: SharpFaceCounts

    def summary(self) -> str:
        """Describe the photos in one line."""
        counts = self.counts
        return (
            f"{counted(counts.sharp, 'sharp face')}; left out: {counts.blurred:,} blurred, {counts.small:,} too small, "
            f"{counted(counts.faceless, 'photo')} without a face"
        )


def run(request: CalibrateRequest, listener: Listener = SILENT) -> Calibrated:
    """Fit a blur calibration to the sharp faces of a source and write it.

    Raises SourceError for a source that cannot be read or has too few sharp faces, OutputError where `out` is inside
    `root`, ModelError.
    """
    source = open_source(request.layout, request.root, request.identities)
    check_apart(request.root, request.out)
    device = check_device(request.device)
    detector = load_detector(resolve(request.models, None, request.detection), device)
    entries = sample_photos(source, request.limit)
    built_in = None if request.all_sharp else load_calibration()
    with progress(listener, "calibrating", len(entries)) as advance:
        faces = SharpFaces(source, entries, detector, Segmenter.load(device), built_in, advance)
        calibration = fit_calibration(faces, provenance={"made by": "curate calibrate", "photos": len(entries)})
    remove_partials_of(request.out)
    with atomic(request.out) as partial:
        calibration.save(partial)
    return Calibrated(calibration, request.out, faces.counts)
