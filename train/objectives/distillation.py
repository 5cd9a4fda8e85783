"""Distillation: a small generator learns the swaps and the features of a larger one, its teacher."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from train.build import Networks
from train.data.loader import Batch
from train.errors import CheckpointError
from train.networks.face_generator import FaceGenerator
from train.objectives.objective import Terms
from train.trained import TrainedGenerator, load_network


class Distillation:
    """L_dist = lambda_out |G(x, i) - T(x, i)| + lambda_feat L_AT.

    L_AT is attention transfer (Zagoruyko and Komodakis 2017, eq. 2): the squared distance of unit attention maps, which
    are the sums over channels of squared features, at the end of encoder and blocks and after each stage of the
    decoder. It needs no layers between networks of different widths. Where one network has more stages, the last ones
    are compared; a map of another side is resized.

    Args:
        networks: of the student.
        teacher: of the same crops and embedder; `load_teacher` checks it.
    """

    def __init__(self, networks: Networks, teacher: TrainedGenerator) -> None:
        self.networks, self.recipe, self.teacher = networks, networks.recipe, teacher

    @contextmanager
    def features(self, generator: FaceGenerator) -> Iterator[list[Tensor]]:
        """A list to which each of the generator's distilled layers appends its output inside of the block."""
        collected: list[Tensor] = []
        layers = generator.distilled_layers() if self.recipe.feature_distillation else []
        hooks = [layer.register_forward_hook(lambda _, __, output: collected.append(output)) for layer in layers]
        try:
            yield collected
        finally:
            for hook in hooks:
                hook.remove()

    def terms(self, batch: Batch, fake: Tensor, features: Sequence[Tensor]) -> tuple[Tensor, Terms]:
        """L_dist of the student's `fake` (N, 3, S, S), in its io space, and `features` for a batch."""
        generator, recipe = self.networks.generator, self.recipe
        with torch.no_grad(), self.features(self.teacher.network) as reference:
            masks = None if batch.masks is None else batch.masks.to(fake.dtype)
            rgb01 = self.teacher.generate(batch.target.float() / 255, self.teacher.condition(batch.latents), masks)
        distance = (fake - generator.to_input(rgb01)).abs().mean()
        total, terms = recipe.distillation * distance, {"distillation": distance.detach()}
        if recipe.feature_distillation:
            attention = attention_distance(features, reference)
            total = total + recipe.feature_distillation * attention
            terms["feature_distillation"] = attention.detach()
        return total, terms


def attention_distance(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """L_AT of features (N, C, H, W) of two networks, matched from the last ones; the mean over layers and images."""
    count = min(len(student), len(teacher))
    distances = []
    for features, reference in zip(student[-count:], teacher[-count:], strict=True):
        own, other = features.float().square().sum(1, keepdim=True), reference.float().square().sum(1, keepdim=True)
        if other.shape[2:] != own.shape[2:]:
            other = F.interpolate(other, size=own.shape[2:], mode="bilinear", align_corners=False)
        difference = F.normalize(own.flatten(1)) - F.normalize(other.flatten(1))
        distances.append(difference.square().sum(1).mean())
    return torch.stack(distances).mean()


def load_teacher(networks: Networks) -> TrainedGenerator:
    """The recipe's teacher. Raises CheckpointError where it does not fit the training."""
    recipe = networks.recipe
    teacher = load_network(Path(recipe.teacher), networks.centre.device)
    if teacher.reads_source:
        raise CheckpointError(
            f"{recipe.teacher}: its generator {teacher.recipe.generator} reads the source's photo beside the latent, "
            "which a training does not give to a teacher: take one that reads the latent alone"
        )
    if teacher.facts.embedder_id != networks.embedder.embedder_id:
        raise CheckpointError(
            f"{recipe.teacher}: its latents are of embedder {teacher.facts.embedder_id}, this training's of "
            f"{networks.embedder.embedder_id}: train the teacher with the same embedder"
        )
    own, other = (recipe.size, recipe.template), (teacher.size, teacher.recipe.template)
    if own != other:
        raise CheckpointError(
            f"{recipe.teacher}: it swaps crops of {other[1]} at {other[0]} px, this training's are of {own[1]} at "
            f"{own[0]} px: set size and template of the recipe to those of the teacher"
        )
    return teacher


def check_distillation(networks: Networks, teacher: TrainedGenerator) -> None:
    """Raise CheckpointError where a teacher cannot be distilled into these networks."""
    recipe = networks.recipe
    if teacher.people:
        raise CheckpointError(
            f"{recipe.teacher} swaps to {len(teacher.people)} named people only: distil a generator that takes anyone"
        )
    if teacher.input_mask not in (None, recipe.mask):
        raise CheckpointError(
            f"{recipe.teacher} reads {teacher.input_mask} of the target: set mask = {teacher.input_mask!r} too"
        )
    for name, network in ((recipe.teacher, teacher.network), ("the recipe's generator", networks.generator)):
        if recipe.feature_distillation and not network.distilled_layers():
            raise CheckpointError(f"{name} has no features that can be compared: set feature_distillation = 0")
