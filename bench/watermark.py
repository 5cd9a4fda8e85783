"""The watermark: how visible, how lasting, how fast, how often seen where none is; beside two libraries.

    python -m bench.watermark --photos 100      # faces and frames, every attack
    python -m bench.watermark --clips 6         # clips of 2 s through H.264
    python -m bench.watermark --unmarked        # every real photo of $SWAPSET_DATA; or some: --unmarked lfw-gray ...

Recovered: all 32 bits of the ID, read from the attacked picture alone, without its first size. invisible-watermark
(dwtDct, dwtDctSvd) and blind-watermark carry the same 32 bits as they are, on the first photos of the same set: they
have no error correction of their own and cannot say whether a mark is there. invisible-watermark refuses 224 px.
Milliseconds are CPU time of one thread, for one picture after the other.
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
    """`mark`: a picture -> the marked one; `right`: an attacked picture -> whether the whole ID is read from it."""

    name: str
    mark: Callable[[Pixels], Pixels]
    right: Callable[[Pixels], bool]
    smallest: int = 0
    share: float = 1.0  # of the photos that it is run on


def jpeg(picture: Pixels, quality: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def resized(picture: Pixels, factor: float) -> Pixels:
    size = round(picture.shape[1] * factor), round(picture.shape[0] * factor)
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def cropped(picture: Pixels, share: float) -> Pixels:
    """Without this share on each of the four sides."""
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


def methods() -> list[Method]:
    from blind_watermark import WaterMark, bw_notes
    from imwatermark import WatermarkDecoder, WatermarkEncoder

    bw_notes.close()
    ours = Watermark(MARK_ID)

    def found(picture: Pixels) -> bool:
        (reading,) = read([picture])
        return reading.detected and reading.mark_id == MARK_ID

    def invisible(name: str) -> Method:
        def mark(picture: Pixels) -> Pixels:
            encoder = WatermarkEncoder()
            encoder.set_watermark("bits", BITS)
            bgr: Any = encoder.encode(np.ascontiguousarray(picture[..., ::-1]), name)
            return np.ascontiguousarray(bgr[..., ::-1]).astype(np.uint8)

        def right(picture: Pixels) -> bool:
            if min(picture.shape[:2]) * max(picture.shape[:2]) < 256 * 256:
                return False
            bits = WatermarkDecoder("bits", 32).decode(np.ascontiguousarray(picture[..., ::-1]), name)
            return [int(bit) for bit in bits] == BITS

        return Method(f"invisible-watermark {name}", mark, right, smallest=256, share=0.25)

    def blind_mark(picture: Pixels) -> Pixels:
        marker = WaterMark(password_img=1, password_wm=1)
        marker.read_img(img=np.ascontiguousarray(picture[..., ::-1]))
        marker.read_wm(np.array(BITS, bool), mode="bit")
        return np.clip(np.rint(marker.embed()), 0, 255)[..., ::-1].astype(np.uint8)

    def blind_right(picture: Pixels) -> bool:
        marker = WaterMark(password_img=1, password_wm=1)
        try:
            bits = marker.extract(embed_img=np.ascontiguousarray(picture[..., ::-1]), wm_shape=32, mode="bit")
        except (ValueError, AssertionError, IndexError):
            return False
        return [int(bit > 0.5) for bit in bits] == BITS

    return [
        Method("ours", lambda picture: ours.mark(picture[None])[0], found),
        invisible("dwtDct"),
        invisible("dwtDctSvd"),
        Method("blind-watermark", blind_mark, blind_right, share=0.05),
    ]


def faces(folder: str, pattern: str, size: int, count: int) -> list[Pixels]:
    photos = (Image.open(path).convert("RGB") for path in sample(folder, pattern, count))
    return [np.asarray(photo.resize((size, size), Image.Resampling.LANCZOS)) for photo in photos]


def frames(count: int) -> list[Pixels]:
    """1280x720 frames: web photos enlarged to fill them, each with a face pasted in."""
    pictures = []
    pasted = faces("celebamask", "images/*.jpg", 224, count)
    for path, face in zip(sample("web-raw", "*/*.jpg", count), pasted, strict=False):
        photo = Image.open(path).convert("RGB")
        factor = max(1280 / photo.width, 720 / photo.height)
        photo = photo.resize((round(photo.width * factor) + 1, round(photo.height * factor) + 1))
        photo.paste(Image.fromarray(face), (500, 200))
        pictures.append(np.asarray(photo)[:720, :1280])
    return pictures


def photos(count: int) -> None:
    sets = {
        "colour faces 224 px": faces("celebamask", "images/*.jpg", 224, count),
        "grey faces 224 px": faces("lfw-gray", "*/*.jpg", 224, count),
        "colour faces 512 px": faces("celebamask", "images/*.jpg", 512, count),
        "frames 1280x720": frames(max(1, count // 5)),
    }
    for title, pictures in sets.items():
        print(f"\n{title}\n\n| | photos | PSNR, least | SSIM, least | mark ms | read ms | {' | '.join(ATTACKS)} |")
        print(f"|---|{'---|' * (5 + len(ATTACKS))}")
        for method in methods():
            if min(pictures[0].shape[:2]) >= method.smallest:
                print(_row(method, pictures[: max(2, round(len(pictures) * method.share))]), flush=True)


def _row(method: Method, pictures: list[Pixels]) -> str:
    method.right(method.mark(pictures[0]))  # tables and caches are made at the first
    start = time.process_time()
    marked = [method.mark(picture) for picture in pictures]
    marking = time.process_time() - start
    noise = [np.square(new.astype(float) - old).mean() for new, old in zip(marked, pictures, strict=True)]
    psnr = [10 * np.log10(255**2 / mean) for mean in noise]
    # SSIM of a large frame takes long and says no more than of some.
    pairs = list(zip(marked, pictures, strict=True))[:50]
    ssim = [structural_similarity(new, old, channel_axis=2) for new, old in pairs]
    cells, reading = [], 0.0
    for name, attack in ATTACKS.items():
        attacked = [attack(picture) for picture in marked]
        start = time.process_time()
        right = sum(method.right(picture) for picture in attacked)
        reading = time.process_time() - start if name == "none" else reading
        cells.append(f"{right / len(pictures):.1%}" if right < len(pictures) else "all")
    speed = f"{marking / len(pictures) * 1e3:.1f} | {reading / len(pictures) * 1e3:.1f}"
    quality = f"{np.mean(psnr):.1f}, {min(psnr):.1f} | {np.mean(ssim):.3f}, {min(ssim):.3f}"
    return f"| {method.name} | {len(pictures)} | {quality} | {speed} | {' | '.join(cells)} |"


# ---- clips ----------------------------------------------------------------------------------------------------------


def moving(path: Path, width: int, height: int, count: int = 50) -> Pixels:
    """A clip from a photo: the camera pans and comes nearer, the sensor is a little noisy."""
    photo = np.asarray(Image.open(path).convert("RGB"))
    random = np.random.default_rng(7)
    first = min(photo.shape[1] / width, photo.shape[0] / height) * 0.85
    x, y = (photo.shape[1] - width * first) / 2, (photo.shape[0] - height * first) / 2
    made = []
    for moment in np.linspace(0, 1, count):
        scale = first * (1 - 0.06 * moment)
        where = np.array(
            [[scale, 0, x * (1 + 0.8 * np.sin(2 * moment))], [0, scale, y * (1 + 0.6 * np.sin(3 * moment))]]
        )
        frame = cv2.warpAffine(
            photo, where, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT
        )
        made.append(np.clip(frame + random.normal(0, 1.5, frame.shape), 0, 255).astype(np.uint8))
    return np.stack(made)


def h264(clip: Pixels, crf: int) -> tuple[list[Pixels], int]:
    """The clip encoded (libx264, medium, 4:2:0, 25 frames/s) and decoded, and its bytes."""
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


def clips(count: int) -> None:
    print(
        "| clips of 2 s, camera moving | CRF | kbit/s | clips | whole ID from the clip | least score | from a frame |"
    )
    print("|---|---|---|---|---|---|---|")
    ours = Watermark(MARK_ID)
    sets = {
        "colour faces 224 px": (sample("celebamask", "images/*.jpg", count), 224, 224),
        "grey faces 224 px": (sample("lfw-gray", "*/*.jpg", count), 224, 224),
        "colour faces 512 px": (sample("celebamask", "images/*.jpg", count), 512, 512),
        "web photos 1280x720": (sample("web-raw", "*/*.jpg", max(1, count // 3)), 1280, 720),
    }

    def right(reading: Reading) -> bool:
        return reading.detected and reading.mark_id == MARK_ID

    for title, (paths, width, height) in sets.items():
        marked = [ours.mark(moving(path, width, height)) for path in paths]
        for crf in (23, 28):
            together, alone, rate = [], 0, 0
            for clip in marked:
                decoded, size = h264(clip, crf)
                together.append(read_clip(decoded))
                alone += right(read([decoded[len(decoded) // 2]])[0])
                rate += size * 8 // 2000
            whole = sum(map(right, together))
            print(f"| {title} | {crf} | {rate // len(paths)} | {len(paths)} | {whole} "
                  f"| {min(reading.score for reading in together):.1f} | {alone} |", flush=True)  # fmt: skip


# ---- unmarked photos ------------------------------------------------------------------------------------------------


def unmarked(folders: list[str]) -> None:
    print("| unmarked photos | count | called marked | highest score | ms each |\n|---|---|---|---|---|")
    chosen = folders or sorted(path.name for path in data().iterdir() if path.is_dir())
    for folder in chosen:
        found: list[Reading] = []
        start = time.process_time()
        details = _decoded(data() / folder)
        while batch := list(itertools.islice(details, 32)):
            found += read_grids(torch.cat(batch))
        spent = (time.process_time() - start) / max(1, len(found)) * 1e3
        wrong, highest = sum(one.detected for one in found), max(one.score for one in found)
        print(f"| {folder} | {len(found):,} | {wrong} | {highest:.2f} (limit {MIN_SCORE}) | {spent:.1f} |", flush=True)


def _decoded(folder: Path) -> Iterator[torch.Tensor]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in PHOTO_SUFFIXES and "masks" not in path.parts:
            try:
                yield detail_grids([decode(path.read_bytes()).pixels])
            except DecodeError:
                continue


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, help="photos of each set")
    parser.add_argument("--clips", type=int, help="clips of each set")
    parser.add_argument("--unmarked", nargs="*", metavar="FOLDER", help="folders of $SWAPSET_DATA; all without a name")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.unmarked is not None:
        unmarked(options.unmarked)
    elif options.clips:
        clips(options.clips)
    else:
        photos(options.photos or 100)


if __name__ == "__main__":
    main()
