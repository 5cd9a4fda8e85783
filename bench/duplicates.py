"""Near duplicates: recall for each kind of copy, inside a person's folder and in another one's, and wrong merges.

    python -m bench.duplicates --photos 60

From celebamask, lfw-gray and celebs-color come `photos` each, and up to as many further photos of the same people
that are copied nowhere. Of each copied photo one copy of each kind (`planted_files`: JPEG quality 50, half size,
mirrored, 95% of either side cut out at random) is laid into its own person's folder (every other photo) or into the
next person's. All is measured and related as `curate clean` does. Found: the copy is in the group of its original.
Candidates: the same before pixels are compared. Wrong: photos in a group with one that they are no copy of.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from bench.photos import data
from curate import measure, relate
from curate.decode import decode
from curate.evaluate.planted_files import PlantedFile, planted_jpeg
from curate.evaluate.planting import COPIES
from curate.measure.measure import MeasureRequest
from curate.relate.relate import RelateRequest, default_settings
from manifests.reader import Dataset

KINDS = COPIES[1:]
SMALLEST = 20.0
SAME = (
    {"lfw-gray Ari_Fleischer/0006.jpg", "lfw-gray Ari_Fleischer/0011.jpg"},
    {"celebs-color Jerry Seinfield/9.jpg", "celebs-color Jerry Seinfield/11.jpg"},
    {"celebs-color Jerry Seinfield/10.jpg", "celebs-color Jerry Seinfield/13.jpg"},
)
"""Untouched photos that are one picture, seen by eye."""


def people(collection: str, count: int) -> Iterator[tuple[str, list[Path]]]:
    """People of a collection and their photos, spread over it, until they have twice `count` photos between them."""
    folder = data() / collection
    if collection == "celebamask":
        files = sorted((folder / "images").iterdir())
        for index in range(count):
            path = files[index * len(files) // count]
            yield path.stem, [path]
        return
    names = sorted(path for path in folder.iterdir() if path.is_dir())
    left, step = 2 * count, max(1, len(names) // max(1, count // 4))
    for name in names[::step]:
        photos = sorted(name.iterdir())[: max(2, left)]
        yield name.name, photos
        left -= len(photos)
        if left <= 0:
            break


def lay_out(root: Path, count: int) -> dict[str, str]:
    """Photos and copies under `root` -> original of each file, by image_id (a copy's kind is in its name)."""
    origin: dict[str, str] = {}
    for collection in ("celebamask", "lfw-gray", "celebs-color"):
        listed = list(people(collection, count))
        chosen = [(k, path) for k, (_, photos) in enumerate(listed) for path in photos]
        copied = {path for _, path in chosen[:: max(1, len(chosen) // count)][:count]}
        nth = 0
        for k, path in chosen:
            folder = f"{collection} {listed[k][0]}"
            image_id = f"{folder}/{path.name}"
            (root / folder).mkdir(parents=True, exist_ok=True)
            (root / image_id).write_bytes(path.read_bytes())
            origin[image_id] = image_id
            if path not in copied:
                continue
            home = folder if nth % 2 == 0 else f"{collection} {listed[(k + 1) % len(listed)][0]}"
            place = "own" if nth % 2 == 0 else "other"
            nth += 1
            (root / home).mkdir(parents=True, exist_ok=True)
            pixels = decode(path.read_bytes()).pixels
            for kind in KINDS:
                name = f"{home}/{path.stem}@{place}@{kind}.jpg"
                file = PlantedFile(home, image_id, name, kind, 1.0)
                (root / name).write_bytes(planted_jpeg(pixels, file))
                origin[name] = image_id
    return origin


def groups_of(dataset: Dataset) -> dict[str, int]:
    """image_id -> duplicate group of its main face, -1 for none."""
    rows = pa.concat_tables(
        [dataset.relations(bucket, ["image_id", "main", "duplicate_group"]) for bucket in range(dataset.buckets)]
    )
    rows = rows.filter(rows["main"])
    return dict(zip(rows["image_id"].to_pylist(), rows["duplicate_group"].fill_null(-1).to_pylist(), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=60, help="copied photos of each collection")
    parser.add_argument("--keep", type=Path, help="leave photos and dataset here, and use them where they are")
    parser.add_argument("--missed", action="store_true", help="name what was missed and what was wrongly merged")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        base = options.keep or Path(scratch)
        origin = lay_out(base / "photos", options.photos)
        request = MeasureRequest(layout="folder", root=base / "photos", out=base / "dataset", models="builtin")
        measure.run(measure.plan(request))
        dataset = Dataset.open(base / "dataset")
        settings = default_settings(dataset)
        found = []
        for confirm in (None, settings.confirm):
            relate.run(RelateRequest(dataset.path, settings=replace(settings, confirm=confirm)))
            found.append(groups_of(Dataset.open(dataset.path)))
        report(origin, judged(dataset, origin), found[0], found[1], options.missed)


def judged(dataset: Dataset, origin: dict[str, str]) -> set[str]:
    """Copies that count: of a photo with one face, and with a face that is not too small."""
    columns = ["image_id", "face_id", "face_count", "eye_distance"]
    rows = pa.concat_tables([dataset.measures(bucket, columns) for bucket in range(dataset.buckets)]).to_pylist()
    faces = {row["image_id"]: row["face_count"] for row in rows}
    large = {row["image_id"] for row in rows if row["face_id"] and row["eye_distance"] >= SMALLEST}
    return {name for name, source in origin.items() if name != source and faces[source] == 1 and name in large}


def report(
    origin: dict[str, str], chosen: set[str], before: dict[str, int], after: dict[str, int], missed: bool
) -> None:
    """Print the table of all collections."""
    print("| collection | copy | copies | own folder | another's folder | among the candidates |")
    print("|---|---|---|---|---|---|")
    copies = sorted(chosen)
    for collection in ("celebamask", "lfw-gray", "celebs-color"):
        for kind in KINDS:
            shares = {}
            of_kind = [c for c in copies if origin[c].startswith(f"{collection} ") and c.endswith(f"@{kind}.jpg")]
            for place in ("own", "other"):
                here = [c for c in of_kind if f"@{place}@" in c]
                shares[place] = np.mean([together(after, c, origin[c]) for c in here])
            candidates = np.mean([together(before, c, origin[c]) for c in of_kind])
            print(
                f"| {collection} | {kind} | {len(of_kind)} | {shares['own']:.3f} | {shares['other']:.3f} "
                f"| {candidates:.3f} |"
            )
    of_all = [[(together(groups, c, origin[c])) for c in copies] for groups in (before, after)]
    print(f"| all | all | {len(copies)} | | {np.mean(of_all[1]):.3f} in all | {np.mean(of_all[0]):.3f} |")
    groups: dict[int, list[str]] = {}
    for name, group in after.items():
        if group >= 0:
            groups.setdefault(group, []).append(name)
    same = {name: min(alike) for alike in SAME for name in alike}
    wrong = {g: names for g, names in groups.items() if len({same.get(origin[n], origin[n]) for n in names}) > 1}
    print(f"\nin a group with a photo of another origin: {sum(map(len, wrong.values()))} of {len(origin)} photos")
    if missed:
        for name in copies:
            if not together(after, name, origin[name]):
                print(
                    "missed:",
                    name,
                    "of",
                    origin[name],
                    "" if before.get(name, -1) >= 0 else "(no candidate)",
                    file=sys.stderr,
                )
        for names in wrong.values():
            print("merged:", names, file=sys.stderr)


def together(groups: dict[str, int], one: str, other: str) -> bool:
    return groups.get(one, -1) >= 0 and groups.get(one) == groups.get(other, -1)


if __name__ == "__main__":
    main()
