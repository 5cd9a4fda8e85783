"""Photos that do not match their side data, are stored turned, or have uncommon formats, on the shared cases."""

import os
from pathlib import Path

import pytest

from manifests.reader import read_table
from tests.conftest import run_curate

CASES = Path(os.environ.get("SWAPSET_CASES", "."))

pytestmark = pytest.mark.skipif("SWAPSET_CASES" not in os.environ, reason="SWAPSET_CASES is not set")


@pytest.mark.parametrize(
    ("case", "layout", "kept", "line"),
    [
        ("vgg-resized-160", "vggface2", 7, "landmarks of 8 of 8 photos do not fit"),
        ("turned", "folder", 20, "16 photos are stored turned"),
    ],
)
def test_photos_are_kept_and_the_summary_says_why(tmp_path: Path, case: str, layout: str, kept: int, line: str) -> None:
    out = tmp_path / "out"
    done = run_curate("clean", layout, "--root", CASES / case / "input", "--out", out, "--models", "builtin")
    assert done.returncode == 0, done.stderr
    assert line in done.stdout + done.stderr
    manifest = read_table(out / "manifest.parquet", ["verdict", "reasons"])
    verdicts, reasons = manifest["verdict"].to_pylist(), manifest["reasons"].to_pylist()
    assert len(verdicts) - verdicts.count("drop") >= kept
    assert all(row == ["soft"] for row, verdict in zip(reasons, verdicts, strict=True) if verdict == "review")
    assert not {"other_person", "no_face", "stretched"} & {reason for row in reasons for reason in row}


def test_avif_is_read_and_heic_is_read_or_named(tmp_path: Path) -> None:
    out = tmp_path / "out"
    root = CASES / "heic-avif" / "input"
    done = run_curate("clean", "folder", "--root", root, "--out", out, "--models", "builtin")
    assert done.returncode == 0, done.stderr
    table = read_table(out / "manifest.parquet", ["image_id", "error", "format"]).to_pylist()
    heic, avif = sorted(table, key=lambda row: str(row["format"] == "AVIF"))
    assert (avif["format"], avif["error"]) == ("AVIF", None)
    assert heic["format"] == "HEIF" or "pillow-heif" in heic["error"]


def test_of_a_photo_and_its_enlargement_the_enlargement_is_dropped(tmp_path: Path) -> None:
    out = tmp_path / "out"
    root = CASES / "upscaled-copies" / "input"
    done = run_curate("clean", "folder", "--root", root, "--out", out, "--models", "builtin")
    assert done.returncode == 0, done.stderr
    table = read_table(out / "manifest.parquet", ["image_id", "verdict", "reasons", "copy_flaw"]).to_pylist()
    assert {row["image_id"] for row in table if row["verdict"] == "drop"} == {
        row["image_id"] for row in table if "original" not in row["image_id"]
    }
    assert all(row["reasons"] == ["soft"] for row in table if row["verdict"] == "review")
    assert {row["copy_flaw"] for row in table} == {None, "enlarged"}
