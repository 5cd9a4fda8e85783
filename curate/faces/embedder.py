"""`Embedder`: aligned face crops (N, 3, h, w) -> embeddings (N, D) of unit norm, compared by dot product.

The networks are in `embedders/` and `packs/`; `models.load_embedder` selects and loads one.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from curate.errors import ModelError
from curate.faces.weights import Calibration, Weights, embedder_id
from manifests.landmarks import TEMPLATES, Template


class Embedder(nn.Module):
    """A network with the preprocessing of its weights: RGB crops -> unit vectors.

    Attributes:
        name: that of the weights.
        embedder_id: embeddings may be compared only where it is equal; see `weights.embedder_id`.
        dim: D, the length of an embedding.
        template: alignment of the crops.
        calibration: distribution of the similarities.
        flip: whether `embed` averages the crop and its mirror image.
        half_dtype: type in which convolutions compute on CUDA; None where only float32 is accurate enough.
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
        calibration: Calibration | None = None,
        half: torch.dtype | None = None,
    ) -> None:
        """Wrap a network.

        Args:
            network: float (N, 3, h, w), normalised, in its own channel order -> (N, D) of any norm.
            weights: entry of the weights table: template, normalisation, channel order, flip.
            sha256: of the file from which the network was read.
            dim: D.
            calibration: None takes that of `weights`.
            half: `half_dtype`.

        Raises:
            ModelError: the entry has no calibration, or its template is unknown.
        """
        super().__init__()
        calibration = calibration or weights.calibration
        if weights.template not in TEMPLATES:
            raise ModelError(f"{weights.name}: unknown template {weights.template!r}; one of {', '.join(TEMPLATES)}")
        if calibration is None:
            raise ModelError(f"{weights.name}: no calibration in its entry of curate/faces/weights.py; add one")
        self.network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.name = weights.name
        self.embedder_id = embedder_id(weights, sha256)
        self.dim = dim
        self.template: Template = TEMPLATES[weights.template]
        self.calibration = calibration
        self.flip = weights.flip
        self.half_dtype = half
        self.reverse = weights.channels == "BGR"
        # Both apply to RGB pixels in [0, 1]; channels are reversed afterwards.
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
        """Embed crops, RGB uint8 (N, 3, h, w) on any device: float32 (N, D) of unit norm, on the embedder's device.

        Where `flip` is set, the result is the mean direction of the crop and of its mirror image. `batch` bounds the
        memory.
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
