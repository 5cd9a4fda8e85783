"""Commands that try the program on known faults: demo, evaluate, calibrate."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from curate.commands.options import (
    CalibrationOption,
    Detection,
    Device,
    Identities,
    ModelsOption,
    OptionalSource,
    PolicyOption,
    Root,
    Source,
    SourceOptions,
    calibration_of,
    default_root,
    local_path,
    policy_of,
    with_options,
)
from curate.commands.progress import ProgressBar
from curate.counts import counted


def calibrate(
    source: Source,
    out: Annotated[
        Path, typer.Option(callback=local_path, help="The calibration to write, a JSON file for --calibration.")
    ],
    root: Root = None,
    limit: Annotated[int, typer.Option(min=1, help="Number of photos to use, taken evenly from all persons.")] = 400,
    all_sharp: Annotated[
        bool, typer.Option("--all-sharp", help="Use all faces; by default those that look blurred are left out.")
    ] = False,
    identities: Identities = None,
    models: ModelsOption = None,
    detection: Detection = "coarse",
    device: Device = None,
) -> None:
    """Calibrate the sharpness score to your own photos.

    The photos are degraded in known ways. Small faces, and faces that the built-in calibration scores as blurred, are
    left out.

    Example: curate calibrate folder --root photos --out blur.json; curate decide curated/folder --calibration blur.json
    """
    from curate.evaluate.calibrate import CalibrateRequest, run

    request = CalibrateRequest(
        layout=source,
        root=default_root(source, root),
        out=out,
        limit=limit,
        all_sharp=all_sharp,
        models=models or "auto",
        detection=detection,
        device=device,
        identities=identities,
    )
    calibrated = run(request, ProgressBar())
    print(calibrated.summary())
    print(f"calibration: {calibrated.path}")


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(SourceOptions):
    """The options of `curate evaluate`."""

    source: OptionalSource = None  # type: ignore[assignment]
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of measurements and results. Default: evaluated/SOURCE, or evaluated/ and the dataset's name."
        ),
    ] = None


@with_options
def evaluate(
    options: EvaluateOptions,
    rates: Annotated[str, typer.Option(help="Shares of the photos that get each fault.")] = "0.01,0.05,0.2",
    seeds: Annotated[int, typer.Option(min=1, help="Number of random repetitions at each rate.")] = 5,
    faults: Annotated[
        str,
        typer.Option(
            help="Faults to plant. Others: harmless (borders, padding, turned photos, small profiles, which should be "
            "kept), mixed_folders (two persons in one). other_person and mixed_folders need no new photos.",
        ),
    ] = "other_person,blurred,duplicates",
    discard: Annotated[
        Path | None,
        typer.Option(
            metavar="DATASET",
            help="Instead of planting: drop the photos of this curated dataset by every score, at random and by an "
            "oracle, and count the false non-matches that are left. Takes no SOURCE.",
        ),
    ] = None,
    fmr: Annotated[float, typer.Option(help="False match rate at which --discard counts false non-matches.")] = 0.001,
    kinds: Annotated[bool, typer.Option("--kinds", help="Print one row for each way of planting a fault.")] = False,
    policy: PolicyOption = "default",
    calibration: CalibrationOption = None,
) -> None:
    """Measure how right the verdicts are on your photos.

    Plants known faults in a clean folder and counts what is found. Prints precision, recall and F1 of each reason and
    the share of good photos lost, with 95% intervals, and writes them to OUT/evaluation.parquet. Photos are measured
    once; other rates, seeds or policies then take seconds. ROOT is only read.

    With --discard DATASET it shows instead that what is dropped is what hurts: error-versus-discard curves, printed and
    written to OUT/discard.parquet and OUT/discard.svg. No truth is needed but the identities of the dataset.

    Example: curate evaluate folder --root photos --limit 2000; curate evaluate --discard curated/folder
    """
    if discard is not None:
        _evaluate_discard(discard, options, policy, calibration, fmr)
        return
    if options.source is None:
        raise typer.BadParameter("give the layout of a folder of photos, or --discard DATASET", param_hint="SOURCE")
    try:
        shares = tuple(float(rate) for rate in rates.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"{rates!r}; give numbers such as 0.01,0.05", param_hint="--rates") from error
    source = options.request(options.out or Path("evaluated") / options.source)

    from curate.evaluate.evaluate import EvaluateRequest, plan, run
    from curate.evaluate.outcome import render

    try:
        request = EvaluateRequest(
            measure=source,
            rates=shares,
            seeds=seeds,
            faults=tuple(name.strip() for name in faults.split(",")),
            policy=policy_of(policy),
            calibration=calibration_of(calibration),
        )
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--rates, --faults") from error
    listener = ProgressBar()
    evaluation = run(plan(request, listener), listener)
    print("\n".join(render(evaluation.table, kinds)))
    print(f"\nevaluation: {evaluation.path}")


def _evaluate_discard(
    dataset: Path, options: EvaluateOptions, policy: str, calibration: Path | None, fmr: float
) -> None:
    if options.source is not None:
        raise typer.BadParameter(
            f"{options.source!r} is not needed: --discard reads a curated dataset", param_hint="SOURCE"
        )
    from curate.evaluate.discard import DiscardRequest, run
    from curate.evaluate.discard_text import render

    try:
        request = DiscardRequest(
            dataset=dataset,
            out=options.out or Path("evaluated") / dataset.resolve().name,
            policy=policy_of(policy),
            calibration=calibration_of(calibration),
            fmr=fmr,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--fmr") from error
    discarded = run(request, ProgressBar())
    print("\n".join(render(discarded)))
    print(f"\ncurves: {discarded.path}\nplot:   {discarded.plot}")


def demo(
    out: Annotated[Path, typer.Option(callback=local_path, help="A new folder, or one of an earlier demo.")] = Path(
        "demo"
    ),
    limit: Annotated[int | None, typer.Option(min=1, help="About this many photos instead of 150.")] = None,
    device: Device = None,
) -> None:
    """Try it in two minutes, on real faces with planted faults.

    Photos of eight people that ship with the dependencies become a small folder in VGGFace2's layout, OUT/vggface2,
    with planted blur, wrong persons, copies and broken files. It is cleaned into OUT/curated, and the verdicts are
    compared with the truth.

    Example: curate demo --out demo
    """
    from curate.cleaning import clean
    from curate.evaluate import demo as demo_set
    from curate.measure.request import MeasureRequest

    photos, curated = out / "vggface2", out / "curated"
    planted = demo_set.build(photos, limit)
    faults = sum(1 for photo in planted if photo.fault)
    print(f"{counted(len(planted), 'photo')} of eight real people, {faults} of them with a planted fault: {photos}")
    print(f"policy: default with min_sharpness = {demo_set.MIN_SHARPNESS}, because the planted blurs are slight")
    policy = replace(policy_of("default"), min_sharpness=demo_set.MIN_SHARPNESS, adapt_sharpness=False)
    request = MeasureRequest(layout="vggface2", root=photos, out=curated, models="builtin", device=device)
    cleaned = clean(request, policy, ProgressBar())
    print("\nfound, of those planted")
    for score in demo_set.score(planted, demo_set.reasons_of(curated)):
        name, label = (score.fault, "missed") if score.fault else ("clean, kept", "dropped")
        missed = f"   {label}: {', '.join(score.missed)}" if score.missed else ""
        print(f"  {name:<16} {score.found:>3} of {score.planted:>3}{missed}")
    print(f"\nOpen {cleaned.report}, or in Python:")
    print(f"  import pandas as pd; pd.read_parquet({str(cleaned.manifest)!r})")
