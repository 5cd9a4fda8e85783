"""Orders in which `discard` drops photos: by each score, by all of them, and by an oracle."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.evaluate.discard_curve import Pairs

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Score:
    """One order: photos with the highest badness are dropped first, those without a value last.

    Attributes:
        name: Shown in the table.
        columns: Of the manifest.
        badness: (N,) columns -> (N,) numbers.
    """

    name: str
    columns: tuple[str, ...]
    badness: Callable[..., Floats]


WRONG_PERSON = "wrong person"
"""The only score that is computed from the embeddings which judge: it finds what the judge calls an error."""

SCORES = (
    Score("sharpness", ("sharpness",), lambda value: -value),
    Score("resolved eye distance", ("eye_distance", "resolution"), lambda eyes, share: -eyes * share),
    Score("yaw", ("yaw",), np.abs),
    Score("pitch", ("pitch",), np.abs),
    Score("inside", ("inside",), lambda value: -value),
    Score("eyes covered", ("eyes_covered", "sunglasses"), np.fmax),
    Score("mouth covered", ("mouth_covered",), lambda value: value),
    Score("local contrast", ("local_contrast",), lambda value: -value),
    Score("noise", ("noise",), lambda value: value),
    Score("detection score", ("detection_score",), lambda value: -value),
    Score(WRONG_PERSON, ("wrong_person",), lambda value: value),
)


def tail_ranks(score: Score, photos: pa.Table, random: np.random.Generator) -> Floats:
    """Return the rank of each of N photos by a score, 0 for the worst to 1; ties are broken at random."""
    columns = (np.asarray(photos[name].to_numpy(), np.float64) for name in score.columns)
    badness = np.nan_to_num(np.asarray(score.badness(*columns), np.float64), nan=-np.inf)
    order = np.lexsort((random.random(len(badness)), -badness))
    rank = np.empty(len(order))
    rank[order] = np.arange(len(order)) / max(1, len(order) - 1)
    # Photos that are equally good are all best: most mouths are not covered at all.
    return np.where(badness == badness.min(), 1.0, rank) if len(badness) else rank


def all_scores(ranks: Sequence[Floats], random: np.random.Generator) -> Floats:
    """Return the ranks of N photos by the score of which each is worst; nothing is fitted or weighted."""
    worst = np.min(ranks, axis=0)
    return np.asarray(worst + 1e-9 * random.random(len(worst)))


def oracle(pairs: Pairs, random: np.random.Generator) -> Floats:
    """Return the order, as (N,) places, of an oracle that drops the photo with the most false non-matches left.

    The greedy rule is near the optimum, a minimum vertex cover, which cannot be computed for so many photos.
    """
    place = pairs.photos + random.permutation(pairs.photos).astype(np.float64)
    count = np.zeros(pairs.photos, np.int64)
    group_of, index_of = np.full(pairs.photos, -1), np.zeros(pairs.photos, np.int64)
    for k, (group, missed) in enumerate(zip(pairs.groups, pairs.missed, strict=True)):
        count[group], group_of[group], index_of[group] = missed.sum(axis=1), k, np.arange(len(group))
    for step in range(pairs.photos):
        worst = int(count.argmax())
        if count[worst] <= 0:
            break
        place[worst] = step
        group = pairs.groups[group_of[worst]]
        count[group] -= pairs.missed[group_of[worst]][index_of[worst]]
        count[worst] = -pairs.photos
    return place
