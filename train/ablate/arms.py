"""The arms of an ablation: every recipe on every view of a dataset, with every seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from curate.decide.policy import load_policy
from curate.decide.view import make_view
from train.config import Recipe, load_recipe
from train.errors import RecipeError

CURRENT_POLICY = "as decided"
"""Name of the policy where none is given: the dataset's own manifest."""

_MIN_CHECKPOINTS = 10  # of an arm: a killed one loses at most this part of its images


@dataclass(frozen=True)
class Arm:
    """One training.

    Attributes:
        name: shared by the seeds of an arm.
        recipe: what is trained, with its seed.
        data: a dataset, or a view of one.
    """

    name: str
    recipe: Recipe
    data: Path

    @property
    def slug(self) -> str:
        """Name of its files."""
        safe = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in self.name)
        return f"{safe}-seed{self.recipe.seed}"


def make_arms(
    recipes: Sequence[str],
    views: dict[str, Path],
    images: int,
    seeds: int,
    held_out: float,
    batch: int | None = None,
    changes: Mapping[str, Any] | None = None,
) -> list[Arm]:
    """Make an arm of every recipe on every view with every seed.

    Args:
        recipes: names or TOML files.
        views: name of a policy -> dataset, from `make_views`.
        images: images that each arm is trained on.
        seeds: trainings of each arm, with seeds 0, 1, ...
        held_out: share of the people held out of every arm.
        batch: images of an update; None takes the recipe's.
        changes: values of other keys in every recipe; None changes none.

    Raises:
        RecipeError: an unknown recipe, two recipes of one name, or recipes of more than one template.
    """
    arms = []
    for recipe_name in recipes:
        stem = Path(recipe_name).stem
        for policy, data in views.items():
            name = stem if policy == CURRENT_POLICY else f"{stem}, {policy}"
            for seed in range(seeds):
                recipe = load_recipe(
                    recipe_name, images=images, seed=seed, batch=batch, held_out=held_out, **changes or {}
                )
                arms.append(Arm(name, with_checkpoints(recipe), data))
    if len({arm.slug for arm in arms}) < len(arms):
        raise RecipeError(f"two of the recipes {', '.join(recipes)} have the same name: rename a file")
    templates = {arm.recipe.template: arm.name for arm in arms}
    if len(templates) > 1:
        uses = ", ".join(f"{name} uses {template}" for template, name in templates.items())
        raise RecipeError(f"the arms of an ablation must use one template, but {uses}: choose other recipes")
    return arms


def with_checkpoints(recipe: Recipe) -> Recipe:
    """The recipe with a checkpoint at least every tenth of its images."""
    images = max(1, recipe.images // _MIN_CHECKPOINTS)
    return replace(recipe, checkpoint_images=min(recipe.checkpoint_images, images))


def make_views(data: Path, policies: Sequence[str], out: Path) -> dict[str, Path]:
    """Decide a dataset by each policy into `out/POLICY`: name of the policy -> view.

    Without policies, the dataset itself under the name `CURRENT_POLICY`.
    """
    loaded = {Path(name).stem: load_policy(name) for name in policies}
    if not loaded:
        return {CURRENT_POLICY: data}
    return {name: make_view(data, policy, out / name).path for name, policy in loaded.items()}
