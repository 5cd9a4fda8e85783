"""Selection of the networks: resolves options and ids, and identifies and loads the chosen networks.

A model is named "builtin", by its insightface pack ("buffalo_l", "buffalo_s"), "auto" (the first pack whose files are
in the model folder, else "builtin"; nothing is downloaded) or by the path of a checkpoint file; an embedder also
"simswap-arcface" (of the published SimSwap). Every failure is a ModelError. To add an embedder, add its entry to
`weights.py`, its network to `embedders/`, and its name to `_source` and `load_embedder`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from curate.errors import ModelError
from curate.faces.packs.insightface import PACKS, is_present, locate, pack_of
from curate.faces.weights import DLIB_RESNET, MOBILEFACENET, SIMSWAP_ARCFACE, Weights, embedder_id, file_sha256, place
from curate.faces.weights import locate as locate_weights
from manifests.layout import ChoiceRecord, DatasetInfo, EmbedderRecord, ModelsRecord

if TYPE_CHECKING:
    import torch

    from curate.faces.detectors.detector import Detector
    from curate.faces.embedder import Embedder
    from curate.faces.segment import Segmenter


@dataclass
class Models:
    """The loaded networks, all on one device."""

    detector: "Detector"
    embedder: "Embedder"
    segmenter: "Segmenter"
    device: "torch.device"


def resolve(models: str = "auto", embedder: Path | None = None, detection: str = "coarse") -> ChoiceRecord:
    """Resolve the options `--models`, `--embedder` and `--detection`.

    Raises ModelError for an unknown name, or a checkpoint that does not exist.
    """
    if models not in ("auto", "builtin", *PACKS):
        raise ModelError(f"--models {models}: unknown; choose auto, builtin, {' or '.join(PACKS)}")
    if detection not in ("coarse", "full"):
        raise ModelError(f"--detection {detection}: unknown; choose coarse or full")
    if embedder is not None and not embedder.is_file():
        raise ModelError(f"--embedder {embedder}: no such file")
    return ChoiceRecord(_resolve_auto(models), str(embedder.resolve()) if embedder else None, detection)


def describe(choice: ChoiceRecord) -> str:
    """The networks of a choice in one line."""
    embedder = f"checkpoint {choice.embedder}" if choice.embedder else f"{choice.pack} embedder"
    detector = "MTCNN" if choice.pack == "builtin" else "SCRFD"
    return f"{detector} detector, {embedder}, built-in DeepLabV3+ segmenter"


def identify(choice: ChoiceRecord) -> ModelsRecord:
    """Hash the files and settings of the chosen networks; no network of the package or of a pack is loaded.

    A checkpoint file that the user names is loaded once, so that a wrong file is refused before anything is written.
    Raises ModelError for missing or damaged files.
    """
    from curate.faces import segment

    if choice.pack in PACKS:
        from curate.faces.detectors.scrfd import ScrfdSettings

        detector = ScrfdSettings().fingerprint(locate(choice.pack)[0])
    else:
        from curate.faces.detectors.mtcnn import MtcnnSettings

        detector = MtcnnSettings("full" if choice.detection == "full" else "coarse").fingerprint()
    if choice.embedder:
        load_embedder(choice.embedder)
    weights, file = _source(choice.embedder or choice.pack)
    embedder = EmbedderRecord(embedder_id(weights, file_sha256(file)), weights.name)
    return ModelsRecord(embedder, detector, segment.fingerprint(), choice)


def load(choice: ChoiceRecord, device: str) -> Models:
    """Load the chosen networks on `device` ('cpu', 'cuda', 'cuda:1', ...). Raises ModelError."""
    import torch

    from curate.faces.segment import Segmenter

    if torch.device(device).type == "cuda":
        # Networks that need float32 would compute convolutions in TF32, whose mantissa is as short as float16's.
        torch.backends.cudnn.allow_tf32 = False
    embedder = load_embedder(choice.embedder or choice.pack, device)
    return Models(load_detector(choice, device), embedder, Segmenter.load(device), torch.device(device))


def load_detector(choice: ChoiceRecord, device: str, max_faces: int = 4) -> "Detector":
    """Load the pack's SCRFD, or the built-in MTCNN. `max_faces`: faces returned for one photo. Raises ModelError."""
    if choice.pack in PACKS:
        from curate.faces.packs.networks import load_scrfd

        return load_scrfd(choice.pack, device, max_faces)
    from curate.faces.detectors.mtcnn import Mtcnn, MtcnnSettings

    return Mtcnn(device, MtcnnSettings("full" if choice.detection == "full" else "coarse", max_faces))


def load_embedder(name: str | Path, device: "str | torch.device" = "cpu") -> "Embedder":
    """Load the embedder of that name, in eval mode: "auto", "builtin", a pack, or a MobileFaceNet checkpoint file.

    Raises ModelError for an unknown name, and for a file that is missing or does not load strictly.
    """
    name = _resolve_auto(name)
    if name in PACKS:
        from curate.faces.packs.networks import load_arcface

        return load_arcface(str(name), device)
    if name == "builtin":
        from curate.faces.embedders.dlib_resnet import load_dlib_resnet

        return load_dlib_resnet().to(device)
    if name == SIMSWAP_ARCFACE.name:
        from curate.faces.embedders.arcface_resnet import load_arcface_resnet

        return load_arcface_resnet(_source(name)[1]).to(device)
    from curate.faces.embedders.mobilefacenet import load_mobilefacenet

    return load_mobilefacenet(_checkpoint(name)).to(device)


def embedder_ids(names: Iterable[str | Path]) -> dict[str, str]:
    """Names or checkpoint files -> the `embedder_id` of those that are on this machine, in order; none is loaded."""
    ids = {}
    for name in names:
        try:
            weights, file = _source(name)
        except ModelError:
            continue
        ids[str(name)] = embedder_id(weights, file_sha256(file))
    return ids


def embedder_file(name: str | Path) -> Path:
    """File of the embedder of that name, or the checkpoint file itself. Raises ModelError where there is none."""
    return _source(name)[1]


def find_embedder(
    required_id: str,
    needed_by: str,
    device: "str | torch.device" = "cpu",
    name: str | Path | None = None,
    hints: Iterable[str | Path] = (),
) -> "Embedder":
    """Load the embedder with a given id; files are compared by their hash.

    Args:
        required_id: the `embedder_id`.
        needed_by: what needs it, for the error message.
        device: where it is loaded.
        name: name or checkpoint file given by the user; None searches `hints`, the built-in embedder and the packs.
        hints: names or files to search first, such as those of `embedders_of`.

    Raises:
        ModelError: none of them has the id; the message lists the ids that were found.
    """
    if name is not None:
        _source(name)  # raises for an unknown name or a missing file
    ids = embedder_ids([name] if name is not None else [*hints, "builtin", *PACKS, SIMSWAP_ARCFACE.name])
    for candidate, candidate_id in ids.items():
        if candidate_id == required_id:
            return load_embedder(candidate, device)
    others = ", ".join(f"{candidate} is {candidate_id}" for candidate, candidate_id in ids.items())
    advice = "name the one that it was made with" if name else "name its file with --embedder, or fetch its pack"
    raise ModelError(
        f"{needed_by} needs embedder {required_id}, and {others}: embeddings of different embedders cannot be "
        f"compared; {advice}"
    )


def embedders_of(info: DatasetInfo) -> list[str]:
    """Name or checkpoint file of the embedder that a dataset was measured with; empty for a merged dataset."""
    choice = info.models.choice
    return [choice.embedder or choice.pack] if choice else []


def check_device(name: str | None) -> str:
    """Resolve `--device` to the name of a torch device; None selects 'cuda' if there is one.

    Raises ModelError for a device that does not exist.
    """
    import torch

    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    device = _parse_device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(
            f"--device {name}: this machine has {torch.cuda.device_count()} CUDA devices; try --device cpu"
        )
    return name


def check_remote_device(name: str) -> str:
    """Check a `--device` of workers on other machines: "cpu", or "cuda" for the GPU that each worker is given.

    Raises ModelError for another one.
    """
    if _parse_device(name).index is not None:
        raise ModelError(f"--device {name}: workers on other machines are given their GPU; choose cpu or cuda")
    return name


def _parse_device(name: str) -> "torch.device":
    import torch

    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ModelError(f"--device {name}: unknown; choose cpu, cuda or cuda:N")
    return device


def _resolve_auto(name: str | Path) -> str:
    """ "auto" -> the first pack in the model folder, else "builtin"; other names unchanged."""
    if str(name) != "auto":
        return str(name)
    return next((pack for pack in PACKS if is_present(pack)), "builtin")


def _source(name: str | Path) -> tuple[Weights, Path]:
    """Entry of the weights table and file of an embedder."""
    name = _resolve_auto(name)
    if name in PACKS:
        return pack_of(name).embedder, locate(name)[1]
    if name == "builtin":
        return DLIB_RESNET, locate_weights(DLIB_RESNET)
    if name == SIMSWAP_ARCFACE.name:
        file = place(SIMSWAP_ARCFACE)
        if not file.is_file():
            raise ModelError(
                f"{name}: {file} does not exist: docs/guides/swap.md shows how to make it of the published file"
            )
        return SIMSWAP_ARCFACE, file
    return MOBILEFACENET, _checkpoint(name)


def _checkpoint(name: str) -> Path:
    path = Path(name)
    if not path.is_file():
        raise ModelError(
            f"embedder {name!r} is neither auto, builtin, {', '.join(PACKS)}, {SIMSWAP_ARCFACE.name} nor a file that "
            "exists; name one of these or the path of a MobileFaceNet checkpoint"
        )
    return path
