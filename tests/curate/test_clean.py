"""`curate clean` end to end, on real faces with planted faults."""

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from manifests.reader import Dataset, decode_crop, decode_mask
from manifests.schema import MANIFEST, REASONS
from tests.conftest import Cleaned, run_curate


@pytest.fixture(scope="module")
def manifest(cleaned: Cleaned) -> pd.DataFrame:
    return pd.read_parquet(cleaned.out / "manifest.parquet").set_index("image_id")


def planted(cleaned: Cleaned, fault: str) -> list[str]:
    image_ids = [photo.image_id for photo in cleaned.planted if photo.fault == fault]
    assert image_ids
    return image_ids


def test_every_photo_has_one_row_and_every_column(cleaned: Cleaned, manifest: pd.DataFrame) -> None:
    assert sorted(manifest.index) == sorted(photo.image_id for photo in cleaned.planted)
    assert [manifest.index.name, *manifest.columns] == [column.name for column in MANIFEST]
    assert set(manifest.explode("reasons").reasons.dropna()) <= set(REASONS)


def test_broken_files_and_photos_without_a_face_are_found_without_dropping_clean_photos(
    cleaned: Cleaned, manifest: pd.DataFrame
) -> None:
    for fault, reason in (("undecodable", "undecodable"), ("no face", "no_face"), ("exact duplicate", "duplicate")):
        by_reason = manifest.reasons.apply(lambda reasons, reason=reason: reason in reasons)
        flagged = set(manifest.index[by_reason])
        clean = {photo.image_id for photo in cleaned.planted if not photo.fault}
        if fault == "exact duplicate":
            # Of two files with the same bytes either may be kept.
            assert len(flagged) == len(planted(cleaned, fault))
        else:
            assert flagged == set(planted(cleaned, fault))
            assert not flagged & clean


def test_verdicts_follow_reasons(manifest: pd.DataFrame) -> None:
    assert ((manifest.verdict != "keep") == (manifest.reasons.str.len() > 0)).all()
    assert (manifest.keep == (manifest.verdict == "keep")).all()
    assert set(manifest.verdict_source) == {"policy"}


def test_the_manifest_has_the_offsets_of_crops_and_masks(cleaned: Cleaned, manifest: pd.DataFrame) -> None:
    dataset = Dataset.open(cleaned.out)
    background = []
    for _, row in manifest[manifest.face_id.notna()].reset_index().head(12).iterrows():
        crop, mask = decode_crop(dataset.pixels.crop(row)), decode_mask(dataset.pixels.mask(row))
        assert crop.shape == (224, 224, 3)
        assert mask.shape == (224, 224)
        background.append((mask[80:180, 70:154] == 0).mean())
    assert np.median(background) < 0.2  # faces are in the middle of their aligned crops; planted ones may be damaged


def test_measurements_are_plausible(manifest: pd.DataFrame) -> None:
    faces = manifest[manifest.face_id.notna()]
    assert faces.eye_distance.between(20, 90).mean() > 0.9
    assert faces.yaw.abs().max() < 90
    assert np.isfinite(faces[["sharpness", "brightness", "upscale", "inside"]].to_numpy()).all()
    assert np.isfinite(faces.stretch[faces.yaw.abs() < 20]).mean() > 0.9
    assert faces.stretch[faces.yaw.abs() > 30].isna().all()


def test_a_second_run_measures_nothing_and_gives_the_same_bytes(cleaned: Cleaned, tmp_path: Path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(cleaned.out, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("b-*.parquet")}
    done = run_curate("clean", "vggface2", "--root", cleaned.photos, "--out", out)
    assert done.returncode == 0, done.stderr
    assert f"{len(cleaned.planted)} of them measured before" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (out / "manifest.parquet").read_bytes() == (cleaned.out / "manifest.parquet").read_bytes()


def test_an_override_takes_precedence(cleaned: Cleaned, tmp_path: Path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(cleaned.out, out)
    image_id = planted(cleaned, "other person")[0]
    with (out / "overrides.csv").open("a") as file:
        file.write(f"{image_id},keep,looked at it\n")
    done = run_curate("decide", out, "--policy", "strict")
    assert done.returncode == 0, done.stderr
    row = pd.read_parquet(out / "manifest.parquet").set_index("image_id").loc[image_id]
    assert (row.verdict, row.verdict_source) == ("keep", "override")


def test_an_added_person_touches_one_shard_and_a_removed_one_disappears(cleaned: Cleaned, tmp_path: Path) -> None:
    out, photos = tmp_path / "curated", tmp_path / "vggface2"
    shutil.copytree(cleaned.out, out)
    shutil.copytree(cleaned.photos, photos)
    shutil.copytree(photos / "train" / "n000001", photos / "train" / "n000077")
    shutil.rmtree(photos / "train" / "n000002")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("measures/b-*.parquet")}
    # A dataset may be continued from another path of its source if the recorded path no longer exists.
    info = (out / "dataset.json").read_text().replace(str(cleaned.photos), str(tmp_path / "gone"))
    (out / "dataset.json").write_text(info)
    done = run_curate("clean", "vggface2", "--root", photos, "--out", out)
    assert done.returncode == 0, done.stderr
    touched = [path for path in before if path.stat().st_mtime_ns != before[path]]
    assert 1 <= len(touched) <= 2
    people = set(pd.read_parquet(out / "manifest.parquet").identity)
    assert "n000077" in people
    assert "n000002" not in people


def test_the_report_has_a_section_for_every_reason(cleaned: Cleaned, manifest: pd.DataFrame) -> None:
    page = (cleaned.out / "report" / "index.html").read_text()
    for reason in set(manifest.explode("reasons").reasons.dropna()):
        assert f'id="{reason}"' in page
    pictures = list((cleaned.out / "report" / "pictures").iterdir())
    assert len(pictures) > 20
    assert all(f"pictures/{picture.name}" in page for picture in pictures)


def test_verify_finds_a_photo_that_changed_without_changing_size_or_time(cleaned: Cleaned, tmp_path: Path) -> None:
    out, photos = tmp_path / "curated", tmp_path / "vggface2"
    shutil.copytree(cleaned.out, out)
    shutil.copytree(cleaned.photos, photos)
    info = (out / "dataset.json").read_text().replace(str(cleaned.photos), str(tmp_path / "gone"))
    (out / "dataset.json").write_text(info)
    arguments = ["measure", "vggface2", "--root", photos, "--out", out]
    before = {path: path.stat().st_mtime_ns for path in out.rglob("measures/b-*.parquet")}
    photo = next(iter(sorted(photos.rglob("*.jpg"))))
    changed: list[Path] = []
    stat, data = photo.stat(), bytearray(photo.read_bytes())
    data[-3] ^= 1
    photo.write_bytes(data)
    os.utime(photo, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    for options, expected in (([], 0), (["--verify"], 1), (["--verify"], 0)):
        done = run_curate(*arguments, *options)
        assert done.returncode == 0, done.stderr
        touched = [path for path in before if path.stat().st_mtime_ns != before[path]]
        assert len(touched) == expected, options
        before = {path: path.stat().st_mtime_ns for path in before}
        changed = touched or changed
    assert hashlib.sha256(data).hexdigest() in set(pd.read_parquet(changed[0]).sha256)
