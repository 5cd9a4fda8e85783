"""The numbers of a report: totals, reasons, histograms, identities with the highest drop rates, drop rates by group."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.decide.rule import Chart
from curate.decide.rules import RULES, Policy
from curate.report.reasons import Reasons
from manifests.schema import VERDICTS

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

BINS = 40
MAX_IDENTITIES = 20
"""Identities listed with their drop rates."""

CHARTS = (
    *(chart for rule in RULES for chart in rule.charts),
    Chart("yaw", "Head turned to the side, degrees", -90, 90),
)


@dataclass(frozen=True)
class Grouping:
    """Ranges of a column whose drop rates are compared; `absolute` compares magnitudes."""

    column: str
    title: str
    edges: tuple[float, ...]
    absolute: bool = False


GROUPINGS = (
    Grouping("yaw", "Head turned to either side (degrees)", (0, 10, 20, 30, 45, 90), absolute=True),
    Grouping("brightness", "Brightness of the face", (0, 50, 90, 130, 170, 256)),
    Grouping(
        "ita",
        "Skin tone (individual typology angle, degrees; high is light)",
        (-90, -30, 10, 28, 41, 55, 90),
    ),
)
"""Whether cleaning removes a kind of photo, or a group of people."""

COLUMNS = tuple(
    dict.fromkeys([
        "image_id", "identity", "keep", "verdict", "verdict_source", "reasons",
        *(chart.column for chart in CHARTS), *(grouping.column for grouping in GROUPINGS),
    ])
)  # fmt: skip
"""Columns of the manifest that `summarise` reads."""


@dataclass(frozen=True)
class Histogram:
    """A column's distribution.

    Attributes:
        chart: column, title and range.
        edges: (BINS + 1,).
        photos, dropped: (BINS,) photos per bin, and those of them that are dropped for any reason.
        limits: thresholds of the policy within the chart's range.
    """

    chart: Chart
    edges: Floats
    photos: Counts
    dropped: Counts
    limits: tuple[float, ...]


@dataclass(frozen=True)
class Group:
    """Photos of one range of a column, and the dropped ones of them."""

    label: str
    photos: int
    dropped: int

    @property
    def share(self) -> float:
        """Share of dropped photos, 0-1."""
        return self.dropped / self.photos if self.photos else 0.0


@dataclass(frozen=True)
class IdentityLoss:
    """Photos of an identity, the dropped ones, and how many of them each reason applies to."""

    identity: str
    photos: int
    dropped: int
    reasons: dict[str, int]


@dataclass(frozen=True)
class Summary:
    """All counts of a report.

    Attributes:
        photos, kept, review, dropped: photos in all, and those of each verdict.
        used: photos that training and exports use (column keep).
        overridden: photos decided by an override.
        identities, identities_kept: identities in all, and those with a kept photo.
        reasons: photos to which each reason applies.
        only: photos to which no other reason applies.
        histograms: one per entry of CHARTS.
        losses: identities with dropped photos, the highest drop rate first, at most MAX_IDENTITIES.
        groups: title of a grouping -> its groups.
    """

    photos: int
    kept: int
    review: int
    dropped: int
    used: int
    overridden: int
    identities: int
    identities_kept: int
    reasons: dict[str, int]
    only: dict[str, int]
    histograms: list[Histogram]
    losses: list[IdentityLoss]
    groups: dict[str, list[Group]]


def summarise(manifest: pa.Table, policy: Policy) -> Summary:
    """Count a manifest with COLUMNS. Vectorised, for millions of rows."""
    photos = manifest.num_rows
    verdict = manifest["verdict"].cast(pa.string())
    kept, review, dropped = (np.asarray(pc.equal(verdict, name).to_numpy(), bool) for name in VERDICTS)
    overridden = pc.sum(pc.equal(manifest["verdict_source"].cast(pa.string()), "override")).as_py() or 0
    reasons = Reasons.from_manifest(manifest)
    per_photo = np.bincount(reasons.rows, minlength=photos)
    per_reason = np.bincount(reasons.codes, minlength=len(reasons.names))
    alone = np.bincount(reasons.codes[per_photo[reasons.rows] == 1], minlength=len(reasons.names))
    identity = manifest["identity"].combine_chunks().dictionary_encode()
    code, identities = np.asarray(identity.indices), len(identity.dictionary)
    kept_per_identity = np.bincount(code[kept], minlength=identities)
    dropped_per_identity = np.bincount(code[dropped], minlength=identities)
    return Summary(
        photos=photos,
        kept=int(kept.sum()),
        review=int(review.sum()),
        dropped=int(dropped.sum()),
        used=pc.sum(manifest["keep"]).as_py() or 0,
        overridden=int(overridden),
        identities=identities,
        identities_kept=int((kept_per_identity > 0).sum()),
        reasons=_named(reasons.names, per_reason),
        only=_named(reasons.names, alone),
        histograms=[_histogram(chart, manifest, dropped, policy) for chart in CHARTS],
        losses=_losses(identity, dropped_per_identity, reasons),
        groups={grouping.title: _groups(grouping, manifest, dropped) for grouping in GROUPINGS},
    )


def _losses(identity: pa.DictionaryArray, lost: Counts, reasons: Reasons) -> list[IdentityLoss]:
    names, code, kinds = identity.dictionary, np.asarray(identity.indices), len(reasons.names)
    photos = np.bincount(code, minlength=len(names))
    order = np.lexsort((-photos, -(lost / np.maximum(photos, 1))))[:MAX_IDENTITIES]
    by_reason = np.bincount(code[reasons.rows] * kinds + reasons.codes, minlength=len(names) * kinds)
    by_reason = by_reason.reshape(-1, kinds)
    return [
        IdentityLoss(names[k].as_py(), int(photos[k]), int(lost[k]), _named(reasons.names, by_reason[k]))
        for k in order.tolist()
        if lost[k]
    ]


def _named(names: Sequence[str], counts: Counts) -> dict[str, int]:
    return {name: int(count) for name, count in zip(names, counts, strict=True) if count}


def _histogram(chart: Chart, manifest: pa.Table, dropped: Flags, policy: Policy) -> Histogram:
    values = _floats(manifest, chart.column)
    measured = np.isfinite(values)
    clipped = np.clip(values[measured], chart.low, chart.high)
    edges = np.linspace(chart.low, chart.high, BINS + 1)
    return Histogram(
        chart,
        edges,
        photos=np.histogram(clipped, edges)[0].astype(np.int64),
        dropped=np.histogram(clipped[dropped[measured]], edges)[0].astype(np.int64),
        limits=tuple(limit for limit in chart.limits(policy) if chart.low < limit < chart.high),
    )


def _groups(grouping: Grouping, manifest: pa.Table, dropped: Flags) -> list[Group]:
    values = _floats(manifest, grouping.column)
    values = np.abs(values) if grouping.absolute else values
    groups = []
    for low, high in pairwise(grouping.edges):
        inside = (values >= low) & (values < high)
        groups.append(Group(f"{low:g} to {high:g}", int(inside.sum()), int((inside & dropped).sum())))
    missing = ~np.isfinite(values)
    return [*groups, Group("not measured", int(missing.sum()), int((missing & dropped).sum()))]


def _floats(manifest: pa.Table, name: str) -> Floats:
    return np.asarray(manifest[name].to_numpy(), np.float64)
