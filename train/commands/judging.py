"""`simswap evaluate` and `simswap ablate`: options in, lines out. Heavy things are imported when needed."""

from pathlib import Path
from typing import Annotated

import typer

from curate.commands.options import Device

Data = Annotated[Path, typer.Option(help="A curated dataset: the --out of `curate clean` or `curate merge`.")]
JudgeOption = Annotated[
    str | None,
    typer.Option(
        help="Embedder that judges: builtin, buffalo_l, buffalo_s or a checkpoint. Default: the first that is here and "
        "was not trained against."
    ),
]
PairsOption = Annotated[int, typer.Option(min=2, help="Pairs of two people, and of one, at most.")]


def evaluate(
    checkpoint: Annotated[Path, typer.Option(help="What is judged: RUN/checkpoints/....safetensors.")],
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for the numbers and the page.")],
    baseline: Annotated[
        Path | None, typer.Option(help="A checkpoint to compare with on the same pairs: gives A.")
    ] = None,
    judge: JudgeOption = None,
    embedder: Annotated[
        str | None,
        typer.Option(help="Where the embedder that the checkpoint was trained with is, if it is not found by itself."),
    ] = None,
    pairs: PairsOption = 500,
    device: Device = None,
) -> None:
    """How good are a checkpoint's swaps of people whom it was not trained on?

    Leaves OUT/pairs.parquet (a row for each pair), OUT/summary.json and OUT/index.html, whose pictures are watermarked.

    Example: simswap evaluate --checkpoint runs/tiny/checkpoints/000000020000.safetensors --data curated/x --out judged
    """
    from curate.faces.models import check_device
    from train.judge.evaluate import Request, describe
    from train.judge.evaluate import evaluate as judge_swaps

    request = Request(checkpoint, data, out, check_device(device), baseline, judge, embedder, pairs)
    print("\n".join(describe(judge_swaps(request, _line))))
    print(f"page: {out / 'index.html'}")


def ablate(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for the trainings and the tables.")],
    recipes: Annotated[
        str, typer.Option(help="Recipes or TOML files, by commas; A and T are told against the first.")
    ] = "baseline",
    policies: Annotated[
        str,
        typer.Option(help="Policies or TOML files, by commas, that decide the data anew. Default: as it was decided."),
    ] = "",
    images: Annotated[int, typer.Option(min=1, help="Images that each arm is trained on.")] = 20_000,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each arm.")] = 1,
    held_out: Annotated[float, typer.Option(min=0.001, max=0.9, help="Share of the people who are judged on.")] = 0.1,
    batch: Annotated[int | None, typer.Option(min=1, help="Images of an update. Default: the recipe's.")] = None,
    judge: JudgeOption = None,
    pairs: PairsOption = 500,
    device: Device = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads that decode. Default: one a core.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list the trainings, with rough estimates of memory and time.")
    ] = False,
) -> None:
    """Train recipes, and policies of the data, from the same seed and compare them as the founding report did.

    Leaves OUT/table.md, OUT/table.parquet, OUT/arms.parquet and OUT/plot.svg. Nothing is written into the dataset.
    Stopped or killed, it continues when the same command is run again: finished arms are not trained again.

    Example: simswap ablate --data curated/x --recipes tiny --policies keep-all,default --images 20000 --out ablation
    """
    import tempfile

    from curate.faces.models import check_device
    from train.ablate.ablate import Request, arms_of, describe, views_of
    from train.ablate.ablate import ablate as train_arms
    from train.ablate.table import write_tables

    with tempfile.TemporaryDirectory() as scratch:
        # A dry run counts photos in views of its own, elsewhere.
        views = views_of(data, _listed(policies), Path(scratch) if dry_run else out / "views")
        arms = arms_of(_listed(recipes), views, images, seeds, held_out, batch)
        request = Request(out, arms, list(views.values()), check_device(device), judge, pairs, workers)
        if dry_run:
            print("\n".join(describe(request)))
            return
        finished = train_arms(request, _line)
    print("\n".join(write_tables(out, finished)))
    print(f"tables: {out / 'table.md'}, {out / 'plot.svg'}")


def _listed(text: str) -> list[str]:
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _line(text: str) -> None:
    print(text, flush=True)
