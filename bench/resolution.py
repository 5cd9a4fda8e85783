"""Effective resolution: how well enlarged photos are known as such, and the fit of the network that estimates it.

    SWAPSET_DATA=DIR python -m bench.resolution [--photos 60] [--fit curate/weights/resolution.json]

Protocol: `--photos` photos of each collection, cut to 320 px around the middle, as they are and at half size, enlarged
by 1.2 to 4 with seven kernels (nearest, bilinear, bicubic, Lanczos of OpenCV and Pillow) and coded as JPEG of quality
60 to 98 or not at all; a fourth of them with noise. Every other person (celebamask, unlabelled: photo) is *fitted on*,
the others are *held out*. Photos of three collections at half size are taken as sharp: their resolution is 1, and that
of an enlargement by s is 1 / s. Of other photos only the ratio to their own enlargement is known. "Known": the
enlargement is estimated to have lost more than half of the octaves that it was enlarged by.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from bench.photos import data, spread
from curate.decode import Pixels, decode
from curate.evaluate import degradations
from curate.measure.inputs import PhotoInputs
from curate.measure.resolution import features, photo_resolution, resolution
from curate.measure.spectrum import spectrum

COLLECTIONS = {"celebamask": "images/*.jpg", "celebs-color": "*/*.jpg", "web-raw": "*/*.jpg", "lfw-gray": "*/*.jpg",
               "unlabelled": "*.jpg", "celebs-112": "*/*.jpg"}  # fmt: skip
SHARP_AT_HALF = ("celebamask", "celebs-color", "web-raw")

OPENCV = {
    "nearest": cv2.INTER_NEAREST, "bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC,
    "Lanczos": cv2.INTER_LANCZOS4,
}  # fmt: skip
PILLOW = {
    "bilinear (Pillow)": Image.Resampling.BILINEAR, "bicubic (Pillow)": Image.Resampling.BICUBIC,
    "Lanczos (Pillow)": Image.Resampling.LANCZOS,
}  # fmt: skip
FACTORS = (1.2, 1.3, 1.5, 1.7, 2.0, 2.5, 3.0, 4.0)
QUALITIES = (100, 98, 95, 92, 90, 85, 80, 75, 60)
"""100: not coded."""
SIDE = 320
ENLARGEMENTS = 12
HIDDEN = 24
ROUNDS = 4000


@dataclass(frozen=True)
class Version:
    """One version of a photo: its spectrum, how it was made, and the index of the photo as it is."""

    spectrum: npt.NDArray[np.float32]
    collection: str
    held_out: bool
    sharp: bool
    factor: float
    kernel: str
    quality: int
    noise: float
    base: int


def enlarged(photo: Pixels, factor: float, kernel: str) -> Pixels:
    size = round(photo.shape[1] * factor), round(photo.shape[0] * factor)
    if kernel in OPENCV:
        return np.asarray(cv2.resize(photo, size, interpolation=OPENCV[kernel]), np.uint8)
    return np.asarray(Image.fromarray(photo).resize(size, PILLOW[kernel]))


def people(collection: str, count: int, draw: int = 0) -> Iterator[tuple[Path, bool]]:
    """Yield `count` photos of a collection that no earlier draw has, and whether their person is held out."""
    files = sorted((data() / collection).glob(COLLECTIONS[collection]))
    names = sorted({file.parent.name if COLLECTIONS[collection].startswith("*/") else file.name for file in files})
    place = {name: index for index, name in enumerate(names)}
    for _ in range(draw):
        taken = set(spread(files, count))
        files = [file for file in files if file not in taken]
    for file in spread(files, count):
        yield file, place[file.parent.name if file.parent.name in place else file.name] % 2 == 1


def versions(count: int) -> list[Version]:
    random = np.random.default_rng(1)
    made: list[Version] = []
    for collection in COLLECTIONS:
        for path, held_out in people(collection, count):
            photo = middle(decode(path.read_bytes()).pixels)
            bases = [(False, photo)]
            if collection in SHARP_AT_HALF and min(photo.shape[:2]) > 128:
                bases.append((True, degradations.smaller(photo, 2)))
            for sharp, base in bases:
                first = len(made)
                for pixels, *how in versions_of(base, random):
                    values = spectrum(PhotoInputs(pixels).luma)
                    if values is not None:
                        made.append(Version(values, collection, held_out, sharp, *how, first))
    return made


def versions_of(base: Pixels, random: np.random.Generator) -> Iterator[tuple[Pixels, float, str, int, float]]:
    """Yield a photo as it is, coded, and enlarged: pixels, factor, kernel, quality, noise."""
    for quality in (100, 95, 85, 70, 50):
        yield coded(base, quality), 1.0, "", quality, 0.0
    for _ in range(ENLARGEMENTS):
        kernel, factor = str(random.choice([*OPENCV, *PILLOW])), float(random.choice(FACTORS))
        noise, quality = float(random.choice([0, 0, 0, 3])), int(random.choice(QUALITIES))
        pixels = enlarged(base, factor, kernel)
        pixels = degradations.noise(pixels, noise, random) if noise else pixels
        yield coded(pixels, quality), factor, kernel, quality, noise


def coded(photo: Pixels, quality: int) -> Pixels:
    return photo if quality == 100 else degradations.jpeg(photo, quality)


def middle(photo: Pixels) -> Pixels:
    """Cut a photo to SIDE x SIDE px at most, around the middle."""
    top, left = (max(0, (length - SIDE) // 2) for length in photo.shape[:2])
    return np.ascontiguousarray(photo[top : top + SIDE, left : left + SIDE])


def fit(made: list[Version], path: Path) -> None:
    """Fit the network on the versions that are not held out, and write it.

    The loss compares each version with its own base, where the ratio is known, and sharp ones with their size.
    """
    torch.manual_seed(0)
    inputs = torch.tensor(np.array([features(version.spectrum) for version in made]), dtype=torch.float32)
    octaves = torch.tensor([-np.log2(version.factor) for version in made], dtype=torch.float32)
    base = torch.tensor([version.base for version in made])
    sharp = torch.tensor([version.sharp for version in made])
    weight = torch.tensor([
        0.0 if version.held_out else (0.3 if version.factor == 1 else 1.0) * (0.4 if version.noise else 1.0)
        for version in made
    ])  # fmt: skip
    fitted = inputs[weight > 0]
    mean, spread_ = fitted.mean(0), fitted.std(0) + 0.05
    network = torch.nn.Sequential(torch.nn.Linear(inputs.shape[1], HIDDEN), torch.nn.Tanh(), torch.nn.Linear(HIDDEN, 1))
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, ROUNDS)
    for _ in range(ROUNDS):
        rows = torch.multinomial(weight, 256, replacement=True)
        estimate, of_base = (network((inputs[part] - mean) / spread_)[:, 0] for part in (rows, base[rows]))
        # A photo of unknown sharpness has a resolution of 1 at most.
        absolute = torch.where(sharp[rows], estimate - octaves[rows], torch.relu(estimate - 0.1))
        loss = huber(estimate - of_base - octaves[rows]) + 0.3 * huber(absolute)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    hidden, output = network[0], network[2]
    weights = {
        "provenance": f"python -m bench.resolution --fit: {len(fitted)} versions of photos, enlarged and coded",
        "mean": mean, "spread": spread_, "hidden": hidden.weight, "hidden_bias": hidden.bias,
        "output": output.weight[0], "output_bias": output.bias[0],
    }  # fmt: skip
    lists = {name: value.tolist() if isinstance(value, torch.Tensor) else value for name, value in weights.items()}
    path.write_text(json.dumps(json.loads(json.dumps(lists), parse_float=lambda text: round(float(text), 5))) + "\n")


def huber(error: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.smooth_l1_loss(error, torch.zeros_like(error), beta=0.2)


def report(made: list[Version]) -> None:
    """Print the errors of fitted and held-out versions."""
    estimate = np.log2([resolution(version.spectrum) for version in made])
    of_base = estimate[[version.base for version in made]]
    error = estimate - of_base + np.log2([version.factor for version in made])
    half = np.log2([version.factor for version in made]) / 2
    print("| versions | people | count | resolution, median | error of the ratio, octaves, 50% / 95% | known |")
    print("|---|---|---|---|---|---|")
    groups: dict[str, Callable[[Version], bool]] = {
        "as they are": lambda v: v.factor == 1 and v.quality == 100,
        "as they are, JPEG": lambda v: v.factor == 1 and v.quality < 100,
        **{f"x {factor}": partial(is_enlarged_by, factor) for factor in FACTORS},
        "nearest": lambda v: v.kernel == "nearest" and not v.noise,
        "JPEG below 80": lambda v: v.factor > 1 and v.quality < 80 and not v.noise,
        "with noise": lambda v: v.noise > 0 and v.factor > 1,
        **{f"{name}, as they are": partial(is_plain, name) for name in COLLECTIONS},
        **{f"{name}, enlarged": partial(is_enlarged, name) for name in COLLECTIONS},
    }
    for name, belongs in groups.items():
        for held_out in (False, True):
            rows = np.array([belongs(version) and version.held_out == held_out for version in made])
            if not rows.any():
                continue
            size = np.abs(error[rows])
            known = (estimate - of_base < -half)[rows].mean()
            print(
                f"| {name} | {'held out' if held_out else 'fitted on'} | {rows.sum()} | "
                f"{2 ** np.median(estimate[rows]):.2f} | {np.median(size):.2f} / {np.quantile(size, 0.95):.2f} | "
                f"{known:.3f} |"
            )


def is_enlarged_by(factor: float, version: Version) -> bool:
    return version.factor == factor and not version.noise


def is_plain(collection: str, version: Version) -> bool:
    return version.collection == collection and version.factor == 1 and version.quality == 100 and not version.sharp


def is_enlarged(collection: str, version: Version) -> bool:
    """Enlarged and coded well, without noise."""
    return version.collection == collection and version.factor > 1 and not version.noise and version.quality >= 80


def time_of(count: int) -> None:
    photos = [decode(path.read_bytes()).pixels for path, _ in people("celebamask", count)]
    times = []
    for photo in photos * 5:
        start = time.thread_time()
        photo_resolution(PhotoInputs(photo).luma)
        times.append(time.thread_time() - start)
    print(f"\nCPU ms a photo of 512 px: median {np.median(times) * 1e3:.2f}, least {min(times) * 1e3:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=60, help="photos of each collection")
    parser.add_argument("--fit", type=Path, help="fit the network and write it to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    made = versions(options.photos)
    if options.fit:
        fit(made, options.fit)
    report(made)
    time_of(20)


if __name__ == "__main__":
    main()
