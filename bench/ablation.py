"""Effect of cleaning on training: one recipe is trained on data with planted faults, cleaned or not.

    SWAPSET_DATA=DIR python -m bench.ablation --photos 3000 --images 20000 --seeds 3 --out ablated

Protocol: up to `--photos` photos each of celebs-112 and lfw-gray, people limited to an equal share. Planted among the
photos of the training people: 20% wrong persons (a photo in another person's folder, folders drawn in proportion to
their sizes) and 10% blur (the rungs of curate/evaluate/degradations.py that should be called blurred). The held-out
people get no faults, and every arm is evaluated on those of their photos that the default policy keeps of the
unplanted dataset. Arms: the planted dataset with all its faults (keep-all), the planted dataset cleaned (default), and
the unplanted dataset with all photos. The noise floor is the spread of the seeds of the first arm. The last lines are
the trainings and people that would show the effect of the second arm, and that of the founding report.

An interrupted run is continued by the same command. OUT contains photos/, curated/, views/, ablation/
(train/ablate/ablate.py) and truth.parquet, the planted faults.
"""

import argparse
import math
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.photos import data, spread
from curate.commands.progress import ProgressBar
from curate.decide.policy import load_policy
from curate.decide.view import make_view
from curate.decode import decode
from curate.evaluate.collection import MeasuredCollection, read_collection
from curate.evaluate.degradations import EYE_DISTANCE
from curate.evaluate.planted_files import PlantedFile, planted_jpeg
from curate.evaluate.planting import BLURS, other_folders
from curate.faces.models import check_device
from manifests.landmarks import TEMPLATES
from manifests.output import atomic
from manifests.reader import Dataset
from train.ablate.ablate import AblateRequest, plan, run
from train.ablate.arm_result import AblationResult
from train.ablate.arms import Arm, with_checkpoints
from train.ablate.table import make_rows, write_tables
from train.config import Recipe, load_recipe
from train.data.faces import read_training_faces

COLLECTIONS = ("celebs-112", "lfw-gray")
MIN_PHOTOS_PER_PERSON = 6
OTHER_PERSON = "other person"
TRUTH = "truth.parquet"

PLANTED, CLEANED = "planted, keep-all", "planted, default"
"""Names of the first two arms."""

FOUNDING_EFFECT = 4.31
"""A of cleaning in the founding report, %."""

SIGNIFICANCE, POWER = 0.05, 0.8
"""Two-sided level, and probability with which an effect of the assumed size is to be found."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=3000, help="maximum number of photos of each collection")
    parser.add_argument("--wrong", type=float, default=0.2, help="share of the photos moved to another person's folder")
    parser.add_argument("--blurred", type=float, default=0.1, help="share of the photos that are blurred")
    parser.add_argument("--recipe", default="tiny")
    parser.add_argument("--images", type=int, default=20_000, help="images that each arm is trained on")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each arm")
    parser.add_argument("--held-out", type=float, default=0.1, help="share of the people held out for evaluation")
    parser.add_argument("--pairs", type=int, default=500, help="evaluated pairs")
    parser.add_argument("--embedder", help="checkpoint that curation and training use instead of the built-in embedder")
    parser.add_argument("--judge", help="evaluating embedder; default: one that was not trained against, if any")
    parser.add_argument("--device")
    parser.add_argument("--out", type=Path, default=Path("ablated"))
    options = parser.parse_args()

    unplanted = curate(options, "unplanted", lambda folder: copy_photos(options.photos, folder))
    recipe = load_recipe(options.recipe, images=options.images, held_out=options.held_out)
    planted = curate(options, "planted", lambda folder: plant(unplanted, folder, recipe, options))
    views = {
        (name, policy): make_view(path, load_policy(policy), options.out / "views" / f"{name}-{policy}").path
        for name, path in (("planted", planted), ("unplanted", unplanted))
        for policy in ("keep-all", "default")
    }
    summary = summarize(views["planted", "default"], pd.read_parquet(options.out / TRUTH))
    print(summary, flush=True)
    trained_on = {
        PLANTED: views["planted", "keep-all"],
        CLEANED: views["planted", "default"],
        "unplanted": views["unplanted", "keep-all"],
    }
    arms = [
        Arm(name, with_checkpoints(replace(recipe, seed=seed)), path)
        for name, path in trained_on.items()
        for seed in range(options.seeds)
    ]
    request = AblateRequest(
        out=options.out / "ablation",
        arms=arms,
        judged_on=[views["unplanted", "default"]],
        device=check_device(options.device),
        judge=options.judge,
        pairs=options.pairs,
    )
    result = run(plan(request), ProgressBar())
    print("\n" + "\n".join([summary, "", *write_tables(request.out, result), "", *sample_size(result)]))


def sample_size(result: AblationResult) -> Iterator[str]:
    """Yield lines on the trainings and the people that would show the effect of the second arm on A."""
    rows = {row.arm: row for row in make_rows(result)}
    first, cleaned = rows.get(PLANTED), rows.get(CLEANED)
    distances: dict[str, list[float]] = {}
    for arm in result.arms:
        distance = arm.result.metrics["distance"].value
        if distance is not None:
            distances.setdefault(arm.result.name, []).append(distance)
    repeated = {name: values for name, values in distances.items() if len(values) > 1}
    if first is None or cleaned is None or not {PLANTED, CLEANED} <= repeated.keys():
        yield "sample size: needs two trainings of each of the first two arms"
        return
    if cleaned.a_low is None or cleaned.a_high is None:
        yield "sample size: needs an interval over people"
        return
    variances = [np.var(100 * np.array(values) / first.distance, ddof=1) for values in repeated.values()]
    seed_std = float(np.sqrt(np.mean(variances)))
    people_error = (cleaned.a_high - cleaned.a_low) / 2 / NormalDist().inv_cdf(1 - SIGNIFICANCE / 2)
    yield f"A of a seed varies by {seed_std:.2f} points, A of these people by {people_error:.2f} (standard deviations)."
    for effect in (abs(cleaned.a), FOUNDING_EFFECT):
        for people in (1, 4, 16):
            seeds = required_seeds(effect, seed_std, people_error / math.sqrt(people))
            needed = "no number of trainings" if seeds is None else f"{seeds:,} trainings of each arm"
            yield f"A of {effect:.2f} with {POWER:.0%} power, {people} times these people: {needed}"


def required_seeds(effect: float, seed_std: float, people_error: float, power: float = POWER) -> int | None:
    """Trainings of each of two arms that show an effect with probability `power`; None where no number does.

    The difference of two arms of n trainings has the variance 2 s^2 / n + p^2. With the quantiles z_l and z_p of the
    normal distribution at 1 - level / 2 and at the power, n = 2 s^2 / (effect^2 / (z_l + z_p)^2 - p^2) + z_l^2 / 4; the
    last term stands for Student's quantiles (Guenther 1981, "Sample size formulas for normal theory t tests").

    Args:
        effect: difference of the arms, in the unit of the two next ones.
        seed_std: s, standard deviation between trainings of one arm with different seeds.
        people_error: p, standard error over the people on whom both arms are judged; it falls with the square root of
            their number, and not with that of trainings.
        power: probability with which the difference is significant (SIGNIFICANCE).
    """
    level, found = NormalDist().inv_cdf(1 - SIGNIFICANCE / 2), NormalDist().inv_cdf(power)
    variance = (effect / (level + found)) ** 2 - people_error**2
    if variance <= 0:
        return None
    return max(2, math.ceil(2 * seed_std**2 / variance + level**2 / 4))


def curate(options: argparse.Namespace, name: str, write_photos: Callable[[Path], object]) -> Path:
    """Clean OUT/photos/NAME into OUT/curated/NAME, which is returned.

    Args:
        options: the command line's.
        name: of the folders.
        write_photos: writes the photos to a folder; called where OUT/photos/NAME does not exist yet.
    """
    photos, out = options.out / "photos" / name, options.out / "curated" / name
    if not photos.exists():
        partial = photos.with_name(f"{name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        write_photos(partial)
        partial.rename(photos)
    command = [sys.executable, "-m", "curate.cli", "clean", "folder", "--root", str(photos), "--out", str(out)]
    command += ["--models", "builtin", *(["--embedder", options.embedder] if options.embedder else [])]
    subprocess.run(command, check=True)
    return Path(out)


def copy_photos(count: int, folder: Path) -> None:
    """Copy up to `count` photos of each collection to folder/COLLECTION-PERSON/, an equal share per person."""
    for collection in COLLECTIONS:
        people = sorted(path for path in (data() / collection).iterdir() if path.is_dir())
        share = max(MIN_PHOTOS_PER_PERSON, count // len(people))
        for person in spread(people, max(2, count // share)):
            target = folder / f"{collection}-{person.name}"
            target.mkdir()
            for file in spread(sorted(person.glob("*.jpg")), share):
                shutil.copyfile(file, target / file.name)


def plant(unplanted: Path, folder: Path, recipe: Recipe, options: argparse.Namespace) -> None:
    """Write the photos of the dataset `unplanted` to `folder`, with faults, and the faults to OUT/truth.parquet."""
    dataset = Dataset.open(unplanted)
    collection = read_collection(dataset)
    faces = read_training_faces(dataset, recipe.template)
    held_out = {faces.people[person] for person in np.unique(faces.person[faces.held_out(options.held_out)])}
    free = np.flatnonzero(collection.usable & ~np.isin(collection.identity, list(held_out)))
    random = np.random.default_rng(0)
    drawn = random.permutation(free)
    wrong, blurred = np.split(drawn, [round(options.wrong * len(free))])
    blurred = blurred[: round(options.blurred * len(free))]

    identity, fault = collection.identity.astype(object), np.full(len(collection), "", object)
    identity[wrong] = other_folders(collection.identity[wrong], collection.identity[free], random)
    fault[wrong] = OTHER_PERSON
    fault[blurred] = [BLURS[number % len(BLURS)] for number in range(len(blurred))]
    scale = photo_scale(dataset, collection)
    source = options.out / "photos" / "unplanted"
    rows = []
    for photo, image_id in enumerate(collection.image_id.tolist()):
        # A photo of another person may have the same name.
        name = Path(image_id).name if fault[photo] != OTHER_PERSON else image_id.replace("/", "-")
        target = folder / identity[photo] / name
        target.parent.mkdir(exist_ok=True)
        content = (source / image_id).read_bytes()
        if fault[photo] in BLURS:
            file = PlantedFile(str(collection.identity[photo]), image_id, "", fault[photo], float(scale[photo]))
            content = planted_jpeg(decode(content).pixels, file)
        target.write_bytes(content)
        rows.append((f"{identity[photo]}/{name}", image_id, fault[photo]))
    with atomic(options.out / TRUTH) as partial:
        pd.DataFrame(rows, columns=["image_id", "original", "fault"]).to_parquet(partial)


def photo_scale(dataset: Dataset, collection: MeasuredCollection) -> npt.NDArray[np.float64]:
    """Pixels of each photo per pixel of the 256 px face scale, at which blur is defined: (N,)."""
    upscale = collection.measures["upscale"].to_numpy()[collection.start[:-1]]
    return np.asarray(TEMPLATES[dataset.info.template].eye_distance / upscale / EYE_DISTANCE, np.float64)


def summarize(cleaned: Path, truth: pd.DataFrame) -> str:
    """Summarize how many of the planted faults the default policy dropped."""
    manifest = Dataset.open(cleaned).to_pandas(["image_id", "verdict"])
    photos = truth.merge(manifest, on="image_id", validate="one_to_one")
    dropped = photos.verdict == "drop"
    wrong, blurred, good = photos.fault == OTHER_PERSON, photos.fault.isin(BLURS), photos.fault == ""
    shares = [f"{int((dropped & rows).sum())} of {int(rows.sum())}" for rows in (wrong, blurred, good)]
    return (
        f"Planted in {len(photos):,} photos; the default policy drops {shares[0]} wrong persons, {shares[1]} blurred "
        f"photos and {shares[2]} without a planted fault."
    )


if __name__ == "__main__":
    main()
