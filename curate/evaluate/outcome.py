"""Precision, recall and F1 of each reason, and the share of good photos lost, from decided draws.

A photo without a planted fault counts as good, whatever it shows: errors already in the folder count against the
result. Photos that are to be reviewed are not dropped: a reason to review counts as such, against the blurred photos
(`soft`) or the wrong persons (the others) that were planted. A wrong reason for a photo with another fault lowers the
precision of that reason. A copy, a worse version of a photo, is evaluated as a copy only. Harmless versions
count as good; a line of their own says to how many of them no reason applies.

Intervals are Wilson score intervals at 95% (E. B. Wilson, "Probable inference", 1927). Different seeds plant faults in
the same photos, so the number of trials is the number of different photos, not of plantings.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from curate.decide.rules import REVIEW_REASONS
from curate.evaluate.planting import COPIES, HARMLESS, REASON, Draw, Flags, Rows
from manifests.schema import REASONS

Z_95 = 1.959964
"""Two-sided 95% quantile of the normal distribution."""

ANY = "any"
"""In place of a reason: drops for any reason."""

KEPT = "harmless, kept"
"""In place of a reason: harmless versions, found where no reason applies to them."""

_DROPS = np.array([reason not in REVIEW_REASONS for reason in REASONS], bool)
"""Of REASONS, those for which a photo is dropped."""

_REVIEWED_FAULTS = {"soft": "blurred", "second_person": "second_person"}
"""Reason to review -> the fault that it stands for; of the others, another person."""

_SHARES = ("precision", "recall", "f1", "lost_share")
_COUNTS = {
    "planted": "photos with this fault",
    "found": "of these, dropped or reviewed for this reason",
    "dropped": "of these, dropped for any reason",
    "wrongly": "photos without this fault dropped or reviewed for this reason, including those with another fault",
    "good": "photos without a fault, harmless versions among them",
    "lost": "of these, dropped or reviewed for this reason",
}
_SHARE_MEANINGS = {
    "precision": "found / (found + wrongly)",
    "recall": "found / planted",
    "f1": "harmonic mean of precision and recall",
    "lost_share": "lost / good",
}

SCHEMA = pa.schema(
    [
        pa.field(
            "rate", pa.float64(), False, {"meaning": "share of the photos that get each fault; 0: untouched folder"}
        ),
        pa.field("seed", pa.int32(), True, {"null": "all seeds together"}),
        pa.field(
            "reason",
            pa.string(),
            False,
            {"meaning": "one of REASONS, or 'any': drops for any reason, reviews excluded"},
        ),
        pa.field("kind", pa.string(), True, {"null": "all ways of planting the fault"}),
        *(pa.field(name, pa.int64(), False, {"meaning": meaning}) for name, meaning in _COUNTS.items()),
        *(
            pa.field(name + bound, pa.float64(), True, {"meaning": _SHARE_MEANINGS[name], "null": "undefined"})
            for name in _SHARES
            for bound in ("", "_low", "_high")
        ),
    ],
    {"swapset.interval": "Wilson score interval, 95%; each photo counts once however many seeds planted it"},
)
"""Columns of evaluation.parquet: counts, and shares with the lower and upper end of their interval."""


@dataclass(frozen=True)
class DecidedDraw:
    """A decided draw: (Q, len(REASONS)) flags of the reasons that apply to each photo."""

    rate: float
    seed: int
    draw: Draw
    reasons: Flags


def tabulate(outcomes: list[DecidedDraw]) -> pa.Table:
    """Return a table with SCHEMA: per rate and reason, all seeds together, each way of planting, each seed."""
    rows: list[dict[str, Any]] = []
    for rate in dict.fromkeys(outcome.rate for outcome in outcomes):
        at_rate = [outcome for outcome in outcomes if outcome.rate == rate]
        for reason in _occurring_reasons(at_rate):
            keys = {"rate": rate, "seed": None, "reason": reason, "kind": None}
            rows.append(keys | _numbers(at_rate, reason))
            kinds = [kind for kind, kind_reason in REASON.items() if kind_reason == reason]
            kinds = list(HARMLESS) if reason == KEPT else kinds
            for kind in kinds if len(kinds) > 1 else ():
                numbers = _numbers(at_rate, reason, kind)
                if numbers["planted"]:
                    rows.append(keys | {"kind": kind} | numbers)
            if rate:
                rows += [keys | {"seed": outcome.seed} | _numbers([outcome], reason) for outcome in at_rate]
    return pa.Table.from_pylist(rows, SCHEMA)


def _occurring_reasons(outcomes: list[DecidedDraw]) -> list[str]:
    """Reasons that were planted or given, in the order of REASONS, then ANY, then KEPT."""
    given = np.any([outcome.reasons.any(axis=0) for outcome in outcomes], axis=0)
    planted = {reason for outcome in outcomes for reason in outcome.draw.reason.tolist()}
    occurring = [reason for reason, is_given in zip(REASONS, given, strict=True) if is_given or reason in planted]
    harmless = any(np.isin(outcome.draw.fault, HARMLESS).any() for outcome in outcomes)
    return [*occurring, ANY, *([KEPT] if harmless else [])]


def _flags(outcome: DecidedDraw, reason: str, kind: str | None) -> dict[str, Flags]:
    """(Q,) flags of the photos of a draw that each count refers to."""
    fault, is_copy = outcome.draw.fault, np.isin(outcome.draw.fault, COPIES)
    dropped = np.asarray(outcome.reasons[:, _DROPS].any(axis=1), bool)
    good = np.asarray(outcome.draw.reason == "", bool)
    if reason == KEPT:
        planted = np.asarray(np.isin(fault, HARMLESS), bool)
        flagged = np.asarray(planted & ~outcome.reasons.any(axis=1), bool)
    elif reason == ANY:
        planted, flagged = ~good, dropped
    else:
        fault_of = _REVIEWED_FAULTS.get(reason, "other_person") if reason in REVIEW_REASONS else reason
        planted = np.asarray(outcome.draw.reason == fault_of, bool)
        flagged = outcome.reasons[:, REASONS.index(reason)]
        flagged = flagged & (planted | ~is_copy | (reason in ("duplicate", "near_duplicate")))
    if kind is not None:
        planted = planted & (fault == kind)
        flagged = flagged & planted
    return {
        "planted": planted,
        "found": planted & flagged,
        "dropped": planted & dropped,
        "wrongly": flagged & ~planted,
        "good": good,
        "lost": good & flagged & (reason != KEPT),
        "flagged": flagged,
    }


def _numbers(outcomes: list[DecidedDraw], reason: str, kind: str | None = None) -> dict[str, Any]:
    """Counts and shares of one reason; for one way of planting it (`kind`), of the shares only the recall."""
    photos: dict[str, list[Rows]] = {name: [] for name in (*_COUNTS, "flagged")}
    for outcome in outcomes:
        for name, flags in _flags(outcome, reason, kind).items():
            photos[name].append(outcome.draw.photo[flags])
    count = {name: sum(map(len, parts)) for name, parts in photos.items()}
    distinct = {name: len(np.unique(np.concatenate(parts))) for name, parts in photos.items()}
    # share -> (hits, trials, different photos among the trials)
    shares = {"recall": (count["found"], count["planted"], distinct["planted"])}
    if kind is None:
        shares |= {
            "precision": (count["found"], count["flagged"], distinct["flagged"]),
            "f1": (
                2 * count["found"],
                count["planted"] + count["flagged"],
                (distinct["planted"] + distinct["flagged"]) // 2,
            ),
            "lost_share": (count["lost"], count["good"], distinct["good"]),
        }
    numbers: dict[str, Any] = {name: count[name] for name in _COUNTS}
    for name in _SHARES:
        hits, trials, distinct_trials = shares.get(name, (0, 0, 0))
        # Precision and F1 are undefined where the fault is not planted.
        defined = trials > 0 and (name == "lost_share" or count["planted"] > 0)
        low, high = wilson(hits / trials, max(1, distinct_trials)) if defined else (None, None)
        numbers |= {name: hits / trials if defined else None, f"{name}_low": low, f"{name}_high": high}
    return numbers


def wilson(share: float, trials: int) -> tuple[float, float]:
    """Wilson score interval at 95% of a share (0-1) observed in `trials` >= 1 trials, within 0 to 1."""
    # (p + z^2/2n +- z sqrt(p (1-p)/n + z^2/4n^2)) / (1 + z^2/n)
    z2 = Z_95 * Z_95 / trials
    middle, reach = share + z2 / 2, np.sqrt(z2 * share * (1 - share) + z2 * z2 / 4)
    low, high = (middle - reach) / (1 + z2), (middle + reach) / (1 + z2)
    return max(0.0, min(float(low), share)), min(1.0, max(float(high), share))


def render(table: pa.Table, kinds: bool = False) -> Iterable[str]:
    """Yield the evaluation as lines for a terminal: all seeds together, with `kinds` also each way of planting."""
    rows = [row for row in table.to_pylist() if row["seed"] is None]
    header = f"{'reason':<18}{'planted':>8}{'found':>7}  {'precision':<19}{'recall':<19}{'F1':<19}good photos lost"
    for rate in dict.fromkeys(row["rate"] for row in rows):
        yield ""
        yield f"each fault in {rate:.3g} of the photos" if rate else "untouched folder"
        yield header
        yield from _render_rows([row for row in rows if row["rate"] == rate and (kinds or not row["kind"])])
    yield ""
    yield "in brackets: 95% Wilson score interval; each photo counts once however many seeds planted it"


def _render_rows(rows: list[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        name = f"  {row['kind']}" if row["kind"] else row["reason"]
        shares = "".join(f"{_format_share(row, share):<19}" for share in ("precision", "recall", "f1"))
        lost = "" if row["kind"] else f"{row['lost']:,} of {row['good']:,}  {_format_share(row, 'lost_share', True)}"
        counts = f"{row['planted']:>8,}{row['found']:>7,}" if row["planted"] else f"{'-':>8}{'-':>7}"
        yield f"{name:<18}{counts}  {shares}{lost}".rstrip()


def _format_share(row: dict[str, Any], share: str, percent: bool = False) -> str:
    value, low, high = (row[share + bound] for bound in ("", "_low", "_high"))
    if value is None or low is None or high is None:
        return "-"
    if percent:
        return f"{value:.2%} ({low:.2%}-{high:.2%})"
    return f"{value:.3f} ({low:.2f}-{high:.2f})"
