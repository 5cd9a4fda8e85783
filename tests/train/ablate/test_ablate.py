"""Ablation: views that leave the dataset alone, arms that are finished once, and tables that say what was measured."""

import hashlib
import shutil
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from curate.decide.policy import Policy, load_policy
from curate.decide.view import make_view
from curate.faces.models import load_embedder
from curate.merge import merge
from manifests.errors import DatasetError
from manifests.pixels import decode_crop
from manifests.reader import Dataset
from tests.conftest import Cleaned
from tests.samples.tiny_training import write_recipe
from train.ablate import ablate, timing
from train.ablate.ablate import Arm, Finished, Request, Result, arms_of, describe, views_of
from train.ablate.table import plot_svg, rows_of, write_tables
from train.ablate.timing import Timing
from train.data.faces import read_training_faces
from train.data.latents import read_latents
from train.errors import DivergedError, RecipeError
from train.judge.evaluate import METRICS
from train.judge.judging import COLUMNS


def bytes_of(folder: Path) -> dict[str, str]:
    """Every file of a folder and the hash of its bytes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_view_is_the_dataset_decided_otherwise_and_leaves_it_alone(cleaned: Cleaned, tmp_path: Path) -> None:
    before = bytes_of(cleaned.out)
    view = make_view(cleaned.out, load_policy("keep-all"), tmp_path / "view")
    again = make_view(cleaned.out, load_policy("keep-all"), tmp_path / "view")
    assert bytes_of(cleaned.out) == before
    assert view.policy_hash() == load_policy("keep-all").sha256() != Dataset.open(cleaned.out).policy_hash()
    mine, theirs = (set(one.to_pandas(["image_id"], "keep").image_id) for one in (again, Dataset.open(cleaned.out)))
    assert theirs < mine
    row = view.to_pandas(verdict="keep").iloc[0]
    assert decode_crop(view.pixels.crop(row)).shape == (224, 224, 3)


def test_a_view_of_a_merged_dataset_decides_its_parts(cleaned: Cleaned, tmp_path: Path) -> None:
    parts = [tmp_path / name for name in ("one", "two")]
    for part in parts:
        shutil.copytree(cleaned.out, part)
    (parts[0] / "overrides.csv").write_text("image_id,verdict,note\n")
    merge(parts, tmp_path / "merged")
    before = bytes_of(tmp_path / "merged")
    view = make_view(tmp_path / "merged", load_policy("keep-all"), tmp_path / "views" / "keep-all")
    assert bytes_of(tmp_path / "merged") == before
    photos, default = (read_training_faces(one, "simswap-224") for one in (view, Dataset.open(tmp_path / "merged")))
    assert set(default.face_id) < set(photos.face_id)
    assert set(default.people) <= set(photos.people)
    vectors = read_latents(view, photos, load_embedder("builtin"), tmp_path / "none")
    assert vectors.shape == (len(photos), 128)
    assert not (tmp_path / "none").exists()  # they are the parts' own


@pytest.fixture
def request_(cleaned: Cleaned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Request:
    """Two policies, two seeds, eight images each, on five of the demo's eight people."""
    monkeypatch.setattr(ablate, "time_fresh", lambda recipes, *_: [Timing(4.0, 2.0) for _ in recipes])
    out = tmp_path / "out"
    views = views_of(cleaned.out, ["keep-all", "default"], out / "views")
    arms = arms_of([str(write_recipe(tmp_path))], views, images=8, seeds=2, share=0.5)
    return Request(out, arms, list(views.values()), "cpu", pairs=6, workers=1)


def test_arms_are_trained_once_and_the_tables_say_what_they_came_to(request_: Request) -> None:
    said: list[str] = []
    finished = ablate.ablate(request_, said.append)
    assert [result.name for result in finished.results] == ["small, keep-all"] * 2 + ["small, default"] * 2
    assert [result.seed for result in finished.results] == [0, 1, 0, 1]
    assert all(result.images == 8 for result in finished.results)
    assert finished.results[0].photos > finished.results[2].photos
    assert finished.judged.startswith("3 held-out people")
    lines = write_tables(request_.out, finished)
    table, arms = (pd.read_parquet(request_.out / name) for name in ("table.parquet", "arms.parquet"))
    assert table.arm.tolist() == ["small, keep-all", "small, default"]
    assert table.a[0] == 0
    assert arms.psnr.notna().all()
    distance = [
        np.mean([pairs.to_pandas().query("kind == 'cross'").distance for pairs in finished.pairs[k : k + 2]])
        for k in (0, 2)
    ]
    assert table.a[1] == pytest.approx(100 * (1 - distance[1] / distance[0]), rel=1e-3)
    assert "| small, default | " in "\n".join(lines)
    assert (request_.out / "table.md").read_text() == "\n".join(lines) + "\n"
    drawn = ElementTree.fromstring((request_.out / "plot.svg").read_text())
    assert len(drawn.findall(".//{http://www.w3.org/2000/svg}circle")) == 2

    # Run again: nothing is trained, the numbers are the same.
    before = bytes_of(request_.out / "arms")
    lines_before = len(said)
    again = ablate.ablate(request_, said.append)
    assert not any("images/s" in line for line in said[lines_before:])
    assert again.results == finished.results
    assert bytes_of(request_.out / "arms") == before
    assert sum(line.endswith("is finished") for line in said) == 4


def test_an_arm_that_was_stopped_continues(request_: Request) -> None:
    arms = [replace(arm, recipe=replace(arm.recipe, checkpoint_images=4)) for arm in request_.arms[:2]]
    request_ = replace(request_, arms=arms)
    stop_at = iter(range(100))

    def stop(line: str) -> None:
        # The second arm's second log line: its first checkpoint is queued by then.
        if "images/s" in line and next(stop_at) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ablate.ablate(request_, stop)
    said: list[str] = []
    finished = ablate.ablate(request_, said.append)
    assert len(finished.results) == 2
    assert sum(line.endswith("is finished") for line in said) == 1
    assert sum(line.startswith("continuing after 4 images") for line in said) == 1


def test_an_arm_that_fails_is_told_and_the_others_go_on(request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = ablate.fit.run

    def run(planned: ablate.fit.FitPlan, *rest: object) -> Path:
        if planned.request.recipe.seed == 1:
            raise DivergedError("loss 'identity' is nan\nmore words")
        return plain(planned, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(ablate.fit, "run", run)
    finished = ablate.ablate(replace(request_, arms=request_.arms[1:3]), print)
    assert [(result.name, result.seed) for result in finished.results] == [("small, default", 0)]
    assert finished.failed == {"small--keep-all-seed1": "loss 'identity' is nan"}
    assert "**small--keep-all-seed1** failed: loss 'identity' is nan" in write_tables(request_.out, finished)


def test_a_dry_run_lists_the_arms_and_writes_nothing(request_: Request) -> None:
    before = bytes_of(request_.out)
    lines = describe(request_)
    assert [line.split()[0] for line in lines[1:5]] == [arm.slug for arm in request_.arms]
    assert any("4 trainings" in line for line in lines)
    assert bytes_of(request_.out) == before


def test_too_few_people_to_judge_on_are_told(request_: Request, cleaned: Cleaned, tmp_path: Path) -> None:
    arms = [replace(arm, recipe=replace(arm.recipe, held_out=0.1)) for arm in request_.arms]
    with pytest.raises(DatasetError, match=r"fewer than two are held out by a share of 0\.1: raise --held-out"):
        ablate.ablate(replace(request_, arms=arms), print)
    nothing = make_view(cleaned.out, Policy(min_eye_distance=9999), tmp_path / "nothing").path
    with pytest.raises(DatasetError, match="nothing to train on"):
        ablate.ablate(replace(request_, judged_on=[*request_.judged_on, nothing]), print)


def test_recipes_of_one_name_or_of_two_templates_are_refused(tmp_path: Path) -> None:
    one, other = tmp_path / "a" / "small.toml", tmp_path / "b" / "small.toml"
    for path in (one, other):
        path.parent.mkdir()
        path.write_text("size = 64\ndiscriminator_scales = 1\n")
    with pytest.raises(RecipeError, match="have one name"):
        arms_of([str(one), str(other)], {"default": tmp_path}, 8, 1, 0.5)
    other = other.rename(tmp_path / "b" / "large.toml")
    other.write_text('size = 64\ndiscriminator_scales = 1\ntemplate = "ffhq-512"\n')
    with pytest.raises(RecipeError, match="one template"):
        arms_of([str(one), str(other)], {"default": tmp_path}, 8, 1, 0.5)


def test_each_architecture_is_timed_once(request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[int] = []
    monkeypatch.setattr(ablate, "time_fresh", lambda recipes, *_: timed.append(len(recipes)) or [Timing(1, 1)] * 2)
    narrow = replace(request_.arms[0].recipe, width=16)
    arms = [*request_.arms, Arm("narrow", narrow, request_.arms[0].data)]
    request_.out.mkdir(exist_ok=True)
    for _ in range(2):
        ablate._timings(replace(request_, arms=arms), 128, print)
    assert timed == [2]


def test_a_generator_is_timed(request_: Request) -> None:
    found = timing.time_here(request_.arms[0].recipe, 128, "cpu")
    assert found.first > 0
    assert found.steady > 0
    assert timing.multiply_adds_per_second("cpu") > 0


def result(name: str, seed: int, first_ms: float) -> Result:
    told = {metric.name: {"value": 0.5, "low": None, "high": None, "pairs": 4} for metric in METRICS}
    return Result(name, seed, {}, 8, 10, 3, 1000, 10**9, first_ms, 2.0, 60.0, 5.0, 0, "c", told)


def pairs_with(distances: list[float]) -> pa.Table:
    columns = {field.name: [None] * len(distances) for field in COLUMNS}
    people = [f"p{k % 3}" for k in range(len(distances))]
    columns |= {"kind": ["cross"] * len(distances), "distance": distances, "gain": [0.1] * len(distances)}
    return pa.table(columns | {"target_person": people, "source_person": people[1:] + people[:1]}, schema=COLUMNS)


def test_a_t_and_the_noise_floor_are_those_of_the_report() -> None:
    finished = Finished(
        [result("base", 0, 10.0), result("base", 1, 10.0), result("better", 0, 8.0), result("better", 1, 8.0)],
        [pairs_with([d] * 6) for d in (0.9, 1.1, 0.6, 0.8)],
    )
    base, better = rows_of(finished)
    assert (base.a, base.a_least, base.a_most) == pytest.approx((0, -10, 10), abs=1e-4)
    assert (better.a, better.a_least, better.a_most) == pytest.approx((30, 20, 40), abs=1e-4)
    assert (better.a_low, better.a_high) == pytest.approx((30, 30), abs=1e-4)  # all pairs are alike
    assert (base.t, better.t) == pytest.approx((0, 20))
    assert ElementTree.fromstring(plot_svg([base, better])) is not None
