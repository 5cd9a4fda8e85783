"""`simswap swap` and `simswap export`: parse options, call the library, print. Heavy modules are imported inside."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.commands.options import Device, local_path
from curate.commands.progress import ProgressBar
from curate.counts import counted
from curate.program import Interrupted
from curate.threads import default_threads

if TYPE_CHECKING:
    from train.swap.run import SwappedPhotos
    from train.swap.video import SwappedVideo


class Label(StrEnum):
    """Language of the visible label."""

    both = "both"
    zh = "zh"
    en = "en"
    none = "none"


class Corner(StrEnum):
    """Corner of the visible label."""

    bottom_right = "bottom-right"
    bottom_left = "bottom-left"
    top_right = "top-right"
    top_left = "top-left"


class Part(StrEnum):
    """The part of a face that is replaced."""

    face = "face"
    face_hair = "face_hair"


def swap(
    target: Annotated[Path, typer.Option(help="Photo, video, or folder of photos (searched recursively).")],
    out: Annotated[
        Path, typer.Option(callback=local_path, help="Folder of the results. No other file in it is overwritten.")
    ],
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Checkpoint of `simswap fit`. Default: the demonstration generator, which swaps to a few people."
        ),
    ] = None,
    source: Annotated[
        list[Path] | None,
        typer.Option(
            help="Photo of the person whose identity is used, or a folder of photos of that person; repeatable. The "
            "embeddings of several photos are averaged."
        ),
    ] = None,
    person: Annotated[
        str | None,
        typer.Option(help="In place of --source: name of a person on whom recipe people was trained."),
    ] = None,
    source_face: Annotated[
        int | None,
        typer.Option(min=1, help="Which face of a source photo with several faces; 1 is the leftmost."),
    ] = None,
    only: Annotated[
        list[Path] | None,
        typer.Option(
            help="Photo of a person to swap, or folder of photos with one such person on each; repeatable. Default: "
            "every face is swapped."
        ),
    ] = None,
    exclude: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of photos, or curated dataset, of people refused as source and target; repeatable."),
    ] = None,
    mask: Annotated[Part, typer.Option(help="Part of a face that is replaced.")] = Part.face,
    strength: Annotated[
        float,
        typer.Option(
            min=0.05, max=1, help="Opacity of the swapped face. Less keeps more of the target's face, person included."
        ),
    ] = 1.0,
    label: Annotated[
        Label,
        typer.Option(help="Language of the visible label. Watermark, metadata and credentials are always written."),
    ] = Label.both,
    corner: Annotated[Corner, typer.Option(help="Corner of the visible label.")] = Corner.bottom_right,
    keep_location: Annotated[
        bool, typer.Option("--keep-location", help="Keep the GPS location of the target. Default: it is removed.")
    ] = False,
    mark_id: Annotated[
        str | None,
        typer.Option(help="ID in the marks, up to 8 hexadecimal digits. Default: that of OUT's results, or a new one."),
    ] = None,
    producer: Annotated[str, typer.Option(help="Producer of the results, for their metadata.")] = "swapset",
    certificate: Annotated[
        Path | None,
        typer.Option(help="PEM certificate chain that signs the credentials. Default: one created on this machine."),
    ] = None,
    key: Annotated[Path | None, typer.Option(help="PEM private key of --certificate.")] = None,
    tsa: Annotated[
        str | None,
        typer.Option(
            help="URL of a time stamp authority (RFC 3161), which then stamps the credentials. Default: no time stamp, "
            "and nothing is sent."
        ),
    ] = None,
    models: Annotated[str, typer.Option(help="Face detector: auto, builtin, buffalo_l or buffalo_s.")] = "auto",
    embedder: Annotated[
        Path | None, typer.Option(help="File of the checkpoint's face embedder, where it is not a known model.")
    ] = None,
    detection: Annotated[
        str, typer.Option(help="Built-in detector: full searches every scale, coarse is faster.")
    ] = "full",
    device: Device = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads that decode and encode. Default: one per core, at most 16.")
    ] = None,
) -> None:
    """Put a person's identity on the faces of a photo, a folder or a video; every result is marked as AI-made.

    Photos keep their size and orientation, and JPEG, PNG and WebP their format (all others become PNG); videos keep
    sound and timing. Thumbnails and, by default, GPS locations are removed. OUT/report.csv has one row per photo. The
    same command again continues a run. Ctrl-C in a video completes a shorter one, NAME.until-SECONDSs.SUFFIX.

    Example: simswap swap --checkpoint runs/seg-mask/checkpoints/000008000000.safetensors --source anna.jpg --target
    holiday --out swapped
    """
    import sys

    from curate.faces.models import check_device
    from train.demonstration.generator import LICENCE, demonstration_checkpoint, demonstration_people
    from train.interrupt import deferred_interrupt
    from train.swap.notice import first_use_notice
    from train.swap.plan import SwapRequest, plan
    from train.swap.run import ExistingVideo, SwappedPhotos, run

    if checkpoint is None:
        names = ", ".join(demonstration_people())
        if bool(source) == (person is not None):
            raise typer.BadParameter(f"give --person, one of {names}; or --source with a --checkpoint of your own")
        print(f"no --checkpoint: the demonstration generator ({LICENCE}), which swaps to {names}")
    elif bool(source) == (person is not None):
        raise typer.BadParameter("give either --source or --person")
    request = SwapRequest(
        checkpoint=checkpoint or demonstration_checkpoint(),
        sources=tuple(source or ()),
        target=target,
        out=out,
        device=check_device(device),
        person=person,
        source_face=source_face,
        only=tuple(only or ()),
        exclude=tuple(exclude or ()),
        models=models,
        embedder=embedder,
        detection=detection,
        mask=mask.value,
        strength=strength,
        label=label.value,
        corner=corner.value,
        producer=producer,
        certificate=certificate,
        key=key,
        tsa=tsa,
        keep_location=keep_location,
        mark_id=_parse_mark_id(mark_id),
        threads=workers or default_threads(),
    )
    listener = ProgressBar(notes=sys.stderr)
    notice = first_use_notice()
    if notice is not None:
        listener.note(notice)
    planned = plan(request, listener)
    identity = person or f"{len(planned.source.photos)} photo(s)"
    print(f"{request.checkpoint.name} on {request.device}, source: {identity}; mark ID {planned.record.mark_id}")
    for suffix, count in sorted(planned.ignored.items()):
        print(f"ignored: {count} file(s) {suffix or 'without a suffix'}")
    current = "the video up to the current frame" if planned.target_is_video else "the current photos"
    with deferred_interrupt(lambda: listener.note(f"finishing {current}; Ctrl-C again stops at once")) as interrupted:
        result = run(planned, listener, interrupted)
    if isinstance(result, SwappedPhotos):
        _report_photos(result, interrupted.number)
    elif isinstance(result, ExistingVideo):
        print(f"exists: {result.output}, of the same target and settings")
    else:
        _report_video(result, interrupted.number)


def _report_photos(result: "SwappedPhotos", signal: int | None) -> None:
    from train.errors import TargetError
    from train.swap.photos import count_by_status

    counts = count_by_status(result.outcomes)
    print(f"{', '.join(f'{count} {status}' for status, count in sorted(counts.items()))}; see {result.report}")
    if result.interrupted and signal is not None:
        raise Interrupted(signal)
    missing = counts["failed"] + counts["refused"]
    if missing:
        were = "was" if missing == 1 else "were"
        photos = counted(len(result.outcomes), "photo")
        raise TargetError(f"{missing:,} of {photos} {were} not swapped: {result.report} has the reasons")


def _report_video(result: "SwappedVideo", signal: int | None) -> None:
    print(f"{result.frames} frames, {result.seconds:.1f} s, a face swapped in {result.frames_with_face} of them")
    if result.damaged:
        print(f"{result.damaged} damaged packet(s) or frame(s) were skipped")
    for note in result.notes:
        print(note)
    print(result.output)
    if result.interrupted and signal is not None:
        raise Interrupted(signal)


def demo(
    out: Annotated[Path, typer.Option(callback=local_path, help="A new folder, or one of an earlier demo.")] = Path(
        "swap-demo"
    ),
    people: Annotated[
        str | None, typer.Option(help="People of the demonstration generator, separated by commas. Default: all.")
    ] = None,
    device: Device = None,
) -> None:
    """Swap photos that ship with the dependencies, mark the results, verify the marks, and show them on one page.

    The demonstration generator is for research use only. Nothing is downloaded.

    Example: simswap demo --out swap-demo
    """
    from curate.faces.models import check_device
    from train.demonstration.demo import run_demo
    from train.errors import MarkError
    from train.networks.people import parse_people

    result = run_demo(out, parse_people(people or ""), check_device(device), ProgressBar())
    count = sum(len(swaps) for swaps in result.swaps.values())
    print(f"{counted(count, 'photo')} swapped to {', '.join(result.people)}")
    if not result.all_marked:
        raise MarkError(f"a result is not verified as AI-made: see {result.page}")
    print(f"each is verified as AI-made; open {result.page}")


def export(
    checkpoint: Annotated[Path, typer.Option(help="Checkpoint of `simswap fit`.")],
    out: Annotated[Path, typer.Option(help="File to write, .onnx or .safetensors; it must not exist.")],
) -> None:
    """Write the generator of a checkpoint for other programs (ONNX), or as a small checkpoint for swaps (safetensors).

    ONNX: inputs target crop and latent, output swapped crop, RGB in [0, 1]. The metadata of the file describes the
    inputs (size, template, embedder, latent centre). Its outputs carry no marks: programs other than `simswap swap`
    must mark them themselves. Safetensors: the generator alone in half precision, for every command but fit.

    Example: simswap export --checkpoint runs/tiny/checkpoints/000000020000.safetensors --out generator.onnx
    """
    if out.suffix == ".safetensors":
        from train.swap.packing import pack_generator

        size = pack_generator(checkpoint, out)
    elif out.suffix == ".onnx":
        from train.swap.export import export_generator

        size = export_generator(checkpoint, out)
    else:
        raise typer.BadParameter(f"--out {out}: end it in .onnx or .safetensors")
    print(f"{out}: {size / 1e6:.1f} MB")


def _parse_mark_id(text: str | None) -> int | None:
    """Parse a mark ID as `simswap verify` shows it."""
    if text is None:
        return None
    digits = text.removeprefix("0x")
    if not 1 <= len(digits) <= 8 or not set(digits.lower()) <= set("0123456789abcdef"):
        raise typer.BadParameter(f"--mark-id {text}: give up to 8 hexadecimal digits, as `simswap verify` shows them")
    return int(digits, 16)
