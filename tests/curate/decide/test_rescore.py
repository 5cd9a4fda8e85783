"""Another blur calibration: the same statistics, other scores and verdicts, recorded in the manifest's footer."""

import dataclasses
import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from curate.decide.decide import DecideRequest, run
from curate.decide.rescore import calibration_sha256, rescored
from curate.decide.rules import Policy
from curate.errors import PolicyError
from curate.measure.sharpness import load_calibration
from manifests.layout import CALIBRATION_HASH, POLICY_HASH
from manifests.reader import Dataset
from manifests.schema import FACE_NUMBERS, arrow_schema
from manifests.table_file import footer
from tests.conftest import Cleaned

SHIPPED = load_calibration()
STRICTER = dataclasses.replace(SHIPPED, bias=SHIPPED.bias - 100)


def test_rows_without_a_face_have_no_score() -> None:
    schema = arrow_schema("measures")
    face = {column.name: 0.1 for column in FACE_NUMBERS if pa.types.is_floating(column.dtype)}
    rows = pa.Table.from_pylist([face, {}], schema)
    score, missing = rescored(rows, SHIPPED)["sharpness"].to_pylist()
    assert missing is None
    assert 0 <= score <= 1
    assert rescored(rows, STRICTER)["sharpness"][0].as_py() < score
    assert rescored(rows, SHIPPED).schema == schema


def test_the_hash_of_a_calibration_depends_on_its_values_alone(tmp_path: Path) -> None:
    SHIPPED.save(tmp_path / "copy.json")
    assert calibration_sha256(load_calibration(tmp_path / "copy.json")) == calibration_sha256(SHIPPED)
    assert calibration_sha256(STRICTER) != calibration_sha256(SHIPPED)
    with pytest.raises(PolicyError, match=r"none\.json does not exist: create one with `curate calibrate`"):
        load_calibration(tmp_path / "none.json")


def test_deciding_by_another_calibration(cleaned: Cleaned, tmp_path: Path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(cleaned.out, out)
    as_measured = pd.read_parquet(out / "manifest.parquet")
    before = footer(out / "manifest.parquet") or {}
    assert CALIBRATION_HASH not in before

    run(DecideRequest(out, Policy(), SHIPPED))
    pd.testing.assert_frame_equal(pd.read_parquet(out / "manifest.parquet"), as_measured)

    decided = run(DecideRequest(out, Policy(adapt_sharpness=False), STRICTER))
    metadata = footer(out / "manifest.parquet") or {}
    assert metadata[CALIBRATION_HASH] == calibration_sha256(STRICTER)
    # A training run compares the policy hash, which must therefore differ.
    assert Dataset.open(out).policy_hash() == metadata[POLICY_HASH] != before[POLICY_HASH]
    faces = pd.read_parquet(out / "manifest.parquet").query("face_id.notna()")
    assert decided.reasons["blurred"] == len(faces)
    assert (faces.sharpness < 0.01).all()
