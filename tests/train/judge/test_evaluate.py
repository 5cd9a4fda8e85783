"""`simswap evaluate` as a library: pairs, summary, page, the choice of the judge, and mistakes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from curate.errors import ModelError
from curate.faces.models import load_embedder
from curate.faces.packs.insightface import PACKS, is_present
from manifests.errors import DatasetError, OutputError
from manifests.reader import Dataset
from tests.conftest import Cleaned
from tests.samples.swap import write_checkpoint
from tests.train.judge.conftest import Evaluated, train_briefly
from tests.train.judge.test_pairs import HELD_OUT
from train.errors import CheckpointError
from train.judge.evaluate import JudgeRequest, plan, run
from train.judge.judge import choose_embedders
from train.judge.report import describe
from train.marks.watermark.reader import read


def test_there_is_one_row_per_pair_and_model_of_held_out_people_only(evaluated: Evaluated) -> None:
    pairs = evaluated.pairs
    counts = pairs.groupby(["model", "kind"]).size()
    assert counts.to_dict() == {(m, k): 12 for m in ("checkpoint", "baseline") for k in ("cross", "same")}
    # The baseline held out more people; those whom both held out are judged on.
    assert set(pairs.target_person) | set(pairs.source_person) == set(HELD_OUT)
    cross, same = pairs[pairs.kind == "cross"], pairs[pairs.kind == "same"]
    assert (cross.target_person != cross.source_person).all()
    assert (same.target_person == same.source_person).all()
    assert (same.target != same.source).all()
    assert cross.psnr.isna().all()
    assert same.psnr.notna().all()
    np.testing.assert_allclose(cross.gain, cross.distance_before - cross.distance, atol=1e-5)
    checkpoint, baseline = (cross[cross.model == name].reset_index() for name in ("checkpoint", "baseline"))
    assert (checkpoint[["target", "source"]] == baseline[["target", "source"]]).all(axis=None)


def test_the_summary_has_the_means_and_a(evaluated: Evaluated) -> None:
    summary = evaluated.summary
    assert json.loads((evaluated.out / "summary.json").read_text()) == summary.to_json()
    means = evaluated.pairs.groupby(["kind", "model"])[["distance", "psnr"]].mean()
    metrics = summary.metrics[summary.first_judge]["checkpoint"]
    assert metrics["distance"].value == pytest.approx(means.distance["cross", "checkpoint"])
    assert metrics["psnr"].value == pytest.approx(means.psnr["same", "checkpoint"])
    a, estimate = (
        100 * (1 - means.distance["cross", "checkpoint"] / means.distance["cross", "baseline"]),
        summary.distance_reduction["checkpoint"],
    )
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.value == pytest.approx(a, rel=1e-4)
    assert estimate.low <= a <= estimate.high
    assert any(
        line.startswith("A, reduction of the cosine distance against the baseline") for line in describe(summary)
    )


def test_top_1_and_top_5_are_shares_of_ranks(evaluated: Evaluated) -> None:
    cross = evaluated.pairs[(evaluated.pairs.kind == "cross") & (evaluated.pairs.model == "checkpoint")]
    assert set(cross["rank"]) <= {1, 2, 3}  # of three people
    metrics = evaluated.summary.metrics[evaluated.summary.first_judge]["checkpoint"]
    assert metrics["top1"].value == pytest.approx((cross["rank"] == 1).mean())
    assert metrics["top5"].value == 1
    assert evaluated.summary.judged.gallery_people == 3
    assert evaluated.pairs.expression.between(0, 1).all()


@pytest.mark.parametrize(
    "lines",
    [
        'mask = "face_hair"\nmasked = "input"',
        'generator = "diffusion"\ncondition_shrink = 8\nsame_person = 1.0',
        "block_share = 0.5",
        'output = "change"\nshrink = 2\nidentity_map = 2',
        'generator = "people"\npeople = "n000001, n000002"\nsame_person = 1.0\nheld_out = 0.0\nmask = "face"\n'
        "blocks = 9",
    ],
    ids=["input-mask", "diffusion", "progressive", "identity-map", "people"],
)
def test_every_kind_of_generator_is_evaluated(cleaned: Cleaned, tmp_path: Path, lines: str) -> None:
    held_out = "held_out_photos" if "people" in lines else "held_out"
    checkpoint = train_briefly(cleaned, tmp_path, f"images = 8\n{held_out} = 0.5\n{lines}")
    summary = run(plan(JudgeRequest({"a": checkpoint}, cleaned.out, tmp_path / "out", pairs=4)))
    metrics = summary.metrics[summary.first_judge]["a"]
    assert 0 < (metrics["distance"].value or 0) < 2
    assert 3 < (metrics["psnr"].value or 0) < 60


def test_notes_and_page_name_the_judge_and_the_judged_people(evaluated: Evaluated) -> None:
    assert any(line.startswith("judged on 3 held-out people") for line in evaluated.notes)
    judge = evaluated.summary.judges[evaluated.summary.first_judge]
    # The built-in embedder, which the generators were trained with, judges only where there is no pack.
    assert judge.independent == any(map(is_present, PACKS))
    assert f"judge: {judge.description}" in evaluated.notes
    assert ("NOT INDEPENDENT" in (evaluated.out / "index.html").read_text()) == (not judge.independent)


def test_an_embedder_that_no_checkpoint_was_trained_with_judges(cleaned: Cleaned) -> None:
    dataset, builtin = Dataset.open(cleaned.out), load_embedder("builtin").embedder_id
    (chosen,) = choose_embedders(dataset, {"f" * 16})
    assert (chosen.embedder.embedder_id, chosen.independent) == (builtin, True)
    assert len(chosen.sha256) == 64
    (named,) = choose_embedders(dataset, {builtin}, ["builtin"])
    assert not named.independent
    with pytest.raises(ModelError, match="--judge builtin: it is the same embedder as another judge"):
        choose_embedders(dataset, set(), ["builtin", "builtin"])


def test_every_picture_of_the_page_exists_and_is_marked(evaluated: Evaluated) -> None:
    page = (evaluated.out / "index.html").read_text()
    files = sorted((evaluated.out / "pictures").iterdir())
    assert len(files) == 12 + 8
    pictures = [simplejpeg.decode_jpeg(file.read_bytes(), "RGB") for file in files]
    for file, picture in zip(files, pictures, strict=True):
        assert f'src="pictures/{file.name}"' in page
        assert picture.shape == (64, 4 * 64, 3)  # target, source, swap, the baseline's swap
    marks = read(pictures)
    assert all(mark.detected for mark in marks)
    assert len({mark.mark_id for mark in marks}) == 1


def test_mistakes_are_refused(cleaned: Cleaned, tmp_path: Path) -> None:
    checkpoint = tmp_path / "tiny.safetensors"
    write_checkpoint(checkpoint)
    request = JudgeRequest({"a": checkpoint}, cleaned.out, tmp_path / "out")
    with pytest.raises(OutputError, match="lies inside the dataset"):
        plan(replace(request, out=cleaned.out / "judged"))
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        plan(replace(request, candidates={"a": tmp_path / "none.safetensors"}))
    with pytest.raises(DatasetError, match="is not a curated dataset"):
        plan(replace(request, data=tmp_path))
    write_checkpoint(tmp_path / "ffhq.safetensors", template="ffhq-512")
    with pytest.raises(CheckpointError, match=r"crops of ffhq-512: give checkpoints of one template"):
        plan(replace(request, baseline=tmp_path / "ffhq.safetensors"))
    write_checkpoint(tmp_path / "other.safetensors", embedder_id="0" * 16)
    with pytest.raises(ModelError, match=r"needs embedder 0000.*name its file with --embedder"):
        plan(replace(request, candidates={"a": tmp_path / "other.safetensors"}))
