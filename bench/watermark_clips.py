"""The watermark in clips that are encoded again: H.264, H.265 and VP9, also after a crop and another brightness.

    python -m bench.watermark_clips --size 224 --photos 400 --recodings h264-30 h265-28
    python -m bench.watermark_clips --size 512 --photos 20        # all of bench.attacks.RECODINGS

Protocol. A clip has 50 frames, 2 s: a camera pans over a photo and zooms in, with slight noise. Photos: those of
`bench.watermark`, on which the mark was not tuned; with `--size frames`, web photos at 1280 x 720 px. Every frame is
marked with one ID, the clip is encoded, decoded, and read as a whole (recovered: all 32 bits at the detection
threshold, with the Wilson interval of 95%), and its middle frame alone.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from bench.attacks import RECODINGS, Recoding, recode
from bench.photos import sample
from bench.watermark import held_out, interval
from bench.watermarkers import MARK_ID, recovers_id
from train.marks.watermark.reader import MIN_SCORE, read, read_clip
from train.marks.watermark.writer import Watermark

Pixels = npt.NDArray[np.uint8]


def make_clip(path: Path, width: int, height: int) -> Pixels:
    """Make a clip uint8 (50, height, width, 3) of a photo: the camera pans and zooms in, with slight noise."""
    photo = np.asarray(Image.open(path).convert("RGB"))
    random = np.random.default_rng(7)
    first_scale = min(photo.shape[1] / width, photo.shape[0] / height) * 0.85
    x, y = (photo.shape[1] - width * first_scale) / 2, (photo.shape[0] - height * first_scale) / 2
    frames = []
    for time_in_clip in np.linspace(0, 1, 50):
        scale = first_scale * (1 - 0.06 * time_in_clip)
        left, top = x * (1 + 0.8 * np.sin(2 * time_in_clip)), y * (1 + 0.6 * np.sin(3 * time_in_clip))
        matrix = np.array([[scale, 0, left], [0, scale, top]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        frame = cv2.warpAffine(photo, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT)
        frames.append(np.clip(frame + random.normal(0, 1.5, frame.shape), 0, 255).astype(np.uint8))
    return np.stack(frames)


@dataclass
class _Results:
    """Of one way to encode: per clip, whether the ID is read from it and from one frame, score, and bits per second."""

    recovered: list[bool] = field(default_factory=list)
    one_frame: list[bool] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)


def print_clips(paths: Sequence[Path], width: int, height: int, recodings: Sequence[Recoding]) -> None:
    """Print a row for each way to encode."""
    watermark = Watermark(MARK_ID)
    results = {recoding: _Results() for recoding in recodings}
    for path in paths:
        marked = watermark.mark(make_clip(path, width, height))
        for recoding, result in results.items():
            frames, size = recode(marked, recoding)
            reading = read_clip(frames)
            result.recovered.append(recovers_id(reading))
            result.scores.append(reading.score)
            result.one_frame.append(recovers_id(read([frames[len(frames) // 2]])[0]))
            result.rates.append(size * 8 / 2)
    print(f"\n{width} x {height} px, limit of the score {MIN_SCORE}\n")
    print("| encoded | kbit/s | n | recovered from the clip, 95% | lowest score | 5% | median | from one frame |")
    print("|---" * 8 + "|")
    for recoding, result in results.items():
        count = len(result.recovered)
        low, fifth, median = np.percentile(result.scores, [0, 5, 50])
        print(
            f"| {recoding.title} | {np.mean(result.rates) / 1000:.0f} | {count} "
            f"| {interval(sum(result.recovered), count)} | {low:.1f} | {fifth:.1f} | {median:.1f} "
            f"| {sum(result.one_frame) / count:.0%} |",
            flush=True,
        )


def main() -> None:
    names = [recoding.name for recoding in RECODINGS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="224", help="side of the clips in px, or `frames`: 1280 x 720")
    parser.add_argument("--photos", type=int, default=20, help="clips")
    parser.add_argument("--recodings", nargs="*", default=names, choices=names, metavar="NAME", help=", ".join(names))
    options = parser.parse_args()
    cv2.setNumThreads(1)
    recodings = [recoding for recoding in RECODINGS if recoding.name in options.recodings]
    if options.size == "frames":
        print_clips(sample("web-raw", "*/*.jpg", options.photos), 1280, 720, recodings)
    else:
        print_clips(held_out(options.photos), int(options.size), int(options.size), recodings)


if __name__ == "__main__":
    main()
