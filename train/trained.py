"""A trained generator as it is used: by `simswap evaluate`, `swap` and `export`, and as a training's teacher."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import normalize

from curate.errors import ModelError
from curate.faces.embedder import Embedder
from curate.faces.models import find_embedder
from curate.faces.segment import MaskKind, binary_mask, box_mask
from curate.faces.weights import file_sha256
from manifests.landmarks import TEMPLATES, Template
from train import mask_schedule
from train.build import build_generator
from train.checkpoint import CheckpointFacts, read, restore
from train.config import Recipe
from train.errors import CheckpointError
from train.networks.conditioning import SourceFaces, conditioning, identity_conditioning, with_source
from train.networks.face_generator import FaceGenerator, IoSpace
from train.networks.people import PeopleGenerator

_BATCH = {"cpu": 8, "cuda": 64}  # crops of one forward pass


@dataclass(frozen=True)
class TrainedGenerator:
    """A checkpoint's generator with all that its inputs depend on, on the device of `centre`.

    Attributes:
        network: the moving average (EMA) of the weights, in eval mode, without gradients.
        centre: (D,), the latent centre of its training.
        facts: recipe, data and progress of its training.
        sha256: of the checkpoint file, 64 hex digits.
        loaded_embedder: the embedder of its latents; None where only the network was loaded.
    """

    network: FaceGenerator
    centre: Tensor
    facts: CheckpointFacts
    sha256: str
    loaded_embedder: Embedder | None

    @property
    def embedder(self) -> Embedder:
        """The embedder of its latents, on the same device. Raises ModelError where only the network was loaded."""
        if self.loaded_embedder is None:
            raise ModelError(f"the generator was loaded without its embedder {self.facts.embedder_id}")
        return self.loaded_embedder

    @property
    def recipe(self) -> Recipe:
        """The recipe it was trained by."""
        return self.facts.recipe

    @property
    def device(self) -> torch.device:
        """Device of the network, the embedder and the centre."""
        return self.centre.device

    @property
    def io_space(self) -> IoSpace:
        """Pixel values of the network; `swap` and `generate` take and return RGB in any case."""
        return self.network.io_space

    @property
    def template(self) -> Template:
        """The alignment of the crops, which are resized to `size`."""
        return TEMPLATES[self.recipe.template]

    @property
    def size(self) -> int:
        """Side of the network's crops, px."""
        return self.recipe.size

    @property
    def input_mask(self) -> str | None:
        """The mask of the network's input: box, face or face_hair; None where it reads the whole target."""
        return self.recipe.mask if self.recipe.masked == "input" else None

    @property
    def mask_weight(self) -> float:
        """Weight of the mask at the end of the training, 0 to 1."""
        return mask_schedule.alpha(self.facts.images, self.recipe.images)

    @property
    def reads_source(self) -> bool:
        """Whether the network reads the source's crop beside the latent."""
        return self.network.reads_source

    def condition(
        self, latents: Tensor, sources: SourceFaces | None = None, target_points: Tensor | None = None
    ) -> Tensor:
        """Latents (N, D), and what else the network reads of the sources -> its second input; see `conditioning`."""
        return conditioning(self.network, latents, self.centre, sources, target_points)

    def person_condition(self, embeddings: Tensor) -> Tensor:
        """Embeddings (M, D) of one person's photos -> their mean direction after `identity_conditioning`: (D,)."""
        return identity_conditioning(normalize(embeddings.to(self.centre).mean(0), dim=0), self.centre)

    @property
    def people(self) -> tuple[str, ...]:
        """The people that it was trained on by name; empty where it takes the identity of any photo."""
        return self.network.names if isinstance(self.network, PeopleGenerator) else ()

    def person_embedding(self, name: str) -> Tensor:
        """The mean embedding (D,) of a person that it was trained on, of unit norm. Raises CheckpointError."""
        if not isinstance(self.network, PeopleGenerator):
            raise CheckpointError(f"the checkpoint was not trained on named people: give photos of {name} as --source")
        if name not in self.people:
            raise CheckpointError(
                f"the checkpoint was not trained on {name!r}: name one of {', '.join(self.people)}, or train it again"
            )
        return self.network.latents[self.people.index(name)]

    def nearest_person(self, embeddings: Tensor) -> tuple[str, float]:
        """The named person nearest to the mean of embeddings (M, D), and the cosine of the two."""
        assert isinstance(self.network, PeopleGenerator)
        mean = normalize(embeddings.to(self.centre).mean(0), dim=0)
        index = int(self.network.nearest(identity_conditioning(mean, self.centre)[None]))
        return self.people[index], float(self.network.latents[index] @ mean)

    def generate(self, rgb01: Tensor, condition: Tensor, masks: Tensor | None = None) -> Tensor:
        """Swap in one forward pass: RGB in [0, 1], (N, 3, S, S), in and out.

        Args:
            rgb01: targets; the output keeps their memory format.
            condition: from `condition`.
            masks: float (N, 1, S, S), 1 on pixels that the network reads; used where `input_mask` is not None.
        """
        target = self.network.to_input(rgb01)
        shown = masks if self.input_mask is not None else None
        image = mask_schedule.generate(self.network, target, condition, shown, self.mask_weight)
        return self.network.to_rgb01(image.float()).clamp(0, 1)

    @torch.inference_mode()
    def swap(
        self,
        crops: Tensor,
        condition: Tensor,
        masks: Tensor | None = None,
        source: SourceFaces | None = None,
        points: Tensor | None = None,
    ) -> Tensor:
        """Crops of any number with one person's identity: float32 (N, 3, S, S), RGB 0 to 255, in and out.

        Runs in batches, in bfloat16 on a GPU.

        Args:
            crops: the targets.
            condition: (D,), from `person_condition`.
            masks: as in `generate`.
            source: one photo of the person, for networks that read the source.
            points: (N, 5, 2), landmarks of the targets, px of the network's crop; for the same networks.
        """
        step = _BATCH[self.device.type]
        parts = [crops.new_empty(0, 3, self.size, self.size)]
        for start in range(0, len(crops), step):
            rows = slice(start, start + step)
            rgb01 = crops[rows].contiguous(memory_format=torch.channels_last) / 255
            shown = None if masks is None else masks[rows]
            with torch.autocast("cuda", torch.bfloat16, enabled=self.centre.is_cuda):
                inputs = condition.expand(len(rgb01), -1)
                if self.reads_source:
                    inputs = self._with_source(inputs, source, None if points is None else points[rows])
                parts.append(self.generate(rgb01, inputs, shown) * 255)
        return torch.cat(parts)

    def _with_source(self, condition: Tensor, source: SourceFaces | None, points: Tensor | None) -> Tensor:
        """Conditioned latents (N, D) and one source -> the network's second input for N targets."""
        if source is not None:
            count = len(condition)
            source = SourceFaces(source.crops.expand(count, -1, -1, -1), source.points.expand(count, -1, -1))
        return with_source(self.network, condition, source, points)

    def input_masks(
        self, labels: Tensor, boxes: npt.NDArray[np.float32], matrices: npt.NDArray[np.float64]
    ) -> Tensor | None:
        """The masks (N, 1, S, S) for `swap`; None where the network reads the whole target.

        Args:
            labels: uint8 (N, T, T), label maps on the template's crops.
            boxes: (N, 4), detections in px of the photo.
            matrices: (N, 2, 3), photo -> crop.
        """
        if self.input_mask is None:
            return None
        if self.input_mask == "box":
            inside = torch.from_numpy(box_mask(boxes, matrices, labels.shape[-1])).to(labels.device)
        else:
            inside = binary_mask(labels, cast(MaskKind, self.input_mask))
        return (shrink(inside[:, None].float(), self.size) > 0.5).float()


def load_network(path: Path, device: str | torch.device = "cpu") -> TrainedGenerator:
    """A checkpoint's generator without its embedder: for inputs that are conditioned already, or for export.

    Raises CheckpointError: no checkpoint, damaged, of another version.
    """
    checkpoint = read(path)
    facts = checkpoint.facts
    network = build_generator(facts.recipe, facts.latent_dim)
    restore(checkpoint, {"ema": network}, {})
    network.set_progress(facts.images)
    network.eval().requires_grad_(False).to(device)
    return TrainedGenerator(network, checkpoint.tensors["centre"].float().to(device), facts, file_sha256(path), None)


def load_trained(
    path: Path, device: str | torch.device = "cpu", embedder: str | Path | None = None, hints: Sequence[str] = ()
) -> TrainedGenerator:
    """A checkpoint's generator on `device`, with the embedder of its latents.

    Args:
        path: checkpoint file of `simswap fit`.
        device: "cpu", "cuda", "cuda:1", ...
        embedder: name or file of the embedder; None searches for it by its id.
        hints: names or files that are searched first, for example those of a dataset.

    Raises:
        CheckpointError: no checkpoint, damaged, of another version.
        ModelError: the embedder is not on this machine.
    """
    trained = load_network(path, device)
    own = trained.recipe.embedder
    hints = [*([] if own in ("dataset", "auto") else [own]), *hints]
    loaded = find_embedder(trained.facts.embedder_id, f"checkpoint {path}", device, embedder, hints)
    return replace(trained, loaded_embedder=loaded)


def shrink(images: Tensor, size: int) -> Tensor:
    """Resize images float (N, C, T, T) to (N, C, size, size), size <= T, by averaging over the area of each pixel.

    The same as cv2.INTER_AREA, which training uses for its crops; both grids span the same area.
    """
    side = images.shape[-1]
    if side == size:
        return images
    # Row k of the weights: the overlap of each input pixel with [k, k + 1) T / size.
    edges = torch.arange(size + 1, dtype=torch.float64) * (side / size)
    old = torch.arange(side, dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], old + 1) - torch.maximum(edges[:-1, None], old)
    weights = (overlap.clamp(min=0) * (size / side)).to(images)
    return weights @ images @ weights.T
