"""Latent diffusion in the bottleneck: a narrow autoencoder, and a denoiser of identity blocks that runs a few steps.

SimSwap passes the features of an encoder through identity blocks. Here an encoder computes a narrow code (16 channels
at S/8, a twelfth of the number of pixel values), and a denoiser of identity blocks turns noise into the code of the
swapped face. The founding report ran DDPM on SimSwap's 512 channels, out of memory above batch 2; with a narrow code
and the encoder outside of the chain, a batch of 16 fits.

For a photo x of a person with latent i:
- *Truth*: x. *Condition*: x swapped to another identity by a trained generator, as in the report. Pose, expression,
  light and background are in the condition; the identity is only in i (from another photo of the person where there is
  one), so that the denoiser must read it there. In a swap the condition is the target, which also has the right
  attributes and the wrong identity.
- Without a trained generator, `condition_shrink` averages the condition over blocks of pixels, in training and in
  swaps: attributes survive, identity does not.
- The autoencoder is trained by reconstruction and the adversary, the denoiser by predicting the velocity (Salimans and
  Ho 2022, appendix D; cosine schedule of Nichol and Dhariwal 2021): an error of the velocity is at most as large in the
  code, whereas one of predicted noise is 316 times as large at the noisy end, where sampling starts. The loss has no
  gradient to the encoder, which could lower it with codes that carry no information. The decoder is trained on codes
  with a little noise, because sampled codes are inexact.
- Codes have unit variance by batch normalisation without parameters. All running statistics are those of truths.
  Conditions and estimates, whose features differ from those of truths, are normalised by these statistics, in training
  as in swaps.
- Classifier-free guidance (Ho and Salimans 2021): a tenth of the identities are replaced by a learned null identity.
  `guidance` 1 does not use it and costs half.
- Sampling is DDIM with eta = 0 (Song et al. 2021), a pure function of the initial noise. `forward` uses one fixed noise
  for all images, so that a swap does not depend on its batch and a video does not flicker. `invert` estimates the noise
  of a swap, and `regenerate` shows what others would have made: two ways to read a mark in it (`bench.noise_marks`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from train.networks.convolutions import CONVOLUTIONS, down, stem, to_pixels, up
from train.networks.face_generator import FaceGenerator, IoSpace
from train.networks.identity_injection import IdentityBlock
from train.networks.registry import register_generator

TIMES = 1000
_TIME_DIM = 128
_DECODER_NOISE = 0.1
_CODE_LIMIT = 5.0  # clamp of estimated codes (of unit variance), which are unbounded at the noisy end
_SWAP_SEED = 5


class DiffusionLosses(NamedTuple):
    """Results of one training pass.

    Attributes:
        velocity: scalar, mean squared error of the predicted velocity.
        decoded: (N, 3, S, S), the truth passed through the autoencoder, for reconstruction and the adversary.
        estimate: (N, 3, S, S), the face estimated by one denoising step, for the identity loss; None if not asked for.
        signal: (N,), alpha-bar of each image, the weight of its identity loss; 0 where the identity was dropped.
    """

    velocity: Tensor
    decoded: Tensor
    estimate: Tensor | None
    signal: Tensor


def cosine_schedule() -> Tensor:
    """alpha-bar (TIMES,): the signal's share of the variance at each time, from nearly 1 down to nearly 0."""
    # f(t) = cos^2((t / T + s) / (1 + s) pi / 2), alpha-bar = f(t) / f(0), with s = 0.008
    t = torch.arange(TIMES + 1, dtype=torch.float64) / TIMES
    f = torch.cos((t + 0.008) / 1.008 * torch.pi / 2).square()
    return (f[1:] / f[0]).clamp(min=1e-5).float()


class Denoiser(nn.Module):
    """Predicts the velocity of a noisy code from the condition's code, time and latent; codes are (N, c, h, w)."""

    def __init__(self, code_channels: int, width: int, blocks: int, latent_dim: int) -> None:
        super().__init__()
        self.null_identity = nn.Parameter(F.normalize(torch.randn(latent_dim), dim=0))
        self.time = nn.Sequential(nn.Linear(_TIME_DIM, _TIME_DIM), nn.SiLU(), nn.Linear(_TIME_DIM, _TIME_DIM))
        self.enter = nn.Conv2d(2 * code_channels, width, 3, 1, 1)
        self.blocks = nn.ModuleList(IdentityBlock(width, latent_dim + _TIME_DIM) for _ in range(blocks))
        self.leave = nn.Conv2d(width, code_channels, 3, 1, 1)
        nn.init.zeros_(self.leave.weight)

    def forward(self, noisy: Tensor, condition: Tensor, time: Tensor, latent: Tensor, known: Tensor) -> Tensor:
        """time: (N,) integers below TIMES; latent: (N, D); known: bool (N,), False uses the null identity."""
        latent = torch.where(known[:, None], latent, self.null_identity.to(latent.dtype))
        rates = torch.exp(torch.linspace(0, -9.2, _TIME_DIM // 2, device=noisy.device))  # 1 to 1e-4 per time step
        angles = time[:, None].float() * rates
        waves = torch.cat([angles.sin(), angles.cos()], 1)
        style = torch.cat([latent, self.time(waves).to(latent.dtype)], 1)
        x = self.enter(torch.cat([noisy, condition], 1))
        for block in self.blocks:
            x = block(x, style)
        y: Tensor = self.leave(x)
        return y.float()


@register_generator(
    "diffusion", "blocks", "width", "io_space", "condition_shrink", "teacher", "velocity", "latent_rate"
)
class LatentDiffusion(FaceGenerator):
    """Autoencoder with a narrow code, and a denoiser (see the module's docstring).

    Args:
        latent_dim: D, dimension of the latents.
        blocks: identity blocks of the denoiser.
        width: channels after the encoder's first layer.
        io_space: see `FaceGenerator`.
        code_channels: channels of the code.
        denoiser_width: channels of the denoiser's blocks.
        steps: denoising steps of a swap, 1 to `TIMES`.
        guidance: weight w of classifier-free guidance; 1 is none.
        identity_dropout: share of the identities that training replaces by the null identity.
        condition_shrink: block size in px over which the condition is averaged; 1 is none.
        checkpointing: recompute encoder and decoder in the backward pass, stage by stage, instead of storing them.
    """

    alpha_bar: Tensor

    def __init__(
        self,
        latent_dim: int = 512,
        blocks: int = 6,
        width: int = 64,
        io_space: IoSpace = "rgb01_tanh",
        *,
        code_channels: int = 16,
        denoiser_width: int = 256,
        steps: int = 5,
        guidance: float = 1.0,
        identity_dropout: float = 0.1,
        condition_shrink: int = 1,
        checkpointing: bool = False,
    ) -> None:
        super().__init__(latent_dim, io_space)
        if not 1 <= steps <= TIMES:
            raise ValueError(f"steps must be 1 to {TIMES}, got {steps}")
        self.steps, self.guidance, self.identity_dropout = steps, guidance, identity_dropout
        self.condition_shrink, self.checkpointing = condition_shrink, checkpointing
        self.code_channels = code_channels
        widths = [width, 2 * width, 4 * width, 8 * width]
        make = CONVOLUTIONS["standard"]
        self.encoder = nn.ModuleList([stem(width)])
        for narrow, wide in pairwise(widths):
            self.encoder.append(down(make, narrow, wide, latent_dim))
        self.to_code = nn.Sequential(
            nn.Conv2d(widths[-1], code_channels, 1), nn.BatchNorm2d(code_channels, affine=False)
        )
        self.denoiser = Denoiser(code_channels, denoiser_width, blocks, latent_dim)
        self.from_code = nn.Sequential(nn.Conv2d(code_channels, widths[-1], 3, 1, 1), nn.ReLU(inplace=True))
        self.decoder = nn.ModuleList()
        for wide, narrow in pairwise(widths[::-1]):
            self.decoder.append(up(make, wide, narrow, latent_dim))
        self.decoder.append(to_pixels(width))
        self.register_buffer("alpha_bar", cosine_schedule(), persistent=False)

    def encode(self, image: Tensor) -> Tensor:
        """Image in the generator's space -> float32 code (N, c, S/8, S/8) of unit variance."""
        return self._code(image)

    def decode(self, code: Tensor) -> Tensor:
        """Code -> image in the generator's space."""
        return self._image(code)

    def losses(
        self,
        truth: Tensor,
        condition: Tensor,
        latent: Tensor,
        random: torch.Generator | None = None,
        *,
        estimate: bool = False,
    ) -> DiffusionLosses:
        """One training pass.

        Args:
            truth, condition: (N, 3, S, S) in the generator's io space.
            latent: (N, D), from `identity_conditioning`.
            random: a CPU generator, for repeatable noise.
            estimate: return `DiffusionLosses.estimate`, which costs another pass of the decoder.
        """
        self._check(truth, latent)
        code = self.encode(truth)
        decoded = self.decode(code + _DECODER_NOISE * _noise(code, random))
        with torch.no_grad():
            condition_code = self._code(self._coarsened(condition), fixed=True)
        clean, count = code.detach(), len(code)
        time = torch.randint(TIMES, (count,), generator=random, device="cpu").to(code.device)
        known = (torch.rand(count, generator=random, device="cpu") >= self.identity_dropout).to(code.device)
        signal = self.alpha_bar[time]
        alpha_bar = signal[:, None, None, None]
        noise = _noise(code, random)
        # z_t = sqrt(alpha-bar) z_0 + sqrt(1 - alpha-bar) eps, v = sqrt(alpha-bar) eps - sqrt(1 - alpha-bar) z_0
        noisy = alpha_bar.sqrt() * clean + (1 - alpha_bar).sqrt() * noise
        velocity = alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * clean
        predicted = self.denoiser(noisy, condition_code, time, latent, known)
        image = self._image(_clean(noisy, predicted, alpha_bar), fixed=True) if estimate else None
        return DiffusionLosses(F.mse_loss(predicted, velocity), decoded, image, signal * known)

    def sample(
        self, target: Tensor, latent: Tensor, noise: Tensor, steps: int | None = None, guidance: float | None = None
    ) -> Tensor:
        """Swap by DDIM from `noise` (N or 1, c, S/8, S/8); images in the generator's io space."""
        self._check(target, latent)
        return self.decode(self.sample_code(target, latent, noise, steps, guidance))

    def sample_code(
        self, target: Tensor, latent: Tensor, noise: Tensor, steps: int | None = None, guidance: float | None = None
    ) -> Tensor:
        """The code (N, c, S/8, S/8) of the swapped face."""
        guidance = self.guidance if guidance is None else guidance
        condition = self._code(self._coarsened(target), fixed=True)
        return self._chain(noise.to(condition).expand_as(condition), condition, latent, self._times(steps), guidance)

    def regenerate(self, image: Tensor, noises: Tensor) -> Tensor:
        """The images (K, 3, S, S) that `sample` makes from K noises (K, c, h, w), for a swap (1, 3, S, S).

        Its target and source are unknown: the swap is its own condition, and has the null identity.
        """
        condition = self._code(self._coarsened(image), fixed=True).expand(len(noises), -1, -1, -1)
        null = condition.new_zeros(len(noises), self.latent_dim)
        return self.decode(self._chain(noises, condition, null, self._times(None), 0))

    def invert(self, image: Tensor, steps: int | None = None) -> Tensor:
        """Estimate the initial noise (N, c, S/8, S/8) of swaps (N, 3, S, S) in the generator's io space.

        The chain of `sample` backwards (Song et al. 2021, section 4.3), each step with the velocity at its start, and
        condition and identity as in `regenerate`.
        """
        condition = self._code(self._coarsened(image), fixed=True)
        code = self._code(image, fixed=True)
        null = code.new_zeros(len(code), self.latent_dim)
        for time, following in pairwise(self._times(steps)[::-1]):
            velocity = self._velocity(code, condition, time, null, 0)
            code = self._moved(code, velocity, time, following)
        return code

    def forward(self, target: Tensor, latent: Tensor) -> Tensor:
        """`sample` from the fixed noise."""
        height, width = (side // self.multiple_of for side in target.shape[-2:])
        fixed = torch.Generator("cpu").manual_seed(_SWAP_SEED)
        return self.sample(
            target, latent, torch.randn(1, self.code_channels, height, width, generator=fixed, device="cpu")
        )

    def _chain(self, code: Tensor, condition: Tensor, latent: Tensor, times: list[int], guidance: float) -> Tensor:
        """DDIM from the noise `code`."""
        for time, following in pairwise(times):
            velocity = self._velocity(code, condition, time, latent, guidance)
            code = self._moved(code, velocity, time, following)
        return _clean(code, self._velocity(code, condition, times[-1], latent, guidance), self.alpha_bar[times[-1]])

    def _times(self, steps: int | None) -> list[int]:
        """The times of a chain of so many steps, from the noisy end."""
        steps = self.steps if steps is None else steps
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        return [round((TIMES - 1) * (1 - index / max(1, steps - 1))) for index in range(steps)]

    def _velocity(self, code: Tensor, condition: Tensor, time: int, latent: Tensor, guidance: float) -> Tensor:
        """The velocity of `code`: v(null) + w (v(latent) - v(null)) with guidance w."""
        times = torch.full((len(code),), time, device=code.device)
        known = torch.ones(len(code), dtype=torch.bool, device=code.device)
        if guidance == 0:
            unconditional: Tensor = self.denoiser(code, condition, times, latent, ~known)
            return unconditional
        predicted: Tensor = self.denoiser(code, condition, times, latent, known)
        if guidance == 1:
            return predicted
        unconditional = self.denoiser(code, condition, times, latent, ~known)
        return torch.lerp(unconditional, predicted, guidance)

    def _moved(self, code: Tensor, velocity: Tensor, time: int, following: int) -> Tensor:
        """One step of DDIM from `time` to `following`, towards the image or towards the noise."""
        # z_s = sqrt(alpha-bar_s) z_0 + sqrt(1 - alpha-bar_s) eps, with eps recomputed from the clamped z_0
        now, then = self.alpha_bar[time], self.alpha_bar[following]
        clean = _clean(code, velocity, now)
        remaining = (code - now.sqrt() * clean) / (1 - now).sqrt()
        return then.sqrt() * clean + (1 - then).sqrt() * remaining

    def _coarsened(self, condition: Tensor) -> Tensor:
        """The condition averaged over blocks of `condition_shrink` px, at its own size."""
        if self.condition_shrink == 1:
            return condition
        size = condition.shape[-2:]
        small = F.interpolate(condition, [max(1, side // self.condition_shrink) for side in size], mode="area")
        return F.interpolate(small, size, mode="bilinear", align_corners=False)

    def _code(self, image: Tensor, *, fixed: bool = False) -> Tensor:
        """Encode; `fixed` normalises by the running statistics and leaves them as they are."""
        code: Tensor = self._stage(self.to_code, self._through(self.encoder, image, fixed), fixed)
        return code.float()

    def _image(self, code: Tensor, *, fixed: bool = False) -> Tensor:
        """Decode; `fixed` as for `_code`."""
        return self._finish(self._through(self.decoder, self.from_code(code), fixed))

    def _through(self, stages: nn.ModuleList, x: Tensor, fixed: bool) -> Tensor:
        for stage in stages:
            if self.checkpointing and torch.is_grad_enabled():
                x = checkpoint(self._stage, stage, x, fixed, use_reentrant=False)
            else:
                x = self._stage(stage, x, fixed)
        return x

    @staticmethod
    def _stage(stage: nn.Module, x: Tensor, fixed: bool) -> Tensor:
        with _running_statistics(stage, fixed):
            y: Tensor = stage(x)
        return y


@contextmanager
def _running_statistics(stage: nn.Module, fixed: bool) -> Iterator[None]:
    """With `fixed`, the batch normalisations of a stage use their running statistics, and do not update them."""
    layers = [layer for layer in stage.modules() if fixed and isinstance(layer, nn.BatchNorm2d) and layer.training]
    for layer in layers:
        layer.eval()
    try:
        yield
    finally:
        for layer in layers:
            layer.train()


def _clean(noisy: Tensor, velocity: Tensor, alpha_bar: Tensor) -> Tensor:
    """z_0 = sqrt(alpha-bar) z_t - sqrt(1 - alpha-bar) v, clamped."""
    return (alpha_bar.sqrt() * noisy - (1 - alpha_bar).sqrt() * velocity).clamp(-_CODE_LIMIT, _CODE_LIMIT)


def _noise(like: Tensor, random: torch.Generator | None) -> Tensor:
    """Standard normal noise of the same shape, drawn on the CPU so that it is equal on all devices."""
    return torch.randn(like.shape, generator=random, device="cpu").to(like.device)
