"""The program `simswap`: its commands (train/commands/), exit codes and errors. Only these print or exit.

Everything heavy is imported when it is needed, inside the commands.
"""

import typer

from curate.program import run
from train.commands import judging, swapping, training, verifying

EPILOG = (
    "Exit codes: 0 done, 1 something else went wrong, 2 wrong usage, 3 a source or target path, 4 the output (disk "
    "full, read-only, inside the dataset), 5 another run is using the output, 6 a model, 7 the dataset, 8 a recipe, "
    "9 memory ran out, 10 a checkpoint or a run of another recipe, 11 a loss is no longer finite, 12 a file is not "
    "marked (verify), 13 the marks, 14 a target, or some of a folder, was not swapped, 15 a source photo without one "
    "clear face, 16 somebody in --exclude, 130 stopped with Ctrl-C."
)

app = typer.Typer(
    name="simswap",
    help="Train face-swap generators on what `curate` kept, judge them, swap faces with them; every result is marked.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


for command in (
    training.fit, judging.evaluate, judging.ablate, swapping.swap, swapping.export, verifying.verify,
):  # fmt: skip
    app.command()(command)


def main() -> None:
    """Runs the command; errors of ours become one line on stderr and their exit code."""
    kept = "What is finished is kept; run the same command again"
    smaller = "Free some and run the same command again; or fit with a larger --accumulate in another --out."
    run(app, "simswap", f"{kept} to continue.", smaller)


if __name__ == "__main__":
    main()
