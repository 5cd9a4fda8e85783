"""The command `simswap verify`. Heavy modules are imported inside the command."""

from pathlib import Path
from typing import Annotated

import typer

UNREADABLE = 3
"""Exit code: at least one file cannot be read, or there are no files."""

NOT_MARKED = 12
"""Exit code: all files can be read, and at least one carries no mark."""


def verify(
    files: Annotated[list[Path], typer.Argument(help="Photos, videos, or folders that contain them.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per file, one per line.")] = False,
) -> None:
    """Show which marks files carry: invisible watermark, AIGC metadata, content credentials.

    Exit code 0: every file is marked; 12: at least one is not; 3: at least one cannot be read, or there are no files.
    Marks are labels, not protection against tampering: a file without marks may be AI-made all the same.

    Example: simswap verify swapped/anna.jpg --json
    """
    import json as encoder

    from curate.errors import SourceError
    from train.marks.media import media_files
    from train.marks.verify import verify as verify_file

    code, count = 0, 0
    for path in media_files(files):
        verdict = verify_file(path)
        print(encoder.dumps(verdict.to_dict()) if json else "\n".join(verdict.to_lines()), flush=True)
        count += 1
        if verdict.error is not None:
            code = UNREADABLE
        elif not verdict.marked and code == 0:
            code = NOT_MARKED
    if not count:
        raise SourceError(f"{', '.join(map(str, files))}: no photo or video found; give a file or another folder")
    raise typer.Exit(code)
