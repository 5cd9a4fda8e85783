"""Latent diffusion: schedule and sampling against their formulas, gradients of each loss, and memory."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from train.complexity import measure
from train.networks.latent_diffusion import TIMES, LatentDiffusion, cosine_schedule


def tiny(**options: object) -> LatentDiffusion:
    torch.manual_seed(1)
    defaults: dict[str, object] = {"latent_dim": 8, "blocks": 1, "width": 4, "code_channels": 2, "denoiser_width": 8}
    return LatentDiffusion(**{**defaults, **options})  # type: ignore[arg-type]


def faces(count: int = 2) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(2)
    return torch.rand(count, 3, 32, 32, generator=random), F.normalize(torch.randn(count, 8, generator=random))


def settled(**options: object) -> LatentDiffusion:
    """In eval mode, with running statistics of some batches and a denoiser whose output is not zero."""
    model = tiny(**options)
    for _ in range(30):
        model.encode(faces(8)[0])
    torch.nn.init.normal_(model.denoiser.leave.weight)
    return model.eval()


def still(model: LatentDiffusion) -> LatentDiffusion:
    """Its running statistics do not move, so that training passes can be compared."""
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 0.0
    return model


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_schedule_falls_from_nearly_one_to_nearly_zero() -> None:
    alpha_bar = cosine_schedule()
    assert len(alpha_bar) == TIMES
    assert alpha_bar[0] > 0.9999
    assert 0 < alpha_bar[-1] < 1e-4
    assert (alpha_bar.diff() <= 0).all()
    assert alpha_bar[TIMES // 2 - 1].item() == pytest.approx(0.494, abs=0.005)


def test_codes_are_narrow_and_of_unit_variance() -> None:
    code = tiny().encode(faces(8)[0])
    assert code.shape == (8, 2, 4, 4)
    torch.testing.assert_close(code.var((0, 2, 3), correction=0), torch.ones(2), atol=0.01, rtol=0)


def test_perfect_prediction_restores_the_truth() -> None:
    """DDIM with an oracle for a denoiser ends on the truth, for any noise and number of steps."""
    model = tiny().eval()
    target, identity = faces()
    truth = torch.randn(2, 2, 4, 4).clamp(-3, 3)

    class Oracle(torch.nn.Module):
        error = 0.0

        def forward(self, noisy: Tensor, condition: Tensor, time: Tensor, *_: Tensor) -> Tensor:
            alpha_bar = model.alpha_bar[time][:, None, None, None]
            noise = (noisy - alpha_bar.sqrt() * truth) / (1 - alpha_bar).sqrt()
            return alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * truth + self.error * torch.randn_like(noise)

    oracle = Oracle()
    model.denoiser = oracle  # type: ignore[assignment]
    with torch.no_grad():
        for steps in (1, 2, 7):
            image = model.sample(target, identity, torch.randn(2, 2, 4, 4), steps=steps)
            torch.testing.assert_close(image, model.decode(truth), atol=1e-3, rtol=0)
        # An error of the prediction is not multiplied at the noisy end.
        oracle.error = 0.1
        for steps in (1, 2, 7):
            code = model.sample_code(target, identity, torch.randn(2, 2, 4, 4), steps=steps)
            assert (code - truth).std() < 0.15


def test_running_statistics_are_those_of_truths() -> None:
    model, other = tiny(), tiny()
    target, identity = faces(8)
    model.losses(target, torch.zeros_like(target), identity, seeded(), estimate=True)
    other.losses(target, 9 * target, -identity, seeded())
    statistics = [{name: b for name, b in m.named_buffers() if "running" in name} for m in (model, other)]
    assert all(torch.equal(b, statistics[1][name]) for name, b in statistics[0].items())
    assert all(layer.training for layer in model.modules())
    alone = tiny()
    alone.encode(target)
    assert torch.equal(alone.to_code[1].running_var, model.to_code[1].running_var)  # type: ignore[arg-type]


def test_a_condition_has_one_code_in_training_and_in_swaps() -> None:
    model = still(settled())
    target, identity = faces()
    conditions: list[Tensor] = []
    model.denoiser.register_forward_hook(lambda module, inputs, output: conditions.append(inputs[1]))
    with torch.no_grad():
        model(target, identity)
        model.train().losses(target, target, identity, seeded())
    torch.testing.assert_close(conditions[0], conditions[-1])


def test_the_loss_is_the_squared_error_of_the_velocity() -> None:
    """A fresh denoiser outputs its last layer's bias; with a bias of zero the loss is the velocity's mean square, 1."""
    model = tiny()
    torch.nn.init.zeros_(model.denoiser.leave.bias)  # type: ignore[arg-type]
    target, identity = faces(16)
    assert model.losses(target, target, identity, seeded()).velocity.item() == pytest.approx(1, abs=0.15)


def test_training_is_repeatable_and_each_loss_has_gradients_in_its_part_only() -> None:
    model = still(tiny())
    target, identity = faces()
    torch.nn.init.normal_(model.denoiser.leave.weight)
    first, second = (model.losses(target, target.flip(3), identity, seeded(), estimate=True) for _ in range(2))
    assert torch.equal(first.velocity, second.velocity)
    assert first.estimate is not None
    assert first.estimate.shape == first.decoded.shape == target.shape
    assert first.signal.shape == (2,)

    def reached(loss: Tensor) -> set[str]:
        model.zero_grad(set_to_none=True)
        loss.backward(retain_graph=True)
        return {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}

    assert reached(first.velocity) == {"denoiser"}
    assert reached((first.decoded - target).abs().mean()) == {"encoder", "to_code", "from_code", "decoder"}
    assert reached(first.estimate.square().mean()) == {"denoiser", "from_code", "decoder"}


def test_swapping_is_a_pure_function_that_depends_on_target_and_identity() -> None:
    model = settled()
    target, identity = faces()
    with torch.no_grad():
        image = model(target, identity)
        assert torch.equal(image, model(target, identity))
        torch.testing.assert_close(model(target[1:], identity[1:]), image[1:], atol=1e-4, rtol=0)
        assert (model(target, identity.flip(0)) - image).abs().max() > 1e-3
        assert (model(target.flip(0), identity) - image).abs().max() > 1e-3
        noise = torch.randn(2, 2, 4, 4, generator=seeded())
        assert (model.sample(target, identity, noise) - image).abs().max() > 1e-3


def test_dropped_identities_do_not_reach_the_denoiser_and_have_no_identity_loss() -> None:
    model = still(tiny(identity_dropout=1.0))
    torch.nn.init.normal_(model.denoiser.leave.weight)
    target, identity = faces()
    first, second = (model.losses(target, target, latent, seeded()) for latent in (identity, -identity))
    assert torch.equal(first.velocity, second.velocity)
    assert not first.signal.any()
    first.velocity.backward()
    assert model.denoiser.null_identity.grad is not None
    assert model.denoiser.null_identity.grad.any()


def test_guidance_moves_away_from_the_null_identity() -> None:
    model = settled()
    target, identity = faces()
    noise = torch.randn(1, 2, 4, 4, generator=seeded())
    null = F.normalize(model.denoiser.null_identity, dim=0).expand_as(identity)
    with torch.no_grad():
        unconditional = model.sample(target, identity, noise, guidance=0)
        torch.testing.assert_close(unconditional, model.sample(target, null, noise), atol=1e-4, rtol=0)
        assert (
            model.sample(target, identity, noise, guidance=2) - model.sample(target, identity, noise)
        ).abs().max() > 1e-3


def test_a_shrunk_condition_hides_detail() -> None:
    model = settled(condition_shrink=8)
    target, identity = faces(1)
    target[..., :16] = 0
    # Two pixels of one block are exchanged, which keeps the block's mean.
    other = target.clone()
    other[..., 0, 24], other[..., 1, 25] = target[..., 1, 25], target[..., 0, 24]
    with torch.no_grad():
        torch.testing.assert_close(model(target, identity), model(other, identity), atol=1e-4, rtol=0)
        assert (model(target, identity) - model(target.flip(3), identity)).abs().max() > 1e-3


def test_checkpointing_changes_memory_only() -> None:
    stored, recomputed = tiny(), tiny(checkpointing=True)
    target, identity = faces()
    gradients = []
    for model in (stored, recomputed):
        losses = model.losses(target, target, identity, seeded())
        (losses.velocity + losses.decoded.square().mean()).backward()
        gradients.append([p.grad for p in model.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


def test_batch_16_fits_at_224() -> None:
    """8 GiB in float32; the report's chain on 512 channels ran out of memory above batch 2."""
    with torch.device("meta"):
        model = LatentDiffusion()
    cost = measure(
        model, (16, 3, 224, 224), (16, 512), run=lambda network, image, latent: network.losses(image, image, latent)
    )
    assert cost.training_bytes(16) < 8 * 2**30


def test_a_few_steps_cost_no_more_than_the_blocks_they_replace() -> None:
    with torch.device("meta"):
        model = LatentDiffusion()
    assert measure(model, (1, 3, 224, 224), (1, 512)).macs < 48.2e9


def test_it_learns() -> None:
    """A hundred steps on two photos: the velocity loss and the autoencoder's error fall."""
    model = tiny(width=8, denoiser_width=16)
    target, identity = faces()
    target = F.interpolate(target[:, :, ::8, ::8], (32, 32), mode="bilinear")
    adam = torch.optim.Adam(model.parameters(), 3e-3)
    random = seeded()
    history = []
    for _ in range(120):
        losses = model.losses(target, target, identity, random)
        error = (losses.decoded - target).abs().mean()
        adam.zero_grad()
        (losses.velocity + error).backward()
        adam.step()
        history.append((losses.velocity.item(), error.item()))
    start, end = (torch.tensor(part).mean(0) for part in (history[:15], history[-15:]))
    assert end[0] < 0.8 * start[0]
    assert end[1] < 0.6 * start[1]


def test_inversion_returns_to_the_initial_noise() -> None:
    """With the same condition and identity, and many steps: what remains is the error of the Euler steps."""
    model = settled()
    with torch.no_grad():
        model.denoiser.leave.weight.mul_(0.05)
        model.denoiser.enter.weight[:, 2:] = 0  # of the condition's channels
        noise = torch.randn(2, 2, 4, 4, generator=seeded())
        code = model.sample_code(*faces(), noise, steps=50, guidance=0)
        assert F.cosine_similarity(code.flatten(), noise.flatten(), 0) < 0.99
        model._code = lambda image, fixed=False: image  # type: ignore[method-assign]
        assert F.cosine_similarity(model.invert(code, steps=50).flatten(), noise.flatten(), 0) > 0.999


def test_regenerated_images_have_the_swap_as_condition_and_no_identity() -> None:
    model = settled()
    image, latent = faces(1)
    noises = torch.randn(3, 2, 4, 4, generator=seeded())
    with torch.no_grad():
        images = model.regenerate(image, noises)
        expected = [model.sample(image, latent, noise[None], guidance=0) for noise in noises]
        torch.testing.assert_close(images, torch.cat(expected), atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        model.invert(image, steps=0)
