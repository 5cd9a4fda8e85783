"""Draws and what was dropped of them in; out, precision, recall and F1 for each reason and the good photos lost.

A photo that got no fault is good, whatever it shows: errors that the folder had before count against us. A wrong reason
given to a photo that has another fault counts against the reason's precision. A copy, being a worse version of a photo,
is judged as a copy only.

Intervals are Wilson's score intervals at 95% (E. B. Wilson, "Probable inference", 1927). Seeds plant their faults in
the same photos, so the number of trials is that of different photos, not of plantings.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from curate.evaluate.planting import COPIES, REASON, Draw, Flags, Rows
from manifests.schema import REASONS

Z = 1.959964

_SHARES = ("precision", "recall", "f1", "lost_share")
_COUNTS = {
    "planted": "photos with this fault",
    "found": "of them dropped for this reason",
    "dropped": "of them dropped for any reason",
    "wrongly": "photos without this fault that were dropped for this reason, those with another fault among them",
    "good": "photos without any fault",
    "lost": "of them dropped for this reason",
}
_MEANING = {
    "precision": "found / (found + wrongly)",
    "recall": "found / planted",
    "f1": "harmonic mean of precision and recall",
    "lost_share": "lost / good",
}

SCHEMA = pa.schema(
    [
        pa.field(
            "rate", pa.float64(), False, {"meaning": "share of photos given each fault; 0 is the untouched folder"}
        ),
        pa.field("seed", pa.int32(), True, {"null": "all seeds together"}),
        pa.field("reason", pa.string(), False, {"meaning": "one of REASONS, or 'any': drops for whatever reason"}),
        pa.field("kind", pa.string(), True, {"null": "every way to plant the fault"}),
        *(pa.field(name, pa.int64(), False, {"meaning": meaning}) for name, meaning in _COUNTS.items()),
        *(
            pa.field(name + bound, pa.float64(), True, {"meaning": _MEANING[name], "null": "nothing to divide by"})
            for name in _SHARES
            for bound in ("", "_low", "_high")
        ),
    ],
    {"swapset.interval": "Wilson score interval, 95%, a photo counted once however many seeds planted it"},
)
"""Columns of the evaluation: shares with the lower and upper end of their interval."""


@dataclass(frozen=True)
class Outcome:
    """A draw at a rate and seed, and (Q, 13) which of REASONS each of its photos was dropped for."""

    rate: float
    seed: int
    draw: Draw
    reasons: Flags


def tabulate(outcomes: list[Outcome]) -> pa.Table:
    """Outcomes -> SCHEMA: per rate and reason all seeds together, then each way of planting, then each seed."""
    rows: list[dict[str, Any]] = []
    for rate in dict.fromkeys(one.rate for one in outcomes):
        of_rate = [one for one in outcomes if one.rate == rate]
        for reason in _reasons(of_rate):
            rows.append(_row(of_rate, reason) | {"rate": rate, "seed": None, "reason": reason, "kind": None})
            kinds = [kind for kind, for_reason in REASON.items() if for_reason == reason]
            for kind in kinds if len(kinds) > 1 else ():
                of_kind = _row(of_rate, reason, kind)
                if of_kind["planted"]:
                    rows.append(of_kind | {"rate": rate, "seed": None, "reason": reason, "kind": kind})
            if rate:
                rows += [
                    _row([one], reason) | {"rate": rate, "seed": one.seed, "reason": reason, "kind": None}
                    for one in of_rate
                ]
    return pa.Table.from_pylist(rows, SCHEMA)


def _reasons(outcomes: list[Outcome]) -> list[str]:
    """Reasons that were planted or given, in the order of REASONS, then 'any'."""
    given = np.any([one.reasons.any(axis=0) for one in outcomes], axis=0)
    planted = {reason for one in outcomes for reason in one.draw.reason.tolist()}
    return [reason for reason, was in zip(REASONS, given, strict=True) if was or reason in planted] + ["any"]


def _row(outcomes: list[Outcome], reason: str, kind: str | None = None) -> dict[str, Any]:
    """Counts and shares of one reason, or of one way to plant it; of that only what recall needs."""
    photos: dict[str, list[Rows]] = {name: [] for name in (*_COUNTS, "flagged")}
    for one in outcomes:
        fault, copy = one.draw.fault, np.isin(one.draw.fault, COPIES)
        dropped = one.reasons.any(axis=1)
        if reason == "any":
            planted, flagged = fault != "", dropped
        else:
            planted, flagged = one.draw.reason == reason, one.reasons[:, REASONS.index(reason)]
            flagged = flagged & (planted | ~copy | (reason in ("duplicate", "near_duplicate")))
        if kind is not None:
            planted = planted & (fault == kind)
            flagged = flagged & planted
        marks = {
            "planted": planted,
            "found": planted & flagged,
            "dropped": planted & dropped,
            "wrongly": flagged & ~planted,
            "good": fault == "",
            "lost": (fault == "") & flagged,
            "flagged": flagged,
        }
        for name, mark in marks.items():
            photos[name].append(one.draw.photo[mark])
    count = {name: sum(map(len, found)) for name, found in photos.items()}
    different = {name: len(np.unique(np.concatenate(found))) for name, found in photos.items()}
    # share: (hits, trials, different photos among the trials)
    shares = {"recall": (count["found"], count["planted"], different["planted"])}
    if kind is None:
        shares |= {
            "precision": (count["found"], count["flagged"], different["flagged"]),
            "f1": (
                2 * count["found"],
                count["planted"] + count["flagged"],
                (different["planted"] + different["flagged"]) // 2,
            ),
            "lost_share": (count["lost"], count["good"], different["good"]),
        }
    row: dict[str, Any] = {name: count[name] for name in _COUNTS}
    for name in _SHARES:
        hits, trials, distinct = shares.get(name, (0, 0, 0))
        # Without a planted fault, precision and F1 say nothing.
        told = trials > 0 and (name == "lost_share" or count["planted"] > 0)
        low, high = wilson(hits / trials, max(1, distinct)) if told else (None, None)
        row |= {name: hits / trials if told else None, f"{name}_low": low, f"{name}_high": high}
    return row


def wilson(share: float, trials: int) -> tuple[float, float]:
    """Wilson's score interval at 95% of a share seen in so many trials (at least 1), within 0 to 1."""
    # (p + z^2/2n +- z sqrt(p (1-p)/n + z^2/4n^2)) / (1 + z^2/n)
    z2 = Z * Z / trials
    middle, reach = share + z2 / 2, np.sqrt(z2 * share * (1 - share) + z2 * z2 / 4)
    low, high = (middle - reach) / (1 + z2), (middle + reach) / (1 + z2)
    return max(0.0, min(float(low), share)), min(1.0, max(float(high), share))


def render(table: pa.Table, kinds: bool = False) -> Iterable[str]:
    """The evaluation as lines for a terminal: all seeds together, `kinds` with each way of planting below."""
    rows = [row for row in table.to_pylist() if row["seed"] is None]
    header = f"{'reason':<18}{'planted':>8}{'found':>7}  {'precision':<19}{'recall':<19}{'F1':<19}good photos lost"
    for rate in dict.fromkeys(row["rate"] for row in rows):
        yield ""
        yield f"{rate:.3g} of the photos given each fault" if rate else "the folder as it is"
        yield header
        for row in rows:
            if row["rate"] != rate or (row["kind"] and not kinds):
                continue
            name = f"  {row['kind']}" if row["kind"] else row["reason"]
            shares = "".join(f"{_told(row, share):<19}" for share in ("precision", "recall", "f1"))
            lost = "" if row["kind"] else f"{row['lost']:,} of {row['good']:,}  {_told(row, 'lost_share', True)}"
            counts = f"{row['planted']:>8,}{row['found']:>7,}" if row["planted"] else f"{'-':>8}{'-':>7}"
            yield f"{name:<18}{counts}  {shares}{lost}".rstrip()
    yield ""
    yield "in brackets: Wilson's 95% interval, a photo counted once however many seeds planted it"


def _told(row: dict[str, float | None], share: str, percent: bool = False) -> str:
    value, low, high = (row[share + bound] for bound in ("", "_low", "_high"))
    if value is None or low is None or high is None:
        return "-"
    if percent:
        return f"{value:.2%} ({low:.2%}-{high:.2%})"
    return f"{value:.3f} ({low:.2f}-{high:.2f})"
