"""The command line of `curate`: the only place that prints or exits. Everything heavy is imported when it is needed."""

import os
import re
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.program import run

if TYPE_CHECKING:
    from collections.abc import Callable

    from tqdm import tqdm

    from curate.clean import Plan, Request
    from curate.export import Exported
    from curate.measure.sharpness import Calibration
    from curate.policy import Policy

EPILOG = (
    "Exit codes: 0 done, 1 something else went wrong, 2 wrong usage, 3 the source, 4 the output (disk full, read-only, "
    "inside the source), 5 another run is using the output, 6 a model, 7 a dataset, 8 a policy, override or "
    "calibration, 9 a worker died, 130 stopped with Ctrl-C."
)

app = typer.Typer(
    name="curate",
    help="Find what must not be trained on in a collection of face photos: blurred and distorted photos, other people, "
    "duplicates, broken files. Aligns and segments the rest and writes a Parquet manifest. Photos are never changed.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
models_app = typer.Typer(help="The networks: what is there, what can be fetched.", no_args_is_help=True)
export_app = typer.Typer(help="Write the kept faces for other tools.", no_args_is_help=True)
app.add_typer(models_app, name="models", rich_help_panel=None)
app.add_typer(export_app, name="export", rich_help_panel=None)

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


class Bar:
    """A progress bar on stderr; now and then a line when stderr is no terminal."""

    def __init__(self, unit: str = " photos") -> None:
        self._unit = unit
        self._bar: tqdm[Any] | None = None

    def start(self, words: str, total: int | None) -> None:
        """Begin a step of so many units; None where nobody knows how many."""
        from tqdm import tqdm

        terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=total,
            desc=words,
            unit=self._unit,
            unit_scale=self._unit == "B",
            disable=total == 0,
            mininterval=0.2 if terminal else 10.0,
            delay=0.5 if terminal else 10.0,
            leave=terminal,
        )

    def tick(self, count: int) -> None:
        """So many more are done."""
        if self._bar is not None:
            self._bar.update(count)

    def follow(self, words: str) -> "Callable[[int, int | None], None]":
        """A callback for steps that tell how much is done, and of how much."""
        before = 0

        def tell(done: int, total: int | None) -> None:
            nonlocal before
            if self._bar is None:
                self.start(words, total)
            self.tick(done - before)
            before = done

        return tell

    def finish(self) -> None:
        """The step is over."""
        if self._bar is not None:
            self._bar.close()


def main() -> None:
    """Runs the command; errors of ours become one line on stderr and their exit code."""
    run(app, "curate", "Finished shards are kept; run the same command again to continue.")


@app.command()
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
    dry_run: DryRun = False,
) -> None:
    """Measure, relate, decide, report: from photos to a manifest.

    Stopped or killed, it continues where it was when the same command is run again.

    Example: curate clean vggface2 --root /data/VGGFace2 --out curated/vggface2
    """
    request = _request(
        source, root, out, models, embedder, detection, template, device, workers, limit, buckets, max_pixels
    )
    from curate.policy import load_policy

    chosen, blur = load_policy(policy), _calibration(calibration)
    if _measured(request, dry_run):
        _relate(request.out, exclude or [], request.device)
        _decide(request.out, chosen, blur)
        _report(request.out)


@app.command()
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
    dry_run: DryRun = False,
) -> None:
    """Decode, detect, align, segment, embed and score every photo; the expensive step, done once."""
    request = _request(
        source, root, out, models, embedder, detection, template, device, workers, limit, buckets, max_pixels
    )
    _measured(request, dry_run)


@app.command()
def relate(dataset: Dataset, exclude: Exclude = None, device: Device = None) -> None:
    """Compare each face with its own person, with all others, and find duplicates."""
    _relate(dataset, exclude or [], _device(device))


@app.command()
def decide(dataset: Dataset, policy: PolicyOption = "default", calibration: CalibrationOption = None) -> None:
    """Decide again what to keep, from what was measured; overrides.csv is applied last. Takes seconds."""
    from curate.policy import load_policy

    _decide(dataset, load_policy(policy), _calibration(calibration))


@app.command()
def report(dataset: Dataset) -> None:
    """Write report/index.html: what was dropped and why, in pictures."""
    _report(dataset)


@app.command()
def calibrate(
    source: Source,
    out: Annotated[Path, typer.Option(help="The calibration to write, a JSON file, for --calibration.")],
    root: Root = None,
    limit: Annotated[int, typer.Option(min=1, help="Photos to look at, taken evenly from all people.")] = 400,
    all_sharp: Annotated[
        bool, typer.Option("--all-sharp", help="Every photo is known to be sharp: leave none out as blurred.")
    ] = False,
    models: ModelsOption = None,
    detection: Detection = "coarse",
    device: Device = None,
) -> None:
    """Learn from your own photos what blur looks like: they are degraded in known ways.

    Faces that are small, or blurred by the built-in calibration, are left out; --all-sharp keeps the latter.

    Example: curate calibrate folder --root photos --out blur.json; curate decide curated/folder --calibration blur.json
    """
    _check_source(source)
    root = root or Path(os.environ.get("SWAPSET_ROOT", ".")) / source

    from curate.calibrate import calibrate as learn
    from curate.clean import check_apart
    from curate.faces.segment import Segmenter
    from curate.measure.sharpness import load_calibration
    from curate.models import load_detector, resolve
    from curate.portraits import Portraits, spread
    from curate.sources import open_source
    from manifests.output import atomic

    opened = open_source(source, root)
    check_apart(root, out)
    where = _device(device)
    detector = load_detector(resolve(models or "auto", None, detection), where)
    entries = spread(opened, limit)
    shipped = None if all_sharp else load_calibration()
    bar = Bar()
    bar.start("calibrating", len(entries))
    portraits = Portraits(opened, entries, detector, Segmenter.load(where), shipped, tick=bar.tick)
    try:
        made = learn(portraits, provenance={"made by": "curate calibrate", "photos": len(entries)})
    finally:
        bar.finish()
    with atomic(out) as partial:
        made.save(partial)
    print(
        f"{portraits.faces:,} sharp faces; left out: {portraits.blurred:,} blurred, {portraits.small:,} too small, "
        f"{portraits.none:,} photos without a face"
    )
    print(f"calibration: {out}")


@app.command()
def evaluate(
    source: Source,
    root: Root = None,
    out: Annotated[
        Path | None, typer.Option(help="For what is measured, and the table. Default: evaluated/SOURCE.")
    ] = None,
    rates: Annotated[str, typer.Option(help="Shares of the photos that are given each fault.")] = "0.01,0.05,0.2",
    seeds: Annotated[int, typer.Option(min=1, help="How often faults are planted anew at each rate.")] = 5,
    faults: Annotated[
        str, typer.Option(help="Which: other_person needs no new pixels.")
    ] = "other_person,blurred,duplicates",
    kinds: Annotated[bool, typer.Option("--kinds", help="Tell the ways of planting a fault apart.")] = False,
    policy: PolicyOption = "default",
    calibration: CalibrationOption = None,
    models: ModelsOption = None,
    embedder: EmbedderOption = None,
    detection: Detection = "coarse",
    template: TemplateOption = "simswap-224",
    device: Device = None,
    workers: Workers = None,
    limit: Limit = None,
    max_pixels: MaxPixels = 50_000_000,
) -> None:
    """How right are the verdicts on your photos? Plants known faults in a clean folder and counts what is found.

    Prints precision, recall and F1 for each reason and the good photos lost, with 95% intervals, and writes them to
    OUT/evaluation.parquet. Photos are measured once; other rates, seeds or policies take seconds. ROOT is only read.

    Example: curate evaluate folder --root photos --limit 2000
    """
    from curate.clean import check_apart
    from curate.evaluate import EVALUATION, Experiment
    from curate.evaluate import evaluate as evaluate_all
    from curate.outcome import render
    from curate.policy import load_policy
    from manifests.output import OutputLock

    out = out or Path("evaluated") / source
    try:
        shares = tuple(float(rate) for rate in rates.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"{rates!r}; give numbers such as 0.01,0.05", param_hint="--rates") from error
    experiment = Experiment(shares, seeds, tuple(name.strip() for name in faults.split(",")))
    try:
        experiment.check()
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--rates, --faults") from error
    chosen, blur = load_policy(policy), _calibration(calibration)
    request = _request(
        source, root, out / "untouched", models, embedder, detection, template, device, workers, limit, None, max_pixels
    )
    check_apart(request.root, out)
    with OutputLock(out):
        table = evaluate_all(replace(request, out=out), experiment, chosen, Bar(), blur)
    print("\n".join(render(table, kinds)))
    print(f"\nevaluation: {out / EVALUATION}")


def _request(
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

    _check_source(source)
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
        warm_up(("curate.shards", "curate.faces.detect", "curate.faces.dlib_resnet", "curate.faces.segment"))

    from curate.clean import Request, pinned_choice
    from curate.models import resolve
    from curate.pipeline import Settings
    pinned = pinned_choice(out) if models is None and embedder is None else None
    choice = pinned or resolve(models or "auto", embedder, detection)
    where = _device(device)
    print(f"models: {choice.words()}, on {where}")
    print(f"from {root} to {out}")
    settings = Settings(template=template, max_pixels=max_pixels)
    return Request(source, root, out, choice, settings, where, workers, limit, buckets)


def _check_source(source: str) -> None:
    if source not in SOURCES:
        raise typer.BadParameter(f"{source!r} is no kind of source; choose {', '.join(SOURCES)}", param_hint="SOURCE")


def _device(device: str | None) -> str:
    from curate.models import check_device

    return check_device(device)


def _measured(request: "Request", dry_run: bool) -> bool:
    """Measures what is left; False when only asked what would be done."""
    from curate.clean import make_plan
    from curate.clean import measure as measure_all
    from manifests.output import OutputLock

    planned = make_plan(request)
    _say_plan(planned)
    if dry_run:
        from curate.estimate import estimate

        print(estimate(planned).words())
        return False
    with OutputLock(request.out):
        began = time.monotonic()
        measure_all(planned, Bar())
    if planned.photos_todo:
        seconds = time.monotonic() - began
        rate = planned.photos_todo / seconds
        print(f"measured {planned.photos_todo:,} photos in {_duration(seconds)} ({rate:.1f} a second)")
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


def _relate(dataset: Path, exclude: list[Path], device: str) -> None:
    from curate.gallery import read_galleries
    from curate.relate import relate as relate_all
    from curate.relate import settings_for
    from manifests.output import OutputLock
    from manifests.reader import Dataset as Opened

    began = time.monotonic()
    gallery = read_galleries(exclude, dataset, device, Bar())
    with OutputLock(dataset):
        relate_all(dataset, settings_for(Opened.open(dataset), gallery))
    print(f"related every face to its person and to all others in {_duration(time.monotonic() - began)}")


def _calibration(path: Path | None) -> "Calibration | None":
    from curate.measure.sharpness import load_calibration

    return None if path is None else load_calibration(path)


def _decide(dataset: Path, policy: "Policy", calibration: "Calibration | None" = None) -> None:
    from curate.decide import decide as decide_all
    from manifests.output import OutputLock

    began = time.monotonic()
    with OutputLock(dataset):
        found = decide_all(dataset, policy, calibration)
    for warning in found.warnings:
        print(f"curate: {warning}", file=sys.stderr)
    took, dropped = _duration(time.monotonic() - began), found.photos - found.kept
    print(f"decided {found.photos:,} photos in {took}: keep {found.kept:,}, drop {dropped:,}")
    for reason, count in found.reasons.items():
        if count:
            print(f"  {count:>9,}  {reason}")
    print(f"manifest: {dataset / 'manifest.parquet'}")


def _report(dataset: Path) -> None:
    from curate.report import write_report
    from manifests.output import OutputLock

    with OutputLock(dataset):
        page = write_report(dataset)
    print(f"report:   {page}")


def _duration(seconds: float) -> str:
    from curate.estimate import duration

    return duration(seconds)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="A new folder, or one that an earlier demo made.")] = Path("demo"),
    limit: Annotated[int | None, typer.Option(min=1, help="About so many photos instead of 150.")] = None,
    device: Device = None,
) -> None:
    """Try everything in two minutes: real faces with planted faults, cleaned, compared with the truth.

    Eight people from photos that ship with the dependencies become a small VGGFace2-shaped folder (OUT/vggface2) with
    planted blur, wrong persons, copies and broken files. It is cleaned into OUT/curated, and what was found is told
    against what was planted.
    """
    from curate import demo as show
    from curate.policy import load_policy

    photos, curated = out / "vggface2", out / "curated"
    planted = show.build(photos, limit)
    faults = sum(1 for one in planted if one.fault)
    print(f"{len(planted)} photos of eight real people, {faults} of them with a planted fault: {photos}")
    request = _request(
        "vggface2", photos, curated, "builtin", None, "coarse", "simswap-224", device, None, None, None, 50_000_000
    )
    _measured(request, dry_run=False)
    _relate(curated, [], request.device)
    print(f"policy: default, with min_sharpness = {show.MIN_SHARPNESS}, because the photos that ship are all soft")
    _decide(curated, replace(load_policy("default"), min_sharpness=show.MIN_SHARPNESS, adapt_sharpness=False))
    _report(curated)
    print("\nfound against planted")
    for score in show.score(planted, show.reasons_of(curated)):
        if score.fault:
            missed = f"   missed: {', '.join(score.missed)}" if score.missed else ""
            print(f"  {score.fault:<16} {score.found:>3} of {score.planted:>3}{missed}")
        else:
            lost = f"   lost: {', '.join(score.missed)}" if score.missed else ""
            print(f"  {'clean, kept':<16} {score.found:>3} of {score.planted:>3}{lost}")
    print(f"\nLook at {curated / 'report' / 'index.html'}, or in Python:")
    print(f"  import pandas as pd; pd.read_parquet({str(curated / 'manifest.parquet')!r})")


@app.command()
def inspect(dataset: Dataset) -> None:
    """A summary of a curated dataset: verdicts, reasons, people, models, size on disk."""
    from curate.inspect import render, summary
    from manifests.reader import Dataset as Opened

    print("\n".join(render(summary(Opened.open(dataset)))))


@app.command()
def convert(
    source: Source,
    root: Annotated[Path, typer.Option(help="The photos to convert: a folder or a plain .tar. They are only read.")],
    out: Annotated[Path, typer.Option(help="Where the JPEGs go, in the same tree, with convert-report.csv.")],
    quality: Annotated[int, typer.Option(min=1, max=100, help="As libjpeg counts.")] = 95,
    subsampling: Annotated[str, typer.Option(help="4:4:4 keeps all colour; 4:2:2 and 4:2:0 are smaller.")] = "4:4:4",
    background: Annotated[str, typer.Option(help="Colour behind transparent pixels, #rrggbb.")] = "#ffffff",
    workers: Annotated[int | None, typer.Option(min=1, help="Threads. Default: one a core, at least two.")] = None,
) -> None:
    """PNG -> JPG in the same tree; every output is verified by decoding it. Good outputs are not made again.

    Embedded colour profiles are converted to sRGB and EXIF orientation is applied; what is a JPEG already is copied.
    """
    from curate.convert import ConvertOptions
    from curate.convert import convert as convert_all

    _check_source(source)
    if not re.fullmatch("#[0-9a-fA-F]{6}", background):
        raise typer.BadParameter(f"{background!r}; give a colour as #rrggbb", param_hint="--background")
    if subsampling not in ("4:4:4", "4:2:2", "4:2:0"):
        raise typer.BadParameter(f"{subsampling!r}; choose 4:4:4, 4:2:2 or 4:2:0", param_hint="--subsampling")
    red, green, blue = bytes.fromhex(background[1:])
    options = ConvertOptions(quality, subsampling, (red, green, blue))
    if workers:
        options = replace(options, workers=workers)
    bar = Bar()
    bar.start("converting", None)
    try:
        counts = convert_all(root, out, options, kind=source, progress=lambda outcome: bar.tick(1))
    finally:
        bar.finish()
    told = ", ".join(f"{count:,} {status}" for status, count in sorted(counts.items())) or "no photos"
    print(f"{told}: {out}")
    if counts["failed"]:
        print(f"what failed, and why: {out / 'convert-report.csv'}")


@app.command()
def merge(
    datasets: Annotated[list[Path], typer.Argument(help="Two or more curated datasets.")],
    out: Annotated[Path, typer.Option(help="The merged dataset.")],
    join: Annotated[bool, typer.Option("--join", help="The same name in two datasets is the same person.")] = False,
) -> None:
    """Several curated datasets as one. Pixels stay where they are; the merged manifest refers to them."""
    from curate.merge import merge as merge_all

    merged = merge_all(datasets, out, join)
    copies = f", {merged.duplicates:,} of them copies of another dataset's" if merged.duplicates else ""
    print(f"{merged.photos:,} photos, {merged.kept:,} kept, {merged.photos - merged.kept:,} dropped{copies}: {out}")


@export_app.command("hf")
def export_hf(dataset: Dataset, out: Annotated[Path, typer.Option(help="A new folder.")]) -> None:
    """Kept faces as Parquet that Hugging Face `datasets.load_dataset` reads: image, mask, label."""
    from curate import export

    _export(export.export_hf, dataset, out)


@export_app.command("folder")
def export_folder(
    dataset: Dataset,
    out: Annotated[Path, typer.Option(help="A new folder.")],
    masks: Annotated[bool, typer.Option("--masks", help="Write the label maps beside the faces.")] = False,
) -> None:
    """Kept faces as files, a folder per person."""
    from functools import partial

    from curate import export

    _export(partial(export.export_folder, masks=masks), dataset, out)


def _export(write: "Callable[..., Exported]", dataset: Path, out: Path) -> None:
    from manifests.reader import Dataset as Opened

    bar = Bar(unit=" faces")
    try:
        exported = write(Opened.open(dataset), out, progress=bar.follow("exporting"))
    finally:
        bar.finish()
    print(f"{exported.faces:,} faces of {exported.people:,} people: {out}")


@models_app.command("list")
def models_list() -> None:
    """Every network the program knows: what it does, its licence, whether its file is here."""
    from curate.faces import packs
    from curate.faces.weights import REGISTRY, place

    assert packs.PACKS  # they register themselves on import

    for weights in REGISTRY.values():
        here = "here" if place(weights).is_file() else "not here"
        print(f"{weights.name:<24} {weights.task:<13} {here:<9} {weights.licence}")


@models_app.command("fetch")
def models_fetch(name: Annotated[str, typer.Argument(help="buffalo_l or buffalo_s.")]) -> None:
    """Download an insightface pack (non-commercial research use); its hash is recorded and checked ever after."""
    from curate.faces import packs

    bar = Bar(unit="B")
    try:
        folder = packs.fetch(name, bar.follow(f"fetching {name}"))
    finally:
        bar.finish()
    print(f"{name} is in {folder}")


@models_app.command("verify")
def models_verify(name: Annotated[str, typer.Argument(help="A pack, or a name from `curate models list`.")]) -> None:
    """Check the files' hashes; for a pack also that our networks compute what onnxruntime does, on real faces."""
    from curate.errors import ModelError
    from curate.faces.packs import PACKS
    from curate.faces.weights import REGISTRY, file_sha256, locate

    if name in PACKS:
        from curate.faces.pack_parity import verify

        rows = verify(name)
        for row in rows:
            print(row)
        if not all(row.agrees for row in rows):
            raise ModelError(f"{name}: our networks differ from onnxruntime on these files; please report it")
        return
    if name not in REGISTRY:
        raise ModelError(f"no model is called {name!r}; `curate models list` shows all")
    path = locate(REGISTRY[name])
    print(f"{name}: {path}, sha256 {file_sha256(path)}")


if __name__ == "__main__":
    main()
