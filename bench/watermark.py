"""The watermark against two libraries: visibility, robustness, speed, and false positives.

    python -m bench.watermark --photos 100      # faces and frames, every attack
    python -m bench.watermark --clips 6         # clips of 2 s through H.264
    python -m bench.watermark --unmarked        # all photos of $SWAPSET_DATA; --unmarked lfw-gray: of one folder

Protocol. Recovered: all 32 bits of the ID are read from the attacked picture alone, without its original size.
invisible-watermark (dwtDct, dwtDctSvd) and blind-watermark embed the same 32 bits without error correction, on the
first photos of the same set, and cannot detect whether a mark is present. invisible-watermark refuses 224 px.
Milliseconds are CPU time of one thread, one picture at a time.
"""

import argparse
import io
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from skimage.metrics import structural_similarity

from bench.photos import data, sample
from curate.decode import decode
from curate.errors import DecodeError
from train.marks.label import draw
from train.marks.media import PHOTO_SUFFIXES
from train.marks.watermark.reader import MIN_SCORE, Reading, detail_grids, read, read_clip, read_grids
from train.marks.watermark.writer import Watermark

Pixels = npt.NDArray[np.uint8]
MARK_ID = 0x9E3779B9
BITS = [MARK_ID >> k & 1 for k in range(31, -1, -1)]


@dataclass(frozen=True)
class Method:
    """A watermarking method.

    Attributes:
        name: as printed.
        mark: embeds MARK_ID in a picture uint8 (H, W, 3) RGB.
        recovers: whether all bits of MARK_ID are read from an attacked picture.
        min_side: smallest side of a picture that it accepts, px.
        share: of the photos that it is run on.
    """

    name: str
    mark: Callable[[Pixels], Pixels]
    recovers: Callable[[Pixels], bool]
    min_side: int = 0
    share: float = 1.0


def jpeg(picture: Pixels, quality: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def resized(picture: Pixels, factor: float) -> Pixels:
    size = round(picture.shape[1] * factor), round(picture.shape[0] * factor)
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def cropped(picture: Pixels, share: float) -> Pixels:
    """Remove this share of the picture on each of the four sides."""
    height, width = picture.shape[:2]
    y, x = round(share * height), round(share * width)
    return np.ascontiguousarray(picture[y : height - y, x : width - x])


ATTACKS: dict[str, Callable[[Pixels], Pixels]] = {
    "none": lambda picture: picture,
    "JPEG 75": lambda picture: jpeg(picture, 75),
    "JPEG 50": lambda picture: jpeg(picture, 50),
    "x0.5": lambda picture: resized(picture, 0.5),
    "x0.75": lambda picture: resized(picture, 0.75),
    "crop 5%": lambda picture: cropped(picture, 0.05),
    "label": lambda picture: draw(picture[None])[0],
    "x0.75, JPEG 80": lambda picture: jpeg(resized(picture, 0.75), 80),
    "x0.5, JPEG 80": lambda picture: jpeg(resized(picture, 0.5), 80),
    "mirrored, crop 5%, JPEG 75": lambda picture: jpeg(cropped(picture[:, ::-1], 0.05), 75),
}


def recovers_id(reading: Reading) -> bool:
    return reading.detected and reading.mark_id == MARK_ID


def swapset() -> Method:
    watermark = Watermark(MARK_ID)
    return Method(
        "Swapset", lambda picture: watermark.mark(picture[None])[0], lambda picture: recovers_id(read([picture])[0])
    )


def invisible_watermark(variant: str) -> Method:
    from imwatermark import WatermarkDecoder, WatermarkEncoder

    def mark(picture: Pixels) -> Pixels:
        encoder = WatermarkEncoder()
        encoder.set_watermark("bits", BITS)
        bgr: Any = encoder.encode(np.ascontiguousarray(picture[..., ::-1]), variant)
        return np.ascontiguousarray(bgr[..., ::-1]).astype(np.uint8)

    def recovers(picture: Pixels) -> bool:
        if picture.shape[0] * picture.shape[1] < 256 * 256:
            return False
        bits = WatermarkDecoder("bits", 32).decode(np.ascontiguousarray(picture[..., ::-1]), variant)
        return [int(bit) for bit in bits] == BITS

    return Method(f"invisible-watermark {variant}", mark, recovers, min_side=256, share=0.25)


def blind_watermark() -> Method:
    from blind_watermark import WaterMark, bw_notes

    bw_notes.close()

    def mark(picture: Pixels) -> Pixels:
        marker = WaterMark(password_img=1, password_wm=1)
        marker.read_img(img=np.ascontiguousarray(picture[..., ::-1]))
        marker.read_wm(np.array(BITS, bool), mode="bit")
        return np.clip(np.rint(marker.embed()), 0, 255)[..., ::-1].astype(np.uint8)

    def recovers(picture: Pixels) -> bool:
        marker = WaterMark(password_img=1, password_wm=1)
        try:
            bits = marker.extract(embed_img=np.ascontiguousarray(picture[..., ::-1]), wm_shape=32, mode="bit")
        except (ValueError, AssertionError, IndexError):
            return False
        return [int(bit > 0.5) for bit in bits] == BITS

    return Method("blind-watermark", mark, recovers, share=0.05)


def methods() -> list[Method]:
    return [swapset(), invisible_watermark("dwtDct"), invisible_watermark("dwtDctSvd"), blind_watermark()]


def read_faces(folder: str, pattern: str, size: int, count: int) -> list[Pixels]:
    """Read a sample of photos, resized to a square of `size` px."""
    photos = (Image.open(path).convert("RGB") for path in sample(folder, pattern, count))
    return [np.asarray(photo.resize((size, size), Image.Resampling.LANCZOS)) for photo in photos]


def make_frames(count: int) -> list[Pixels]:
    """Make frames of 1280 x 720 px: web photos enlarged to fill them, each with a face pasted in."""
    frames = []
    faces = read_faces("celebamask", "images/*.jpg", 224, count)
    for path, face in zip(sample("web-raw", "*/*.jpg", count), faces, strict=False):
        photo = Image.open(path).convert("RGB")
        factor = max(1280 / photo.width, 720 / photo.height)
        photo = photo.resize((round(photo.width * factor) + 1, round(photo.height * factor) + 1))
        photo.paste(Image.fromarray(face), (500, 200))
        frames.append(np.asarray(photo)[:720, :1280])
    return frames


def print_photos(count: int) -> None:
    """Print a table for each set of photos: visibility, speed and the share recovered after each attack."""
    sets = {
        "colour faces 224 px": read_faces("celebamask", "images/*.jpg", 224, count),
        "grey faces 224 px": read_faces("lfw-gray", "*/*.jpg", 224, count),
        "colour faces 512 px": read_faces("celebamask", "images/*.jpg", 512, count),
        "frames 1280x720": make_frames(max(1, count // 5)),
    }
    for title, pictures in sets.items():
        print(f"\n{title}\n")
        print(f"| method | photos | PSNR mean, min | SSIM mean, min | mark ms | read ms | {' | '.join(ATTACKS)} |")
        print(f"|---|{'---|' * (5 + len(ATTACKS))}")
        for method in methods():
            if min(pictures[0].shape[:2]) >= method.min_side:
                print(_row(method, pictures[: max(2, round(len(pictures) * method.share))]), flush=True)


def _row(method: Method, pictures: list[Pixels]) -> str:
    """Measure one method: a row of the table."""
    method.recovers(method.mark(pictures[0]))  # the first call fills tables and caches
    start = time.process_time()
    marked = [method.mark(picture) for picture in pictures]
    marking = time.process_time() - start
    pairs = list(zip(marked, pictures, strict=True))
    mse = [np.square(after.astype(float) - before).mean() for after, before in pairs]
    psnr = [10 * np.log10(255**2 / error) for error in mse]
    # SSIM of large frames is slow; 50 are enough for its mean.
    ssim = [structural_similarity(after, before, channel_axis=2) for after, before in pairs[:50]]
    cells, reading = [], 0.0
    for name, attack in ATTACKS.items():
        attacked = [attack(picture) for picture in marked]
        start = time.process_time()
        recovered = sum(method.recovers(picture) for picture in attacked)
        reading = time.process_time() - start if name == "none" else reading
        cells.append(f"{recovered / len(pictures):.1%}" if recovered < len(pictures) else "all")
    speed = f"{marking / len(pictures) * 1e3:.1f} | {reading / len(pictures) * 1e3:.1f}"
    quality = f"{np.mean(psnr):.1f}, {min(psnr):.1f} | {np.mean(ssim):.3f}, {min(ssim):.3f}"
    return f"| {method.name} | {len(pictures)} | {quality} | {speed} | {' | '.join(cells)} |"


def make_clip(path: Path, width: int, height: int, count: int = 50) -> Pixels:
    """Make a clip uint8 (count, height, width, 3) of a photo: the camera pans and zooms in, with slight noise."""
    photo = np.asarray(Image.open(path).convert("RGB"))
    random = np.random.default_rng(7)
    first_scale = min(photo.shape[1] / width, photo.shape[0] / height) * 0.85
    x, y = (photo.shape[1] - width * first_scale) / 2, (photo.shape[0] - height * first_scale) / 2
    frames = []
    for time_in_clip in np.linspace(0, 1, count):
        scale = first_scale * (1 - 0.06 * time_in_clip)
        left, top = x * (1 + 0.8 * np.sin(2 * time_in_clip)), y * (1 + 0.6 * np.sin(3 * time_in_clip))
        matrix = np.array([[scale, 0, left], [0, scale, top]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        frame = cv2.warpAffine(photo, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT)
        frames.append(np.clip(frame + random.normal(0, 1.5, frame.shape), 0, 255).astype(np.uint8))
    return np.stack(frames)


def h264(clip: Pixels, crf: int) -> tuple[list[Pixels], int]:
    """Encode a clip (libx264, medium, 4:2:0, 25 frames/s) and decode it; returns the frames and the encoded bytes."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", 25)
        stream.width, stream.height, stream.pix_fmt = clip.shape[2], clip.shape[1], "yuv420p"
        stream.options = {"crf": str(crf), "threads": "1"}
        for frame in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    size = buffer.tell()
    buffer.seek(0)
    with av.open(buffer) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)], size


def print_clips(count: int) -> None:
    """Print whether the ID is recovered from whole clips and from one frame, for each set and CRF."""
    print("| clips of 2 s, camera moving | CRF | kbit/s | clips | ID from the clip | min score | ID from one frame |")
    print("|---" * 7 + "|")
    watermark = Watermark(MARK_ID)
    sets = {
        "colour faces 224 px": (sample("celebamask", "images/*.jpg", count), 224, 224),
        "grey faces 224 px": (sample("lfw-gray", "*/*.jpg", count), 224, 224),
        "colour faces 512 px": (sample("celebamask", "images/*.jpg", count), 512, 512),
        "web photos 1280x720": (sample("web-raw", "*/*.jpg", max(1, count // 3)), 1280, 720),
    }

    for title, (paths, width, height) in sets.items():
        marked = [watermark.mark(make_clip(path, width, height)) for path in paths]
        for crf in (23, 28):
            readings, from_one_frame, rate = [], 0, 0
            for clip in marked:
                decoded, size = h264(clip, crf)
                readings.append(read_clip(decoded))
                from_one_frame += recovers_id(read([decoded[len(decoded) // 2]])[0])
                rate += size * 8 // 2000
            recovered, min_score = sum(map(recovers_id, readings)), min(reading.score for reading in readings)
            print(f"| {title} | {crf} | {rate // len(paths)} | {len(paths)} | {recovered} | {min_score:.1f} "
                  f"| {from_one_frame} |", flush=True)  # fmt: skip


def print_unmarked(folders: list[str]) -> None:
    """Print the false positives among the photos of folders of $SWAPSET_DATA, all of them by default."""
    print("| unmarked photos | count | detected | highest score | ms per photo |\n|---|---|---|---|---|")
    for folder in folders or sorted(path.name for path in data().iterdir() if path.is_dir()):
        readings: list[Reading] = []
        start = time.process_time()
        details = _read_details(data() / folder)
        while batch := list(itertools.islice(details, 32)):
            readings += read_grids(torch.cat(batch))
        if not readings:
            continue
        milliseconds = (time.process_time() - start) / len(readings) * 1e3
        detected, highest = sum(reading.detected for reading in readings), max(reading.score for reading in readings)
        print(f"| {folder} | {len(readings):,} | {detected} | {highest:.2f} (limit {MIN_SCORE}) | {milliseconds:.1f} |",
              flush=True)  # fmt: skip


def _read_details(folder: Path) -> Iterator[torch.Tensor]:
    """Yield the detail grids of all photos below a folder that can be decoded, masks left out."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in PHOTO_SUFFIXES and "masks" not in path.parts:
            try:
                yield detail_grids([decode(path.read_bytes()).pixels])
            except DecodeError:
                continue


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, help="photos of each set (default: 100)")
    parser.add_argument("--clips", type=int, help="clips of each set")
    parser.add_argument("--unmarked", nargs="*", metavar="FOLDER", help="folders of $SWAPSET_DATA; all by default")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.unmarked is not None:
        print_unmarked(options.unmarked)
    elif options.clips:
        print_clips(options.clips)
    else:
        print_photos(options.photos or 100)


if __name__ == "__main__":
    main()
