"""Curated datasets as one, and kept faces for other tools."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from curate import report
from curate.export import export_folder, export_hf
from curate.inspect import render, summary
from curate.merge import merge
from manifests.errors import DatasetError, OutputError
from manifests.layout import POLICY_HASH, EmbedderRecord, ModelsRecord, SettingsRecord, read_info, write_info
from manifests.reader import Dataset
from manifests.schema import arrow_schema
from manifests.writer import write_table
from tests.samples.dataset import filled, jpeg, png, write_dataset
from tests.samples.listener import Recorder, Step


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """vgg: ann 4, bob 3 kept; sjtu: bob 2, cid 5 kept. Each person has one photo without a face besides."""
    root = tmp_path_factory.mktemp("made")
    write_dataset(root / "vgg", {"ann": 5, "bob": 4})
    write_dataset(root / "sjtu", {"bob": 3, "cid": 6}, buckets=3, seed=1)
    return root


@pytest.fixture
def sets(made: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Copies of both, which a test may damage."""
    return shutil.copytree(made / "vgg", tmp_path / "vgg"), shutil.copytree(made / "sjtu", tmp_path / "sjtu")


def _edit(root: Path, image_id: str, **values: object) -> None:
    """Change some values of one row of a dataset's manifest."""
    dataset = Dataset.open(root)
    rows = [row | values if row["image_id"] == image_id else row for row in dataset.manifest().to_pylist()]
    told = {POLICY_HASH: dataset.policy_hash() or ""}
    table = pa.Table.from_pylist(rows, arrow_schema("manifest"))
    write_table(root / "manifest.parquet", table, arrow_schema("manifest"), told)


def test_a_merged_dataset_refers_to_the_shards_of_its_parts(sets: tuple[Path, Path], tmp_path: Path) -> None:
    merged = merge(sets, tmp_path / "out" / "both")
    assert (merged.photos, merged.kept, merged.duplicates) == (18, 14, 0)
    assert sorted(p.name for p in (tmp_path / "out/both").iterdir()) == [".lock", "dataset.json", "manifest.parquet"]

    both = Dataset.open(tmp_path / "out" / "both")
    frame = both.to_pandas()
    assert set(frame.identity) == {"vgg/ann", "vgg/bob", "sjtu/bob", "sjtu/cid"}
    assert set(frame["shard"].dropna().str.rsplit("/", n=1).str[0]) == {"../../vgg/faces", "../../sjtu/faces"}
    for root in sets:
        for row in Dataset.open(root).manifest(verdict="keep").to_pylist():
            here = frame.set_index("image_id").loc[f"{root.name}/{row['image_id']}"]
            assert here.face_id == f"{root.name}/{row['face_id']}"
            assert both.pixels.crop(here) == Dataset.open(root).pixels.crop(row)
    assert both.parts == {"vgg": sets[0], "sjtu": sets[1]}
    for root in sets:
        part = Dataset.open(root).manifest(verdict="keep")
        own = frame[frame.face_id.notna() & frame.image_id.str.startswith(f"{root.name}/")]
        assert np.array_equal(both.embeddings_for(own), Dataset.open(root).embeddings_for(part))
    assert both.info.template == "simswap-224"


def test_the_same_name_is_one_person_when_joined(sets: tuple[Path, Path], tmp_path: Path) -> None:
    merge(sets, tmp_path / "both", join_identities=True)
    frame = Dataset.open(tmp_path / "both").to_pandas(verdict="keep")
    assert frame.identity.value_counts().to_dict() == {"bob": 5, "cid": 5, "ann": 4}
    assert frame.image_id.is_unique
    assert frame.identity.is_monotonic_increasing


def test_a_photo_that_an_earlier_dataset_keeps_is_dropped_as_its_copy(sets: tuple[Path, Path], tmp_path: Path) -> None:
    same = Dataset.open(sets[0]).to_pandas(verdict="keep").set_index("image_id").sha256
    _edit(sets[1], "bob/0000.jpg", sha256=same["bob/0000.jpg"])
    _edit(sets[1], "bob/0001.jpg", sha256=same["ann/0002.jpg"], verdict_source="override")
    for join in (False, True):
        merged = merge(sets, tmp_path / f"both{join}", join)
        assert (merged.kept, merged.duplicates) == (13, 1)
        frame = Dataset.open(tmp_path / f"both{join}").to_pandas().set_index("image_id")
        copy = frame.loc["sjtu/bob/0000.jpg"]
        assert (copy.verdict, list(copy.reasons), copy.duplicate_kind) == ("drop", ["duplicate"], "exact")
        assert copy.duplicate_of == "vgg/bob/0000.jpg"
        assert frame.loc["sjtu/bob/0001.jpg"].verdict == "keep", "a human's verdict stands"
        assert frame.loc["vgg/bob/0000.jpg"].verdict == "keep"


def test_photos_without_a_person_stay_without_one(sets: tuple[Path, Path], tmp_path: Path) -> None:
    _edit(sets[0], "ann/0000.jpg", identity=".", nearest_identity="bob", same_person_as=None)
    merge(sets, tmp_path / "both")
    row = Dataset.open(tmp_path / "both").to_pandas().set_index("image_id").loc["vgg/ann/0000.jpg"]
    assert (row.identity, row.nearest_identity) == (".", "vgg/bob")
    assert pd.isna(row.same_person_as)


def test_merging_again_gives_the_same_bytes_and_its_policy_hash_follows_the_parts(
    sets: tuple[Path, Path], tmp_path: Path
) -> None:
    merge(sets, tmp_path / "both")
    first = (tmp_path / "both/manifest.parquet").read_bytes()
    before = Dataset.open(tmp_path / "both").policy_hash()
    merge(sets, tmp_path / "both")
    assert (tmp_path / "both/manifest.parquet").read_bytes() == first
    table = Dataset.open(sets[0]).manifest()
    write_table(sets[0] / "manifest.parquet", table, arrow_schema("manifest"), {POLICY_HASH: "other"})
    merge(sets, tmp_path / "both")
    assert Dataset.open(tmp_path / "both").policy_hash() != before


def test_merged_datasets_merge_again(sets: tuple[Path, Path], tmp_path: Path) -> None:
    write_dataset(tmp_path / "third", {"eve": 2}, buckets=1, seed=2)
    merge(sets, tmp_path / "deep" / "both")
    merge([tmp_path / "deep" / "both", tmp_path / "third"], tmp_path / "all")
    everything = Dataset.open(tmp_path / "all")
    rows = everything.manifest(verdict="keep").to_pylist()
    assert {row["identity"] for row in rows} >= {"both/vgg/ann", "third/eve"}
    assert all(everything.pixels.crop(row) for row in rows)
    kept = everything.manifest(["face_id", "shard"], verdict="keep")
    assert everything.embeddings_for(kept).shape == (len(rows), 4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"settings": SettingsRecord("ffhq-512")}, "vgg and sjtu differ in their template: simswap-224 and ffhq-512"),
        ({"models": ModelsRecord(EmbedderRecord("f" * 16, "other"))}, "differ in their embedder: e+ and f+"),
    ],
)
def test_parts_that_do_not_compare_are_refused(
    sets: tuple[Path, Path], tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    write_info(sets[1], replace(read_info(sets[1]), **change))
    with pytest.raises(DatasetError, match=words):
        merge(sets, tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_what_cannot_be_merged_says_why(sets: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="two datasets or more, got 1"):
        merge(sets[:1], tmp_path / "both")
    shutil.copytree(sets[0], tmp_path / "other" / "vgg")
    with pytest.raises(DatasetError, match=r"two datasets are named 'vgg'.*rename one"):
        merge([sets[0], tmp_path / "other" / "vgg"], tmp_path / "both")
    with pytest.raises(OutputError, match="holds a dataset that is not a merged one"):
        merge(sets, sets[0])
    (sets[1] / "manifest.parquet").unlink()
    with pytest.raises(DatasetError, match=r"sjtu/manifest.parquet is missing: run `curate decide`"):
        merge(sets, tmp_path / "both")


def test_a_merged_dataset_sends_you_to_its_parts_for_the_rest(sets: tuple[Path, Path], tmp_path: Path) -> None:
    merge(sets, tmp_path / "both")
    both = Dataset.open(tmp_path / "both")
    for ask in (lambda: both.measures(0), lambda: both.relations(), lambda: both.embeddings("e", 0)):
        with pytest.raises(DatasetError, match=f"merged and has a manifest only: open one of its parts: .*{sets[0]}"):
            ask()


def test_hugging_face_datasets_loads_an_export(sets: tuple[Path, Path], tmp_path: Path) -> None:
    import datasets

    _edit(sets[0], "ann/0003.jpg", split="test")
    recorder = Recorder()
    exported = export_hf(Dataset.open(sets[0]), tmp_path / "hf", recorder)
    assert (exported.faces, exported.people, exported.files) == (7, 2, 2)
    assert recorder.steps == [Step("exporting", 7, "faces", done=7, finished=True)]
    loaded = datasets.load_dataset(str(tmp_path / "hf"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 6, "test": 1}
    rows = loaded["train"]
    assert rows.features["label"].names == ["ann", "bob"]
    assert rows[0]["image"].size == rows[0]["mask"].size == (32, 32)
    for row in rows:
        assert row["image_id"].startswith(rows.features["label"].int2str(row["label"]))
    assert "license: other" in (tmp_path / "hf/README.md").read_text()


def test_an_export_copies_the_stored_bytes(sets: tuple[Path, Path], tmp_path: Path) -> None:
    exported = export_folder(Dataset.open(sets[1]), tmp_path / "faces", masks=True)
    assert (exported.faces, exported.people) == (7, 2)
    found = sorted(str(path.relative_to(tmp_path / "faces")) for path in (tmp_path / "faces/faces").rglob("*.jpg"))
    expected = [f"faces/bob/{i:04d}.jpg" for i in range(2)] + [f"faces/cid/{i:04d}.jpg" for i in range(5)]
    assert found == expected
    assert (tmp_path / "faces/faces/cid/0003.jpg").read_bytes() == jpeg(1003)
    assert (tmp_path / "faces/masks/cid/0003.png").read_bytes() == png(1003)
    with open(tmp_path / "faces/faces.csv", newline="") as file:
        assert sorted(row["file"] for row in csv.DictReader(file)) == expected


EVIL = [
    "../../evil",
    "..",
    "/abs/evil",
    "a\\b",
    "C:",
    "nul\x00",
    "x" * 300,
    "A",
    "a",
    "a/b",
    "a_b",
    ". .",
    "",
    "ü/日本",
]


def test_no_name_leads_an_export_out_of_its_folder_or_onto_another_file(tmp_path: Path) -> None:
    root = tmp_path / "set"
    write_dataset(root, {"ann": 2}, buckets=1)
    (kept,) = Dataset.open(root).manifest(verdict="keep").to_pylist()
    rows = []
    for name in EVIL:
        for photo in (f"{name}/1.jpg", f"{name}/1.png", f"{name}/../../../../evil.jpg", f"{name}/.."):
            rows.append(filled("manifest", kept | {"image_id": photo, "identity": name}, 0))
    table = pa.Table.from_pylist(rows, arrow_schema("manifest"))
    write_table(root / "manifest.parquet", table, arrow_schema("manifest"))

    out = tmp_path / "deep" / "er" / "out"
    exported = export_folder(Dataset.open(root), out, masks=True)
    everything = {path for path in tmp_path.rglob("*") if path.is_file() and root not in path.parents}
    assert all(out in path.resolve().parents for path in everything)
    assert exported.faces == len(rows)
    assert len(list((out / "faces").rglob("*.jpg"))) == len(list((out / "masks").rglob("*.png"))) == len(rows)
    folders = [path.name for path in (out / "faces").iterdir()]
    assert len({name.casefold() for name in folders}) == len(EVIL), "no two people share a folder"
    assert not (tmp_path / "evil.jpg").exists()


@pytest.mark.parametrize("export", [export_hf, export_folder])
def test_an_export_wants_a_new_folder_and_every_shard(sets: tuple[Path, Path], tmp_path: Path, export: object) -> None:
    assert callable(export)
    with pytest.raises(OutputError, match="is not empty: choose a new folder"):
        export(Dataset.open(sets[0]), sets[1])
    shutil.rmtree(sets[0] / "faces")
    with pytest.raises(DatasetError, match=r"faces/b-00\d.parquet is missing"):
        export(Dataset.open(sets[0]), tmp_path / "out")


def test_a_summary_counts_what_is_there(sets: tuple[Path, Path]) -> None:
    _edit(sets[0], "bob/0000.jpg", verdict="drop", reasons=["too_dark", "blurred"], verdict_source="override")
    found = summary(Dataset.open(sets[0]))
    assert (found.photos, found.with_face, found.people, found.people_kept) == (9, 7, 2, 2)
    assert found.verdicts == {"keep": 6, "drop": 3}
    assert found.reasons == {"no_face": 2, "blurred": 1, "too_dark": 1}
    assert list(found.reasons) == ["no_face", "blurred", "too_dark"]
    assert found.by_hand == 1
    assert found.kept_per_person == (2, 3, 4)
    assert found.disk["faces"] == sum(path.stat().st_size for path in (sets[0] / "faces").iterdir())
    text = "\n".join(render(found))
    for words in (
        "9 photos of 2 people, 7 with a face",
        "no_face",
        "22.2 %",
        "simswap-224",
        "policy pppppppp",
        "sample",
    ):
        assert words in text


def test_a_summary_of_a_merged_dataset_names_its_parts(sets: tuple[Path, Path], tmp_path: Path) -> None:
    merge(sets, tmp_path / "both")
    text = "\n".join(render(summary(Dataset.open(tmp_path / "both"))))
    assert f"part vgg: {sets[0]}" in text
    assert np.int64(summary(Dataset.open(tmp_path / "both")).photos) == 18
    assert list(read_info(tmp_path / "both").parts) == ["vgg", "sjtu"]


def test_a_report_is_made_of_the_parts_not_of_what_is_merged(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_dataset(tmp_path / name, {"ann": 2})
    merge([tmp_path / "one", tmp_path / "two"], tmp_path / "both")
    with pytest.raises(DatasetError, match=r"is merged.*write the reports of its parts"):
        report.run(tmp_path / "both")
