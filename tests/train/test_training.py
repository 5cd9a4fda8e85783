"""The step of a training: what each update uses and changes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize

from tests.samples.swap import write_checkpoint
from tests.samples.tiny_training import training, with_recipe
from train.config import Recipe
from train.data.loader import Batch
from train.ema import ema_decay, update_ema
from train.errors import CheckpointError, DivergedError
from train.fit import FitPlan
from train.networks.simswap import SimSwapGenerator
from train.objectives.diffusion import DiffusionObjective
from train.objectives.objective import Loss
from train.trained import load_network
from train.training import batch_kinds


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize(("discriminator_batch", "batches"), [("fresh", 4), ("same", 2)])
def test_both_updates_of_a_step_use_one_kind(share: float, discriminator_batch: str, batches: int) -> None:
    recipe = replace(Recipe(), same_person=share, accumulate=2, discriminator_batch=discriminator_batch)
    kind = batch_kinds(recipe)
    kinds = [kind(index) for index in range(batches * 40)]
    assert all(len(set(kinds[step * batches : (step + 1) * batches])) == 1 for step in range(40))
    assert kinds.count("same") == share * len(kinds)


def test_layers_that_read_the_latent_have_a_learning_rate_of_their_own(planned: FitPlan, tmp_path: Path) -> None:
    changed = with_recipe(planned, tmp_path, latent_rate=10.0, identity_map=2)
    state, batches = training(changed, tmp_path)
    before = {name: p.detach().clone() for name, p in state.generator.named_parameters()}
    state.step(iter(batches))
    # Adam's first step moves each weight by the learning rate.
    moved = {name: (p - before[name]).abs().max().item() for name, p in state.generator.named_parameters()}
    rate = changed.request.recipe.learning_rate
    readers = {name for name, distance in moved.items() if distance > 5 * rate}
    assert readers == {name for name in moved if ".style" in name or name == "identity_map.linear.weight"}
    assert max(moved.values()) == pytest.approx(10 * rate, rel=0.01)


def test_a_step_updates_both_networks_and_the_discriminator_loss_has_no_graph_of_the_generator(
    planned: FitPlan, tmp_path: Path
) -> None:
    state, batches = training(planned, tmp_path)
    before = {name: p.detach().clone() for name, p in state.generator.named_parameters()}
    before_d = [p.detach().clone() for p in state.discriminator.parameters()]
    state.step(iter(batches))
    assert any(not torch.equal(before[name], p) for name, p in state.generator.named_parameters())
    assert any(not torch.equal(b, p) for b, p in zip(before_d, state.discriminator.parameters(), strict=True))
    state.optimiser_g.zero_grad()
    state.objective.discriminator_loss(batches[1], 0.0).total.backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is None for p in state.generator.parameters())


def test_parts_of_a_batch_give_the_gradient_of_the_whole(planned: FitPlan, tmp_path: Path) -> None:
    state, batches = training(planned, tmp_path)
    weight = next(state.generator.parameters())

    def loss_of(index: int, batch: Batch) -> Loss:
        # Without batch normalisation, whose statistics differ between the parts.
        return Loss((weight.sum() * batch.target.float()).mean(), {"x": torch.ones(())}, weight)

    state._update(torch.optim.SGD([weight]), batches[:2], loss_of)
    assert weight.grad is not None
    expected = torch.stack([batch.target.float().mean() for batch in batches[:2]]).mean()
    assert torch.allclose(weight.grad, torch.full_like(weight, expected.item()))


def test_blocks_open_one_by_one_and_earlier_ones_freeze(planned: FitPlan, tmp_path: Path) -> None:
    state, batches = training(with_recipe(planned, tmp_path, block_share=4 / 24), tmp_path)
    assert isinstance(state.generator, SimSwapGenerator)
    assert state.generator.active_blocks == 1
    state.step(iter(batches[:2]))
    frozen = [p.detach().clone() for p in state.generator.BottleNeck[0].parameters()]
    state.step(iter(batches[2:]))
    assert state.generator.active_blocks == 2
    assert all(torch.equal(b, p) for b, p in zip(frozen, state.generator.BottleNeck[0].parameters(), strict=True))
    assert not any(p.requires_grad for p in state.ema.parameters())


@pytest.mark.parametrize(("choice", "forwards"), [("same", 1), ("fresh", 2)])
def test_the_discriminator_learns_from_the_fakes_of_the_same_batch_or_of_another(
    planned: FitPlan, tmp_path: Path, choice: str, forwards: int
) -> None:
    state, batches = training(with_recipe(planned, tmp_path, discriminator_batch=choice), tmp_path)
    generated: list[torch.Tensor] = []
    state.generator.register_forward_hook(lambda module, inputs, image: generated.append(image.detach().clone()))
    judged: list[torch.Tensor] = []
    state.discriminator.register_forward_hook(lambda module, inputs, verdicts: judged.append(inputs[0].detach()))
    state.step(iter(batches[:forwards]))
    assert len(generated) == forwards
    assert torch.equal(judged[-1], generated[-1])  # D's last input: the newest fakes


def test_a_teacher_gets_latents_relative_to_its_own_centre(planned: FitPlan, tmp_path: Path) -> None:
    path = tmp_path / "teacher.safetensors"
    write_checkpoint(path, planned.embedder.embedder_id)
    changed = with_recipe(planned, tmp_path, generator="diffusion", same_person=1.0, teacher=str(path))
    state, batches = training(changed, tmp_path)
    assert isinstance(state.objective, DiffusionObjective)
    teacher = load_network(path)
    assert teacher.centre.norm() > 0.1  # this training's is zero
    rgb01 = batches[0].target.float() / 255
    expected = teacher.network(rgb01, normalize(batches[0].latents.roll(1, 0) - teacher.centre))
    torch.testing.assert_close(state.objective.condition(rgb01, batches[0]), expected.clamp(0, 1))
    state.step(iter(batches))


def test_a_teacher_of_another_embedder_is_refused(planned: FitPlan, tmp_path: Path) -> None:
    path = tmp_path / "teacher.safetensors"
    write_checkpoint(path, "0" * 16)
    changed = with_recipe(planned, tmp_path, generator="diffusion", same_person=1.0, teacher=str(path))
    with pytest.raises(CheckpointError, match=r"its latents are of embedder 0000.*train the teacher"):
        training(changed, tmp_path)


def test_nan_stops_the_run_and_leaves_the_batch(planned: FitPlan, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    state, batches = training(planned, tmp_path)
    with torch.no_grad():
        next(state.generator.parameters()).fill_(float("nan"))
    state.step(iter(batches))
    with pytest.raises(DivergedError, match="loss 'adversarial' is nan after 4 images; its batches are in"):
        state.losses.means()
    (path,) = (tmp_path / "diverged").iterdir()
    assert path.name == f"{4:012d}.safetensors"
    assert torch.equal(load_file(path)["0.target"], batches[0].target)


def test_a_step_is_checked_when_the_next_one_is_added(planned: FitPlan, tmp_path: Path) -> None:
    state, batches = training(planned, tmp_path)
    with torch.no_grad():
        next(state.generator.parameters()).fill_(float("nan"))
    state.step(iter(batches[:2]))
    with pytest.raises(DivergedError, match="after 4 images"):
        state.step(iter(batches[2:]))


def test_the_average_follows_the_weights_with_its_half_life_and_copies_buffers() -> None:
    assert ema_decay(batch=100, images=10**9, half_life=100) == 0.5
    assert ema_decay(batch=100, images=2000, half_life=10**9) == 0.5  # at most 5% of the images so far
    assert ema_decay(batch=100, images=10**9, half_life=0) == 0
    network, average = torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2)
    torch.nn.init.constant_(network.weight, 3.0)
    network.running_mean = torch.tensor([5.0, 6.0])
    update_ema(average, network, 0.75)
    assert average.weight.tolist() == [1.5, 1.5]
    assert average.running_mean is not None
    assert average.running_mean.tolist() == [5.0, 6.0]
