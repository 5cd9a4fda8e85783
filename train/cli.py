"""The program `simswap`: its commands (train/commands/) and exit codes.

Heavy modules are imported inside the commands, so that `--help` is immediate.
"""

import typer

from curate.program import run
from train.commands import judging, swapping, training, verifying

EPILOG = (
    "Exit codes: 0 success, 1 other errors, 2 usage, 3 a source or target path, 4 the output (disk full, read-only, "
    "inside the dataset), 5 another run is using the output, 6 a model, 7 the dataset, 8 a recipe, 9 out of memory, "
    "10 a checkpoint or a run of another recipe, 11 a loss is no longer finite, 12 a file is not marked (verify), "
    "13 the marks, 14 a target, or some of a folder, was not swapped, 15 a source photo without one clear face, "
    "16 a person of the exclusion gallery, 130 stopped with Ctrl-C."
)

app = typer.Typer(
    name="simswap",
    help="Train face-swap generators on datasets of `curate`, evaluate them, swap faces, mark and verify the results.",
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
    """Run the command; errors of the project are printed as one line on stderr and set the exit code."""
    interrupted = "Finished work is kept; run the same command again to continue."
    out_of_memory = "Free some and run the same command again; or fit with a larger --accumulate in another --out."
    run(app, "simswap", interrupted, out_of_memory)


if __name__ == "__main__":
    main()
