"""Photos chosen by `curate select` against random, sharpest and DeepFaceLab-like choices of the same size.

    python -m bench.selection DATASET [DATASET ...] --per-person 8,32

Protocol: of measured datasets, every person with at least twice as many kept photos as are chosen. Of each choice:

- poses: share of the 10 x 10 degree cells of yaw and pitch, among those that any kept photo of the person is in, that a
  chosen photo is in, of at most as many cells as photos are chosen. These are other cells than those that the choice
  is made by.
- light, expression: the same for the cells of curate/select/cells.py.
- sharpness: mean; lowest: mean of the lowest tenth.
- distance: mean cosine distance of pairs of embeddings; nearest: mean cosine distance to the nearest other photo.

Means over people, with 95% intervals of the difference to random by bootstrap over people. Random: mean of 10 draws.
"binned" follows the published description of DeepFaceLab's `final`: equal shares of 128 yaw bins, of each the sharpest
ten times its share, then pitch bins in turn, each time the photo least like those chosen before.

Strangers: 2% photos of another person are added to each person's; the share of them among the chosen photos.
"""

import argparse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

import curate.select.choose as choosing
from curate.select.candidates import COLUMNS, Candidates, batches, read_candidates
from curate.select.cells import AXES
from curate.select.choose import choose
from curate.threads import default_threads
from manifests.reader import Dataset

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
METRICS = ("poses", "light", "expression", "sharpness", "lowest", "distance", "nearest")
DRAWS = 10
YAW_RANGE = 1.2 * 180 / np.pi


def random_choice(faces: Candidates, count: int, seed: int) -> Rows:
    """`count` photos at random."""
    return np.random.default_rng(seed).permutation(len(faces))[:count]


def sharpest(faces: Candidates, count: int) -> Rows:
    """The `count` sharpest photos."""
    return np.argsort(-faces.sharpness, kind="stable")[:count]


def binned(faces: Candidates, count: int) -> Rows:
    """Yaw bins, the sharpest of each, then pitch bins in turn by dissimilarity."""
    bins = np.clip(((faces.yaw + YAW_RANGE) / (2 * YAW_RANGE) * 128).astype(int), 0, 127)
    share = max(1, round(count / len(np.unique(bins))))
    per_bin = [np.flatnonzero(bins == number) for number in np.unique(bins)]
    chosen: list[int] = []
    for members in per_bin:
        pool = members[np.argsort(-faces.sharpness[members])][: 10 * share]
        pitch = np.clip(((faces.pitch[pool] + 60) / 120 * max(share, 2)).astype(int), 0, max(share, 2) - 1)
        taken: list[int] = []
        while len(taken) < min(share, len(pool)):
            for row in np.unique(pitch):
                left = [k for k in pool[pitch == row] if k not in taken]
                if left and len(taken) < share:
                    similar = (faces.vectors[left] @ faces.vectors[taken].T).max(1) if taken else np.zeros(len(left))
                    taken.append(int(left[int(np.argmin(similar))]))
        chosen += taken
    if len(chosen) > count:  # an even sample over the yaw bins
        chosen = [chosen[k] for k in np.linspace(0, len(chosen) - 1, count).astype(int)]
    rest = [k for k in np.argsort(-faces.sharpness) if k not in set(chosen)]
    return np.array([*chosen, *rest[: count - len(chosen)]])


CHOICES: dict[str, Callable[[Candidates, int], Rows]] = {
    "sharpest": sharpest,
    "binned": binned,
    "select": lambda faces, count: choose(faces, count).rows,
}


def scores(faces: Candidates, rows: Rows) -> Floats:
    """The METRICS of a choice."""
    cells = np.floor(np.nan_to_num(faces.yaw) / 10) * 100 + np.floor(np.nan_to_num(faces.pitch) / 10)
    codes = [cells, *(axis.code(faces) for axis in AXES if axis.name != "pose")]
    covered = [len(np.unique(code[rows])) / min(len(rows), len(np.unique(code))) for code in codes]
    sharpness = np.sort(faces.sharpness[rows])
    distance = 1 - faces.vectors[rows] @ faces.vectors[rows].T
    np.fill_diagonal(distance, np.nan)
    lowest = sharpness[: max(1, len(rows) // 10)].mean()
    return np.array([*covered, sharpness.mean(), lowest, np.nanmean(distance), np.nanmin(distance, 1).mean()])


def compare(people: list[Candidates], count: int) -> dict[str, Floats]:
    """Choice -> METRICS of each person, (P, M)."""
    random = [np.mean([scores(p, random_choice(p, count, seed)) for seed in range(DRAWS)], 0) for p in people]
    results = {"random": np.array(random)}
    for name, choice in CHOICES.items():
        results[name] = np.array([scores(person, choice(person, count)) for person in people])
    return results


def planted(people: list[Candidates], count: int, share: float) -> tuple[float, float, float]:
    """Share of strangers among the candidates, and among the chosen photos without and with the term for outliers.

    Photos of the person after next, drawn at random, are added to those of each person.
    """
    random = np.random.default_rng(0)
    outlier = choosing.OUTLIER
    found = []
    for index, person in enumerate(people):
        other = people[(index + 2) % len(people)]
        strangers = other.take(random.permutation(len(other))[: max(1, round(share * len(person)))])
        names = [field.name for field in fields(Candidates)[1:]]
        rows = pa.concat_tables([person.rows, strangers.rows])
        mixed = Candidates(rows, *(np.concatenate([getattr(f, name) for f in (person, strangers)]) for name in names))
        shares = [len(strangers) / len(mixed)]
        for weight in (0.0, outlier):
            choosing.OUTLIER = weight
            shares.append(float((choose(mixed, count).rows >= len(person)).mean()))
        found.append(shares)
    choosing.OUTLIER = outlier
    pool, without, with_term = np.mean(found, 0)
    return float(pool), float(without), float(with_term)


def difference(values: Floats, baseline: Floats) -> str:
    """95% interval of the mean difference over people."""
    draws = np.random.default_rng(0).integers(0, len(values), (2000, len(values)))
    low, high = np.percentile((values - baseline)[draws].mean(1), [2.5, 97.5])
    return f"{low:+.3f} to {high:+.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", type=Path, nargs="+")
    parser.add_argument("--per-person", default="8,32")
    options = parser.parse_args()
    print(f"| dataset | people | photos each | choice | {' | '.join(METRICS)} |\n|{'---|' * (4 + len(METRICS))}")
    for path in options.datasets:
        dataset = Dataset.open(path)
        kept = dataset.manifest(COLUMNS, keep=True)
        kept = kept.filter(pc.is_valid(kept["shard"]))
        with ThreadPoolExecutor(default_threads()) as pool:
            everyone = [faces for batch in batches(kept) for _, faces in read_candidates(dataset, batch, pool).people()]
        for count in map(int, options.per_person.split(",")):
            people = [faces for faces in everyone if len(faces) >= 2 * count]
            if not people:
                continue
            results = compare(people, count)
            for name, values in results.items():
                cells = " | ".join(f"{value:.3f}" for value in values.mean(0))
                print(f"| {path.name} | {len(people)} | {count} | {name} | {cells} |")
            pool, without, with_term = planted(people, count, 0.02)
            strangers = f"strangers: {pool:.3f} of the photos, {without:.3f} of the chosen ones without the term"
            print(f"| {path.name} | {len(people)} | {count} | {strangers}, {with_term:.3f} with it |")
            intervals = [difference(results["select"][:, k], results["random"][:, k]) for k in range(len(METRICS))]
            print(f"| {path.name} | {len(people)} | {count} | select - random | {' | '.join(intervals)} |")


if __name__ == "__main__":
    main()
