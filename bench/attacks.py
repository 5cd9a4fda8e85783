"""What people and services do to pictures and clips, as data: grids of (attack, strengths).

WAVES: An et al., "WAVES: Benchmarking the Robustness of Image Watermarks", 2024, its distortions. W-Bench: Lu et al.,
"Robust Watermarking Using Generative Priors Against Image Editing", 2025, its distortions. VideoSeal: Fernandez et al.,
"Video Seal: Open and Efficient Video Watermarking", 2024. Parts of these that need a generative model are left out.
"""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import av
import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageEnhance

from bench.photos import data
from curate.decode import decode
from train.marks.label import draw

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Attack:
    """A change of a picture uint8 (H, W, 3) RGB, applied at each of its strengths."""

    name: str
    strengths: tuple[float, ...]
    apply: Callable[[Pixels, float], Pixels]


def jpeg(picture: Pixels, quality: float) -> Pixels:
    return _encoded(picture, "JPEG", quality)


def webp(picture: Pixels, quality: float) -> Pixels:
    return _encoded(picture, "WEBP", quality)


def _encoded(picture: Pixels, format: str, quality: float) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, format, quality=int(quality))
    return np.asarray(Image.open(buffer).convert("RGB"))


def scaled(picture: Pixels, factor: float) -> Pixels:
    return resized(picture, picture.shape[1] * factor, picture.shape[0] * factor)


def resized(picture: Pixels, width: float, height: float) -> Pixels:
    return np.asarray(Image.fromarray(picture).resize((round(width), round(height)), Image.Resampling.BICUBIC))


def rotated(picture: Pixels, degrees: float) -> Pixels:
    """On the same canvas, with black corners."""
    return np.asarray(Image.fromarray(picture).rotate(degrees, Image.Resampling.BICUBIC))


def straightened(picture: Pixels, degrees: float) -> Pixels:
    """Turned, and cropped to the largest rectangle of the same shape without corners, as phones do."""
    height, width = picture.shape[:2]
    angle, ratio = math.radians(abs(degrees)), max(height, width) / min(height, width)
    keep = 1 / (math.cos(angle) + ratio * math.sin(angle))
    return _centre(rotated(picture, degrees), keep, keep)


def cropped(picture: Pixels, area: float) -> Pixels:
    """A part with this share of the area and the same shape, at a place that depends on the picture."""
    height, width = picture.shape[:2]
    rows, columns = round(height * math.sqrt(area)), round(width * math.sqrt(area))
    random = np.random.default_rng(int(picture[:8].sum()))
    y, x = random.integers(0, height - rows + 1), random.integers(0, width - columns + 1)
    return np.ascontiguousarray(picture[y : y + rows, x : x + columns])


def crop_resized(picture: Pixels, area: float) -> Pixels:
    return resized(cropped(picture, area), picture.shape[1], picture.shape[0])


def _centre(picture: Pixels, across: float, down: float) -> Pixels:
    height, width = picture.shape[:2]
    rows, columns = round(height * down), round(width * across)
    y, x = (height - rows) // 2, (width - columns) // 2
    return np.ascontiguousarray(picture[y : y + rows, x : x + columns])


def framed(picture: Pixels, share: float) -> Pixels:
    """With a white border of this share of the short side."""
    width = round(share * min(picture.shape[:2]))
    return np.pad(picture, ((width, width), (width, width), (0, 0)), constant_values=255)


def screenshot(picture: Pixels, width: float) -> Pixels:
    """On a phone's screen of 9 : 19.5 and this width: black bars, a status bar with text, and a JPEG 90 of it."""
    columns = round(width)
    rows = round(columns * 19.5 / 9)
    factor = min(columns / picture.shape[1], 0.8 * rows / picture.shape[0])
    shown = resized(picture, picture.shape[1] * factor, picture.shape[0] * factor)
    screen = Image.new("RGB", (columns, rows))
    screen.paste(Image.fromarray(shown), ((columns - shown.shape[1]) // 2, (rows - shown.shape[0]) // 2))
    pen = ImageDraw.Draw(screen)
    pen.text((columns // 20, rows // 60), "12:41   LTE   83%", fill="white", font_size=columns / 25)
    pen.text((columns // 20, rows - rows // 20), "Reply ...", fill="grey", font_size=columns / 20)
    return jpeg(np.asarray(screen), 90)


def chat(picture: Pixels, width: float) -> Pixels:
    """A screenshot of a light chat: the picture at 3/4 of the width between lines of text, as PNG."""
    columns = round(width)
    rows = round(columns * 19.5 / 9)
    shown = scaled(picture, 0.75 * columns / picture.shape[1])
    screen = Image.new("RGB", (columns, rows), (236, 229, 221))
    screen.paste(Image.fromarray(shown), (columns // 40, rows // 3))
    pen = ImageDraw.Draw(screen)
    for line in range(12):
        y = rows * line // 36 if line < 10 else rows - rows * (13 - line) // 20
        pen.text((columns // 30, y), "Have you seen this picture? " * 2, fill=(40, 40, 40), font_size=columns / 28)
    return np.asarray(screen)


def pasted(picture: Pixels, share: float) -> Pixels:
    """Into a web photo of 3 : 2, of which it fills this share of the area, at a place that depends on the picture."""
    random = np.random.default_rng(int(picture[:8].sum()))
    paths = sorted((data() / "web-raw").glob("*/*.jpg"))
    size = picture.shape[0] * picture.shape[1] / share
    height, width = round(math.sqrt(size / 1.5)), round(math.sqrt(size * 1.5))
    result = resized(decode(paths[random.integers(len(paths))].read_bytes()).pixels, width, height).copy()
    y, x = random.integers(0, height - len(picture) + 1), random.integers(0, width - picture.shape[1] + 1)
    result[y : y + len(picture), x : x + picture.shape[1]] = picture
    return result


def messenger(picture: Pixels, side: float) -> Pixels:
    """Long side reduced to at most `side` px, JPEG 75, as messengers do."""
    return jpeg(scaled(picture, min(1.0, side / max(picture.shape[:2]))), 75)


def erased(picture: Pixels, share: float) -> Pixels:
    """A grey rectangle over this share of the area."""
    result = picture.copy()
    height, width = (round(side * math.sqrt(share)) for side in picture.shape[:2])
    random = np.random.default_rng(int(picture[:8].sum()))
    y, x = random.integers(0, len(picture) - height + 1), random.integers(0, picture.shape[1] - width + 1)
    result[y : y + height, x : x + width] = 128
    return result


def noisy(picture: Pixels, sigma: float) -> Pixels:
    """Gaussian noise, sigma as a share of 255."""
    noise = np.random.default_rng(5).normal(0, sigma * 255, picture.shape)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


def blurred(picture: Pixels, sigma: float) -> Pixels:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8) if sigma else picture


def blurred_kernel(picture: Pixels, size: float) -> Pixels:
    """A Gaussian kernel of this size, with OpenCV's sigma for it, as in W-Bench."""
    return np.asarray(cv2.GaussianBlur(picture, (int(size), int(size)), 0), np.uint8)


def brightened(picture: Pixels, factor: float) -> Pixels:
    return np.asarray(ImageEnhance.Brightness(Image.fromarray(picture)).enhance(factor))


def contrasted(picture: Pixels, factor: float) -> Pixels:
    return np.asarray(ImageEnhance.Contrast(Image.fromarray(picture)).enhance(factor))


def stretched(picture: Pixels, factor: float) -> Pixels:
    return resized(picture, picture.shape[1] * factor, picture.shape[0])


def quarter_turned(picture: Pixels, turns: float) -> Pixels:
    return np.ascontiguousarray(np.rot90(picture, int(turns)))


def reduced_jpeg(factor: float) -> Callable[[Pixels, float], Pixels]:
    return lambda picture, quality: jpeg(scaled(picture, factor), quality)


GRIDS: dict[str, tuple[Attack, ...]] = {
    "listed": (
        Attack("none", (0,), lambda picture, _: picture),
        Attack("screenshot with bars, width", (1080, 540), screenshot),
        Attack("border", (0.05, 0.2), framed),
        Attack("rotation", (5, -5, 10, -10), rotated),
        Attack("rotation, cropped", (5, 10), straightened),
        Attack("crop to area", (0.5,), cropped),
        Attack("stretch", (1.1, 0.9), stretched),
        Attack("JPEG", (50, 25), jpeg),
        Attack("blur sigma", (2,), blurred),
        Attack("noise", (0.05,), noisy),
        Attack("brightness", (1.5,), brightened),
        Attack("contrast", (1.5,), contrasted),
        Attack("halved, JPEG", (80,), reduced_jpeg(0.5)),
    ),
    "waves": (
        Attack("rotation", (9, 18, 27, 36, 45), rotated),
        Attack("resized crop, area", (0.9, 0.8, 0.7, 0.6, 0.5), crop_resized),
        Attack("erasing", (0.05, 0.1, 0.15, 0.2, 0.25), erased),
        Attack("brightness", (1.2, 1.4, 1.6, 1.8, 2.0), brightened),
        Attack("contrast", (1.2, 1.4, 1.6, 1.8, 2.0), contrasted),
        Attack("blur radius", (4, 8, 12, 16, 20), blurred),
        Attack("noise", (0.02, 0.04, 0.06, 0.08, 0.1), noisy),
        Attack("JPEG", (90, 70, 50, 30, 10), jpeg),
    ),
    "w-bench": (
        Attack("brightness", (0.5, 2.0), brightened),
        Attack("contrast", (0.5, 2.0), contrasted),
        Attack("blur kernel", (3, 5, 7, 9), blurred_kernel),
        Attack("noise", (0.02, 0.04, 0.06, 0.08, 0.1), noisy),
        Attack("JPEG", (10, 25, 40, 55, 70), jpeg),
    ),
    "videoseal": (
        Attack("rotation", (10, 90), rotated),
        Attack("crop, share of sides", (0.71, 0.55), lambda picture, side: cropped(picture, side * side)),
        Attack("scale, share of sides", (0.71, 0.55), scaled),
        Attack("brightness", (0.5, 1.5), brightened),
        Attack("contrast", (0.5, 1.5), contrasted),
        Attack("JPEG", (80, 60, 40), jpeg),
        Attack("blur kernel", (9, 17), blurred_kernel),
    ),
    "pipelines": (
        Attack("visible label", (1,), lambda picture, _: draw(picture[None])[0]),
        Attack("messenger, long side", (1600, 800, 320), messenger),
        Attack("WebP", (60, 30), webp),
        Attack("screenshot of a chat, width", (1080, 720), chat),
        Attack("pasted, share of the area", (0.25, 0.167, 0.125, 0.1, 0.08), pasted),
        Attack("mirrored, crop .81, JPEG", (75,), lambda picture, q: jpeg(cropped(picture[:, ::-1], 0.81), q)),
        Attack("crop to area", (0.35, 0.25), cropped),
        Attack("x0.4", (1,), lambda picture, _: scaled(picture, 0.4)),
        Attack("squeezed in width", (0.6,), stretched),
        Attack("turned by quarters", (1, 2, 3), quarter_turned),
        Attack("grey", (1,), lambda picture, _: np.asarray(Image.fromarray(picture).convert("L").convert("RGB"))),
    ),
}


@dataclass(frozen=True)
class Recoding:
    """A way to encode a clip again, after changing its frames.

    Attributes:
        name: unique, for the command line.
        title: as printed.
        codec: FFmpeg's encoder.
        crf: constant rate factor.
        change: of every frame.
    """

    name: str
    title: str
    codec: str
    crf: int
    change: Callable[[Pixels], Pixels] = lambda frame: frame


def crop_even(frame: Pixels, side: float) -> Pixels:
    """The centre, this share of the sides, with even sides as 4:2:0 needs."""
    height, width = (round(length * side) // 2 * 2 for length in frame.shape[:2])
    y, x = (frame.shape[0] - height) // 2, (frame.shape[1] - width) // 2
    return np.ascontiguousarray(frame[y : y + height, x : x + width])


RECODINGS: tuple[Recoding, ...] = (
    *(Recoding(f"h264-{crf}", f"H.264 CRF {crf}", "libx264", crf) for crf in (23, 30, 40, 50)),
    *(Recoding(f"h265-{crf}", f"H.265 CRF {crf}", "libx265", crf) for crf in (28, 40, 50)),
    *(Recoding(f"vp9-{crf}", f"VP9 CRF {crf}", "libvpx-vp9", crf) for crf in (36, 50)),
    *(
        Recoding(
            f"combined-{crf}",
            f"crop .71 of the sides, brightness x .5, H.264 CRF {crf}",
            "libx264",
            crf,
            lambda frame: brightened(crop_even(frame, 0.71), 0.5),
        )
        for crf in (23, 30, 40)
    ),
)
"""The combination is VideoSeal's: H.264 of this CRF after a crop to half the area and brightness x .5."""


def recode(clip: Pixels, recoding: Recoding) -> tuple[list[Pixels], int]:
    """Encode a clip uint8 (N, H, W, 3) (4:2:0, 25 frames/s) and decode it; returns the frames and the encoded bytes."""
    buffer = io.BytesIO()
    frames = [recoding.change(frame) for frame in clip]
    with av.open(buffer, "w", format="matroska") as container:
        stream = container.add_stream(recoding.codec, 25)
        stream.width, stream.height, stream.pix_fmt = frames[0].shape[1], frames[0].shape[0], "yuv420p"
        stream.options = {"crf": str(recoding.crf), "threads": "1"}
        if recoding.codec == "libx265":
            stream.options |= {"x265-params": "log-level=none:pools=1:frame-threads=1"}
        if recoding.codec == "libvpx-vp9":
            stream.options |= {"b": "0", "deadline": "realtime", "cpu-used": "5"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    size = buffer.tell()
    buffer.seek(0)
    with av.open(buffer) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)], size
