"""Blur detection: recall per rung of the degradation ladder and false alarms, against cleanvision and the Laplacian.

    python -m bench.sharpness --photos 200             # tables as Markdown
    python -m bench.sharpness --natural --datasets DIR   # labelled faces of people that nothing was fitted on
    python -m bench.sharpness --verdicts --datasets DIR  # whole collections, by their labels
    python -m bench.sharpness --planted --datasets DIR   # collections with 5 to 60% planted blur
    python -m bench.sharpness --fit FILE --photos 100 --datasets DIR   # fit the shipped calibration again

DIR holds the collections as measured by `curate clean folder --root $SWAPSET_DATA/NAME --template simswap-224
--out DIR/NAME`; celebamask (its folder images) and unlabelled with `--identities none`. DIR/thumbs-64 is measured on a
tree of the same names: every twelfth of the sorted photos of celebs-112 and all of celebs-color, their shorter side
reduced to 64 px (INTER_AREA), JPEG 90.

Protocol: photos of $SWAPSET_DATA; the first half of each collection (by sorted person or name) is for fitting, the
second half for the tables. Rungs: the photo is resized to the 256 px face scale (eyes 63 px apart), degraded,
multiplied in brightness (x1, x0.5, x2) and then aligned; landmarks and label maps (the built-in segmenter's) are those
of the undegraded photo. cleanvision (default settings) and the variance of the Laplacian (OpenCV, greyscale, blurred
below 100) score the same degraded photos. AUC: the undegraded photos of celebamask at their own size and brightness
against the rung's. Landmarks: MTCNN on lfw-gray, the templates on the two aligned collections.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from cleanvision.issue_managers.image_property import BlurrinessProperty
from PIL import Image

from bench.blur_collections import Portrait, labelled_portraits, sample_portraits
from bench.blur_planted import print_planted
from bench.blur_tables import print_natural, print_verdicts
from bench.photos import data, spread
from curate.decide.rules import Policy
from curate.decide.sharpness_limit import collection_limits
from curate.evaluate import degradations
from curate.evaluate.blur_fit import CROP_SCALE, AlignedFace, LabelledFace, fit_calibration
from curate.evaluate.degradations import LADDER, Rung
from curate.faces import align
from curate.faces.detectors.mtcnn import Mtcnn
from curate.faces.segment import Segmenter
from curate.measure.sharpness import BlurCalibration, load_calibration, sharpness
from manifests.landmarks import TEMPLATES

TEMPLATE = TEMPLATES["simswap-224"]
Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating]

CLEANVISION = {"normalizing_factor": 0.01, "color_threshold": 0.18}
"""Default settings of cleanvision."""
THRESHOLDS = {"sharpness": Policy().min_sharpness, "cleanvision": 0.29, "laplacian": 100.0}
"""Blurred below; the default policy's, and the default of cleanvision."""
COLLECTIONS = ("celebs-112", "lfw-gray", "unlabelled", "web-raw", "celebs-color", "thumbs-64")
"""Collections with labels."""
BRIGHTNESS = (1.0, 0.5, 2.0)


def read_portraits(collection: str, half: int, count: int, segmenter: Segmenter) -> Iterator[Portrait]:
    """Yield up to `count` faces of one half (0 fitting, 1 testing) of a collection, evenly spread over it."""
    detector = Mtcnn() if collection == "lfw-gray" else None
    folder = data() / collection
    entries = sorted((folder / "images").iterdir() if collection == "celebamask" else folder.iterdir())
    middle = len(entries) // 2
    entries = entries[middle:] if half else entries[:middle]
    files = entries if collection == "celebamask" else [file for person in entries for file in sorted(person.iterdir())]
    for path in spread(files, count):
        photo = np.asarray(Image.open(path).convert("RGB"))
        if detector is None:
            landmarks = TEMPLATES["ffhq-512" if collection == "celebamask" else "arcface-112"].points[0]
        else:
            faces = detector([photo])
            if not len(faces):
                continue
            landmarks = faces.landmarks[0]
        crop = align_face(photo, landmarks).crop
        labels = segmenter.label_maps(torch.from_numpy(crop).permute(2, 0, 1)[None])[0].cpu().numpy()
        yield Portrait(path.relative_to(folder).as_posix(), photo, landmarks, labels)


def align_face(photo: Pixels, landmarks: Floats) -> AlignedFace:
    """Align a face to TEMPLATE; its label map is all background."""
    matrices, _ = align.fit(landmarks[None], TEMPLATE)
    crop = align.warp([photo], [0], matrices, TEMPLATE.size)[0].permute(1, 2, 0).numpy()
    points = align.transform_points(landmarks[None], matrices)[0]
    return AlignedFace(crop, np.zeros(TEMPLATE.size, np.uint8), points)


def at_face_scale(photo: Pixels, landmarks: Floats) -> tuple[Pixels, Floats]:
    """Resize a photo and its landmarks to the scale where the eyes of a frontal face are 63 px apart."""
    crop_scale = np.hypot(*align.fit(landmarks[None], TEMPLATE)[0][0, :, 0])
    scale = crop_scale / CROP_SCALE
    height, width = photo.shape[:2]
    size = round(width * scale), round(height * scale)
    resized = cv2.resize(photo, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return np.asarray(resized, np.uint8), align.rescale_points(landmarks, np.array([size[0] / width, size[1] / height]))


def scores(
    versions: Sequence[tuple[Pixels, Floats]], labels: Sequence[Pixels], calibration: BlurCalibration
) -> pd.DataFrame:
    """Score photos with the three methods.

    Args:
        versions: N photos and their landmarks.
        labels: N label maps of the aligned crops.
        calibration: of the sharpness.

    Returns:
        N rows with the columns of THRESHOLDS; low values are blurred.
    """
    faces = [align_face(*version) for version in versions]
    crops = torch.from_numpy(np.stack([face.crop for face in faces])).permute(0, 3, 1, 2).contiguous()
    points = torch.from_numpy(np.stack([face.points for face in faces])).float()
    scored = sharpness(crops, torch.from_numpy(np.stack(labels)), points, calibration)["sharpness"]
    blurriness = BlurrinessProperty()
    raw = pd.DataFrame([blurriness.calculate(Image.fromarray(photo)) for photo, _ in versions])
    cleanvision = blurriness.get_scores(raw, "blurry", **CLEANVISION)["blurry_score"].to_numpy()
    grey = [cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY) for photo, _ in versions]
    laplacian = [float(cv2.Laplacian(photo, cv2.CV_64F).var()) for photo in grey]
    return pd.DataFrame({"sharpness": scored.numpy(), "cleanvision": cleanvision, "laplacian": laplacian})


def auc(blurred: Floats, sharp: Floats) -> float:
    """Probability that a blurred photo scores lower than a sharp one; ties count half."""
    ranks = pd.Series(np.concatenate([blurred, sharp])).rank().to_numpy()[: len(blurred)]
    return float(1 - (ranks.mean() - (len(blurred) + 1) / 2) / len(sharp))


def degraded(faces: Sequence[Portrait], rung: Rung, brightness: float = 1.0) -> list[tuple[Pixels, Floats]]:
    """Apply a rung of the ladder at the 256 px face scale, then multiply the brightness."""
    random = np.random.default_rng(7)
    versions = []
    for face in faces:
        photo, landmarks = at_face_scale(face.photo, face.landmarks)
        photo = degradations.brightness(rung.apply(photo, 1.0, random), brightness)
        versions.append((photo, landmarks))
    return versions


def undegraded(faces: Sequence[Portrait]) -> list[tuple[Pixels, Floats]]:
    """The photos and landmarks as they are."""
    return [(face.photo, face.landmarks) for face in faces]


def print_tables(count: int, calibration: BlurCalibration) -> None:
    """Print the false alarms of each collection, then the recall and AUC of each rung."""
    segmenter = Segmenter.load("cpu")
    print("\n| undegraded photos | count | called blurred | at its own limit | cleanvision | Laplacian < 100 |")
    print("|---|---|---|---|---|---|")
    faces: list[Portrait] = []
    for collection in ("celebs-112", "lfw-gray", "celebamask"):
        faces = list(read_portraits(collection, 1, count, segmenter))
        sharp = scores(undegraded(faces), [face.labels for face in faces], calibration)
        shares = [(sharp[name] < threshold).mean() for name, threshold in THRESHOLDS.items()]
        sizes = np.array([face.photo.shape[1::-1] for face in faces])
        enlargement = np.array([face.enlargement() for face in faces])
        limits = collection_limits(
            sharp["sharpness"].to_numpy(), sizes[:, 0], sizes[:, 1], enlargement, Policy().min_sharpness
        )
        shares.insert(1, (sharp["sharpness"] < limits.of(sizes[:, 0], sizes[:, 1])).mean())
        print(f"| {collection} | {len(faces)} | {' | '.join(f'{share:.1%}' for share in shares)} |", flush=True)

    faces = faces[: max(40, count // 3)]
    labels = [face.labels for face in faces]
    print(f"\ncelebamask, {len(faces)} photos: share called blurred at brightness x1, x0.5, x2; AUC at x1\n")
    print("| rung | expected | Swapset | AUC | cleanvision | AUC | Laplacian | AUC |")
    print("|---|---|---|---|---|---|---|---|")
    expected = {True: "blurred", False: "sharp", None: "either"}
    for rung in LADDER:
        results = {factor: scores(degraded(faces, rung, factor), labels, calibration) for factor in BRIGHTNESS}
        cells = []
        for name, threshold in THRESHOLDS.items():
            shares = [(result[name] < threshold).mean() for result in results.values()]
            area = auc(results[1][name].to_numpy(), sharp[name].to_numpy()[: len(faces)])
            cells.append(f"{', '.join(f'{share:.3f}' for share in shares)} | {area:.3f}")
        print(f"| {rung.name} | {expected[rung.blurred]} | {' | '.join(cells)} |", flush=True)


def fit(datasets: Path, count: int, path: Path) -> None:
    """Fit the calibration on celebamask's tuned half, degraded, and on the labels of the people tuned on."""
    labelled = [
        LabelledFace(portrait.aligned(), label.label == "blurred")
        for collection in COLLECTIONS
        for portrait, label in labelled_portraits(datasets, collection, held=False)
        if label.label != "arguable"
    ]
    faces = (portrait.aligned() for portrait in sample_portraits(datasets, "celebamask", count, held=False))
    provenance = {
        "photos": "CelebAMask-HQ at 512 px, degraded; labels of bench/blur_labels.csv, people tuned on",
        "made by": f"python -m bench.sharpness --fit FILE --photos {count} --datasets DIR",
    }
    fit_calibration(faces, provenance=provenance, labelled=labelled).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=200, help="photos of each collection")
    parser.add_argument("--datasets", type=Path, help="folder of the measured collections")
    parser.add_argument("--fit", type=Path, help="write a calibration here instead of printing tables")
    parser.add_argument("--natural", action="store_true", help="print the table of labelled faces")
    parser.add_argument("--verdicts", action="store_true", help="print the table of whole collections")
    parser.add_argument("--planted", action="store_true", help="print the tables of planted collections")
    parser.add_argument("--calibration", type=Path, help="measure this calibration instead of the shipped one")
    options = parser.parse_args()
    torch.manual_seed(0)
    tables = options.natural or options.verdicts or options.planted
    if (options.fit or tables) and not options.datasets:
        parser.error("--fit and tables of collections need --datasets, the folder of the measured collections")
    if options.fit:
        fit(options.datasets, options.photos, options.fit)
        return
    calibration = load_calibration(options.calibration)
    if options.natural:
        print_natural(options.datasets, COLLECTIONS, 2 * options.photos, calibration)
    if options.planted:
        print_planted(options.datasets, options.photos, calibration)
    if options.verdicts:
        print_verdicts(options.datasets, (*COLLECTIONS, "celebamask"), calibration)
    if not tables:
        print_tables(options.photos, calibration)


if __name__ == "__main__":
    main()
