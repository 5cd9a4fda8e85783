"""`Segmenter`: aligned crops -> CelebAMask label maps; and the binary masks derived from label maps and boxes.

The network is in `deeplab.py`; its weights are part of the package and trained by `train/perception/segmenter.py`.
Figures, licence and limits of the weights are in `curate/weights/segmenter.md`.
"""

import contextlib
import hashlib
import itertools
from pathlib import Path
from typing import Any, Literal, Self, overload

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from curate.errors import ModelError
from curate.faces.deeplab import DeepLabSpec, DeepLabV3Plus
from curate.faces.weights import SEGMENTER, file_sha256, locate
from manifests.input import readable
from manifests.landmarks import FACE_CLASSES, MASK_CLASSES
from manifests.records import InvalidRecordError, parse_record

CLASSES = MASK_CLASSES
FORMAT = "swapset-segmenter-1"
BATCH = 32
_REVISION = 2  # part of the fingerprint: increase it when results change

MIN_HAT_MARGIN = 2.2
"""Least difference between the logit of a hat and the next one that some pixel of a crop with a hat reaches. Hair that
the end of a tight photo cuts, and grey hair, are called a hat by less."""

MaskKind = Literal["face", "face_hair", "not_background"]

MASK_KINDS: dict[MaskKind, frozenset[str]] = {
    "face": frozenset(FACE_CLASSES),
    "face_hair": frozenset(FACE_CLASSES) | {"l_ear", "r_ear", "hair"},
    "not_background": frozenset(CLASSES) - {"background"},
}
"""Classes of each binary mask. `face`: skin and everything on it, including glasses, without ears, hair and neck.
`face_hair`: also ears and hair. Hats, jewellery, neck and cloth are only in `not_background`."""


class Segmenter(nn.Module):
    """Crops -> label maps, with the preprocessing that the weights file records.

    Attributes:
        spec: architecture and preprocessing.
        licence: what the weights may be used for.
    """

    def __init__(self, network: DeepLabV3Plus, spec: DeepLabSpec, licence: str) -> None:
        super().__init__()
        fuse_batch_norm(network.eval())
        self.network = network.to(memory_format=torch.channels_last)
        self.spec = spec
        self.licence = licence
        # (x / 255 - mean) / std = gain * x + shift
        std = torch.tensor(spec.std).view(1, 3, 1, 1)
        self.register_buffer("gain", 1 / (255 * std), persistent=False)
        self.register_buffer("shift", -torch.tensor(spec.mean).view(1, 3, 1, 1) / std, persistent=False)

    @classmethod
    def load(cls, device: torch.device | str, path: Path | None = None) -> Self:
        """Load the package's segmenter, or the one in `path`.

        Raises ModelError: the file is missing, damaged or of another kind, or its digest is not the one recorded.
        """
        path = path or locate(SEGMENTER)
        tensors, record = read_weights(path)
        try:
            spec = DeepLabSpec.from_json(record.get("spec", ""))
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error
        network = DeepLabV3Plus(spec, len(CLASSES))
        try:
            network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
        except RuntimeError as error:
            raise ModelError(f"{path}: the tensors do not fit the recorded architecture: {error}") from error
        return cls(network.requires_grad_(False), spec, record.get("licence", "")).to(device)

    @torch.inference_mode()
    def label_maps(self, crops: Tensor) -> Tensor:
        """Class of each pixel, uint8 (N, S, S) on the segmenter's device.

        Args:
            crops: uint8 (N, 3, S, S) RGB on any device, S >= 32. They are resized to the network's size and the logits
                interpolated back, so that the maps have the crops' grid.

        Raises:
            ValueError: another shape or type.
        """
        if crops.dtype != torch.uint8 or crops.ndim != 4 or crops.shape[1] != 3:
            raise ValueError(f"crops must be uint8 (N, 3, S, S), not {crops.dtype} {tuple(crops.shape)}")
        device = self.get_buffer("gain").device
        labels = torch.empty(len(crops), *crops.shape[2:], dtype=torch.uint8, device=device)
        for start in range(0, len(crops), BATCH):
            batch = crops[start : start + BATCH].to(device, non_blocking=True)
            logits = without_doubtful_hats(self.logits(batch))
            # Logits at the crop's size are 19 floats a pixel: on a CPU, those of one crop fit the cache.
            step = BATCH if device.type == "cuda" else 1
            for at in range(0, len(batch), step):
                full = F.interpolate(logits[at : at + step], size=crops.shape[2:], mode="bilinear", align_corners=False)
                labels[start + at : start + at + len(full)] = full.argmax(1)
        return labels

    def logits(self, crops: Tensor) -> Tensor:
        """float32 logits (N, 19, s/4, s/4) of uint8 crops (N, 3, S, S) on this device; s is the network's size."""
        return self.logits_and_features(crops)[0]

    def logits_and_features(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """`logits`, and the features of the encoder's first stage from which they follow, (N, C, s/4, s/4)."""
        size = (self.spec.size, self.spec.size)
        pixels = crops.to(torch.float32, memory_format=torch.channels_last)
        if tuple(crops.shape[2:]) != size:
            # Antialiasing costs as much as a stage of the network and matters only where sides shrink to half or less.
            halved = crops.shape[-1] >= 2 * size[1]
            pixels = F.interpolate(pixels, size=size, mode="bilinear", align_corners=False, antialias=halved)
        pixels = torch.addcmul(self.get_buffer("shift"), pixels, self.get_buffer("gain"))
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        # bfloat16 is faster on CUDA only: CPUs without its instructions emulate it.
        half = torch.autocast("cuda", torch.bfloat16) if pixels.is_cuda else contextlib.nullcontext()
        with half:
            logits, features = self.network.logits_and_features(pixels)
        return logits.float(), features.float()


def without_doubtful_hats(logits: Tensor) -> Tensor:
    """Return logits float32 (N, 19, h, w) without the class hat where it is nowhere certain: the next class decides."""
    hat = CLASSES.index("hat")
    others = torch.cat([logits[:, :hat], logits[:, hat + 1 :]], 1).amax(1)
    is_doubtful = (logits[:, hat] - others).amax((1, 2)) < MIN_HAT_MARGIN
    logits = logits.clone()
    # Finite, because logits are interpolated to the size of the crop, and 0 * inf is NaN.
    logits[:, hat] = torch.where(is_doubtful[:, None, None], -1e4, logits[:, hat])
    return logits


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata of a segmenter's safetensors file. Raises ModelError for another or a damaged file."""
    if not path.exists():
        raise ModelError(f"{path} is missing; reinstall swapset")
    try:
        with readable(path, ModelError):
            path.open("rb").close()  # safetensors reports errors of the system as damage
        with safe_open(path, framework="pt") as file:
            record: dict[str, str] = file.metadata() or {}
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ModelError(f"{path} is not a safetensors file ({error}); reinstall swapset") from error
    if record.get("format") != FORMAT:
        raise ModelError(f"{path}: format is {record.get('format')!r}, not {FORMAT!r}; not a Swapset segmenter")
    if _classes(record) != list(CLASSES):
        raise ModelError(f"{path}: its classes are not the 19 of manifests.landmarks.MASK_CLASSES, in that order")
    sha256 = digest(tensors)
    if sha256 != record.get("sha256"):
        raise ModelError(
            f"{path}: the tensors hash to {sha256}, but {record.get('sha256')} is recorded; the file is damaged: "
            "reinstall swapset"
        )
    return tensors, record


def _classes(record: dict[str, str]) -> list[str]:
    """The classes that a weights file records; none where they are no list of names."""
    try:
        return parse_record(record.get("classes", ""), list[str])
    except InvalidRecordError:
        return []


def fingerprint() -> str:
    """Hash of the package's weights and of the code's revision, without loading the network; 64 hex digits."""
    return hashlib.sha256(f"{_REVISION} {file_sha256(locate(SEGMENTER))}".encode()).hexdigest()


def digest(tensors: dict[str, Tensor]) -> str:
    """sha256 of names, types, shapes and bytes of tensors, sorted by name; 64 hex digits."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.numpy().tobytes())
    return total.hexdigest()


def fuse_batch_norm(network: nn.Module) -> None:
    """Fold each BatchNorm2d into the convolution right before it, in place; the outputs stay the same.

    Modules must be registered in the order in which they run, as those of `DeepLabV3Plus` are.
    """
    leaves = [(name, module) for name, module in network.named_modules() if not list(module.children())]
    for (name, module), (next_name, following) in itertools.pairwise(leaves):
        if isinstance(module, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
            network.set_submodule(name, fuse_conv_bn_eval(module, following))
            network.set_submodule(next_name, nn.Identity())


@overload
def binary_mask(labels: npt.NDArray[np.uint8], kind: MaskKind) -> npt.NDArray[np.bool_]: ...
@overload
def binary_mask(labels: Tensor, kind: MaskKind) -> Tensor: ...
def binary_mask(labels: npt.NDArray[np.uint8] | Tensor, kind: MaskKind) -> npt.NDArray[np.bool_] | Tensor:
    """Label maps uint8 of any shape, NumPy or torch -> bool masks of that shape; see `MASK_KINDS`.

    Raises ValueError for an unknown kind, IndexError for a label above 18.
    """
    if kind not in MASK_KINDS:
        raise ValueError(f"mask kind {kind!r} is not one of {', '.join(MASK_KINDS)}")
    table = np.array([name in MASK_KINDS[kind] for name in CLASSES])
    if isinstance(labels, Tensor):
        return torch.from_numpy(table).to(labels.device)[labels.long()]
    inside: npt.NDArray[np.bool_] = table[labels]
    return inside


def box_mask(
    box: npt.NDArray[np.floating[Any]], matrix: npt.NDArray[np.floating[Any]], size: int
) -> npt.NDArray[np.bool_]:
    """Detection boxes on the grids of their crops: bool (N, size, size), True where a pixel's centre lies inside.

    The mask is the upright bounding rectangle of the four transformed corners: if the crop is rotated against the
    source, it is larger than the box (twice the area for a square at 45 degrees), never smaller.

    Args:
        box: (N, 4), x0, y0, x1, y1 in source px.
        matrix: (N, 2, 3), source -> crop.
        size: side of the crops.
    """
    corners = np.asarray(box, np.float64)[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]  # (N, 4, 2)
    matrix = np.asarray(matrix, np.float64)
    moved = np.einsum("nij,nkj->nki", matrix[:, :, :2], corners) + matrix[:, None, :, 2]
    low, high = moved.min(1)[:, :, None], moved.max(1)[:, :, None]  # (N, 2, 1) each
    line = np.arange(size)
    inside = (line >= low) & (line <= high)  # (N, 2, size): along x, along y
    mask: npt.NDArray[np.bool_] = inside[:, 1, :, None] & inside[:, 0, None, :]
    return mask
