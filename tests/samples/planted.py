"""Draws of a synthetic collection: 20 people with 10 photos each, every photo with a blurred and a harmless version
and a copy."""

import numpy as np

from curate.evaluate.planting import BLURS, DEFAULT_FAULTS, HARMLESS, Draw, PlantedVersions, plant

PHOTOS_PER_PERSON = 10
IDENTITY = np.repeat([f"p{k:02d}" for k in range(20)], PHOTOS_PER_PERSON)
COUNT = len(IDENTITY)
VERSIONS = PlantedVersions(
    blurred=COUNT + np.arange(COUNT),
    blur=np.resize(BLURS, COUNT).astype("U32"),
    copy=2 * COUNT + np.arange(COUNT),
    copy_kind=np.full(COUNT, "resized", "U32"),
    harmless=3 * COUNT + np.arange(COUNT),
    harmless_kind=np.resize(HARMLESS, COUNT).astype("U32"),
)


def planted(
    rate: float = 0.2, seed: int = 0, faults: tuple[str, ...] = DEFAULT_FAULTS, usable: np.ndarray | None = None
) -> Draw:
    """Plant faults in the collection."""
    usable = np.ones(COUNT, bool) if usable is None else usable
    return plant(IDENTITY, usable, VERSIONS, faults, rate, seed)
