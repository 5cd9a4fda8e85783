"""`simswap evaluate`, `simswap pairs` and `simswap ablate`: parse options, call the library, print.

Heavy modules are imported inside the commands.
"""

from pathlib import Path
from typing import Annotated

import typer

from curate.commands.options import Device, local_path
from curate.commands.progress import ProgressBar

Data = Annotated[Path, typer.Option(help="A curated dataset: the --out of `curate clean` or `curate merge`.")]
_JUDGE_HELP = (
    "Embedder that judges: builtin, buffalo_l, buffalo_s or a checkpoint file. Default: the first on this machine that "
    "no generator was trained against."
)
_ABLATE_OPTIONS = {"images": "--images", "seed": "--seeds", "held_out": "--held-out", "batch": "--batch"}
"""Keys of a recipe that have an option of their own."""

PairsOption = Annotated[
    int, typer.Option(min=2, help="Maximum number of pairs of two people, and of pairs of two photos of a person.")
]


def evaluate(
    checkpoint: Annotated[
        list[str],
        typer.Option(
            help="Checkpoint of `simswap fit` (.safetensors), generator of `simswap export` (.onnx), or TOML file that "
            "describes another program's ONNX generator; NAME=FILE names it in the results; repeatable."
        ),
    ],
    data: Data,
    out: Annotated[Path, typer.Option(callback=local_path, help="Folder of the results.")],
    protocol: Annotated[
        Path | None,
        typer.Option(
            help="Judge on the swaps of this file of `simswap pairs`; adds the target, its blends with the source, and "
            "the plot of both. Default: a sample of people whom no checkpoint was trained on."
        ),
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="Checkpoint to compare with on the same pairs; adds A to the results.")
    ] = None,
    judge: Annotated[
        list[str] | None, typer.Option(help=f"{_JUDGE_HELP} Repeatable; plots and A are by the first.")
    ] = None,
    embedder: Annotated[
        str | None,
        typer.Option(help="Embedder that the checkpoints were trained with, where it is not found by its id."),
    ] = None,
    pairs: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Without --protocol: maximum number of pairs of two people, and of pairs of two photos of a person. "
            "Default: 500.",
        ),
    ] = None,
    device: Device = None,
) -> None:
    """Score the swaps of one or more generators on people that they were not trained on.

    Writes OUT/pairs.parquet (one row per pair), OUT/summary.json, OUT/summary.csv and OUT/index.html, whose pictures
    are watermarked, and with --protocol OUT/frontier.svg.

    Example: simswap evaluate --checkpoint runs/tiny/checkpoints/000000020000.safetensors --data curated/x --out judged
    """
    from train.judge.names import name_candidates

    if protocol is not None and pairs is not None:
        raise typer.BadParameter("--pairs has no effect with --protocol, which lists the pairs: leave one of them out")
    candidates = name_candidates(checkpoint)

    from curate.faces.models import check_device
    from train.judge.evaluate import PAGE, JudgeRequest, plan, run
    from train.judge.report import describe

    request = JudgeRequest(
        candidates=candidates,
        data=data,
        out=out,
        device=check_device(device),
        baseline=baseline,
        judges=judge or (),
        embedder=embedder,
        pairs=pairs or 500,
        protocol=protocol,
    )
    print("\n".join(describe(run(plan(request), ProgressBar()))))
    print(f"page: {out / PAGE}")


def pairs(
    data: Annotated[Path, typer.Argument(help="A curated dataset: the --out of `curate clean` or `curate merge`.")],
    out: Annotated[Path, typer.Option(callback=local_path, help="TOML file to write; it must not exist.")],
    pairs: PairsOption = 500,
    held_out: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=1,
            help="Share of the people who are swapped, those whom a recipe with the same held_out, or a larger one, "
            "does not train on. Default: 0.05, that of recipes.",
        ),
    ] = None,
    people: Annotated[
        str | None,
        typer.Option(help="In place of --held-out, for recipe people: names of those who are swapped, with commas."),
    ] = None,
    held_out_photos: Annotated[
        float | None,
        typer.Option(min=0.001, max=1, help="With --people: share of their photos that are swapped. Default: 0.1."),
    ] = None,
    gallery_people: Annotated[
        int, typer.Option(min=0, help="People in the gallery, if more than are held out. Default: those held out.")
    ] = 0,
    sources: Annotated[int, typer.Option(min=1, max=50, help="Photos of the source person in each swap.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the pairs.")] = 0,
    size: Annotated[
        int | None,
        typer.Option(
            min=32, max=1024, help="Side of the crops on which swaps are measured, px. Default: that of the dataset."
        ),
    ] = None,
) -> None:
    """Write a list of swaps on which generators are judged, and the gallery of their retrieval.

    The file names photos by their paths and holds a hash of them, so that published numbers can be taken again by
    anyone who has the photos.

    Example: simswap pairs curated/x --held-out 0.05 --out protocol.toml
    """
    from train.judge.protocol import ProtocolRequest, make_protocol
    from train.networks.people import parse_people

    names = parse_people(people or "")
    if names and (held_out is not None or gallery_people):
        raise typer.BadParameter("--held-out and --gallery-people have no effect with --people: leave them out")
    if not names and held_out_photos is not None:
        raise typer.BadParameter("--held-out-photos has no effect without --people: name people, or use --held-out")
    request = ProtocolRequest(
        data=data,
        out=out,
        pairs=pairs,
        held_out=held_out or ProtocolRequest.held_out,
        people=names,
        held_out_photos=held_out_photos or ProtocolRequest.held_out_photos,
        gallery_people=gallery_people,
        sources=sources,
        seed=seed,
        size=size,
    )
    pair_set = make_protocol(request)
    counts = ", ".join(
        f"{len(part):,} of {'two people' if part.kind == 'cross' else 'one person'}" for part in pair_set.all
    )
    gallery = pair_set.faces.take(pair_set.gallery)
    print(f"{out}: {counts}; gallery of {len(gallery):,} photos of {len(gallery.people):,} people")


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
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="KEY=VALUE: another key of every recipe, for example size=128; repeatable."),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, help="Trainings at a time. They share the cores, and the GPUs are given out in turn.")
    ] = 1,
    judge: Annotated[str | None, typer.Option(help=_JUDGE_HELP)] = None,
    pairs: PairsOption = 500,
    device: Device = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Decoding threads of a training. Default: its share of the cores, at most 16."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the trainings with rough estimates of memory and time, and stop.")
    ] = False,
) -> None:
    """Train recipes, and policies of the data, from the same seeds, and compare them.

    Writes OUT/table.md, OUT/table.parquet, OUT/arms.parquet and OUT/plot.svg; nothing is written into the dataset. A
    run that was stopped or killed continues when the same command is run again; finished arms are not trained again.
    Ctrl-C and SIGTERM write a checkpoint of the current step of each training; one that was killed continues after its
    last checkpoint, of which there is one every tenth of its images at least.

    Example: simswap ablate --data curated/x --recipes tiny --policies keep-all,default --images 20000 --out ablation
    """
    import tempfile

    from curate.faces.models import check_device
    from train.ablate.ablate import AblateRequest, plan, run
    from train.ablate.arms import make_arms, make_views
    from train.ablate.estimate import describe
    from train.ablate.table import MARKDOWN, PLOT, write_tables
    from train.interrupt import stop_after_step
    from train.settings import parse_settings

    changes = parse_settings(settings or [])
    if taken := sorted(_ABLATE_OPTIONS.keys() & changes.keys()):
        raise typer.BadParameter(f"--set {taken[0]}=...: give {_ABLATE_OPTIONS[taken[0]]} instead")
    with tempfile.TemporaryDirectory() as scratch:
        # A dry run writes its views elsewhere.
        views = make_views(data, _split(policies), Path(scratch) if dry_run else out / "views")
        request = AblateRequest(
            out=out,
            arms=make_arms(_split(recipes), views, images, seeds, held_out, batch, changes),
            judged_on=list(views.values()),
            device=check_device(device),
            judge=judge,
            pairs=pairs,
            workers=workers,
            jobs=jobs,
        )
        planned = plan(request)
        if dry_run:
            print("\n".join(describe(planned)))
            return
        listener = ProgressBar()
        warning = "each training finishes its current step and its checkpoint; Ctrl-C again stops at once"
        result = run(planned, listener, lambda: stop_after_step(lambda: listener.note(warning)))
    print("\n".join(write_tables(out, result)))
    print(f"tables: {out / MARKDOWN}, {out / PLOT}")


def _split(names: str) -> list[str]:
    """The names between commas, without repetitions."""
    return list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
