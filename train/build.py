"""Recipe -> the networks and the objective it names; a checkpoint -> its generator."""

from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from curate.faces.embedder import Embedder
from train import checkpoint
from train.config import Recipe
from train.errors import CheckpointError, RecipeError
from train.networks.compact import CompactGenerator
from train.networks.convolutions import Kind
from train.networks.discriminator import MultiScalePatchGan
from train.networks.generator import FaceGenerator, Generator, IoSpace, Output
from train.networks.latent_diffusion import LatentDiffusion
from train.objective import DiffusionObjective, Objective, Parts, SwapObjective, Teacher, layout


def build_generator(recipe: Recipe, latent_dim: int) -> FaceGenerator:
    """The recipe's generator, with random weights, for latents of that size."""
    io_space = _one_of(recipe.io_space, IoSpace)
    if recipe.generator == "diffusion":
        return LatentDiffusion(
            latent_dim, recipe.blocks, recipe.width, io_space, condition_shrink=recipe.condition_shrink
        )
    kind, output = _one_of(recipe.convolution, Kind), _one_of(recipe.output, Output)
    if recipe.generator == "compact":
        return CompactGenerator(latent_dim, recipe.blocks, recipe.width, kind, io_space, output, recipe.shrink)
    return Generator(
        latent_dim,
        recipe.blocks,
        recipe.width,
        convolution=kind,
        io_space=io_space,
        output=output,
        shrink=recipe.shrink,
        identity_map=recipe.identity_map,
        progressive=recipe.images_per_block > 0,
    )


def build_discriminator(recipe: Recipe) -> MultiScalePatchGan:
    """The recipe's discriminator, with random weights."""
    return MultiScalePatchGan(recipe.discriminator_width, recipe.discriminator_scales)


def build_parts(recipe: Recipe, embedder: Embedder, centre: Tensor, device: torch.device) -> Parts:
    """Generator, discriminator and embedder on `device`, the first two in its best layout and in training mode."""
    generator = build_generator(recipe, embedder.dim)
    discriminator = build_discriminator(recipe)
    for network in (generator, discriminator):
        network.to(device)
        for parameter in network.parameters():
            # Module.to would refuse the dynamic convolution's stack of kernels, which has five dimensions.
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=layout(recipe, device))
    return Parts(recipe, generator, discriminator, embedder.to(device), centre.to(device))


def build_objective(parts: Parts) -> Objective:
    """What the recipe minimises. Raises CheckpointError where its teacher does not fit."""
    recipe = parts.recipe
    if recipe.generator != "diffusion":
        return SwapObjective(parts)
    if not recipe.teacher:
        return DiffusionObjective(parts)
    teacher, facts = load_generator(Path(recipe.teacher))
    if facts["embedder_id"] != parts.embedder.embedder_id:
        raise CheckpointError(
            f"{recipe.teacher}: its latents are of embedder {facts['embedder_id']}, this training's of "
            f"{parts.embedder.embedder_id}: train the teacher with the same embedder"
        )
    device = parts.centre.device
    return DiffusionObjective(parts, Teacher(teacher.to(device), facts["centre"].to(device)))


def load_generator(path: Path) -> tuple[FaceGenerator, dict[str, Any]]:
    """A checkpoint's moving average, frozen, in eval mode on the CPU, and the checkpoint's facts.

    Latents are `normalize(embedding - centre)`, `facts["centre"]` being that (D,) tensor.
    """
    found = checkpoint.read(path)
    try:
        recipe = Recipe(**found.facts["recipe"])
    except (TypeError, RecipeError) as error:
        raise CheckpointError(f"{path} was made by another version of swapset ({error})") from error
    generator = build_generator(recipe, int(found.facts["latent_dim"]))
    checkpoint.restore(found, {"ema": generator}, {})
    if isinstance(generator, Generator):
        generator.active_blocks = int(found.facts["active_blocks"])
    return generator.eval().requires_grad_(False), {**found.facts, "centre": found.tensors["centre"]}


def _one_of(value: str, literal: Any) -> Any:
    """The value, which a checked recipe guarantees to be one of the literal's."""
    assert value in get_args(literal), value
    return value
