"""What is done with a dataset or a folder beside cleaning it: inspect, convert, merge, export."""

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.commands.options import Dataset, Source
from curate.commands.progress import ProgressBar

if TYPE_CHECKING:
    from collections.abc import Callable

    from curate.export import Exported


def inspect(dataset: Dataset) -> None:
    """A summary of a curated dataset: verdicts, reasons, people, models, size on disk."""
    from curate.inspect import render, summary
    from manifests.reader import Dataset as Opened

    print("\n".join(render(summary(Opened.open(dataset)))))


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

    if not re.fullmatch("#[0-9a-fA-F]{6}", background):
        raise typer.BadParameter(f"{background!r}; give a colour as #rrggbb", param_hint="--background")
    if subsampling not in ("4:4:4", "4:2:2", "4:2:0"):
        raise typer.BadParameter(f"{subsampling!r}; choose 4:4:4, 4:2:2 or 4:2:0", param_hint="--subsampling")
    red, green, blue = bytes.fromhex(background[1:])
    options = ConvertOptions(quality, subsampling, (red, green, blue))
    if workers:
        options = replace(options, workers=workers)
    bar = ProgressBar()
    bar.start("converting", None)
    try:
        counts = convert_all(root, out, options, kind=source, progress=lambda outcome: bar.advance())
    finally:
        bar.finish()
    told = ", ".join(f"{count:,} {status}" for status, count in sorted(counts.items())) or "no photos"
    print(f"{told}: {out}")
    if counts["failed"]:
        print(f"what failed, and why: {out / 'convert-report.csv'}")


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


def export_hf(dataset: Dataset, out: Annotated[Path, typer.Option(help="A new folder.")]) -> None:
    """Kept faces as Parquet that Hugging Face `datasets.load_dataset` reads: image, mask, label."""
    from curate import export

    _export(export.export_hf, dataset, out)


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

    exported = write(Opened.open(dataset), out, listener=ProgressBar())
    print(f"{exported.faces:,} faces of {exported.people:,} people: {out}")
