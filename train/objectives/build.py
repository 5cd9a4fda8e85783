"""The objective of a recipe."""

from train.build import Networks
from train.networks.general import GeneralGenerator
from train.networks.latent_diffusion import LatentDiffusion
from train.networks.people import PeopleGenerator
from train.objectives.diffusion import DiffusionObjective
from train.objectives.distillation import Distillation, check_distillation, load_teacher
from train.objectives.general import GeneralObjective
from train.objectives.objective import Objective
from train.objectives.people import PeopleObjective
from train.objectives.swap import SwapObjective


def build_objective(networks: Networks) -> Objective:
    """The objective of the recipe. Raises CheckpointError where its teacher does not fit."""
    recipe = networks.recipe
    if isinstance(networks.generator, PeopleGenerator):
        return PeopleObjective(networks, networks.generator)
    if isinstance(networks.generator, GeneralGenerator):
        return GeneralObjective(networks, networks.generator)
    teacher = load_teacher(networks) if recipe.teacher else None
    if isinstance(networks.generator, LatentDiffusion):
        return DiffusionObjective(networks, networks.generator, teacher)
    if teacher is None:
        return SwapObjective(networks)
    check_distillation(networks, teacher)
    return SwapObjective(networks, Distillation(networks, teacher))
