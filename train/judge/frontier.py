"""The frontier of identity against attributes: what a generator retrieves beyond blends that keep as much.

Any mix of target and source shows more of the source the less it keeps of the target's pose and expression. The blends
(1 - alpha) target + alpha source, which need no network, draw a curve from the unchanged target on; a generator is
worth its training where it retrieves more people than the blend with the same error of an attribute.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from train.judge.bootstrap import IntervalEstimate, bootstrap_interval, finite_or_none
from train.judge.columns import cross_column, person_codes

ALPHAS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Shares of the source in the blends; 0 is the target itself."""

ERRORS = ("landmark_error", "pose_error")
"""Columns of the attributes whose preservation is compared."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Advantage:
    """Top-1 of a candidate less that of the blend with the same error, interpolated, by column of the error.

    Over the pairs in which a face is found in the swaps of the candidate and of all blends. Where the candidate's error
    exceeds that of the last blend, it is compared with that one.
    """

    landmark_error: IntervalEstimate
    pose_error: IntervalEstimate


def blend_name(alpha: float) -> str:
    """Name of a blend as a candidate."""
    return f"blend {alpha:.1f}" if alpha else "target"


def advantage(candidate: pa.Table, blends: Sequence[pa.Table]) -> Advantage:
    """Compare a candidate with the blends.

    Args:
        candidate: its rows of `COLUMNS`, of one judge.
        blends: those of the blends, in the order of `ALPHAS`.
    """
    tables = [candidate, *blends]
    people = person_codes(candidate, "cross")
    retrieved = np.stack([cross_column(table, "retrieved") for table in tables], 1)  # (N, 1 + A)
    estimates = {}
    for name in ERRORS:
        errors = np.stack([cross_column(table, name) for table in tables], 1)
        columns = np.concatenate([retrieved, errors], 1)
        finite = np.isfinite(columns).all(1)
        value = float("nan")
        low = high = value
        if finite.any():
            value = float(_difference(columns[finite].mean(0, keepdims=True))[0])
            low, high = bootstrap_interval(columns, people, _difference)
        estimates[name] = IntervalEstimate(finite_or_none(value), finite_or_none(low), finite_or_none(high))
    return Advantage(**estimates)


def advantages(tables: Mapping[str, pa.Table]) -> dict[str, Advantage]:
    """`advantage` of every candidate that is no blend; empty where not all blends are among the tables of a judge."""
    names = [blend_name(alpha) for alpha in ALPHAS]
    if not set(names) <= tables.keys():
        return {}
    blends = [tables[name] for name in names]
    return {name: advantage(table, blends) for name, table in tables.items() if name not in names}


def _difference(means: Floats) -> Floats:
    """Means (R, 2 (1 + A)), top-1 then errors, the candidate's first in each -> difference of top-1 (R,)."""
    retrieved, errors = np.split(means, 2, axis=1)
    differences = []
    for top1, error in zip(retrieved, errors, strict=True):
        order = np.argsort(error[1:], kind="stable")
        differences.append(top1[0] - np.interp(error[0], error[1:][order], top1[1:][order]))
    return np.array(differences)
