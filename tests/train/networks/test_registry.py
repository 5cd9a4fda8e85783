"""The registry of generators: recipe keys that a generator does not accept are refused, and a new one is one file."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from train.build import build_generator
from train.config import RECIPES, Recipe, load_recipe
from train.errors import RecipeError
from train.networks.face_generator import FaceGenerator
from train.networks.registry import generator_names, register_generator, unregister_generator


@pytest.fixture
def toy() -> Iterator[None]:
    """A registered generator that accepts two of the existing recipe keys."""

    @register_generator("toy", "width", "shrink")
    class Toy(FaceGenerator):
        def __init__(self, latent_dim: int, width: int, shrink: int) -> None:
            super().__init__(latent_dim, "rgb01_tanh", "change", shrink)
            self.layers = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 3, 1))
            self.style = nn.Linear(latent_dim, 3)

        def forward(self, target: Tensor, latent: Tensor) -> Tensor:
            return self._finish(self.layers(self._shrunk(target)) + self.style(latent)[:, :, None, None], target)

    yield
    unregister_generator("toy")


@pytest.mark.usefixtures("toy")
def test_a_registered_generator_is_built_from_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "toy.toml").write_text('generator = "toy"\nwidth = 5\nsize = 64\ndiscriminator_scales = 1\n')
    network = build_generator(load_recipe(tmp_path / "toy.toml"), 16)
    assert network.layers[0].weight.shape == (5, 3, 3, 3)  # type: ignore[index,union-attr]
    assert network(torch.rand(2, 3, 64, 64), torch.rand(2, 16)).shape == (2, 3, 64, 64)
    with pytest.raises(RecipeError, match=r"blocks = 3 has no effect with generator = 'toy', which accepts shrink, wi"):
        Recipe(generator="toy", blocks=3)


@pytest.mark.usefixtures("toy")
def test_names_are_unique() -> None:
    with pytest.raises(ValueError, match="generator 'toy' is registered already, by toy"):
        register_generator("toy")(FaceGenerator)


@pytest.mark.parametrize("name", generator_names())
def test_every_registered_generator_is_named_by_a_recipe(name: str) -> None:
    assert name in {load_recipe(recipe).generator for recipe in RECIPES.names()}


PEOPLE = {"generator": "people", "same_person": 1.0, "held_out": 0.0, "size": 96, "discriminator_scales": 1}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"generator": "diffusion", "convolution": "dynamic"}, "convolution = 'dynamic' has no effect with generator"),
        ({"generator": "diffusion", "output": "change"}, "output = 'change' has no effect"),
        ({"generator": "compact", "identity_map": 4}, "identity_map = 4 has no effect with generator = 'compact'"),
        ({"generator": "compact", "block_share": 0.5}, "block_share = 0.5 has no effect"),
        ({"generator": "compact", "variant": "deep"}, "variant = 'deep' has no effect"),
        ({"condition_shrink": 8}, "condition_shrink = 8 has no effect with generator = 'simswap'"),
        (PEOPLE | {"teacher": "x.safetensors"}, "teacher = 'x.safetensors' has no effect"),
        ({"features": 1.0}, "features = 1.0 has no effect with generator = 'simswap'"),
        (PEOPLE | {"latent_rate": 10.0}, "latent_rate = 10.0 has no effect with generator = 'people'"),
        (PEOPLE | {"convolution": "separable"}, "convolution = 'separable' has no effect"),
        ({"velocity": 1.0}, "velocity = 1.0 has no effect"),
        ({"generator": "simswop"}, "generator = 'simswop' must be compact, diffusion, general, people or simswap"),
    ],
)
def test_keys_that_a_generator_does_not_accept_are_refused(keys: dict[str, object], message: str) -> None:
    diffusion = {"condition_shrink": 8, "same_person": 1.0} if keys.get("generator") == "diffusion" else {}
    with pytest.raises(RecipeError) as caught:
        Recipe(**diffusion | keys)  # type: ignore[arg-type]
    assert message in str(caught.value)
