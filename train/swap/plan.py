"""Plans a swap: loads and checks everything that a request names before anything is written."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from curate.faces import models as face_models
from curate.faces.embedder import Embedder
from curate.faces.models import Models
from curate.faces.segment import MaskKind, Segmenter
from curate.listener import SILENT, Listener
from curate.relate.gallery import gallery_of
from train.errors import ConsentError, SourceFaceError
from train.marks.marker import Marker
from train.marks.marking import Corner, Language, Marking, new_mark_id
from train.swap import run_record
from train.swap.consent import Consent
from train.swap.detection import SwapDetector, load_detector
from train.swap.reference import ReferencePeople
from train.swap.run_record import RunRecord
from train.swap.source import Source, read_source
from train.swap.swapper import Swapper
from train.swap.targets import TargetPhoto, find_photos, is_video, require_separate
from train.trained import TrainedGenerator, load_trained


@dataclass(frozen=True)
class SwapRequest:
    """The options of `simswap swap`.

    Attributes:
        checkpoint: A checkpoint of `simswap fit`.
        sources: Photos, or folders of photos, of the person whose identity is used; empty with `person`.
        target: A photo, a folder of photos or a video.
        out: Folder of the results.
        device: Torch device.
        person: Name of the person, for checkpoints of named people; None with `sources`.
        source_face: The face to use on source photos with several faces, counted from the left; see `read_source`.
        only: Photos of the people to swap, or folders of them, one person on each; empty swaps every face.
        exclude: Exclusion galleries: folders of photos or curated datasets of people who are refused.
        models: Face detector, as for `curate.faces.models.resolve`.
        embedder: File of the checkpoint's embedder, where it is not found by its id.
        detection: Mode of the built-in detector.
        mask: The part of a face that is replaced.
        strength: Opacity of the swapped face, above 0 to 1.
        label, corner, producer, certificate, key, tsa: See `train.marks.marking.Marking`.
        keep_location: Results keep the GPS location of the target in their metadata.
        mark_id: None for the mark ID of the results in `out`, or a new one where there are none.
        threads: Threads that decode, paste and encode.
    """

    checkpoint: Path
    sources: tuple[Path, ...]
    target: Path
    out: Path
    device: str = "cpu"
    person: str | None = None
    source_face: int | None = None
    only: tuple[Path, ...] = ()
    exclude: tuple[Path, ...] = ()
    models: str = "auto"
    embedder: Path | None = None
    detection: str = "full"
    mask: MaskKind = "face"
    strength: float = 1.0
    label: Language = "both"
    corner: Corner = "bottom-right"
    producer: str = "swapset"
    certificate: Path | None = None
    key: Path | None = None
    tsa: str | None = None
    keep_location: bool = False
    mark_id: int | None = None
    threads: int = 2


@dataclass(frozen=True)
class SwapPlan:
    """A request that can be run.

    Attributes:
        request: The request.
        swapper: The identity, ready to be put on faces.
        marker: Marks the results.
        source: The source photos.
        photos: The target photos; empty where the target is a video.
        ignored: Number of other files in the target folder, by extension.
        record: The inputs and settings, which `out` records.
    """

    request: SwapRequest
    swapper: Swapper
    marker: Marker
    source: Source
    photos: list[TargetPhoto]
    ignored: dict[str, int]
    record: RunRecord

    @property
    def target_is_video(self) -> bool:
        return not self.photos


def plan(request: SwapRequest, listener: Listener = SILENT) -> SwapPlan:
    """Load and check everything; nothing is written but, on first use, the certificate of this machine.

    Raises:
        SourceError: A source or target path does not exist, or has no photo.
        SourceFaceError: A source photo, or that of `only`, does not show one clear face, or the source is none of the
            people that the checkpoint was trained on by name.
        ConsentError: A person in the exclusion galleries is the source.
        OutputError: `out` lies among the originals, or its record is damaged.
        TargetError: The target is neither a photo nor a video that can be decoded.
        CheckpointError, ModelError, MarkError: The checkpoint, a model, or the marks cannot be used.
    """
    # Cheap checks come before models are loaded.
    photos, ignored = find_photos(request.target)
    video = request.target.is_file() and is_video(request.target)
    require_separate(request.out, request.target, request.sources)
    mark_id = _mark_id(request)
    marking = Marking(
        mark_id, request.label, request.corner, request.producer, request.certificate, request.key, request.tsa
    )

    choice = face_models.resolve(request.models, None, request.detection)
    generator = load_trained(request.checkpoint, request.device, request.embedder)
    detector = load_detector(choice, request.device)
    segmenter = Segmenter.load(request.device)
    models = Models(detector.detector, generator.embedder, segmenter, torch.device(request.device))

    source = _source(request, generator, detector)
    gallery = gallery_of(list(request.exclude), models, listener) if request.exclude else None
    consent = Consent(gallery) if gallery is not None else None
    if consent is not None:
        _require_consent(consent, source)
    reference = _reference_people(request, detector, models.embedder) if request.only else None
    swapper = Swapper(
        generator,
        detector,
        segmenter,
        _condition(generator, source),
        source=source.nearest_to_mean(generator.size),
        only=reference[0] if reference else None,
        consent=consent,
        mask=request.mask,
        strength=request.strength,
        threads=request.threads,
    )
    record = RunRecord(
        checkpoint=generator.sha256,
        sources=run_record.sha256(source.photos),
        person=request.person,
        source_face=request.source_face,
        only=" ".join(run_record.sha256(reference[1])) if reference else None,
        exclude=hashlib.sha256(gallery.vectors.tobytes()).hexdigest()[:16] if gallery is not None else None,
        detector=detector.fingerprint,
        mask=request.mask,
        label=request.label,
        corner=request.corner,
        mark_id=f"{mark_id:08x}",
        keep_location=request.keep_location,
        strength=request.strength,
    )
    marker = Marker(marking)
    return SwapPlan(request, swapper, marker, source, [] if video else photos, ignored, record)


def _source(request: SwapRequest, generator: TrainedGenerator, detector: SwapDetector) -> Source:
    """The person that the request names, or the one on its photos."""
    if request.person is not None:
        embedding = generator.person_embedding(request.person).cpu().numpy()[None]
        return Source((), embedding, (f"--person {request.person}",))
    template = generator.template if generator.reads_source else None
    return read_source(
        request.sources, detector, generator.embedder, request.device, request.source_face, template=template
    )


def _condition(generator: TrainedGenerator, source: Source) -> Tensor:
    """The generator's second input for the source. Raises SourceFaceError: it was trained on other people by name."""
    embeddings = torch.from_numpy(source.embeddings)
    if generator.people and source.photos:
        name, cosine = generator.nearest_person(embeddings)
        # The highest similarity to several mean embeddings is above that of two photos; of people who are not in the
        # checkpoint, 2% pass (six people of celebs-112 against the other ten), of its own held-out photos 98%.
        threshold = generator.embedder.calibration.far_1e4
        if cosine < threshold:
            raise SourceFaceError(
                f"{source.labels[0]}: shows no one of the checkpoint's people ({', '.join(generator.people)}; nearest "
                f"is {name}, cosine {cosine:.3f}, threshold {threshold:.3f}): name one with --person"
            )
        embeddings = generator.person_embedding(name)[None]
    return generator.person_condition(embeddings)


def _mark_id(request: SwapRequest) -> int:
    """The requested mark ID, else that of the results in `out`, else a new one."""
    if request.mark_id is not None:
        return request.mark_id
    record = run_record.read(request.out)
    return int(record.mark_id, 16) if record is not None else new_mark_id()


def _reference_people(
    request: SwapRequest, detector: SwapDetector, embedder: Embedder
) -> tuple[ReferencePeople, tuple[Path, ...]]:
    """The people of `only`, and their photos."""
    listed = read_source(request.only, detector, embedder, request.device, name="--only")
    calibration = embedder.calibration
    # 1 in 100 pairs of different people exceeds the first threshold. Each person on a list adds such pairs.
    threshold = calibration.far_1e2 if len(listed.photos) == 1 else calibration.far_1e4
    return ReferencePeople(tuple(path.name for path in listed.photos), listed.embeddings, threshold), listed.photos


def _require_consent(consent: Consent, source: Source) -> None:
    for row, reason in consent.refusals(source.embeddings, np.arange(len(source.embeddings))).items():
        raise ConsentError(f"{source.labels[row]}: {reason}; nothing was written")
