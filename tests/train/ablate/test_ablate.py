"""`simswap ablate` as a library: arms are trained once, continued, or recorded as failed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curate.decide.rules import Policy
from curate.decide.view import make_view
from curate.program import Interrupted
from manifests.errors import DatasetError
from tests.conftest import Cleaned
from tests.samples.hashes import file_hashes
from tests.samples.listener import Recorder
from tests.samples.tiny_training import write_recipe
from train import checkpoint
from train.ablate import timing, train_arm
from train.ablate.ablate import AblateRequest, plan, run
from train.ablate.arms import make_arms, make_views
from train.ablate.estimate import describe
from train.ablate.table import write_tables
from train.ablate.timing import Timing
from train.errors import DivergedError
from train.fit import FitPlan


@pytest.fixture
def ablation(cleaned: Cleaned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AblateRequest:
    """Two policies, two seeds, eight images each, on five of the demo's eight people."""
    monkeypatch.setattr(timing, "time_in_fresh_processes", lambda recipes, *_: [Timing(4.0, 2.0) for _ in recipes])
    out = tmp_path / "out"
    views = make_views(cleaned.out, ["keep-all", "default"], out / "views")
    arms = make_arms([str(write_recipe(tmp_path))], views, images=8, seeds=2, held_out=0.5)
    return AblateRequest(out, arms, list(views.values()), pairs=6, workers=1)


def test_arms_are_trained_once_and_compared(ablation: AblateRequest) -> None:
    recorder = Recorder()
    result = run(plan(ablation), recorder)
    results = [arm.result for arm in result.arms]
    assert [result.name for result in results] == ["small, keep-all"] * 2 + ["small, default"] * 2
    assert [result.seed for result in results] == [0, 1, 0, 1]
    assert all(result.images == 8 for result in results)
    assert results[0].photos > results[2].photos
    assert result.judged.startswith("3 held-out people")
    scored = [step.name for step in recorder.steps if step.name.startswith("scoring")]
    assert scored == [f"scoring {arm.slug}" for arm in ablation.arms]
    assert all(step.done == step.total for step in recorder.steps)

    lines = write_tables(ablation.out, result)
    assert (ablation.out / "table.md").read_text() == "\n".join(lines) + "\n"
    assert "| small, default | " in "\n".join(lines)
    table, arms = (pd.read_parquet(ablation.out / name) for name in ("table.parquet", "arms.parquet"))
    assert table.arm.tolist() == ["small, keep-all", "small, default"]
    assert arms.psnr.notna().all()
    pairs = [arm.pairs.to_pandas().query("kind == 'cross'").distance for arm in result.arms]
    first, second = np.mean(pairs[:2]), np.mean(pairs[2:])
    assert table.a.tolist() == pytest.approx([0, 100 * (1 - second / first)], rel=1e-3)

    # A second run trains nothing and returns the same numbers.
    before, recorder = file_hashes(ablation.out / "arms"), Recorder()
    assert [arm.result for arm in run(plan(ablation), recorder).arms] == results
    assert file_hashes(ablation.out / "arms") == before
    assert sum(line.endswith("already finished") for line in recorder.notes) == 4


class StopAtFourthLogLine(Recorder):
    """Interrupts the second arm at its second log line: its first checkpoint is queued by then."""

    def note(self, message: str) -> None:
        super().note(message)
        if sum("images/s" in line for line in self.notes) == 4:
            raise KeyboardInterrupt


def test_an_interrupted_arm_continues(ablation: AblateRequest) -> None:
    arms = [replace(arm, recipe=replace(arm.recipe, checkpoint_images=4)) for arm in ablation.arms[:2]]
    ablation = replace(ablation, arms=arms)
    with pytest.raises(KeyboardInterrupt):
        run(plan(ablation), StopAtFourthLogLine())
    recorder = Recorder()
    assert len(run(plan(ablation), recorder).arms) == 2
    assert sum(line.endswith("already finished") for line in recorder.notes) == 1
    assert sum(line.startswith("continuing after 4 images") for line in recorder.notes) == 1


def test_arms_are_trained_several_at_a_time(ablation: AblateRequest) -> None:
    recorder = Recorder()
    arms = [ablation.arms[0], ablation.arms[2]]
    result = run(plan(replace(ablation, arms=arms, jobs=2)), recorder)
    assert [arm.result.images for arm in result.arms] == [8, 8]
    (together,) = [step for step in recorder.steps if step.name == "training 2 arms, 2 at a time"]
    assert together.done == together.total == 16
    # The trainings were complete before the arms were scored one after the other.
    assert sum(line.startswith("continuing after 8 images") for line in recorder.notes) == 2


@pytest.mark.parametrize("jobs", [1, 2])
def test_stopped_trainings_keep_every_image_they_were_trained_on(ablation: AblateRequest, jobs: int) -> None:
    """Although no checkpoint was due."""
    recorder = Recorder()

    @contextmanager
    def interruptible() -> Iterator[Callable[[], bool]]:
        yield lambda: recorder.steps[-1].unit == "images" and recorder.steps[-1].done >= 12
        raise Interrupted

    arms = [replace(arm, recipe=replace(arm.recipe, images=10_000, checkpoint_images=10_000)) for arm in ablation.arms]
    with pytest.raises(Interrupted):
        run(plan(replace(ablation, arms=arms[:2], jobs=jobs)), recorder, interruptible)
    checkpoints = [checkpoint.newest(ablation.out / "arms" / arm.slug / "checkpoints") for arm in arms[:2]]
    images = [checkpoint.read(path).facts.images for path in checkpoints if path is not None]
    assert 12 <= recorder.steps[-1].done <= sum(images) < 10_000


def test_a_failed_arm_is_recorded_and_the_others_are_trained(
    ablation: AblateRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = train_arm.fit.run

    def fit_run(planned: FitPlan, *args: object, **options: object) -> Path:
        if planned.request.recipe.seed == 1:
            raise DivergedError("loss 'identity' is nan\nsecond line")
        return original(planned, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(train_arm.fit, "run", fit_run)
    result = run(plan(replace(ablation, arms=ablation.arms[1:3])))
    assert [(arm.result.name, arm.result.seed) for arm in result.arms] == [("small, default", 0)]
    assert result.failed == {"small--keep-all-seed1": "loss 'identity' is nan"}
    assert "**small--keep-all-seed1** failed: loss 'identity' is nan" in write_tables(ablation.out, result)


def test_a_dry_run_lists_the_arms_and_writes_nothing(ablation: AblateRequest) -> None:
    before = file_hashes(ablation.out)
    lines = describe(plan(ablation))
    assert [line.split()[0] for line in lines[1:5]] == [arm.slug for arm in ablation.arms]
    assert any("4 trainings" in line for line in lines)
    assert file_hashes(ablation.out) == before


def test_too_few_people_to_judge_on_are_refused(ablation: AblateRequest, cleaned: Cleaned, tmp_path: Path) -> None:
    arms = [replace(arm, recipe=replace(arm.recipe, held_out=0.1)) for arm in ablation.arms]
    with pytest.raises(DatasetError, match=r"fewer than two are held out by a share of 0\.1: raise --held-out"):
        plan(replace(ablation, arms=arms))
    empty = make_view(cleaned.out, Policy(min_eye_distance=9999), tmp_path / "empty").path
    with pytest.raises(DatasetError, match="nothing to train on"):
        plan(replace(ablation, judged_on=[*ablation.judged_on, empty]))
