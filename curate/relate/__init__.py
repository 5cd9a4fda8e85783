"""Relating: the similarities of faces to identity centroids, the nearest other identities, and duplicate groups.

In: measures and embeddings of a dataset. Out: `relations.parquet`, facts about all faces and no verdicts.
`run(RelateRequest(dataset))` does all of it; `relate.py` lists the passes. A new number of a face is a field of
`identities.BucketFaces` and a column in `relations.relation_rows` and in `manifests/schema.py`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.relate.relate import RelateRequest, RelateSettings, run
    from curate.relate.relations import Related

__all__ = ["RelateRequest", "RelateSettings", "Related", "run"]

_MODULES = {"RelateRequest": "relate", "RelateSettings": "relate", "run": "relate", "Related": "relations"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
