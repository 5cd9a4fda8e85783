"""curate/merge.py: one manifest of several datasets, which refers to their shards."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from curate.decide.footer import stored_findings
from curate.merge import Merged, MergeRequest, plan, run
from manifests.errors import DatasetError, OutputError
from manifests.layout import MANIFEST, POLICY_HASH, EmbedderRecord, ModelsRecord, SettingsRecord, read_info, write_info
from manifests.reader import Dataset
from manifests.schema import NO_IDENTITY, arrow_schema
from manifests.table_file import footer
from manifests.writer import write_table
from tests.samples.dataset import edit_manifest, write_dataset, write_pair
from tests.samples.listener import Recorder, Step


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return write_pair(tmp_path)


def merge(datasets: Sequence[Path], out: Path, join: bool = False) -> Merged:
    return run(plan(MergeRequest(tuple(datasets), out, join)))


def test_a_merged_dataset_refers_to_the_shards_of_its_parts(pair: tuple[Path, Path], tmp_path: Path) -> None:
    recorder = Recorder()
    merged = run(plan(MergeRequest(pair, tmp_path / "out" / "both")), recorder)
    assert recorder.steps == [Step("merging", 18, "photos", done=18, finished=True)]
    assert merged.summary() == "18 photos: keep 14, review 0, drop 4"
    assert (merged.photos, merged.kept, merged.duplicates) == (18, 14, 0)
    assert sorted(p.name for p in (tmp_path / "out/both").iterdir()) == ["dataset.json", "manifest.parquet"]

    both = Dataset.open(tmp_path / "out" / "both")
    frame = both.to_pandas()
    assert set(frame.identity) == {"vgg/ann", "vgg/bob", "sjtu/bob", "sjtu/cid"}
    assert set(frame["shard"].dropna().str.rsplit("/", n=1).str[0]) == {"../../vgg/faces", "../../sjtu/faces"}
    for root in pair:
        for row in Dataset.open(root).manifest(keep=True).to_pylist():
            merged_row = frame.set_index("image_id").loc[f"{root.name}/{row['image_id']}"]
            assert merged_row.face_id == f"{root.name}/{row['face_id']}"
            assert both.pixels.crop(merged_row) == Dataset.open(root).pixels.crop(row)
    assert both.parts == {"vgg": pair[0], "sjtu": pair[1]}
    for root in pair:
        part = Dataset.open(root).manifest(keep=True)
        own = frame[frame.face_id.notna() & frame.image_id.str.startswith(f"{root.name}/")]
        assert np.array_equal(both.embeddings_for(own), Dataset.open(root).embeddings_for(part))
    assert both.info.template == "simswap-224"


def test_joined_identities_are_one_person(pair: tuple[Path, Path], tmp_path: Path) -> None:
    merge(pair, tmp_path / "both", join=True)
    frame = Dataset.open(tmp_path / "both").to_pandas(keep=True)
    assert frame.identity.value_counts().to_dict() == {"bob": 5, "cid": 5, "ann": 4}
    assert frame.image_id.is_unique
    assert frame.identity.is_monotonic_increasing


def test_a_copy_of_a_photo_that_an_earlier_part_keeps_is_dropped(pair: tuple[Path, Path], tmp_path: Path) -> None:
    same = Dataset.open(pair[0]).to_pandas(keep=True).set_index("image_id").sha256
    edit_manifest(pair[1], "bob/0000.jpg", sha256=same["bob/0000.jpg"])
    edit_manifest(pair[1], "bob/0001.jpg", sha256=same["ann/0002.jpg"], verdict_source="override")
    for join in (False, True):
        merged = merge(pair, tmp_path / f"both{join}", join)
        assert (merged.kept, merged.duplicates) == (13, 1)
        frame = Dataset.open(tmp_path / f"both{join}").to_pandas().set_index("image_id")
        copy = frame.loc["sjtu/bob/0000.jpg"]
        assert (copy.verdict, list(copy.reasons), copy.duplicate_kind) == ("drop", ["duplicate"], "exact")
        assert copy.duplicate_of == "vgg/bob/0000.jpg"
        assert frame.loc["sjtu/bob/0001.jpg"].verdict == "keep", "an override is not changed"
        assert frame.loc["vgg/bob/0000.jpg"].verdict == "keep"


def test_photos_without_an_identity_remain_without_one(pair: tuple[Path, Path], tmp_path: Path) -> None:
    edit_manifest(pair[0], "ann/0000.jpg", identity=NO_IDENTITY, nearest_identity="bob", same_person_as=None)
    merge(pair, tmp_path / "both")
    row = Dataset.open(tmp_path / "both").to_pandas().set_index("image_id").loc["vgg/ann/0000.jpg"]
    assert (row.identity, row.nearest_identity) == (NO_IDENTITY, "vgg/bob")
    assert pd.isna(row.same_person_as)


def test_merging_again_gives_the_same_bytes_and_its_policy_hash_follows_the_parts(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    merge(pair, tmp_path / "both")
    first = (tmp_path / "both/manifest.parquet").read_bytes()
    before = Dataset.open(tmp_path / "both").policy_hash()
    merge(pair, tmp_path / "both")
    assert (tmp_path / "both/manifest.parquet").read_bytes() == first
    table = Dataset.open(pair[0]).manifest()
    write_table(pair[0] / "manifest.parquet", table, arrow_schema("manifest"), {POLICY_HASH: "other"})
    merge(pair, tmp_path / "both")
    assert Dataset.open(tmp_path / "both").policy_hash() != before


def test_merged_datasets_merge_again(pair: tuple[Path, Path], tmp_path: Path) -> None:
    write_dataset(tmp_path / "third", {"eve": 2}, buckets=1, seed=2)
    merge(pair, tmp_path / "deep" / "both")
    merge([tmp_path / "deep" / "both", tmp_path / "third"], tmp_path / "all")
    everything = Dataset.open(tmp_path / "all")
    rows = everything.manifest(keep=True).to_pylist()
    assert {row["identity"] for row in rows} >= {"both/vgg/ann", "third/eve"}
    assert all(everything.pixels.crop(row) for row in rows)
    kept = everything.manifest(["face_id", "shard"], keep=True)
    assert everything.embeddings_for(kept).shape == (len(rows), 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": SettingsRecord("ffhq-512")}, "vgg and sjtu differ in their template: simswap-224 and ffhq-512"),
        ({"models": ModelsRecord(EmbedderRecord("f" * 16, "other"))}, "differ in their embedder: e+ and f+"),
    ],
)
def test_parts_that_do_not_compare_are_refused(
    pair: tuple[Path, Path], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    write_info(pair[1], replace(read_info(pair[1]), **change))
    with pytest.raises(DatasetError, match=message):
        merge(pair, tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_unusable_requests_are_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="two datasets or more, got 1"):
        merge(pair[:1], tmp_path / "both")
    shutil.copytree(pair[0], tmp_path / "other" / "vgg")
    with pytest.raises(DatasetError, match=r"two datasets are named 'vgg'.*rename one"):
        merge([pair[0], tmp_path / "other" / "vgg"], tmp_path / "both")
    with pytest.raises(OutputError, match="holds a dataset that is not a merged one"):
        merge(pair, pair[0])
    merge(pair, tmp_path / "both")
    with pytest.raises(OutputError, match="is one of the datasets to merge"):
        merge([tmp_path / "both", pair[0]], tmp_path / "both")
    (pair[1] / "manifest.parquet").unlink()
    with pytest.raises(DatasetError, match=r"sjtu/manifest.parquet is missing: run `curate decide`"):
        merge(pair, tmp_path / "both")


def test_other_tables_of_a_merged_dataset_are_in_its_parts(pair: tuple[Path, Path], tmp_path: Path) -> None:
    merge(pair, tmp_path / "both")
    both = Dataset.open(tmp_path / "both")
    for read in (lambda: both.measures(0), lambda: both.relations(), lambda: both.embeddings("e", 0)):
        with pytest.raises(DatasetError, match=f"merged and has a manifest only: open one of its parts: .*{pair[0]}"):
            read()


def test_the_merged_collection_is_checked(pair: tuple[Path, Path], tmp_path: Path) -> None:
    for part in pair:
        for row in Dataset.open(part).manifest(["image_id"])["image_id"].to_pylist():
            edit_manifest(part, row, verdict="drop", reasons=["blurred"], keep=False)
    merged = merge(pair, tmp_path / "out")
    assert [finding.check for finding in merged.findings] == ["mostly_blurred"]
    assert stored_findings(footer(tmp_path / "out" / MANIFEST) or {}) == merged.findings
