"""How well and how fast the face embedders tell people apart: Markdown tables for bench/RESULTS.md.

    python -m bench.embedders --photos 1500          # SWAPSET_DATA names the folder of photos

Protocol. From each of lfw-gray, celebs-112, celebs-color and web-raw a fixed sample of photos (at most 10 a person of
lfw-gray, an equal number of each of celebs-112); the largest central face that our MTCNN finds; every pair of photos.
Balanced pair accuracy: mean of the rates of same pairs above and different pairs below the threshold; the threshold is
the best on one half of the pairs, the figure is from the other half. TAR at FAR 1e-3: the share of same pairs above
the similarity that 1 in 1,000 different pairs exceeds. Degradations act on the photo, with the clean photo's
landmarks: Gaussian blur of sigma 2 px at the scale of a 112 px crop, half brightness, JPEG quality 30 at the photo's
own size. web-raw was cleaned by nobody: both its rows hold wrong persons.
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
Pairs = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]  # similarities of same and of different pairs
SETS = ("lfw-gray", "celebs-112", "celebs-color", "web-raw")


@dataclass
class FaceSet:
    """Photos (N) of one set with the person (N,) and the landmarks (N, 5, 2) of the main face of each."""

    photos: list[Photo]
    people: npt.NDArray[np.str_]
    landmarks: npt.NDArray[np.float64]

    def crops(self, template: Template, degrade: Callable[[Photo, float], Photo] | None = None) -> torch.Tensor:
        """uint8 (N, 3, h, w) on `template`, each photo first passed through `degrade(photo, px per crop px)`."""
        scales = [1 / np.hypot(m[0, 0], m[1, 0]) for m in align.fit(self.landmarks, TEMPLATES["arcface-112"])[0]]
        matrices, _ = align.fit(self.landmarks, template)
        parts = [torch.zeros(0, 3, *template.size, dtype=torch.uint8)]
        for start in range(0, len(self.photos), 64):
            some = slice(start, start + 64)
            photos = self.photos[some]
            if degrade:
                photos = [degrade(photo, scale) for photo, scale in zip(photos, scales[some], strict=True)]
            parts.append(align.warp(photos, np.arange(len(photos)), matrices[some], template.size))
        return torch.cat(parts)


def _jpeg(photo: Photo, _: float) -> Photo:
    coded = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, 30])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)  # the channel order survives a round trip


def _blur(photo: Photo, scale: float) -> Photo:
    return np.asarray(cv2.GaussianBlur(photo, (0, 0), 2 * scale), np.uint8)


DEGRADATIONS: dict[str, Callable[[Photo, float], Photo] | None] = {
    "clean": None,
    "blur": _blur,
    "half brightness": lambda photo, _: (photo // 2).astype(np.uint8),
    "JPEG 30": _jpeg,
}


def sample(root: Path, photos: int) -> list[Path]:
    """At most `photos` paths of one set, as even over its people as they allow, always the same ones."""
    people = [sorted(person.iterdir()) for person in sorted(root.iterdir()) if person.is_dir()]
    at_most = 10 if root.name == "lfw-gray" else photos
    rounds = [person[k] for k in range(at_most) for person in people if k < len(person)]
    return sorted(rounds[:photos])


def load(root: Path, photos: int, detector: Mtcnn, cache: Path) -> FaceSet:
    """The sampled photos in which a face was found; detections are read from `cache` where they are there."""
    paths = sample(root, photos)
    key = hashlib.sha256("\n".join([detector.fingerprint, *map(str, paths)]).encode()).hexdigest()[:16]
    pixels = [_read(path) for path in paths]
    file = cache / f"{root.name}-{key}.npy"
    if file.exists():
        landmarks = np.load(file)
    else:
        parts = [(some, detector(some)) for some in _batches(pixels, 32)]
        landmarks = np.stack(
            [_main_face(photo, faces.in_photo(k)) for some, faces in parts for k, photo in enumerate(some)]
        )
        cache.mkdir(parents=True, exist_ok=True)
        np.save(file, landmarks)
    ok = np.flatnonzero(np.isfinite(landmarks).all((1, 2)))
    people = np.array([path.parent.name for path in paths])
    return FaceSet([pixels[i] for i in ok], people[ok], landmarks[ok])


def _read(path: Path) -> Photo:
    photo = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if photo is None:
        raise SystemExit(f"{path} is no photo")
    return np.ascontiguousarray(np.asarray(photo, np.uint8)[..., ::-1])


def _main_face(photo: Photo, faces: Faces) -> npt.NDArray[np.float64]:
    """Landmarks (5, 2) of the face that is large and central; NaN where there is none."""
    if len(faces) == 0:
        return np.full((5, 2), np.nan)
    low, high = faces.box[:, :2], faces.box[:, 2:]
    centre = np.array(photo.shape[1::-1]) / 2
    away = (((low + high) / 2 - centre) ** 2).sum(1)
    largest = int(((high - low).prod(1) - 2 * away).argmax())
    return np.asarray(faces.landmarks[largest], np.float64)


def _batches(photos: list[Photo], size: int) -> Iterator[list[Photo]]:
    for start in range(0, len(photos), size):
        yield photos[start : start + size]


def pair_scores(similarity: npt.NDArray[np.float32], people: npt.NDArray[np.str_]) -> Pairs:
    """Square similarities (N, N) and people (N,) -> those of same and of different pairs, each in a fixed shuffle."""
    upper = np.triu_indices(len(people), 1)
    same = people[upper[0]] == people[upper[1]]
    values = similarity[upper].astype(np.float64)
    rng = np.random.default_rng(0)
    return rng.permutation(values[same]), rng.permutation(values[~same])


def balanced_accuracy(pairs: Pairs) -> float:
    """At the threshold that is best on the even pairs, measured on the odd ones."""
    (same, different), (same_test, different_test) = (tuple(v[k::2] for v in pairs) for k in (0, 1))
    grid = np.quantile(np.concatenate([same, different[: len(same)]]), np.linspace(0, 1, 1001))
    good = [(same > t).mean() + (different <= t).mean() for t in grid]
    best = grid[int(np.argmax(good))]
    return float((same_test > best).mean() + (different_test <= best).mean()) / 2


def tar(pairs: Pairs, far: float = 1e-3) -> float:
    """Share of same pairs above the threshold that `far` of the different pairs exceeds."""
    return float((pairs[0] > np.quantile(pairs[1], 1 - far)).mean())


def calibration(parts: list[Pairs], measured_on: str) -> Calibration:
    """Statistics of pairs of several sets, each set of equal weight."""
    same, different = (
        np.sort(np.concatenate([part[k][: min(len(other[k]) for other in parts)] for part in parts])) for k in (0, 1)
    )
    grid = np.linspace(-1, 1, 4001)
    missed = np.searchsorted(same, grid) / len(same)
    passed = 1 - np.searchsorted(different, grid) / len(different)
    far = {f"far_1e{k}": float(np.quantile(different, 1 - 10.0**-k)) for k in (2, 3, 4)}
    found = far | {
        "same_mean": same.mean(),
        "same_std": same.std(),
        "different_mean": different.mean(),
        "different_std": different.std(),
        "equal_error": grid[np.abs(missed - passed).argmin()],
    }
    return Calibration(**{key: round(float(value), 4) for key, value in found.items()}, measured_on=measured_on)


def accuracy_table(embedders: dict[str, Embedder], sets: dict[str, FaceSet]) -> None:
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
    for title, found in calibrations.items():
        print(f"- {title}: {asdict(found)}")


def comparison_table(embedder: Embedder, sets: dict[str, FaceSet], templates: dict[str, Template]) -> None:
    """The built-in embedder by distance, flip and template, on the clean photos of the two large sets."""
    print("\n| template | flip | compared by | " + " | ".join(SETS[:2]) + " |\n|---|---|---|---|---|")
    for title, template in templates.items():
        raw = {name: _raw(embedder, sets[name].crops(template)) for name in SETS[:2]}
        for flip in (False, True):
            for metric in ("distance", "cosine"):
                cells = []
                for name, (plain, mirrored) in raw.items():
                    if metric == "cosine":
                        plain, mirrored = _unit(plain), _unit(mirrored)
                    vectors = np.mean([plain, mirrored], 0) if flip else plain
                    vectors = _unit(vectors) if metric == "cosine" else vectors
                    # -|a - b|^2, which orders pairs as the distance does, and for unit vectors as the cosine.
                    squares = (vectors**2).sum(1)
                    pairs = pair_scores(2 * vectors @ vectors.T - squares - squares[:, None], sets[name].people)
                    cells.append(f"{balanced_accuracy(pairs):.3f} / {tar(pairs):.3f}")
                print(f"| {title} | {'yes' if flip else 'no'} | {metric} | {' | '.join(cells)} |", flush=True)


@torch.inference_mode()
def _raw(embedder: Embedder, crops: torch.Tensor) -> tuple[Vectors, Vectors]:
    """The network's own vectors, not of unit norm, of the crops and of their mirror images."""
    found: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
    for start in range(0, len(crops), 64):
        some = crops[start : start + 64]
        x = ((some.float() / 255 - embedder.mean) / embedder.std).contiguous(memory_format=torch.channels_last)
        found[0].append(embedder.network(x))
        found[1].append(embedder.network(x.flip(3)))
    return torch.cat(found[0]).numpy(), torch.cat(found[1]).numpy()


def _unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def speed_table(embedders: dict[str, Embedder], faces: FaceSet, rounds: int = 3) -> None:
    """Faces/s from crops in memory to vectors; rounds alternate between the contenders, the median counts."""
    import dlib  # type: ignore[import-untyped]

    reference = dlib.face_recognition_model_v1(str(locate(DLIB_RESNET)))
    contenders: dict[str, tuple[int, Callable[[], object]]] = {}
    for title, embedder in embedders.items():
        crops = faces.crops(embedder.template)[:256].contiguous(memory_format=torch.channels_last)
        contenders[f"{title}, with flip"] = (len(crops), functools.partial(embedder.embed, crops))
        contenders[f"{title}, without"] = (len(crops), functools.partial(_plain, embedder, crops))
    chips = list(faces.crops(TEMPLATES["dlib-150"])[:16].permute(0, 2, 3, 1).contiguous().numpy())
    contenders["dlib-bin, one by one, without flip"] = (
        len(chips),
        lambda: [reference.compute_face_descriptor(chip) for chip in chips],
    )
    contenders["dlib-bin, its batch call, without flip"] = (
        len(chips),
        lambda: reference.compute_face_descriptor(chips),
    )
    seconds: dict[str, list[float]] = {title: [] for title in contenders}
    for _ in range(rounds):
        for title, (_, call) in contenders.items():
            start = time.perf_counter()
            call()
            seconds[title].append(time.perf_counter() - start)
    print(f"\n| {torch.get_num_threads()} threads, CPU | faces/s |\n|---|---|")
    for title, (count, _) in contenders.items():
        print(f"| {title} | {count / float(np.median(seconds[title])):.1f} |")


@torch.inference_mode()
def _plain(embedder: Embedder, crops: torch.Tensor) -> None:
    for start in range(0, len(crops), 64):
        embedder(crops[start : start + 64].float() / 255)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=1500, help="photos of all sets together, at most")
    parser.add_argument("--data", type=Path, default=os.environ.get("SWAPSET_DATA"), help="default: $SWAPSET_DATA")
    parser.add_argument("--yardstick", type=Path, help="a MobileFaceNet checkpoint to measure beside the built-in")
    parser.add_argument(
        "--cache", type=Path, default=Path(tempfile.gettempdir()) / "swapset-bench", help="folder for detections"
    )
    parser.add_argument("--compare", action="store_true", help="also distances, flips and templates of the built-in")
    chosen = parser.parse_args()
    if chosen.data is None:
        parser.error("say where the photos are: --data DIR, or set SWAPSET_DATA")
    detector = Mtcnn()
    small = {name: min(chosen.photos // 8, len(sample(chosen.data / name, 10**6))) for name in SETS[2:]}
    large = (chosen.photos - sum(small.values())) // 2
    sets = {name: load(chosen.data / name, small.get(name, large), detector, chosen.cache) for name in SETS}
    embedders = {"built-in": load_embedder("builtin")}
    if chosen.yardstick:
        embedders["yardstick"] = load_embedder(chosen.yardstick)
    speed_table(embedders, sets["celebs-112"])
    print()
    accuracy_table(embedders, sets)
    if chosen.compare:
        comparison_table(embedders["built-in"], sets, {"dlib-150": TEMPLATES["dlib-150"], **variants()})


def variants() -> dict[str, Template]:
    """Templates beside which dlib-150 was chosen."""
    chosen = TEMPLATES["dlib-150"].points[0]
    centre = chosen.mean(0)
    tight = [[42.0, 32.8], [103.3, 33.5], [72.4, 72.0], [48.0, 104.2], [101.4, 105.2]]
    points = {
        "as dlib cuts them (4 px lower)": chosen + np.array([0.0, 4.0]),
        "5% smaller": (chosen - centre) * 0.95 + centre,
        "5% larger": (chosen - centre) * 1.05 + centre,
        "4 px higher": chosen - np.array([0.0, 4.0]),
        "tight: eyes 61 px apart": np.array(tight),
    }
    return {title: Template(title, found, (150, 150)) for title, found in points.items()}


if __name__ == "__main__":
    main()
