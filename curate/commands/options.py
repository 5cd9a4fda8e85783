"""The options that several commands share, and what is made of them. Everything heavy is imported when it is needed."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from curate.measure.plan import Request
    from curate.measure.sharpness import BlurCalibration

SOURCES = ("vggface2", "sjtu", "folder")

Source = Annotated[
    str,
    typer.Argument(
        help="How the photos lie: vggface2 (official layout), sjtu (PNG per person), folder (any folder per person)."
    ),
]
Root = Annotated[
    Path | None,
    typer.Option(help="The photos: a folder, or a plain .tar. Default: ./SOURCE, or $SWAPSET_ROOT/SOURCE."),
]
Out = Annotated[Path | None, typer.Option(help="Where the dataset goes. Default: curated/SOURCE.")]
Dataset = Annotated[Path, typer.Argument(help="A curated dataset: the --out of `curate clean`.")]
ModelsOption = Annotated[
    str | None,
    typer.Option(
        help="auto, builtin, buffalo_l or buffalo_s. auto: the insightface pack where its files are, else the built-in "
        "models; a dataset keeps the ones that it began with."
    ),
]
EmbedderOption = Annotated[
    Path | None, typer.Option(help="A face embedder's checkpoint (MobileFaceNet) instead of the pack's.")
]
Detection = Annotated[
    str, typer.Option(help="Built-in detector: 'coarse' is fast, 'full' searches every scale for small faces.")
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, ... Default: cuda where there is one.")]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Processes. Default: one a core, one a GPU. Another number may round differently."),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Only about so many photos (whole persons), to try things out.")]
Buckets = Annotated[
    int | None,
    typer.Option(min=1, max=100_000, help="Shards of a new dataset. Default: one for about 32 photos, at most 1024."),
]
TemplateOption = Annotated[
    str, typer.Option(help="How crops are aligned: simswap-224 (training), arcface-112 or ffhq-512.")
]
MaxPixels = Annotated[int, typer.Option(min=1, help="Larger photos are not decoded, against decompression bombs.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done: photos, time, disk.")]
Verify = Annotated[
    bool,
    typer.Option("--verify", help="Hash photos that were measured before, and measure again where one has changed."),
]
PolicyOption = Annotated[
    str, typer.Option(help="What to drop: default, strict, vggface2-hq, keep-all, or a TOML file of your own.")
]
Exclude = Annotated[
    list[Path] | None,
    typer.Option(help="Photos of people who must not be in the dataset (a folder), or a curated dataset of them."),
]
CalibrationOption = Annotated[
    Path | None,
    typer.Option(help="Blur scores by a file of `curate calibrate` instead of as measured; nothing is measured again."),
]


def request_of(
    source: str,
    root: Path | None,
    out: Path | None,
    models: str | None,
    embedder: Path | None,
    detection: str,
    template: str,
    device: str | None,
    workers: int | None,
    limit: int | None,
    buckets: int | None,
    max_pixels: int,
) -> "Request":
    from manifests.landmarks import TEMPLATES

    check_source(source)
    trained_on = ("simswap-224", "arcface-112", "ffhq-512")
    if template not in trained_on or template not in TEMPLATES:
        raise typer.BadParameter(f"{template!r}; choose {', '.join(trained_on)}", param_hint="--template")
    if root is None:
        root = Path(os.environ.get("SWAPSET_ROOT", ".")) / source
    out = out or Path("curated") / source

    from curate.engines.local import warm_up
    from curate.sources import open_source

    # A wrong path is said before anything slow is loaded.
    open_source(source, root)
    if workers != 1 and not (device or "").startswith("cuda"):
        warm_up(
            (
                "curate.measure.shards",
                "curate.faces.detectors.mtcnn",
                "curate.faces.embedders.dlib_resnet",
                "curate.faces.segment",
            )
        )

    from curate.faces.models import resolve
    from curate.measure.plan import Request, pinned_choice
    from curate.measure.settings import MeasureSettings

    pinned = pinned_choice(out) if models is None and embedder is None else None
    choice = pinned or resolve(models or "auto", embedder, detection)
    where = device_of(device)
    print(f"models: {choice.words()}, on {where}")
    print(f"from {root} to {out}")
    settings = MeasureSettings(template=template, max_pixels=max_pixels)
    return Request(source, root, out, choice, settings, where, workers, limit, buckets)


def check_source(source: str) -> None:
    if source not in SOURCES:
        raise typer.BadParameter(f"{source!r} is no kind of source; choose {', '.join(SOURCES)}", param_hint="SOURCE")


def device_of(device: str | None) -> str:
    from curate.faces.models import check_device

    return check_device(device)


def calibration_of(path: Path | None) -> "BlurCalibration | None":
    from curate.measure.sharpness import load_calibration

    return None if path is None else load_calibration(path)
