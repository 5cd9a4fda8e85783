"""Contact sheets: examples of each reason, with the numbers and pictures to compare them with."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.decide.rules import RULES
from curate.report.doubts import Doubts
from curate.report.pictures import PictureFolder
from curate.report.reasons import Reasons

Rows = npt.NDArray[np.int64]

MAX_CARDS = 24
MAX_STRIP = 6
"""Pictures beside a reason in the table of reasons."""

_OF_IDENTITY = ("look_at_these", "other_person", "uncertain_person", "second_person", "mixed_identity")
"""Reasons whose examples are shown beside their identity."""

MAX_DOUBTS = 60
"""Photos in the sheet of doubts."""

DOUBTS = "look_at_these"
"""Name of the sheet of doubts."""

KEPT = "keep"
"""Name of the sheet of kept photos."""

_SHOWN = {rule.reason: rule.shown for rule in RULES} | {
    KEPT: ("sharpness", "own_similarity"),
    DOUBTS: ("wrong_person", "own_similarity", "nearest_similarity", "sharpness"),
}

COLUMNS = tuple(
    dict.fromkeys([
        "image_id", "identity", "source_identity", "verdict", "verdict_source", "reasons", "suggested_identity",
        "duplicate_of", "excluded_by", "error", "own_similarity", "shard", "crop_offset", "crop_length", "crop_crc",
        *(name for names in _SHOWN.values() for name in names),
    ])
)  # fmt: skip
"""Columns of the manifest that `contact_sheets` reads."""


@dataclass(frozen=True)
class Picture:
    """One picture of a card: its file beside the page (None: there is no picture), a title, and lines below it."""

    file: str | None
    title: str
    lines: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Card:
    """A photo and the pictures it is compared with."""

    pictures: list[Picture]


@dataclass(frozen=True)
class Sheet:
    """Examples of `total` photos with a reason, spread from the clearest to the most doubtful case."""

    reason: str
    total: int
    cards: list[Card]

    @property
    def max_pictures(self) -> int:
        """Largest number of pictures in a card."""
        return max((len(card.pictures) for card in self.cards), default=1)

    @property
    def strip(self) -> list[str]:
        """Files of up to MAX_STRIP photos, spread over the sheet."""
        files = [card.pictures[0].file for card in self.cards]
        present = [file for file in files if file]
        return present[:: max(1, len(present) // MAX_STRIP)][:MAX_STRIP]


def contact_sheets(manifest: pa.Table, pictures: PictureFolder, doubts: Doubts) -> list[Sheet]:
    """Return a sheet of doubts, one for each reason that applies to a photo, in their order, and one of kept photos.

    manifest: table with COLUMNS. The pictures of all cards are added to `pictures`.
    """
    reasons = Reasons.from_manifest(manifest)
    rows_of = {name: reasons.rows[reasons.codes == code] for code, name in enumerate(reasons.names)}
    kept = pc.equal(manifest["verdict"].cast(pa.string()), "keep").to_numpy()
    rows_of[KEPT] = np.flatnonzero(np.asarray(kept, bool))
    cards = _Cards(manifest.select(list(COLUMNS)), pictures)
    looked_at = [
        cards.card(DOUBTS, int(row), why) for row, why in zip(doubts.rows[:MAX_DOUBTS], doubts.why, strict=False)
    ]
    first = [Sheet(DOUBTS, len(doubts.rows), looked_at)] if looked_at else []
    return first + [
        Sheet(name, len(rows), [cards.card(name, int(row)) for row in _spread(name, rows, manifest)])
        for name, rows in rows_of.items()
        if len(rows)
    ]


def _spread(reason: str, rows: Rows, manifest: pa.Table) -> Rows:
    """Up to MAX_CARDS of the rows, spread over the range of the reason's first number."""
    if _SHOWN.get(reason):
        values = manifest[_SHOWN[reason][0]].take(pa.array(rows)).to_numpy().astype(float)
        rows = rows[np.argsort(values, kind="stable")]
    spread: Rows = rows[np.linspace(0, len(rows) - 1, min(MAX_CARDS, len(rows))).astype(int)]
    return spread


class _Cards:
    def __init__(self, manifest: pa.Table, pictures: PictureFolder) -> None:
        self._manifest = manifest
        self._pictures = pictures

    def card(self, reason: str, index: int, why: str = "") -> Card:
        row = self._row(index)
        lines = [row["verdict"], why] if why else []
        pictures = [Picture(self._pictures.add(row), row["image_id"], lines + _lines(reason, row))]
        if reason in _OF_IDENTITY:
            pictures.append(self._identity(row["identity"], "closest to the identity's centroid"))
        if reason in ("other_person", "uncertain_person", DOUBTS) and row["suggested_identity"]:
            pictures.append(self._identity(row["suggested_identity"], "suggested identity"))
        if reason in ("duplicate", "near_duplicate") and row["duplicate_of"]:
            kept = self._row(self._kept_photos[row["duplicate_of"]])
            pictures.append(Picture(self._pictures.add(kept), kept["image_id"], [f"{kept['verdict']}: best copy"]))
        if reason == "excluded" and row["excluded_by"]:
            pictures.append(Picture(None, str(row["excluded_by"]), ["matching photo of the exclusion gallery"]))
        return Card(pictures)

    def _identity(self, identity: str, line: str) -> Picture:
        """The photo of an identity that is closest to its centroid."""
        index = self._closest_to_centroid.get(identity)
        return Picture(None if index is None else self._pictures.add(self._row(index)), identity, [line])

    def _row(self, index: int) -> dict[str, Any]:
        # slice() copies nothing; take() would first concatenate the chunks of every column.
        row: dict[str, Any] = self._manifest.slice(index, 1).to_pylist()[0]
        return row

    @cached_property
    def _closest_to_centroid(self) -> dict[str, int]:
        """Identity -> row with the highest own_similarity; identities without faces are missing."""
        identity = self._manifest["identity"].combine_chunks().dictionary_encode()
        names, code = identity.dictionary.to_pylist(), np.asarray(identity.indices)
        similarity = np.asarray(self._manifest["own_similarity"].to_numpy(), np.float64)
        faces = np.flatnonzero(np.isfinite(similarity))
        order = faces[np.lexsort((similarity[faces], code[faces]))]
        last = order[np.flatnonzero(np.diff(code[order], append=-1))]
        return {names[code[row]]: int(row) for row in last}

    @cached_property
    def _kept_photos(self) -> dict[str, int]:
        """image_id -> row of every photo that `duplicate_of` refers to."""
        image_id = self._manifest["image_id"]
        referred = pc.is_in(image_id, pc.unique(pc.drop_null(self._manifest["duplicate_of"])))
        rows = np.flatnonzero(np.asarray(referred.to_numpy(), bool))
        return dict(zip(image_id.filter(referred).to_pylist(), rows.tolist(), strict=True))


def _lines(reason: str, row: dict[str, Any]) -> list[str]:
    """Numbers of the reason, the decoding error, other reasons and an override."""
    numbers = [(name, row[name]) for name in _SHOWN.get(reason, ()) if row[name] is not None]
    lines = [f"{name.replace('_', ' ')} {format_number(value)}" for name, value in numbers]
    others = [other.replace("_", " ") for other in row["reasons"] if other != reason]
    if row["error"]:
        lines.append(row["error"])
    if others:
        lines.append("also " + ", ".join(others))
    if row["verdict_source"] == "override":
        lines.append(f"override: {row['verdict']}")
    return lines


def format_number(value: float) -> str:
    """Format with three significant digits, without an exponent for large numbers."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
