"""Photos and dataset in an object store: the same bytes as on a disk, also where requests fail in between."""

import os
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from curate import clean
from curate.application import app
from curate.measure import MeasureRequest, plan
from curate.measure import run as measure
from curate.measure.measure import freeze
from curate.measure.part import Part
from curate.measure.request import recorded_request
from curate.status import StatusRequest, run
from curate.verify import VerifyRequest
from curate.verify import run as verify
from manifests import object_storage
from manifests.locations import ObjectPath, as_path
from manifests.object_storage import put
from tests.samples.measured_faces import ASTRONAUT_PHOTO
from tests.samples.object_store import FaultyServer, object_store

pytest.importorskip("moto.server")


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    with object_store() as server:
        yield server


def tables(root: Path) -> dict[str, bytes]:
    """Every table of a dataset but the listing of its photos, by name."""
    paths = [path for path in root.rglob("*.parquet") if path.name != "plan.parquet"]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def test_a_dataset_is_the_same_in_an_object_store(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_storage, "FIRST_DELAY", 0.001)
    photos, bucket = tmp_path / "photos", as_path("s3://bucket")
    for k, name in enumerate(("anna", "anna", "bert")):
        (photos / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(ASTRONAUT_PHOTO[4 * k : 300 + 4 * k, 60:360]).save(photos / name / f"{k}.png")
    for path in photos.rglob("*.png"):
        target = bucket / path.relative_to(tmp_path)
        assert isinstance(target, ObjectPath)
        put(path, target)
        times = target.stat().st_mtime_ns
        os.utime(path, ns=(times, times))

    rng = random.Random(0)

    def one_in_ten(method: str, path: str) -> int | str | None:
        kind = rng.choice((500, 503, "short" if method == "GET" else 503))
        return kind if rng.random() < 0.1 else None

    local = MeasureRequest(
        layout="folder", root=photos, out=tmp_path / "out", models="builtin", device="cpu", buckets=1, workers=1
    )
    clean(local)
    remote = replace(local, root=bucket / "photos", out=bucket / "out")
    server.fault = one_in_ten
    freeze(remote)
    recorded = recorded_request(remote.out)
    assert recorded.root == remote.root
    measure(plan(replace(recorded, part=Part(0, 1), workers=1, device="cpu")))
    cleaned = clean(remote)
    assert cleaned.measured.photos == 0
    assert server.faults
    assert tables(local.out) == tables(remote.out)
    assert (remote.out / "report" / "index.html").exists()
    assert verify(VerifyRequest(remote.out, photos=True)).problems == []
    assert run(StatusRequest(remote.out)).unfinished == []


@pytest.mark.parametrize("words", ["export folder {data}", "convert folder --root {data}", "merge {data} {data}"])
def test_what_is_written_to_file_systems_only(words: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [*words.format(data=tmp_path).split(), "--out", "s3://bucket/out"])
    assert done.exit_code == 2
    assert "s3://bucket/out is in an object store: give a folder" in " ".join(done.output.replace("│", " ").split())
