"""Training of named people: what is trained when, the names in the record, and continuing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from manifests.errors import DatasetError
from tests.conftest import Cleaned
from tests.samples.listener import Recorder
from tests.samples.tiny_training import losses, run, with_recipe, write_recipe
from train import checkpoint, fit
from train.config import load_recipe
from train.errors import CheckpointError, RecipeError
from train.fit import FitPlan
from train.networks.people import PeopleGenerator
from train.trained import load_network, load_trained

PEOPLE = "n000001, n000002"

LINES = f"""
generator = "people"
people = "{PEOPLE}"
blocks = 9
same_person = 1.0
held_out = 0.0
mask = "face"
half_size_images = 8
refine_images = 16
identity = 1.0
"""


@pytest.fixture(scope="module")
def planned(cleaned: Cleaned, tmp_path_factory: pytest.TempPathFactory) -> FitPlan:
    """The small training on two people of the demo."""
    folder = tmp_path_factory.mktemp("people")
    recipe = load_recipe(write_recipe(folder, LINES))
    return fit.plan(fit.FitRequest(cleaned.out, recipe, folder / "out", "cpu", workers=1))


def test_losses_come_in_three_stages(planned: FitPlan, tmp_path: Path) -> None:
    rows = run(with_recipe(planned, tmp_path))
    first = {"reconstruction", "structure", "classification", "recognisability"}
    refining = {"identity", "consistency", "adversarial", "feature_matching", "discriminator"}
    assert [set(losses(row)) for row in rows] == [first] * 5 + [first | refining]
    assert all(np.isfinite(value) for row in rows for value in row.values())
    before, after = (checkpoint.read(checkpoint.path_of(tmp_path / "checkpoints", images)) for images in (20, 24))
    assert not any(name.startswith("optimiser_d.") for name in before.tensors)
    assert any(name.startswith("optimiser_d.") for name in after.tensors)


def test_a_person_is_reconstructed_after_a_few_hundred_images(planned: FitPlan, tmp_path: Path) -> None:
    recipe = {"half_size_images": 1000, "refine_images": 1000, "learning_rate": 1e-3, "beta1": 0.9}
    rows = run(with_recipe(planned, tmp_path, images=320, batch=8, **recipe))
    reconstruction = [row["reconstruction"] for row in rows]
    assert np.mean(reconstruction[-10:]) < 0.75 * np.mean(reconstruction[:10])


def test_the_checkpoint_holds_the_people_and_their_latents(planned: FitPlan, cleaned: Cleaned, tmp_path: Path) -> None:
    fit.run(with_recipe(planned, tmp_path, images=4))
    path = checkpoint.path_of(tmp_path / "checkpoints", 4)
    trained = load_trained(path)
    assert trained.people == ("n000001", "n000002")
    assert isinstance(trained.network, PeopleGenerator)
    photos = planned.photos
    latents = torch.from_numpy(fit._latents(planned, torch.device("cpu"), Recorder())[photos.person == 1].astype("f4"))
    assert float(trained.person_embedding("n000002") @ latents.mean(0)) > 0.99 * float(latents.mean(0).norm())
    assert trained.nearest_person(latents)[0] == "n000002"
    with pytest.raises(CheckpointError, match="not trained on 'n000009': name one of n000001, n000002"):
        trained.person_embedding("n000009")


def test_people_are_those_of_the_dataset_where_none_is_named(
    planned: FitPlan, cleaned: Cleaned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.data.people.MIN_PHOTOS", 2)
    request = replace(planned.request, recipe=replace(planned.request.recipe, people=""))
    names = fit.plan(request).request.recipe.people.split(", ")
    assert len(names) > 2
    assert names == sorted(names)
    with pytest.raises(DatasetError, match="no kept photo of 'n00001'; did you mean"):
        fit.plan(replace(request, recipe=replace(request.recipe, people="n00001")))


def test_a_stopped_run_continues_as_if_nothing_had_happened(planned: FitPlan, tmp_path: Path) -> None:
    whole = run(with_recipe(planned, tmp_path / "whole"))
    parts = tmp_path / "parts"
    rows = [*run(with_recipe(planned, parts, images=20)), *run(with_recipe(planned, parts))]
    assert [losses(row) for row in rows] == [losses(row) for row in whole]
    ends = [checkpoint.read(checkpoint.path_of(folder / "checkpoints", 24)) for folder in (tmp_path / "whole", parts)]
    assert all(torch.equal(tensor, ends[1].tensors[name]) for name, tensor in ends[0].tensors.items())


def test_few_photos_are_reported(planned: FitPlan, tmp_path: Path) -> None:
    recorder = Recorder()
    fit.run(with_recipe(planned, tmp_path, images=4), recorder)
    assert any(note.startswith("few photos (n000001 ") for note in recorder.notes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"same_person": 0.5}, "is trained on each person's photos.*set same_person = 1$"),
        ({"held_out": 0.1}, "held_out_photos holds out photos.*set held_out = 0$"),
        ({"refine_images": 4}, "refine_images = 4 must not be below half_size_images = 8"),
        ({"size": 72}, "size = 72 must be 4, 5, 6 or 7 times a power of 2"),
        ({"blocks": 3}, "blocks = 3 has no effect with generator = 'people'"),
    ],
)
def test_conflicting_keys_are_refused(planned: FitPlan, changes: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        replace(planned.request.recipe, **changes)  # type: ignore[arg-type]


def test_a_loaded_network_keeps_the_resolution_that_it_was_trained_to(planned: FitPlan, tmp_path: Path) -> None:
    fit.run(with_recipe(planned, tmp_path, images=8))
    for images, levels in ((4, 4), (8, 5)):
        network = load_network(checkpoint.path_of(tmp_path / "checkpoints", images)).network
        assert isinstance(network, PeopleGenerator)
        assert network.levels_in_use == levels
