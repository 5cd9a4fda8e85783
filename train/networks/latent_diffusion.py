"""Diffusion in the bottleneck: target (N, 3, S, S) and identity latent (N, D) -> swapped face, in a few steps.

Where SimSwap passes an encoder's features through identity blocks, here an encoder makes a narrow code (16 channels at
S/8: a twelfth of the pixels' numbers) and a denoiser, identity blocks again, turns noise into the code of the swapped
face. The founding report ran DDPM on SimSwap's 512 channels and ran out of memory above batch 2; narrow, and with the
encoder outside the chain, a batch of 16 fits.

The scheme, per photo x of a person with latent i:
- *Truth*: x itself. *Condition*: a swapped x, x with a stranger's identity put on by a trained generator, as in the
  report. Pose, expression, light and background are in the condition; whose face it is, is only in i (taken from
  another photo of the person where there is one), so the denoiser must learn to read it there. When swapping,
  the condition is the target as it is: also a face with the right attributes and the wrong identity.
- Without a trained generator, `condition_shrink` averages the condition over blocks of so many pixels, in training and
  in swapping: attributes survive, identity does not.
- The autoencoder learns reconstruction (what else the loop adds to `decoded`), the denoiser noise prediction (Ho et al.
  2020, eq. 14, cosine schedule of Nichol and Dhariwal 2021). The noise loss does not reach the encoder, which could
  please it by making codes that say nothing. Codes have unit variance by batch normalisation without parameters, and
  the decoder learns on codes with a little noise, since sampled ones are never exact.
- A tenth of the identities are replaced by a learned "nobody", so that sampling can move away from it (Ho and Salimans
  2021); `guidance` 1 does not, and costs half.
- Sampling is DDIM with eta 0 (Song et al. 2021): a pure function of its first noise. `forward` uses one fixed noise for
  every image, so that a swap never depends on its batch and a video does not flicker.
"""

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
_CODE_LIMIT = 5.0  # estimates of unit-variance codes are clamped here: at the noisy end they are otherwise unbounded
_SWAP_SEED = 5


class DiffusionLosses(NamedTuple):
    """What one training pass gives; the loop weighs it.

    noise: scalar, mean squared error of the predicted noise. decoded: (N, 3, S, S), the truth through the autoencoder,
    for reconstruction and the adversary. estimate: (N, 3, S, S), the swapped face as estimated from one denoising, for
    an identity loss weighted by `signal` (N,), the share of truth that was left in it, near 1 where little noise was.
    """

    noise: Tensor
    decoded: Tensor
    estimate: Tensor | None
    signal: Tensor


def cosine_schedule(times: int = TIMES) -> Tensor:
    """alpha-bar (times,): the share of the signal's variance left at each time, falling from nearly 1 to nearly 0."""
    # f(t) = cos^2((t / T + s) / (1 + s) pi / 2), alpha-bar = f(t) / f(0), with s = 0.008
    t = torch.arange(times + 1, dtype=torch.float64) / times
    f = torch.cos((t + 0.008) / 1.008 * torch.pi / 2).square()
    return (f[1:] / f[0]).clamp(min=1e-5).float()


class Denoiser(nn.Module):
    """Noisy code, the condition's code, time and identity -> the noise in it; all codes (N, c, h, w)."""

    def __init__(self, code_channels: int, width: int, blocks: int, latent_dim: int) -> None:
        super().__init__()
        self.nobody = nn.Parameter(F.normalize(torch.randn(latent_dim), dim=0))
        self.time = nn.Sequential(nn.Linear(_TIME_DIM, _TIME_DIM), nn.SiLU(), nn.Linear(_TIME_DIM, _TIME_DIM))
        self.enter = nn.Conv2d(2 * code_channels, width, 3, 1, 1)
        self.blocks = nn.ModuleList(IdentityBlock(width, latent_dim + _TIME_DIM) for _ in range(blocks))
        self.leave = nn.Conv2d(width, code_channels, 3, 1, 1)
        nn.init.zeros_(self.leave.weight)

    def forward(self, noisy: Tensor, condition: Tensor, time: Tensor, identity: Tensor, known: Tensor) -> Tensor:
        """time: (N,) integers below TIMES; identity: (N, D); known: bool (N,), False: nobody's."""
        identity = torch.where(known[:, None], identity, self.nobody.to(identity.dtype))
        rates = torch.exp(torch.linspace(0, -9.2, _TIME_DIM // 2, device=noisy.device))  # 1 to 1e-4 a step
        angles = time[:, None].float() * rates
        waves = torch.cat([angles.sin(), angles.cos()], 1)
        style = torch.cat([identity, self.time(waves).to(identity.dtype)], 1)
        x = self.enter(torch.cat([noisy, condition], 1))
        for block in self.blocks:
            x = block(x, style)
        y: Tensor = self.leave(x)
        return y.float()


@register_generator("diffusion", "blocks", "width", "io_space", "condition_shrink", "teacher", "noise")
class LatentDiffusion(FaceGenerator):
    """Autoencoder with a narrow code, and a denoiser between; see the head of this file.

    checkpointing: encoder and decoder are run again in the backward pass, stage by stage, instead of being kept.
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
        code: Tensor = self.to_code(self._through(self.encoder, image))
        return code.float()

    def decode(self, code: Tensor) -> Tensor:
        """Code -> image in the generator's space."""
        return self._finish(self._through(self.decoder, self.from_code(code)))

    def losses(
        self,
        truth: Tensor,
        condition: Tensor,
        identity: Tensor,
        random: torch.Generator | None = None,
        *,
        estimate: bool = False,
    ) -> DiffusionLosses:
        """One training pass. truth, condition: (N, 3, S, S) in the generator's space; identity: (N, D).

        `random`, a CPU generator, makes it repeatable. `estimate` asks for the image of the same name: another pass
        of the decoder.
        """
        self._check(truth, identity)
        code = self.encode(truth)
        decoded = self.decode(code + _DECODER_NOISE * _noise(code, random))
        with torch.no_grad():
            condition_code = self.encode(self._see(condition))
        clean, photos = code.detach(), len(code)
        time = torch.randint(TIMES, (photos,), generator=random, device="cpu").to(code.device)
        known = (torch.rand(photos, generator=random, device="cpu") >= self.identity_dropout).to(code.device)
        signal = self.alpha_bar[time]
        left = signal[:, None, None, None]
        noise = _noise(code, random)
        # z_t = sqrt(alpha-bar) z_0 + sqrt(1 - alpha-bar) eps
        noisy = left.sqrt() * clean + (1 - left).sqrt() * noise
        predicted = self.denoiser(noisy, condition_code, time, identity, known)
        image = self.decode(_clean(noisy, predicted, left)) if estimate else None
        return DiffusionLosses(F.mse_loss(predicted, noise), decoded, image, signal * known)

    def sample(
        self, target: Tensor, identity: Tensor, noise: Tensor, steps: int | None = None, guidance: float | None = None
    ) -> Tensor:
        """The target with that identity, by DDIM from `noise` (N or 1, c, S/8, S/8), in the generator's space."""
        self._check(target, identity)
        steps = self.steps if steps is None else steps
        guidance = self.guidance if guidance is None else guidance
        condition = self.encode(self._see(target))
        code = noise.to(condition).expand_as(condition)
        times = [round((TIMES - 1) * (1 - index / max(1, steps - 1))) for index in range(steps)]
        for index, time in enumerate(times):
            predicted = self._predict(code, condition, time, identity, guidance)
            clean = _clean(code, predicted, self.alpha_bar[time])
            if index == steps - 1:
                return self.decode(clean)
            # z_s = sqrt(alpha-bar_s) z_0 + sqrt(1 - alpha-bar_s) eps, with the eps that the clamped z_0 implies
            left, next_left = self.alpha_bar[time], self.alpha_bar[times[index + 1]]
            predicted = (code - left.sqrt() * clean) / (1 - left).sqrt()
            code = next_left.sqrt() * clean + (1 - next_left).sqrt() * predicted
        raise ValueError(f"steps must be at least 1, got {steps}")

    def forward(self, target: Tensor, latent: Tensor) -> Tensor:
        """`sample` from the one noise that all swaps share."""
        height, width = (side // self.multiple_of for side in target.shape[-2:])
        fixed = torch.Generator("cpu").manual_seed(_SWAP_SEED)
        return self.sample(
            target, latent, torch.randn(1, self.code_channels, height, width, generator=fixed, device="cpu")
        )

    def _predict(self, code: Tensor, condition: Tensor, time: int, identity: Tensor, guidance: float) -> Tensor:
        """The noise in `code`; with guidance w, eps(nobody) + w (eps(identity) - eps(nobody))."""
        times = torch.full((len(code),), time, device=code.device)
        yes = torch.ones(len(code), dtype=torch.bool, device=code.device)
        predicted: Tensor = self.denoiser(code, condition, times, identity, yes)
        if guidance == 1:
            return predicted
        nobody: Tensor = self.denoiser(code, condition, times, identity, ~yes)
        return torch.lerp(nobody, predicted, guidance)

    def _see(self, condition: Tensor) -> Tensor:
        """The condition as the encoder is shown it: averaged over blocks where identity has to be hidden."""
        if self.condition_shrink == 1:
            return condition
        size = condition.shape[-2:]
        small = F.interpolate(condition, [max(1, side // self.condition_shrink) for side in size], mode="area")
        return F.interpolate(small, size, mode="bilinear", align_corners=False)

    def _through(self, stages: nn.ModuleList, x: Tensor) -> Tensor:
        for stage in stages:
            if self.checkpointing and torch.is_grad_enabled():
                x = checkpoint(stage, x, use_reentrant=False)
            else:
                x = stage(x)
        return x


def _clean(noisy: Tensor, noise: Tensor, left: Tensor) -> Tensor:
    """z_0 = (z_t - sqrt(1 - alpha-bar) eps) / sqrt(alpha-bar), clamped."""
    return ((noisy - (1 - left).sqrt() * noise) / left.sqrt()).clamp(-_CODE_LIMIT, _CODE_LIMIT)


def _noise(like: Tensor, random: torch.Generator | None) -> Tensor:
    """Unit normal noise of that shape, drawn on the CPU: the same numbers on every device."""
    return torch.randn(like.shape, generator=random, device="cpu").to(like.device)
