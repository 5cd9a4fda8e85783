"""The interface of generators: a target face (N, 3, S, S) and a latent (N, D) -> the target with that identity.

The range of pixel values that a network reads and writes is its `io_space`; only `to_input` and `to_rgb01` convert.
"""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from curate.errors import ModelError

IoSpace = Literal["rgb01_tanh", "imagenet"]
"""rgb01_tanh: input RGB in [0, 1], output (tanh + 1) / 2, as the published checkpoints. imagenet: input and output
normalised by ImageNet's mean and deviation, the output unbounded, as the published training code."""

Output = Literal["image", "change"]
"""image: the last layer gives the image, as published. change: it gives a residual that is added to the target, in
either io space, unbounded. A new generator then starts near the identity function. With `shrink` the residual is
computed at lower resolution, and details that it does not touch keep the target's sharpness."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class FaceGenerator(nn.Module):
    """Base class: pixel spaces, checks and the output stage, independent of the architecture.

    Subclasses implement `forward(target, latent)` with target (N, 3, S, S) in the generator's io space, S a multiple
    of `multiple_of * shrink`, and latent (N, `condition_dim`): of unit norm (`identity_conditioning`), and followed by
    the pixels of the source where `reads_source`. They return the image in the same space, float32 (N, 3, S, S).
    """

    mean: Tensor
    std: Tensor
    multiple_of = 8
    reads_source = False
    """Whether the second input holds, after the latent, the source's crop warped to the target (`conditioning`)."""
    face_only = False
    """Whether only the face of the output is meant to be used; the rest was not learned."""
    registered = False
    """Whether the face of the output is moved to the target's landmarks afterwards (train/swap/registration.py)."""
    refinement = 1.0
    """Weight, 0 to 1, of the losses that refine what reconstruction has learned: adversarial and identity."""

    def __init__(self, latent_dim: int, io_space: IoSpace, output: Output = "image", shrink: int = 1) -> None:
        super().__init__()
        require_known("io_space", io_space, get_args(IoSpace))
        require_known("output", output, get_args(Output))
        if shrink > 1 and output != "change":
            raise ModelError(
                f"shrink = {shrink} computes the output at lower resolution and needs output = 'change', not {output!r}"
            )
        self.latent_dim = latent_dim
        self.io_space: IoSpace = io_space
        self.output: Output = output
        self.shrink = shrink
        # Not persistent: the names in the state dict are those of the published checkpoints.
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    @property
    def condition_dim(self) -> int:
        """Numbers of the second input: those of a latent, and of the source's crop for generators that read it."""
        return self.latent_dim

    def to_input(self, rgb01: Tensor) -> Tensor:
        """RGB in [0, 1] -> the generator's io space."""
        return (rgb01 - self.mean) / self.std if self.io_space == "imagenet" else rgb01

    def to_rgb01(self, image: Tensor) -> Tensor:
        """The generator's io space -> RGB, not clamped: an unbounded output may lie outside of [0, 1]."""
        return image * self.std + self.mean if self.io_space == "imagenet" else image

    def distilled_layers(self) -> list[nn.Module]:
        """Layers whose features a student is to have too, by which it is distilled: encoder, blocks, decoder stages.

        Default: none, and such a generator can be distilled by its output alone.
        """
        return []

    def set_progress(self, images: int) -> None:
        """Set the number of images trained on, for architectures that grow during training. Default: no effect."""

    def _shrunk(self, target: Tensor) -> Tensor:
        """The input of the first layer: the target averaged over blocks of `shrink` x `shrink` px."""
        return F.avg_pool2d(target, self.shrink) if self.shrink > 1 else target

    def _finish(self, image: Tensor, target: Tensor | None = None) -> Tensor:
        """Output of the last layer, unbounded -> image in the io space, float32; `target` is needed for "change"."""
        image = image.float()
        if self.output == "change":
            assert target is not None
            if self.shrink > 1:
                image = F.interpolate(image, size=target.shape[2:], mode="bilinear", align_corners=False)
            return target + image
        return (image.tanh() + 1) / 2 if self.io_space == "rgb01_tanh" else image

    def _check(self, target: Tensor, latent: Tensor) -> None:
        height, width = target.shape[-2:]
        multiple = self.multiple_of * self.shrink
        if height % multiple or width % multiple:
            raise ValueError(f"sides must be multiples of {multiple}, got {height}x{width}")
        if latent.shape != (len(target), self.condition_dim):
            raise ValueError(f"latents must be ({len(target)}, {self.condition_dim}), got {tuple(latent.shape)}")


def require_known(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise ModelError unless `value` is one of `known`."""
    if value not in known:
        raise ModelError(f"unknown {name} {value!r}; one of {', '.join(known)}")
