"""The numbers of a data card."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.decide.rules import RULES
from manifests.schema import NO_IDENTITY, VERDICTS

Floats = npt.NDArray[np.float64]

TONES = (
    ("dark, below -30", -91.0, -30.0),
    ("brown, -30 to 10", -30.0, 10.0),
    ("tan, 10 to 28", 10.0, 28.0),
    ("intermediate, 28 to 41", 28.0, 41.0),
    ("light, 41 to 55", 41.0, 55.0),
    ("very light, above 55", 55.0, 91.0),
)
"""Groups of the individual typology angle, degrees. Del Bino et al., 2006."""

_TURNS, _TILTS, _LEVELS = (0, 10, 20, 30, 45, 91), (-91, -18, -6, 6, 18, 91), (0, 50, 100, 150, 200, 256)

COLUMNS = (
    "identity", "split", "keep", "verdict", "verdict_source", "reasons", "face_id", "yaw", "pitch", "brightness", "ita",
    "sharpness", "eye_distance", "width", "height", "eyes_covered", "sunglasses", "format",
)  # fmt: skip
"""Columns of the manifest that are read."""


@dataclass(frozen=True)
class Coverage:
    """Shares of photos in the ranges of a number.

    Attributes:
        title: what is measured.
        groups: name of a range -> share of the photos that have the number, 0-1.
        missing: share of the photos without the number.
    """

    title: str
    groups: dict[str, float]
    missing: float


@dataclass(frozen=True)
class CardNumbers:
    """The numbers of a data card; coverage and quantiles are those of the photos that are used.

    Attributes:
        photos, with_face: photos in all, and those with a face.
        verdicts: photos of each verdict.
        used: photos that training and exports use.
        overridden: photos decided by a person.
        reasons: reason, its meaning, photos to which it applies.
        people, people_used: identities in all, and those with a used photo.
        per_person: fewest, median and most used photos of the people who have any.
        splits: name -> used photos; empty where the source has none.
        formats: encoding of the files -> photos.
        coverage: of pose, light and skin tone, by photo.
        tones_of_people: share of the people with a median angle in each group, of those with one.
        quantiles: column -> 5%, 50% and 95% quantile.
        covered_eyes: share of the photos with covered eyes or dark glasses.
    """

    photos: int
    with_face: int
    verdicts: dict[str, int]
    used: int
    overridden: int
    reasons: list[tuple[str, str, int]]
    people: int
    people_used: int
    per_person: tuple[int, int, int]
    splits: dict[str, int]
    formats: dict[str, int]
    coverage: list[Coverage]
    tones_of_people: Coverage
    quantiles: dict[str, tuple[float, float, float]]
    covered_eyes: float


def card_numbers(manifest: pa.Table) -> CardNumbers:
    """Count a manifest with COLUMNS. Vectorised, for millions of rows."""
    used = manifest.filter(manifest["keep"])
    reasons = _counts(pc.list_flatten(manifest["reasons"]))
    meanings = {rule.reason: rule.meaning for rule in RULES}
    named = [name for name in meanings if name in reasons] + sorted(reasons.keys() - meanings.keys())
    identified = used.filter(pc.not_equal(used["identity"], NO_IDENTITY))
    per_person = np.sort(pc.value_counts(identified["identity"]).field("counts").to_numpy())
    verdicts = _counts(manifest["verdict"].cast(pa.string()))
    quantiles = {name: _quantiles(_numbers(used, name)) for name in ("sharpness", "eye_distance", "width", "height")}
    eyes = np.fmax(_numbers(used, "eyes_covered"), _numbers(used, "sunglasses"))
    return CardNumbers(
        photos=manifest.num_rows,
        with_face=manifest.num_rows - manifest["face_id"].null_count,
        verdicts={name: verdicts.get(name, 0) for name in VERDICTS},
        used=used.num_rows,
        overridden=_counts(manifest["verdict_source"].cast(pa.string())).get("override", 0),
        reasons=[(name, meanings.get(name, "a rule of the dataset's owner"), reasons[name]) for name in named],
        people=len(set(pc.unique(manifest["identity"]).to_pylist()) - {NO_IDENTITY}),
        people_used=len(per_person),
        per_person=_range(per_person),
        splits=_counts(pc.drop_null(used["split"])),
        formats=dict(sorted(_counts(pc.drop_null(manifest["format"])).items(), key=lambda item: -item[1])),
        coverage=[
            _coverage("Head turned to either side (yaw, degrees)", np.abs(_numbers(used, "yaw")), _TURNS),
            _coverage("Head lowered or raised (pitch, degrees)", _numbers(used, "pitch"), _TILTS),
            _coverage("Brightness of the face (median luma)", _numbers(used, "brightness"), _LEVELS),
            _tones("Skin tone of the photos (individual typology angle, degrees)", _numbers(used, "ita")),
        ],
        tones_of_people=_tones_of_people(identified),
        quantiles={name: values for name, values in quantiles.items() if np.isfinite(values).all()},
        covered_eyes=float((eyes >= 0.5).mean()) if len(eyes) else 0.0,
    )


def _range(sizes: npt.NDArray[np.int64]) -> tuple[int, int, int]:
    """First, median and last of sorted numbers."""
    return (int(sizes[0]), int(np.median(sizes)), int(sizes[-1])) if len(sizes) else (0, 0, 0)


def _tones_of_people(rows: pa.Table) -> Coverage:
    """Median angle of each person, by group."""
    medians = rows.group_by("identity").aggregate([("ita", "approximate_median")])["ita_approximate_median"]
    return _tones("People by the median angle of their photos", np.asarray(medians.to_numpy(), np.float64))


def _tones(title: str, angles: Floats) -> Coverage:
    measured = angles[np.isfinite(angles)]
    groups = {name: _share((measured >= low) & (measured < high)) for name, low, high in TONES}
    return Coverage(title, groups, 1 - len(measured) / max(1, len(angles)))


def _coverage(title: str, values: Floats, edges: tuple[float, ...]) -> Coverage:
    measured = values[np.isfinite(values)]
    last = len(edges) - 2
    groups = {}
    for index, (low, high) in enumerate(pairwise(edges)):
        below, above = index == 0 and low < 0, index == last
        name = f"below {high:g}" if below else f"{low:g} and more" if above else f"{low:g} to {high:g}"
        groups[name] = _share((measured >= low) & (measured < high))
    return Coverage(title, groups, 1 - len(measured) / max(1, len(values)))


def _share(flags: npt.NDArray[np.bool_]) -> float:
    return float(flags.mean()) if len(flags) else 0.0


def _quantiles(values: Floats) -> tuple[float, float, float]:
    values = values[np.isfinite(values)]
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95]) if len(values) else (np.nan,) * 3
    return float(low), float(middle), float(high)


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(column).to_pylist()}


def _numbers(table: pa.Table, name: str) -> Floats:
    return np.asarray(table[name].to_numpy(), np.float64)
