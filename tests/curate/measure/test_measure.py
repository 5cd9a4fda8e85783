"""MeasureRequest -> plan -> run, without networks: an engine that only records its tasks."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from curate.engines import ENGINES
from curate.engines.engine import Advance, Task, Work
from curate.errors import OutputError, SourceError
from curate.measure import MeasureRequest, plan, run
from manifests.layout import read_info
from tests.samples.listener import Recorder, Step
from tests.samples.sources import make_directory

PHOTOS = ("anna/1.jpg", "anna/2.jpg", "bert/1.jpg", "cleo/1.jpg", "cleo/2.jpg", "cleo/notes.txt")


class RecordingEngine:
    """Completes no task and keeps what it was given."""

    tasks: Sequence[Any] = ()

    def __init__(self, workers: int, threads: int, gpus: int = 0) -> None:
        pass

    def run(
        self,
        tasks: Sequence[Task],
        setup: Callable[[], Work[Task]],
        advance: Advance,
        after_crash: Callable[[Task], Task] | None = None,
    ) -> None:
        type(self).tasks = tasks
        for task in tasks:
            advance(task.photos)  # type: ignore[attr-defined]


@pytest.fixture
def measure_request(tmp_path: Path) -> MeasureRequest:
    root = make_directory(tmp_path / "photos", *PHOTOS)
    return MeasureRequest(layout="folder", root=root, out=tmp_path / "out", models="builtin", device="cpu", buckets=2)


def test_a_plan_lists_the_source_and_writes_nothing(measure_request: MeasureRequest) -> None:
    recorder = Recorder()
    measure_plan = plan(measure_request, recorder)
    assert (measure_plan.photos, measure_plan.photos_todo, len(measure_plan.shards)) == (5, 5, 2)
    assert measure_plan.summary() == ["5 photos of 3 people in 2 shards", "ignored, not photos: 1 .txt"]
    assert recorder.notes[0] == "models: MTCNN detector, builtin embedder, built-in DeepLabV3+ segmenter, on cpu"
    assert recorder.notes[1:] == [f"from {measure_request.root} to {measure_request.out}", *measure_plan.summary()]
    assert not measure_request.out.exists()


def test_a_limit_takes_whole_identities(measure_request: MeasureRequest) -> None:
    shards = plan(replace(measure_request, limit=3)).shards
    assert sorted(name for shard in shards for name in shard.identities) == ["anna", "bert"]


def test_an_engine_is_one_class_and_one_entry(measure_request: MeasureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES, "recording", RecordingEngine)
    measure_plan = plan(replace(measure_request, engine="recording"))
    recorder = Recorder()
    assert run(measure_plan, recorder).photos == 5
    assert read_info(measure_request.out).source.ignored == {".txt": 1}
    assert RecordingEngine.tasks == measure_plan.todo
    assert recorder.steps == [Step("measuring", 5, "photos", done=5, finished=True)]
    assert (measure_request.out / "dataset.json").exists()


def test_a_dataset_keeps_its_source_its_models_and_its_shards(measure_request: MeasureRequest, tmp_path: Path) -> None:
    run(plan(measure_request), engine=RecordingEngine(1, 1))
    again = plan(replace(measure_request, models=None, detection="full", buckets=7))
    assert len(again.shards) == 2
    assert again.job.choice == plan(measure_request).job.choice
    elsewhere = shutil.copytree(measure_request.root, tmp_path / "others")
    with pytest.raises(OutputError, match=r"holds folder .*photos, not folder .*others: choose another --out"):
        plan(replace(measure_request, root=elsewhere))


def test_a_dataset_keeps_its_identities(measure_request: MeasureRequest) -> None:
    run(plan(replace(measure_request, identities="parent")), engine=RecordingEngine(1, 1))
    assert read_info(measure_request.out).source.identities == "parent"
    plan(replace(measure_request, identities="parent"))
    with pytest.raises(OutputError, match=r"with --identities parent, not without --identities: use the same"):
        plan(measure_request)
    with pytest.raises(OutputError, match=r"with --identities parent, not with --identities none: use the same"):
        plan(replace(measure_request, identities="none"))


def test_nothing_is_written_into_a_source(measure_request: MeasureRequest) -> None:
    for out in (measure_request.root, measure_request.root / "anna" / "curated"):
        with pytest.raises(OutputError, match="lies inside --root"):
            plan(replace(measure_request, out=out))


def test_an_empty_source(measure_request: MeasureRequest, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is empty"):
        plan(replace(measure_request, root=make_directory(tmp_path / "empty")))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"template": "dlib-150"}, "template='dlib-150': choose simswap-224, arcface-112, ffhq-512"),
        ({"layout": "celeba"}, "layout='celeba': choose vggface2, sjtu, folder"),
        ({"engine": "slurm"}, "engine='slurm': choose local, ray"),
    ],
)
def test_names_that_do_not_exist(measure_request: MeasureRequest, changes: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(measure_request, **changes)
