"""Commands that choose among the kept photos: select."""

from pathlib import Path
from typing import Annotated

import typer

from curate.commands.options import Dataset
from curate.commands.progress import ProgressBar


def select(
    dataset: Dataset,
    per_person: Annotated[int, typer.Option(min=1, help="Photos to choose of each person; of one with fewer, all.")],
    people: Annotated[
        str | None, typer.Option(help="Names of identities, separated by commas, to choose of. Default: all.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the list and its page. Default: DATASET/selection.")
    ] = None,
) -> None:
    """Choose the most useful photos of each person.

    The chosen photos cover pose, light and expression, are far from each other, and are sharp and detailed. Writes a
    list, the coverage of each person, and a page with pose maps and gaps. Nothing is moved, and no verdict changes:
    training and exports take the list with --selection. Photos without an identity are one person.

    Example: curate select curated/photos --per-person 64; simswap fit --data curated/photos --selection
    curated/photos/selection/selection.csv
    """
    from curate.select import SelectRequest, plan, run

    names = tuple(name.strip() for name in people.split(",")) if people else ()
    selected = run(plan(SelectRequest(dataset, per_person, out, names)), ProgressBar())
    print(selected.summary())
    print(f"selection: {selected.selection}")
    print(f"page:      {selected.out / 'index.html'}")
