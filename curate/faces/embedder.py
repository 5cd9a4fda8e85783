"""Face crops (N, 3, h, w) -> embeddings (N, D) of unit norm, whose dot product says how alike two faces are.

`load_embedder` is the way in; it gives an `Embedder`, which knows its template, its identity and how its similarities
are distributed. The networks themselves are in `dlib_resnet.py`, `mobilefacenet.py` and `packs.py`.
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from curate.errors import ModelError
from curate.faces.weights import Calibration, Weights
from manifests.landmarks import TEMPLATES, Template

RESIZE = "similarity warp; mean over the whole part of the shrinkage, then bilinear"
"""How crops come from photos; part of an embedder's identity."""


def identity(weights: Weights, sha256: str) -> str:
    """An embedder's id, 16 hex digits: vectors may be compared only where it is equal.

    The first digits of the sha256 of a JSON object without spaces and with sorted keys: channels, flip, mean, resize,
    std, template (its points, rounded to 1e-4 px, and its size) and weights (the file's sha256).
    """
    template = TEMPLATES[weights.template or ""]
    facts = {
        "channels": weights.channels,
        "flip": weights.flip,
        "mean": weights.mean,
        "resize": RESIZE,
        "std": weights.std,
        "template": {"points": template.points.round(4).tolist(), "size": template.size},
        "weights": sha256,
    }
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


class Embedder(nn.Module):
    """A network with the preprocessing of its weights: RGB crops in, unit vectors out.

    `network` takes float (N, 3, h, w), normalised, in its own channel order, and returns (N, D) of any length.
    `sha256` is that of the file the network was read from. `half` is the type that the network's convolutions
    compute in on CUDA; None where only float32 is accurate enough.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        weights: Weights,
        sha256: str,
        *,
        dim: int,
        calibration: Calibration,
        half: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if weights.template not in TEMPLATES:
            raise ModelError(f"{weights.name}: unknown template {weights.template!r}; one of {', '.join(TEMPLATES)}")
        self.network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.name = weights.name
        self.embedder_id = identity(weights, sha256)
        self.dim = dim
        self.template: Template = TEMPLATES[weights.template]
        self.calibration = calibration
        self.flip = weights.flip
        self.half_dtype = half
        self.reverse = weights.channels == "BGR"
        # Of RGB pixels in [0, 1], whatever order the network wants: it is reversed after.
        order = slice(None, None, -1) if self.reverse else slice(None)
        self.register_buffer("mean", torch.tensor(weights.mean[order]).view(3, 1, 1) / 255, persistent=False)
        self.register_buffer("std", torch.tensor(weights.std[order]).view(3, 1, 1) / 255, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """RGB in [0, 1], float (N, 3, h, w) at the template's size -> (N, D), unit norm; differentiable; no flip."""
        if x.shape[1:] != (3, *self.template.size):
            raise ValueError(f"{self.name} takes crops (N, 3, {self.template.size}), got {tuple(x.shape)}")
        x = (x - self.mean) / self.std
        if self.reverse:
            x = x.flip(1)
        return normalize(self.network(x.contiguous(memory_format=torch.channels_last)).float())

    @torch.inference_mode()
    def embed(self, crops: Tensor, batch: int = 64) -> Tensor:
        """Crops, RGB uint8 (N, 3, h, w) on any device -> float32 (N, D) of unit norm, on the embedder's device.

        Where `flip` is set, the mean direction of the crop and of its mirror image. `batch` bounds the memory.
        """
        device = self.mean.device
        parts = [torch.empty(0, self.dim, device=device)]
        half = self.half_dtype if device.type == "cuda" else None
        with torch.autocast(device.type, half, enabled=half is not None):
            for start in range(0, len(crops), batch):
                x = crops[start : start + batch].to(device, non_blocking=True).float() / 255
                vectors = self(x)
                if self.flip:
                    vectors = normalize(vectors + self(x.flip(3)))
                parts.append(vectors)
        return torch.cat(parts)


def load_embedder(choice: str | Path, device: str | torch.device = "cpu") -> Embedder:
    """The embedder of that name or file, on `device`, in eval mode.

    `choice`: "builtin" (dlib's ResNet); "buffalo_l" or "buffalo_s" (an insightface pack); "auto" (the first pack whose
    files are in the model folder, else the built-in one; nothing is downloaded); or the path of a MobileFaceNet
    checkpoint. Anything else, or a file that does not load strictly, is a ModelError.
    """
    from curate.faces.packs.insightface import PACKS, is_present, load_arcface

    if choice == "auto":
        choice = next((name for name in PACKS if is_present(name)), "builtin")
    if choice == "builtin":
        from curate.faces.embedders.dlib_resnet import load_dlib_resnet

        return load_dlib_resnet().to(device)
    if choice in PACKS:
        return load_arcface(str(choice), device)
    path = Path(choice)
    if not path.is_file():
        raise ModelError(
            f"embedder {str(choice)!r} is neither auto, builtin, {', '.join(PACKS)} nor a file that exists; "
            "name one of these or the path of a MobileFaceNet checkpoint"
        )
    from curate.faces.embedders.mobilefacenet import load_mobilefacenet

    return load_mobilefacenet(path).to(device)


def assumed(calibration: Calibration, weights: Weights) -> Calibration:
    """The calibration of one file for another of the same architecture, saying that it was not measured there."""
    return replace(calibration, measured_on=f"assumed from {weights.name}: this file was not measured")
