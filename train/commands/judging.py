"""`simswap evaluate` and `simswap ablate`: parse options, call the library, print.

Heavy modules are imported inside the commands.
"""

from pathlib import Path
from typing import Annotated

import typer

from curate.commands.options import Device, local_path
from curate.commands.progress import ProgressBar

Data = Annotated[Path, typer.Option(help="A curated dataset: the --out of `curate clean` or `curate merge`.")]
JudgeOption = Annotated[
    str | None,
    typer.Option(
        help="Embedder that judges: builtin, buffalo_l, buffalo_s or a checkpoint file. Default: the first on this "
        "machine that no generator was trained against."
    ),
]
PairsOption = Annotated[
    int, typer.Option(min=2, help="Maximum number of pairs of two people, and of pairs of two photos of a person.")
]


def evaluate(
    checkpoint: Annotated[Path, typer.Option(help="Checkpoint of `simswap fit`: RUN/checkpoints/....safetensors.")],
    data: Data,
    out: Annotated[Path, typer.Option(callback=local_path, help="Folder of the results.")],
    baseline: Annotated[
        Path | None, typer.Option(help="Checkpoint to compare with on the same pairs; adds A to the results.")
    ] = None,
    judge: JudgeOption = None,
    embedder: Annotated[
        str | None,
        typer.Option(help="Embedder that the checkpoints were trained with, where it is not found by its id."),
    ] = None,
    pairs: PairsOption = 500,
    device: Device = None,
) -> None:
    """Score a checkpoint's swaps of people that it was not trained on.

    Writes OUT/pairs.parquet (one row per pair), OUT/summary.json and OUT/index.html, whose pictures are watermarked.

    Example: simswap evaluate --checkpoint runs/tiny/checkpoints/000000020000.safetensors --data curated/x --out judged
    """
    from curate.faces.models import check_device
    from train.judge.evaluate import PAGE, JudgeRequest, plan, run
    from train.judge.summary import describe

    request = JudgeRequest(
        checkpoint=checkpoint,
        data=data,
        out=out,
        device=check_device(device),
        baseline=baseline,
        judge=judge,
        embedder=embedder,
        pairs=pairs,
    )
    print("\n".join(describe(run(plan(request), ProgressBar()))))
    print(f"page: {out / PAGE}")


def ablate(
    data: Data,
    out: Annotated[Path, typer.Option(callback=local_path, help="Folder of the trainings and the tables.")],
    recipes: Annotated[
        str,
        typer.Option(help="Recipes or TOML files, separated by commas; A and T are relative to the first."),
    ] = "baseline",
    policies: Annotated[
        str,
        typer.Option(
            help="Policies or TOML files, separated by commas; the dataset is decided by each. Default: its current "
            "verdicts."
        ),
    ] = "",
    images: Annotated[int, typer.Option(min=1, help="Number of images that each arm is trained on.")] = 20_000,
    seeds: Annotated[int, typer.Option(min=1, help="Number of trainings of each arm.")] = 1,
    held_out: Annotated[
        float, typer.Option(min=0.001, max=0.9, help="Share of the people held out of every training, to judge on.")
    ] = 0.1,
    batch: Annotated[int | None, typer.Option(min=1, help="Images of an update. Default: the recipe's.")] = None,
    judge: JudgeOption = None,
    pairs: PairsOption = 500,
    device: Device = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Decoding threads. Default: one per core, at most 16.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the trainings with rough estimates of memory and time, and stop.")
    ] = False,
) -> None:
    """Train recipes, and policies of the data, from the same seeds, and compare them.

    Writes OUT/table.md, OUT/table.parquet, OUT/arms.parquet and OUT/plot.svg; nothing is written into the dataset. A
    run that was stopped or killed continues when the same command is run again; finished arms are not trained again.

    Example: simswap ablate --data curated/x --recipes tiny --policies keep-all,default --images 20000 --out ablation
    """
    import tempfile

    from curate.faces.models import check_device
    from train.ablate.ablate import AblateRequest, plan, run
    from train.ablate.arms import make_arms, make_views
    from train.ablate.estimate import describe
    from train.ablate.table import MARKDOWN, PLOT, write_tables

    with tempfile.TemporaryDirectory() as scratch:
        # A dry run writes its views elsewhere.
        views = make_views(data, _split(policies), Path(scratch) if dry_run else out / "views")
        request = AblateRequest(
            out=out,
            arms=make_arms(_split(recipes), views, images, seeds, held_out, batch),
            judged_on=list(views.values()),
            device=check_device(device),
            judge=judge,
            pairs=pairs,
            workers=workers,
        )
        planned = plan(request)
        if dry_run:
            print("\n".join(describe(planned)))
            return
        result = run(planned, ProgressBar())
    print("\n".join(write_tables(out, result)))
    print(f"tables: {out / MARKDOWN}, {out / PLOT}")


def _split(names: str) -> list[str]:
    """The names between commas, without repetitions."""
    return list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
