"""The program `curate`: its commands (curate/commands/), exit codes and errors. Only these print or exit.

Everything heavy is imported when it is needed, inside the commands.
"""

import typer

from curate.commands import cleaning, evaluating, models, results
from curate.program import run

EPILOG = (
    "Exit codes: 0 done, 1 something else went wrong, 2 wrong usage, 3 the source, 4 the output (disk full, read-only, "
    "inside the source), 5 another run is using the output, 6 a model, 7 a dataset, 8 a policy, override or "
    "calibration, 9 a worker died or memory ran out, 130 stopped with Ctrl-C."
)

app = typer.Typer(
    name="curate",
    help="Find what must not be trained on in a collection of face photos: blurred and distorted photos, other people, "
    "duplicates, broken files. Aligns and segments the rest and writes a Parquet manifest. Photos are never changed.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
models_app = typer.Typer(help="The networks: what is there, what can be fetched.", no_args_is_help=True)
export_app = typer.Typer(help="Write the kept faces for other tools.", no_args_is_help=True)

for command in (
    cleaning.clean, cleaning.measure, cleaning.relate, cleaning.decide, cleaning.report, evaluating.calibrate,
    evaluating.evaluate, evaluating.demo, results.inspect, results.convert, results.merge,
):  # fmt: skip
    app.command()(command)
export_app.command("hf")(results.export_hf)
export_app.command("folder")(results.export_folder)
models_app.command("list")(models.list_models)
models_app.command("fetch")(models.fetch)
models_app.command("verify")(models.verify)
app.add_typer(models_app, name="models", rich_help_panel=None)
app.add_typer(export_app, name="export", rich_help_panel=None)


def main() -> None:
    """Runs the command; errors of ours become one line on stderr and their exit code."""
    kept = "Finished shards are kept; run the same command again"
    run(app, "curate", f"{kept} to continue.", f"{kept} with fewer --workers, or with --device cpu.")


if __name__ == "__main__":
    main()
