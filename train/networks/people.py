"""A generator for a few people, who are named when it is trained: shared encoder, narrow code, decoder of the person.

The design of DeepFaceLab (Perov et al. 2020) with one decoder for all people: the encoder passes the target through a
code of so few numbers that pose, expression and light fit into it, and every convolution of the decoder is modulated
(StyleGAN2, Karras et al. 2020) by a learned vector of the person. No feature of the target reaches the decoder by
another way, so the person's appearance must come from the weights. It is learned by reconstruction: each photo is
reconstructed with its own person's vector, and in a swap the vector is another person's. Then an adversary makes the
faces sharp, and an identity loss on swaps makes them more like the person.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from curate.errors import ModelError
from train.networks.face_generator import FaceGenerator
from train.networks.person_layers import (
    PERSON_DIM,
    SLOPE,
    WIDEST,
    PersonConvolution,
    decoder_side,
    double,
    encoder,
    encoder_width,
    refinement_at,
)
from train.networks.registry import register_generator


def parse_people(text: str) -> tuple[str, ...]:
    """Names of the recipe key `people`, which is a list separated by commas; spaces around a name are removed."""
    return tuple(dict.fromkeys(name for part in text.split(",") if (name := part.strip())))


class _Level(nn.Module):
    """Two convolutions at one resolution, and the pixels that they add to the image."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.first = PersonConvolution(channels_in, channels_out)
        self.second = PersonConvolution(channels_out, channels_out)
        self.pixels = PersonConvolution(channels_out, 3, 1, demodulate=False)
        with torch.no_grad():
            self.pixels.weight.mul_(0.1)

    def forward(self, x: Tensor, person: Tensor) -> tuple[Tensor, Tensor]:
        for layer in (self.first, self.second):
            x = F.leaky_relu(layer(x, person), SLOPE)
        return x, self.pixels(x, person).float()


@register_generator(
    "people",
    *(
        "people",
        "bottleneck",
        "width",
        "half_size_images",
        "refine_images",
        "warp",
        "structure",
        "anonymity",
        "features",
        "consistency",
    ),
)
class PeopleGenerator(FaceGenerator):
    """Encoder at half the resolution, code, and a decoder with one level for each doubling of the resolution.

    Its second input is a latent as for every generator. The person is the one whose latent is nearest, so that
    programs that only have photos work unchanged. `set_people` stores the latents.

    Args:
        latent_dim: D, dimension of the latents.
        size: side of the crops, px.
        people: names, separated by commas.
        bottleneck: numbers of the code.
        width: channels of the decoder's last level; each level before has twice as many, up to eight times.
        refine_images: images after which the refining losses start.
        half_size_images: images after which the last level is added; before, the output has half the resolution.
    """

    names: tuple[str, ...]
    latents: Tensor
    conditions: Tensor
    spreads: Tensor
    multiple_of = 16
    face_only = True
    registered = True

    def __init__(
        self,
        latent_dim: int,
        size: int,
        people: str,
        bottleneck: int = 96,
        width: int = 24,
        half_size_images: int = 0,
        refine_images: int = 0,
    ) -> None:
        super().__init__(latent_dim, "rgb01_tanh")
        self.names = parse_people(people)
        if len(self.names) < 2:
            raise ModelError(f"people = {people!r}: a generator of named people takes two or more of them")
        self.half_size_images, self.refine_images = half_size_images, refine_images
        side = decoder_side(size)
        if side is None:
            raise ModelError(f"size = {size} must be 4, 5, 6 or 7 times a power of 2")
        doublings = (size // side).bit_length() - 1
        widths = [width * min(WIDEST, 2**level) for level in range(doublings, -1, -1)]
        self.size, self.side, self.channels = size, side, widths[0]
        self.levels_in_use = len(widths)
        self.encoder = encoder(width, doublings - 1)
        self.to_code = nn.Linear(encoder_width(width, doublings - 1) * side**2, bottleneck)
        self.from_code = nn.Linear(bottleneck, widths[0] * side**2)
        self.person = nn.Parameter(torch.randn(len(self.names), PERSON_DIM))
        self.constant = nn.Linear(PERSON_DIM, widths[0] * side**2, bias=False)
        nn.init.normal_(self.constant.weight, std=0.5 * PERSON_DIM**-0.5)
        self.levels = nn.ModuleList(
            _Level(widths[max(0, index - 1)], channels) for index, channels in enumerate(widths)
        )
        # The adversary of the code, which is trained with it (train/objectives/people.py) and not used in swaps.
        self.classifier = nn.Sequential(
            nn.Linear(bottleneck, 128), nn.LeakyReLU(SLOPE), nn.Linear(128, len(self.names))
        )
        # latents: (P, D) mean latents of the people; conditions: the same as a swap's second input.
        self.register_buffer("latents", torch.zeros(len(self.names), latent_dim))
        self.register_buffer("conditions", torch.zeros(len(self.names), latent_dim))
        # spreads: (P,) distances of a person's photos to the mean latent, at which the identity loss ends.
        self.register_buffer("spreads", torch.zeros(len(self.names)))

    def set_people(self, latents: Tensor, conditions: Tensor, spreads: Tensor) -> None:
        """Set the people's latents.

        Args:
            latents: (P, D), the mean latent of each person, of unit norm.
            conditions: (P, D), the same after `identity_conditioning`.
            spreads: (P,), the usual cosine distance between a photo of the person and the mean latent.
        """
        self.spreads.copy_(spreads)
        self.latents.copy_(latents)
        self.conditions.copy_(conditions)

    def set_progress(self, images: int) -> None:
        """Add the last level after `half_size_images` images, and the refining losses after `refine_images`."""
        self.levels_in_use = len(self.levels) - (images < self.half_size_images)
        self.refinement = refinement_at(images, self.refine_images)

    def nearest(self, condition: Tensor) -> Tensor:
        """Indices (N,) of the people whose latents are nearest to conditions (N, D)."""
        return (condition.float() @ self.conditions.T).argmax(1)

    def encode(self, rgb01: Tensor) -> Tensor:
        """Targets (N, 3, S, S), RGB in [0, 1] -> codes (N, `bottleneck`)."""
        code: Tensor = self.to_code(self.encoder(F.avg_pool2d(rgb01, 2) - 0.5).flatten(1))
        return code

    def decode(self, code: Tensor, people: Tensor) -> Tensor:
        """Codes and the people's indices (N,) -> faces, float32 RGB not clamped, of side S, or S / 2 at first."""
        person = self.person[people]
        x = self.from_code(code) + self.constant(person)
        x = F.leaky_relu(x, SLOPE).view(-1, self.channels, self.side, self.side)
        x = x.contiguous(memory_format=torch.channels_last)
        image: Tensor | None = None
        for index, level in enumerate(self.levels[: self.levels_in_use]):
            x, pixels = level(double(x) if index else x, person)
            image = pixels if image is None else double(image) + pixels
        assert image is not None
        return image + 0.5

    def classify(self, code: Tensor) -> Tensor:
        """Logits (N, P) of the people, for training the classifier: without a gradient to the codes."""
        logits: Tensor = self.classifier(code.detach().float())
        return logits

    def recognisability(self, code: Tensor) -> Tensor:
        """KL divergence of the classifier's guess from a uniform one, mean over codes; no gradient to the classifier.

        A confusion loss (Tzeng et al. 2015, eq. 4). It is smallest where the classifier has no preference, whereas a
        reversed gradient of its loss has no minimum, and drives codes far away when the classifier lags behind.
        """
        fixed = {name: parameter.detach() for name, parameter in self.classifier.named_parameters()}
        logits: Tensor = torch.func.functional_call(self.classifier, fixed, (code.float(),))
        return -logits.log_softmax(1).mean() - math.log(len(self.names))

    def forward(self, target: Tensor, latent: Tensor) -> Tensor:
        self._check(target, latent)
        image = self.decode(self.encode(target), self.nearest(latent))
        if image.shape[-1] != self.size:
            image = double(image)
        return image.clamp(0, 1)
