"""How right `wrong_person` is: flips and strangers planted in measured datasets, found again at the default policy.

    curate measure folder --root $SWAPSET_DATA/lfw-gray --out out/lfw [--embedder FILE]
    python -m bench.quality out/lfw [--seeds 5] [--rates 0.01 0.05 0.2 0.4]

Noise: a tenth of the people is taken out of the set. Of the remaining photos a share `rate`, drawn evenly, is replaced:
one half changes places among itself, so that every photo of it lies in another person's folder (flipped); the other
half gives way to photos of the people taken out (strangers, used again in other folders when they run out). Folders
keep their sizes, so that a rate is each folder's own, on average; a folder of five can lose its majority.

Printed as Markdown, mean and spread over the seeds. "seen" columns set aside the photos that were looked at and found
to show another person in the untouched data (`NATURAL_ERRORS`): to find them is right, and no planted truth says so.
"""

import argparse
from dataclasses import dataclass
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
"""Photos of lfw-gray whose face is another person's than the folder's, compared by eye with two more of the folder."""

BUCKETS = 8


@dataclass(frozen=True)
class Faces:
    """N faces, one a photo: a table of COLUMNS, (N, D) vectors, (N,) identities."""

    table: pa.Table
    vectors: npt.NDArray[np.float16]
    identity: npt.NDArray[np.str_]


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
        faces = read_faces(dataset)
        print(
            f"\n{path.name}: {len(faces.identity):,} photos, {len(set(faces.identity)):,} people, embedder {embedder}\n"
        )
        report(faces, settings, options.rates, options.seeds)


def report(faces: Faces, settings: RelateSettings, rates: list[float], seeds: int) -> None:
    """Print the table of one set of faces."""
    natural = np.isin(np.asarray(faces.table["image_id"].to_pylist()), list(NATURAL_ERRORS))
    kept = wrong_persons(faces, settings)["wrong_person"] < load_policy("default").max_wrong_person
    lost, known = int((~kept).sum()), int((~kept & natural).sum())
    print(
        f"untouched: {lost} of {len(kept):,} ({lost / len(kept):.2%}) called another person, {known} of them rightly\n"
    )
    print("| noise | F1 | precision | recall | F1, seen | precision, seen | suggested right | strangers suggested |")
    print("|---|---|---|---|---|---|---|---|")
    for rate in rates:
        rows = np.array([measure(faces, natural, settings, rate, seed) for seed in range(seeds)])
        cells = (f"{mean:.3f} ± {spread:.3f}" for mean, spread in zip(rows.mean(0), rows.std(0), strict=True))
        print(f"| {rate:.0%} | {' | '.join(cells)} |", flush=True)


def measure(
    faces: Faces, natural: npt.NDArray[np.bool_], settings: RelateSettings, rate: float, seed: int
) -> list[float]:
    """Plant, relate, compare -> the numbers of one row."""
    row, folder, kind = plant(faces.identity, rate, seed)
    order = np.argsort(folder, kind="stable")
    row, folder, kind = row[order], folder[order], kind[order]
    names = pa.array([f"{name}/{i:06d}.jpg" for i, name in enumerate(folder)])
    table = faces.table.take(row)
    for name, values in (("image_id", names), ("face_id", names), ("identity", pa.array(folder.tolist()))):
        table = table.set_column(table.column_names.index(name), name, values)
    related = wrong_persons(Faces(table, faces.vectors[row], folder), settings)
    found = related["wrong_person"] >= load_policy("default").max_wrong_person
    planted = kind > 0
    aside = natural[row] & ~planted
    flipped, strange = found & (kind == 1), found & (kind == 2)
    suggested = related["suggested"]
    right = suggested[flipped] == faces.identity[row[flipped]]
    hit = (found & planted).sum()
    precision, recall = hit / max(found.sum(), 1), hit / max(planted.sum(), 1)
    seen = hit / max((found & ~aside).sum(), 1)
    return [
        2 * precision * recall / (precision + recall),
        precision,
        recall,
        2 * seen * recall / (seen + recall),
        seen,
        right.mean() if len(right) else 1.0,
        (suggested[strange] != "").mean() if strange.any() else 0.0,
    ]


def plant(
    identity: npt.NDArray[np.str_], rate: float, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.str_], npt.NDArray[np.int64]]:
    """Identities of N photos -> for each slot that stays: its photo, its folder, and 0 right, 1 flipped, 2 strange."""
    random = np.random.default_rng(seed)
    people = np.unique(identity)
    out = np.isin(identity, random.choice(people, max(1, round(len(people) / 10)), replace=False))
    slot, strangers = np.flatnonzero(~out), np.flatnonzero(out)
    row, folder, kind = slot.copy(), identity[slot], np.zeros(len(slot), np.int64)
    chosen = random.permutation(len(slot))[: round(len(slot) * rate)]
    flips, strange = chosen[: len(chosen) // 2], chosen[len(chosen) // 2 :]
    swapped = random.permutation(flips)
    for _ in range(1000):
        home = np.flatnonzero(identity[slot[swapped]] == folder[flips])
        if not len(home):
            break
        for i in home:
            j = random.integers(len(swapped))
            swapped[i], swapped[j] = swapped[j], swapped[i]
    row[flips], kind[flips] = slot[swapped], 1
    rounds = -(-len(strange) // len(strangers))
    row[strange] = np.concatenate([random.permutation(strangers) for _ in range(rounds)] or [strangers])[: len(strange)]
    kind[strange] = 2
    return row, folder, kind


def wrong_persons(faces: Faces, settings: RelateSettings) -> dict[str, npt.NDArray[np.generic]]:
    """Relate faces sorted by identity -> wrong_person (NaN read as 0) and suggested identity ('' for none) of each."""
    codes = np.unique(faces.identity, return_inverse=True)[1]
    parts = [np.flatnonzero(codes % BUCKETS == bucket) for bucket in range(BUCKETS)]
    held = [MeasuredBucket(faces.table.take(part), faces.vectors[part]) for part in parts]
    related = relate_collection(held.__getitem__, BUCKETS, settings)
    rows = pa.concat_tables([relation_rows(part, bucket, related) for bucket, part in enumerate(held)])
    order = np.argsort(np.concatenate(parts))
    return {
        "wrong_person": np.nan_to_num(rows["wrong_person"].to_numpy())[order],
        "suggested": np.array([name or "" for name in rows["suggested_identity"].to_pylist()])[order],
    }


def read_faces(dataset: Dataset) -> Faces:
    """The main face of each photo of a dataset, as `relate` chooses it, sorted by identity."""
    embedder = dataset.info.embedder_id
    held = []
    for bucket in range(dataset.buckets):
        measures = dataset.measures(bucket, COLUMNS)
        held.append(MeasuredBucket(measures, dataset.embeddings(embedder, bucket)[1]))
    name = dataset.info.models.embedder.name
    related = relate_collection(held.__getitem__, len(held), RelateSettings(prior=calibrated(name)))
    tables, vectors = [], []
    for part, faces in zip(held, related.faces, strict=True):
        tables.append(part.measures.filter(pa.array(faces.main & faces.has_face)))
        vectors.append(part.vectors[faces.main[faces.has_face]])
    table = pa.concat_tables(tables)
    identity = np.array(table["identity"].to_pylist())
    order = np.lexsort((np.array(table["image_id"].to_pylist()), identity))
    return Faces(table.take(order), np.concatenate(vectors)[order], identity[order])


if __name__ == "__main__":
    main()
