"""train/swap/registration.py on the astronaut's face."""

import pytest
import torch
from torch import Tensor

from tests.samples.measured_faces import ASTRONAUT
from train.networks.people import PeopleGenerator
from train.networks.simswap import SimSwapGenerator
from train.swap.registration import Registration, registration_of

FACE = torch.from_numpy(ASTRONAUT.crop).permute(2, 0, 1).float()[None] / 255
POINTS = torch.from_numpy(ASTRONAUT.points).float()[None]


@pytest.fixture(scope="module")
def registration() -> Registration:
    return Registration(torch.device("cpu"))


def distance(a: Tensor, b: Tensor) -> float:
    """Mean absolute difference around the face."""
    return float((a - b)[..., 60:180, 50:175].abs().mean())


@pytest.mark.parametrize(("rows", "columns"), [(6, 0), (0, -6), (-4, 4)])
def test_a_face_drawn_beside_its_place_is_moved_to_it(registration: Registration, rows: int, columns: int) -> None:
    swapped = FACE.roll((rows, columns), (2, 3))
    assert distance(registration(swapped, FACE, POINTS), FACE) < 0.6 * distance(swapped, FACE)


def test_a_face_in_its_place_stays_there(registration: Registration) -> None:
    assert distance(registration(FACE, FACE, POINTS), FACE) < 1e-3


def test_what_is_no_face_is_not_moved(registration: Registration) -> None:
    noise = torch.rand(FACE.shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(registration(noise, FACE, POINTS), noise)
    assert torch.equal(registration(FACE, noise, POINTS), FACE)


def test_each_face_is_moved_by_its_own_distance(registration: Registration) -> None:
    swapped = torch.cat([FACE.roll(6, 3), FACE])
    both = registration(swapped, FACE.expand(2, -1, -1, -1), POINTS.expand(2, -1, -1))
    for index in range(2):
        alone = registration(swapped[index : index + 1], FACE, POINTS)
        torch.testing.assert_close(both[index : index + 1], alone, atol=1e-3, rtol=0)
    assert registration(FACE[:0], FACE[:0], POINTS[:0]).shape == (0, *FACE.shape[1:])


def test_generators_of_named_people_are_registered() -> None:
    people = PeopleGenerator(128, 64, "anna, ben", width=4)
    assert isinstance(registration_of(people), Registration)
    assert registration_of(SimSwapGenerator(128, blocks=1, width=4)) is None
