"""Evaluation: pairs that are fair to people, numbers that are right for swaps whose quality is known, a marked page."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import simplejpeg
import torch

from curate.errors import ModelError
from curate.faces.models import load_embedder
from manifests.errors import DatasetError, OutputError
from manifests.pixels import PixelReader, decode_crop
from manifests.reader import Dataset
from tests.conftest import Cleaned
from tests.samples.swap import write_checkpoint
from tests.samples.tiny_training import write_recipe
from train import fit
from train.config import load_recipe
from train.data.faces import TrainingFaces, read_training_faces
from train.data.latents import read_latents
from train.data.loader import Batch
from train.errors import CheckpointError
from train.judge.evaluate import Request, describe, evaluate
from train.judge.judging import Candidate, Judge, Setting, choose_judge, score
from train.judge.pairs import held_out, pair_up
from train.marks.watermark.reader import read

HELD_OUT = ("n000004", "n000007", "n000008")
"""Whom the hash of their names holds out, at a share of one half."""


def trained(cleaned: Cleaned, folder: Path, lines: str) -> Path:
    """The last checkpoint of a short training."""
    folder.mkdir(exist_ok=True)
    recipe = load_recipe(write_recipe(folder, lines))
    return fit.run(fit.plan(fit.FitRequest(cleaned.out, recipe, folder / "run", "cpu", workers=1)))


@dataclass(frozen=True)
class Evaluated:
    checkpoint: Path
    out: Path
    summary: dict[str, dict[str, dict[str, object]]]
    pairs: pd.DataFrame
    said: list[str]


@pytest.fixture(scope="module")
def evaluated(cleaned: Cleaned, tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    folder = tmp_path_factory.mktemp("evaluated")
    checkpoint = trained(cleaned, folder / "a", "images = 8\nheld_out = 0.5")
    baseline = trained(cleaned, folder / "b", "images = 4\nheld_out = 0.6\nseed = 1")
    said: list[str] = []
    summary = evaluate(Request(checkpoint, cleaned.out, folder / "out", "cpu", baseline, pairs=12), said.append)
    return Evaluated(checkpoint, folder / "out", summary, pd.read_parquet(folder / "out" / "pairs.parquet"), said)


def test_there_is_a_row_for_each_pair_and_model_and_only_held_out_people(evaluated: Evaluated) -> None:
    counts = evaluated.pairs.groupby(["model", "kind"]).size()
    assert counts.to_dict() == {(m, k): 12 for m in ("checkpoint", "baseline") for k in ("cross", "same")}
    people = set(evaluated.pairs.target_person) | set(evaluated.pairs.source_person)
    # The baseline held out more people than that; those it shares with the checkpoint are judged.
    assert people == set(HELD_OUT)
    cross = evaluated.pairs[evaluated.pairs.kind == "cross"]
    same = evaluated.pairs[evaluated.pairs.kind == "same"]
    assert (cross.target_person != cross.source_person).all()
    assert (same.target_person == same.source_person).all()
    assert (same.target != same.source).all()
    assert cross.psnr.isna().all()
    assert same.psnr.notna().all()
    np.testing.assert_allclose(cross.gain, cross.distance_before - cross.distance, atol=1e-5)
    one, other = (cross[cross.model == name].reset_index() for name in ("checkpoint", "baseline"))
    assert (one[["target", "source"]] == other[["target", "source"]]).all(axis=None)


def test_the_summary_tells_the_means_and_a_as_the_report_defines_it(evaluated: Evaluated) -> None:
    assert json.loads((evaluated.out / "summary.json").read_text()) == evaluated.summary
    means = evaluated.pairs.groupby(["kind", "model"])[["distance", "psnr"]].mean()
    told = evaluated.summary["metrics"]["checkpoint"]
    assert told["distance"]["value"] == pytest.approx(means.distance["cross", "checkpoint"])
    assert told["psnr"]["value"] == pytest.approx(means.psnr["same", "checkpoint"])
    a = 100 * (1 - means.distance["cross", "checkpoint"] / means.distance["cross", "baseline"])
    assert evaluated.summary["A"]["value"] == pytest.approx(a, rel=1e-4)
    assert evaluated.summary["A"]["low"] <= a <= evaluated.summary["A"]["high"]
    lines = describe(evaluated.summary)
    assert any(line.startswith("A, fall of the cosine distance against the baseline: ") for line in lines)


@pytest.mark.parametrize(
    "lines",
    [
        'mask = "face_hair"\nmasked = "input"',
        'generator = "diffusion"\ncondition_shrink = 8\nsame_person = 1.0',
        "images_per_block = 4",
        'output = "change"\nshrink = 2\nidentity_map = 2',
    ],
    ids=["input-mask", "diffusion", "progressive", "identity map"],
)
def test_every_kind_of_generator_is_judged(cleaned: Cleaned, tmp_path: Path, lines: str) -> None:
    checkpoint = trained(cleaned, tmp_path, f"images = 8\nheld_out = 0.5\n{lines}")
    summary = evaluate(Request(checkpoint, cleaned.out, tmp_path / "out", "cpu", pairs=4), print)
    told = summary["metrics"]["checkpoint"]
    assert 0 < told["distance"]["value"] < 2
    assert 3 < told["psnr"]["value"] < 60


def test_who_judges_and_who_is_judged_is_said(evaluated: Evaluated) -> None:
    assert any(line.startswith("judged on 3 held-out people") for line in evaluated.said)
    # Without packs on the machine the built-in embedder is the only one there is; where one is there it judges.
    independent = evaluated.summary["judge"]["independent"]
    assert independent == (choose_judge_id() != load_embedder("builtin").embedder_id)
    if not independent:
        assert "TRAINED AGAINST" in (evaluated.out / "index.html").read_text()


def choose_judge_id() -> str:
    from curate.faces.packs.insightface import PACKS, is_present

    return next((load_embedder(name).embedder_id for name in PACKS if is_present(name)), builtin_id())


def builtin_id() -> str:
    return load_embedder("builtin").embedder_id


def test_another_embedder_than_the_trained_one_judges(cleaned: Cleaned) -> None:
    embedder, independent = choose_judge(Dataset.open(cleaned.out), {"f" * 16}, None)
    assert (embedder.embedder_id, independent) == (builtin_id(), True)
    assert choose_judge(Dataset.open(cleaned.out), {builtin_id()}, "builtin")[1] is False


def test_every_picture_of_the_page_is_there_and_marked(evaluated: Evaluated) -> None:
    page = (evaluated.out / "index.html").read_text()
    pictures = sorted((evaluated.out / "pictures").iterdir())
    assert len(pictures) == 12 + 8
    for picture in pictures:
        assert f'src="pictures/{picture.name}"' in page
        pixels = simplejpeg.decode_jpeg(picture.read_bytes(), "RGB")
        assert pixels.shape == (64, 4 * 64, 3)  # target, source, swap, the baseline's swap
    marked = read([simplejpeg.decode_jpeg(picture.read_bytes(), "RGB") for picture in pictures])
    assert len({one.mark_id for one in marked}) == 1
    assert all(one.detected for one in marked)


def test_a_checkpoint_that_held_nobody_out_is_judged_on_all_and_says_so(cleaned: Cleaned) -> None:
    photos = read_training_faces(Dataset.open(cleaned.out), "simswap-224")
    everybody, clean, note = held_out(photos, [0.0])
    assert len(everybody) == len(photos)
    assert not clean
    assert "the training held nobody out" in note
    assert "only 1 of them was held out" in held_out(photos, [0.1])[2]
    some, clean, note = held_out(photos, [0.5, 0.9])
    assert (tuple(some.people), clean) == (HELD_OUT, True)
    assert note.startswith("3 held-out people")


class Copier(Candidate):
    """Gives the target back."""

    def swap(self, batch: Batch) -> torch.Tensor:
        return batch.target.float() / 255


class Replacer(Candidate):
    """Gives the source's photo for a swap."""

    def swap(self, batch: Batch) -> torch.Tensor:
        reader = PixelReader(PHOTOS.root)
        crops = []
        for row in batch.sources:
            data = reader.read(PHOTOS.shards[PHOTOS.shard[row]], PHOTOS.crop_offset[row], PHOTOS.crop_length[row])
            crops.append(torch.from_numpy(decode_crop(data).copy()).permute(2, 0, 1).float() / 255)
        return torch.nn.functional.interpolate(torch.stack(crops), batch.target.shape[2:], mode="area")


PHOTOS: TrainingFaces


@pytest.fixture(scope="module")
def setting(cleaned: Cleaned) -> Setting:
    global PHOTOS
    dataset, embedder = Dataset.open(cleaned.out), load_embedder("builtin")
    PHOTOS = read_training_faces(dataset, "simswap-224")
    vectors = read_latents(dataset, PHOTOS, embedder, Path("unused"))
    judge = Judge.of(embedder, vectors, vectors[PHOTOS.first], True, "cpu")
    assert judge.centre.any()  # dlib's people lie in one corner
    return Setting.of(PHOTOS, "simswap-224", 24, judge, "cpu")


def known(kind: type[Candidate], evaluated: Evaluated, cleaned: Cleaned, setting: Setting, pairs: str) -> pd.DataFrame:
    plain = Candidate.load(evaluated.checkpoint, Dataset.open(cleaned.out), "cpu")
    recipe = replace(plain.recipe, size=224)
    facts = replace(plain.trained.facts, recipe=recipe)
    candidate = kind(plain.path, replace(plain.trained, facts=facts))
    latents = np.ones((len(setting.photos), plain.trained.embedder.dim), np.float16)
    return score(candidate, setting, latents, pairs).to_pandas()  # type: ignore[arg-type]


def test_a_swap_that_changes_nothing_keeps_everything_and_gains_nothing(
    evaluated: Evaluated, cleaned: Cleaned, setting: Setting
) -> None:
    found = known(Copier, evaluated, cleaned, setting, "same")
    assert np.isinf(found.psnr).all()
    np.testing.assert_allclose(found.ssim, 1)
    np.testing.assert_allclose(found[["gain", "distance_target"]], 0, atol=1e-5)
    assert found.found.all()
    np.testing.assert_allclose(found[["pose_error", "landmark_error"]], 0, atol=1e-3)
    assert not known(Copier, evaluated, cleaned, setting, "cross").retrieved.mean() > 0.3


def test_a_swap_that_is_the_source_gains_all_and_loses_the_pose(
    evaluated: Evaluated, cleaned: Cleaned, setting: Setting
) -> None:
    found = known(Replacer, evaluated, cleaned, setting, "cross")
    # Not 0: the judge aligns it by the target's landmarks.
    assert found.distance.mean() < 0.3 < found.distance_before.mean()
    assert found.gain.mean() > 0.5
    assert found.retrieved.mean() > 0.9
    assert found.pose_error.mean() > 5
    assert found.landmark_error.mean() > 0.03


def people_with(counts: list[int]) -> TrainingFaces:
    number = sum(counts)
    nothing = np.zeros(number, np.int64)
    return TrainingFaces(
        Path("x"), 224, [f"p{k}" for k in range(len(counts))], ["s"],
        np.array([f"f{k}" for k in range(number)], object),
        np.repeat(np.arange(len(counts)), counts), nothing, nothing, nothing, nothing, nothing,
        np.zeros((number, 4), np.float32), np.zeros((number, 2, 3)), np.zeros((number, 5, 2), np.float32),
    )  # fmt: skip


def test_pairs_take_people_in_turn_however_many_photos_they_have() -> None:
    photos = people_with([300, 4, 5, 2, 1])
    cross = pair_up(photos, "cross", 100)
    assert cross is not None
    for rows in (cross.targets, cross.sources):
        assert np.bincount(photos.person[rows]).min() >= 15
    assert (photos.person[cross.targets] != photos.person[cross.sources]).all()
    same = pair_up(photos, "same", 40)
    assert same is not None
    assert np.bincount(photos.person[same.targets]).tolist() == [13, 12, 13, 2]
    for one in (cross, same):
        assert len(set(zip(one.targets.tolist(), one.sources.tolist(), strict=True))) == len(one.targets)
    again = pair_up(photos, "cross", 100)
    assert again is not None
    assert np.array_equal(again.sources, cross.sources)


def test_few_photos_of_each_person_are_judged_on() -> None:
    photos, _, note = held_out(people_with([300, 4, 20, 21, 1]), [0.0])
    assert photos.count.tolist() == [20, 4, 20, 20, 1]
    assert note.startswith("all 5 people, 65 photos")
    # Spread over all of them, not the first ones.
    assert np.diff(np.flatnonzero(np.isin(people_with([300]).face_id, photos.face_id[:20]))).max() == 15


def test_there_are_no_more_pairs_than_there_are() -> None:
    cross = pair_up(people_with([2, 1]), "cross", 500)
    assert cross is not None
    assert len(cross.targets) == 4
    assert pair_up(people_with([1, 1]), "same", 500) is None
    assert pair_up(people_with([4]), "cross", 500) is None


def test_mistakes_are_refused(evaluated: Evaluated, cleaned: Cleaned, tmp_path: Path) -> None:
    request = Request(evaluated.checkpoint, cleaned.out, tmp_path / "out", "cpu")
    with pytest.raises(OutputError, match="lies inside the dataset"):
        evaluate(replace(request, out=cleaned.out / "judged"), print)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        evaluate(replace(request, checkpoint=tmp_path / "none.safetensors"), print)
    with pytest.raises(DatasetError, match="is not a curated dataset"):
        evaluate(replace(request, data=tmp_path), print)
    write_checkpoint(tmp_path / "other.safetensors", embedder_id="0" * 16)
    with pytest.raises(ModelError, match=r"needs embedder 0000.*name its file with --embedder"):
        evaluate(replace(request, checkpoint=tmp_path / "other.safetensors"), print)
