"""Counts, shares and intervals of decided draws."""

import numpy as np
import pytest

from curate.evaluate.outcome import DecidedDraw, tabulate, wilson
from curate.evaluate.planting import HARMLESS
from manifests.schema import REASONS
from tests.samples.planted import planted


def test_found_missed_and_lost_photos_are_counted_for_each_reason() -> None:
    draw = planted(faults=("other_person", "duplicates"))
    reasons = np.zeros((len(draw.photo), len(REASONS)), bool)
    other, near, blurred = (REASONS.index(name) for name in ("other_person", "near_duplicate", "blurred"))
    wrong, copies, good = (
        np.flatnonzero(flags) for flags in (draw.reason == "other_person", draw.original >= 0, draw.fault == "")
    )
    reasons[wrong[:27], other] = True  # 27 of 36
    reasons[wrong[27:30], blurred] = True  # dropped for another reason
    reasons[good[:9], other] = True
    reasons[copies, near] = True
    reasons[copies[0], blurred] = True  # a copy is evaluated as a copy only
    rows = {
        (row["reason"], row["seed"]): row
        for row in tabulate([DecidedDraw(0.2, 3, draw, reasons)]).to_pylist()
        if not row["kind"]
    }
    row = rows["other_person", None]
    assert (row["planted"], row["found"], row["dropped"], row["wrongly"], row["lost"]) == (36, 27, 30, 9, 9)
    assert (row["precision"], row["recall"], row["f1"]) == (0.75, 0.75, 0.75)
    assert row["recall_low"] < 0.75 < row["recall_high"]
    assert row["good"] == len(good)
    assert rows["near_duplicate", 3]["f1"] == 1
    assert (rows["blurred", None]["precision"], rows["blurred", None]["wrongly"]) == (None, 3)
    assert rows["any", None]["lost"] == 9


def test_harmless_versions_count_as_good_and_have_a_line_of_their_own() -> None:
    draw = planted(faults=("harmless",))
    harmless = np.flatnonzero(np.isin(draw.fault, HARMLESS))
    reasons = np.zeros((len(draw.photo), len(REASONS)), bool)
    reasons[harmless[:4], REASONS.index("corrupt_pixels")] = True
    reasons[harmless[4:6], REASONS.index("soft")] = True
    rows = tabulate([DecidedDraw(0.2, 0, draw, reasons)]).to_pylist()
    pooled = {row["reason"]: row for row in rows if row["seed"] is None and not row["kind"]}
    kept = pooled["harmless, kept"]
    assert (kept["planted"], kept["found"], kept["dropped"]) == (40, 34, 4)
    assert (pooled["any"]["good"], pooled["any"]["lost"], pooled["any"]["planted"]) == (len(draw.photo), 4, 0)
    kinds = {row["kind"]: row["planted"] for row in rows if row["reason"] == "harmless, kept" and row["kind"]}
    assert set(kinds) == set(HARMLESS)


def test_seeds_that_plant_in_the_same_photos_do_not_narrow_the_interval() -> None:
    draw = planted(faults=("other_person",))
    reasons = np.zeros((len(draw.photo), len(REASONS)), bool)
    once = tabulate([DecidedDraw(0.2, 0, draw, reasons)]).to_pylist()
    twice = tabulate([DecidedDraw(0.2, seed, draw, reasons) for seed in (0, 1)]).to_pylist()
    assert twice[0]["planted"] == 2 * once[0]["planted"]
    assert twice[0]["recall_high"] == once[0]["recall_high"] > 0


def test_wilson_agrees_with_a_published_example() -> None:
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I: 81 of 263, 0 of 20.
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=1e-4)
