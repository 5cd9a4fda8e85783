"""A shard is measured again when a measure is added or increases its version."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.measure import shards
from curate.measure.settings import MeasureSettings
from curate.measure.shards import MeasureJob, list_shards
from curate.measure.table import MEASURES, Measure, versions
from curate.sources import open_source
from manifests.layout import ChoiceRecord, EmbedderRecord, ModelsRecord

NEW = Measure("new", "photo", ("new",), ("pixels",), lambda pixels: {"new": 0})


@pytest.mark.parametrize(
    "measures", [(*MEASURES, NEW), (replace(MEASURES[0], version=2), *MEASURES[1:])], ids=["added", "changed"]
)
def test_fingerprint_depends_on_the_measures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measures: tuple[Measure, ...]
) -> None:
    (tmp_path / "anna").mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "anna" / "1.png")
    job = MeasureJob(
        layout="folder", root=tmp_path, out=tmp_path / "out", buckets=1, choice=ChoiceRecord("builtin"),
        settings=MeasureSettings(), device="cpu", threads=1, embedder_id="0" * 16,
    )  # fmt: skip
    networks = ModelsRecord(EmbedderRecord("0" * 16, "test"), detector="", segmenter="")
    (before,) = list_shards(open_source("folder", tmp_path), ["anna"], job, networks)
    monkeypatch.setattr(shards, "versions", lambda: versions(measures))
    (after,) = list_shards(open_source("folder", tmp_path), ["anna"], job, networks)
    assert before.photos == after.photos == 1
    assert before.faces_fingerprint != after.faces_fingerprint
