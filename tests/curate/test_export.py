"""curate/export: kept faces for other tools, as copies of the stored bytes."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from curate.cli import app
from curate.export import ExportRequest, plan, run, write_list
from curate.export.export import RECORD
from curate.export.formats import FORMATS
from curate.export.request import Format
from manifests.errors import DatasetError, OutputError
from manifests.reader import Dataset
from manifests.schema import arrow_schema
from manifests.writer import write_table
from tests.samples.dataset import edit_manifest, filled, jpeg, png, write_dataset, write_pair
from tests.samples.listener import Recorder, Step


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return write_pair(tmp_path)


def test_hugging_face_datasets_loads_an_export(pair: tuple[Path, Path], tmp_path: Path) -> None:
    import datasets

    edit_manifest(pair[0], "ann/0003.jpg", split="test")
    recorder = Recorder()
    exported = run(plan(ExportRequest(pair[0], tmp_path / "hf")), recorder)
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


def test_an_export_copies_the_stored_bytes(pair: tuple[Path, Path], tmp_path: Path) -> None:
    exported = run(plan(ExportRequest(pair[1], tmp_path / "faces", "folder", masks=True)))
    assert (exported.faces, exported.people) == (7, 2)
    folder = tmp_path / "faces"
    exported_files = sorted(path.relative_to(folder).as_posix() for path in (folder / "faces").rglob("*.jpg"))
    expected = [f"faces/bob/{i:04d}.jpg" for i in range(2)] + [f"faces/cid/{i:04d}.jpg" for i in range(5)]
    assert exported_files == expected
    assert (tmp_path / "faces/faces/cid/0003.jpg").read_bytes() == jpeg(1003)
    assert (tmp_path / "faces/masks/cid/0003.png").read_bytes() == png(1003)
    with open(tmp_path / "faces/faces.csv", newline="") as file:
        assert sorted(row["file"] for row in csv.DictReader(file)) == expected


UNSAFE_NAMES = [
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


def test_no_name_leaves_the_folder_or_replaces_another_file(tmp_path: Path) -> None:
    root = tmp_path / "set"
    write_dataset(root, {"ann": 2}, buckets=1)
    (kept,) = Dataset.open(root).manifest(keep=True).to_pylist()
    rows = []
    for name in UNSAFE_NAMES:
        for photo in (f"{name}/1.jpg", f"{name}/1.png", f"{name}/../../../../evil.jpg", f"{name}/.."):
            rows.append(filled("manifest", kept | {"image_id": photo, "identity": name}, 0))
    table = pa.Table.from_pylist(rows, arrow_schema("manifest"))
    write_table(root / "manifest.parquet", table, arrow_schema("manifest"))

    out = tmp_path / "deep" / "er" / "out"
    exported = run(plan(ExportRequest(root, out, "folder", masks=True)))
    written = {path for path in tmp_path.rglob("*") if path.is_file() and root not in path.parents}
    assert all(out in path.resolve().parents for path in written)
    assert exported.faces == len(rows)
    assert len(list((out / "faces").rglob("*.jpg"))) == len(list((out / "masks").rglob("*.png"))) == len(rows)
    folders = [path.name for path in (out / "faces").iterdir()]
    assert len({name.casefold() for name in folders}) == len(UNSAFE_NAMES), "no two people share a folder"
    assert not (tmp_path / "evil.jpg").exists()


def test_names_are_valid_on_every_file_system(tmp_path: Path) -> None:
    root = tmp_path / "set"
    write_dataset(root, {"ann": 2}, buckets=1)
    (kept,) = Dataset.open(root).manifest(keep=True).to_pylist()
    names = {"CON/aux.jpg": "_CON/_aux", "nul./a. .jpg": "_nul/a", "Zoe\u0308/A.jpg": "Zo\u00eb/A"}
    names |= {"Zoe\u0308/a.jpg": "Zo\u00eb/a-2", "ZO\u00cb/b?.jpg": "ZO\u00cb-2/b_"}
    names["\u540d" * 90 + "/1.jpg"] = "\u540d" * 40 + "/1"
    rows = [
        filled("manifest", kept | {"image_id": image_id, "identity": image_id.split("/")[0], "split": split}, 0)
        for image_id, split in zip(names, ["a", "A", "a:", "a?", None, "con"], strict=True)
    ]
    table = pa.Table.from_pylist(rows, arrow_schema("manifest"))
    write_table(root / "manifest.parquet", table, arrow_schema("manifest"))
    run(plan(ExportRequest(root, tmp_path / "out", "folder")))
    with open(tmp_path / "out/faces.csv", newline="", encoding="utf-8") as file:
        exported = {row["image_id"]: row["file"] for row in csv.DictReader(file)}
    assert exported == {image_id: f"faces/{name}.jpg" for image_id, name in names.items()}
    assert all((tmp_path / "out" / path).is_file() for path in exported.values())
    # Splits of similar names do not replace each other's files.
    assert run(plan(ExportRequest(root, tmp_path / "hf"))).files == 6
    files = [path.name for path in (tmp_path / "hf/data").iterdir()]
    assert len({name.lower() for name in files}) == 6
    assert "_con-00000.parquet" in files


@pytest.mark.parametrize("form", FORMATS)
def test_an_occupied_folder_and_a_missing_shard_are_refused(
    pair: tuple[Path, Path], tmp_path: Path, form: Format
) -> None:
    with pytest.raises(OutputError, match="is not empty: choose a new folder"):
        plan(ExportRequest(pair[0], pair[1], form))
    shutil.rmtree(pair[0] / "faces")
    with pytest.raises(DatasetError, match=r"faces/b-00\d.parquet is missing"):
        run(plan(ExportRequest(pair[0], tmp_path / "out", form)))


@pytest.mark.parametrize("form", FORMATS)
def test_an_export_continues_and_repairs(pair: tuple[Path, Path], tmp_path: Path, form: Format) -> None:
    out = tmp_path / "out"
    request = ExportRequest(pair[0], out, form, masks=form in ("folder", "fiftyone"))
    first = run(plan(request))
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.rglob("*") if path.is_file()}
    removed, damaged, *_ = sorted(path for path in before if path.suffix in (".jpg", ".parquet", ".tar", ".md"))
    removed.unlink()
    damaged.write_bytes(before[damaged][0][:-9])
    assert run(plan(request)) == first
    after = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.rglob("*") if path.is_file()}
    assert {path: data for path, (data, _) in after.items()} == {path: data for path, (data, _) in before.items()}
    rewritten = {path for path in before if before[path][1] != after[path][1]}
    lists = {"README.md", "faces.csv", "people.json", "samples.json", "metadata.json"}
    assert rewritten == {removed, damaged, *(path for path in before if path.name in lists)}


def test_another_export_in_the_same_folder_is_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    run(plan(ExportRequest(pair[0], tmp_path / "out")))
    with pytest.raises(OutputError, match=r"another dataset.* \(different: format, masks;.*choose a new folder"):
        plan(ExportRequest(pair[0], tmp_path / "out", "folder", masks=True))
    with pytest.raises(OutputError, match=r"\(different: manifest;"):
        plan(ExportRequest(pair[1], tmp_path / "out"))
    edit_manifest(pair[0], "ann/0001.jpg", verdict="drop")
    with pytest.raises(OutputError, match=r"of other verdicts"):
        plan(ExportRequest(pair[0], tmp_path / "out"))
    (tmp_path / "out" / RECORD).write_text("{")
    with pytest.raises(OutputError, match=r"export.json is not valid"):
        plan(ExportRequest(pair[0], tmp_path / "out"))


def test_a_split_of_several_files(pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.export.faces.SHARD_BYTES", 1500)
    exported = run(plan(ExportRequest(pair[0], tmp_path / "out")))
    files = sorted((tmp_path / "out/data").iterdir())
    assert [path.name for path in files] == [f"train-{number:05d}.parquet" for number in range(exported.files)]
    assert len(files) > 2
    ids = [image_id for path in files for image_id in pq.read_table(path)["image_id"].to_pylist()]
    assert ids == Dataset.open(pair[0]).manifest(["image_id"], keep=True)["image_id"].to_pylist()


def test_planning_writes_nothing(pair: tuple[Path, Path], tmp_path: Path) -> None:
    export_plan = plan(ExportRequest(pair[0], tmp_path / "out"))
    assert export_plan.faces.num_rows == 7
    assert not (tmp_path / "out").exists()


def test_an_export_of_nothing_is_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    for image_id in Dataset.open(pair[0]).manifest(["image_id"])["image_id"].to_pylist():
        edit_manifest(pair[0], image_id, keep=False)
    with pytest.raises(DatasetError, match="no photo with a face is kept: decide by a milder policy"):
        plan(ExportRequest(pair[0], tmp_path / "out"))


def test_a_selection_is_exported(pair: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "chosen.txt").write_text("ann/0001.jpg\nbob/0000.jpg\n")
    request = ExportRequest(pair[0], tmp_path / "out", "folder", selection=tmp_path / "chosen.txt")
    assert run(plan(request)).summary() == "2 faces of 2 people"
    with pytest.raises(OutputError, match=r"\(different: selection;"):
        plan(ExportRequest(pair[0], tmp_path / "out", "folder"))
    (tmp_path / "chosen.txt").write_text("ann/0004.jpg\n")  # has no face
    with pytest.raises(DatasetError, match="1 of 1 selected photos are not kept"):
        plan(request)


def test_test_people_are_in_no_other_split(tmp_path: Path) -> None:
    root = tmp_path / "set"
    write_dataset(root, {f"p{k}": 3 for k in range(40)}, buckets=1)
    faces = plan(ExportRequest(root, tmp_path / "out", test_people=0.25)).faces.to_pylist()
    splits = {split: {row["identity"] for row in faces if row["split"] == split} for split in ("train", "test")}
    assert not splits["train"] & splits["test"]
    assert 4 <= len(splits["test"]) <= 16
    larger = plan(ExportRequest(root, tmp_path / "out", test_people=0.5)).faces.to_pylist()
    assert splits["test"] <= {row["identity"] for row in larger if row["split"] == "test"}
    with pytest.raises(ValueError, match="test_people is 1"):
        ExportRequest(root, tmp_path / "out", test_people=1)


def test_a_webdataset_has_the_stored_bytes_and_equal_exports_are_equal(pair: tuple[Path, Path], tmp_path: Path) -> None:
    edit_manifest(pair[0], "ann/0003.jpg", split="test")
    exported = run(plan(ExportRequest(pair[0], tmp_path / "a", "webdataset")))
    assert (exported.faces, exported.people, exported.files) == (7, 2, 2)
    people = json.loads((tmp_path / "a/people.json").read_text())
    with tarfile.open(tmp_path / "a/test-00000.tar") as tar:
        names = tar.getnames()
        content = {name: tar.extractfile(name).read() for name in names}  # type: ignore[union-attr]
    assert names == [f"000000.{suffix}" for suffix in ("jpg", "png", "cls", "json")]
    assert content["000000.jpg"] == jpeg(3)
    assert content["000000.png"] == png(3)
    assert people[int(content["000000.cls"])] == "ann"
    assert json.loads(content["000000.json"]) == {"image_id": "ann/0003.jpg", "identity": "ann"}
    run(plan(ExportRequest(pair[0], tmp_path / "b", "webdataset")))
    for path in (tmp_path / "a").iterdir():
        assert (tmp_path / "b" / path.name).read_bytes() == path.read_bytes()


def webdataset_samples(path: Path) -> list[dict[str, bytes]]:
    """Read a tar as the package webdataset does: as a stream, files of one key in succession being a sample.

    The key is the name up to the first dot of its last part, the rest is the suffix; a suffix that is there twice in a
    sample is an error, and names that begin with two underscores are skipped.
    """
    samples: list[dict[str, bytes]] = []
    with open(path, "rb") as file, tarfile.open(fileobj=file, mode="r|") as tar:
        for member in tar:
            assert member.isreg()
            found = re.fullmatch(r"((?:.*/|)[^.]+)[.]([^/]*)", member.name)
            assert found, member.name
            if not samples or samples[-1]["__key__"] != found[1].encode():
                samples.append({"__key__": found[1].encode()})
            assert found[2] not in samples[-1]
            samples[-1][found[2]] = tar.extractfile(member).read()  # type: ignore[union-attr]
    return [sample for sample in samples if not sample["__key__"].startswith(b"__")]


def test_a_webdataset_is_read_as_a_stream_of_samples(pair: tuple[Path, Path], tmp_path: Path) -> None:
    run(plan(ExportRequest(pair[0], tmp_path / "out", "webdataset")))
    samples = webdataset_samples(tmp_path / "out/train-00000.tar")
    people = json.loads((tmp_path / "out/people.json").read_text())
    kept = Dataset.open(pair[0]).manifest(["image_id", "identity"], keep=True).to_pylist()
    assert len({sample["__key__"] for sample in samples}) == len(samples) == 7
    for sample in samples:
        assert sample.keys() == {"__key__", "jpg", "png", "cls", "json"}
        assert all(Image.open(io.BytesIO(sample[suffix])).size == (32, 32) for suffix in ("jpg", "png"))
        row = json.loads(sample["json"])
        assert row in kept
        assert people[int(sample["cls"])] == row["identity"]


def test_a_fiftyone_dataset_lists_every_face_with_its_numbers(pair: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(plan(ExportRequest(pair[0], out, "fiftyone", masks=True)))
    samples = json.loads((out / "samples.json").read_text())["samples"]
    fields = {field["name"] for field in json.loads((out / "metadata.json").read_text())["sample_fields"]}
    assert len(samples) == 7
    assert len({sample["_id"]["$oid"] for sample in samples}) == 7
    for sample in samples:
        assert (out / sample["filepath"]).is_file()
        assert (out / sample["mask"]["mask_path"]).is_file()
        assert sample.keys() - {"_id", "_media_type", "_rand"} <= fields
    first = next(sample for sample in samples if sample["image_id"] == "ann/0000.jpg")
    assert first["ground_truth"]["label"] == "ann"
    assert (first["sharpness"], first["yaw"], first["tags"]) == (0.75, None, ["train"])


def test_the_list_of_kept_photos_is_a_selection(pair: tuple[Path, Path], tmp_path: Path) -> None:
    edit_manifest(pair[0], "ann/0001.jpg", verdict="drop")
    assert write_list(pair[0], tmp_path / "kept.txt") == 6
    lines = (tmp_path / "kept.txt").read_text().splitlines()
    assert lines == Dataset.open(pair[0]).manifest(["image_id"], keep=True)["image_id"].to_pylist()
    assert write_list(pair[0], tmp_path / "again.txt", tmp_path / "kept.txt") == 6
    with pytest.raises(ValueError, match=r"kept.csv: give the list the suffix .txt"):
        write_list(pair[0], tmp_path / "kept.csv")
    done = CliRunner().invoke(app, ["export", "list", str(pair[0]), "--out", str(tmp_path / "kept.csv")])
    assert done.exit_code == 2
    assert "give the list the suffix .txt" in " ".join(done.output.split())


def test_a_name_with_a_line_break_is_not_listed(tmp_path: Path) -> None:
    root = tmp_path / "set"
    write_dataset(root, {"ann": 2}, buckets=1)
    (kept,) = Dataset.open(root).manifest(keep=True).to_pylist()
    table = pa.Table.from_pylist([filled("manifest", kept | {"image_id": "a\nb.jpg"}, 0)], arrow_schema("manifest"))
    write_table(root / "manifest.parquet", table, arrow_schema("manifest"))
    with pytest.raises(DatasetError, match=r"'a\\nb.jpg' contains a line break"):
        write_list(root, tmp_path / "kept.txt")


def test_the_package_fiftyone_opens_an_export(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """With the Python that SWAPSET_FIFTYONE names, which has fiftyone and mongomock."""
    python = os.environ.get("SWAPSET_FIFTYONE", sys.executable)
    if subprocess.run([python, "-c", "import fiftyone.types, mongomock"], capture_output=True, check=False).returncode:
        pytest.skip("needs fiftyone and mongomock: set SWAPSET_FIFTYONE to a Python that has them")
    edit_manifest(pair[0], "bob/0001.jpg", split="test")
    run(plan(ExportRequest(pair[0], tmp_path / "out", "fiftyone", masks=True)))
    script = Path(__file__).parent.parent / "samples/open_fiftyone.py"
    done = subprocess.run([python, script, tmp_path / "out"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.strip().splitlines()[-1]) == {
        "samples": 7, "people": ["ann", "bob"], "tags": ["test", "train"], "exists": True,
        "image_id": "bob/0000.jpg", "sharpness": 0.75, "mask": [32, 32],
    }  # fmt: skip
