"""The built-in segmenter: IoU per class, images/s, and sheets of overlays for visual inspection.

    python -m bench.segmenter --data $SWAPSET_DATA --sheets OUT          # accuracy and sheets
    python -m bench.segmenter --data $SWAPSET_DATA --speed               # images/s, on an idle machine

Protocol: the last 100 photos of celebamask by sorted name, which the segmenter was not trained on, resized with a box
filter; label maps are resized with nearest neighbours. IoU over all pixels of all photos; the mean is over the classes
that occur in at least 20 of the photos. The harder rows are the same photos after the degradation named; in the last
ones each photo is framed at random once (scale, shift, rotation up to 75 degrees), with a turned head, a border within
or near the face, or an occluder, drawn as in training but with the material of these 100 photos. Speed: batches of 32
crops at 224 px and of 8 at 512 px, uint8 crops to uint8 label maps.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from curate.faces.segment import Segmenter
from manifests.landmarks import MASK_CLASSES
from train.perception.augmentation import Augmentation
from train.perception.celebamask import load_photos, split_names
from train.perception.iou import count_maps, iou_scores
from train.perception.occluders import Occluders
from train.perception.recipe import Phase

COLOURS = np.array(
    [(0, 0, 0), (230, 160, 120), (255, 90, 90), (0, 255, 255), (60, 60, 255), (60, 255, 60), (160, 60, 255),
     (190, 255, 60), (255, 160, 0), (255, 220, 0), (255, 255, 255), (255, 0, 120), (180, 0, 60), (120, 70, 20),
     (200, 0, 200), (0, 160, 160), (90, 90, 255), (120, 170, 90), (90, 90, 90)], np.uint8,
)  # fmt: skip

Images = npt.NDArray[np.uint8]


def tight(stack: Tensor, mode: str) -> Tensor:
    """Crop the middle of the photos, about as arcface-112 frames a face, and enlarge it to the original size."""
    size = stack.shape[-1]
    low, high = round(0.2 * size), round(0.8 * size)
    part = stack[..., low + round(0.07 * size) : high + round(0.07 * size), low:high].float()
    part = part if part.ndim == 4 else part[:, None]
    align = {"align_corners": False} if mode == "bilinear" else {}
    enlarged = F.interpolate(part, size=(size, size), mode=mode, **align).round().byte()
    return enlarged if stack.ndim == 4 else enlarged[:, 0]


def low_resolution(photos: Tensor, side: int) -> Tensor:
    """Shrink to `side` px and enlarge to the original size."""
    shrunk = F.interpolate(photos.float(), size=(side, side), mode="bilinear", antialias=True)
    return F.interpolate(shrunk, size=photos.shape[-2:], mode="bilinear").round().clamp(0, 255).byte()


def jpeg(photos: Tensor, quality: int) -> Tensor:
    """Encode as JPEG of that quality and decode."""
    decoded = []
    for photo in photos.permute(0, 2, 3, 1).numpy():
        coded = cv2.imencode(".jpg", photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        decoded.append(np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))[..., ::-1].copy())
    return torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2)


DEGRADATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "unchanged": lambda photos: photos,
    "greyscale": lambda photos: photos.float().mean(1, keepdim=True).expand(-1, 3, -1, -1).round().byte(),
    "a third of the light": lambda photos: (photos.float() * 0.33).byte(),
    "64 px, enlarged": lambda photos: low_resolution(photos, 64),
    "JPEG 30": lambda photos: jpeg(photos, 30),
}


HARD = {
    "framed at random": {},
    "turned head": {"turned": 1.0},
    "border within the face": {"padded": 1.0},
    "occluder": {"occluded": 1.0},
    "all three": {"turned": 1.0, "padded": 1.0, "occluded": 1.0},
}


def framed(photos: Tensor, labels: Tensor, shares: dict[str, float]) -> tuple[Tensor, Tensor]:
    """Frame photos uint8 (N, 3, S, S) at random, the same way in every run, with what `shares` of a `Phase` name."""
    images, maps = np.ascontiguousarray(photos.permute(0, 2, 3, 1).numpy()), labels.numpy()
    phase = Phase(0, 224, 1, 0.0, 0.0, 0.0, **({"occluded": 0.0, "turned": 0.0, "padded": 0.0} | shares))
    augmentation = Augmentation(images, maps, Occluders(images, maps))
    crops, classes = augmentation.crops(np.arange(len(images)), phase, np.random.default_rng(7))
    return (crops * 255).round().byte(), classes.byte()


def accuracy(segmenter: Segmenter, folder: Path) -> None:
    """Print the table of the classes at 224 px, and one row for each size, framing and degradation."""
    _, names = split_names(folder)
    photos, truth = load_photos(folder, names, 224)
    table = iou_scores(segmenter.label_maps(photos), truth)
    counts = count_maps(truth).tolist()
    print("| class | photos with it | IoU |\n| --- | --- | --- |")
    for name, count in zip(MASK_CLASSES, counts, strict=True):
        print(f"| {name} | {count} | {table[name]:.3f} |")

    print("\n| photos | face_hair | face | hair | mean | not_background |\n| --- | --- | --- | --- | --- | --- |")
    rows = {f"224 px, {name}": (degrade(photos), truth) for name, degrade in DEGRADATIONS.items()}
    rows["512 px"] = load_photos(folder, names, 512)
    images, labels = rows["512 px"]
    shrunk = F.interpolate(tight(images, "bilinear").float(), size=(224, 224), mode="bilinear", antialias=True)
    cropped = F.interpolate(tight(labels, "nearest")[:, None], size=(224, 224), mode="nearest")[:, 0]
    rows["224 px, face fills the frame"] = (shrunk.round().byte(), cropped)
    for name, shares in HARD.items():
        rows[f"224 px, {name}"] = framed(images, labels, shares)
    for name, (images, labels) in rows.items():
        iou = iou_scores(segmenter.label_maps(images), labels)
        figures = " | ".join(f"{iou[key]:.3f}" for key in ("face_hair", "face", "hair", "mean", "not_background"))
        print(f"| {name} | {figures} |")


def speed(segmenter: Segmenter, seconds: float = 8) -> None:
    """Print images/s at 224 and 512 px: the median over the batches that take `seconds` in total."""
    for batch, size in ((32, 224), (8, 512)):
        crops = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8)
        segmenter.label_maps(crops)
        times: list[float] = []
        while sum(times) < seconds:
            start = time.perf_counter()
            segmenter.label_maps(crops).cpu()
            times.append(time.perf_counter() - start)
        print(f"{size} px: {batch / float(np.median(times)):.1f} images/s, {torch.get_num_threads()} threads")


def overlay(photo: Images, labels: Images) -> Images:
    """The photo (H, W, 3) beside the photo tinted with the colours of its classes: (H, 2W, 3)."""
    painted = np.where(labels[..., None] > 0, photo // 2 + COLOURS[labels] // 2, photo)
    return np.concatenate([photo, painted.astype(np.uint8)], 1)


def write_sheet(segmenter: Segmenter, paths: list[Path], out: Path, columns: int = 6, size: int = 224) -> None:
    """Write one PNG with an overlay of each photo, resized to a square of `size` px."""
    bgr = [cv2.imread(str(path), cv2.IMREAD_COLOR) for path in paths]
    photos = [
        cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)[..., ::-1] for image in bgr if image is not None
    ]
    labels = segmenter.label_maps(torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2)).cpu().numpy()
    tiles = [overlay(np.asarray(photo, np.uint8), label) for photo, label in zip(photos, labels, strict=True)]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[start : start + columns], 1) for start in range(0, len(tiles), columns)]
    out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(out), np.concatenate(rows)[..., ::-1])
    print(f"wrote {out}")


def write_sheets(segmenter: Segmenter, data: Path, out: Path, count: int = 24) -> None:
    """Write a sheet of evenly spread photos for each collection; only celebamask has true label maps."""
    _, names = split_names(data / "celebamask")
    photos = {"celebamask": [data / "celebamask" / "images" / f"{name}.jpg" for name in names]}
    for collection in ("celebs-112", "lfw-gray", "web-raw", "celebs-color"):
        photos[collection] = sorted((data / collection).glob("*/*.jpg"))
    for collection, paths in photos.items():
        if paths:
            write_sheet(segmenter, paths[:: max(1, len(paths) // count)][:count], out / f"{collection}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with celebamask/ and the other collections")
    parser.add_argument("--weights", type=Path, help="safetensors file to measure instead of the built-in weights")
    parser.add_argument("--sheets", type=Path, help="write overlay sheets to this folder")
    parser.add_argument("--speed", action="store_true", help="measure images/s instead of accuracy")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    segmenter = Segmenter.load(options.device, options.weights)
    if options.speed:
        speed(segmenter)
        return
    accuracy(segmenter, options.data / "celebamask")
    if options.sheets:
        write_sheets(segmenter, options.data, options.sheets)


if __name__ == "__main__":
    main()
