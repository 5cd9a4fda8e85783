"""Arms of an ablation: recipes that cannot be compared are refused."""

from pathlib import Path

import pytest

from train.ablate.arms import make_arms
from train.errors import RecipeError

RECIPE = "size = 64\ndiscriminator_scales = 1\n"


def test_recipes_of_one_name_or_of_two_templates_are_refused(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "small.toml", tmp_path / "b" / "small.toml"
    for path in (first, second):
        path.parent.mkdir()
        path.write_text(RECIPE)
    with pytest.raises(RecipeError, match="have the same name"):
        make_arms([str(first), str(second)], {"default": tmp_path}, 8, 1, 0.5)
    second = second.rename(tmp_path / "b" / "large.toml")
    second.write_text(RECIPE + 'template = "ffhq-512"\n')
    with pytest.raises(RecipeError, match="one template, but small, default uses simswap-224, large, default uses"):
        make_arms([str(first), str(second)], {"default": tmp_path}, 8, 1, 0.5)


def test_keys_are_changed_in_every_recipe(tmp_path: Path) -> None:
    arms = make_arms(["baseline", "seg-mask"], {"default": tmp_path}, 8, 1, 0.5, changes={"size": 128, "width": 32})
    assert {(arm.recipe.size, arm.recipe.width) for arm in arms} == {(128, 32)}
    assert [arm.recipe.mask for arm in arms] == ["none", "face_hair"]
