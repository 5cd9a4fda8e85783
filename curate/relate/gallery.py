"""Exclusion galleries read from folders of photos or from curated datasets."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from curate.counts import counted
from curate.errors import DatasetError, SourceError
from curate.faces.models import Models, load
from curate.lineage import require_current
from curate.listener import SILENT, Listener, progress
from curate.measure.pipeline import Pipeline
from curate.measure.settings import MeasureSettings
from curate.measure.shards import entries_of
from curate.relate.exclude import Gallery, check_galleries
from curate.sources import open_source
from manifests.layout import INFO
from manifests.reader import Dataset

Reference = tuple[str, npt.NDArray[np.floating]]
"""image_id, (D,) unit vector."""


def read_galleries(paths: Sequence[Path], dataset: Dataset, device: str, listener: Listener = SILENT) -> Gallery:
    """Read at least one gallery with the models of `dataset`; see `gallery_of`."""
    choice = dataset.info.models.choice
    if choice is None:
        raise DatasetError(f"{dataset.path} does not record its models: measure it again, or exclude from its parts")
    return gallery_of(paths, load(choice, device), listener)


def gallery_of(paths: Sequence[Path], models: Models, listener: Listener = SILENT) -> Gallery:
    """Combine at least one gallery into one, with the embedder of `models`.

    The references of a folder are the largest face of each photo; those of a curated dataset, the main faces of the
    photos that it keeps. The threshold is the cosine that one in 10,000 pairs of different persons exceeds, from the
    embedder's calibration.

    `listener` receives a note where photos of a folder show no face or cannot be read.

    Raises SourceError where a gallery holds no face (it would have no effect), DatasetError where a dataset was
    embedded by another network or keeps no photo.
    """
    check_galleries(paths)
    references: list[Reference] = []
    for path in paths:
        if (path / INFO).exists():
            part = _dataset_references(Dataset.open(path), models.embedder.embedder_id)
        else:
            part = _folder_references(path, models, listener)
        if not part:
            raise SourceError(
                f"--exclude {path}: no face was detected in it, so it would have no effect; "
                "give photos of the people to exclude"
            )
        references += part
    vectors = np.stack([vector for _, vector in references]).astype(np.float32)
    return Gallery(vectors, tuple(name for name, _ in references), models.embedder.calibration.far_1e4)


def _folder_references(path: Path, models: Models, listener: Listener) -> list[Reference]:
    try:
        source = open_source("folder", path, "first")
    except SourceError as error:
        raise SourceError(
            f"--exclude {path}: no photos can be read from it; give a folder of photos of the people to exclude"
        ) from error
    pipeline = Pipeline(source, models, MeasureSettings())
    entries = list(entries_of(source, source.identities()))
    references, without_face = [], list[str]()
    with progress(listener, f"reading {path}", len(entries)) as advance:
        for batch in pipeline(entries):
            largest = np.unique(batch.faces.photo, return_index=True)[1]
            for face in largest:
                image_id = batch.photos[batch.faces.photo[face]].entry.image_id
                references.append((f"{path.name}/{image_id}", batch.embeddings[face]))
            shown = set(batch.faces.photo[largest].tolist())
            without_face += [photo.entry.image_id for k, photo in enumerate(batch.photos) if k not in shown]
            advance(len(batch.photos))
    if without_face:
        listener.note(
            f"--exclude {path}: no face in {len(without_face):,} of {counted(len(entries), 'photo')}: without effect "
            f"({', '.join(without_face[:3])}{', ...' if len(without_face) > 3 else ''})"
        )
    return references


def _dataset_references(gallery: Dataset, embedder_id: str) -> list[Reference]:
    require_current(gallery)
    kept = gallery.manifest(["face_id", "shard"], keep=True)
    if not kept.num_rows:
        raise DatasetError(f"--exclude {gallery.path}: this dataset keeps no photo, so it would have no effect")
    kept = kept.filter(kept["face_id"].is_valid())
    return list(zip(kept["face_id"].to_pylist(), gallery.embeddings_for(kept, embedder_id), strict=True))
