"""The command line of `simswap`: the only place that prints or exits. Everything heavy is imported when needed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.program import run

if TYPE_CHECKING:
    from train.loop import Status

EPILOG = (
    "Exit codes: 0 done, 1 something else went wrong, 2 wrong usage, 4 the output (disk full, read-only, inside the "
    "dataset), 5 another run is using the output, 6 a model, 7 the dataset, 8 a recipe, 10 a checkpoint or a run of "
    "another recipe, 11 a loss is no longer finite, 130 stopped with Ctrl-C."
)

app = typer.Typer(
    name="simswap",
    help="Train face-swap generators on what `curate` kept.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def _commands() -> None:
    # With one command only, typer would otherwise make it the program itself: `simswap fit` must stay `simswap fit`.
    pass


def main() -> None:
    """Runs the command; errors of ours become one line on stderr and their exit code."""
    run(app, "simswap", "Run the same command again to continue from the last checkpoint.")


@app.command()
def fit(
    data: Annotated[Path, typer.Option(help="A curated dataset: the --out of `curate clean` or `curate merge`.")],
    recipe: Annotated[
        str, typer.Option(help="A recipe's name (baseline, seg-mask, tiny, ...) or a TOML file.")
    ] = "baseline",
    out: Annotated[Path | None, typer.Option(help="The run's folder. Default: runs/RECIPE.")] = None,
    images: Annotated[int | None, typer.Option(min=1, help="Images to train on in all. Default: the recipe's.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Images of an update. Default: the recipe's.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of everything random. Default: the recipe's.")] = None,
    embedder: Annotated[
        str | None,
        typer.Option(help="dataset, auto, builtin, buffalo_l, buffalo_s or a checkpoint. Default: the recipe's."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, ... Default: cuda where there is one.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads that decode. Default: one a core.")] = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="CPU only: the same numbers in every run with as many threads.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be trained: recipe, data, parameters, memory.")
    ] = False,
) -> None:
    """Train a generator; stopped or killed, it continues when the same command is run again.

    Leaves OUT/log.jsonl, TensorBoard events (where tensorboard is installed), OUT/samples and OUT/checkpoints.

    Example: simswap fit --data curated/vggface2 --recipe seg-mask
    """
    from train.config import load_recipe

    # A wrong recipe is said before anything slow is loaded.
    chosen = load_recipe(recipe, images=images, batch=batch, seed=seed, embedder=embedder)

    from curate.models import check_device
    from train.fit import Request, describe, plan
    from train.fit import fit as train

    folder = out or Path("runs") / Path(recipe).stem
    planned = plan(Request(data, chosen, folder, check_device(device), workers, deterministic))
    if dry_run:
        print("\n".join(describe(planned)))
        return
    print(
        f"{recipe}, on {planned.request.device}, embedder {planned.embedder.name}, from {data} to {folder}", flush=True
    )
    last = train(planned, lambda line: print(line, flush=True), _say)
    print(f"checkpoint: {last}")
    print(f"samples:    {folder / 'samples'}")


def _say(status: "Status") -> None:
    losses = "  ".join(f"{name} {value:.3f}" for name, value in status.losses.items())
    share, memory = status.images / status.total, status.memory_bytes / 2**30
    speed = f"{status.images_per_second:7.1f} images/s"
    print(f"{status.images:>10,} images {share:>4.0%}  {speed}  {memory:.1f} GiB  {losses}", flush=True)


if __name__ == "__main__":
    main()
