"""Commands on datasets and folders: inspect, verify, convert, merge."""

import re
from pathlib import Path
from typing import Annotated

import typer

from curate.commands.findings import print_findings
from curate.commands.options import Dataset, Source, local_path
from curate.commands.progress import ProgressBar
from curate.counts import counted


def inspect(dataset: Dataset) -> None:
    """Summarise a dataset.

    Prints verdicts, reasons, people, models and disk space, and whether the manifest is out of date.

    Example: curate inspect curated/vggface2
    """
    from curate.inspect import summarise
    from manifests.reader import Dataset as Opened

    print("\n".join(summarise(Opened.open(dataset)).lines()))


def verify(
    dataset: Dataset,
    photos: Annotated[
        bool, typer.Option("--photos", help="Hash the photos of the source too, and name those that have changed.")
    ] = False,
) -> None:
    """Read a dataset again and name what is damaged.

    Compares every byte of every table with its checksum, every crop and label map with the measures, and every table
    with those that it was made from. Prints a line for each problem and the commands that repair just these files, and
    ends with exit code 7. A merged dataset is verified with its parts. Only reads.

    Example: curate verify curated/vggface2
    """
    from curate.verify import VerifyRequest, run
    from manifests.errors import DatasetError

    verified = run(VerifyRequest(dataset, photos), ProgressBar())
    print(f"verified {verified.summary()}")
    for problem in verified.problems:
        print(problem.line())
    if not verified.problems:
        print("everything is as it was written")
        return
    if verified.commands:
        print("to repair:")
    for command in verified.commands:
        print(f"  {command}")
    raise DatasetError(f"{dataset}: {counted(len(verified.problems), 'problem')}, listed above")


def convert(
    source: Source,
    root: Annotated[Path, typer.Option(help="The photos: a folder or an archive. Only read.")],
    out: Annotated[
        Path, typer.Option(callback=local_path, help="Folder of the JPEGs, in the same tree, with convert-report.csv.")
    ],
    quality: Annotated[int, typer.Option(min=1, max=100, help="JPEG quality, as in libjpeg.")] = 95,
    subsampling: Annotated[
        str, typer.Option(help="Chroma subsampling: 4:4:4 keeps all colour, 4:2:2 and 4:2:0 are smaller.")
    ] = "4:4:4",
    background: Annotated[str, typer.Option(help="Colour behind transparent pixels, #rrggbb.")] = "#ffffff",
    max_pixels: Annotated[
        int, typer.Option(min=1, help="Convert no photos with more pixels; protects memory (about 10 bytes per pixel).")
    ] = 50_000_000,
    verify: Annotated[
        bool, typer.Option(help="Decode every output again and compare it with its original; without, a fifth faster.")
    ] = True,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads. Default: one per core, at least two.")] = None,
) -> None:
    """Convert photos (PNG and others) to JPEG in the same tree.

    Every output is decoded again and compared with its original, unless --no-verify is given. Embedded colour profiles
    are converted to sRGB, EXIF orientation is applied, JPEGs are copied. Run again, it skips finished photos,
    also those that were written with --no-verify.

    Example: curate convert sjtu --root pngs --out jpegs
    """
    from curate.convert import ConvertRequest, plan, run

    if not re.fullmatch("#[0-9a-fA-F]{6}", background):
        raise typer.BadParameter(f"{background!r}; give a colour as #rrggbb", param_hint="--background")
    red, green, blue = bytes.fromhex(background[1:])
    try:
        request = ConvertRequest(
            root=root,
            out=out,
            layout=source,
            quality=quality,
            subsampling=subsampling,
            background=(red, green, blue),
            max_pixels=max_pixels,
            verify=verify,
            **({"workers": workers} if workers else {}),
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    converted = run(plan(request), ProgressBar())
    print(f"{converted.summary()}: {out}")
    if converted.counts["failed"]:
        print(f"reasons of failures: {converted.report}")


def merge(
    datasets: Annotated[list[Path], typer.Argument(help="Two or more curated datasets.")],
    out: Annotated[Path, typer.Option(callback=local_path, help="The merged dataset.")],
    join: Annotated[bool, typer.Option("--join", help="Equal names in two datasets are the same person.")] = False,
) -> None:
    """Merge curated datasets. Pixels stay where they are; the merged manifest refers to them.

    Example: curate merge curated/vggface2 curated/sjtu --out curated/all
    """
    from curate.merge import MergeRequest, plan, run

    merged = run(plan(MergeRequest(tuple(datasets), out, join)), ProgressBar())
    print(f"{merged.summary()}: {out}")
    print_findings(merged.findings, out)
