"""What a selection does to `simswap fit`: one recipe, equal images, on photos that were chosen in different ways.

    python -m bench.selection_fit DATASET --people a,b,c,d --per-person 64 --images 6000 --seeds 1 \\
        --judge CHECKPOINT --out OUT

Protocol: a measured dataset whose crops the recipe `people` takes. Its rule holds a tenth of each person's photos out,
by the hash of their ids; they are removed before anything is chosen, and no arm trains on them. Arms, of the others:

- all: every kept photo, without a selection.
- select, random, sharpest: N photos of each person, as `curate select` chooses (curate/select/choose.py), drawn at
  random (another draw for each seed), and the sharpest.

Every arm trains a generator from random weights on the same number of images, at half size and by reconstruction alone.
Each is judged by `simswap evaluate` on the same pairs of held-out photos: reconstruction of a photo from another one of
its person (PSNR, SSIM; also of turned targets, at least 25 degrees of yaw, alone), and swaps of two people (nearest
photo in the gallery, pose, distance to the source). `variety` is the share of 10 x 10 degree cells of yaw and pitch, of
those with a kept photo of the person, that the training photos are in.

Then the differences of `select` to the other arms on the same pairs, with 95% intervals by bootstrap over targets.

An interrupted run is continued by the same command. OUT holds a folder for each arm and seed.
"""

import argparse
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.selection import random_choice, sharpest
from curate.select.candidates import COLUMNS, Candidates, batches, read_candidates
from curate.select.choose import choose
from curate.threads import default_threads
from manifests.identity import uniform
from manifests.reader import Dataset
from train.config import load_recipe

TURNED = 25.0
"""Degrees of yaw from which a target counts as turned."""

SCORES = ("psnr", "ssim", "turned psnr", "turned ssim", "top1", "pose_error", "distance")
ARMS = ("all", "select", "random", "sharpest")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--people", required=True, help="names, separated by commas")
    parser.add_argument("--per-person", type=int, default=64)
    parser.add_argument("--images", type=int, default=6_000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--pairs", type=int, default=96)
    parser.add_argument("--judge", required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    people = trained_photos(options.dataset, options.people.split(","))
    print("| seed | arm | photos | variety | " + " | ".join(SCORES) + " |\n|" + "---|" * (4 + len(SCORES)), flush=True)
    for seed in range(options.seeds):
        for arm in options.arms.split(","):
            chosen = {name: chosen_rows(arm, faces, options.per_person, seed) for name, faces in people.items()}
            photos, variety = describe(people, chosen)
            out = options.out / f"{arm}-{seed}"
            if not (out / "summary.json").exists():
                train_and_judge(options, arm, seed, out, people, chosen)
            values = scores(options.dataset, out)
            cells = " | ".join(f"{values[name]:.3f}" for name in SCORES)
            print(f"| {seed} | {arm} | {photos:,} | {variety:.2f} | {cells} |", flush=True)
    for seed in range(options.seeds):
        compare(options.dataset, options.out, options.arms.split(","), seed)


def compare(dataset_dir: Path, out: Path, arms: list[str], seed: int) -> None:
    """Print the differences of the arm `select` to the others on the same pairs, with 95% intervals over targets."""
    kept = Dataset.open(dataset_dir).manifest(["face_id", "yaw"], keep=True)
    turned = kept["face_id"].filter(pc.greater_equal(pc.abs(kept["yaw"]), TURNED)).combine_chunks()
    chosen = pq.read_table(out / f"select-{seed}" / "pairs.parquet")
    is_turned = pc.is_in(chosen["target"], turned).to_numpy()
    for arm in arms:
        if arm == "select":
            continue
        other = pq.read_table(out / f"{arm}-{seed}" / "pairs.parquet")
        for name, kind in (("psnr", "same"), ("ssim", "same"), ("pose_error", "cross"), ("distance", "cross")):
            of_kind = pc.equal(chosen["kind"], kind).to_numpy()
            values = [np.asarray(table[name].to_numpy(), np.float64) for table in (chosen, other)]
            for title, rows in (("all", of_kind), ("turned", of_kind & is_turned), ("others", of_kind & ~is_turned)):
                rows = rows & np.isfinite(values[0] - values[1])
                interval = _interval((values[0] - values[1])[rows], chosen["target"].to_numpy()[rows])
                print(f"| {seed} | select - {arm} | {name} of {title} targets | {interval} |")


def _interval(differences: np.ndarray, targets: np.ndarray) -> str:
    """Mean, its 95% interval by bootstrap over targets, and the number of targets."""
    _, codes = np.unique(targets.astype(str), return_inverse=True)
    sums, counts = np.bincount(codes, differences), np.bincount(codes)
    draws = np.random.default_rng(0).integers(0, len(sums), (2000, len(sums)))
    low, high = np.percentile(sums[draws].sum(1) / counts[draws].sum(1), [2.5, 97.5])
    return f"{differences.mean():+.3f} [{low:+.3f}, {high:+.3f}], {len(sums)} targets"


def trained_photos(dataset_dir: Path, names: list[str]) -> dict[str, Candidates]:
    """Name -> the kept photos of a person that no training of the recipe holds out."""
    share = load_recipe("people").held_out_photos
    dataset = Dataset.open(dataset_dir)
    kept = dataset.manifest(COLUMNS, keep=True)
    kept = kept.filter(pc.and_(pc.is_valid(kept["shard"]), pc.is_in(kept["identity"], pc.cast(names, "string"))))
    is_trained = [uniform(face_id, b"photos") >= share for face_id in kept["face_id"].to_pylist()]
    with ThreadPoolExecutor(default_threads()) as pool:
        parts = [read_candidates(dataset, batch, pool) for batch in batches(kept.filter(is_trained))]
    return {name: faces for part in parts for name, faces in part.people()}


def chosen_rows(arm: str, faces: Candidates, count: int, seed: int) -> np.ndarray:
    """The photos of a person that an arm trains on."""
    match arm:
        case "select":
            return choose(faces, count).rows
        case "random":
            return random_choice(faces, count, seed)
        case "sharpest":
            return sharpest(faces, count)
    return np.arange(len(faces))


def describe(people: dict[str, Candidates], chosen: dict[str, np.ndarray]) -> tuple[int, float]:
    """Number of training photos, and their variety of pose."""
    shares = []
    for name, faces in people.items():
        cells = np.floor(np.nan_to_num(faces.yaw) / 10) * 100 + np.floor(np.nan_to_num(faces.pitch) / 10)
        shares.append(len(np.unique(cells[chosen[name]])) / len(np.unique(cells)))
    return sum(map(len, chosen.values())), float(np.mean(shares))


def train_and_judge(
    options: argparse.Namespace, arm: str, seed: int, out: Path, people: dict[str, Candidates], chosen: dict[str, Any]
) -> None:
    """Run `simswap fit` on the chosen photos, then `simswap evaluate`."""
    images = options.images
    selection = options.out / f"{arm}-{seed}.txt"
    rows = [faces.take(chosen[name]).rows for name, faces in people.items()]
    image_ids = pa.concat_tables(rows)["image_id"].to_pylist()
    selection.write_text("".join(f"{image_id}\n" for image_id in sorted(image_ids)))
    settings = {"half_size_images": images, "sample_images": images, "checkpoint_images": 2_000}
    simswap(
        "fit", "--data", options.dataset, "--recipe", "people", "--people", options.people, "--out", out / "run",
        "--images", images, "--seed", seed, "--precision", "bfloat16", "--workers", 1, "--device", "cpu",
        *([] if arm == "all" else ["--selection", selection]),
        *(part for key, value in settings.items() for part in ("--set", f"{key}={value}")),
    )  # fmt: skip
    checkpoint = max((out / "run" / "checkpoints").glob("*.safetensors"))
    judged = options.out / "judged"  # one folder, so that photos are embedded once for all arms
    simswap(
        "evaluate", "--checkpoint", checkpoint, "--data", options.dataset, "--judge", options.judge, "--device", "cpu",
        "--pairs", options.pairs, "--out", judged,
    )  # fmt: skip
    for name in ("pairs.parquet", "summary.json"):
        shutil.copy(judged / name, out / name)


def simswap(*arguments: object) -> None:
    """Run a command; its output goes to stderr."""
    subprocess.run([sys.executable, "-m", "train.cli", *map(str, arguments)], check=True, stdout=sys.stderr)


def scores(dataset_dir: Path, judged: Path) -> dict[str, float]:
    """SCORES of an evaluation."""
    (of_judge,) = json.loads((judged / "summary.json").read_text())["metrics"].values()
    (metrics,) = of_judge.values()  # of the one candidate
    values = {name: metric["value"] for name, metric in metrics.items()}
    pairs = pq.read_table(judged / "pairs.parquet", filters=[("kind", "=", "same")])
    kept = Dataset.open(dataset_dir).manifest(["face_id", "yaw"], keep=True)
    turned = kept["face_id"].filter(pc.greater_equal(pc.abs(kept["yaw"]), TURNED))
    pairs = pairs.filter(pc.is_in(pairs["target"], turned.combine_chunks()))
    return values | {f"turned {name}": pc.mean(pairs[name]).as_py() for name in ("psnr", "ssim")}


if __name__ == "__main__":
    main()
