"""Damage of image data: what is called corrupt among undamaged, bordered and damaged photos, and what it costs.

    SWAPSET_DATA=DIR python -m bench.damage --photos 60 [--offset 0.5]

Protocol: `--photos` photos of each collection, evenly spread, beginning `--offset` of a step later (another offset
gives other photos: thresholds were set at 0).

- undamaged: as they are, and as thumbnails of 64 px (JPEG 90).
- bordered: the photo at 328 px with a border of 16, 20 or 32 px in white, black or blue, with pillars, on a ground, and
  beside its mirror image with a gutter between them; JPEG 90.
- damaged: the photo at 512, 350 and 64 px as JPEG 75 and 92, one or three bytes of its scan data changed at random.
  Counted are files that still decode and show it: over 2% of their pixels differ by more than 40 levels.
"""

import argparse
import io
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from bench.photos import data
from curate.decide.policy import Policy
from curate.decode import DecodeError, Pixels, decode
from curate.measure.damage import photo_damage
from curate.measure.inputs import PhotoInputs

COLLECTIONS = {
    "celebs-color": "*/*.jpg",
    "celebamask": "images/*.jpg",
    "web-raw": "*/*.jpg",
    "lfw-gray": "*/*.jpg",
    "celebs-112": "*/*.jpg",
    "unlabelled": "*.jpg",
}
COLOUR = ("celebs-color", "celebamask")
"""Collections whose photos are bordered and damaged."""

BORDER_COLOURS = ((255, 255, 255), (0, 0, 0), (40, 90, 180))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=60, help="photos of each collection")
    parser.add_argument("--offset", type=float, default=0.0, help="0-1: shift of the sample, in steps of it")
    options = parser.parse_args()
    random = np.random.default_rng(1)
    called: dict[str, list[bool]] = defaultdict(list)
    seconds = []
    for collection, pattern in COLLECTIONS.items():
        for path in shifted_sample(collection, pattern, options.photos, options.offset):
            photo = decode(path.read_bytes()).pixels
            start = time.thread_time()
            called[f"undamaged, {collection}"].append(is_damaged(photo))
            seconds.append(time.thread_time() - start)
            called[f"undamaged, {collection}, 64 px"].append(is_damaged(recoded(resized(photo, 64), 90)))
            if collection in COLOUR:
                for bordered in borders(resized(photo, 328)):
                    called[f"bordered, {collection}"].append(is_damaged(recoded(bordered, 90)))
                for side in (512, 350, 64):
                    called[f"damaged, {collection}, {side} px"] += [
                        is_damaged(version) for version in damaged(resized(photo, side), random)
                    ]
    print("| photos | count | called damaged |\n|---|---|---|")
    for name, verdicts in called.items():
        print(f"| {name} | {len(verdicts)} | {sum(verdicts)} ({np.mean(verdicts):.1%}) |")
    print(f"\nCPU ms a photo: median {np.median(seconds) * 1e3:.2f}, largest {max(seconds) * 1e3:.2f}")


def shifted_sample(collection: str, pattern: str, count: int, offset: float) -> list[Path]:
    """Select `count` files, evenly spread, that differ between offsets where the collection is large enough."""
    files = sorted((data() / collection).glob(pattern))
    step = max(1.0, len(files) / count)
    positions = np.unique((np.arange(min(count, len(files))) * step + offset * step).astype(int))
    return [files[position] for position in positions if position < len(files)]


def is_damaged(pixels: Pixels) -> bool:
    """Whether the default policy calls the whole photo damaged."""
    policy, columns = Policy(), photo_damage(pixels, PhotoInputs(pixels).luma)
    return columns["corruption"] > policy.max_corruption or columns["flat_rows"] > policy.max_flat_rows


def resized(photo: Pixels, side: int) -> Pixels:
    """Resize so that the longer side is `side` px; sides are cut to multiples of 8 px."""
    scale = side / max(photo.shape[:2])
    height, width = (max(16, round(length * scale)) for length in photo.shape[:2])
    small = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return np.asarray(small[: height // 8 * 8, : width // 8 * 8], np.uint8)


def jpeg(photo: Pixels, quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def recoded(photo: Pixels, quality: int) -> Pixels:
    """The photo after JPEG coding."""
    return decode(jpeg(photo, quality)).pixels


def borders(photo: Pixels) -> Iterator[Pixels]:
    """Yield the photo with borders, pillars, on a ground, and in a collage."""

    def framed(above: int, beside: int, colour: tuple[int, ...]) -> Pixels:
        edges = (above, above, beside, beside)
        return np.asarray(cv2.copyMakeBorder(photo, *edges, cv2.BORDER_CONSTANT, value=colour), np.uint8)

    for colour in BORDER_COLOURS:
        for width in (16, 20, 32):
            yield framed(width, width, colour)
        yield framed(0, 64, colour)
    yield framed(80, 96, (200, 60, 60))
    gutter = np.full((photo.shape[0], 16, 3), 255, np.uint8)
    yield np.concatenate([photo, gutter, photo[:, ::-1]], 1)


def damaged(photo: Pixels, random: np.random.Generator) -> Iterator[Pixels]:
    """Yield what is decoded of JPEG files with one and three changed bytes, where the damage shows."""
    for quality in (75, 92):
        file = jpeg(photo, quality)
        whole = decode(file).pixels
        for count in (1, 3):
            try:
                torn = decode(with_changed_bytes(file, count, random)).pixels
            except DecodeError:
                continue
            difference = np.abs(torn.astype(np.int16) - whole).max(2)
            if (difference > 40).mean() > 0.02:
                yield torn


def with_changed_bytes(file: bytes, count: int, random: np.random.Generator) -> bytes:
    """Change `count` bytes of the scan data at random; markers and stuffed bytes stay."""
    changed: npt.NDArray[np.uint8] = np.frombuffer(file, np.uint8).copy()
    header = file.index(b"\xff\xda")
    start = header + 2 + int.from_bytes(file[header + 2 : header + 4], "big")
    for position in random.integers(start + 1, len(file) - 2, count):
        if 0xFF not in changed[position - 1 : position + 1]:
            changed[position] = random.integers(0xFF)
    return changed.tobytes()


if __name__ == "__main__":
    main()
