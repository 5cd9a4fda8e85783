"""The commands of the program `curate`, in `curate/commands/`; each is one call of the library.

Only commands print or exit. Everything heavy is imported inside the commands.
"""

import typer

from curate.commands import cleaning, comparing, evaluating, exporting, models, results, reviewing, selecting
from curate.commands.help import Command, Group

EXIT_CODES = {
    0: "done",
    1: "unexpected error",
    2: "wrong usage",
    3: "source: missing, empty, another layout",
    4: "output: disk full, read-only, inside the source",
    5: "another run is using the output",
    6: "model: missing, damaged, unknown, no such device",
    7: "dataset: damaged, incomplete, of another version",
    8: "policy, override or calibration",
    9: "a worker was killed, or memory ran out",
    17: "a check found something off (--strict-checks)",
    20: "the engine is not installed, or its cluster cannot be reached",
    130: "stopped with Ctrl-C",
    143: "stopped with SIGTERM",
}

app = typer.Typer(
    name="curate",
    cls=Group,
    help="Turn a collection of face photos into a clean training set. Finds blurred and distorted photos, wrong "
    "persons, duplicates and broken files; aligns and segments the rest; writes a Parquet manifest with a verdict and "
    "its reasons for every photo. Photos are only read.",
    epilog=f"Exit codes: {'; '.join(f'{code} {meaning}' for code, meaning in EXIT_CODES.items())}.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
models_app = typer.Typer(cls=Group, help="List, download and verify networks.", no_args_is_help=True)
export_app = typer.Typer(cls=Group, help="Write the kept faces for other tools.", no_args_is_help=True)

_COMMANDS = {
    "Try it": (evaluating.demo,),
    "Clean a collection": (cleaning.clean, cleaning.status, results.convert),
    "Its steps, one at a time": (cleaning.plan, cleaning.measure, cleaning.relate, cleaning.decide, cleaning.report),
    "Look at the result, and correct it": (
        results.inspect, selecting.sort, reviewing.review, comparing.diff, results.verify,
    ),
    "Know how right it is": (reviewing.audit, evaluating.evaluate, evaluating.calibrate),
    "Pass it on": (selecting.select, results.merge, exporting.card),
}  # fmt: skip
"""Heading in `--help` -> commands."""

for heading, commands in _COMMANDS.items():
    for command in commands:
        app.command(cls=Command, rich_help_panel=heading)(command)
export_app.command("hf", cls=Command)(exporting.export_hf)
export_app.command("webdataset", cls=Command)(exporting.export_webdataset)
export_app.command("fiftyone", cls=Command)(exporting.export_fiftyone)
export_app.command("folder", cls=Command)(exporting.export_folder)
export_app.command("list", cls=Command)(exporting.export_list)
models_app.command("list", cls=Command)(models.list_models)
models_app.command("fetch", cls=Command)(models.fetch)
models_app.command("verify", cls=Command)(models.verify)
app.add_typer(export_app, name="export", rich_help_panel="Pass it on")
app.add_typer(models_app, name="models", rich_help_panel="Networks")
