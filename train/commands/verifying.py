"""The command `simswap verify`. Heavy modules are imported inside the command."""

from pathlib import Path
from typing import Annotated

import typer

from curate.threads import default_threads

EXIT_CODES = {"unreadable": 3, "invalid": 19, "unmarked": 12, "forgeable": 18, "marked": 0}
"""State of a file (see `train.marks.verify.State`), the worst first -> exit code; the worst of all files decides."""


def verify(
    files: Annotated[list[Path], typer.Argument(help="Photos, videos, or folders that contain them.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per file, one per line.")] = False,
    page: Annotated[Path | None, typer.Option(help="HTML file to write, a table of all files.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads. Default: one per core, at most 16.")] = None,
) -> None:
    """Show which marks files carry: invisible watermark, AIGC metadata, content credentials.

    The watermark is found in crops, screenshots and turned pictures too; the marked region is in pixels. Of a long
    video, five windows of 100 frames are read, until one is marked. Confidence is 1 minus the probability that an
    unmarked file looks like this one.

    Exit code 0: every file has a mark in its pixels, or valid credentials that declare it AI-made. Else the first that
    applies to a file: 3: it cannot be read (or there are no files); 19: its credentials are invalid, they belong to
    other bytes; 12: it is not marked; 18: it is marked by metadata alone, which any editor can write into any file.
    Marks are labels, not protection against tampering: a file without marks may be AI-made all the same.

    Example: simswap verify swapped --json --page marks.html
    """
    import json as encoder
    import sys

    from curate.commands.progress import ProgressBar
    from curate.errors import SourceError
    from curate.listener import progress
    from manifests.errors import OutputError
    from train.marks.media import media_files
    from train.marks.page import write_page
    from train.marks.scan import verify_files

    if page is not None and page.is_dir():
        raise OutputError(f"--page {page} is a folder: give the name of an HTML file, such as {page / 'marks.html'}")
    paths = list(media_files(files))
    if not paths:
        raise SourceError(f"{', '.join(map(str, files))}: no photo or video found; give a file or another folder")
    listener = ProgressBar()
    verdicts = []
    with progress(listener, "verifying", len(paths), "files") as advance:
        for verdict in verify_files(paths, workers or default_threads()):
            listener.note(encoder.dumps(verdict.to_dict()) if json else "\n".join(verdict.to_lines()))
            verdicts.append(verdict)
            advance(1)
    if page is not None:
        write_page(page, verdicts)
        print(f"page: {page}", file=sys.stderr if json else sys.stdout)
    states = {verdict.state for verdict in verdicts}
    raise typer.Exit(next(code for state, code in EXIT_CODES.items() if state in states))
