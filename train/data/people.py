"""The named people of a training: selection of their faces in a dataset, and their mean latents."""

import difflib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from manifests.errors import DatasetError
from manifests.schema import NO_IDENTITY
from train.data.faces import TrainingFaces
from train.data.latents import Latents

MIN_PHOTOS = 20
"""Photos that a person needs to be trained on without being named."""

ADVISED_PHOTOS = 150
"""Photos below which a person is reported: the generator repeats the few poses and expressions that it has seen."""

_SHOWN = 12  # names in a message


def select_people(faces: TrainingFaces, names: Sequence[str]) -> TrainingFaces:
    """Return the faces of the named people, or of everyone with an identity and `MIN_PHOTOS` where `names` is empty.

    Raises DatasetError: no such person, fewer than two people, or a name that cannot be written into a list.
    """
    count = dict(zip(faces.people, faces.count.tolist(), strict=True))
    if names:
        for name in names:
            if name not in count:
                raise DatasetError(f"{faces.root}: no kept photo of {name!r}{_alternatives(name, faces)}")
        selected = set(names)
        hint = "name two or more of its people"
    else:
        selected = {n for n, c in count.items() if c >= MIN_PHOTOS and not n.startswith(f"{NO_IDENTITY}/")}
        hint = f"add photos, or name people; without names, those with {MIN_PHOTOS} kept photos are taken"
    if len(selected) < 2:
        found = ", ".join(sorted(selected)) or "no one"
        raise DatasetError(f"{faces.root}: {found} to train on, and swapping takes two people: {hint}")
    for name in sorted(selected):
        if "," in name or name != name.strip():
            raise DatasetError(
                f"{faces.root}: {name!r} cannot be named in a recipe, where commas separate people: rename the folder"
            )
    is_selected = np.array([name in selected for name in faces.people], bool)
    return faces.take(np.flatnonzero(is_selected[faces.person]))


def mean_latents(faces: TrainingFaces, latents: Latents, people: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return the mean direction of each person's latents, float32 (P, D) of unit norm.

    Raises DatasetError where a person has no face, because all were held out.
    """
    means = []
    for name in people:
        rows = [faces.person == index for index, other in enumerate(faces.people) if other == name]
        if not rows:
            raise DatasetError(
                f"{faces.root}: every photo of {name!r} is held out: lower held_out_photos, or add photos"
            )
        mean = np.asarray(latents[rows[0]], np.float32).mean(0)
        means.append(mean / np.linalg.norm(mean))
    return np.stack(means)


def spreads(
    faces: TrainingFaces, latents: Latents, means: npt.NDArray[np.float32], centre: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return the median cosine distance of each person's photos to the mean latent: float32 (P,).

    The median, because a few photos of other persons do not move it.

    Args:
        faces: N faces of P people.
        latents: (N, D).
        means: (P, D), from `mean_latents`, in the order of `faces.people`.
        centre: (D,), the latent centre, which is subtracted from both.
    """
    photos, people = np.asarray(latents, np.float32) - centre, means - centre
    people /= np.linalg.norm(people, axis=1, keepdims=True)
    distance = 1 - (photos * people[faces.person]).sum(1) / np.linalg.norm(photos, axis=1)
    return np.array([np.median(distance[faces.person == index]) for index in range(len(means))], np.float32)


def photo_spread(faces: TrainingFaces, latents: Latents, centre: npt.NDArray[np.float32]) -> float:
    """Return the median cosine distance between two photos of a person; 0 where no person has two.

    Args:
        faces: N faces.
        latents: (N, D).
        centre: (D,), the latent centre, which is subtracted from both.
    """
    photos = np.asarray(latents, np.float32) - centre
    photos /= np.linalg.norm(photos, axis=1, keepdims=True)
    # The faces of a person are adjacent; each is compared with the next one.
    is_pair = faces.person[1:] == faces.person[:-1]
    distance = 1 - (photos[1:] * photos[:-1]).sum(1)[is_pair]
    return float(np.median(distance)) if len(distance) else 0.0


def few_photos(faces: TrainingFaces) -> str:
    """Return a line that names the people with less than `ADVISED_PHOTOS` photos; empty where there is none."""
    few = [f"{n} {c}" for n, c in zip(faces.people, faces.count.tolist(), strict=True) if c < ADVISED_PHOTOS]
    if not few:
        return ""
    return f"few photos ({', '.join(few)}): expect stiff expressions below {ADVISED_PHOTOS} photos of a person"


def _alternatives(name: str, faces: TrainingFaces) -> str:
    close = difflib.get_close_matches(name, faces.people, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    people = [faces.people[index] for index in np.argsort(-faces.count, kind="stable")]
    more = f", and {len(people) - _SHOWN:,} more" if len(people) > _SHOWN else ""
    return f"; it has {', '.join(people[:_SHOWN])}{more}"
