"""Contact sheets: which photos stand for a reason, and the pictures that go beside them."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.decode import decode
from curate.errors import DecodeError, SourceError
from curate.sources import Source, open_source
from manifests.reader import Dataset
from manifests.schema import REASONS

PER_SHEET = 24
THUMBNAIL = 224
IN_STRIP = 6

# reason -> the number that a reader wants beside the picture
SHOWN = {
    "too_small": ("eye_distance", "width", "height"),
    "blurred": ("sharpness",),
    "stretched": ("stretch",),
    "corrupt_pixels": ("corruption", "flat_rows"),
    "too_dark": ("brightness", "clipped_dark"),
    "too_bright": ("clipped_bright",),
    "other_person": ("wrong_person", "own_similarity", "margin"),
    "mixed_identity": ("identity_cohesion", "own_similarity"),
    "excluded": ("excluded_similarity",),
    "keep": ("sharpness", "own_similarity"),
}

COLUMNS = (
    "image_id", "identity", "verdict", "verdict_source", "reasons", "suggested_identity", "duplicate_of", "excluded_by",
    "error", "own_similarity", "shard", "crop_offset", "crop_length",
    *sorted({name for names in SHOWN.values() for name in names} - {"own_similarity"}),
)  # fmt: skip


@dataclass
class Picture:
    """One picture of a sheet: its file beside the page (None: there is no picture), and the words under it."""

    file: str | None
    title: str
    lines: list[str] = field(default_factory=list)


@dataclass
class Card:
    """A photo and what it is compared with."""

    pictures: list[Picture]


@dataclass
class Sheet:
    """Some of the photos that a reason dropped, from the clearest case to the most doubtful."""

    reason: str
    total: int
    cards: list[Card]

    @property
    def widest(self) -> int:
        """Pictures side by side in the widest card."""
        return max((len(card.pictures) for card in self.cards), default=1)

    @property
    def strip(self) -> list[str]:
        """Files of a few pictures that stand for all, spread over the range."""
        files = [card.pictures[0].file for card in self.cards]
        there = [file for file in files if file]
        return there[:: max(1, len(there) // IN_STRIP)][:IN_STRIP]


class SheetMaker:
    """Chooses photos of a manifest and writes their pictures into `folder`."""

    def __init__(self, dataset: Dataset, manifest: pa.Table, folder: Path) -> None:
        self.dataset = dataset
        self.manifest = manifest
        self.folder = folder
        self._written: dict[str, str] = {}
        self._told = manifest.select(list(COLUMNS))

    def reasons(self) -> list[Sheet]:
        """A sheet for each reason that dropped something, in the order of REASONS, and last one of kept photos."""
        lists = self.manifest["reasons"].combine_chunks()
        row = np.asarray(pc.list_parent_indices(lists))
        word = np.asarray(pc.index_in(lists.flatten(), pa.array(REASONS)))
        sheets = []
        for index, reason in enumerate(REASONS):
            rows = row[word == index]
            if len(rows):
                sheets.append(self._sheet(reason, rows))
        kept = np.flatnonzero(np.asarray(pc.equal(self.manifest["verdict"].cast(pa.string()), "keep").to_numpy(), bool))
        if len(kept):
            sheets.append(self._sheet("keep", kept))
        return sheets

    def _sheet(self, reason: str, rows: Any) -> Sheet:
        chosen = rows[np.linspace(0, len(rows) - 1, min(PER_SHEET, len(rows))).astype(int)]
        columns = SHOWN.get(reason)
        if columns:
            values = self.manifest[columns[0]].take(pa.array(rows)).to_numpy().astype(float)
            order = rows[np.argsort(values, kind="stable")]
            chosen = order[np.linspace(0, len(order) - 1, min(PER_SHEET, len(order))).astype(int)]
        return Sheet(reason, len(rows), [self._card(reason, self._row(int(at))) for at in chosen])

    def _card(self, reason: str, row: dict[str, Any]) -> Card:
        shown = [(name.replace("_", " "), row[name]) for name in SHOWN.get(reason, ()) if row[name] is not None]
        lines = [f"{name} {number(value)}" for name, value in shown]
        others = [other.replace("_", " ") for other in row["reasons"] if other != reason]
        if row["error"]:
            lines.append(row["error"])
        if others:
            lines.append("also " + ", ".join(others))
        if row["verdict_source"] == "override":
            lines.append(f"a person decided: {row['verdict']}")
        pictures = [Picture(self._picture(row), row["image_id"], lines)]
        if reason in ("other_person", "mixed_identity"):
            pictures.append(self._of_person(row["identity"], "the folder's centre"))
        if reason == "other_person" and row["suggested_identity"]:
            pictures.append(self._of_person(row["suggested_identity"], "suggested"))
        if reason in ("duplicate", "near_duplicate") and row["duplicate_of"]:
            kept = self._row(self._kept_copies[row["duplicate_of"]])
            pictures.append(
                Picture(self._picture(kept), row["duplicate_of"], [f"{kept['verdict']}, the one it repeats"])
            )
        if reason == "excluded" and row["excluded_by"]:
            pictures.append(Picture(None, str(row["excluded_by"]), ["the reference it matches"]))
        return Card(pictures)

    def _of_person(self, identity: str, words: str) -> Picture:
        """The photo of a person that is nearest the centre of its folder."""
        best = self._nearest_centre.get(identity)
        return Picture(None if best is None else self._picture(self._row(best)), identity, [words])

    def _row(self, at: int) -> dict[str, Any]:
        # A slice copies nothing, where take() would first join a column's chunks into one.
        row: dict[str, Any] = self._told.slice(at, 1).to_pylist()[0]
        return row

    @cached_property
    def _nearest_centre(self) -> dict[str, int]:
        """Identity -> the row of its photo with the highest own_similarity; none for an identity without faces."""
        identity = self.manifest["identity"].combine_chunks().dictionary_encode()
        names, code = identity.dictionary.to_pylist(), np.asarray(identity.indices)
        similarity = np.asarray(self.manifest["own_similarity"].to_numpy(), np.float64)
        faces = np.flatnonzero(np.isfinite(similarity))
        order = faces[np.lexsort((similarity[faces], code[faces]))]
        last = order[np.flatnonzero(np.diff(code[order], append=-1))]
        return {names[code[at]]: int(at) for at in last}

    @cached_property
    def _kept_copies(self) -> dict[str, int]:
        """image_id -> row, for every photo that another one repeats."""
        repeated = pc.is_in(self.manifest["image_id"], pc.unique(pc.drop_null(self.manifest["duplicate_of"])))
        rows = np.flatnonzero(np.asarray(repeated.to_numpy(), bool))
        return dict(zip(self.manifest["image_id"].filter(repeated).to_pylist(), rows.tolist(), strict=True))

    def _picture(self, row: dict[str, Any]) -> str | None:
        """Writes the aligned crop, or where there is none the photo itself, and returns the file's name."""
        image_id = row["image_id"]
        if image_id not in self._written:
            data = self.dataset.pixels.crop(row) if row["shard"] else self._photo(row)
            if data is None:
                return None
            name = f"{len(self._written):05d}.jpg"
            (self.folder / name).write_bytes(data)
            self._written[image_id] = name
        return self._written[image_id]

    def _photo(self, row: dict[str, Any]) -> bytes | None:
        """A photo without a face, made small; None where it or the source cannot be read any more."""
        if self._source is None or row["error"]:
            return None
        for entry in self._source.entries(row["identity"]):
            if entry.image_id == row["image_id"]:
                try:
                    pixels = decode(self._source.read(entry)).pixels
                except DecodeError:
                    return None
                scale = THUMBNAIL / max(pixels.shape[:2])
                size = [max(1, round(side * scale)) for side in pixels.shape[1::-1]]
                small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
                return cv2.imencode(".jpg", small[..., ::-1])[1].tobytes()
        return None

    @cached_property
    def _source(self) -> Source | None:
        """Where photos without a face lie; opened when the first of them is wanted."""
        record = self.dataset.info.source
        if record.root is None:
            return None
        try:
            return open_source(record.kind, Path(record.root))
        except SourceError:
            # The photos may be gone or on another machine; the report then shows crops alone.
            return None


def number(value: float) -> str:
    """Three significant digits, without an exponent for large ones."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
