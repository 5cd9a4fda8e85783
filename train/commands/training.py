"""`simswap fit`: parses options, calls `train.fit`, prints. Heavy modules are imported inside the command."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from curate.commands.options import Device, local_path
from curate.commands.progress import ProgressBar
from curate.listener import SILENT
from curate.program import Interrupted


class Precision(StrEnum):
    """Number format of G and D."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


_BFLOAT16 = {Precision.AUTO: None, Precision.FLOAT32: False, Precision.BFLOAT16: True}


def fit(
    data: Annotated[Path, typer.Option(help="A curated dataset: the --out of `curate clean` or `curate merge`.")],
    recipe: Annotated[
        str, typer.Option(help="Name of a recipe (baseline, seg-mask, tiny, ...) or a TOML file.")
    ] = "baseline",
    people: Annotated[
        str | None,
        typer.Option(
            help="Recipe people: names to train on, separated by commas. Default: everyone with at least 20 photos."
        ),
    ] = None,
    selection: Annotated[
        Path | None,
        typer.Option(
            help="Train on these photos only: selection.csv of `curate select`, or one image_id a line (.txt)."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(callback=local_path, help="Folder of the run. Default: runs/RECIPE.")
    ] = None,
    images: Annotated[
        int | None, typer.Option(min=1, help="Number of images to train on in all. Default: the recipe's.")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Images of an update. Default: the recipe's.")] = None,
    accumulate: Annotated[
        int | None,
        typer.Option(min=1, help="Parts in which a batch is computed, to save memory. Default: the recipe's."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of all random numbers. Default: the recipe's.")] = None,
    size: Annotated[int | None, typer.Option(min=32, help="Side of the crops in px. Default: the recipe's.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="KEY=VALUE: another key of the recipe, for example mask=face; repeatable."),
    ] = None,
    embedder: Annotated[
        str | None,
        typer.Option(
            help="dataset, auto, builtin, buffalo_l, buffalo_s, simswap-arcface or a file. Default: the recipe's."
        ),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(
            help="Checkpoint of a larger generator whose swaps and features are learned too (distillation). Default: "
            "none."
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(help="Checkpoint whose generator a new training starts from (fine-tuning). Default: random."),
    ] = None,
    device: Device = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Decoding threads. Default: one per core, at most 16.")
    ] = None,
    compile: Annotated[
        bool,
        typer.Option(
            "--compile",
            help="Compile both networks (of diffusion, D only) with torch.compile: slow to start, then faster.",
        ),
    ] = False,
    precision: Annotated[
        Precision,
        typer.Option(
            help="auto: bfloat16 on a GPU, float32 on a CPU. On a CPU, bfloat16 is faster only with hardware support "
            "(AMX, AVX512-BF16)."
        ),
    ] = Precision.AUTO,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="CPU only: the same numbers in every run with as many threads.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print recipe, data, parameters and memory, and stop.")
    ] = False,
) -> None:
    """Train a generator. A run that was stopped or killed continues when the same command is run again.

    Ctrl-C ends it after the current step, with a checkpoint; a second Ctrl-C at once.

    Writes OUT/log.jsonl, TensorBoard events (if tensorboard is installed), OUT/samples and OUT/checkpoints.

    Several GPUs: torchrun --nproc-per-node 4 -m train.cli fit ...; each takes its share of the batch. After Ctrl-C,
    torchrun waits 30 seconds for the step and its checkpoint (torchrun --shutdown-timeout).

    Example: simswap fit --data curated/vggface2 --recipe seg-mask
    """
    from train.config import load_recipe
    from train.settings import parse_settings

    # Before anything slow is imported, so that a wrong recipe is refused at once.
    options = {
        "images": images,
        "batch": batch,
        "accumulate": accumulate,
        "seed": seed,
        "size": size,
        "embedder": embedder,
        "people": people,
        "teacher": None if teacher is None else str(teacher),
    }
    given = {key: value for key, value in options.items() if value is not None}
    changes = parse_settings(settings or [])
    if twice := sorted(given.keys() & changes.keys()):
        raise typer.BadParameter(f"--set {twice[0]}=... and --{twice[0]}: give one of them")
    loaded = load_recipe(recipe, **given | changes)

    from curate.faces.models import check_device
    from train.fit import FitRequest, describe, plan, run
    from train.interrupt import DeferredInterrupt, deferred_interrupt
    from train.processes import divide_batch, join_processes

    folder = out or Path("runs") / Path(recipe).stem
    with join_processes(check_device(device)) as processes:
        device_name = str(processes.device)
        listener = ProgressBar() if processes.first else SILENT
        with processes.first_then_others():
            request = FitRequest(
                data=data,
                recipe=divide_batch(loaded, processes.count),
                out=folder,
                device=device_name,
                workers=workers,
                deterministic=deterministic,
                compile=compile,
                bfloat16=_BFLOAT16[precision],
                start=start,
                selection=selection,
            )
            planned = plan(request)
        if dry_run:
            listener.note("\n".join(describe(planned)))
            return
        where = device_name if processes.count == 1 else f"{processes.count} processes, the first on {device_name}"
        listener.note(f"{recipe}, on {where}, embedder {planned.embedder.name}, from {data} to {folder}")
        interrupts: list[DeferredInterrupt] = []

        @contextmanager
        def interruptible() -> Iterator[DeferredInterrupt]:
            warning = "finishing the current step and its checkpoint; Ctrl-C again stops at once"
            with deferred_interrupt(lambda: listener.note(warning)) as interrupted:
                interrupts.append(interrupted)
                yield interrupted

        checkpoint = run(planned, listener, processes, interruptible)
        listener.note(f"checkpoint: {checkpoint}")
        signal = processes.maximum(interrupts[0].number or 0)
        if not signal:
            listener.note(f"samples:    {folder / 'samples'}")
    if signal:  # after the processes have left their group
        raise Interrupted(signal)
