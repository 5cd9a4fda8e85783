"""Blur: recall per rung of the ladder and sharp photos lost, beside cleanvision and the plain Laplacian variance.

    python -m bench.sharpness --photos 200             # the tables, as Markdown
    python -m bench.sharpness --photos 100 --soft      # blur in collections that are soft themselves
    python -m bench.sharpness --photos 400 --fit FILE  # fit the shipped calibration anew

Protocol: photos of $SWAPSET_DATA; the first half of each collection (by sorted person or name) is for fitting, the
second for the tables. A rung: the photo is brought to the 256 px face scale (eyes 63 px apart), degraded, made half or
twice as bright, and only then aligned; landmarks and label maps (the built-in segmenter's) are those of the undamaged
photo. cleanvision and the Laplacian (OpenCV, grey, "below 100 is blurred") see the same degraded files. AUC: the
undamaged photos of celebamask at their own size and brightness against the rung's. Landmarks: MTCNN on lfw-gray, the
templates on the two aligned collections.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from cleanvision.issue_managers.image_property import BlurrinessProperty
from PIL import Image

from bench.photos import data
from curate.decide.sharpness_limit import collection_limit
from curate.evaluate import degradations
from curate.evaluate.blur_fit import BRIGHTNESS, AlignedFace, fit_calibration
from curate.evaluate.degradations import LADDER
from curate.faces import align
from curate.faces.detectors.mtcnn import Mtcnn
from curate.faces.segment import Segmenter
from curate.measure.sharpness import BlurCalibration, load_calibration, sharpness
from manifests.landmarks import TEMPLATES

TEMPLATE = TEMPLATES["simswap-224"]
Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating]

CLEANVISION = {"normalizing_factor": 0.01, "color_threshold": 0.18}  # its defaults, and so is the threshold
CLEANVISION_BLURRED = 0.29
LAPLACIAN_BLURRED = 100.0


@dataclass(frozen=True)
class Portrait:
    photo: Pixels
    landmarks: Floats
    labels: Pixels


def portraits(collection: str, half: int, count: int, segmenter: Segmenter) -> Iterator[Portrait]:
    """Up to `count` faces of one half (0 fitting, 1 testing) of a collection, evenly spread over it."""
    detector = Mtcnn() if collection == "lfw-gray" else None
    folder = data() / collection
    people = sorted((folder / "images").iterdir() if collection == "celebamask" else folder.iterdir())
    middle = len(people) // 2
    people = people[middle:] if half else people[:middle]
    files = people if collection == "celebamask" else [f for person in people for f in sorted(person.iterdir())]
    for index in range(min(count, len(files))):
        photo = np.asarray(Image.open(files[index * len(files) // min(count, len(files))]).convert("RGB"))
        if detector is None:
            landmarks = TEMPLATES["ffhq-512" if collection == "celebamask" else "arcface-112"].points[0]
        else:
            found = detector([photo]).landmarks
            if not len(found):
                continue
            landmarks = found[0]
        crop = aligned(photo, landmarks).crop
        labels = segmenter.label_maps(torch.from_numpy(crop).permute(2, 0, 1)[None])[0].cpu().numpy()
        yield Portrait(photo, landmarks, labels)


def aligned(photo: Pixels, landmarks: Floats) -> AlignedFace:
    """Align a face; its label map is left empty."""
    matrices, _ = align.fit(landmarks[None], TEMPLATE)
    crop = align.warp([photo], [0], matrices, TEMPLATE.size)[0].permute(1, 2, 0).numpy()
    points = align.transform_points(landmarks[None], matrices)[0]
    return AlignedFace(crop, np.zeros(TEMPLATE.size, np.uint8), points, float(np.hypot(*matrices[0, :, 0])))


def at_face_scale(photo: Pixels, landmarks: Floats) -> tuple[Pixels, Floats]:
    """The photo and its landmarks at the scale where the eyes of a frontal face are 63 px apart."""
    crop_scale = np.hypot(*align.fit(landmarks[None], TEMPLATE)[0][0, :, 0])
    scale = crop_scale * degradations.EYE_DISTANCE / 65.08
    height, width = photo.shape[:2]
    size = round(width * scale), round(height * scale)
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return np.asarray(small, np.uint8), align.rescale_points(landmarks, np.array([size[0] / width, size[1] / height]))


def scores(
    versions: Sequence[tuple[Pixels, Floats]], labels: Sequence[Pixels], calibration: BlurCalibration
) -> pd.DataFrame:
    """(photo, landmarks) and label maps -> columns sharpness, cleanvision, laplacian; low is blurred in each."""
    faces = [aligned(*version) for version in versions]
    crops = torch.from_numpy(np.stack([face.crop for face in faces])).permute(0, 3, 1, 2).contiguous()
    points = torch.from_numpy(np.stack([face.points for face in faces])).float()
    upscale = torch.tensor([face.upscale for face in faces])
    fused = sharpness(crops, torch.from_numpy(np.stack(labels)), points, upscale, calibration)["sharpness"]
    blurriness = BlurrinessProperty()
    raw = pd.DataFrame([blurriness.calculate(Image.fromarray(photo)) for photo, _ in versions])
    theirs = blurriness.get_scores(raw, "blurry", **CLEANVISION)["blurry_score"].to_numpy()
    grey = [cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY) for photo, _ in versions]
    plain = [float(cv2.Laplacian(photo, cv2.CV_64F).var()) for photo in grey]
    return pd.DataFrame({"sharpness": fused.numpy(), "cleanvision": theirs, "laplacian": plain})


SOFT_RUNGS = ("gaussian 2", "gaussian 3", "motion 11", "motion 15", "defocus 4", "low resolution 3", "low resolution 5")
LIMITS = {"sharpness": 0.5, "cleanvision": CLEANVISION_BLURRED, "laplacian": LAPLACIAN_BLURRED}


def auc(blurred: Floats, sharp: Floats) -> float:
    """Probability that a blurred photo has the lower score; ties count half."""
    order = np.concatenate([blurred, sharp])
    ranks = pd.Series(order).rank().to_numpy()[: len(blurred)]
    return float(1 - (ranks.mean() - (len(blurred) + 1) / 2) / len(sharp))


def tables(count: int, calibration: BlurCalibration) -> None:
    segmenter = Segmenter.load("cpu")
    print("\n| undamaged photos | count | called blurred | of its collection | by cleanvision | Laplacian < 100 |")
    print("|---|---|---|---|---|---|")
    faces: list[Portrait] = []
    for collection in ("celebs-112", "lfw-gray", "celebamask"):
        faces = list(portraits(collection, 1, count, segmenter))
        found = scores([(face.photo, face.landmarks) for face in faces], [face.labels for face in faces], calibration)
        limits = [LIMITS["sharpness"], collection_limit(found["sharpness"].to_numpy()), *list(LIMITS.values())[1:]]
        names = ["sharpness", *LIMITS]
        lost = [f"{(found[name] < limit).mean():.1%}" for name, limit in zip(names, limits, strict=True)]
        print(f"| {collection} | {len(faces)} | {' | '.join(lost)} |", flush=True)

    faces = faces[: max(40, count // 3)]
    print(f"\ncelebamask, {len(faces)} photos: share called blurred at brightness x1, x0.5, x2; AUC at x1\n")
    print("| rung | wanted | ours | AUC | cleanvision | AUC | Laplacian | AUC |\n|---|---|---|---|---|---|---|---|")
    wanted = {True: "blurred", False: "sharp", None: "either"}
    for rung in LADDER:
        columns: dict[str, list[str]] = {name: [] for name in LIMITS}
        areas: dict[str, float] = {}
        for factor in BRIGHTNESS:
            random = np.random.default_rng(7)
            versions = []
            for face in faces:
                photo, landmarks = at_face_scale(face.photo, face.landmarks)
                photo = degradations.brightness(rung.apply(photo, 1.0, random), factor)
                versions.append((photo, landmarks))
            result = scores(versions, [face.labels for face in faces], calibration)
            for name, limit in LIMITS.items():
                columns[name].append(f"{(result[name] < limit).mean():.3f}")
                if factor == 1:
                    areas[name] = auc(result[name].to_numpy(), found[name].to_numpy()[: len(faces)])
        cells = " | ".join(f"{', '.join(columns[name])} | {areas[name]:.3f}" for name in LIMITS)
        print(f"| {rung.name} | {wanted[rung.blurred]} | {cells} |", flush=True)


def soft(count: int, calibration: BlurCalibration) -> None:
    """Print what is lost and found in collections that are soft themselves, at 0.5 and at their own limit."""
    segmenter = Segmenter.load("cpu")
    rungs = [rung for rung in LADDER if rung.name in SOFT_RUNGS]
    print("\nShare called blurred, at the collection's limit / at 0.5:\n")
    print(f"| collection | faces | limit | undamaged | {' | '.join(rung.name for rung in rungs)} |")
    print("|---|---|---|---|" + "---|" * len(rungs))
    for collection in ("celebs-112", "lfw-gray"):
        faces = list(portraits(collection, 1, count, segmenter))
        labels = [face.labels for face in faces]
        found = [scores([(face.photo, face.landmarks) for face in faces], labels, calibration)["sharpness"].to_numpy()]
        limit = collection_limit(found[0])
        for rung in rungs:
            random = np.random.default_rng(7)
            versions = []
            for face in faces:
                photo, landmarks = at_face_scale(face.photo, face.landmarks)
                versions.append((rung.apply(photo, 1.0, random), landmarks))
            found.append(scores(versions, labels, calibration)["sharpness"].to_numpy())
        cells = [f"{(values < limit).mean():.3f} / {(values < 0.5).mean():.3f}" for values in found]
        print(f"| {collection} | {len(faces)} | {limit:.3f} | {' | '.join(cells)} |", flush=True)


def fit(count: int, path: Path) -> None:
    segmenter = Segmenter.load("cpu")

    def faces() -> Iterator[AlignedFace]:
        for portrait in portraits("celebamask", 0, count, segmenter):
            yield replace(aligned(portrait.photo, portrait.landmarks), labels=portrait.labels)

    fit_calibration(
        faces(),
        provenance={
            "photos": "CelebAMask-HQ at 512 px, the first half by name",
            "made by": f"python -m bench.sharpness --photos {count} --fit FILE",
        },
    ).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=200, help="of each collection")
    parser.add_argument("--fit", type=Path, help="write a calibration here instead of printing tables")
    parser.add_argument("--soft", action="store_true", help="the table of collections that are soft themselves")
    parser.add_argument("--calibration", type=Path, help="judge this one instead of the shipped one")
    options = parser.parse_args()
    torch.manual_seed(0)
    if options.soft:
        soft(options.photos, load_calibration(options.calibration))
    elif options.fit:
        fit(options.photos, options.fit)
    else:
        tables(options.photos, load_calibration(options.calibration))


if __name__ == "__main__":
    main()
