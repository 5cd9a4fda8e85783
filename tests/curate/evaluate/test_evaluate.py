"""Evaluating: what is planted, how it is counted, and the whole of it on the demo's photos."""

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from curate.decode import decode
from curate.evaluate.evaluate import Experiment
from curate.evaluate.outcome import Outcome, tabulate, wilson
from curate.evaluate.planting import BLURS, COPIES, FAULTS, REASON, Spoiled, draw
from curate.evaluate.spoil import Order, spoiled
from curate.measure.hashes import photo_hash
from manifests.schema import REASONS
from tests.conftest import Cleaned, run_curate
from tests.samples.measured_faces import ASTRONAUT_PHOTO

PEOPLE, EACH = 20, 10
COUNT = PEOPLE * EACH
IDENTITY = np.repeat([f"p{k:02d}" for k in range(PEOPLE)], EACH)
# Photo i: its blurred version is COUNT + i, its copy 2 COUNT + i.
SPOILED = Spoiled(
    COUNT + np.arange(COUNT),
    np.resize(BLURS, COUNT).astype("U32"),
    2 * COUNT + np.arange(COUNT),
    np.full(COUNT, "resized", "U32"),
)


def planted(rate=0.2, seed=0, faults=FAULTS, usable=None):
    usable = np.ones(COUNT, bool) if usable is None else usable
    return draw(IDENTITY, usable, SPOILED, faults, rate, seed)


def test_each_fault_is_planted_at_its_rate_and_no_photo_has_two() -> None:
    one = planted()
    slots = COUNT - 2 * EACH  # a tenth of the people is taken out
    kinds = Counter(REASON[kind] for kind in one.fault.tolist() if kind)
    assert kinds == {"other_person": slots / 5, "blurred": slots / 5, "near_duplicate": slots / 5}
    assert len(one.photo) == slots + slots / 5
    assert len(np.unique(one.photo)) == len(one.photo)
    flips, strangers = (np.flatnonzero(one.fault == kind) for kind in ("flip", "stranger"))
    assert len(flips) + len(strangers) == 36
    assert 0 < len(strangers) <= 2 * EACH  # none appears twice
    assert (IDENTITY[one.photo[flips]] != one.folder[flips]).all()
    out = set(IDENTITY.tolist()) - set(one.folder.tolist())
    assert len(out) == 2
    assert set(IDENTITY[one.photo[strangers]].tolist()) <= out
    copies = np.flatnonzero(one.original >= 0)
    assert (one.photo[copies] == 2 * COUNT + one.photo[one.original[copies]]).all()
    assert (one.folder[copies] == one.folder[one.original[copies]]).all()
    assert (one.fault[one.original[copies]] == "").all()


def test_a_draw_is_repeatable_and_differs_by_seed_and_leaves_photos_without_a_face_alone() -> None:
    assert (planted().photo == planted().photo).all()
    assert not np.array_equal(planted(seed=1).fault, planted().fault)
    faceless = np.arange(COUNT) % 2 == 0
    one = planted(usable=~faceless, faults=("other_person",))
    assert not faceless[one.photo[one.fault != ""]].any()
    assert faceless[one.photo].sum() == (len(one.photo)) / 2


def test_counts_tell_right_wrong_and_lost_apart() -> None:
    one = planted(faults=("other_person", "duplicates"))
    reasons = np.zeros((len(one.photo), len(REASONS)), bool)
    other, near, blurred = (REASONS.index(name) for name in ("other_person", "near_duplicate", "blurred"))
    wrong, copies, good = (
        np.flatnonzero(mask) for mask in (one.reason == "other_person", one.original >= 0, one.fault == "")
    )
    reasons[wrong[:27], other] = True  # 27 of 36
    reasons[wrong[27:30], blurred] = True  # dropped, for another reason
    reasons[good[:9], other] = True
    reasons[copies, near] = True
    reasons[copies[0], blurred] = True  # a copy is judged as a copy only
    rows = {
        (row["reason"], row["seed"]): row
        for row in tabulate([Outcome(0.2, 3, one, reasons)]).to_pylist()
        if not row["kind"]
    }
    row = rows["other_person", None]
    assert (row["planted"], row["found"], row["dropped"], row["wrongly"], row["lost"]) == (36, 27, 30, 9, 9)
    assert (row["precision"], row["recall"], row["f1"]) == (0.75, 0.75, 0.75)
    assert row["recall_low"] < 0.75 < row["recall_high"]
    assert row["good"] == len(good)
    assert rows["near_duplicate", 3]["f1"] == 1
    assert (rows["blurred", None]["precision"], rows["blurred", None]["wrongly"]) == (None, 3)
    assert rows["any", None]["lost"] == 9


def test_seeds_that_plant_in_the_same_photos_do_not_make_an_interval_narrower() -> None:
    one = planted(faults=("other_person",))
    reasons = np.zeros((len(one.photo), len(REASONS)), bool)
    once = tabulate([Outcome(0.2, 0, one, reasons)]).to_pylist()
    twice = tabulate([Outcome(0.2, seed, one, reasons) for seed in (0, 1)]).to_pylist()
    assert twice[0]["planted"] == 2 * once[0]["planted"]
    assert twice[0]["recall_high"] == once[0]["recall_high"] > 0


def test_wilson_agrees_with_a_published_example() -> None:
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I: 81 of 263, 0 of 20.
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=1e-4)


@pytest.mark.parametrize("kind", COPIES[1:])
def test_copies_show_the_same_picture(kind: str) -> None:
    order = Order("anna", "anna/1.jpg", "0" * 64, kind, 1.0)
    copy = decode(spoiled(ASTRONAUT_PHOTO, order)).pixels
    assert copy.shape != ASTRONAUT_PHOTO.shape or not np.array_equal(copy, ASTRONAUT_PHOTO)
    column = "phash_mirror" if kind == "mirrored" else "phash"
    bits = (int(photo_hash(ASTRONAUT_PHOTO)["phash"], 16) ^ int(photo_hash(copy)[column], 16)).bit_count()
    assert bits <= (20 if kind == "cropped" else 6)
    assert spoiled(ASTRONAUT_PHOTO, order) == spoiled(ASTRONAUT_PHOTO, order)
    assert order.name != replace(order, sha256="1" * 64).name


@pytest.mark.parametrize(("experiment", "words"), [
    (Experiment(rates=(0.4,)), "rate 0.4 is out of range.*up to 0.3"),
    (Experiment(rates=(0.0,)), "rate 0 is out of range"),
    (Experiment(faults=("blur",)), "'blur'; choose of other_person, blurred, duplicates"),
])  # fmt: skip
def test_an_impossible_experiment_is_refused(experiment: Experiment, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        experiment.check()
    Experiment(rates=(0.4,), faults=("other_person",)).check()


def test_evaluating_the_demo_photos(cleaned: Cleaned, tmp_path: Path) -> None:
    # What was measured already is taken over; only what is planted is measured.
    shutil.copytree(cleaned.out, tmp_path / "untouched")
    before = sorted(path for path in cleaned.photos.rglob("*"))
    done = run_curate(
        "evaluate", "vggface2", "--root", cleaned.photos, "--out", tmp_path, "--rates", "0.05", "--seeds", "2"
    )
    assert done.returncode == 0, done.stderr
    assert "0.05 of the photos given each fault" in done.stdout
    assert sorted(path for path in cleaned.photos.rglob("*")) == before
    rows = pq.read_table(tmp_path / "evaluation.parquet").to_pylist()
    pooled = {(row["rate"], row["reason"]): row for row in rows if row["seed"] is None and row["kind"] is None}
    assert {"other_person", "blurred", "any"} <= {reason for _, reason in pooled}
    planted_any = pooled[0.05, "any"]
    assert planted_any["planted"] >= 12
    assert planted_any["recall"] >= 0.5
    # The untouched run drops what `curate clean` drops; how photos are dealt to shards may tip one at a threshold.
    manifest = pq.read_table(cleaned.out / "manifest.parquet", columns=["verdict"])
    assert pooled[0.0, "any"]["lost"] == pytest.approx(manifest["verdict"].to_pylist().count("drop"), abs=2)
