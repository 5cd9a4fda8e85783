"""Recipes: those that ship load, files extend them, and a mistake names the key and the remedy."""

from pathlib import Path

import pytest
import torch

from train.build import build_generator
from train.config import RECIPES, Recipe, load_recipe
from train.errors import RecipeError
from train.networks.simswap import SimSwapGenerator
from train.settings import parse_settings

SHIPPED = (
    "baseline", "box-mask", "compact", "diffusion", "dynamic", "general", "input-mask", "later-code", "modulated",
    "people", "progressive", "seg-mask", "separable", "simswap-512", "small", "small-refine", "tiny",
)  # fmt: skip


def test_all_recipes_ship() -> None:
    assert RECIPES.names() == SHIPPED


def test_the_recipes_named_after_simswap_have_its_settings() -> None:
    paper, later = load_recipe("baseline"), load_recipe("later-code")
    assert (paper.learning_rate, paper.beta1, paper.beta2, paper.identity) == (2e-4, 0.5, 0.999, 20)
    assert (paper.io_space, paper.discriminator_scales, paper.discriminator_width) == ("rgb01_tanh", 2, 64)
    assert (later.learning_rate, later.beta1, later.beta2, later.identity) == (4e-4, 0, 0.99, 30)
    assert (later.io_space, later.discriminator_batch) == ("imagenet", "fresh")
    for recipe in (paper, later):
        assert (recipe.blocks, recipe.width, recipe.feature_matching, recipe.reconstruction) == (9, 64, 10, 10)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_recipe_keeps_people_or_photos_apart_to_judge_on(name: str) -> None:
    recipe = load_recipe(name)
    assert max(recipe.held_out, recipe.held_out_photos) >= 0.05


def test_the_blocks_of_progressive_open_in_equal_shares_of_any_training() -> None:
    for images in (90_000, 14_400_000):
        recipe = load_recipe("progressive", images=images, width=8)
        assert recipe.follows_images
        with torch.device("meta"):
            network = build_generator(recipe, 512)
        assert isinstance(network, SimSwapGenerator)
        opened = []
        for ninth in range(9):
            network.set_progress((2 * ninth + 1) * images // 18)
            opened.append(network.active_blocks)
        assert opened == list(range(1, 10))


def test_settings_are_values_of_toml_or_text() -> None:
    parsed = parse_settings(["images=20_000", "mask = face", "learning_rate=1e-3", 'people="ann, bob"', "teacher="])
    assert parsed == {"images": 20_000, "mask": "face", "learning_rate": 1e-3, "people": "ann, bob", "teacher": ""}
    for texts, message in ((["images"], "write KEY=VALUE"), (["a=1", "a=2"], "a is given twice")):
        with pytest.raises(RecipeError, match=message):
            parse_settings(texts)
    with pytest.raises(RecipeError, match="unknown key 'imagos'; did you mean 'images'"):
        load_recipe("tiny", **parse_settings(["imagos=3"]))


def test_what_has_no_effect_in_so_few_images_is_said() -> None:
    assert [load_recipe(name).cautions() for name in SHIPPED] == [[]] * len(SHIPPED)
    few = load_recipe("people", images=40_000).cautions()
    assert few == ["refine_images = 60,000 is not reached in 40,000 images: faces stay soft"]
    assert load_recipe("people", images=20_000).cautions()[0].startswith("half_size_images")
    blocks, average = load_recipe("progressive", images=8_000).cautions()
    assert blocks.startswith("block_share = 0.1111 opens a block every 55 steps")
    assert average.startswith("ema_images = 10,000 averages over much of 8,000 images")


@pytest.mark.parametrize("name", SHIPPED)
def test_each_recipe_differs_from_all_others(name: str) -> None:
    recipe = load_recipe(name)
    assert (recipe == Recipe()) == (name == "baseline")
    assert all(load_recipe(other).sha256() != recipe.sha256() for other in SHIPPED if other != name)


def test_a_file_changes_what_it_names_and_inherits_the_rest(tmp_path: Path) -> None:
    (tmp_path / "parent.toml").write_text('extends = "seg-mask"\nbatch = 4\n')
    (tmp_path / "child.toml").write_text('extends = "parent.toml"\nidentity = 20\n')
    recipe = load_recipe(tmp_path / "child.toml", images=100, seed=None)
    assert (recipe.mask, recipe.batch, recipe.identity, recipe.images, recipe.seed) == ("face_hair", 4, 20, 100, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rat = 1", "x.toml: unknown key 'learning_rat'; did you mean 'learning_rate'?"),
        ("batch = 0", "x.toml: batch = 0 is out of range; set it to 1 to 4096"),
        ("batch = 1.5", "x.toml: batch = 1.5 must be an integer"),
        ('mask = "hair"', "mask = 'hair' must be none, box, face or face_hair; did you mean"),
        ("size = 100", "size = 100 must be a multiple of 8 and at most 224"),
        ('shrink = 2\noutput = "change"\nsize = 120', "size = 120 must be a multiple of 16 and at most 224"),
        ('variant = "deep"\nsize = 216', "size = 216 must be a multiple of 16"),
        ("shrink = 2", 'shrink = 2 would lose details, which only output = "change" keeps'),
        ("size = 64", "discriminator_scales = 2 needs crops of 96 px, and size is 64"),
        ("accumulate = 3", "batch = 16 cannot be divided into accumulate = 3 equal parts"),
        (
            "adversarial = 0\nfeature_matching = 0\ngradient_penalty = 1e-5",
            "gradient_penalty = 1e-05 has no effect without a discriminator",
        ),
        ('masked = "input"', 'masked = "input" needs a mask'),
        ("distillation = 3", "distillation = 3 has no effect without a teacher"),
        ('teacher = "x"\ndistillation = 0\nfeature_distillation = 0', "a teacher has no effect with distillation = 0"),
        ('generator = "diffusion"', "either a teacher"),
        (
            'generator = "diffusion"\nteacher = "x"\nsame_person = 1.0\nbatch = 4\naccumulate = 4',
            "parts of one image have no next row",
        ),
        ('generator = "diffusion"\ncondition_shrink = 8', "diffusion is trained on photos of one person"),
        ('extends = "x.toml"', "forms a cycle"),
        ("= 1", "not valid TOML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.toml").write_text(text)
    with pytest.raises(RecipeError) as caught:
        load_recipe("x.toml")
    assert message in str(caught.value)


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(RecipeError, match="did you mean 'baseline'"):
        load_recipe("baselin")


def test_what_may_change_between_a_training_and_its_continuation() -> None:
    tiny = vars(load_recipe("tiny"))
    assert load_recipe("tiny", images=80_000, log_steps=1).differences(tiny) == []
    assert load_recipe("tiny", batch=8).differences(tiny) == ["batch: 16, here 8"]
    older = {key: value for key, value in tiny.items() if key != "landmarks"}
    assert load_recipe("tiny").differences(older) == []
    # The mask's weight is a function of the share of all images.
    assert load_recipe("seg-mask", images=9).differences(vars(load_recipe("seg-mask"))) == ["images: 8000000, here 9"]


def test_every_key_is_described() -> None:
    keys = {key.name: key for key in load_recipe("tiny").describe()}
    assert keys["batch"].value == "16"
    assert keys["generator"].accepted == "compact, diffusion, general, people, simswap"
    assert keys["mask"].accepted == "none, box, face or face_hair"
    assert all(len(key.meaning.split()) > 1 for key in keys.values())
