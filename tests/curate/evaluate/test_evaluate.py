"""`curate evaluate` on the demo's photos, and requests that are refused."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from curate.evaluate import EvaluateRequest
from curate.measure import MeasureRequest
from tests.conftest import Cleaned, run_curate

SOURCE = MeasureRequest(layout="folder", root=Path("photos"), out=Path("evaluated"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rates": (0.4,)}, "rate 0.4 is out of range.*up to 0.3"),
        ({"rates": (0.0,)}, "rate 0 is out of range"),
        ({"faults": ("blur",)}, "'blur'; choose from other_person, blurred, duplicates, harmless"),
    ],
)
def test_an_impossible_request_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EvaluateRequest(measure=SOURCE, **options)


def test_fewer_faults_allow_a_higher_rate() -> None:
    assert EvaluateRequest(measure=SOURCE, rates=(0.4,), faults=("other_person",)).rates == (0.4,)


def test_evaluating_the_demo_photos(cleaned: Cleaned, tmp_path: Path) -> None:
    # Measured photos are reused, so that only the planted ones are measured here.
    shutil.copytree(cleaned.out, tmp_path / "untouched")
    before = sorted(path for path in cleaned.photos.rglob("*"))
    done = run_curate(
        "evaluate", "vggface2", "--root", cleaned.photos, "--out", tmp_path, "--rates", "0.05", "--seeds", "2"
    )
    assert done.returncode == 0, done.stderr
    assert "each fault in 0.05 of the photos" in done.stdout
    assert sorted(path for path in cleaned.photos.rglob("*")) == before
    rows = pq.read_table(tmp_path / "evaluation.parquet").to_pylist()
    pooled = {(row["rate"], row["reason"]): row for row in rows if row["seed"] is None and row["kind"] is None}
    assert {"other_person", "blurred", "any"} <= {reason for _, reason in pooled}
    planted = pooled[0.05, "any"]
    assert planted["planted"] >= 12
    assert planted["recall"] >= 0.5
    # The untouched draw drops what `curate clean` drops; another division into shards may move one over a threshold.
    manifest = pq.read_table(cleaned.out / "manifest.parquet", columns=["verdict"])
    assert pooled[0.0, "any"]["lost"] == pytest.approx(manifest["verdict"].to_pylist().count("drop"), abs=2)
