"""The page of a selection: what all people have, and pose map, gaps and chosen photos of those with the most gaps."""

import heapq
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from curate.report.pages import render
from curate.report.pictures import PictureFolder
from curate.select.cells import AXES, POSES
from curate.select.person import Person
from curate.select.pose_map import pose_map_svg
from manifests.reader import Dataset

MAX_PEOPLE = 60
"""Persons shown, those whose kept photos have the fewest poses first."""

MAX_PHOTOS = 24
"""Photos shown of each, in the order of choice."""

PICTURE_SIDE = 112
"""px of a shown photo."""

PICTURES = "pictures"


@dataclass(frozen=True)
class _Shown:
    """A person on the page, with the files of its photos."""

    name: str
    kept: int
    chosen: int
    svg: str
    gaps: list[str]
    covered: dict[str, tuple[int, int]]
    sharpness: float
    pictures: list[tuple[str | None, str]]


class Page:
    """Collects the persons of a selection while they are chosen, and writes the page into `folder`."""

    def __init__(self, dataset: Dataset, folder: Path, per_person: int) -> None:
        self._dataset = dataset
        self._folder = folder
        self._per_person = per_person
        self._people = self._kept = self._chosen = 0
        self._kept_people: npt.NDArray[np.int64] = np.zeros(POSES, np.int64)
        self._chosen_people: npt.NDArray[np.int64] = np.zeros(POSES, np.int64)
        self._shown: list[tuple[int, str, Person]] = []

    def add(self, person: Person) -> None:
        """Count a person, and keep it if it is among those with the fewest poses."""
        self._people += 1
        self._kept += person.kept
        self._chosen += len(person.lines)
        self._kept_people += person.kept_poses > 0
        self._chosen_people += person.chosen_poses > 0
        entry = (-person.covered["pose"][1], person.name, person)
        if len(self._shown) < MAX_PEOPLE:
            heapq.heappush(self._shown, entry)
        else:
            heapq.heappushpop(self._shown, entry)

    def write(self, path: Path) -> None:
        """Write the page and its pictures."""
        (self._folder / PICTURES).mkdir()
        pictures = PictureFolder(self._dataset, self._folder / PICTURES, PICTURE_SIDE)
        people = [person for _, _, person in sorted(self._shown, key=lambda entry: (-entry[0], entry[1]))]
        text = render(
            "curate.select",
            "page.html",
            name=self._dataset.path.resolve().name,
            per_person=self._per_person,
            people=self._people,
            kept=self._kept,
            chosen=self._chosen,
            all_people=pose_map_svg(self._kept_people, self._chosen_people, "all people"),
            axes=[axis.name for axis in AXES],
            shown=[_shown(person, pictures) for person in people],
        )
        path.write_text(text, encoding="utf-8")


def _shown(person: Person, pictures: PictureFolder) -> _Shown:
    photos = [dict(photo) | {"error": None} for photo in person.photos[:MAX_PHOTOS]]  # type: ignore[call-overload]
    return _Shown(
        name=person.name,
        kept=person.kept,
        chosen=len(person.lines),
        svg=pose_map_svg(person.kept_poses, person.chosen_poses, person.name),
        gaps=person.gaps,
        covered=person.covered,
        sharpness=person.sharpness,
        pictures=[(pictures.add(photo), photo["image_id"]) for photo in photos],
    )
