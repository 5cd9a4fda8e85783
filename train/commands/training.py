"""`simswap fit`: options in, lines out. Heavy things are imported when needed."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.commands.options import Device

if TYPE_CHECKING:
    from train.loop import Status


class Precision(StrEnum):
    """What G and D compute in."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


_BFLOAT16 = {Precision.AUTO: None, Precision.FLOAT32: False, Precision.BFLOAT16: True}


def fit(
    data: Annotated[Path, typer.Option(help="A curated dataset: the --out of `curate clean` or `curate merge`.")],
    recipe: Annotated[
        str, typer.Option(help="A recipe's name (baseline, seg-mask, tiny, ...) or a TOML file.")
    ] = "baseline",
    out: Annotated[Path | None, typer.Option(help="The run's folder. Default: runs/RECIPE.")] = None,
    images: Annotated[int | None, typer.Option(min=1, help="Images to train on in all. Default: the recipe's.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Images of an update. Default: the recipe's.")] = None,
    accumulate: Annotated[
        int | None,
        typer.Option(min=1, help="Parts that a batch is computed in. Default: the recipe's."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of everything random. Default: the recipe's.")] = None,
    embedder: Annotated[
        str | None,
        typer.Option(help="dataset, auto, builtin, buffalo_l, buffalo_s or a checkpoint. Default: the recipe's."),
    ] = None,
    device: Device = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads that decode. Default: one a core.")] = None,
    compile: Annotated[
        bool,
        typer.Option(
            "--compile", help="torch.compile for both networks (of diffusion, D): slow to start, then faster."
        ),
    ] = False,
    precision: Annotated[
        Precision,
        typer.Option(
            help="auto: bfloat16 on a GPU, float32 on a CPU. On a CPU, bfloat16 pays only where it is in the hardware "
            "(AMX, AVX512-BF16); elsewhere it is slower."
        ),
    ] = Precision.AUTO,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="CPU only: the same numbers in every run with as many threads.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be trained: recipe, data, parameters, memory.")
    ] = False,
) -> None:
    """Train a generator; stopped or killed, it continues when the same command is run again.

    Leaves OUT/log.jsonl, TensorBoard events (where tensorboard is installed), OUT/samples and OUT/checkpoints.

    Several GPUs: torchrun --nproc-per-node 4 -m train.cli fit ...; each takes its share of the batch.

    Example: simswap fit --data curated/vggface2 --recipe seg-mask
    """
    from train.config import load_recipe

    # A wrong recipe is said before anything slow is loaded.
    chosen = load_recipe(recipe, images=images, batch=batch, accumulate=accumulate, seed=seed, embedder=embedder)

    from curate.faces.models import check_device
    from train.fit import Request, describe, plan
    from train.fit import fit as train
    from train.processes import joined, shared

    folder = out or Path("runs") / Path(recipe).stem
    with joined(check_device(device)) as processes:
        on = str(processes.device)
        with processes.first_then_others():
            request = Request(
                data, shared(chosen, processes.count), folder, on, workers, deterministic, compile, _BFLOAT16[precision]
            )
            planned = plan(request)

        def say(line: str) -> None:
            if processes.first:
                print(line, flush=True)

        if dry_run:
            say("\n".join(describe(planned)))
            return
        where = on if processes.count == 1 else f"{processes.count} processes, the first on {on}"
        say(f"{recipe}, on {where}, embedder {planned.embedder.name}, from {data} to {folder}")
        last = train(planned, say, _say, processes)
        say(f"checkpoint: {last}")
        say(f"samples:    {folder / 'samples'}")


def _say(status: "Status") -> None:
    losses = "  ".join(f"{name} {value:.3f}" for name, value in status.losses.items())
    share, memory = status.images / status.total, status.memory_bytes / 2**30
    speed = f"{status.images_per_second:7.1f} images/s"
    print(f"{status.images:>10,} images {share:>4.0%}  {speed}  {memory:.1f} GiB  {losses}", flush=True)
