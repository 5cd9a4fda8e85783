"""The watermark against two libraries: visibility, robustness, speed, and false positives.

    python -m bench.watermark listed --size 512 --photos 300    # grids: listed, waves, w-bench, videoseal, pipelines
    python -m bench.watermark waves --size 224 --photos 60 --compared
    python -m bench.watermark unmarked                          # all photos of $SWAPSET_DATA
    python -m bench.watermark unmarked lfw-gray                 # of one folder

Protocol. Grids of attacks: `bench.attacks`. Recovered: all 32 bits of the ID are read from the attacked picture alone,
without its original size, at the detection threshold (false positives at most 1e-6 by design), with the Wilson interval
of 95%. Detected: a mark is found at a false positive rate of 1e-3 and of 1e-6; Swapset's rates are bounds by design and
the ID is not known in advance, the libraries' are those of as many of the 32 known bits.
Photos: CelebAMask-HQ resized to a square, without those on which the mark was tuned. `frames`: web photos at 1280 x 720
px with a face pasted in. Libraries are run on the first few of the same photos, because they are slow.
Milliseconds are CPU time of one thread, one picture at a time.
"""

import argparse
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image
from skimage.metrics import structural_similarity

from bench.attacks import GRIDS
from bench.photos import data, sample, spread
from bench.watermarkers import FALSE_POSITIVE_RATES, Method, methods
from curate.decode import decode
from curate.errors import DecodeError
from train.marks.media import PHOTO_SUFFIXES
from train.marks.watermark.reader import MIN_SCORE, Reading, read

Pixels = npt.NDArray[np.uint8]


def held_out(count: int) -> list[Path]:
    """Photos on which nothing was tuned."""
    pattern = "images/*.jpg"
    tuned = {*sample("celebamask", pattern, 24), *sample("celebamask", pattern, 40)}
    return spread([path for path in sorted((data() / "celebamask").glob(pattern)) if path not in tuned], count)


def read_faces(size: int, count: int) -> list[Pixels]:
    """Read photos on which nothing was tuned, resized to a square of `size` px."""
    photos = (Image.open(path).convert("RGB") for path in held_out(count))
    return [np.asarray(photo.resize((size, size), Image.Resampling.LANCZOS)) for photo in photos]


def make_frames(count: int) -> list[Pixels]:
    """Make frames of 1280 x 720 px: web photos enlarged to fill them, each with a face pasted in."""
    frames = []
    faces = read_faces(224, count)
    for path, face in zip(sample("web-raw", "*/*.jpg", count), faces, strict=False):
        photo = Image.open(path).convert("RGB")
        factor = max(1280 / photo.width, 720 / photo.height)
        photo = photo.resize((round(photo.width * factor) + 1, round(photo.height * factor) + 1))
        photo.paste(Image.fromarray(face), (500, 200))
        frames.append(np.asarray(photo)[:720, :1280])
    return frames


def print_grid(name: str, pictures: list[Pixels], compared: bool, attacks: list[str]) -> None:
    """Print visibility and speed of each method, and a row for each attack of a grid, or those named only."""
    for method in methods(compared):
        if min(pictures[0].shape[:2]) < method.min_side:
            continue
        used = pictures[: method.max_photos]
        marked = _print_visibility(method, used)
        print("| attack | strength | n | recovered, 95% | detected at 1e-3 | at 1e-6 | ms |")
        print("|---" * 7 + "|")
        for attack in (each for each in GRIDS[name] if not attacks or each.name in attacks):
            for strength in attack.strengths:
                results, seconds = [], 0.0
                for picture in marked:
                    attacked = attack.apply(picture, strength)
                    start = time.process_time()
                    results.append(method.read(attacked))
                    seconds += time.process_time() - start
                milliseconds = seconds / len(results) * 1e3
                recovered = sum(result.recovered for result in results)
                shares = [
                    f"{sum(result.detected[k] for result in results) / len(results):.1%}"
                    for k in range(len(FALSE_POSITIVE_RATES))
                ]
                print(
                    f"| {attack.name} | {strength:g} | {len(results)} | {interval(recovered, len(results))} "
                    f"| {shares[0]} | {shares[1]} | {milliseconds:.0f} |",
                    flush=True,
                )


def interval(count: int, total: int) -> str:
    """A share in percent with its Wilson interval of 95%."""
    z = 1.96
    share = count / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * np.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return f"{share:.1%} [{max(0, centre - half) * 100:.1f}, {min(1, centre + half) * 100:.1f}]"


def _print_visibility(method: Method, pictures: list[Pixels]) -> list[Pixels]:
    method.mark(pictures[0])  # the first call fills tables and caches
    start = time.process_time()
    marked = [method.mark(picture) for picture in pictures]
    milliseconds = (time.process_time() - start) / len(marked) * 1e3
    pairs = list(zip(marked, pictures, strict=True))
    psnr = [10 * np.log10(255**2 / np.square(after.astype(float) - before).mean()) for after, before in pairs]
    ssim = [structural_similarity(after, before, channel_axis=2) for after, before in pairs[:100]]
    print(
        f"\n{method.name}, {pictures[0].shape[1]} x {pictures[0].shape[0]} px: PSNR mean {np.mean(psnr):.1f}, min "
        f"{min(psnr):.1f} dB; SSIM mean {np.mean(ssim):.4f}, min {min(ssim):.4f}; {milliseconds:.1f} ms to mark\n",
        flush=True,
    )
    return marked


def print_unmarked(folders: list[str]) -> None:
    """Print the false positives among the photos of folders of $SWAPSET_DATA, all of them by default."""
    print(f"| unmarked photos | count | detected | highest score | at {MIN_SCORE} or more | ms per photo |")
    print("|---" * 6 + "|")
    for folder in folders or sorted(path.name for path in data().iterdir() if path.is_dir()):
        readings: list[Reading] = []
        start = time.process_time()
        pictures = _pictures(data() / folder)
        while batch := list(itertools.islice(pictures, 32)):
            readings += read(batch)
        if not readings:
            continue
        milliseconds = (time.process_time() - start) / len(readings) * 1e3
        detected, scores = sum(reading.detected for reading in readings), [reading.score for reading in readings]
        reached = sum(score >= MIN_SCORE for score in scores)
        print(f"| {folder} | {len(scores):,} | {detected} | {max(scores):.2f} | {reached} | {milliseconds:.1f} |",
              flush=True)  # fmt: skip


def _pictures(folder: Path) -> Iterator[Pixels]:
    """Yield all photos below a folder that can be decoded, masks left out."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in PHOTO_SUFFIXES and "masks" not in path.parts:
            try:
                yield decode(path.read_bytes()).pixels
            except DecodeError:
                continue


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=[*GRIDS, "unmarked"])
    parser.add_argument("folders", nargs="*", help="unmarked: folders of $SWAPSET_DATA; all by default")
    parser.add_argument("--size", default="512", help="side of the faces in px, or `frames`")
    parser.add_argument("--photos", type=int, default=60, help="photos of each attack")
    parser.add_argument("--compared", action="store_true", help="the libraries as well")
    parser.add_argument("--attacks", nargs="*", default=[], metavar="NAME", help="these attacks of the grid only")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.what == "unmarked":
        print_unmarked(options.folders)
    else:
        frames = options.size == "frames"
        pictures = make_frames(options.photos) if frames else read_faces(int(options.size), options.photos)
        print_grid(options.what, pictures, options.compared, options.attacks)


if __name__ == "__main__":
    main()
