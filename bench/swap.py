"""Face swapping against a loop that processes one face at a time with the same networks: photos, and frames of a clip.

    SWAPSET_DATA=DIR python -m bench.swap --photos 24 --frames 32 [--recipe tiny]

Protocol: both sides use the same generator with random weights, the same segmenter and the same detector weights. The
baseline works as swap programs usually do: facenet-pytorch's MTCNN on one photo, then for each face a warp with
OpenCV, the segmenter, the generator, a blurred mask, the inverse warp and a blend of the whole photo. It reads and
writes photos with OpenCV and frames with PyAV (same codec and settings) and adds no marks; Swapset is measured with
and without marks. Photos are an even sample of web-raw; the clip is 640 x 442 px and shows a slowly moving group of
six. CPU time is of all threads. Prints Markdown.
"""

import argparse
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import torch
from facenet_pytorch import MTCNN
from torch import Tensor

from bench.photos import sample
from bench.process import timed
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

Pixels = npt.NDArray[np.uint8]
MIN_SCORE = 0.9
CLIP_SIZE = (640, 442)


@dataclass(frozen=True)
class Networks:
    """What both sides share: the generator, the segmenter and the identity condition (D,)."""

    model: TrainedGenerator
    segmenter: Segmenter
    condition: Tensor


class Baseline:
    """A swap of one face at a time; `faces` counts them."""

    def __init__(self, networks: Networks) -> None:
        self.networks = networks
        self.detector = MTCNN(keep_all=True)
        self.faces = 0

    @torch.inference_mode()
    def swap(self, photo: Pixels) -> Pixels:
        """Swap all faces of a photo uint8 (H, W, 3) RGB."""
        boxes, scores, points = self.detector.detect(photo, landmarks=True)
        if boxes is None:
            return photo
        result = photo.astype(np.float32)
        for score, landmarks in zip(scores, points, strict=True):
            if score >= MIN_SCORE:
                result = self._blend_face(photo, landmarks, result)
                self.faces += 1
        return result.round().clip(0, 255).astype(np.uint8)

    def _blend_face(
        self, photo: Pixels, landmarks: npt.NDArray[np.float32], result: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        template, size = self.networks.model.template, self.networks.model.size
        matrix, _ = align.fit(landmarks[None], template)
        crop = cv2.warpAffine(photo, matrix[0], template.size)
        labels = self.networks.segmenter.label_maps(torch.from_numpy(crop).permute(2, 0, 1)[None])
        mask = binary_mask(labels, "face")[0].numpy().astype(np.float32)
        resized = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)
        target = torch.from_numpy(resized).permute(2, 0, 1)[None].float() / 255
        generator = self.networks.model.network
        output = generator.to_rgb01(generator(generator.to_input(target), self.networks.condition[None]))[0].clamp(0, 1)
        swapped = cv2.resize(output.permute(1, 2, 0).numpy() * 255, template.size, interpolation=cv2.INTER_CUBIC)
        mask = cv2.GaussianBlur(cv2.erode(mask, np.ones((15, 15))), (15, 15), 0)
        photo_size = photo.shape[1::-1]
        flags = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
        layer = cv2.warpAffine(swapped, matrix[0], photo_size, flags=flags)
        alpha = cv2.warpAffine(mask, matrix[0], photo_size, flags=flags)[..., None]
        return np.asarray(result * (1 - alpha) + layer * alpha, np.float32)

    def swap_folder(self, folder: Path, out: Path) -> None:
        out.mkdir()
        for path in sorted(folder.iterdir()):
            swapped = self.swap(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB))
            cv2.imwrite(str(out / path.name), cv2.cvtColor(swapped, cv2.COLOR_RGB2BGR))

    def swap_clip(self, clip: Path, out: Path) -> None:
        out.mkdir()
        with av.open(str(clip)) as source, av.open(str(out / clip.name), "w") as result:
            stream = result.add_stream("libx264", rate=25, options={"crf": "18", "preset": "medium"})
            stream.height, stream.width = source.streams.video[0].height, source.streams.video[0].width
            stream.pix_fmt = "yuv420p"
            for frame in source.decode(video=0):
                swapped = self.swap(frame.to_ndarray(format="rgb24"))
                result.mux(stream.encode(av.VideoFrame.from_ndarray(swapped, format="rgb24")))
            result.mux(stream.encode(None))


def write_clip(path: Path, frames: int) -> None:
    """Write a clip of insightface's group photo of six, which moves by half a pixel per frame."""
    spec = find_spec("insightface")
    assert spec is not None
    assert spec.submodule_search_locations
    photo = cv2.imread(str(Path(next(iter(spec.submodule_search_locations))) / "data/images/t1.jpg"))
    photo = cv2.cvtColor(cv2.resize(photo, CLIP_SIZE, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "18"})
        (stream.width, stream.height), stream.pix_fmt = CLIP_SIZE, "yuv420p"
        stream.time_base = Fraction(1, 25)
        for number in range(frames):
            moved = cv2.warpAffine(photo, np.float64([[1, 0, number / 2], [0, 1, number / 4]]), CLIP_SIZE)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(moved, format="rgb24")))
        container.mux(stream.encode(None))


def load_networks(recipe_name: str, device: str) -> Networks:
    """Build a generator of the recipe with random weights, the segmenter, and a random identity."""
    recipe = load_recipe(recipe_name)
    torch.manual_seed(0)
    embedder = load_embedder("builtin", device)
    generator = build_generator(recipe, embedder.dim).eval().requires_grad_(False).to(device)
    facts = CheckpointFacts(recipe, None, embedder.embedder_id, embedder.dim, recipe.images)
    model = TrainedGenerator(generator, torch.zeros(embedder.dim, device=device), facts, "", embedder)
    condition = torch.nn.functional.normalize(torch.randn(embedder.dim), dim=0).to(device)
    return Networks(model, Segmenter.load(device), condition)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--recipe", default="tiny")
    parser.add_argument("--device", default="cpu", help="the baseline runs on the CPU only and is skipped elsewhere")
    options = parser.parse_args()
    networks = load_networks(options.recipe, options.device)
    with tempfile.TemporaryDirectory(prefix="bench-swap-") as folder:
        photos, clip = Path(folder, "photos"), Path(folder, "clip.mp4")
        photos.mkdir()
        for number, path in enumerate(sample("web-raw", "*/*.jpg", options.photos)):
            shutil.copy(path, photos / f"{number:03}{path.suffix}")
        write_clip(clip, options.frames)
        print(f"Recipe {options.recipe}, {torch.get_num_threads()} threads on {options.device}\n")
        compare(networks, options.device, photos, clip, options.frames)


def compare(networks: Networks, device: str, photos: Path, clip: Path, frames: int) -> None:
    """Print the rows of both sides; outputs are written beside the folder of photos."""
    out = photos.parent
    baseline = Baseline(networks)
    detector = load_detector(ChoiceRecord("builtin", None, "full"), device)
    swapper = Swapper(networks.model, detector, networks.segmenter, networks.condition, threads=torch.get_num_threads())
    marker, no_marks = Marker(Marking(1)), Marker(Marking(1), marks=())
    count = len(list(photos.iterdir()))

    def swap_photos(marks: Marker, name: str) -> None:
        PhotoSwapper(swapper, marks, out / name, threads=2).run(find_photos(photos)[0])

    def row(target: str, method: str, images: int, call: Callable[[], object]) -> None:
        seconds = timed(call)
        print(f"| {target} | {method} | {images / seconds.wall:.2f} | {seconds.cpu / images:.3f} |", flush=True)

    swap_photos(no_marks, "warm-up")
    print("| target | method | images/s | CPU s per image |")
    print("|---|---|---|---|", flush=True)
    target = f"{count} photos"
    if device == "cpu":
        row(target, "baseline, one face at a time", count, lambda: baseline.swap_folder(photos, out / "baseline"))
    row(target, "Swapset without marks", count, lambda: swap_photos(no_marks, "unmarked"))
    row(target, "Swapset", count, lambda: swap_photos(marker, "marked"))
    faces, target = baseline.faces, f"{frames} frames"
    if device == "cpu":
        row(target, "baseline, one face at a time", frames, lambda: baseline.swap_clip(clip, out / "baseline-clip"))
    row(target, "Swapset without marks", frames, lambda: swap_video(clip, out / "unmarked-clip", swapper, no_marks))
    row(target, "Swapset", frames, lambda: swap_video(clip, out / "marked-clip", swapper, marker))
    if device == "cpu":
        print(f"\nThe baseline swapped {faces} faces on the photos and {baseline.faces - faces} in the frames.")


if __name__ == "__main__":
    main()
