"""`simswap swap` and `simswap export`: options in, lines and errors out. Heavy things are imported when needed."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.commands.options import Device
from curate.commands.progress import Bar
from curate.program import Interrupted

if TYPE_CHECKING:
    from train.swap.album import Outcome
    from train.swap.job import Job


class Label(StrEnum):
    """Language of the visible label."""

    both = "both"
    zh = "zh"
    en = "en"
    none = "none"


class Corner(StrEnum):
    """Where the visible label stands."""

    bottom_right = "bottom-right"
    bottom_left = "bottom-left"
    top_right = "top-right"
    top_left = "top-left"


class Part(StrEnum):
    """What of a face is replaced."""

    face = "face"
    face_hair = "face_hair"


def swap(
    checkpoint: Annotated[Path, typer.Option(help="A checkpoint of `simswap fit`.")],
    source: Annotated[
        list[Path],
        typer.Option(help="Photo of the person whose identity is put on, or a folder of such; repeatable: averaged."),
    ],
    target: Annotated[Path, typer.Option(help="A photo, a folder of photos at any depth, or a video.")],
    out: Annotated[Path, typer.Option(help="Folder for the results; nothing in it is ever overwritten.")],
    source_face: Annotated[
        int | None, typer.Option(min=1, help="Of a source photo with several faces: which, from the left.")
    ] = None,
    only: Annotated[Path | None, typer.Option(help="Swap only the person on this photo. Default: every face.")] = None,
    exclude: Annotated[
        list[Path] | None,
        typer.Option(help="Folder or curated dataset of people who are refused as source and target; repeatable."),
    ] = None,
    mask: Annotated[Part, typer.Option(help="What of a face is replaced.")] = Part.face,
    label: Annotated[
        Label, typer.Option(help="Visible label. Watermark, metadata and credentials are written in any case.")
    ] = Label.both,
    corner: Annotated[Corner, typer.Option(help="Where the visible label stands.")] = Corner.bottom_right,
    mark_id: Annotated[
        str | None, typer.Option(help="ID in every mark, up to 8 hexadecimal digits. Default: OUT's, else a new one.")
    ] = None,
    producer: Annotated[str, typer.Option(help="Who made the result, for the metadata.")] = "swapset",
    certificate: Annotated[
        Path | None, typer.Option(help="PEM chain that signs the credentials. Default: an own one.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="PEM private key of --certificate.")] = None,
    models: Annotated[str, typer.Option(help="Face detector: auto, builtin, buffalo_l or buffalo_s.")] = "auto",
    embedder: Annotated[
        Path | None, typer.Option(help="File of the checkpoint's face embedder, where it is none of these.")
    ] = None,
    detection: Annotated[
        str, typer.Option(help="Built-in detector: full finds every face, coarse is faster.")
    ] = "full",
    device: Device = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads that decode and encode. Default: one a core.")
    ] = None,
) -> None:
    """Put a person's face on those of a photo, a folder of photos or a video; every result is marked as AI-made.

    Photos keep format, size and orientation (what cannot carry the marks, BMP say, becomes PNG), videos their sound
    and timing. OUT/report.csv says what became of each photo; the same command again goes on where it stopped. Ctrl-C
    in a video finishes a shorter one, NAME.until-SECONDSs.SUFFIX.

    Example: simswap swap --checkpoint runs/seg-mask/checkpoints/000008000000.safetensors --source anna.jpg --target
    holiday --out swapped
    """
    from curate.faces.models import check_device
    from train.swap.job import Request, prepare

    request = Request(
        checkpoint=checkpoint,
        sources=tuple(source),
        target=target,
        out=out,
        device=check_device(device),
        source_face=source_face,
        only=only,
        exclude=tuple(exclude or ()),
        models=models,
        embedder=embedder,
        detection=detection,
        mask=mask.value,
        label=label.value,
        corner=corner.value,
        producer=producer,
        certificate=certificate,
        key=key,
        mark_id=_number(mark_id),
        threads=workers or _cores(),
    )
    job = prepare(request, Bar())
    record = job.record
    print(f"{checkpoint.name} on {request.device}, source: {len(job.source.photos)} photo(s); mark ID {record.mark_id}")
    if job.video:
        _swap_video(job)
    else:
        _swap_photos(job)


def _swap_photos(job: "Job") -> None:
    from train.errors import TargetError
    from train.swap.album import REPORT
    from train.swap.job import swap_photos
    from train.swap.stopping import gently

    out = job.request.out
    for ending, count in sorted(job.ignored.items()):
        print(f"passed over: {count} file(s) {ending or 'without a suffix'}")
    bar = Bar()
    bar.start("swapping", len(job.targets))

    def tell(outcome: "Outcome") -> None:
        bar.tick(1)
        notes = [part for part in (outcome.reason, outcome.notes) if part]
        if notes:
            bar.write(f"{outcome.path}: {outcome.status}: {'; '.join(notes)}")

    try:
        with gently(lambda: bar.write("stopping after the photos in work; Ctrl-C again stops at once")) as stop:
            counts = swap_photos(job, tell, stop)
    finally:
        bar.finish()
    words = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    print(f"{words}; see {out / REPORT}")
    if sum(counts.values()) < len(job.targets):
        raise Interrupted
    missing = counts.get("failed", 0) + counts.get("refused", 0)
    if missing:
        raise TargetError(f"{missing} of {len(job.targets)} photos were not swapped: {out / REPORT} says why")


def _swap_video(job: "Job") -> None:
    from train.swap.job import swap_clip
    from train.swap.stopping import gently

    bar = Bar(" frames")
    bar.start("swapping", None)
    try:
        with gently(lambda: bar.write("finishing the video up to here; Ctrl-C again stops at once")) as stop:
            clip = swap_clip(job, bar.reach, stop)
    finally:
        bar.finish()
    print(f"{clip.frames} frames, {clip.seconds:.1f} s, a face swapped in {clip.with_face} of them")
    if clip.damaged:
        print(f"{clip.damaged} damaged place(s) of the video were passed over")
    for note in clip.notes:
        print(note)
    print(clip.output)
    if clip.stopped:
        raise Interrupted


def export(
    checkpoint: Annotated[Path, typer.Option(help="A checkpoint of `simswap fit`.")],
    out: Annotated[Path, typer.Option(help="The ONNX file; it must not exist yet.")],
) -> None:
    """Write a checkpoint's generator as ONNX: target crop and latent in, swapped crop out, RGB in [0, 1].

    The file's metadata says which crops and latents it wants (size, template, embedder, centre). What it makes
    carries no marks: whoever uses it outside of `simswap swap` has to mark the results.

    Example: simswap export --checkpoint runs/tiny/checkpoints/000000020000.safetensors --out generator.onnx
    """
    from train.swap.export import export_generator

    size = export_generator(checkpoint, out)
    print(f"{out}: {size / 1e6:.1f} MB")


def _number(text: str | None) -> int | None:
    """A mark ID as it is typed: what `simswap verify` shows."""
    if text is None:
        return None
    digits = text.removeprefix("0x")
    if not 1 <= len(digits) <= 8 or not set(digits.lower()) <= set("0123456789abcdef"):
        raise typer.BadParameter(f"--mark-id {text}: give up to 8 hexadecimal digits, as `simswap verify` shows them")
    return int(digits, 16)


def _cores() -> int:
    import os

    return min(16, len(os.sched_getaffinity(0)))
