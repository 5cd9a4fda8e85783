"""train/landmark_loss.py on the astronaut's face, and in trainings that give it a weight."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from curate.faces.align import fit
from manifests.landmarks import TEMPLATES
from tests.samples.measured_faces import ASTRONAUT
from tests.samples.tiny_training import losses, run, with_recipe
from train.config import Recipe
from train.errors import RecipeError
from train.fit import FitPlan
from train.landmark_loss import LandmarkLoss

CHIP = TEMPLATES["arcface-112x96"]
EYES = float(np.linalg.norm(ASTRONAUT.points[1] - ASTRONAUT.points[0]))  # px of the crop


@pytest.fixture(scope="module")
def landmark_loss() -> LandmarkLoss:
    return LandmarkLoss(CHIP, torch.device("cpu"))


def faces(*shifts: float) -> tuple[Tensor, Tensor]:
    """The face shifted to the right by so many px, (N, 3, 224, 224), and the matrices of the face as it is."""
    crop = torch.from_numpy(ASTRONAUT.crop).permute(2, 0, 1).float() / 255
    matrices = torch.from_numpy(fit(ASTRONAUT.points[None], CHIP)[0]).float()
    return torch.stack([crop.roll(int(shift), 2) for shift in shifts]), matrices.expand(len(shifts), -1, -1)


def test_it_is_zero_for_the_target_itself(landmark_loss: LandmarkLoss) -> None:
    target, matrices = faces(0, 0)
    assert landmark_loss(target, target, matrices).item() == 0


def test_it_is_the_shift_of_a_face_in_eye_distances(landmark_loss: LandmarkLoss) -> None:
    torch.manual_seed(0)
    target, matrices = faces(0)
    distances = [landmark_loss(faces(shift)[0], target, matrices).item() for shift in (3, 6, 12)]
    np.testing.assert_allclose(distances, np.array([3, 6, 12]) / EYES, rtol=0.3)


def test_the_template_of_the_chips_has_no_effect() -> None:
    distances = []
    for name in ("arcface-112", "simswap-112", "dlib-150"):
        template = TEMPLATES[name]
        matrices = torch.from_numpy(fit(ASTRONAUT.points[None], template)[0]).float()
        torch.manual_seed(0)
        distances.append(LandmarkLoss(template, torch.device("cpu"))(faces(6)[0], faces(0)[0], matrices).item())
    np.testing.assert_allclose(distances, 6 / EYES, rtol=0.3)


def test_its_gradient_reaches_the_swapped_face_alone(landmark_loss: LandmarkLoss) -> None:
    (swapped, matrices), (target, _) = faces(6, -6), faces(0, 0)
    swapped.requires_grad_()
    target.requires_grad_()
    landmark_loss(swapped, target, matrices).backward()  # type: ignore[no-untyped-call]
    assert target.grad is None
    assert swapped.grad is not None
    assert torch.isfinite(swapped.grad).all()
    assert (swapped.grad.abs().amax((1, 2, 3)) > 0).all()


def test_it_is_finite_where_swap_and_target_are_equal(landmark_loss: LandmarkLoss) -> None:
    swapped, matrices = faces(0)
    swapped.requires_grad_()
    landmark_loss(swapped, swapped.detach(), matrices).backward()  # type: ignore[no-untyped-call]
    assert swapped.grad is not None
    assert torch.isfinite(swapped.grad).all()


def test_a_training_by_swaps_has_the_term_where_its_recipe_gives_it_a_weight(planned: FitPlan, tmp_path: Path) -> None:
    (row,) = run(with_recipe(planned, tmp_path, images=4, landmarks=2.0))
    assert losses(row)["landmarks"] > 0
    assert np.isfinite(list(losses(row).values())).all()


def test_diffusion_refuses_the_key() -> None:
    with pytest.raises(RecipeError, match=r"landmarks = 1\.0 has no effect with generator = 'diffusion'"):
        Recipe(generator="diffusion", condition_shrink=8, same_person=1, landmarks=1.0)
