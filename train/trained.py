"""A checkpoint -> a function from face crops and latents to swapped crops, with the geometry and embedder it needs."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import normalize

from curate.faces.embedder import Embedder
from curate.faces.models import find_embedder
from curate.faces.segment import MaskKind, binary_mask, box_mask
from manifests.landmarks import TEMPLATES, Template
from train import mask_schedule
from train.build import load_generator
from train.config import Recipe
from train.errors import CheckpointError
from train.networks.generator import FaceGenerator

_BATCH = {"cpu": 8, "cuda": 64}  # crops in one pass of the generator


@dataclass
class SwapModel:
    """A trained generator as it is used. All of it lies on the device of `centre`.

    centre: (D,), what is taken off every embedding. alpha: weight of the mask on the input, for recipes that mask it.
    sha256: of the checkpoint's file, 64 hex digits.
    """

    generator: FaceGenerator
    embedder: Embedder
    recipe: Recipe
    centre: Tensor
    alpha: float = 0.0
    sha256: str = ""

    @property
    def template(self) -> Template:
        """The geometry of the crops that `swap` takes; `size` is the side of those it gives."""
        return TEMPLATES[self.recipe.template]

    @property
    def size(self) -> int:
        """Side of the swapped crops, px."""
        return self.recipe.size

    def latent(self, embeddings: Tensor) -> Tensor:
        """Embeddings (M, D) of one person's photos -> the latent (D,) of their mean direction, of unit norm."""
        mean = normalize(embeddings.to(self.centre).mean(0), dim=0)
        return normalize(mean - self.centre, dim=0)

    @torch.inference_mode()
    def swap(self, crops: Tensor, latent: Tensor, masks: Tensor | None = None) -> Tensor:
        """Crops at the generator's size with that identity: float32 (N, 3, S, S), RGB 0 to 255.

        crops: float (N, 3, S, S), RGB 0 to 255; latent: (D,); masks: float (N, 1, S, S), 1 where the input may be
        seen, needed where `input_mask` is not None.
        """
        step = _BATCH[self.centre.device.type]
        parts = [crops.new_empty(0, 3, self.size, self.size)]
        half = self.centre.is_cuda
        for start in range(0, len(crops), step):
            rgb01 = crops[start : start + step].contiguous(memory_format=torch.channels_last) / 255
            target = self.generator.to_input(rgb01)
            identity = latent.expand(len(target), -1)
            seen, shown = target, None
            if masks is not None and self.input_mask is not None:
                shown = masks[start : start + step]
                seen = mask_schedule.apply(target, shown, self.alpha)
            with torch.autocast("cuda", torch.bfloat16, enabled=half):
                image = self.generator(seen, identity).float()
            if shown is not None:
                image = mask_schedule.composite(image, target, shown, self.alpha)
            parts.append(self.generator.to_rgb01(image).clamp(0, 1) * 255)
        return torch.cat(parts)

    @property
    def input_mask(self) -> str | None:
        """Which mask the generator's input gets; None where it sees everything."""
        return self.recipe.mask if self.recipe.masked == "input" else None

    def input_masks(
        self, labels: Tensor, boxes: npt.NDArray[np.float32], matrices: npt.NDArray[np.float64]
    ) -> Tensor | None:
        """The masks (N, 1, S, S) that `swap` wants, if it wants any.

        labels: uint8 (N, T, T) on the template's crops; boxes: (N, 4) in the photo; matrices: (N, 2, 3) photo -> crop.
        """
        if self.input_mask is None:
            return None
        if self.input_mask == "box":
            inside = torch.from_numpy(box_mask(boxes, matrices, labels.shape[-1])).to(labels.device)
        else:
            inside = binary_mask(labels, cast(MaskKind, self.input_mask))
        return (shrink(inside[:, None].float(), self.size) > 0.5).float()


def load_model(path: Path, device: str, embedder: Path | None = None) -> SwapModel:
    """A checkpoint on `device`, with the embedder that its latents are of.

    `embedder`: a checkpoint file of a face embedder, where it is neither the built-in one nor a pack's.
    Raises CheckpointError: no checkpoint, damaged, of another version. ModelError: its embedder is not here.
    """
    generator, facts = load_generator(path)
    try:
        recipe = Recipe(**facts["recipe"])
        alpha = mask_schedule.alpha(int(facts["images"]), recipe.images)
        found = find_embedder(str(facts["embedder_id"]), f"checkpoint {path}", device, embedder)
    except KeyError as error:
        raise CheckpointError(
            f"{path} says nothing of its {error}: it was made by another version of swapset"
        ) from error
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    centre = facts["centre"].float().to(device)
    return SwapModel(generator.to(device), found, recipe, centre, alpha, sha256)


def shrink(images: Tensor, size: int) -> Tensor:
    """Images float (N, C, T, T) -> (N, C, size, size), size <= T: each pixel the mean over the area that it covers.

    What cv2.INTER_AREA does, by which training makes its crops smaller; both grids span the same area.
    """
    side = images.shape[-1]
    if side == size:
        return images
    # Row k of the weights: the share of each old pixel in [k, k + 1) T / size.
    edges = torch.arange(size + 1, dtype=torch.float64) * (side / size)
    old = torch.arange(side, dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], old + 1) - torch.maximum(edges[:-1, None], old)
    weights = (overlap.clamp(min=0) * (size / side)).to(images)
    return weights @ images @ weights.T
