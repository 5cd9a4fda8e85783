"""Wrong persons and mixed folders: is `wrong_person` a probability, and are folders of two persons named?

    curate measure folder --root $SWAPSET_DATA/lfw-gray --out out/lfw [--embedder FILE]
    python -m bench.identities out/lfw [--seeds 3] [--rates 0.01 0.05 0.1 0.2 0.4] [--sizes 0x0 40x0 0x25]

Protocol, calibration: noise is planted as in `bench.quality` (half label flips, half strangers) in collections of
PEOPLExPHOTOS photos, drawn from the dataset by the seed (0: all). Known errors of the original collection are left out.
The faces of all seeds of a cell are pooled and divided by their probability into 15 bins of equal width. The expected
calibration error (ECE) is the mean over faces of |mean probability - share of wrong faces| of their bin; Brier is the
mean squared error of the probability. Nothing is fitted here.

Protocol, mixed folders: 200 folders of two persons, sizes in turn 5+5, 5+10, 10+10, 10+20, 20+20, 20+50, 50+50, drawn
by the seed from identities that have enough photos; clean folders: every identity, and 200 random parts of identities
of the same sizes. Folders that show two persons as they are (`NATURAL_MIXED`) are left out of both, not of the
calibration, where both persons count as right. The pair similarities are those of the collection. A folder is named
where `second_person` divides it; a photo is in its group where it is with the majority of its person.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bench.quality import BUCKETS, NATURAL_ERRORS, Kind, MainFaces, plant, read_main_faces
from curate.evaluate.outcome import wilson
from curate.relate.bucket import MeasuredBucket
from curate.relate.person_groups import second_person
from curate.relate.relate import RelateSettings, relate_collection
from curate.relate.similarity import calibrated, estimate_similarity
from manifests.reader import Dataset

BINS = 15
BANDS = (0.0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, 1.0)
"""Probabilities that bound the columns of the reliability table."""

PAIRS = ((5, 5), (5, 10), (10, 10), (10, 20), (20, 20), (20, 50), (50, 50))
FOLDERS = 200

NATURAL_MIXED = {"gwyneth_paltrow"}
"""Folders of celebs-112 that show two persons by visual inspection: a third and two thirds of its photos."""

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Judged:
    """Probabilities of N faces and whether they are wrong."""

    probability: Floats
    wrong: Flags

    def ece(self) -> float:
        """Expected calibration error over BINS bins."""
        bins = np.minimum((self.probability * BINS).astype(int), BINS - 1)
        gap = np.bincount(bins, self.probability - self.wrong, minlength=BINS)
        return float(np.abs(gap).sum() / len(bins))

    def brier(self) -> float:
        return float(((self.probability - self.wrong) ** 2).mean())

    def bands(self) -> Iterator[str]:
        """Of each band: number of faces, mean probability, share of wrong faces."""
        for low, high in pairwise(BANDS):
            inside = (self.probability >= low) & ((self.probability < high) | (high == BANDS[-1]))
            probability, wrong = self.probability[inside], self.wrong[inside]
            yield f"{len(wrong)}: {probability.mean():.2f}, {wrong.mean():.2f}" if len(wrong) else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rates", nargs="+", type=float, default=[0.01, 0.05, 0.1, 0.2, 0.4])
    parser.add_argument("--sizes", nargs="+", default=["0x0"], metavar="PEOPLExPHOTOS")
    options = parser.parse_args()
    for path in options.datasets:
        dataset = Dataset.open(path)
        settings = RelateSettings(prior=calibrated(dataset.info.models.embedder.name))
        faces = read_main_faces(dataset, settings)
        print(f"\n{path.name}, {dataset.info.models.embedder.name}\n")
        sizes = [(int(people), int(photos)) for people, photos in (size.split("x") for size in options.sizes)]
        print_calibration(faces, settings, sizes, options.rates, range(options.seeds))
        print_mixed_folders(faces, settings, seed=0)


def print_calibration(
    faces: MainFaces, settings: RelateSettings, sizes: list[tuple[int, int]], rates: list[float], seeds: range
) -> None:
    """Print a row for each size of collection and noise rate."""
    bands = [f"p {low:g}-{high:g}" for low, high in pairwise(BANDS)]
    print(f"| people x photos | noise | faces | ECE | Brier | {' | '.join(bands)} |")
    print("|---" * (5 + len(bands)) + "|")
    for people, photos in sizes:
        for rate in rates:
            parts = [judge(drawn(faces, people, photos, seed), settings, rate, seed) for seed in seeds]
            pooled = Judged(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("probability", "wrong")))
            cells = [f"{people or 'all'} x {photos or 'all'}", f"{rate:.0%}", f"{len(pooled.wrong):,}"]
            cells += [f"{pooled.ece():.4f}", f"{pooled.brier():.4f}", *pooled.bands()]
            print(f"| {' | '.join(cells)} |", flush=True)


def drawn(faces: MainFaces, people: int, photos: int, seed: int) -> MainFaces:
    """Draw some people and some photos of each; 0 takes all."""
    random = np.random.default_rng(1000 + seed)
    names = np.unique(faces.identity)
    if people:
        names = random.choice(names, min(people, len(names)), replace=False)
    rows = [np.flatnonzero(faces.identity == name) for name in names]
    if photos:
        rows = [random.permutation(members)[:photos] for members in rows]
    chosen = np.sort(np.concatenate(rows))
    return MainFaces(faces.table.take(chosen), faces.vectors[chosen], faces.identity[chosen])


def judge(faces: MainFaces, settings: RelateSettings, rate: float, seed: int) -> Judged:
    """Plant noise and relate; known errors of the collection, and faces without a probability, are left out."""
    planted = plant(faces.identity, rate, seed).sorted_by_folder()
    names = pa.array([f"{name}/{i:06d}.jpg" for i, name in enumerate(planted.folder)])
    table = faces.table.take(planted.photo)
    for name, values in {"image_id": names, "face_id": names, "identity": pa.array(planted.folder.tolist())}.items():
        table = table.set_column(table.column_names.index(name), name, values)
    codes = np.unique(planted.folder, return_inverse=True)[1]
    rows = [np.flatnonzero(codes % BUCKETS == bucket) for bucket in range(min(BUCKETS, codes.max() + 1))]
    buckets = [MeasuredBucket(table.take(part), faces.vectors[planted.photo[part]]) for part in rows]
    related = relate_collection(buckets.__getitem__, len(buckets), settings)
    probability = np.concatenate(related.wrong)[np.argsort(np.concatenate(rows))].astype(np.float64)
    wrong = planted.kind != Kind.UNCHANGED
    natural = np.isin(np.asarray(faces.table["image_id"].to_pylist())[planted.photo], list(NATURAL_ERRORS))
    judged = np.isfinite(probability) & ~(natural & ~wrong)
    return Judged(probability[judged], wrong[judged])


def print_mixed_folders(faces: MainFaces, settings: RelateSettings, seed: int) -> None:
    """Print the shares of mixed and of clean folders that are named, with Wilson intervals."""
    random = np.random.default_rng(seed)
    names = sorted({*faces.identity.tolist()} - NATURAL_MIXED)
    members = {name: np.flatnonzero(faces.identity == name) for name in names}
    similarity = estimate_similarity(faces.vectors.astype(np.float32), faces.identity, settings.prior)
    named: dict[tuple[int, int], list[bool]] = {}
    placed = photos = 0
    clean = [second_person(faces.vectors[rows], similarity) is not None for rows in members.values()]
    for folder in range(FOLDERS):
        pair = PAIRS[folder % len(PAIRS)]
        able = [name for name, rows in members.items() if len(rows) >= max(pair)]
        if len(able) < 2:
            continue
        first, second = (members[name] for name in random.choice(able, 2, replace=False))
        chosen = [random.permutation(first)[: pair[0]], random.permutation(second)[: pair[1]]]
        flags = second_person(faces.vectors[np.concatenate(chosen)], similarity)
        named.setdefault(pair, []).append(flags is not None)
        if flags is not None:
            person = np.arange(sum(pair)) >= pair[0]
            placed += max((flags == person).sum(), (flags != person).sum())
            photos += sum(pair)
        part = random.permutation(members[str(random.choice(able))])[: sum(pair)]
        clean.append(second_person(faces.vectors[part], similarity) is not None)
    print("\n| folders | named | share, 95% interval |\n|---|---|---|")
    rows = [(f"{a}+{b}", flags) for (a, b), flags in named.items()]
    rows += [("all mixed", [*chain.from_iterable(named.values())]), ("clean", clean)]
    for label, flags in rows:
        share = sum(flags) / len(flags)
        low, high = wilson(share, len(flags))
        print(f"| {label} | {sum(flags)} of {len(flags)} | {share:.3f} [{low:.3f}, {high:.3f}] |")
    print(f"\nphotos of named folders in their person's group: {placed:,} of {photos:,}")


if __name__ == "__main__":
    main()
