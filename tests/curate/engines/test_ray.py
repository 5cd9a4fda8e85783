"""The engine `ray` on a cluster of two nodes, of which one is killed while it measures."""

import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from curate.engines.engine import EngineError
from curate.engines.ray import RayEngine
from curate.measure import MeasureRequest, plan, run
from tests.samples.listener import Recorder
from tests.samples.measured_faces import ASTRONAUT_PHOTO

PEOPLE = ("anna", "bert", "cleo", "dora")


@pytest.fixture
def request_(tmp_path: Path) -> MeasureRequest:
    for k, name in enumerate(PEOPLE):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.fromarray(ASTRONAUT_PHOTO[4 * k : 300 + 4 * k, 60:360]).save(tmp_path / "photos" / name / "1.png")
    return MeasureRequest(
        layout="folder", root=tmp_path / "photos", out=tmp_path / "local", models="builtin", device="cpu", buckets=4,
        workers=1, identities="first",
    )  # fmt: skip


def tables(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*.parquet")}


@pytest.mark.skipif("SWAPSET_RAY" not in os.environ, reason="starts a cluster of two nodes: set SWAPSET_RAY=1")
def test_a_node_that_dies_changes_no_byte(request_: MeasureRequest, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    run(plan(request_))
    remote = replace(request_, out=tmp_path / "ray", engine="ray")
    measure_plan = plan(remote)
    threads = measure_plan.job.threads
    node = {"num_cpus": threads, "object_store_memory": 80 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        second = cluster.add_node(**node)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")

        def kill_the_second_node() -> None:
            # Both nodes measure by now: a file of a shard is begun or finished.
            while not list((tmp_path / "ray").rglob("*b-*")):
                time.sleep(0.02)
            cluster.remove_node(second, allow_graceful=False)

        killer = threading.Thread(target=kill_the_second_node)
        killer.start()
        recorder = Recorder()
        run(measure_plan, recorder, RayEngine(2, threads))
        killer.join()
        assert recorder.steps[0].done == len(PEOPLE)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert tables(remote.out) == tables(request_.out)


def test_without_ray_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(EngineError, match=r"--engine ray needs Ray: pip install 'swapset\[ray\]'"):
        RayEngine(1, 1).run([1], lambda: lambda task, advance: None, lambda count: None)
