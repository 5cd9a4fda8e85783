"""Swapping against a loop that takes one face at a time with the same model: photos of a folder, frames of a clip.

    SWAPSET_DATA=DIR python -m bench.swap --photos 24 --frames 32 [--recipe tiny]

Both sides use the same generator with random weights, the same segmenter and the same detector weights. The loop is
what swap programs usually are: facenet-pytorch's MTCNN on one photo, then for each face a warp by OpenCV, the
segmenter, the generator, a blurred mask, a warp back and a blend of the whole photo; photos are read and written by
OpenCV, frames by PyAV with the same codec and settings. It writes no marks; ours is measured with and without them.
Photos are an even sample of web-raw; the clip is 640 x 442 px, a group of six, slowly moving. CPU is the time of all
threads. Prints Markdown.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from facenet_pytorch import MTCNN
from torch import Tensor

from bench.photos import sample
from curate.faces import align
from curate.faces.models import load_embedder
from curate.faces.segment import Segmenter, binary_mask
from manifests.layout import ChoiceRecord
from train.build import build_generator
from train.checkpoint import CheckpointFacts
from train.config import load_recipe
from train.marks.marker import Marker
from train.marks.marking import Marking
from train.swap.detection import load_detector
from train.swap.photos import PhotoSwapper
from train.swap.swapper import Swapper
from train.swap.targets import find_photos
from train.swap.video import swap_video
from train.trained import TrainedGenerator

Pixels = np.ndarray


class Loop:
    """One face at a time."""

    def __init__(self, model: TrainedGenerator, segmenter: Segmenter, latent: Tensor) -> None:
        self.model, self.segmenter, self.latent = model, segmenter, latent
        self.detector = MTCNN(keep_all=True)
        self.faces = 0

    @torch.inference_mode()
    def photo(self, photo: Pixels) -> Pixels:
        """uint8 (H, W, 3) RGB -> the same with swapped faces."""
        boxes, scores, points = self.detector.detect(photo, landmarks=True)
        if boxes is None:
            return photo
        result = photo.astype(np.float32)
        template, size = self.model.template, self.model.size
        for score, five in zip(scores, points, strict=True):
            if score < 0.9:
                continue
            matrix, _ = align.fit(five[None], template)
            crop = cv2.warpAffine(photo, matrix[0], template.size)
            whole = torch.from_numpy(crop).permute(2, 0, 1)[None]
            mask = binary_mask(self.segmenter.label_maps(whole), "face")[0].numpy().astype(np.float32)
            small = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)
            target = torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255
            generator = self.model.network
            made = generator.to_rgb01(generator(generator.to_input(target), self.latent[None]))[0].clamp(0, 1)
            swapped = cv2.resize(made.permute(1, 2, 0).numpy() * 255, template.size, interpolation=cv2.INTER_CUBIC)
            mask = cv2.GaussianBlur(cv2.erode(mask, np.ones((15, 15))), (15, 15), 0)
            where = photo.shape[1::-1]
            flags = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
            layer = cv2.warpAffine(swapped, matrix[0], where, flags=flags)
            alpha = cv2.warpAffine(mask, matrix[0], where, flags=flags)[..., None]
            result = result * (1 - alpha) + layer * alpha
            self.faces += 1
        return result.round().clip(0, 255).astype(np.uint8)

    def folder(self, folder: Path, out: Path) -> None:
        out.mkdir()
        for path in sorted(folder.iterdir()):
            picture = cv2.imread(str(path))
            made = self.photo(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
            cv2.imwrite(str(out / path.name), cv2.cvtColor(made, cv2.COLOR_RGB2BGR))

    def video(self, target: Path, out: Path) -> None:
        out.mkdir()
        with av.open(str(target)) as source, av.open(str(out / target.name), "w") as result:
            stream = result.add_stream("libx264", rate=25, options={"crf": "18", "preset": "medium"})
            stream.height, stream.width = source.streams.video[0].height, source.streams.video[0].width
            stream.pix_fmt = "yuv420p"
            for frame in source.decode(video=0):
                made = self.photo(frame.to_ndarray(format="rgb24"))
                result.mux(stream.encode(av.VideoFrame.from_ndarray(made, format="rgb24")))
            result.mux(stream.encode(None))


def write_clip(path: Path, frames: int) -> None:
    """A group of six faces, moving by half a pixel a frame."""
    spec = find_spec("insightface")
    assert spec is not None
    assert spec.submodule_search_locations
    photo = cv2.imread(str(Path(next(iter(spec.submodule_search_locations))) / "data/images/t1.jpg"))
    photo = cv2.cvtColor(cv2.resize(photo, (640, 442), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "18"})
        stream.height, stream.width, stream.pix_fmt = 442, 640, "yuv420p"
        stream.time_base = Fraction(1, 25)
        for number in range(frames):
            moved = cv2.warpAffine(photo, np.float64([[1, 0, number / 2], [0, 1, number / 4]]), (640, 442))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(moved, format="rgb24")))
        container.mux(stream.encode(None))


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the clock and of CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--recipe", default="tiny")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    device = arguments.device
    recipe = load_recipe(arguments.recipe)
    torch.manual_seed(0)
    embedder = load_embedder("builtin", device)
    generator = build_generator(recipe, embedder.dim).eval().requires_grad_(False).to(device)
    facts = CheckpointFacts(recipe, None, embedder.embedder_id, embedder.dim, recipe.images)
    model = TrainedGenerator(generator, torch.zeros(embedder.dim, device=device), facts, "", embedder)
    latent = torch.nn.functional.normalize(torch.randn(embedder.dim), dim=0).to(device)
    segmenter = Segmenter.load(device)
    detector = load_detector(ChoiceRecord("builtin", None, "full"), device)
    swapper = Swapper(model, detector, segmenter, latent, threads=torch.get_num_threads())
    work = Path(tempfile.mkdtemp(prefix="bench-swap-"))
    photos, clip = work / "photos", work / "clip.mp4"
    photos.mkdir()
    for number, path in enumerate(sample("web-raw", "*/*.jpg", arguments.photos)):
        shutil.copy(path, photos / f"{number:03}{path.suffix}")
    write_clip(clip, arguments.frames)
    marker = Marker(Marking(1), device)
    no_marks = Marker(Marking(1), device, marks=())
    count = len(list(photos.iterdir()))

    def ours(marks: Marker, out: Path) -> None:
        PhotoSwapper(swapper, marks, out, threads=2).run(find_photos(photos)[0])

    def ours_clip(marks: Marker, out: Path) -> None:
        swap_video(clip, out, swapper, marks)

    loop = Loop(model, segmenter, latent)
    ours(no_marks, work / "warm")
    print(f"Recipe {arguments.recipe}, {torch.get_num_threads()} threads on {device}\n")
    print("| what | who | images/s | CPU s an image |")
    print("|---|---|---|---|", flush=True)

    def row(what: str, who: str, number: int, work: Callable[[], object]) -> None:
        wall, cpu = timed(work)
        print(f"| {what} | {who} | {number / wall:.2f} | {cpu / number:.3f} |", flush=True)

    if device == "cpu":
        row(f"{count} photos", "one face at a time", count, lambda: loop.folder(photos, work / "a"))
    row(f"{count} photos", "ours, without marks", count, lambda: ours(no_marks, work / "b"))
    row(f"{count} photos", "ours", count, lambda: ours(marker, work / "c"))
    frames, faces = arguments.frames, loop.faces
    if device == "cpu":
        row(f"{frames} frames", "one face at a time", frames, lambda: loop.video(clip, work / "d"))
    row(f"{frames} frames", "ours, without marks", frames, lambda: ours_clip(no_marks, work / "e"))
    row(f"{frames} frames", "ours", frames, lambda: ours_clip(marker, work / "f"))
    if device == "cpu":
        print(f"\nThe loop swapped {faces} faces on the photos and {loop.faces - faces} in the frames.")
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
