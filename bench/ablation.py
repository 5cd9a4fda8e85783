"""Does cleaning help training? Faults are planted in photos of known people; one recipe is trained on what is left.

    python -m bench.ablation --photos 3000 --images 20000 --seeds 3 --out ablated

The photos: so many of celebs-112 and of lfw-gray each, people with more than their share cut to it. Planted among the
people who are trained on: 20% wrong persons (a photo lies in another person's folder, drawn as often as it has photos)
and 10% blur (the rungs of curate/evaluate/degradations.py that must be called blurred). The held-out people stay as
they are, and every arm is judged on those of their photos that the default policy keeps of the unplanted set. Arms:
the planted set with all its faults (keep-all), the planted set cleaned (default), and the unplanted one with nothing
cleaned away.
The noise floor is how far the seeds of the first arm lie apart.

Killed, the same command continues. OUT keeps photos/, curated/, ablation/ (see train/ablate/ablate.py), truth.parquet.
"""

import argparse
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.photos import data
from curate.commands.progress import ProgressBar
from curate.decide.policy import load_policy
from curate.decide.view import make_view
from curate.decode import decode
from curate.evaluate.collection import read_collection
from curate.evaluate.degradations import EYE_DISTANCE
from curate.evaluate.planted_files import PlantedFile, planted_jpeg
from curate.evaluate.planting import BLURS, other_folders
from curate.faces.models import check_device
from manifests.landmarks import TEMPLATES
from manifests.output import atomic
from manifests.reader import Dataset
from train.ablate.ablate import AblateRequest, plan, run
from train.ablate.arms import Arm, with_checkpoints
from train.ablate.table import write_tables
from train.config import Recipe, load_recipe
from train.data.faces import read_training_faces

COLLECTIONS = ("celebs-112", "lfw-gray")
LEAST_OF_A_PERSON = 6
TRUTH = "truth.parquet"

Names = npt.NDArray[np.str_]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=3000, help="of each collection, at most")
    parser.add_argument(
        "--wrong", type=float, default=0.2, help="share of the photos that another person's folder gets"
    )
    parser.add_argument("--blurred", type=float, default=0.1)
    parser.add_argument("--recipe", default="tiny")
    parser.add_argument("--images", type=int, default=20_000, help="that each arm is trained on")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--held-out", type=float, default=0.1, help="share of the people who are judged on")
    parser.add_argument("--pairs", type=int, default=500, help="that are judged")
    parser.add_argument("--embedder", help="a checkpoint that curate and training use in place of the built-in one")
    parser.add_argument("--judge", help="embedder that judges; by default one that was not trained against, if any")
    parser.add_argument("--device")
    parser.add_argument("--out", type=Path, default=Path("ablated"))
    options = parser.parse_args()

    unplanted = curated(options, "unplanted", lambda folder: copy_photos(options.photos, folder))
    recipe = load_recipe(options.recipe, images=options.images, held_out=options.held_out)
    planted = curated(options, "planted", lambda folder: plant(unplanted, folder, recipe, options))
    views = options.out / "views"
    everything, cleaned = (
        make_view(planted, load_policy(name), views / f"planted-{name}").path for name in ("keep-all", "default")
    )
    truth, judged = (
        make_view(unplanted, load_policy(name), views / f"unplanted-{name}").path for name in ("keep-all", "default")
    )
    told = found(cleaned, pd.read_parquet(options.out / TRUTH))
    print(told, flush=True)
    arms = [
        Arm(name, with_checkpoints(replace(recipe, seed=seed)), path)
        for name, path in (("planted, keep-all", everything), ("planted, default", cleaned), ("unplanted", truth))
        for seed in range(options.seeds)
    ]
    request = AblateRequest(
        options.out / "ablation", arms, [judged], check_device(options.device), options.judge, options.pairs
    )
    result = run(plan(request), ProgressBar())
    print("\n" + "\n".join([told, "", *write_tables(request.out, result)]))


def curated(options: argparse.Namespace, name: str, fill: object) -> Path:
    """Makes photos/NAME by `fill(folder)` where it is not there yet, and curated/NAME of it."""
    photos, out = options.out / "photos" / name, options.out / "curated" / name
    if not photos.exists():
        draft = photos.with_name(f"{name}.partial")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        fill(draft)  # type: ignore[operator]
        draft.rename(photos)
    command = [sys.executable, "-m", "curate.cli", "clean", "folder", "--root", str(photos), "--out", str(out)]
    command += ["--models", "builtin", *(["--embedder", options.embedder] if options.embedder else [])]
    subprocess.run(command, check=True)
    return Path(out)


def copy_photos(count: int, folder: Path) -> None:
    """`count` photos of each collection -> folder/COLLECTION-PERSON/FILE, people evenly spread, each with its share."""
    for collection in COLLECTIONS:
        people = sorted(path for path in (data() / collection).iterdir() if path.is_dir())
        share = max(LEAST_OF_A_PERSON, count // len(people))
        wanted = min(len(people), max(2, count // share))
        for person in (people[k * len(people) // wanted] for k in range(wanted)):
            target = folder / f"{collection}-{person.name}"
            target.mkdir()
            files = sorted(person.glob("*.jpg"))
            kept = min(share, len(files))
            for file in (files[k * len(files) // kept] for k in range(kept)):
                shutil.copyfile(file, target / file.name)


def plant(unplanted: Path, folder: Path, recipe: Recipe, options: argparse.Namespace) -> None:
    """The photos that `unplanted` was measured on -> the same with faults, and OUT/truth.parquet, which says which."""
    dataset = Dataset.open(unplanted)
    collection = read_collection(dataset)
    photos = read_training_faces(dataset, recipe.template)
    held = {photos.people[person] for person in np.unique(photos.person[photos.held_out(options.held_out)])}
    free = np.flatnonzero(collection.usable & ~np.isin(collection.identity, list(held)))
    random = np.random.default_rng(0)
    drawn = random.permutation(free)
    wrong, blurred = np.split(drawn, [round(options.wrong * len(free))])
    blurred = blurred[: round(options.blurred * len(free))]

    place, fault = collection.identity.astype(object), np.full(len(collection), "", object)
    place[wrong] = other_folders(collection.identity[wrong], collection.identity[free], random)
    fault[wrong] = "other person"
    fault[blurred] = [BLURS[nth % len(BLURS)] for nth in range(len(blurred))]
    # Pixels of the photo for one of the 256 px face scale, which blur is measured on.
    template = TEMPLATES[dataset.info.template]
    eyes = float(np.linalg.norm(template.points[:, 1] - template.points[:, 0], axis=1).max())
    scale = eyes / collection.measures["upscale"].to_numpy()[collection.start[:-1]] / EYE_DISTANCE
    source = options.out / "photos" / "unplanted"
    rows = []
    for photo, image_id in enumerate(collection.image_id.tolist()):
        # Another person's file may have the same name.
        name = Path(image_id).name if fault[photo] != "other person" else image_id.replace("/", "-")
        target = folder / place[photo] / name
        target.parent.mkdir(exist_ok=True)
        content = (source / image_id).read_bytes()
        if fault[photo] in BLURS:
            file = PlantedFile(str(collection.identity[photo]), image_id, "", fault[photo], float(scale[photo]))
            content = planted_jpeg(decode(content).pixels, file)
        target.write_bytes(content)
        rows.append((f"{place[photo]}/{name}", image_id, fault[photo]))
    with atomic(options.out / TRUTH) as partial:
        pd.DataFrame(rows, columns=["image_id", "original", "fault"]).to_parquet(partial)


def found(cleaned: Path, truth: pd.DataFrame) -> str:
    """What the default policy dropped of what was planted, in a line."""
    manifest = Dataset.open(cleaned).to_pandas(["image_id", "verdict"])
    both = truth.merge(manifest, on="image_id", validate="one_to_one")
    dropped, wrong = both.verdict == "drop", both.fault == "other person"
    blurred, good = both.fault.isin(BLURS), both.fault == ""
    shares = [f"{int((dropped & which).sum())} of {int(which.sum())}" for which in (wrong, blurred, good)]
    return (
        f"Planted in {len(both):,} photos; the default policy drops {shares[0]} wrong persons, {shares[1]} blurred "
        f"photos and {shares[2]} without a planted fault."
    )


if __name__ == "__main__":
    main()
