"""Commands in which a person looks at photos: review."""

from typing import Annotated

import typer

from curate.commands.options import CalibrationOption, Dataset, calibration_of, policy_of
from curate.commands.progress import ProgressBar

Port = Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1. 0: any free one.")]


def review(
    dataset: Dataset,
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
    from curate.review import ReviewRequest, run

    chosen = None if policy is None else policy_of(policy)
    decisions = run(ReviewRequest(dataset, chosen, calibration_of(calibration), port), ProgressBar())
    print(f"{decisions:,} decisions: {dataset / 'review' / 'decisions.jsonl'}, {dataset / 'overrides.csv'}")
