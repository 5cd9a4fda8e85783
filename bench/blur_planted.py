"""Figures of planted blur in collections, each at its own limit, and below the limit of an oracle.

Protocol, planted blur (`--planted`): random photos of people that are held out. A share of each collection is replaced
by blurred versions: one of KINDS at the photo's own size, half of them noisy, half at normal, a quarter each at half
and double brightness. Not all of them blur: low resolution 3 leaves more than thumbnails hold; `that reduce detail`
leaves out low resolutions that take less than a third (REDUCTION) of the resolution of their photo. Recall: share of
the planted ones below the limit of the collection that holds them, and below its limit of review. Lost: share of the
faces as they are below the latter, among the labelled sharp ones of the held-out people; in celebamask, which has no
labels, among all. Soft faces were labelled more often than others, so each labelled face has the weight of the faces of
its collection that score about as high (`labelled_faces`). Means over DRAWS draws; nothing is tuned per share, kind or
collection.

Protocol, oracle: the limit below which LOST of the sharp faces lie, as weighted above, of all people; the share of all
planted versions that lies below. No choice of limits finds more at that loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.blur_collections import (
    KINDS,
    LIGHTS,
    Floats,
    Planted,
    ScoredVersions,
    sample_portraits,
    score_versions,
)
from bench.blur_labels import held_out
from bench.blur_tables import POLICY, labelled_faces
from curate.decide.sharpness_limit import SharpnessLimits, collection_limits
from curate.decide.sharpness_rules import review_limit
from curate.measure.sharpness import BlurCalibration

LOST = 0.01
SHARES = (0.05, 0.2, 0.4, 0.6)
DRAWS = 20
PLANTS = 3
MIXED = {
    "sharp: celebamask": ("celebamask",),
    "soft: celebs-112": ("celebs-112",),
    "soft: lfw-gray": ("lfw-gray",),
    "soft: unlabelled": ("unlabelled",),
    "64 px: thumbs-64": ("thumbs-64",),
    "mixed: celebamask + celebs-112": ("celebamask", "celebs-112"),
    "mixed: celebamask + lfw-gray + celebs-112": ("celebamask", "lfw-gray", "celebs-112"),
}


def limits_of(scored: Sequence[ScoredVersions], scores: Floats, enlargements: Floats) -> SharpnessLimits:
    """Return the limits of one collection of several sources with these scores."""
    sizes = np.concatenate([part.sizes for part in scored])
    return collection_limits(scores, sizes[:, 0], sizes[:, 1], enlargements, POLICY.min_sharpness)


@dataclass(frozen=True)
class SharpFaces:
    """Faces of a collection that are sharp: sizes of their photos (N, 2), their scores and their weights, each (N,)."""

    sizes: npt.NDArray[np.int64]
    scores: Floats
    weights: Floats

    @classmethod
    def joined(cls, parts: Sequence["SharpFaces"]) -> "SharpFaces":
        """Join the sharp faces of several collections, each of which counts as one."""
        weights = [part.weights / part.weights.sum() for part in parts]
        sizes = np.concatenate([part.sizes for part in parts])
        return cls(sizes, np.concatenate([part.scores for part in parts]), np.concatenate(weights))

    def lost(self, limits: Floats) -> float:
        """Return the share of them below limits (N,)."""
        return float(np.average(self.scores < limits, weights=self.weights))

    def oracle(self) -> float:
        """Return the limit below which LOST of them lie."""
        order = np.argsort(self.scores)
        shares = np.cumsum(self.weights[order]) / self.weights.sum()
        return float(self.scores[order][np.searchsorted(shares, LOST)])


def sharp_faces(datasets: Path, collection: str, held: bool | None, calibration: BlurCalibration) -> SharpFaces:
    """Return the labelled sharp faces of a collection, all or only those (not) held out; of celebamask all faces."""
    rows = labelled_faces(datasets, collection, calibration)
    if (rows.label != "").any():
        rows = rows[rows.label == "sharp"]
    rows = rows[[held in (None, held_out(image_id)) for image_id in rows.image_id]]
    sizes = rows[["width", "height"]].to_numpy(np.int64)
    return SharpFaces(sizes, rows.sharpness.to_numpy(np.float64), rows.weight.to_numpy(np.float64))


def print_planted(datasets: Path, count: int, calibration: BlurCalibration) -> None:
    """Print recall and losses in planted collections, the recall of each kind of blur, and that of an oracle."""
    names = list(dict.fromkeys(name for parts in MIXED.values() for name in parts))
    scored: dict[bool, dict[str, ScoredVersions]] = {True: {}, False: {}}
    for name in names:
        for held, parts in scored.items():
            portraits = sample_portraits(datasets, name, count, held=held)
            parts[name] = score_versions(portraits, PLANTS, calibration)
    print("\nRecall, dropped and not kept / share of sharp faces not kept, by the planted share:\n")
    print(f"| collection | photos | {' | '.join(f'{share:.0%}' for share in SHARES)} |")
    print("|---|---|" + "---|" * len(SHARES))
    caught: dict[str, list[Outcome]] = {title: [] for title in MIXED}
    for title, parts in MIXED.items():
        sources = [scored[True][name] for name in parts]
        sharp = SharpFaces.joined([sharp_faces(datasets, name, True, calibration) for name in parts])
        cells = []
        for share in SHARES:
            dropped, not_kept, lost = _plant(sources, sharp, share, caught[title] if share == 0.2 else [])
            cells.append(f"{dropped:.3f}, {not_kept:.3f} / {lost:.3f}")
        total = sum(len(source.scores) for source in sources)
        print(f"| {title} | {total} | {' | '.join(cells)} |", flush=True)
    print("\nNot kept, by kind at 20%: normal and half brightness; with noise; double brightness\n")
    _print_kinds(caught)
    print(f"\nBelow the limit that loses {LOST:.0%} of the sharp faces (all people), by kind as above\n")
    found: dict[str, list[Outcome]] = {}
    for name in names:
        limit = sharp_faces(datasets, name, None, calibration).oracle()
        found[f"{name}: {limit:.2f}"] = [
            Outcome(blur, blur.reduces(enlargement), bool(value < limit))
            for held in scored.values()
            for enlargement, blurs, values in zip(
                held[name].enlargements, held[name].planted, held[name].planted_scores, strict=True
            )
            for blur, value in zip(blurs, values, strict=True)
        ]
    _print_kinds(found)


@dataclass(frozen=True)
class Outcome:
    """A planted blur, whether it takes clearly visible detail from its photo, and whether it was caught."""

    blur: Planted
    reduces: bool
    caught: bool


def _print_kinds(found: dict[str, list[Outcome]]) -> None:
    """Print the share that was caught of all, of those that reduce detail, and of each kind and light."""
    print(f"| collection | all | that reduce detail | not at double brightness | {' | '.join(KINDS)} |")
    print("|---" * (4 + len(KINDS)) + "|")
    for title, versions in found.items():
        reducing = [version for version in versions if version.reduces]
        groups = (versions, reducing, [version for version in reducing if version.blur.light != LIGHTS[2]])
        cells = [f"{np.mean([version.caught for version in group]):.3f}" for group in groups]
        for kind in KINDS:
            of_kind = [version for version in versions if version.blur.kind == kind]
            parts = ([version.caught for version in of_kind if version.blur.light == light] for light in LIGHTS)
            cells.append(", ".join(f"{np.mean(part):.2f}" if part else "-" for part in parts))
        print(f"| {title} | {' | '.join(cells)} |")


def _plant(
    sources: Sequence[ScoredVersions], sharp: SharpFaces, share: float, caught: list[Outcome]
) -> tuple[float, float, float]:
    """Plant a share DRAWS times: mean shares dropped and not kept, and lost. Adds to `caught` what is not kept."""
    random = np.random.default_rng(0)
    clean = np.concatenate([part.scores for part in sources])
    detail = np.concatenate([part.enlargements for part in sources])
    plants = np.concatenate([part.planted_scores for part in sources])
    plants_detail = np.concatenate([part.planted_enlargements for part in sources])
    kinds = [kinds for part in sources for kinds in part.planted]
    sizes = np.concatenate([part.sizes for part in sources])
    recalls, losses = [], []
    for _ in range(DRAWS):
        rows = np.arange(len(clean))
        planted = random.permutation(len(clean))[: round(share * len(clean))]
        which = random.integers(plants.shape[1], size=len(clean))
        scores, enlargements = clean.copy(), detail.copy()
        scores[planted] = plants[rows, which][planted]
        enlargements[planted] = plants_detail[rows, which][planted]
        limits = limits_of(sources, scores, enlargements)
        limit = limits.of(sizes[:, 0], sizes[:, 1])
        not_kept = scores < review_limit(limit, POLICY)
        recalls.append(((scores < limit)[planted].mean(), not_kept[planted].mean()))
        losses.append(sharp.lost(review_limit(limits.of(sharp.sizes[:, 0], sharp.sizes[:, 1]), POLICY)))
        blurs = [kinds[row][which[row]] for row in planted]
        caught += [
            Outcome(blur, blur.reduces(detail[row]), bool(not_kept[row]))
            for row, blur in zip(planted, blurs, strict=True)
        ]
    dropped, caught_share = np.mean(recalls, axis=0).tolist()
    return dropped, caught_share, float(np.mean(losses))
