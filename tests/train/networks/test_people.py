"""The generator of named people: a narrow code, the person nearest to the latent, growth, and the adversary."""

import pytest
import torch
from torch import Tensor

from curate.errors import ModelError
from train.build import build_generator
from train.config import load_recipe
from train.networks.people import PeopleGenerator, parse_people
from train.networks.person_layers import decoder_side


def generator(**changes: object) -> PeopleGenerator:
    """Three people at 64 px, whose latents are the axes."""
    torch.manual_seed(0)
    small = {"people": "ann, bob, cid", "size": 64, "width": 4, "half_size_images": 10, "refine_images": 20}
    network = build_generator(load_recipe("people", **small | changes), 3)
    assert isinstance(network, PeopleGenerator)
    network.set_people(torch.eye(3), torch.eye(3), torch.zeros(3))
    network.set_progress(100)
    return network.eval()


def faces(count: int = 2, size: int = 64) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def test_names_are_separated_by_commas() -> None:
    assert parse_people(" ann, bob smith,ann,, ") == ("ann", "bob smith")
    assert generator().names == ("ann", "bob", "cid")
    with pytest.raises(ModelError, match="people = 'ann': a generator of named people takes two or more"):
        generator(people="ann")


@pytest.mark.parametrize(("size", "side"), [(64, 4), (80, 5), (96, 6), (112, 7), (224, 7), (72, None), (88, None)])
def test_the_first_features_are_4_to_7_px_wide(size: int, side: int | None) -> None:
    assert decoder_side(size) == side
    if side is not None and size <= 112:
        assert generator(size=size)(faces(1, size), torch.eye(3)[:1]).shape == (1, 3, size, size)


def test_the_person_is_the_one_nearest_to_the_latent() -> None:
    network = generator()
    latents = torch.tensor([[0.9, 0.3, -0.1], [0.1, 0.2, 0.9]])
    assert network.nearest(latents).tolist() == [0, 2]
    target = faces()
    assert torch.equal(network(target, latents), network(target, torch.eye(3)[[0, 2]]))
    assert not torch.allclose(network(target, torch.eye(3)[[0, 2]]), network(target, torch.eye(3)[[1, 1]]), atol=1e-3)


def test_only_the_code_reaches_the_decoder() -> None:
    network = generator(bottleneck=8)
    assert network.encode(faces()).shape == (2, 8)
    # With the encoder's output fixed, all targets give one image.
    torch.nn.init.zeros_(network.to_code.weight)
    first, second = network(faces(), torch.eye(3)[[1, 1]])
    assert torch.equal(first, second)


def test_the_last_level_is_added_after_half_size_images_and_the_refining_losses_after_refine_images() -> None:
    network = generator()
    people = torch.tensor([0, 1])
    for images, side, refinement in ((0, 32, 0.0), (10, 64, 0.0), (20, 64, 0.0), (2_020, 64, 0.5), (9_000, 64, 1.0)):
        network.set_progress(images)
        assert network.decode(network.encode(faces()), people).shape[-1] == side
        assert network.refinement == refinement
        assert network(faces(), torch.eye(3)[:2]).shape == (2, 3, 64, 64)


def test_the_classifier_learns_people_from_codes_and_the_encoder_to_leave_it_without_a_preference() -> None:
    network = generator()
    code = torch.randn(4, 96, requires_grad=True)
    weights = list(network.classifier.parameters())
    network.classify(code).square().sum().backward()
    assert code.grad is None
    assert all(weight.grad is not None for weight in weights)

    # Codes of an autocast encoder, outside of autocast.
    assert network.classify(code.bfloat16()).dtype == network.recognisability(code.bfloat16()).dtype == torch.float32

    network.zero_grad()
    before = network.recognisability(code)
    before.backward()
    assert all(weight.grad is None for weight in weights)
    assert code.grad is not None
    assert network.recognisability(code - 0.1 * code.grad) < before
    # The smallest value is 0: no guess is better than another.
    torch.nn.init.zeros_(network.classifier[2].weight)  # type: ignore[arg-type]
    torch.nn.init.zeros_(network.classifier[2].bias)  # type: ignore[arg-type]
    assert network.recognisability(code).item() == pytest.approx(0, abs=1e-6)
