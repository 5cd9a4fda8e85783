"""`curate export`, one command a format, and `curate card`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.commands.options import Dataset, local_path
from curate.commands.progress import ProgressBar

if TYPE_CHECKING:
    from curate.export.request import Format

Out = Annotated[
    Path,
    typer.Option(
        callback=local_path, help="A new folder, or the one of the same export that was stopped, which then continues."
    ),
]
SelectionOption = Annotated[
    Path | None,
    typer.Option(help="Export these photos only: selection.csv of `curate select`, or one image_id a line (.txt)."),
]
TestPeople = Annotated[
    float,
    typer.Option(
        min=0,
        max=0.99,
        help="Share of the people whose faces are the split test, chosen by a hash of their names. 0 keeps the splits "
        "of the source.",
    ),
]
Masks = Annotated[bool, typer.Option("--masks", help="Write the label maps too.")]


def export_hf(dataset: Dataset, out: Out, selection: SelectionOption = None, test_people: TestPeople = 0.0) -> None:
    """Write Parquet for Hugging Face `datasets.load_dataset`: image, mask, label.

    Example: curate export hf curated/vggface2 --out exported --test-people 0.1
    """
    _export(dataset, out, "hf", selection=selection, test_people=test_people)


def export_webdataset(
    dataset: Dataset, out: Out, selection: SelectionOption = None, test_people: TestPeople = 0.0
) -> None:
    """Write tar files for `webdataset` and torchdata: jpg, png (label map), cls, json.

    Example: curate export webdataset curated/vggface2 --out exported
    """
    _export(dataset, out, "webdataset", selection=selection, test_people=test_people)


def export_fiftyone(
    dataset: Dataset,
    out: Out,
    masks: Masks = False,
    selection: SelectionOption = None,
    test_people: TestPeople = 0.0,
) -> None:
    """Write a FiftyOneDataset: image files, with person and numbers as fields.

    Example: curate export fiftyone curated/vggface2 --out exported --masks
    """
    _export(dataset, out, "fiftyone", masks=masks, selection=selection, test_people=test_people)


def export_folder(dataset: Dataset, out: Out, masks: Masks = False, selection: SelectionOption = None) -> None:
    """Write image files, one folder per person.

    Example: curate export folder curated/vggface2 --out exported --masks
    """
    _export(dataset, out, "folder", masks=masks, selection=selection)


def export_list(
    dataset: Dataset,
    out: Annotated[Path, typer.Option(callback=local_path, help="The text file to write, NAME.txt.")],
    selection: SelectionOption = None,
) -> None:
    """Write the kept photos as text, one a line.

    Each line is the path of a photo inside the source.

    Example: curate export list curated/photos --out kept.txt; rsync -a --files-from=kept.txt photos/ kept/
    """
    from curate.counts import counted
    from curate.export import require_list_name, write_list

    try:
        require_list_name(out)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--out") from error
    print(f"{counted(write_list(dataset, out, selection), 'photo')}: {out}")


def card(
    dataset: Dataset,
    out: Annotated[Path | None, typer.Option(help="The Markdown file to write. Default: DATASET/card.md.")] = None,
) -> None:
    """Write a data card for publication, in Markdown.

    Sources, counts, what was dropped and why, coverage of pose, light and skin tone, audits, models, limits, rights.

    Example: curate card curated/photos
    """
    from curate.card import write_card

    print(f"card: {write_card(dataset, out or dataset / 'card.md')}")


def _export(dataset: Path, out: Path, form: "Format", **options: Any) -> None:
    from curate.export import ExportRequest, plan, run

    print(f"{run(plan(ExportRequest(dataset, out, form, **options)), ProgressBar()).summary()}: {out}")
