"""Commands that try the program on known faults: demo, evaluate, calibrate."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from curate.commands.cleaning import decided, measured, related, reported
from curate.commands.options import (
    CalibrationOption,
    Detection,
    Device,
    EmbedderOption,
    Limit,
    MaxPixels,
    ModelsOption,
    PolicyOption,
    Root,
    Source,
    TemplateOption,
    Workers,
    calibration_of,
    check_source,
    device_of,
    request_of,
)
from curate.commands.progress import ProgressBar


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
    check_source(source)
    root = root or Path(os.environ.get("SWAPSET_ROOT", ".")) / source

    from curate.evaluate.calibrate import calibrate as learn
    from curate.evaluate.portraits import Portraits, spread
    from curate.faces.models import load_detector, resolve
    from curate.faces.segment import Segmenter
    from curate.measure.plan import check_apart
    from curate.measure.sharpness import load_calibration
    from curate.sources import open_source
    from manifests.output import atomic

    opened = open_source(source, root)
    check_apart(root, out)
    where = device_of(device)
    detector = load_detector(resolve(models or "auto", None, detection), where)
    entries = spread(opened, limit)
    shipped = None if all_sharp else load_calibration()
    bar = ProgressBar()
    bar.start("calibrating", len(entries))
    portraits = Portraits(opened, entries, detector, Segmenter.load(where), shipped, tick=bar.advance)
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
    from curate.decide.policy import load_policy
    from curate.evaluate.evaluate import EVALUATION, Experiment
    from curate.evaluate.evaluate import evaluate as evaluate_all
    from curate.evaluate.outcome import render
    from curate.measure.plan import check_apart
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
    chosen, blur = load_policy(policy), calibration_of(calibration)
    request = request_of(
        source, root, out / "untouched", models, embedder, detection, template, device, workers, limit, None, max_pixels
    )
    check_apart(request.root, out)
    with OutputLock(out):
        table = evaluate_all(replace(request, out=out), experiment, chosen, ProgressBar(), blur)
    print("\n".join(render(table, kinds)))
    print(f"\nevaluation: {out / EVALUATION}")


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
    from curate.decide.policy import load_policy
    from curate.evaluate import demo as show

    photos, curated = out / "vggface2", out / "curated"
    planted = show.build(photos, limit)
    faults = sum(1 for one in planted if one.fault)
    print(f"{len(planted)} photos of eight real people, {faults} of them with a planted fault: {photos}")
    request = request_of(
        "vggface2", photos, curated, "builtin", None, "coarse", "simswap-224", device, None, None, None, 50_000_000
    )
    measured(request)
    related(curated, [], request.device)
    print(f"policy: default, with min_sharpness = {show.MIN_SHARPNESS}, because the photos that ship are all soft")
    decided(curated, replace(load_policy("default"), min_sharpness=show.MIN_SHARPNESS, adapt_sharpness=False))
    reported(curated)
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
