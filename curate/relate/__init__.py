"""Step 2, relate: similarities of faces to identity centroids, the nearest other identities, duplicate groups.

In: measures and embeddings of a dataset. Out: `relations.parquet`, facts about all faces and no verdicts.
`run(RelateRequest(dataset))` does all of it; `relate.py` lists the passes. A new number of a face is a field of
`identities.BucketFaces` and a column in `relations.relation_rows` and in `manifests/schema.py`.
"""

from typing import TYPE_CHECKING

from curate.lazy import lazy_exports

if TYPE_CHECKING:
    from curate.relate.relate import RelateRequest, RelateSettings, run
    from curate.relate.relations import Related

REVISION = 3
"""Increases when relating gives other results for the same measures, so that older relations are refused."""

__all__ = ["REVISION", "RelateRequest", "RelateSettings", "Related", "run"]

if not TYPE_CHECKING:
    __getattr__ = lazy_exports(
        __name__,
        {
            "curate.relate.relate": ("RelateRequest", "RelateSettings", "run"),
            "curate.relate.relations": ("Related",),
        },
    )
