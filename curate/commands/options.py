"""Options that several commands share. Everything heavy is imported inside the functions."""

import functools
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.engines import ENGINES
from curate.sources.layouts import LAYOUTS
from manifests.locations import ObjectPath, as_path

if TYPE_CHECKING:
    from curate.decide.rules import Policy
    from curate.measure.request import MeasureRequest
    from curate.measure.sharpness import BlurCalibration
    from curate.sources import Source as PhotoSource


def check_layout(name: str | None) -> str | None:
    """Return `name` if a layout is called so, or where it is not given; else a usage error."""
    if name is not None and name not in LAYOUTS:
        raise typer.BadParameter(f"no layout is called {name!r}; choose {', '.join(LAYOUTS)}", param_hint="SOURCE")
    return name


def check_layout_or_dataset(name: str) -> str | None:
    """Return `name` if it is a layout or a folder; else a usage error."""
    return name if as_path(name).is_dir() else check_layout(name)


def local_path(path: Path | None) -> Path | None:
    """Return a path of a file system; a usage error for a URL of an object store."""
    if path is not None and isinstance(as_path(path), ObjectPath):
        raise typer.BadParameter(f"{as_path(path)} is in an object store: give a folder or file of a file system")
    return path


_SOURCE = typer.Argument(
    callback=check_layout,
    help="Directory layout of the photos: "
    + "; ".join(f"{name} ({layout.summary})" for name, layout in LAYOUTS.items()),
)
Source = Annotated[str, _SOURCE]
OptionalSource = Annotated[str | None, _SOURCE]
SourceOrDataset = Annotated[
    str,
    typer.Argument(
        callback=check_layout_or_dataset,
        help="Directory layout of the photos (see `curate clean --help`), or a dataset that was planned or measured, "
        "which records it.",
    ),
]
Root = Annotated[
    Path | None,
    typer.Option(
        help="The photos: a folder, an uncompressed .tar, a .zip, a RecordIO pack (.rec), or a folder of WebDataset "
        "shards or Hugging Face Parquet files; or s3://, gs:// or az:// and a prefix. Only read. Default: ./SOURCE, or "
        "$SWAPSET_ROOT/SOURCE."
    ),
]
Identities = Annotated[
    str | None,
    typer.Option(
        help="Where the layout folder takes identities from: first (the first folder), parent (the folder that holds "
        "the photo), none (photos without identity are judged by everything else), a file of photos and identities "
        r"(CSV, or CelebA's identity_CelebA.txt), or regex: and an expression whose first group is the identity in the "
        r"photo's path (regex:^\d+_([^_]+)_ for AgeDB). Default: the first folder, below splits (train, val, test) and "
        "a wrapping folder."
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(help="The dataset's folder, or s3://, gs:// or az:// and a prefix. Default: curated/SOURCE."),
]
LocalDataset = Annotated[
    Path, typer.Argument(callback=local_path, help="A curated dataset: the --out of `curate clean`, a folder.")
]
Dataset = Annotated[
    Path, typer.Argument(callback=as_path, help="A curated dataset: the --out of `curate clean`, a folder or s3://...")
]
ModelsOption = Annotated[
    str | None,
    typer.Option(
        help="auto, builtin, buffalo_l or buffalo_s. auto: the insightface pack if its files are on this machine, "
        "else the built-in models. Default: the models with which OUT was created, auto for a new dataset."
    ),
]
EmbedderOption = Annotated[
    Path | None, typer.Option(help="Checkpoint of a face embedder (MobileFaceNet) that replaces the one of --models.")
]
Detection = Annotated[
    str,
    typer.Option(help="Mode of the built-in detector: coarse is fast, full also finds small faces at every scale."),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, ... Default: cuda where available.")]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Worker processes. Default: one per core; on GPUs at most one per 4 GiB of their memory. Results may "
        "differ in the last bits with another worker count.",
    ),
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Take whole persons until about this many photos are reached, for a trial.")
]
Buckets = Annotated[
    int | None,
    typer.Option(
        min=1, max=100_000, help="Number of shards of a new dataset. Default: one per 32 photos, at most 1024."
    ),
]
TemplateOption = Annotated[
    str | None,
    typer.Option(
        help="Alignment of the crops: simswap-224 (for training), arcface-112 or ffhq-512; aligned for 112 px photos "
        "that are crops of arcface-112 already, which are stored as they are. Default: that of OUT; for a new dataset "
        "aligned where a sample of the photos is, else simswap-224."
    ),
]
MaxPixels = Annotated[
    int,
    typer.Option(
        min=1, help="Decode JPEGs and PNGs with more pixels scaled down, and no other photos; protects memory."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only estimate photos, time and disk space; write nothing.")]
Verify = Annotated[
    bool,
    typer.Option(
        "--verify",
        help="Hash the photos of finished shards too, check their tables, and measure again what has changed or is "
        "damaged.",
    ),
]
PartOption = Annotated[
    str | None,
    typer.Option(
        help="Measure part i (from 0) of n, given as i/n, beside the other parts on other machines; auto takes i and n "
        "from a Slurm array or an indexed Kubernetes job. n may be another one in the next run."
    ),
]
EngineOption = Annotated[str, typer.Option(help=f"What runs the workers: {', '.join(ENGINES)}.")]
PolicyOption = Annotated[
    str, typer.Option(help="What to drop: default, strict, vggface2-hq, keep-all, or a TOML file with thresholds.")
]
Exclude = Annotated[
    list[Path] | None,
    typer.Option(
        help="A folder of photos, or a curated dataset, of people who must not be in the result. May be repeated."
    ),
]
CalibrationOption = Annotated[
    Path | None,
    typer.Option(
        help="Blur calibration, a file of `curate calibrate`: sharpness is computed again from stored statistics, "
        "without measuring again."
    ),
]


StrictChecks = Annotated[
    bool,
    typer.Option(
        "--strict-checks",
        help="End with exit code 17 if a check finds something off in the collection as a whole.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """The options of every command that measures photos."""

    source: Source
    root: Root = None
    identities: Identities = None
    out: Out = None
    models: ModelsOption = None
    embedder: EmbedderOption = None
    detection: Detection = "coarse"
    template: TemplateOption = None
    device: Device = None
    workers: Workers = None
    limit: Limit = None
    max_pixels: MaxPixels = 50_000_000

    def request(self, out: Path, buckets: int | None = None, verify: bool = False) -> "MeasureRequest":
        """Make the request that measures into `out`.

        A wrong path is reported before anything slow is imported; workers begin their imports at the same time.
        """
        from curate.engines.local import warm_up
        from curate.measure import PHOTOS_PER_BUCKET, WORKER_MODULES
        from curate.sources import open_source

        root = default_root(self.source, self.root)
        source = open_source(self.source, root, self.identities)
        # One shard is measured in this process.
        if self.workers != 1 and _has_photos(source, PHOTOS_PER_BUCKET + 1):
            warm_up(WORKER_MODULES)

        from curate.measure.request import MeasureRequest

        try:
            return MeasureRequest(
                layout=self.source,
                root=root,
                identities=self.identities,
                out=out,
                models=self.models,
                embedder=self.embedder,
                detection=self.detection,
                template=self.template,
                max_pixels=self.max_pixels,
                device=self.device,
                workers=self.workers,
                limit=self.limit,
                buckets=buckets,
                verify=verify,
            )
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error


@dataclass(frozen=True, kw_only=True)
class MeasureOptions(SourceOptions):
    """The options of `curate measure` and `curate clean`."""

    buckets: Buckets = None
    verify: Verify = False

    engine: EngineOption = "local"

    def measure_request(self) -> "MeasureRequest":
        """Make the request; OUT is curated/SOURCE by default."""
        request = self.request(self.out or Path("curated") / self.source, self.buckets, self.verify)
        return with_engine(request, self.engine)


@dataclass(frozen=True, kw_only=True)
class MeasureStepOptions(MeasureOptions):
    """The options of `curate measure`, which also takes a dataset that is there, and parts."""

    source: SourceOrDataset
    part: PartOption = None

    def measure_request(self) -> "MeasureRequest":
        """Make the request: that of the layout, or the one that the dataset records."""
        from curate.measure.part import parse_part

        try:
            part = None if self.part is None else parse_part(self.part, os.environ)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--part") from error
        if self.source in LAYOUTS:
            return replace(super().measure_request(), part=part)
        from curate.measure.request import recorded_request

        recorded = ("root", "identities", "out", "models", "embedder", "limit", "buckets")
        given = [f"--{name}" for name in recorded if getattr(self, name) is not None]
        if given:
            raise typer.BadParameter(f"{self.source} is a dataset and records {', '.join(given)}: leave them out")
        request = recorded_request(as_path(self.source))
        options = {"device": self.device, "workers": self.workers, "verify": self.verify, "part": part}
        return with_engine(replace(request, **options), self.engine)  # type: ignore[arg-type]


def with_engine(request: "MeasureRequest", engine: str) -> "MeasureRequest":
    """Return the request with this engine; a usage error where there is no such engine."""
    if engine not in ENGINES:
        message = f"no engine is called {engine!r}; choose {', '.join(ENGINES)}"
        raise typer.BadParameter(message, param_hint="--engine")
    return replace(request, engine=engine)


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Make a typer command of a function whose first parameter is a dataclass: each field becomes an option."""
    first, *others = inspect.signature(command).parameters.values()
    fields = inspect.signature(first.annotation).parameters
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (*fields.values(), *others)]

    @functools.wraps(command)
    def expanded(**values: Any) -> None:
        options = first.annotation(**{name: values.pop(name) for name in fields})
        command(options, **values)

    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return expanded


def _has_photos(source: "PhotoSource", count: int) -> bool:
    """Whether a source has at least `count` photos, or as many identities; lists no more than needed."""
    identities = source.identities()
    photos = 0
    for identity in identities if len(identities) < count else []:
        photos += len(source.entries(identity))
        if photos >= count:
            return True
    return len(identities) >= count


def default_root(source: str, root: Path | None) -> Path:
    """Return --root, by default $SWAPSET_ROOT/SOURCE or ./SOURCE."""
    return as_path(root or Path(os.environ.get("SWAPSET_ROOT", ".")) / source)


def policy_of(name: str) -> "Policy":
    """Load --policy. Raises PolicyError."""
    from curate.decide.policy import load_policy

    return load_policy(name)


def calibration_of(path: Path | None) -> "BlurCalibration | None":
    """Load --calibration. Raises PolicyError."""
    if path is None:
        return None
    from curate.measure.sharpness import load_calibration  # imports torch

    return load_calibration(path)
