"""Step 1, measure: photos -> one row per face with its crop, label map, embedding and scores.

In: a source (`curate.sources`) and three networks (`curate.faces`). Out: the shards `faces/`, `measures/` and
`embeddings/` of a dataset. No photo is dropped; a photo that cannot be decoded is a row with an error.
To add a measure: declare its columns in manifests/schema.py, write its function in a module here, and add an entry to
`MEASURES` in table.py.
"""

from typing import TYPE_CHECKING

from curate.lazy import lazy_exports

if TYPE_CHECKING:
    from curate.measure.measure import MeasurePlan, MeasureResult, plan, run
    from curate.measure.request import MeasureRequest

__all__ = ["PHOTOS_PER_BUCKET", "WORKER_MODULES", "MeasurePlan", "MeasureRequest", "MeasureResult", "plan", "run"]

WORKER_MODULES = (
    "curate.measure.worker",
    "curate.faces.detectors.mtcnn",
    "curate.faces.embedders.dlib_resnet",
    "curate.faces.segment",
)
"""What a worker process imports, for `curate.engines.local.warm_up`."""

PHOTOS_PER_BUCKET = 32
"""Photos for which a new dataset has one shard; a smaller one is measured in the calling process."""

if not TYPE_CHECKING:
    __getattr__ = lazy_exports(
        __name__,
        {
            "curate.measure.measure": ("MeasurePlan", "MeasureResult", "plan", "run"),
            "curate.measure.request": ("MeasureRequest",),
        },
    )
