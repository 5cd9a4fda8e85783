"""curate/relate/gallery.py: curated datasets, merged ones included, as exclusion galleries."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from curate import merge
from curate.errors import DatasetError
from curate.relate.gallery import gallery_of
from manifests.reader import Dataset
from tests.samples.dataset import EMBEDDER, write_dataset, write_pair


def models(embedder_id: str = EMBEDDER) -> Any:
    return SimpleNamespace(embedder=SimpleNamespace(embedder_id=embedder_id, calibration=SimpleNamespace(far_1e4=0.4)))


def test_the_kept_faces_of_a_dataset_are_references(tmp_path: Path) -> None:
    first, second = write_pair(tmp_path)
    gallery = gallery_of([first, second], models())
    kept = [Dataset.open(path).manifest(["face_id", "shard"], keep=True) for path in (first, second)]
    assert list(gallery.image_ids) == [name for rows in kept for name in rows["face_id"].to_pylist()]
    expected = [Dataset.open(path).embeddings_for(rows) for path, rows in zip((first, second), kept, strict=True)]
    assert np.array_equal(gallery.vectors, np.concatenate(expected).astype(np.float32))


def test_a_merged_dataset_is_a_gallery(tmp_path: Path) -> None:
    pair = write_pair(tmp_path)
    merge.run(merge.plan(merge.MergeRequest(pair, tmp_path / "both")))
    merged, apart = gallery_of([tmp_path / "both"], models()), gallery_of(list(pair), models())
    assert np.array_equal(merged.vectors, apart.vectors)
    assert "vgg/ann/0000.jpg#0" in merged.image_ids


def test_unusable_datasets_are_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path / "empty", {"ann": 1})
    with pytest.raises(DatasetError, match="keeps no photo, so it would have no effect"):
        gallery_of([tmp_path / "empty"], models())
    write_dataset(tmp_path / "other", {"ann": 2})
    with pytest.raises(DatasetError, match=r"no embeddings of embedder f+"):
        gallery_of([tmp_path / "other"], models("f" * 16))
