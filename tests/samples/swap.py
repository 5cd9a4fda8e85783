"""Photos with faces, trivial generators, a tiny checkpoint, and markers with few marks, for the tests of swapping."""

import importlib.util
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from curate.decode import decode
from curate.faces.embedder import Embedder
from curate.faces.models import load_embedder
from curate.faces.segment import Segmenter
from manifests.layout import ChoiceRecord
from train import checkpoint
from train.build import build_generator
from train.checkpoint import CheckpointFacts
from train.config import Recipe
from train.marks.marker import Marker
from train.marks.marking import Marking
from train.marks.metadata.mark import AigcMetadata
from train.networks.face_generator import FaceGenerator
from train.swap.consent import Consent
from train.swap.detection import SwapDetector, load_detector
from train.swap.reference import ReferencePeople
from train.swap.swapper import Swapper
from train.trained import TrainedGenerator

Pixels = npt.NDArray[np.uint8]


def _file(package: str, name: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations))) / name


ASTRONAUT = _file("skimage", "data/astronaut.png")
"""512 x 512 px, one face, 100 px wide, at (224, 110)."""

GROUP = _file("insightface", "data/images/t1.jpg")
"""1280 x 886 px, six faces."""


def pixels(path: Path) -> Pixels:
    return decode(path.read_bytes()).pixels


def smaller(photo: Pixels, factor: float) -> Pixels:
    return np.asarray(cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)


class IdentityGenerator(FaceGenerator):
    """Returns its input."""

    def __init__(self) -> None:
        super().__init__(128, "rgb01_tanh")

    def forward(self, target: Tensor, latent: Tensor) -> Tensor:
        return target


class StripesGenerator(FaceGenerator):
    """Returns green stripes, which no photo contains."""

    def __init__(self) -> None:
        super().__init__(128, "rgb01_tanh")

    def forward(self, target: Tensor, latent: Tensor) -> Tensor:
        painted = torch.zeros_like(target)
        painted[:, 1, :, ::2] = 1
        return painted


@lru_cache
def embedder() -> Embedder:
    return load_embedder("builtin")


@lru_cache
def segmenter() -> Segmenter:
    return Segmenter.load("cpu")


@lru_cache
def detector() -> SwapDetector:
    return load_detector(ChoiceRecord("builtin", None, "full"), "cpu")


def trained(generator: FaceGenerator, centre: Tensor | None = None) -> TrainedGenerator:
    """The generator as if it had been trained with the built-in embedder and this latent centre (default: zeros)."""
    recipe = Recipe(size=224)
    facts = CheckpointFacts(recipe, None, embedder().embedder_id, 128, recipe.images)
    return TrainedGenerator(generator, torch.zeros(128) if centre is None else centre, facts, "0" * 64, embedder())


def swapper(
    generator: FaceGenerator | None = None, *, only: ReferencePeople | None = None, consent: Consent | None = None
) -> Swapper:
    """A swapper with real models but for the generator, which returns its input by default."""
    condition = torch.eye(128)[0]
    return Swapper(
        trained(generator or IdentityGenerator()), detector(), segmenter(), condition, only=only, consent=consent
    )


UNMARKED = Marker(Marking(0), marks=())
"""Applies no marks."""

METADATA_ONLY = Marker(Marking(0), marks=(AigcMetadata,))


def write_checkpoint(path: Path, embedder_id: str | None = None, **recipe: object) -> Recipe:
    """Write a checkpoint of a tiny recipe with random weights; returns the recipe."""
    values = {"size": 64, "width": 8, "blocks": 2, "discriminator_scales": 1} | recipe
    tiny = Recipe(**values)  # type: ignore[arg-type]
    torch.manual_seed(0)
    generator = build_generator(tiny, 128)
    facts = CheckpointFacts(tiny, None, embedder_id or embedder().embedder_id, 128, tiny.images)
    centre = torch.linspace(-0.05, 0.1, 128)
    checkpoint.write(path, checkpoint.snapshot({"ema": generator}, {}, {"centre": centre}, facts, {}))
    return tiny
