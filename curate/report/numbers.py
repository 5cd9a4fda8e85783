"""A manifest -> the numbers of its report: totals, reasons, histograms, the persons worst hit, who is dropped."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.decide.policy import Policy
from manifests.schema import REASONS

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

BINS = 40


@dataclass(frozen=True)
class Measure:
    """A column whose distribution is shown: its name, what it means, its range, and the policy's limits on it."""

    column: str
    title: str
    low: float
    high: float
    limits: tuple[str, ...]


MEASURES = (
    Measure("sharpness", "Sharpness of the face", 0, 1, ("min_sharpness",)),
    Measure("wrong_person", "Probability of another person", 0, 1, ("max_wrong_person",)),
    Measure("own_similarity", "Similarity to the own person's centre", -0.2, 1, ()),
    Measure("margin", "Own similarity less that of the nearest other person", -0.6, 1, ()),
    Measure("eye_distance", "Pixels between the eyes", 0, 200, ("min_eye_distance",)),
    Measure("stretch", "Height over width, 1 is natural", 0.5, 2, ("max_stretch",)),
    Measure("brightness", "Median brightness of the face", 0, 255, ("min_brightness",)),
    Measure("clipped_dark", "Share of the face in black", 0, 1, ("max_clipped_dark",)),
    Measure("clipped_bright", "Share of the face burnt out", 0, 1, ("max_clipped_bright",)),
    Measure("yaw", "Turned to the side, degrees", -90, 90, ()),
)

# Whether cleaning removes a kind of photo, or a group of people: drop rate against these.
GROUPS = (
    ("yaw", "Turned to the side (degrees either way)", (0, 10, 20, 30, 45, 90), True),
    ("brightness", "Brightness of the face", (0, 50, 90, 130, 170, 256), False),
    ("ita", "Skin tone (individual typology angle, degrees; high is light)", (-90, -30, 10, 28, 41, 55, 90), False),
)

COLUMNS = ("image_id", "identity", "verdict", "verdict_source", "reasons", "ita", *(m.column for m in MEASURES))


@dataclass(frozen=True)
class Histogram:
    """Photos per bin, those dropped for any reason among them, and where the policy draws its lines."""

    measure: Measure
    edges: Floats
    photos: npt.NDArray[np.int64]
    dropped: npt.NDArray[np.int64]
    limits: tuple[float, ...]


@dataclass(frozen=True)
class Group:
    """Photos of one range of a measure, and how many of them are dropped for what the range should not decide."""

    words: str
    photos: int
    dropped: int

    @property
    def share(self) -> float:
        return self.dropped / self.photos if self.photos else 0.0


@dataclass(frozen=True)
class Numbers:
    """Everything countable of a report."""

    photos: int
    kept: int
    people: int
    people_kept: int
    overridden: int
    reasons: dict[str, int]
    only: dict[str, int]
    histograms: list[Histogram]
    worst: list[tuple[str, int, int, dict[str, int]]]
    groups: dict[str, list[Group]]


def count(manifest: pa.Table, policy: Policy) -> Numbers:
    """Manifest with COLUMNS, and the policy -> Numbers. Vectorised; made for millions of rows."""
    photos = manifest.num_rows
    dropped = np.asarray(pc.equal(manifest["verdict"].cast(pa.string()), "drop").to_numpy(), bool)
    lists = manifest["reasons"].combine_chunks()
    row = np.asarray(pc.list_parent_indices(lists))
    word = np.asarray(pc.index_in(lists.flatten(), pa.array(REASONS)))
    per_row = np.bincount(row, minlength=photos)
    reasons = np.bincount(word, minlength=len(REASONS))
    alone = np.bincount(word[per_row[row] == 1], minlength=len(REASONS))
    identity = manifest["identity"].combine_chunks().dictionary_encode()
    names, code = identity.dictionary, np.asarray(identity.indices)
    per_person = np.bincount(code, minlength=len(names))
    kept_person = np.bincount(code[~dropped], minlength=len(names))
    by_reason = np.bincount(code[row] * len(REASONS) + word, minlength=len(names) * len(REASONS)).reshape(
        -1, len(REASONS)
    )
    lost = per_person - kept_person
    order = np.lexsort((-per_person, -(lost / np.maximum(per_person, 1)) * (lost > 0), lost == 0))[:20]
    worst = [(names[int(k)].as_py(), int(per_person[k]), int(lost[k]), _named(by_reason[k])) for k in order if lost[k]]
    overridden = pc.sum(pc.equal(manifest["verdict_source"].cast(pa.string()), "override")).as_py() or 0
    return Numbers(
        photos,
        int((~dropped).sum()),
        len(names),
        int((kept_person > 0).sum()),
        int(overridden),
        _named(reasons),
        _named(alone),
        [_histogram(measure, manifest, dropped, policy) for measure in MEASURES],
        worst,
        {title: _groups(manifest, dropped, name, edges, both) for name, title, edges, both in GROUPS},
    )


def _named(counts: npt.NDArray[np.int64]) -> dict[str, int]:
    return {reason: int(count) for reason, count in zip(REASONS, counts, strict=True) if count}


def _histogram(measure: Measure, manifest: pa.Table, dropped: Flags, policy: Policy) -> Histogram:
    values = _floats(manifest, measure.column)
    known = np.isfinite(values)
    clipped = np.clip(values[known], measure.low, measure.high)
    edges = np.linspace(measure.low, measure.high, BINS + 1)
    photos = np.histogram(clipped, edges)[0].astype(np.int64)
    gone = np.histogram(clipped[dropped[known]], edges)[0].astype(np.int64)
    limits: list[float] = [getattr(policy, name) for name in measure.limits]
    if measure.column == "stretch":
        limits += [1 / limit for limit in limits]
    return Histogram(measure, edges, photos, gone, tuple(x for x in limits if measure.low < x < measure.high))


def _groups(manifest: pa.Table, dropped: Flags, name: str, edges: tuple[float, ...], both: bool) -> list[Group]:
    values = _floats(manifest, name)
    values = np.abs(values) if both else values
    found = []
    for low, high in pairwise(edges):
        inside = (values >= low) & (values < high)
        found.append(Group(f"{low:g} to {high:g}", int(inside.sum()), int((inside & dropped).sum())))
    unknown = ~np.isfinite(values)
    found.append(Group("not known", int(unknown.sum()), int((unknown & dropped).sum())))
    return found


def _floats(manifest: pa.Table, name: str) -> Floats:
    return np.asarray(manifest[name].to_numpy(), np.float64)
