"""Photos that a person should look at, the most doubtful first, with the lines of overrides.csv that are suggested."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.decide.rules import RULES, Policy
from curate.decide.sharpness_rules import SOFT
from curate.overrides import COLUMNS as OVERRIDE_COLUMNS
from curate.overrides import MOVE
from curate.report.persons import MixedIdentity
from manifests.csv_rows import CsvWriter

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

REVIEW_TABLE, SPLITS_TABLE = "review.csv", "splits.csv"

NUMBERS = (
    "wrong_person", "own_similarity", "nearest_identity", "nearest_similarity", "suggested_identity", "person_group",
    "face_count", "sharpness",
)  # fmt: skip
"""Columns of the manifest in the table of doubts."""

COLUMNS = ("image_id", "identity", "verdict", "verdict_source", "reasons", "margin", "same_person_as", *NUMBERS)
"""Columns of the manifest that `find_doubts` reads, with those of the charts."""

SEVERAL_FACES = Policy().review_several_faces
"""Probability of another person from which the choice of a face among several is doubtful."""

OTHER_PERSON = "other_person"

SOFT_DOUBT = 0.195
"""Doubt of photos that may be blurred: below any about the person, and above numbers close to a threshold. They can be
many, and have a sheet and a queue of their own."""

MAX_LINES = 50_000
"""Lines of review.csv: the most doubtful photos of larger collections."""

NEAR_LIMIT = 0.02
"""Distance from a policy's threshold, as a share of its chart's range, within which a verdict is close."""


@dataclass(frozen=True)
class Doubts:
    """N photos to look at, the most doubtful first.

    Attributes:
        rows: (N,) rows of the manifest.
        doubt: (N,) 0-1: 1 where the probability of another person is one half.
        why: N explanations.
    """

    rows: Rows
    doubt: Floats
    why: list[str]


def find_doubts(manifest: pa.Table, policy: Policy) -> Doubts:
    """Collect the photos of a manifest (COLUMNS, and those of the charts) that no person has decided.

    Doubts: the verdict review, a probability of another person near one half, a face nearer to another identity than to
    its own, a face chosen among several that is unlike the others of its identity, a number within NEAR_LIMIT of its
    threshold.
    """
    photos = manifest.num_rows
    doubt, why = np.zeros(photos), np.full(photos, "", object)

    def add(where: npt.NDArray[np.bool_], score: Floats | float, text: str) -> None:
        where = where & ~decided
        doubt[where] = np.maximum(doubt, score)[where]
        why[where] = [f"{known}; {text}" if known else text for known in why[where]]

    decided = _equal(manifest, "verdict_source", "override")
    other_person = np.asarray([OTHER_PERSON in reasons for reasons in manifest["reasons"].to_pylist()], bool)
    settled = _equal(manifest, "verdict", "drop") & ~other_person
    wrong, margin = _floats(manifest, "wrong_person"), _floats(manifest, "margin")
    second = _floats(manifest, "person_group") == 2
    same = pc.fill_null(pc.equal(manifest["nearest_identity"], manifest["same_person_as"]), False)
    uncertainty = 1 - np.abs(2 * wrong - 1)
    band = (wrong >= policy.review_wrong_person) & (wrong <= 1 - policy.review_wrong_person)
    add(band & ~second & ~settled, uncertainty, "the probability of another person is neither low nor high")
    nearer = (margin < 0) & ~np.asarray(same.to_numpy(), bool) & ~second & (wrong < policy.max_wrong_person)
    add(nearer & ~settled, np.fmax(uncertainty, 0.5), "nearer to another identity than to its own")
    several = (_floats(manifest, "face_count") > 1) & (wrong >= SEVERAL_FACES) & (wrong < policy.max_wrong_person)
    add(
        several & ~second & ~settled,
        np.fmax(uncertainty, 0.2),
        "one of several faces, unlike the others of its identity",
    )
    add(second & ~settled, 0.9, "second person of its identity")
    soft = np.asarray([SOFT.reason in reasons for reasons in manifest["reasons"].to_pylist()], bool)
    review = _equal(manifest, "verdict", "review")
    add(review & soft, SOFT_DOUBT, "soft, perhaps blurred")
    add(review & (doubt == 0), 0.5, "to be reviewed")
    for column, low, high, limit in _limits(policy):
        distance = np.abs(_floats(manifest, column) - limit) / (high - low)
        near = distance <= NEAR_LIMIT
        add(near, 0.19 * (1 - distance / NEAR_LIMIT), f"{column} is close to the limit {limit:.3g}")
    rows = np.flatnonzero(doubt > 0)
    rows = rows[np.argsort(-doubt[rows], kind="stable")]
    return Doubts(rows, doubt[rows], [str(text) for text in why[rows]])


def write_tables(folder: Path, manifest: pa.Table, doubts: Doubts, mixed: list[MixedIdentity]) -> None:
    """Write `review.csv`, up to MAX_LINES doubts, and `splits.csv`, the lines that split folders of two persons.

    The first columns of both are those of overrides.csv, filled with what is suggested; where nothing is, the verdict
    is empty, for a person to fill.
    """
    targets = {identity.name: identity.second_name for identity in mixed}
    with (folder / REVIEW_TABLE).open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        table = CsvWriter(file, (*OVERRIDE_COLUMNS, "doubt", "verdict_now", "reasons", "folder", *NUMBERS))
        for row, score, why in zip(_rows(manifest, doubts.rows[:MAX_LINES]), doubts.doubt, doubts.why, strict=False):
            numbers = [_cell(row[name]) for name in NUMBERS]
            current = (f"{score:.3f}", row["verdict"], " ".join(row["reasons"]), row["identity"])
            table.write((*_suggested(row, why, targets), *current, *numbers))
    seconds = np.flatnonzero((_floats(manifest, "person_group") == 2) & ~_equal(manifest, "verdict_source", "override"))
    with (folder / SPLITS_TABLE).open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        lines = CsvWriter(file, OVERRIDE_COLUMNS)
        for row in _rows(manifest, seconds):
            lines.write(_suggested(row, "second person of its identity", targets))


def _suggested(row: dict[str, Any], why: str, targets: dict[str, str]) -> tuple[str, str, str, str, str]:
    """The cells of a line of overrides.csv."""
    target = row["suggested_identity"] or ""
    if row["person_group"] == 2:
        target = targets.get(row["identity"], target)
    return (row["image_id"], MOVE if target else "", why, target, "")


def _limits(policy: Policy) -> Iterator[tuple[str, float, float, float]]:
    """Yield column, range of the chart, and threshold of every number with a threshold inside its range."""
    for rule in RULES:
        for chart in rule.charts:
            for limit in chart.limits(policy):
                # The probability has a band of its own.
                if chart.low < limit < chart.high and chart.column != "wrong_person":
                    yield chart.column, chart.low, chart.high, limit


def _rows(manifest: pa.Table, rows: Rows) -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = manifest.select(list(COLUMNS)).take(pa.array(rows)).to_pylist()
    return table


def _cell(value: object) -> object:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else value


def _floats(manifest: pa.Table, name: str) -> Floats:
    return np.asarray(manifest[name].cast(pa.float64()).to_numpy(), np.float64)


def _equal(manifest: pa.Table, name: str, value: str) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.equal(manifest[name].cast(pa.string()), value).to_numpy(), bool)
