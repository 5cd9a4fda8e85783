"""Figures of blur in collections: labelled faces as they are, and planted blur, each at the collection's own limit.

Protocol, labelled faces (`--natural`): faces of bench/blur_labels.csv of the people that are held out, scored from
their photos. The limit is that of the whole collection, labelled or not, of up to 400 photos; `review` of arguable
faces: neither verdict is wrong. The sample is not the collection: soft faces were drawn more often.

Protocol, planted blur (`--planted`): photos of people that are held out. A share of each collection is replaced by
blurred versions: one of KINDS at the photo's own size, half of them noisy, half at normal, a quarter each at half and
double brightness. Recall: share of the planted ones below the limit of the collection that holds them, and below its
limit of review. Lost: share of the photos as they are below the latter, among those labelled sharp; in celebamask,
which has no labels, among all. Means over DRAWS draws; nothing is tuned per share, kind or collection.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.blur_collections import (
    Floats,
    ScoredVersions,
    labelled_portraits,
    sample_portraits,
    score,
    score_versions,
)
from bench.blur_labels import read_labels
from curate.decide.rules import Policy
from curate.decide.sharpness_limit import SharpnessLimits, collection_limits
from curate.decide.sharpness_rules import review_limit
from curate.measure.sharpness import BlurCalibration

POLICY = Policy()
Flags = npt.NDArray[np.bool_]

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


def wilson(successes: int, count: int) -> str:
    """Format a share with its 95% interval after Wilson, 1927."""
    if not count:
        return "-"
    z, share = 1.96, successes / count
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
    return f"{successes}/{count} = {share:.2f} [{max(0, centre - half):.2f}, {min(1, centre + half):.2f}]"


def auc(blurred: Floats, sharp: Floats) -> float:
    """Probability that a blurred face scores lower than a sharp one; ties count half."""
    less = (blurred[:, None] < sharp).mean() + (blurred[:, None] == sharp).mean() / 2
    return float(less) if len(blurred) and len(sharp) else float("nan")


def limits_of(scored: Sequence[ScoredVersions], scores: Floats) -> SharpnessLimits:
    """Return the limits of one collection of several sources with these scores."""
    sizes = np.concatenate([part.sizes for part in scored])
    return collection_limits(scores, sizes[:, 0], sizes[:, 1], POLICY.min_sharpness)


def print_natural(datasets: Path, collections: Sequence[str], count: int, calibration: BlurCalibration) -> None:
    """Print AUC, precision and recall on labelled faces of held-out people."""
    print(
        "\n| collection | limit | sharp, arguable, blurred | AUC | dropped that are blurred | blurred or arguable "
        "| to review: blurred + arguable + sharp | recall, dropped | recall, not kept |"
    )
    print("|---" * 9 + "|")
    pooled: list[tuple[Floats, npt.NDArray[np.str_], Flags, Flags]] = []
    for collection in collections:
        pairs = list(labelled_portraits(datasets, collection, held=True))
        if not pairs:
            continue
        scores = score([portrait.aligned() for portrait, _ in pairs], calibration)
        labels = np.array([label.label for _, label in pairs])
        sizes = np.array([portrait.photo.shape[1::-1] for portrait, _ in pairs])
        everyone = [
            portrait for held in (True, False) for portrait in sample_portraits(datasets, collection, count // 2, held)
        ]
        all_scores = score([portrait.aligned() for portrait in everyone], calibration)
        all_sizes = np.array([portrait.photo.shape[1::-1] for portrait in everyone])
        limits = collection_limits(all_scores, all_sizes[:, 0], all_sizes[:, 1], POLICY.min_sharpness)
        limit = limits.of(sizes[:, 0], sizes[:, 1])
        dropped, not_kept = scores < limit, scores < review_limit(limit, POLICY)
        pooled.append((scores, labels, dropped, not_kept))
        _print_natural_row(collection, f"{limits.typical:.2f}", *pooled[-1])
    _print_natural_row("together", "", *(np.concatenate(part) for part in zip(*pooled, strict=True)))


def _print_natural_row(
    name: str, limit: str, scores: Floats, labels: npt.NDArray[np.str_], dropped: Flags, not_kept: Flags
) -> None:
    counts = [int((labels == label).sum()) for label in ("sharp", "arguable", "blurred")]
    area = auc(scores[labels == "blurred"], scores[labels == "sharp"])
    blurred = int((dropped & (labels == "blurred")).sum())
    arguable = blurred + int((dropped & (labels == "arguable")).sum())
    cells = [wilson(count, int(dropped.sum())) for count in (blurred, arguable)]
    review = not_kept & ~dropped
    cells += [" + ".join(str(int((review & (labels == label)).sum())) for label in ("blurred", "arguable", "sharp"))]
    cells += [wilson(blurred, counts[2]), wilson(int((not_kept & (labels == "blurred")).sum()), counts[2])]
    print(f"| {name} | {limit} | {', '.join(map(str, counts))} | {area:.3f} | {' | '.join(cells)} |", flush=True)


def print_planted(datasets: Path, count: int, calibration: BlurCalibration) -> None:
    """Print recall and losses in planted collections, then the recall of each kind of blur."""
    names = dict.fromkeys(name for parts in MIXED.values() for name in parts)
    labels = {(label.collection, label.image_id): label.label for label in read_labels()}
    scored = {}
    for name in names:
        labelled = [image_id for collection, image_id in labels if collection == name]
        portraits = sample_portraits(datasets, name, count, held=True, first=labelled)
        scored[name] = score_versions(portraits, PLANTS, calibration)
    print("\nRecall, dropped and not kept / share of unplanted photos not kept, by the planted share:\n")
    print(f"| collection | photos | {' | '.join(f'{share:.0%}' for share in SHARES)} |")
    print("|---|---|" + "---|" * len(SHARES))
    caught: dict[tuple[str, str], list[bool]] = {}
    for title, parts in MIXED.items():
        sources = [scored[name] for name in parts]
        sharp = np.array(
            [
                name == "celebamask" or labels.get((name, image)) == "sharp"
                for name in parts
                for image in scored[name].image_ids
            ]
        )
        cells = []
        for share in SHARES:
            dropped, not_kept, lost = _plant(title, sources, sharp, share, caught)
            cells.append(f"{dropped:.3f}, {not_kept:.3f} / {lost:.3f}")
        print(f"| {title} | {len(sharp)}, {sharp.sum()} sharp | {' | '.join(cells)} |", flush=True)
    print("\nNot kept, by kind at 20%: normal and half brightness; with noise; double brightness\n")
    kinds = list(dict.fromkeys(kind.rpartition(", ")[0] for _, kind in caught))
    print(f"| collection | {' | '.join(kinds)} |")
    print("|---|" + "---|" * len(kinds))
    for title in MIXED:
        cells = []
        for kind in kinds:
            found = [caught.get((title, f"{kind}, {light}"), []) for light in ("plain", "noise", "double")]
            cells.append(", ".join(f"{np.mean(part):.2f}" if part else "-" for part in found))
        print(f"| {title} | {' | '.join(cells)} |")


def _plant(
    title: str,
    sources: Sequence[ScoredVersions],
    sharp: npt.NDArray[np.bool_],
    share: float,
    caught: dict[tuple[str, str], list[bool]],
) -> tuple[float, float, float]:
    """Plant a share DRAWS times: mean shares dropped and not kept, and lost. Adds those not kept at 20% to `caught`."""
    random = np.random.default_rng(0)
    clean = np.concatenate([part.scores for part in sources])
    plants = np.concatenate([part.planted_scores for part in sources])
    kinds = [kinds for part in sources for kinds in part.planted]
    sizes = np.concatenate([part.sizes for part in sources])
    recalls, losses = [], []
    for _ in range(DRAWS):
        rows = np.arange(len(clean))
        planted = random.permutation(len(clean))[: round(share * len(clean))]
        which = random.integers(plants.shape[1], size=len(clean))
        scores = clean.copy()
        scores[planted] = plants[rows, which][planted]
        limit = limits_of(sources, scores).of(sizes[:, 0], sizes[:, 1])
        not_kept = scores < review_limit(limit, POLICY)
        is_planted = np.isin(rows, planted)
        recalls.append(((scores < limit)[planted].mean(), not_kept[planted].mean()))
        losses.append(not_kept[~is_planted & sharp].mean())
        if share == 0.2:
            for row in planted:
                blur = kinds[row][which[row]]
                light = "double" if blur.brightness > 1 else "noise" if blur.noisy else "plain"
                caught.setdefault((title, f"{blur.kind}, {light}"), []).append(bool(not_kept[row]))
    dropped, caught_share = np.mean(recalls, axis=0).tolist()
    return dropped, caught_share, float(np.mean(losses))
