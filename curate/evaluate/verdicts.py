"""Verdicts on draws: a draw is related and decided like a dataset, in memory."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.decide.collection import TablePart, decide_collection
from curate.decide.rescore import rescored
from curate.decide.rules import Policy
from curate.evaluate.collection import MeasuredCollection
from curate.evaluate.planting import SAME_BYTES, Draw, Flags, Rows
from curate.measure.sharpness import BlurCalibration
from curate.relate.bucket import MeasuredBucket
from curate.relate.duplicates import Confirm
from curate.relate.pixel_check import THREADS, is_same_picture
from curate.relate.relate import RelateSettings, relate_collection
from curate.relate.relations import relation_rows
from manifests.schema import REASONS

_BUCKET_ROWS = 16_384


class DrawDecider:
    """Decides draws of one collection. Pixel comparisons are cached across draws."""

    def __init__(
        self,
        collection: MeasuredCollection,
        settings: RelateSettings,
        policy: Policy,
        calibration: BlurCalibration | None = None,
    ) -> None:
        self._collection = collection
        self._settings = settings
        self._policy = policy
        self._calibration = calibration
        self._same_picture: dict[tuple[int, int], bool] = {}

    def __call__(self, draw: Draw) -> Flags:
        """Return (Q, len(REASONS)) flags of the reasons that apply to each photo of the draw."""
        order, row, table = self._measures(draw)
        bounds = _bucket_bounds(table["identity"].to_pylist())
        buckets = [MeasuredBucket(table.slice(a, b - a), self._vectors(row[a:b])) for a, b in bounds]
        settings = replace(self._settings, confirm=self._confirm(table["face_id"].to_pylist(), row))
        related = relate_collection(buckets.__getitem__, len(buckets), settings)
        parts = [
            TablePart(
                self._rescored(bucket.measures),
                relation_rows(bucket, number, related, settings.gallery),
                self._collection.template,
            )
            for number, bucket in enumerate(buckets)
        ]
        manifest = decide_collection(parts, self._policy).table()
        assert manifest.num_rows == len(order)

        reasons = np.zeros((len(order), len(REASONS)), bool)
        lists = manifest["reasons"].combine_chunks()
        columns = pc.index_in(pc.list_flatten(lists), pa.array(REASONS)).to_numpy()
        reasons[order[pc.list_parent_indices(lists).to_numpy()], columns] = True
        kept = pc.fill_null(pc.index_in(manifest["duplicate_of"], manifest["image_id"].combine_chunks()), -1).to_numpy()
        duplicate_of = np.full(len(order), -1, np.int64)
        duplicate_of[order] = np.where(kept >= 0, order[kept], -1)
        return _attribute_to_copies(reasons, duplicate_of, draw)

    def _measures(self, draw: Draw) -> tuple[Rows, Rows, pa.Table]:
        """Sort the photos of a draw as the shards of a dataset.

        Returns:
            (Q,) the photos in that order, (R,) their rows in the collection, and the R rows under their new names.
        """
        collection = self._collection
        name = np.array(
            [
                f"{image_id} (copy)" if fault == SAME_BYTES else image_id
                for image_id, fault in zip(collection.image_id[draw.photo].tolist(), draw.fault.tolist(), strict=True)
            ]
        )
        order = np.lexsort((name, draw.folder))
        photo = draw.photo[order]
        first, count = collection.start[photo], np.diff(collection.start)[photo]
        k = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)  # number of the face in its photo
        row = np.repeat(first, count) + k
        image_id = np.repeat(name[order], count).tolist()
        face_id = [f"{photo_id}#{number}" for photo_id, number in zip(image_id, k.tolist(), strict=True)]
        renamed = {
            "image_id": pa.array(image_id, pa.string()),
            "identity": pa.array(np.repeat(draw.folder[order], count).tolist(), pa.string()),
            "face_id": pa.array(face_id, pa.string(), mask=~collection.has_face(row)),
        }
        table = collection.measures.take(pa.array(row))
        for column, values in renamed.items():
            index = table.schema.get_field_index(column)
            table = table.set_column(index, table.schema.field(index), values)
        return order, row, table

    def _vectors(self, row: Rows) -> npt.NDArray[np.float16]:
        """(F, D) vectors of the rows that have a face."""
        return self._collection.vectors[row[self._collection.has_face(row)]]

    def _rescored(self, measures: pa.Table) -> pa.Table:
        return measures if self._calibration is None else rescored(measures, self._calibration)

    def _same(self, pair: tuple[int, int]) -> bool:
        first, second = map(self._collection.crop, pair)
        return is_same_picture(first, second, frames=(self._collection.frame(pair[0]), self._collection.frame(pair[1])))

    def _confirm(self, face_ids: list[str | None], row: Rows) -> Confirm:
        """Return a pixel check of the faces of a draw, across the datasets of the collection."""
        row_of = dict(zip(face_ids, row.tolist(), strict=True))

        def confirm(first: Sequence[str], second: Sequence[str]) -> Flags:
            pairs = [(row_of[a], row_of[b]) for a, b in zip(first, second, strict=True)]
            unknown = [pair for pair in dict.fromkeys(pairs) if pair not in self._same_picture]
            with ThreadPoolExecutor(THREADS) as pool:
                same = pool.map(self._same, unknown)
                self._same_picture |= dict(zip(unknown, same, strict=True))
            return np.array([self._same_picture[pair] for pair in pairs], bool)

        return confirm


def _attribute_to_copies(reasons: Flags, duplicate_of: Rows, draw: Draw) -> Flags:
    """Move the duplicate reasons of an original to its planted copy where the copy is kept instead of it."""
    reasons = reasons.copy()
    copies = np.flatnonzero(draw.original >= 0)
    copies = copies[duplicate_of[draw.original[copies]] == copies]
    for reason in (REASONS.index("duplicate"), REASONS.index("near_duplicate")):
        reasons[copies, reason] |= reasons[draw.original[copies], reason]
        reasons[draw.original[copies], reason] = False
    return reasons


def _bucket_bounds(identity: list[str]) -> list[tuple[int, int]]:
    """First row and end of buckets of whole identities, at least _BUCKET_ROWS rows each but the last."""
    bounds, start = [], 0
    for at in range(1, len(identity)):
        if at - start >= _BUCKET_ROWS and identity[at] != identity[at - 1]:
            bounds.append((start, at))
            start = at
    return [*bounds, (start, len(identity))]
