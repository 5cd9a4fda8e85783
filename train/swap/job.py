"""`simswap swap`: what the user asked for -> everything loaded and checked, then the photos or the video swapped."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from curate.faces import models as choices
from curate.faces.embedder import Embedder
from curate.faces.models import Models
from curate.faces.segment import MaskKind, Segmenter
from curate.listener import Listener
from curate.relate.exclude import Gallery
from curate.relate.gallery import gallery_of
from manifests.output import OutputLock, remove_partials
from train.errors import ConsentError, TargetError
from train.marks.marker import Marker
from train.marks.marking import Corner, Language, Marking, new_mark_id
from train.swap import run_record
from train.swap.album import REPORT, Album, Outcome
from train.swap.consent import Consent
from train.swap.faces import FaceFinder, load_finder
from train.swap.paths import Target, is_video, photos_of, require_apart
from train.swap.person import Person
from train.swap.run_record import RunRecord
from train.swap.source import Source, read_source
from train.swap.swapper import Swapper
from train.swap.video import Clip, output_name, swap_video
from train.trained import load_model


@dataclass(frozen=True)
class Request:
    """What the user asked for; see the options of `simswap swap`. mark_id: None takes OUT's, or a new one."""

    checkpoint: Path
    sources: tuple[Path, ...]
    target: Path
    out: Path
    device: str = "cpu"
    source_face: int | None = None
    only: Path | None = None
    exclude: tuple[Path, ...] = ()
    models: str = "auto"
    embedder: Path | None = None
    detection: str = "full"
    mask: MaskKind = "face"
    label: Language = "both"
    corner: Corner = "bottom-right"
    producer: str = "swapset"
    certificate: Path | None = None
    key: Path | None = None
    mark_id: int | None = None
    threads: int = 2


@dataclass(frozen=True)
class Job:
    """A request that was found possible: nothing is written yet. targets: photos, or none for a video."""

    request: Request
    swapper: Swapper
    marker: Marker
    source: Source
    targets: list[Target]
    ignored: dict[str, int]
    record: RunRecord

    @property
    def video(self) -> bool:
        """Whether the target is a video."""
        return not self.targets


def prepare(request: Request, listener: Listener) -> Job:
    """Load and check everything. Raises the errors of its parts; ConsentError where the source must not be used."""
    # What is quickly found wrong comes first.
    targets, ignored = photos_of(request.target)
    video = request.target.is_file() and is_video(request.target)
    require_apart(request.out, request.target, request.sources)
    mark_id = _mark_id(request)
    marking = Marking(mark_id, request.label, request.corner, request.producer, request.certificate, request.key)

    choice = choices.resolve(request.models, None, request.detection)
    model = load_model(request.checkpoint, request.device, request.embedder)
    finder = load_finder(choice, model.template, request.device)
    segmenter = Segmenter.load(request.device)
    source = read_source(request.sources, finder, model.embedder, request.source_face)
    gallery = None
    if request.exclude:
        models = Models(finder.detector, model.embedder, segmenter, torch.device(request.device))
        gallery = gallery_of(list(request.exclude), models, listener)
    consent = Consent(gallery) if gallery is not None else None
    if consent is not None:
        _require_consent(consent, source)
    only = _person(request.only, finder, model.embedder) if request.only else None
    latent = model.latent(torch.from_numpy(source.vectors))
    swapper = Swapper(
        model, finder, segmenter, latent, only=only, consent=consent, mask=request.mask, threads=request.threads
    )
    record = RunRecord(
        checkpoint=model.sha256,
        sources=run_record.sha256(source.photos),
        source_face=request.source_face,
        only=run_record.sha256([request.only])[0] if request.only else None,
        exclude=_digest(gallery),
        detector=finder.detector.fingerprint,
        mask=request.mask,
        label=request.label,
        corner=request.corner,
        mark_id=f"{mark_id:08x}",
    )
    marker = Marker(marking, request.device)
    return Job(request, swapper, marker, source, [] if video else targets, ignored, record)


def swap_photos(job: Job, tell: Callable[[Outcome], None], stop: Callable[[], bool]) -> dict[str, int]:
    """Swap the job's photos; how many there are of each status. Raises what `Album.run` does, and BusyError.

    A target that is one photo raises in place of failing: TargetError or ConsentError.
    """
    request, last = job.request, list[Outcome]()

    def note(outcome: Outcome) -> None:
        last[:] = [outcome]
        tell(outcome)

    with OutputLock(request.out):
        continued = run_record.read(request.out) is not None
        run_record.claim(request.out, job.record)
        remove_partials(request.out)
        album = Album(
            job.swapper,
            job.marker,
            request.out,
            job.source.photos,
            continued=continued,
            threads=request.threads,
        )
        counts = album.run(job.targets, note, stop)
    if request.target.is_file() and last and last[0].status in ("failed", "refused"):
        error = ConsentError if last[0].status == "refused" else TargetError
        raise error(f"target {request.target}: {last[0].reason}; nothing was written but {request.out / REPORT}")
    return {str(status): count for status, count in counts.items()}


def swap_clip(job: Job, tell: Callable[[int, int], None], stop: Callable[[], bool]) -> Clip:
    """Swap the job's video. Raises what `swap_video` does, BusyError, and TargetError where the result exists."""
    request = job.request
    with OutputLock(request.out):
        run_record.claim(request.out, job.record)
        remove_partials(request.out)
        final = request.out / output_name(request.target)
        if final.exists():
            raise TargetError(f"{final} exists already and is left as it is: remove it, or choose another --out")
        return swap_video(request.target, request.out, job.swapper, job.marker, tell, stop)


def _mark_id(request: Request) -> int:
    """The one asked for, else that of the results which are in OUT already, else a new one."""
    if request.mark_id is not None:
        return request.mark_id
    told = run_record.read(request.out) or {}
    return int(str(told["mark_id"]), 16) if "mark_id" in told else new_mark_id()


def _person(photo: Path, finder: FaceFinder, embedder: Embedder) -> Person:
    """Who is on the reference photo, which shows one face."""
    vector = read_source([photo], finder, embedder, what="--only").vectors[0]
    return Person(photo.name, vector, embedder.calibration.far_1e2)


def _require_consent(consent: Consent, source: Source) -> None:
    for row, words in consent.refusals(source.vectors, np.arange(len(source.vectors))).items():
        raise ConsentError(f"source {source.photos[row]}: {words}; nothing was written")


def _digest(gallery: Gallery | None) -> str | None:
    """Hash of a gallery's vectors, 16 hex digits."""
    return None if gallery is None else hashlib.sha256(gallery.vectors.tobytes()).hexdigest()[:16]
