"""The commands of the program `curate`, in `curate/commands/`; each is one call of the library.

Only commands print or exit. Everything heavy is imported inside the commands.
"""

import typer

from curate.commands import cleaning, comparing, evaluating, exporting, models, results, reviewing, selecting

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
    help="Turn a collection of face photos into a clean training set. Finds blurred and distorted photos, wrong "
    "persons, duplicates and broken files; aligns and segments the rest; writes a Parquet manifest with a verdict and "
    "its reasons for every photo. Photos are only read.",
    epilog=f"Exit codes: {'; '.join(f'{code} {meaning}' for code, meaning in EXIT_CODES.items())}.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
models_app = typer.Typer(help="List, download and verify networks.", no_args_is_help=True)
export_app = typer.Typer(help="Write the kept faces for other tools.", no_args_is_help=True)

for command in (
    cleaning.clean, cleaning.plan, cleaning.measure, cleaning.status, cleaning.relate, cleaning.decide, cleaning.report,
    reviewing.review, reviewing.audit, evaluating.calibrate, evaluating.evaluate, evaluating.demo, results.inspect,
    results.verify, results.convert, results.merge,
    selecting.select, selecting.sort, comparing.diff, exporting.card,
):  # fmt: skip
    app.command()(command)
export_app.command("hf")(exporting.export_hf)
export_app.command("webdataset")(exporting.export_webdataset)
export_app.command("fiftyone")(exporting.export_fiftyone)
export_app.command("folder")(exporting.export_folder)
export_app.command("list")(exporting.export_list)
models_app.command("list")(models.list_models)
models_app.command("fetch")(models.fetch)
models_app.command("verify")(models.verify)
app.add_typer(models_app, name="models", rich_help_panel=None)
app.add_typer(export_app, name="export", rich_help_panel=None)
