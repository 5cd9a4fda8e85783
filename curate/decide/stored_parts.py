"""The shards of a dataset as the parts that `decide_collection` reads."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from curate.lineage import require_relations
from manifests.errors import DatasetError
from manifests.reader import Dataset
from manifests.table_file import TableFile

if TYPE_CHECKING:
    from curate.measure.sharpness import BlurCalibration

_KEYS = ("image_id", "face_id")


class StoredPart:
    """One bucket of a dataset. Made by `stored_parts`."""

    def __init__(self, dataset: Dataset, bucket: int, file: TableFile, calibration: "BlurCalibration | None"):
        self._dataset, self._bucket, self._file, self._calibration = dataset, bucket, file, calibration

    @property
    def template(self) -> str:
        return self._dataset.info.template

    @property
    def rows(self) -> int:
        return self._file.rows_of(self._bucket)

    @property
    def has_duplicates(self) -> bool:
        column = self._file.read(["duplicate_group"], self._bucket)["duplicate_group"]
        return bool(column.null_count < len(column))

    def measures(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return `columns` of the measures (None: all), sharpness scored by the calibration if there is one."""
        if self._calibration is None:
            return self._dataset.measures(self._bucket, columns)
        from curate.decide.rescore import COLUMNS, rescored

        names = None if columns is None else list(dict.fromkeys([*columns, *COLUMNS]))
        return rescored(self._dataset.measures(self._bucket, names), self._calibration)

    def tables(self, columns: Sequence[str] | None = None) -> tuple[pa.Table, pa.Table]:
        """Return measures and relations. Raises DatasetError where they are not of the same faces."""
        measures = self.measures(None if columns is None else list(dict.fromkeys([*columns, *_KEYS])))
        relations = self._file.read(group=self._bucket)
        if not all(measures[name].equals(relations[name]) for name in _KEYS):
            raise DatasetError(
                f"{self._file.path} was computed from other measures (bucket {self._bucket}): run `curate relate` again"
            )
        return measures, relations


def stored_parts(dataset: Dataset, calibration: "BlurCalibration | None" = None) -> list[StoredPart]:
    """Return the buckets of a dataset in order.

    calibration: scores sharpness again from the stored statistics; None keeps the measured scores. Raises DatasetError
    where the relations are missing or damaged, or were computed from other measures.
    """
    file = dataset.relations_file()
    if file.row_groups != dataset.buckets:
        raise DatasetError(
            f"{file.path} has {file.row_groups} row groups for {dataset.buckets} buckets: run `curate relate` again"
        )
    require_relations(dataset, file)
    return [StoredPart(dataset, bucket, file, calibration) for bucket in range(dataset.buckets)]
