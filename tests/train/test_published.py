"""Published generators: variants are recognised, outputs are kept, and what is missing is named."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from tests.samples.swap import embedder
from train.errors import CheckpointError
from train.networks.simswap import SimSwapGenerator
from train.published import import_published, recognise
from train.trained import load_network


def weights(variant: str = "224", latent_dim: int = 128) -> tuple[SimSwapGenerator, dict[str, Tensor]]:
    """A small generator with random weights and statistics, and its state dict."""
    torch.manual_seed(3)
    network = SimSwapGenerator(latent_dim, blocks=2, width=8, variant=variant)  # type: ignore[arg-type]
    for name, buffer in network.named_buffers():
        if "running_" in name:
            buffer.uniform_(0.5, 1.5)
    return network.eval(), network.state_dict()


@pytest.mark.parametrize(
    ("variant", "size", "template"),
    [("224", 224, "simswap-224"), ("deep", 512, "ffhq-512"), ("512", 512, "ffhq-512")],
)
def test_a_variant_is_recognised_by_its_layers(variant: str, size: int, template: str) -> None:
    recipe, latent_dim = recognise(weights(variant)[1], Path("a.pth"), "rgb01_tanh")
    assert (recipe.variant, recipe.size, recipe.template) == (variant, size, template)
    assert (recipe.blocks, recipe.width, recipe.centre_above, latent_dim) == (2, 8, 1.0, 128)
    assert recipe.held_out == 0  # whom it was trained on is unknown


@pytest.mark.parametrize("io_space", ["rgb01_tanh", "imagenet"])
def test_an_imported_generator_gives_the_same_images(tmp_path: Path, io_space: str) -> None:
    network, state = weights()
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, tmp_path / "G.pth")
    facts = import_published(tmp_path / "G.pth", tmp_path / "a.safetensors", "builtin", io_space)  # type: ignore[arg-type]
    assert (facts.embedder_id, facts.images) == (embedder().embedder_id, 0)
    trained = load_network(tmp_path / "a.safetensors")
    assert trained.io_space == io_space
    latent = normalize(torch.randn(1, 128))
    torch.testing.assert_close(trained.condition(latent), latent)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(trained.network(image, latent), _in_space(network, io_space)(image, latent))


def _in_space(network: SimSwapGenerator, io_space: str) -> SimSwapGenerator:
    network.io_space = io_space  # type: ignore[assignment]
    return network


def test_the_published_network_has_its_123_tensors() -> None:
    with torch.device("meta"):
        state = SimSwapGenerator().state_dict()
    assert len(state) == 123
    recipe, latent_dim = recognise(state, Path("a.pth"), "rgb01_tanh")
    assert (recipe.blocks, recipe.width, latent_dim) == (9, 64, 512)


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    torch.save({"layer.weight": torch.ones(3)}, tmp_path / "D.pth")
    (tmp_path / "text.pth").write_text("no weights")
    (tmp_path / "empty.pth").touch()
    (tmp_path / "end.pth").write_bytes(b"J12")  # an instruction of the unpickler without its argument
    torch.save(weights(latent_dim=16)[1], tmp_path / "G.pth")
    torch.save({name: t for name, t in weights()[1].items() if name != "last_layer.1.bias"}, tmp_path / "cut.pth")
    for name, message in (
        ("missing.pth", r"cannot read .*missing\.pth: it does not exist"),
        ("text.pth", "is not a PyTorch state dict"),
        ("empty.pth", "is not a PyTorch state dict"),
        ("end.pth", "is not a PyTorch state dict"),
        ("D.pth", "has no first_layer.1.weight, so it is not SimSwap's generator"),
        ("G.pth", "takes latents of 16 numbers, and embedder .* gives 128"),
        ("cut.pth", "does not fit SimSwap's generator"),
    ):
        with pytest.raises(CheckpointError, match=message):
            import_published(tmp_path / name, out, "builtin")
        assert not out.exists()
