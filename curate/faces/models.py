"""The three networks of a run: which ones are chosen, where they run, and what identifies them."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
import torch

from curate.errors import ModelError
from curate.faces.packs.insightface import PACKS, is_present

if TYPE_CHECKING:
    from collections.abc import Sequence

    from curate.faces.embedder import Embedder
    from curate.faces.faces import Faces
    from curate.faces.segment import Segmenter


class Detector(Protocol):
    """A face detector."""

    @property
    def fingerprint(self) -> str:
        """Hash of the weights and of every setting that can change a result."""

    def __call__(self, photos: "Sequence[npt.NDArray[np.uint8]]") -> "Faces":
        """Detect the faces of photos, uint8 (H, W, 3) RGB of any sizes: flat, in the photos' order, largest first."""


@dataclass(frozen=True)
class Choice:
    """What the user asked for, resolved: `pack` is 'builtin' or an insightface pack; `embedder` a checkpoint or None.

    `detection`: 'coarse' (default) or 'full', the MTCNN pyramid; packs bring their own detector.
    """

    pack: str
    embedder: str | None = None
    detection: str = "coarse"

    def words(self) -> str:
        """The choice in one line, for the first line of output."""
        embedder = f"checkpoint {self.embedder}" if self.embedder else f"{self.pack} embedder"
        detector = "MTCNN" if self.pack == "builtin" else "SCRFD"
        return f"{detector} detector, {embedder}, built-in DeepLabV3+ segmenter"


def resolve(models: str = "auto", embedder: Path | None = None, detection: str = "coarse") -> Choice:
    """`--models`, `--embedder`, `--detection` -> Choice. 'auto' takes the pack whose files are here, else 'builtin'.

    Raises ModelError for an unknown name, or a pack or checkpoint that is not on this machine.
    """
    if models not in ("auto", "builtin", *PACKS):
        raise ModelError(f"--models {models}: unknown; choose auto, builtin, {' or '.join(PACKS)}")
    if detection not in ("coarse", "full"):
        raise ModelError(f"--detection {detection}: unknown; choose coarse or full")
    if embedder is not None and not embedder.is_file():
        raise ModelError(f"--embedder {embedder}: no such file")
    if models == "auto":
        models = next((pack for pack in PACKS if is_present(pack)), "builtin")
    return Choice(models, str(embedder.resolve()) if embedder else None, detection)


@dataclass
class Models:
    """The loaded networks, all on one device."""

    detector: Detector
    embedder: "Embedder"
    segmenter: "Segmenter"
    device: torch.device


def load(choice: Choice, device: str) -> Models:
    """Choice -> networks on `device` ('cpu', 'cuda', 'cuda:1', ...). Raises ModelError."""
    from curate.faces.embedder import load_embedder
    from curate.faces.segment import Segmenter

    if torch.device(device).type == "cuda":
        # Networks that need float32 would get convolutions in TF32, whose mantissa is no longer than float16's.
        torch.backends.cudnn.allow_tf32 = False
    embedder = load_embedder(Path(choice.embedder) if choice.embedder else choice.pack, device)
    return Models(load_detector(choice, device), embedder, Segmenter.load(device), torch.device(device))


def load_detector(choice: Choice, device: str) -> Detector:
    """The pack's SCRFD, or the built-in MTCNN."""
    if choice.pack in PACKS:
        from curate.faces.packs.insightface import load_scrfd

        return load_scrfd(choice.pack, device)
    from curate.faces.detectors.mtcnn import Mtcnn

    return Mtcnn(device, mode="full" if choice.detection == "full" else "coarse")


def identify(choice: Choice) -> dict[str, str]:
    """Choice -> what names the networks: hashes `detector`, `embedder_id`, `segmenter`, and the `embedder`'s name."""
    models = load(choice, "cpu")
    from curate.faces.segment import digest

    embedder = models.embedder
    return {
        "detector": models.detector.fingerprint,
        "embedder": str(embedder.name),
        "embedder_id": str(embedder.embedder_id),
        "segmenter": fingerprint([models.segmenter.spec, digest(models.segmenter.network.state_dict())]),
    }


def fingerprint(told: object) -> str:
    """Anything that JSON can hold -> the hash of its canonical form, 64 hex digits."""
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def check_device(name: str | None) -> str:
    """`--device` -> a torch device's name; None takes 'cuda' where there is one. ModelError if it is not there."""
    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ModelError(f"--device {name}: unknown; choose cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(
            f"--device {name}: this machine has {torch.cuda.device_count()} CUDA devices; try --device cpu"
        )
    return name
