"""The command `simswap verify`. Heavy modules are imported inside the command."""

from pathlib import Path
from typing import Annotated

import typer

EXIT_CODES = {"unreadable": 3, "invalid": 19, "unmarked": 12, "forgeable": 18, "marked": 0}
"""State of a file (see `train.marks.verify.State`), the worst first -> exit code; the worst of all files decides."""


def verify(
    files: Annotated[list[Path], typer.Argument(help="Photos, videos, or folders that contain them.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per file, one per line.")] = False,
) -> None:
    """Show which marks files carry: invisible watermark, AIGC metadata, content credentials.

    Exit code 0: every file has a mark in its pixels, or valid credentials that declare it AI-made. Else the first that
    applies to a file: 3: it cannot be read (or there are no files); 19: its credentials are invalid, they belong to
    other bytes; 12: it is not marked; 18: it is marked by metadata alone, which anybody can write into any file.
    Marks are labels, not protection against tampering: a file without marks may be AI-made all the same.

    Example: simswap verify swapped/anna.jpg --json
    """
    import json as encoder

    from curate.errors import SourceError
    from train.marks.media import media_files
    from train.marks.verify import verify as verify_file

    states = set()
    for path in media_files(files):
        verdict = verify_file(path)
        print(encoder.dumps(verdict.to_dict()) if json else "\n".join(verdict.to_lines()), flush=True)
        states.add(verdict.state)
    if not states:
        raise SourceError(f"{', '.join(map(str, files))}: no photo or video found; give a file or another folder")
    raise typer.Exit(next(code for state, code in EXIT_CODES.items() if state in states))
