"""The commands of the program `simswap`, in `train/commands/`; each is one call of the library.

Only commands print or exit. Everything heavy is imported inside the commands.
"""

from collections.abc import Callable

import typer

from curate.commands.help import Command, Group
from train.commands import importing, judging, swapping, training, verifying

EXIT_CODES = {
    0: "success",
    1: "unexpected error",
    2: "wrong usage",
    3: "source or target path",
    4: "output: disk full, read-only, inside the dataset",
    5: "another run is using the output",
    6: "model: missing, damaged, unknown, no such device",
    7: "dataset: damaged, nothing kept, another template",
    8: "recipe or policy",
    9: "out of memory",
    10: "checkpoint, or a run of another recipe",
    11: "a loss is no longer finite",
    12: "a file is not marked (verify)",
    13: "marks",
    14: "a target, or some of a folder, was not swapped",
    15: "a source photo without one clear face",
    16: "a person of the exclusion gallery",
    18: "a file is marked by metadata alone (verify)",
    19: "the credentials of a file are invalid (verify)",
    21: "protocol of an evaluation",
    130: "stopped with Ctrl-C",
    143: "stopped with SIGTERM",
}

app = typer.Typer(
    name="simswap",
    cls=Group,
    help="Train face-swap generators on datasets of `curate`, evaluate them, swap faces, mark and verify the results.",
    epilog=f"Exit codes: {'; '.join(f'{code} {meaning}' for code, meaning in EXIT_CODES.items())}.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

_COMMANDS: dict[str, dict[str, Callable[..., None]]] = {
    "Try it": {"demo": swapping.demo},
    "Train, and judge": {
        "fit": training.fit,
        "pairs": judging.pairs,
        "evaluate": judging.evaluate,
        "ablate": judging.ablate,
    },
    "Swap, and check the marks": {"swap": swapping.swap, "verify": verifying.verify},
    "Exchange generators": {"export": swapping.export, "import": importing.import_weights},
}
"""Heading in `--help` -> commands by name."""

for heading, commands in _COMMANDS.items():
    for name, command in commands.items():
        app.command(name, cls=Command, rich_help_panel=heading)(command)
