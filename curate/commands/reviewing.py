"""Commands in which a person looks at photos: review, audit."""

from typing import Annotated

import typer

from curate.commands.options import CalibrationOption, LocalDataset, calibration_of, policy_of
from curate.commands.progress import ProgressBar

Port = Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1. 0: any free one.")]


def review(
    dataset: LocalDataset,
    policy: Annotated[
        str | None,
        typer.Option(help="Decide by this policy first. Default: the one that the dataset was decided by."),
    ] = None,
    calibration: CalibrationOption = None,
    port: Port = 0,
) -> None:
    """Decide doubtful photos in a web page on this machine.

    Prints an address for the browser. Persons are shown with the most doubtful photos first, beside the identity that
    they may belong to; keys keep, drop, move, split and join. Decisions are saved in OUT/review/decisions.jsonl before
    the page shows them, and become lines of overrides.csv. Ctrl-C ends the review and writes the manifest. Photos are
    only read. Needs swapset[review].

    Example: curate review curated/photos
    """
    from curate.counts import counted
    from curate.review import ReviewRequest, run

    chosen = None if policy is None else policy_of(policy)
    decisions = run(ReviewRequest(dataset, chosen, calibration_of(calibration), port), ProgressBar())
    print(f"{counted(decisions, 'decision')}: {dataset / 'review' / 'decisions.jsonl'}, {dataset / 'overrides.csv'}")


def audit(
    dataset: LocalDataset,
    photos: Annotated[int, typer.Option(help="Photos to draw of those that training uses.")] = 300,
    dropped: Annotated[int, typer.Option(help="Photos to draw of the dropped ones too.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw.")] = 0,
    annotator: Annotated[str, typer.Option(help="Who judges; a second name gives the agreement of both.")] = "first",
    port: Port = 0,
) -> None:
    """Judge a random sample of photos and state how clean the dataset is.

    Draws photos, stratified by doubt, and prints an address for the browser: one key says what is wrong with a photo.
    Interrupted, the same command continues. When all are judged, prints the share of each kind of noise with its 95%
    interval, and records it in the manifest's footer; `curate report` shows it. Needs swapset[review].

    Example: curate audit curated/photos --photos 300
    """
    from curate.audit import AuditRequest, run
    from curate.counts import counted

    try:
        request = AuditRequest(dataset, photos, dropped, seed, annotator, port)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--photos, --dropped, --annotator") from error
    audited = run(request, ProgressBar())
    progress = f"{audited.judged:,} of {counted(audited.photos, 'photo')} judged; the same command continues"
    print("\n".join(audited.record.lines()) or progress)
    print(f"judgements: {audited.file}")
