"""`curate diff`: what another decision changes."""

from pathlib import Path
from typing import Annotated

import typer

from curate.commands.options import CalibrationOption, Dataset, calibration_of, policy_of
from curate.commands.progress import ProgressBar


def diff(
    dataset: Dataset,
    other: Annotated[
        Path | None, typer.Argument(help="Another curated dataset of the same photos, or a view of this one.")
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(help="Compare with this policy instead: default, strict, vggface2-hq, keep-all, or a TOML file."),
    ] = None,
    calibration: CalibrationOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the page and table. Default: DATASET/diff.")] = None,
) -> None:
    """Show what another policy, or another run, changes.

    Writes a page with the photos that flip, grouped by the reasons that came and went, and a table of all of them. The
    datasets are not changed.

    Example: curate diff curated/photos --policy strict
    """
    from curate.diff import DiffRequest, plan, run

    if (other is None) == (policy is None):
        raise typer.BadParameter("give either a second dataset or --policy", param_hint="OTHER, --policy")
    chosen = policy_of(policy) if policy is not None else None
    request = DiffRequest(dataset, other, chosen, calibration_of(calibration), out)
    differences = run(plan(request), ProgressBar())
    print("\n".join(differences.lines()))
    print(f"table: {differences.out / 'diff.csv'}")
    print(f"page:  {differences.out / 'index.html'}")
