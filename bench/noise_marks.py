"""Marks in the initial noise of a diffusion generator, read from its swaps.

    python -m bench.noise_marks CHECKPOINT DATASET --crops 100 --regenerated 24

Protocol. Crops of a curated dataset, of people on whom the generator was not trained, are swapped to others of it. The
generator starts from noise with a mark; the swap is read as it is, as JPEG, and pasted into its target within an
oval with a soft edge (`pasted`), always in place: neither turned nor scaled. A reader knows the generator and the key,
not the target and the source: the swap is its own condition, with the null identity.

- Inverted: the sampler is run backwards from the swap, and the marks of `bench.published_marks` are read from the noise
  that this estimates.
- Regenerated: the generator draws the face again from the key's noise and from 17 others, and the codes of these images
  are correlated with that of the swap (matched filter). It tells presence only, and took 18 swaps a face.

Scores are in standard deviations of unmarked noise over random keys (Student's t with 16 degrees of freedom where
regenerated). `unmarked`: the targets. Detected: at a false positive rate of 1e-3 and, extrapolated by these
distributions, of 1e-6; shading is detected where the ID is right and its bound reaches the rate.
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import simplejpeg
import torch
import torch.nn.functional as F
from scipy.stats import t as student
from torch import Tensor

from bench.attacks import jpeg
from bench.photos import spread
from bench.published_marks import ring_score, shaded_noise, soft_signs, with_rings
from bench.watermarkers import FALSE_POSITIVE_RATES, MARK_ID
from manifests.reader import Dataset, PixelReader
from train.data.faces import read_training_faces
from train.marks.keyed import normal
from train.marks.watermark.code import decode, false_positive_bound
from train.networks.latent_diffusion import LatentDiffusion
from train.trained import TrainedGenerator, load_network, shrink

Floats = npt.NDArray[np.float32]

REFERENCES = 17


class Swaps:
    """Target crops (N, 3, S, S) RGB in [0, 1] of people that were held out, and the identity of each swap (N, D)."""

    def __init__(self, checkpoint: Path, dataset: Path, count: int) -> None:
        self.generator: TrainedGenerator = load_network(checkpoint)
        assert isinstance(self.generator.network, LatentDiffusion), "the recipe must be diffusion"
        self.network: LatentDiffusion = self.generator.network
        recipe, facts = self.generator.recipe, self.generator.facts
        data = Dataset.open(dataset)
        faces = read_training_faces(data, recipe.template)
        held_out = faces.held_out(recipe.held_out, recipe.held_out_photos)
        chosen, others = (np.array(spread(list(np.flatnonzero(rows)), count)) for rows in (held_out, ~held_out))
        reader = PixelReader(faces.root)
        places = zip(
            faces.shard[chosen],
            faces.crop_offset[chosen],
            faces.crop_length[chosen],
            faces.crop_crc[chosen],
            strict=True,
        )
        crops = [simplejpeg.decode_jpeg(reader.read(faces.shards[shard], *place), "RGB") for shard, *place in places]
        self.targets = shrink(torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float(), self.generator.size) / 255
        rows = pa.table(
            {"face_id": faces.face_id[others], "shard": np.array(faces.shards, object)[faces.shard[others]]}
        )
        latents = np.asarray(data.embeddings_for(rows, facts.embedder_id), np.float32)
        self.identities = self.generator.condition(torch.from_numpy(latents))
        side = self.generator.size // self.network.multiple_of
        self.shape = (self.network.code_channels, side, side)
        count = (1 + REFERENCES) * math.prod(self.shape)
        self.noises = normal(b"regenerated", "noise", count).reshape(-1, *self.shape)  # the first one is the key's

    def codes(self, noise: Floats, count: int) -> Tensor:
        """The codes of the first `count` swaps from this noise."""
        targets = self.network.to_input(self.targets[:count])
        return self.network.sample_code(targets, self.identities[:count], torch.from_numpy(noise))

    def images(self, codes: Tensor) -> Tensor:
        """RGB in [0, 1]."""
        return self.network.to_rgb01(self.network.decode(codes)).clamp(0, 1)

    def attacked(self, images: Tensor) -> dict[str, Tensor]:
        """The pictures that are read, by the name of what was done to them."""
        targets = self.targets[: len(images)]
        pasted = torch.lerp(targets, images, _oval(self.generator.size))
        return {"none": images, "JPEG 50": _as_jpeg(images, 50), "pasted, JPEG 90": _as_jpeg(pasted, 90)}

    def inverted(self, images: Tensor) -> Floats:
        """The noise by inversion, with what a reader knows."""
        return self.network.invert(self.network.to_input(images)).numpy()

    def regenerated(self, image: Tensor) -> float:
        """The score of one image (3, S, S)."""
        target = self.network.to_input(image[None])
        drawn = self.network.encode(self.network.regenerate(target, torch.from_numpy(self.noises)))
        return matched_score(self.network.encode(target)[0].numpy(), drawn.numpy())


def matched_score(code: Floats, drawn: Floats) -> float:
    """The first of K codes (K, c, h, w) against the others, as an explanation of `code` (c, h, w).

    Drawn codes differ from their mean by the effects D_k of their noise, `code` by R; the similarity is
    R . D_k / |D_k|. The means of channels are removed, and places at which R is large weigh less.
    """
    residual = code - drawn.mean(0)
    residual = residual - residual.mean((1, 2), keepdims=True)
    power = np.square(residual).mean(0)
    weighted = residual / (power + 0.1 * power.mean() + 1e-12)
    weighted -= weighted.mean((1, 2), keepdims=True)
    effects = (drawn - drawn.mean(0)).reshape(len(drawn), -1)
    values = effects @ weighted.ravel() / np.linalg.norm(effects, axis=1)
    others = values[1:]
    return float((values[0] - others.mean()) / (others.std(ddof=1) * math.sqrt(1 + 1 / len(others))))


def _oval(side: int) -> Tensor:
    line = torch.linspace(-1, 1, side)
    inside = ((line[None, :] / 0.55) ** 2 + ((line[:, None] - 0.1) / 0.72) ** 2 < 1).float()
    return F.avg_pool2d(inside[None, None], 7, 1, 3)


def _as_jpeg(images: Tensor, quality: int) -> Tensor:
    pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return torch.from_numpy(np.stack([jpeg(each, quality) for each in pixels])).permute(0, 3, 1, 2).float() / 255


def print_row(method: str, name: str, scores: list[float], rates: list[float]) -> None:
    """Print a row of the table. rates: the least false positive rate at which each picture is detected."""
    detected = [f"{sum(rate <= limit for rate in rates)}" for limit in FALSE_POSITIVE_RATES]
    distribution = f"{np.mean(scores):.2f}, {np.std(scores):.2f}, {max(scores):.2f}"
    print(f"| {method} | {name} | {len(scores)} | {distribution} | {detected[0]} | {detected[1]} |", flush=True)


def ring_row(estimates: Floats) -> tuple[list[float], list[float]]:
    scores = [ring_score(each) for each in estimates]
    return scores, [NormalDist().cdf(-score) for score in scores]


def shading_row(estimates: Floats) -> tuple[list[float], list[float]]:
    decoded = [decode(soft_signs(each)) for each in estimates]
    rates = [false_positive_bound(each.score) if each.valid and each.mark_id == MARK_ID else 1.0 for each in decoded]
    return [each.score for each in decoded], rates


@torch.inference_mode()
def print_table(swaps: Swaps, crops: int, regenerated: int) -> None:
    random = np.random.default_rng(11).standard_normal(swaps.shape).astype(np.float32)
    schemes: dict[str, tuple[Floats, Callable[[Floats], tuple[list[float], list[float]]]]] = {
        "Tree-Ring": (with_rings(random), ring_row),
        "shading": (shaded_noise(MARK_ID, swaps.shape), shading_row),
    }
    print("| mark, reader | swap | n | score: mean, deviation, max | detected at 1e-3 | at 1e-6 |\n" + "|---" * 6 + "|")
    for name, (noise, row) in schemes.items():
        codes = swaps.codes(noise, crops)
        for attack, images in swaps.attacked(swaps.images(codes)).items():
            print_row(f"{name}, inverted", attack, *row(swaps.inverted(images)))
        print_row(f"{name}, inverted", "unmarked", *row(swaps.inverted(swaps.targets)))
    images = swaps.images(swaps.codes(swaps.noises[0], regenerated))
    other = swaps.images(swaps.codes(random, regenerated))
    error = -10 * torch.log10((images - other).square().mean())
    sets = swaps.attacked(images) | {"unmarked": swaps.targets[:regenerated], "from other noise": other}
    for attack, pictures in sets.items():
        scores = [swaps.regenerated(picture) for picture in pictures]
        print_row("key, regenerated", attack, scores, [float(student.sf(score, REFERENCES - 1)) for score in scores])
    print(f"\nPSNR between swaps from two noises: {error:.1f} dB; standard deviation of codes {codes.std():.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="of recipe diffusion")
    parser.add_argument("dataset", type=Path, help="with the people of its training")
    parser.add_argument("--crops", type=int, default=100)
    parser.add_argument("--regenerated", type=int, default=24, help="crops that are regenerated, which takes longer")
    options = parser.parse_args()
    torch.set_num_threads(1)
    swaps = Swaps(options.checkpoint, options.dataset, options.crops)
    print(f"{swaps.generator.facts.images:,} images, {swaps.generator.size} px, codes {swaps.shape}\n")
    print_table(swaps, options.crops, options.regenerated)


if __name__ == "__main__":
    main()
