"""`MeasureRequest`: what to measure, with which models, and where the dataset goes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from curate.decode import MAX_PIXELS
from curate.engines import ENGINES
from curate.errors import DatasetError
from curate.faces.models import resolve
from curate.measure.aligned import TEMPLATE as ALIGNED_TEMPLATE
from curate.measure.existing import recorded
from curate.measure.job import MeasureJob
from curate.measure.listing import FILE_NAME
from curate.measure.part import Part
from curate.measure.settings import ALIGNED, CROP_TEMPLATES, REVISION, MeasureSettings
from curate.sources.layouts import LAYOUTS
from manifests.layout import (
    ChoiceRecord,
    DatasetInfo,
    ModelsRecord,
    SettingsRecord,
    SourceRecord,
    read_info,
)
from manifests.locations import as_path


@dataclass(frozen=True, kw_only=True)
class MeasureRequest:
    """What to measure, with which models, and where the dataset goes.

    Attributes:
        layout: Directory layout of the source, a name of `curate.sources.layouts.LAYOUTS`.
        root: The photos: a directory, an archive (see `curate.sources.stores.STORES`), or a prefix of an object store
            (`Path("s3://bucket/photos")`). Only read.
        identities: Where the layout "folder" takes identities from: "first", "parent", "none" or a file of photos and
            identities (see `curate.sources.layouts.folder.Folder`). None: detected.
        out: The dataset's directory, or a prefix of an object store; a dataset of the same source is continued.
        models: "auto", "builtin" or an insightface pack. None: the models with which OUT was created, "auto" for a
            new dataset.
        embedder: Checkpoint of a face embedder that replaces the one of `models`.
        detection: Mode of the built-in detector, "coarse" or "full".
        template: Alignment of the crops, one of CROP_TEMPLATES, or ALIGNED for photos that are crops of arcface-112
            already. None: that of the dataset in OUT; of a new dataset, ALIGNED where a sample of the photos is, else
            simswap-224.
        max_pixels: Photos with more pixels are not decoded.
        device: "cpu", "cuda" or "cuda:N". None: "cuda" where available.
        workers: Worker processes. None: one per core; on GPUs at most one per 4 GiB of their memory.
        limit: Measure whole identities until about this many photos are reached. None: all.
        buckets: Number of shards of a new dataset. None: by the number of photos.
        verify: Hash the photos of finished shards, compare the tables with their checksums, and measure those shards
            again in which a table is damaged, or a photo has changed although its size and modification time are the
            same.
        engine: A name of `curate.engines.ENGINES`.
        part: Measure this part of the shards alone; parts of one dataset may be measured at the same time.
        planned: Measure the photos of the dataset's frozen listing (see `curate.measure.measure.freeze`); the source is
            not listed.

    Raises ValueError for an unknown layout, template or engine.
    """

    layout: str
    root: Path
    out: Path
    models: str | None = None
    embedder: Path | None = None
    detection: str = "coarse"
    template: str | None = None
    max_pixels: int = 50_000_000
    device: str | None = None
    workers: int | None = None
    limit: int | None = None
    buckets: int | None = None
    verify: bool = False
    engine: str = "local"
    identities: str | None = None
    part: Part | None = None
    planned: bool = False

    def __post_init__(self) -> None:
        for name in ("root", "out"):
            object.__setattr__(self, name, as_path(getattr(self, name)))
        templates = (*CROP_TEMPLATES, ALIGNED, None)
        for name, allowed in (("layout", LAYOUTS), ("template", templates), ("engine", ENGINES)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}={getattr(self, name)!r}: choose {', '.join(filter(None, allowed))}")

    def choose_models(self) -> ChoiceRecord:
        """Resolve `models`, `embedder` and `detection`. Raises ModelError."""
        existing = recorded(self.out) if self.models is None and self.embedder is None else None
        choice = existing.models.choice if existing else None
        return choice or resolve(self.models or "auto", self.embedder, self.detection)

    def with_models(self, choice: ChoiceRecord) -> "MeasureRequest":
        """Copy the request with `models`, `embedder` and `detection` set to a resolved choice."""
        embedder = Path(choice.embedder) if choice.embedder else None
        return replace(self, models=choice.pack, embedder=embedder, detection=choice.detection)


def recorded_request(dataset: Path) -> MeasureRequest:
    """Return the request that measures the dataset in this directory again, or continues it.

    It has the options that the dataset records, and uses its frozen listing where there is one. Raises DatasetError
    where there is no dataset, or a merged one.
    """
    info = read_info(dataset)
    if info.parts or info.source.root is None:
        raise DatasetError(f"{dataset} is a merged dataset: give one of its parts")
    request = MeasureRequest(
        layout=info.source.kind,
        root=as_path(info.source.root),
        identities=info.source.identities,
        out=dataset,
        max_pixels=info.settings.max_pixels or MAX_PIXELS,
        limit=info.source.limit,
        planned=(dataset / FILE_NAME).exists(),
    )
    return request.with_models(info.models.choice or ChoiceRecord("auto"))


def resolve_settings(
    request: MeasureRequest, existing: DatasetInfo | None, sample_is_aligned: Callable[[], bool]
) -> MeasureSettings:
    """Resolve the template of a request. `existing`: the dataset in OUT."""
    template, aligned = request.template, request.template == ALIGNED
    if template is None and existing is not None:
        template, aligned = existing.template, existing.settings.aligned
    elif template is None:
        aligned = sample_is_aligned()
    if template in (None, ALIGNED):
        template = ALIGNED_TEMPLATE.name if aligned else CROP_TEMPLATES[0]
    return MeasureSettings(template, request.max_pixels, aligned)


def describe_dataset(
    request: MeasureRequest, job: MeasureJob, models: ModelsRecord, ignored: dict[str, int]
) -> DatasetInfo:
    """Return the contents of the dataset's `dataset.json`."""
    return DatasetInfo(
        source=SourceRecord(
            request.layout, str(request.root.resolve()), request.limit, ignored=ignored, identities=job.identities
        ),
        settings=SettingsRecord(job.settings.template, job.settings.max_pixels, REVISION, job.settings.aligned),
        models=models,
        buckets=job.buckets,
    )
