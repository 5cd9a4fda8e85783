"""Exclusion galleries given on the command line -> reference embeddings that `relate` compares every face with."""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from curate.errors import DatasetError, SourceError
from curate.faces.models import Choice, Models, load
from curate.listener import SILENT, Listener, progress
from curate.measure.pipeline import Pipeline, Settings
from curate.measure.shards import entries_of
from curate.relate.exclude import Gallery
from curate.sources import open_source
from manifests.layout import INFO
from manifests.reader import Dataset


def read_galleries(paths: list[Path], dataset_dir: Path, device: str, listener: Listener = SILENT) -> Gallery | None:
    """Folders of photos, or curated datasets of them -> one Gallery for the dataset's embedder; None without paths.

    Of a photo the largest face is the reference; of a dataset the kept photos' main faces. The threshold is the
    cosine that one in 10,000 pairs of strangers exceeds, by the embedder's calibration.
    Raises SourceError where a gallery holds no face (a gallery without effect is a mistake), DatasetError where a
    dataset was embedded by another network.
    """
    if not paths:
        return None
    choice = Dataset.open(dataset_dir).info.models.choice
    if choice is None:
        raise DatasetError(f"{dataset_dir} does not record its models: measure it again, or exclude from its parts")
    return gallery_of(paths, load(Choice(**asdict(choice)), device), listener)


def gallery_of(paths: list[Path], models: Models, listener: Listener = SILENT) -> Gallery:
    """At least one path, as above -> the Gallery for the embedder of `models`."""
    vectors, names = [], []
    for path in paths:
        if (path / INFO).exists():
            found = _of_dataset(Dataset.open(path), models.embedder.embedder_id)
        else:
            source = open_source("folder", path)
            pipeline = Pipeline(source, models, Settings())
            entries = list(entries_of(source, source.identities()))
            found = []
            with progress(listener, f"reading {path}", len(entries)) as advance:
                for batch in pipeline(entries):
                    first = np.unique(batch.faces.photo, return_index=True)[1]
                    for face in first:
                        name = batch.photos[batch.faces.photo[face]].entry.image_id
                        found.append((f"{path.name}/{name}", batch.faces.embeddings[face]))
                    advance(len(batch.photos))
        if not found:
            raise SourceError(f"--exclude {path}: no face was found in it, so it would exclude nobody")
        names += [name for name, _ in found]
        vectors += [vector for _, vector in found]
    return Gallery(np.stack(vectors).astype(np.float32), tuple(names), models.embedder.calibration.far_1e4)


def _of_dataset(gallery: Dataset, embedder_id: str) -> list[tuple[str, np.ndarray]]:
    kept = set(gallery.manifest(["face_id"], verdict="keep")["face_id"].to_pylist())
    found = []
    for bucket in range(gallery.buckets):
        ids, vectors = gallery.embeddings(embedder_id, bucket)
        found += [(face_id, vector) for face_id, vector in zip(ids, vectors, strict=True) if face_id in kept]
    if not kept:
        raise DatasetError(f"--exclude {gallery.path}: this dataset keeps no photo, so it would exclude nobody")
    return found
