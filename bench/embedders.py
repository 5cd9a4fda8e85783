"""Accuracy and speed of the face embedders: Markdown tables for RESULTS.md.

    SWAPSET_DATA=DIR python -m bench.embedders --photos 1500

Protocol: a fixed sample of photos of lfw-gray (at most 10 per person), celebs-112 (an equal number per person),
celebs-color and web-raw; the largest central face that the built-in MTCNN detects; all pairs of photos.
Balanced pair accuracy: the mean of the rates of same-person pairs above and different-person pairs below a threshold;
the threshold is the best one on the even pairs, the figure is of the odd pairs. TAR at FAR 1e-3: the share of
same-person pairs above the similarity that 1 in 1,000 different-person pairs exceeds. Degradations apply to the photo
and keep the landmarks of the undegraded one: Gaussian blur of sigma 2 px at the scale of a 112 px crop, half
brightness, JPEG quality 30 at the photo's own size. web-raw is not cleaned: its figures include wrong persons.
"""

import argparse
import functools
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from curate.faces import align
from curate.faces.detectors.mtcnn import Mtcnn
from curate.faces.embedder import Embedder
from curate.faces.faces import Faces
from curate.faces.models import load_embedder
from curate.faces.weights import DLIB_RESNET, Calibration, locate
from manifests.landmarks import TEMPLATES, Template

Photo = npt.NDArray[np.uint8]
Vectors = npt.NDArray[np.float32]
Pairs = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Similarities of same-person and of different-person pairs."""
Templates = dict[str, Template]
SETS = ("lfw-gray", "celebs-112", "celebs-color", "web-raw")


@dataclass
class FaceSet:
    """N photos of one collection with the person (N,) and the landmarks (N, 5, 2) of the main face of each."""

    photos: list[Photo]
    people: npt.NDArray[np.str_]
    landmarks: npt.NDArray[np.float64]

    def crops(self, template: Template, degrade: Callable[[Photo, float], Photo] | None = None) -> torch.Tensor:
        """Align the faces: uint8 (N, 3, h, w); each photo first passes through `degrade(photo, px per crop px)`."""
        scales = [1 / np.hypot(m[0, 0], m[1, 0]) for m in align.fit(self.landmarks, TEMPLATES["arcface-112"])[0]]
        matrices, _ = align.fit(self.landmarks, template)
        parts = [torch.zeros(0, 3, *template.size, dtype=torch.uint8)]
        for start in range(0, len(self.photos), 64):
            batch = slice(start, start + 64)
            photos = self.photos[batch]
            if degrade:
                photos = [degrade(photo, scale) for photo, scale in zip(photos, scales[batch], strict=True)]
            parts.append(align.warp(photos, np.arange(len(photos)), matrices[batch], template.size))
        return torch.cat(parts)


def _jpeg(photo: Photo, _: float) -> Photo:
    encoded = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, 30])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)  # a round trip keeps the order of channels


def _blur(photo: Photo, scale: float) -> Photo:
    return np.asarray(cv2.GaussianBlur(photo, (0, 0), 2 * scale), np.uint8)


DEGRADATIONS: dict[str, Callable[[Photo, float], Photo] | None] = {
    "clean": None,
    "blur": _blur,
    "half brightness": lambda photo, _: (photo // 2).astype(np.uint8),
    "JPEG 30": _jpeg,
}


def sample(root: Path, photos: int) -> list[Path]:
    """Select up to `photos` paths of one collection, evenly over its people; the same ones at every call."""
    people = [sorted(person.iterdir()) for person in sorted(root.iterdir()) if person.is_dir()]
    max_per_person = 10 if root.name == "lfw-gray" else photos
    rounds = [person[k] for k in range(max_per_person) for person in people if k < len(person)]
    return sorted(rounds[:photos])


def load(root: Path, photos: int, detector: Mtcnn, cache: Path) -> FaceSet:
    """Read the sampled photos with a detected face; detections are cached in the folder `cache`."""
    paths = sample(root, photos)
    key = hashlib.sha256("\n".join([detector.fingerprint, *map(str, paths)]).encode()).hexdigest()[:16]
    pixels = [_read(path) for path in paths]
    file = cache / f"{root.name}-{key}.npy"
    if file.exists():
        landmarks = np.load(file)
    else:
        landmarks = np.stack(list(_detect_main_faces(pixels, detector)))
        cache.mkdir(parents=True, exist_ok=True)
        np.save(file, landmarks)
    with_face = np.flatnonzero(np.isfinite(landmarks).all((1, 2)))
    people = np.array([path.parent.name for path in paths])
    return FaceSet([pixels[i] for i in with_face], people[with_face], landmarks[with_face])


def _read(path: Path) -> Photo:
    photo = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if photo is None:
        raise SystemExit(f"{path}: OpenCV cannot read this photo")
    return np.ascontiguousarray(np.asarray(photo, np.uint8)[..., ::-1])


def _detect_main_faces(photos: list[Photo], detector: Mtcnn) -> Iterator[npt.NDArray[np.float64]]:
    """Yield the landmarks (5, 2) of the main face of each photo; NaN where none is detected."""
    for start in range(0, len(photos), 32):
        batch = photos[start : start + 32]
        faces = detector(batch)
        for k, photo in enumerate(batch):
            yield _main_face(photo, faces.in_photo(k))


def _main_face(photo: Photo, faces: Faces) -> npt.NDArray[np.float64]:
    """Landmarks (5, 2) of the face with the largest area minus twice its squared distance from the photo's centre."""
    if len(faces) == 0:
        return np.full((5, 2), np.nan)
    low, high = faces.box[:, :2], faces.box[:, 2:]
    centre = np.array(photo.shape[1::-1]) / 2
    squared_distance = (((low + high) / 2 - centre) ** 2).sum(1)
    main = int(((high - low).prod(1) - 2 * squared_distance).argmax())
    return np.asarray(faces.landmarks[main], np.float64)


def pair_scores(similarity: npt.NDArray[np.float32], people: npt.NDArray[np.str_]) -> Pairs:
    """Split similarities (N, N) of the faces of `people` (N,) into same-person and different-person pairs, shuffled."""
    upper = np.triu_indices(len(people), 1)
    same = people[upper[0]] == people[upper[1]]
    if not same.any():
        raise SystemExit("no two photos of the sample show one person: raise --photos")
    values = similarity[upper].astype(np.float64)
    rng = np.random.default_rng(0)
    return rng.permutation(values[same]), rng.permutation(values[~same])


def balanced_accuracy(pairs: Pairs) -> float:
    """Accuracy on the odd pairs at the threshold that is best on the even pairs."""
    (same, different), (same_test, different_test) = (tuple(v[k::2] for v in pairs) for k in (0, 1))
    grid = np.quantile(np.concatenate([same, different[: len(same)]]), np.linspace(0, 1, 1001))
    accuracy = [(same > threshold).mean() + (different <= threshold).mean() for threshold in grid]
    best = grid[int(np.argmax(accuracy))]
    return float((same_test > best).mean() + (different_test <= best).mean()) / 2


def tar(pairs: Pairs, far: float = 1e-3) -> float:
    """Share of same-person pairs above the threshold that a share `far` of the different-person pairs exceeds."""
    return float((pairs[0] > np.quantile(pairs[1], 1 - far)).mean())


def calibration(parts: list[Pairs], measured_on: str) -> Calibration:
    """Compute the statistics of the pairs of several collections, equally many of each."""
    same, different = (
        np.sort(np.concatenate([part[k][: min(len(other[k]) for other in parts)] for part in parts])) for k in (0, 1)
    )
    grid = np.linspace(-1, 1, 4001)
    false_rejects = np.searchsorted(same, grid) / len(same)
    false_accepts = 1 - np.searchsorted(different, grid) / len(different)
    far = {f"far_1e{k}": float(np.quantile(different, 1 - 10.0**-k)) for k in (2, 3, 4)}
    statistics = far | {
        "same_mean": same.mean(),
        "same_std": same.std(),
        "different_mean": different.mean(),
        "different_std": different.std(),
        "equal_error": grid[np.abs(false_rejects - false_accepts).argmin()],
    }
    return Calibration(**{key: round(float(value), 4) for key, value in statistics.items()}, measured_on=measured_on)


def accuracy_table(embedders: dict[str, Embedder], sets: dict[str, FaceSet]) -> None:
    """Print the accuracy by embedder, collection and degradation, and calibrations for the weights table."""
    print("| embedder | set | faces | " + " | ".join(DEGRADATIONS) + " |")
    print("|---" * (3 + len(DEGRADATIONS)) + "|")
    calibrations = {}
    for title, embedder in embedders.items():
        clean = {}
        for name, faces in sets.items():
            cells = []
            for kind, degrade in DEGRADATIONS.items():
                vectors = embedder.embed(faces.crops(embedder.template, degrade)).numpy()
                pairs = pair_scores(vectors @ vectors.T, faces.people)
                cells.append(f"{balanced_accuracy(pairs):.3f} / {tar(pairs):.3f}")
                if kind == "clean":
                    clean[name] = pairs
            print(f"| {title} | {name} | {len(faces.photos)} | {' | '.join(cells)} |", flush=True)
        parts = [clean[name] for name in SETS[:2]]
        calibrations[title] = calibration(parts, f"{' and '.join(SETS[:2])}, pairs within each")
    print("\nBalanced pair accuracy / TAR at FAR 1e-3.\n\nCalibration for the weights table:\n")
    for title, values in calibrations.items():
        print(f"- {title}: {asdict(values)}")


def comparison_table(embedder: Embedder, sets: dict[str, FaceSet], templates: Templates) -> None:
    """Print the accuracy of one embedder by distance, flip and template, on the two large collections."""
    print("\n| template | flip | compared by | " + " | ".join(SETS[:2]) + " |\n|---|---|---|---|---|")
    for title, template in templates.items():
        raw = {name: _outputs(embedder, sets[name].crops(template)) for name in SETS[:2]}
        for flip in (False, True):
            for metric in ("distance", "cosine"):
                cells = []
                for name, (plain, mirrored) in raw.items():
                    if metric == "cosine":
                        plain, mirrored = _unit(plain), _unit(mirrored)
                    vectors = np.mean([plain, mirrored], 0) if flip else plain
                    vectors = _unit(vectors) if metric == "cosine" else vectors
                    # -|a - b|^2 orders pairs as the distance does, and for unit vectors as the cosine.
                    squares = (vectors**2).sum(1)
                    pairs = pair_scores(2 * vectors @ vectors.T - squares - squares[:, None], sets[name].people)
                    cells.append(f"{balanced_accuracy(pairs):.3f} / {tar(pairs):.3f}")
                print(f"| {title} | {'yes' if flip else 'no'} | {metric} | {' | '.join(cells)} |", flush=True)


@torch.inference_mode()
def _outputs(embedder: Embedder, crops: torch.Tensor) -> tuple[Vectors, Vectors]:
    """Outputs (N, D) of the network, before normalisation, for the crops and for their mirror images."""
    outputs: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
    for start in range(0, len(crops), 64):
        batch = crops[start : start + 64]
        x = ((batch.float() / 255 - embedder.mean) / embedder.std).contiguous(memory_format=torch.channels_last)
        outputs[0].append(embedder.network(x))
        outputs[1].append(embedder.network(x.flip(3)))
    return torch.cat(outputs[0]).numpy(), torch.cat(outputs[1]).numpy()


def _unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def speed_table(embedders: dict[str, Embedder], faces: FaceSet, rounds: int = 3) -> None:
    """Print faces/s from crops in memory to vectors: medians over rounds that alternate between the embedders."""
    import dlib  # type: ignore[import-untyped]

    reference = dlib.face_recognition_model_v1(str(locate(DLIB_RESNET)))
    calls: dict[str, tuple[int, Callable[[], object]]] = {}
    for title, embedder in embedders.items():
        crops = faces.crops(embedder.template)[:256].contiguous(memory_format=torch.channels_last)
        calls[f"{title}, with flip"] = (len(crops), functools.partial(embedder.embed, crops))
        calls[f"{title}, without"] = (len(crops), functools.partial(_embed_without_flip, embedder, crops))
    chips = list(faces.crops(TEMPLATES["dlib-150"])[:16].permute(0, 2, 3, 1).contiguous().numpy())
    calls["dlib-bin, one by one, without flip"] = (
        len(chips),
        lambda: [reference.compute_face_descriptor(chip) for chip in chips],
    )
    calls["dlib-bin, batch call, without flip"] = (
        len(chips),
        lambda: reference.compute_face_descriptor(chips),
    )
    seconds: dict[str, list[float]] = {title: [] for title in calls}
    for _ in range(rounds):
        for title, (_, call) in calls.items():
            start = time.perf_counter()
            call()
            seconds[title].append(time.perf_counter() - start)
    print(f"\n| {torch.get_num_threads()} threads, CPU | faces/s |\n|---|---|")
    for title, (count, _) in calls.items():
        print(f"| {title} | {count / float(np.median(seconds[title])):.1f} |")


@torch.inference_mode()
def _embed_without_flip(embedder: Embedder, crops: torch.Tensor) -> None:
    for start in range(0, len(crops), 64):
        embedder(crops[start : start + 64].float() / 255)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=1500, help="maximum number of photos of all collections together")
    parser.add_argument("--data", type=Path, default=os.environ.get("SWAPSET_DATA"), help="default: $SWAPSET_DATA")
    parser.add_argument("--yardstick", type=Path, help="MobileFaceNet checkpoint to compare with the built-in embedder")
    parser.add_argument(
        "--cache", type=Path, default=Path(tempfile.gettempdir()) / "swapset-bench", help="folder for detections"
    )
    parser.add_argument("--compare", action="store_true", help="also compare distances, flips and templates")
    options = parser.parse_args()
    if options.data is None:
        parser.error("no folder of photos: give --data DIR or set SWAPSET_DATA")
    detector = Mtcnn()
    small_sets = {name: min(options.photos // 8, len(sample(options.data / name, 10**6))) for name in SETS[2:]}
    large_set = (options.photos - sum(small_sets.values())) // 2
    sets = {name: load(options.data / name, small_sets.get(name, large_set), detector, options.cache) for name in SETS}
    embedders = {"built-in": load_embedder("builtin")}
    if options.yardstick:
        embedders["yardstick"] = load_embedder(options.yardstick)
    speed_table(embedders, sets["celebs-112"])
    print()
    accuracy_table(embedders, sets)
    if options.compare:
        comparison_table(embedders["built-in"], sets, {"dlib-150": TEMPLATES["dlib-150"], **alternative_templates()})


def alternative_templates() -> Templates:
    """Templates that dlib-150 was compared with."""
    points = TEMPLATES["dlib-150"].points[0]
    centre = points.mean(0)
    alternatives = {
        "dlib's own crops (4 px lower)": points + np.array([0.0, 4.0]),
        "5% smaller": (points - centre) * 0.95 + centre,
        "5% larger": (points - centre) * 1.05 + centre,
        "4 px higher": points - np.array([0.0, 4.0]),
        "tight: eyes 61 px apart": np.array([[42.0, 32.8], [103.3, 33.5], [72.4, 72.0], [48.0, 104.2], [101.4, 105.2]]),
    }
    return {title: Template(title, moved, (150, 150)) for title, moved in alternatives.items()}


if __name__ == "__main__":
    main()
