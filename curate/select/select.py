"""Choose the photos of every person of a dataset: `SelectRequest` -> `plan` -> `run`."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pyarrow.compute as pc

from curate.counts import counted
from curate.lineage import require_current
from curate.listener import SILENT, Listener, progress
from curate.select.candidates import COLUMNS, batches, read_candidates
from curate.select.cells import AXES
from curate.select.page import Page
from curate.select.person import COLUMNS as SELECTION_COLUMNS
from curate.select.person import Person, choose_of
from curate.threads import default_threads
from manifests.csv_rows import CsvWriter
from manifests.errors import DatasetError
from manifests.output import OutputLock, atomic_folder, require_replaceable
from manifests.reader import Dataset

SELECTION, PEOPLE, PAGE = "selection.csv", "people.csv", "index.html"
"""Files of the output folder."""

FOLDER = "selection"
"""Name of the output folder inside a dataset, where no other is given."""


@dataclass(frozen=True)
class SelectRequest:
    """What to choose, and where to write the list.

    Attributes:
        dataset: directory of a decided dataset, merged or not.
        per_person: photos of each person; of a person with fewer kept photos, all. Photos without an identity are one
            person.
        out: folder of the selection: new, empty, or of an earlier selection, which it replaces. None: `selection` in
            the dataset.
        people: identities to choose of; empty for all.
    """

    dataset: Path
    per_person: int
    out: Path | None = None
    people: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.per_person < 1:
            raise ValueError(f"{self.per_person} photos of a person: choose one or more")


@dataclass(frozen=True)
class SelectPlan:
    """A request, its opened dataset, and the manifest rows of the faces to choose from."""

    request: SelectRequest
    dataset: Dataset
    faces: pa.Table

    @property
    def out(self) -> Path:
        """The output folder."""
        return self.request.out or self.dataset.path / FOLDER


@dataclass(frozen=True)
class Selected:
    """Result of `run`.

    Attributes:
        out: the folder of the selection.
        photos, kept: chosen photos, and kept ones.
        people: number of persons.
        poses: chosen and kept cells of the pose maps of all persons.
    """

    out: Path
    photos: int
    kept: int
    people: int
    poses: tuple[int, int]

    @property
    def selection(self) -> Path:
        """The list of the chosen photos, for --selection."""
        return self.out / SELECTION

    def summary(self) -> str:
        """Describe the result in one line."""
        chosen, kept = self.poses
        share = f"{100 * chosen / kept:.0f}%" if kept else "none"
        return (
            f"{self.photos:,} of {counted(self.kept, 'kept photo')} of {counted(self.people, 'person')}, with {share} "
            "of the poses of all kept photos"
        )


def plan(request: SelectRequest) -> SelectPlan:
    """Open the dataset and find its kept faces. Writes nothing.

    Raises DatasetError without a manifest, where it is out of date, where no kept photo has a face, or where a person
    has none; OutputError where the output folder has other files.
    """
    dataset = Dataset.open(request.dataset)
    require_current(dataset)
    faces = dataset.manifest(COLUMNS, keep=True)
    faces = faces.filter(pc.is_valid(faces["shard"]))
    if request.people:
        names = set(pc.unique(faces["identity"]).to_pylist())
        for name in request.people:
            if name not in names:
                raise DatasetError(f"{dataset.path}: no kept photo of {name!r}; see report/index.html for its people")
        faces = faces.filter(pc.is_in(faces["identity"], pa.array(request.people)))
    if not faces.num_rows:
        raise DatasetError(f"{dataset.path}: no photo with a face is kept: decide by a milder policy")
    select_plan = SelectPlan(request, dataset, faces)
    out = select_plan.out
    require_replaceable(out, SELECTION, "a selection")
    return select_plan


def run(select_plan: SelectPlan, listener: Listener = SILENT) -> Selected:
    """Choose, and write the output folder, which replaces an earlier one when it is whole.

    `selection.csv` lists the chosen photos, each person's most useful first, with their cells and numbers;
    `people.csv` the coverage of each person; `index.html` shows pose maps and photos. The same dataset and request
    give the same files.

    Raises DatasetError where a shard is missing or damaged, OutputError where the output cannot be written, BusyError
    where another process writes into the dataset.
    """
    dataset, out, count = select_plan.dataset, select_plan.out, select_plan.request.per_person
    chosen, people, poses = 0, 0, (0, 0)
    # An output elsewhere is one folder, exchanged in one step, and needs no lock.
    with OutputLock(dataset.path) if out.parent == dataset.path else nullcontext(), atomic_folder(out) as folder:
        page = Page(dataset, folder, count)
        with (
            ThreadPoolExecutor(default_threads()) as pool,
            _table(folder / SELECTION) as selection_file,
            _table(folder / PEOPLE) as people_file,
            progress(listener, "choosing", select_plan.faces.num_rows, "faces") as advance,
        ):
            selection = CsvWriter(selection_file, SELECTION_COLUMNS)
            covered_columns = [f"{axis.name}_{kind}" for axis in AXES for kind in ("chosen", "kept")]
            table = CsvWriter(people_file, ("identity", "kept", "chosen", *covered_columns, "sharpness", "gaps"))
            for batch in batches(select_plan.faces):
                for name, faces in read_candidates(dataset, batch, pool).people():
                    person = choose_of(name, faces, count)
                    for line in person.lines:
                        selection.write(line)
                    table.write(_person_line(person))
                    page.add(person)
                    chosen, people = chosen + len(person.lines), people + 1
                    poses = (poses[0] + person.covered["pose"][0], poses[1] + person.covered["pose"][1])
                advance(batch.num_rows)
        page.write(folder / PAGE)
    return Selected(out, chosen, select_plan.faces.num_rows, people, poses)


def _table(path: Path) -> TextIO:
    return path.open("w", newline="", encoding="utf-8", errors="surrogateescape")


def _person_line(person: Person) -> tuple[object, ...]:
    counts = [number for axis in AXES for number in person.covered[axis.name]]
    return (person.name, person.kept, len(person.lines), *counts, f"{person.sharpness:.3f}", "; ".join(person.gaps))
