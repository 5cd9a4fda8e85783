"""The objective of a recipe."""

from pathlib import Path

from train.build import Networks
from train.errors import CheckpointError
from train.networks.latent_diffusion import LatentDiffusion
from train.networks.people import PeopleGenerator
from train.objectives.diffusion import DiffusionObjective
from train.objectives.objective import Objective
from train.objectives.people import PeopleObjective
from train.objectives.swap import SwapObjective
from train.trained import load_network


def build_objective(networks: Networks) -> Objective:
    """The objective of the recipe. Raises CheckpointError where its teacher does not fit."""
    recipe = networks.recipe
    if isinstance(networks.generator, PeopleGenerator):
        return PeopleObjective(networks, networks.generator)
    if not isinstance(networks.generator, LatentDiffusion):
        return SwapObjective(networks)
    if not recipe.teacher:
        return DiffusionObjective(networks, networks.generator)
    teacher = load_network(Path(recipe.teacher), networks.centre.device)
    if teacher.facts.embedder_id != networks.embedder.embedder_id:
        raise CheckpointError(
            f"{recipe.teacher}: its latents are of embedder {teacher.facts.embedder_id}, this training's of "
            f"{networks.embedder.embedder_id}: train the teacher with the same embedder"
        )
    return DiffusionObjective(networks, networks.generator, teacher)
