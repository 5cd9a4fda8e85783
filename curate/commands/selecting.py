"""Commands that choose and order photos: select, sort."""

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


def sort(
    dataset: Dataset,
    out: Annotated[
        Path,
        typer.Option(help="A contact sheet (.jpg, .png), a page (.html), or a folder of links to the source's photos."),
    ],
    by: Annotated[str | None, typer.Option(help="Column of the manifest, such as sharpness, yaw or sha256.")] = None,
    like: Annotated[
        str | None, typer.Option(help="Sort by the similarity of faces to this photo: an image_id, or a file.")
    ] = None,
    descending: Annotated[bool, typer.Option("--descending", help="The largest value first.")] = False,
    identity: Annotated[str | None, typer.Option(help="Photos of this person only.")] = None,
    verdict: Annotated[str | None, typer.Option(help="Photos with this verdict only: keep, review or drop.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=5000, help="Number of photos that are written.")] = 240,
) -> None:
    """Show photos in the order of a column, or of their similarity to a photo.

    Nothing is moved or renamed.

    Example: curate sort curated/photos --by sharpness --identity anna --out anna.jpg
    """
    from curate.counts import counted
    from curate.sort import SortRequest, plan, run

    try:
        request = SortRequest(dataset, out, by, like, descending, identity, verdict, limit)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--by, --like, --verdict") from error
    photos = run(plan(request))
    print(f"{len(photos.rows):,} of {counted(photos.total, 'photo')} by {photos.by}: {out}")
