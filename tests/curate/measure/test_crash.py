"""A photo that kills its worker, and then the process that decodes it alone, is a row; the run goes on."""

import os
import signal
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from PIL import Image

from curate.decode import isolated, photo
from curate.decode.raster import Raster
from curate.engines import open_engine
from curate.engines.engine import Advance, Task, Work
from curate.measure.measure import plan, run
from curate.measure.request import MeasureRequest
from manifests.reader import read_table

_KILL_BMPS = """
import os, signal
from curate.decode import photo
photo.READERS["BMP"] = lambda data, max_pixels: os.kill(os.getpid(), signal.SIGSEGV)
"""


def kill(data: bytes, max_pixels: int) -> Raster:
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError


def patched(setup: Callable[[], Work[Task]]) -> Work[Task]:
    """Set up a worker in which, and in whose isolated processes, every BMP is a crash."""
    photo.READERS["BMP"] = kill
    before, _, after = isolated._PROGRAM.partition("; from")
    isolated._PROGRAM = f"{before}\n{_KILL_BMPS}\nfrom{after}"
    return setup()


class PatchedEngine:
    def run(
        self,
        tasks: Sequence[Task],
        setup: Callable[[], Work[Task]],
        advance: Advance,
        after_crash: Callable[[Task], Task] | None = None,
    ) -> None:
        open_engine("local", workers=2, threads=1).run(tasks, partial(patched, setup), advance, after_crash)


def test_a_photo_that_kills_its_worker_twice_is_a_row(tmp_path: Path) -> None:
    for identity in ("anna", "bert", "carl", "dora"):
        folder = tmp_path / "photos" / identity
        folder.mkdir(parents=True)
        Image.new("RGB", (60, 40), "grey").save(folder / "1.jpg")
        Image.new("RGB", (60, 40), "grey").save(folder / f"2.{'bmp' if identity == 'bert' else 'png'}")
    request = MeasureRequest(
        layout="folder", root=tmp_path / "photos", out=tmp_path / "out", models="builtin", identities="first", buckets=4
    )
    run(plan(request), engine=PatchedEngine())
    rows = [
        row
        for path in (tmp_path / "out/measures").glob("*.parquet")
        for row in read_table(path, ["image_id", "error"]).to_pylist()
    ]
    errors = {row["image_id"]: row["error"] for row in rows}
    assert len(errors) == 8
    assert {image_id: error for image_id, error in errors.items() if error} == {
        "bert/2.bmp": "decoder crashed: SIGSEGV"
    }


def test_a_shard_whose_process_was_killed_is_measured_isolated(tmp_path: Path) -> None:
    from manifests.output import atomic
    from manifests.partials import has_partial

    assert not has_partial(tmp_path / "faces/b-000.parquet")
    pid = os.fork()
    if pid == 0:
        with atomic(tmp_path / "faces/b-000.parquet"):
            os._exit(1)
    os.waitpid(pid, 0)
    assert has_partial(tmp_path / "faces/b-000.parquet")
    assert not has_partial(tmp_path / "faces/b-001.parquet")
