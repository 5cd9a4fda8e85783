"""Detection of wrong persons: label noise is planted in measured datasets and detected by the default policy.

    curate measure folder --root $SWAPSET_DATA/lfw-gray --out out/lfw [--embedder FILE]
    python -m bench.quality out/lfw [--seeds 5] [--rates 0.01 0.05 0.2 0.4]

Protocol: a tenth of the people is removed from the dataset. Of the remaining photos a share `rate`, drawn uniformly, is
replaced. Label flips: one half of it is permuted so that every photo is in another person's folder. Strangers: the
other half is replaced by photos of the removed people (reused in other folders when they run out). Folders keep their
sizes, so that every folder has the noise rate on average; a folder of five can lose its majority. Nothing is tuned per
rate.

Prints Markdown, means and standard deviations over the seeds. The columns "without known errors" ignore detections of
`NATURAL_ERRORS`: photos of the original dataset that show another person by visual inspection. Their detection is
correct, but they are not planted.
"""

import argparse
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.decide.policy import load_policy
from curate.relate.bucket import COLUMNS, MeasuredBucket
from curate.relate.relate import RelateSettings, relate_collection
from curate.relate.relations import relation_rows
from curate.relate.similarity import calibrated
from manifests.reader import Dataset

NATURAL_ERRORS = {
    "Recep_Tayyip_Erdogan/0004.jpg", "Michael_Schumacher/0008.jpg", "Ariel_Sharon/0004.jpg", "Colin_Powell/0206.jpg",
    "George_W_Bush/0179.jpg", "Jean_Charest/0004.jpg", "Hugh_Grant/0008.jpg", "Alvaro_Uribe/0035.jpg",
    "Mahmoud_Abbas/0012.jpg", "Edmund_Stoiber/0013.jpg", "Mahmoud_Abbas/0021.jpg", "Erika_Harold/0003.jpg",
    "Vojislav_Kostunica/0005.jpg", "Naji_Sabri/0002.jpg", "Gerhard_Schroeder/0073.jpg", "George_W_Bush/0116.jpg",
    "Colin_Powell/0034.jpg",
}  # fmt: skip
"""Photos of lfw-gray of another person than their folder's, compared by eye with two other photos of the folder."""

BUCKETS = 8

Mask = npt.NDArray[np.bool_]
Names = npt.NDArray[np.str_]
Indices = npt.NDArray[np.int64]


class Kind(IntEnum):
    """What is planted in a slot of a folder."""

    UNCHANGED = 0
    FLIPPED = 1
    STRANGER = 2


@dataclass(frozen=True)
class MainFaces:
    """The main faces of N photos: a table of COLUMNS, (N, D) unit vectors, (N,) identities."""

    table: pa.Table
    vectors: npt.NDArray[np.float16]
    identity: Names


@dataclass(frozen=True)
class Planted:
    """S slots of folders: (S,) index of the photo in each, (S,) name of its folder, (S,) `Kind`."""

    photo: Indices
    folder: Names
    kind: Indices

    def sorted_by_folder(self) -> "Planted":
        order = np.argsort(self.folder, kind="stable")
        return Planted(self.photo[order], self.folder[order], self.kind[order])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rates", nargs="+", type=float, default=[0.01, 0.05, 0.2, 0.4])
    options = parser.parse_args()
    for path in options.datasets:
        dataset = Dataset.open(path)
        embedder = dataset.info.models.embedder.name
        settings = RelateSettings(prior=calibrated(embedder))
        faces = read_main_faces(dataset, settings)
        photos, people = len(faces.identity), len(set(faces.identity))
        print(f"\n{path.name}: {photos:,} photos, {people:,} people, embedder {embedder}\n")
        report(faces, settings, options.rates, options.seeds)


def report(faces: MainFaces, settings: RelateSettings, rates: list[float], seeds: int) -> None:
    """Print the table of one dataset."""
    natural = np.isin(np.asarray(faces.table["image_id"].to_pylist()), list(NATURAL_ERRORS))
    detected, _ = detect_wrong_persons(faces, settings)
    count, known = int(detected.sum()), int((detected & natural).sum())
    print(
        f"without planted noise: {count} of {len(detected):,} ({count / len(detected):.2%}) called another person, "
        f"{known} of them known errors\n"
    )
    print(
        "| noise | F1 | precision | recall | F1 without known errors | precision without known errors "
        "| suggestion correct | strangers with a suggestion |"
    )
    print("|---" * 8 + "|")
    for rate in rates:
        rows = np.array([measure(faces, natural, settings, rate, seed) for seed in range(seeds)])
        cells = (f"{mean:.3f} ± {spread:.3f}" for mean, spread in zip(rows.mean(0), rows.std(0), strict=True))
        print(f"| {rate:.0%} | {' | '.join(cells)} |", flush=True)


def measure(faces: MainFaces, natural: Mask, settings: RelateSettings, rate: float, seed: int) -> list[float]:
    """Plant noise, relate, compare; returns the figures of one table row.

    Args:
        faces: main faces of N photos.
        natural: (N,) flags of NATURAL_ERRORS.
        settings: how the faces are related.
        rate: share of the photos that is replaced.
        seed: of the planted noise.
    """
    planted = plant(faces.identity, rate, seed).sorted_by_folder()
    names = pa.array([f"{name}/{i:06d}.jpg" for i, name in enumerate(planted.folder)])
    table = faces.table.take(planted.photo)
    columns = {"image_id": names, "face_id": names, "identity": pa.array(planted.folder.tolist())}
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, values)
    detected, suggested = detect_wrong_persons(MainFaces(table, faces.vectors[planted.photo], planted.folder), settings)
    wrong = planted.kind != Kind.UNCHANGED
    known_errors = natural[planted.photo] & ~wrong
    flipped, strangers = (detected & (planted.kind == kind) for kind in (Kind.FLIPPED, Kind.STRANGER))
    correct = suggested[flipped] == faces.identity[planted.photo[flipped]]
    true_positives = (detected & wrong).sum()
    recall = true_positives / max(wrong.sum(), 1)
    precision = true_positives / max(detected.sum(), 1)
    precision_without_known = true_positives / max((detected & ~known_errors).sum(), 1)
    return [
        _f1(precision, recall),
        precision,
        recall,
        _f1(precision_without_known, recall),
        precision_without_known,
        correct.mean() if len(correct) else 1.0,
        (suggested[strangers] != "").mean() if strangers.any() else 0.0,
    ]


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall)


def plant(identity: Names, rate: float, seed: int) -> Planted:
    """Plant label flips and strangers in a share `rate` of the photos, given the identity (N,) of each photo."""
    random = np.random.default_rng(seed)
    people = np.unique(identity)
    removed = np.isin(identity, random.choice(people, max(1, round(len(people) / 10)), replace=False))
    slots, strangers = np.flatnonzero(~removed), np.flatnonzero(removed)
    photo, folder, kind = slots.copy(), identity[slots], np.full(len(slots), Kind.UNCHANGED, np.int64)
    drawn = random.permutation(len(slots))[: round(len(slots) * rate)]
    to_flip, to_replace = drawn[: len(drawn) // 2], drawn[len(drawn) // 2 :]
    permuted = random.permutation(to_flip)
    for _ in range(1000):
        at_home = np.flatnonzero(identity[slots[permuted]] == folder[to_flip])
        if not len(at_home):
            break
        for i in at_home:
            j = random.integers(len(permuted))
            permuted[i], permuted[j] = permuted[j], permuted[i]
    photo[to_flip], kind[to_flip] = slots[permuted], Kind.FLIPPED
    rounds = -(-len(to_replace) // len(strangers))
    order = np.concatenate([random.permutation(strangers) for _ in range(rounds)] or [strangers])
    photo[to_replace], kind[to_replace] = order[: len(to_replace)], Kind.STRANGER
    return Planted(photo, folder, kind)


def detect_wrong_persons(faces: MainFaces, settings: RelateSettings) -> tuple[Mask, Names]:
    """Relate faces sorted by identity.

    Returns:
        (N,) flags of the faces that the default policy calls another person's, and their (N,) suggested identities,
        "" for none.
    """
    codes = np.unique(faces.identity, return_inverse=True)[1]
    indices = [np.flatnonzero(codes % BUCKETS == bucket) for bucket in range(BUCKETS)]
    buckets = [MeasuredBucket(faces.table.take(rows), faces.vectors[rows]) for rows in indices]
    related = relate_collection(buckets.__getitem__, BUCKETS, settings)
    table = pa.concat_tables([relation_rows(part, bucket, related) for bucket, part in enumerate(buckets)])
    order = np.argsort(np.concatenate(indices))
    probability = np.nan_to_num(table["wrong_person"].to_numpy())[order]
    suggested = np.array([name or "" for name in table["suggested_identity"].to_pylist()])[order]
    return probability >= load_policy("default").max_wrong_person, suggested


def read_main_faces(dataset: Dataset, settings: RelateSettings) -> MainFaces:
    """Read the main face of each photo, as `relate` selects it, sorted by identity."""
    buckets = [
        MeasuredBucket(dataset.measures(bucket, COLUMNS), dataset.embeddings(dataset.info.embedder_id, bucket)[1])
        for bucket in range(dataset.buckets)
    ]
    related = relate_collection(buckets.__getitem__, len(buckets), settings)
    tables, vectors = [], []
    for part, faces in zip(buckets, related.faces, strict=True):
        tables.append(part.measures.filter(pa.array(faces.main & faces.has_face)))
        vectors.append(part.vectors[faces.main[faces.has_face]])
    table = pa.concat_tables(tables)
    identity = np.array(table["identity"].to_pylist())
    order = np.lexsort((np.array(table["image_id"].to_pylist()), identity))
    return MainFaces(table.take(order), np.concatenate(vectors)[order], identity[order])


if __name__ == "__main__":
    main()
