"""Near duplicates: recall for each kind of copy, within an identity and across identities, and wrong groups.

    SWAPSET_DATA=DIR python -m bench.duplicates --photos 60

Protocol: `--photos` photos each of celebamask, lfw-gray and celebs-color are copied; up to as many photos of the same
people are not. One copy of each kind (curate/evaluate/planted_files.py: JPEG quality 50, half size, mirrored, a random
crop of 95% of both sides) goes into the person's own folder for every other photo, else into the next person's folder.
All photos are measured and related as `curate clean` does. Recall: the share of copies in the duplicate group of their
original. Candidates: the same before pixels are compared. Wrong: photos in a group with a photo of another origin.
Photos with several faces and copies with eyes under 20 px apart are left out of the recall.
"""

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from bench.photos import data, spread
from curate import measure, relate
from curate.decode import decode
from curate.evaluate.planted_files import PlantedFile, planted_jpeg
from curate.evaluate.planting import COPIES
from curate.measure.request import MeasureRequest
from curate.relate.relate import RelateRequest, default_settings
from manifests.reader import Dataset

COLLECTIONS = ("celebamask", "lfw-gray", "celebs-color")
KINDS = COPIES[1:]
MIN_EYE_DISTANCE = 20.0
SAME_PICTURE = (
    {"lfw-gray Ari_Fleischer/0006.jpg", "lfw-gray Ari_Fleischer/0011.jpg"},
    {"celebs-color Jerry Seinfield/9.jpg", "celebs-color Jerry Seinfield/11.jpg"},
    {"celebs-color Jerry Seinfield/10.jpg", "celebs-color Jerry Seinfield/13.jpg"},
)
"""Original photos that show the same picture, found by visual inspection."""

Groups = dict[str, int]
"""Duplicate group of the main face of a photo, by image_id; -1 for none."""


@dataclass(frozen=True)
class Copy:
    """A planted copy. place: "own", the folder of its person, or "other"."""

    image_id: str
    original: str
    collection: str
    kind: str
    place: str

    def is_grouped(self, groups: Groups) -> bool:
        """Whether the copy is in the duplicate group of its original."""
        group = groups.get(self.image_id, -1)
        return group >= 0 and group == groups.get(self.original, -1)


def read_people(collection: str, count: int) -> Iterator[tuple[str, list[Path]]]:
    """Yield people of a collection and their photos, spread over it, up to 2 * `count` photos in total."""
    folder = data() / collection
    if collection == "celebamask":  # one photo per person
        for path in spread(sorted((folder / "images").iterdir()), count):
            yield path.stem, [path]
        return
    people = sorted(path for path in folder.iterdir() if path.is_dir())
    remaining, step = 2 * count, max(1, len(people) // max(1, count // 4))
    for person in people[::step]:
        photos = sorted(person.iterdir())[: max(2, remaining)]
        yield person.name, photos
        remaining -= len(photos)
        if remaining <= 0:
            break


def plant_copies(root: Path, count: int) -> tuple[set[str], list[Copy]]:
    """Write photos and copies below `root`; returns the image ids of the originals, and the copies."""
    originals: set[str] = set()
    copies: list[Copy] = []
    for collection in COLLECTIONS:
        people = list(read_people(collection, count))
        photos = [(person, path) for person, (_, paths) in enumerate(people) for path in paths]
        copied = {path for _, path in photos[:: max(1, len(photos) // count)][:count]}
        folders = [f"{collection} {name}" for name, _ in people]
        for folder in folders:
            (root / folder).mkdir(parents=True, exist_ok=True)
        number = 0
        for person, path in photos:
            original = f"{folders[person]}/{path.name}"
            (root / original).write_bytes(path.read_bytes())
            originals.add(original)
            if path not in copied:
                continue
            place, folder = (
                ("own", folders[person]) if number % 2 == 0 else ("other", folders[(person + 1) % len(folders)])
            )
            number += 1
            pixels = decode(path.read_bytes()).pixels
            for kind in KINDS:
                image_id = f"{folder}/{path.stem}@{place}@{kind}.jpg"
                file = PlantedFile(folder, original, image_id, kind, 1.0)
                (root / image_id).write_bytes(planted_jpeg(pixels, file))
                copies.append(Copy(image_id, original, collection, kind, place))
    return originals, copies


def read_groups(dataset: Dataset) -> Groups:
    """Read the duplicate group of the main face of each photo."""
    rows = pa.concat_tables(
        [dataset.relations(bucket, ["image_id", "main", "duplicate_group"]) for bucket in range(dataset.buckets)]
    )
    rows = rows.filter(rows["main"])
    return dict(zip(rows["image_id"].to_pylist(), rows["duplicate_group"].fill_null(-1).to_pylist(), strict=True))


def select_copies(dataset: Dataset, copies: list[Copy]) -> list[Copy]:
    """Select the copies that count: of a photo with one face, and with a large enough face."""
    columns = ["image_id", "face_id", "face_count", "eye_distance"]
    rows = pa.concat_tables([dataset.measures(bucket, columns) for bucket in range(dataset.buckets)]).to_pylist()
    faces = {row["image_id"]: row["face_count"] for row in rows}
    large = {row["image_id"] for row in rows if row["face_id"] and row["eye_distance"] >= MIN_EYE_DISTANCE}
    return [copy for copy in copies if faces[copy.original] == 1 and copy.image_id in large]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=60, help="copied photos of each collection")
    parser.add_argument("--keep", type=Path, help="keep photos and dataset in this folder, or use those in it")
    parser.add_argument("--missed", action="store_true", help="list missed copies and wrong groups")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        originals, copies = plant_copies(folder / "photos", options.photos)
        request = MeasureRequest(layout="folder", root=folder / "photos", out=folder / "dataset", models="builtin")
        measure.run(measure.plan(request))
        dataset = Dataset.open(folder / "dataset")
        settings = default_settings(dataset)
        candidates, confirmed = (
            _relate(dataset.path, replace(settings, confirm=confirm)) for confirm in (None, settings.confirm)
        )
        copies_that_count = select_copies(dataset, copies)
    print_recall(copies_that_count, candidates, confirmed)
    wrong = wrong_groups(originals, copies, confirmed)
    print(f"\nwrong: {sum(map(len, wrong))} of {len(originals) + len(copies)} photos")
    if options.missed:
        for copy in copies_that_count:
            if not copy.is_grouped(confirmed):
                note = "" if candidates.get(copy.image_id, -1) >= 0 else "(no candidate)"
                print("missed:", copy.image_id, "of", copy.original, note, file=sys.stderr)
        for group in wrong:
            print("wrong group:", group, file=sys.stderr)


def _relate(path: Path, settings: relate.RelateSettings) -> Groups:
    relate.run(RelateRequest(path, settings=settings))
    return read_groups(Dataset.open(path))


def print_recall(copies: list[Copy], candidates: Groups, confirmed: Groups) -> None:
    """Print the recall of each collection and kind as a Markdown table."""

    def recall(part: list[Copy], groups: Groups) -> float:
        return float(np.mean([copy.is_grouped(groups) for copy in part]))

    print("| collection | copy | copies | own folder | another person's folder | candidates |")
    print("|---|---|---|---|---|---|")
    for collection in COLLECTIONS:
        for kind in KINDS:
            part = [copy for copy in copies if (copy.collection, copy.kind) == (collection, kind)]
            own, other = (
                recall([copy for copy in part if copy.place == place], confirmed) for place in ("own", "other")
            )
            print(f"| {collection} | {kind} | {len(part)} | {own:.3f} | {other:.3f} | {recall(part, candidates):.3f} |")
    of_all, candidates_of_all = recall(copies, confirmed), recall(copies, candidates)
    print(f"| all | all | {len(copies)} | | {of_all:.3f} in all | {candidates_of_all:.3f} |")


def wrong_groups(originals: set[str], copies: list[Copy], groups: Groups) -> list[list[str]]:
    """Return the image ids of each group that contains different pictures."""
    picture = {name: name for name in originals} | {copy.image_id: copy.original for copy in copies}
    same = {name: min(names) for names in SAME_PICTURE for name in names}
    members: dict[int, list[str]] = defaultdict(list)
    for name, group in groups.items():
        if group >= 0:
            members[group].append(name)
    return [names for names in members.values() if len({same.get(picture[name], picture[name]) for name in names}) > 1]


if __name__ == "__main__":
    main()
