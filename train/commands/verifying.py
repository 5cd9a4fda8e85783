"""The command `simswap verify`. Everything heavy is imported when needed."""

from pathlib import Path
from typing import Annotated

import typer

NOT_MARKED = 12
"""Exit code: at least one file carries no mark of ours. All could be read."""

UNREADABLE = 3


def verify(
    files: Annotated[list[Path], typer.Argument(help="Photos, videos, or folders of them.")],
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line, one for each file.")] = False,
) -> None:
    """Say which of our marks a file carries: watermark, AIGC metadata, content credentials.

    Exit code 0: every file is marked; 12: at least one is not; 3: at least one cannot be read, or there are none.
    The marks are a label, not proof against tampering: their absence proves nothing.

    Example: simswap verify swapped/anna.jpg --json
    """
    import json as encoder

    from curate.errors import SourceError
    from train.marks import verify as verifying

    code, count = 0, 0
    for path in verifying.files(files):
        verdict = verifying.verify(path)
        print(encoder.dumps(verdict.to_dict()) if json else "\n".join(verdict.in_words()), flush=True)
        count += 1
        if verdict.error is not None:
            code = UNREADABLE
        elif not verdict.marked and code == 0:
            code = NOT_MARKED
    if not count:
        raise SourceError(f"{', '.join(map(str, files))}: no photo or video in it; give a file or another folder")
    raise typer.Exit(code)
