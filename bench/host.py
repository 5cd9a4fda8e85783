"""Cost of a photo to the host: all of `curate measure` but the networks, which are replaced by fixed answers.

    SWAPSET_DATA=DIR python -m bench.host [--photos 256] [--rounds 3] [--workers 1 2]

Protocol: detections, label maps and embeddings of the photos are computed once by the networks. Then stubs return
them, and one shard of the photos is measured as a worker does: read, hash, decode, photo measures, alignment of crops
(with those of the refinement of landmarks, whose network is a stub too), face measures, encoding, and writing of the
tables, with one thread in the pool. CPU time by the clocks of the process and of the thread that runs the networks;
the least of the rounds, because other work on the machine only adds. Then the stages alone, each on all photos in one
thread. Last, one and two worker processes at once on the same photos: photos/s of both.
"""

import argparse
import hashlib
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from bench.photos import sample
from curate.decode import Pixels, decode
from curate.faces.detectors.refine import refine_landmarks
from curate.faces.faces import Faces
from curate.faces.models import Models, load, resolve
from curate.measure.encoding import encode_crops, encode_label_maps
from curate.measure.inputs import FaceInputs, PhotoInputs
from curate.measure.job import MeasureJob, Shard
from curate.measure.settings import MeasureSettings
from curate.measure.sharpness import load_calibration
from curate.measure.table import MEASURES
from curate.measure.worker import ShardWorker
from manifests.landmarks import TEMPLATES

COLLECTIONS = {
    "lfw-gray, 350 px": ("lfw-gray", "*/*.jpg"),
    "celebamask, 512 px": ("celebamask/images", "*.jpg"),
}
TEMPLATE = TEMPLATES["simswap-224"]


class NoRefinement(nn.Module):
    """MTCNN's output network, without a face on any crop, so that the landmarks stay."""

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        count = len(pixels)
        return torch.zeros(count), torch.zeros(count, 4), torch.zeros(count, 5, 2)


class FixedAnswers:
    """Detections, label maps and embeddings of some photos, by a few of their pixels."""

    def __init__(self, photos: Sequence[Pixels], models: Models) -> None:
        faces = models.detector(photos)
        crops = faces.crop(photos, TEMPLATE)
        labels = models.segmenter.label_maps(crops)
        self.confident_score = models.detector.confident_score
        self.fingerprint = "fixed"
        self.dim, self.template = models.embedder.dim, models.embedder.template
        self.faces = {
            _key(photo): faces.in_photo(index).with_photos(np.zeros(len(photos), np.int64))
            for index, photo in enumerate(photos)
        }
        self.labels = {_key(crop): labels[index] for index, crop in enumerate(crops.permute(0, 2, 3, 1).numpy())}

    def __call__(self, photos: Sequence[Pixels]) -> Faces:
        """Detect: `Detector`. Views of the search for turned photos have no face."""
        found = [self.faces.get(_key(photo), Faces.empty()) for photo in photos]
        faces = Faces.concat([part.with_photos([k]) for k, part in enumerate(found)])
        refine_landmarks(NoRefinement(), photos, faces.photo, faces.landmarks, torch.device("cpu"))  # type: ignore[arg-type]
        return faces

    def label_maps(self, crops: Tensor) -> Tensor:
        """Segment: `Segmenter.label_maps`."""
        return torch.stack([self.labels[_key(crop)] for crop in crops.permute(0, 2, 3, 1).numpy()])

    def embed(self, crops: Tensor) -> Tensor:
        """Embed: `Embedder.embed`."""
        return torch.full((len(crops), self.dim), self.dim**-0.5)

    def models(self) -> Models:
        """Return the stubs as models."""
        return Models(self, self, self, torch.device("cpu"))  # type: ignore[arg-type]


def _key(image: Pixels) -> bytes:
    return repr(image.shape).encode() + image[image.shape[0] // 2, :64].tobytes()


def shard_of(paths: list[Path], folder: Path) -> tuple[MeasureJob, Shard]:
    """Return a job and its only shard, of copies of the photos in one folder."""
    (folder / "photos" / "person").mkdir(parents=True)
    for number, path in enumerate(paths):
        (folder / "photos" / "person" / f"{number:05d}{path.suffix}").write_bytes(path.read_bytes())
    job = MeasureJob(
        layout="folder",
        root=folder / "photos",
        out=folder / "out",
        buckets=1,
        choice=resolve("builtin"),
        settings=MeasureSettings(),
        device="cpu",
        threads=1,
        embedder_id="fixed",
    )
    return job, Shard(0, ("person",), len(paths), "settings", "faces", "embeddings")


def measure(job: MeasureJob, shard: Shard, answers: FixedAnswers) -> tuple[float, float]:
    """Measure the shard; seconds of CPU of the process and of the thread that runs the networks."""
    worker = ShardWorker(job, answers.models())
    cpu, thread = time.process_time(), time.thread_time()
    worker(shard, lambda count: None)
    return time.process_time() - cpu, time.thread_time() - thread


def stages(paths: list[Path], answers: FixedAnswers) -> dict[str, float]:
    """Seconds of CPU of each stage for all photos, the least of five rounds."""
    seconds: dict[str, float] = {}

    def timed(name: str, call: Callable[[], object]) -> None:
        times = []
        for _ in range(5):
            start = time.thread_time()
            call()
            times.append(time.thread_time() - start)
        seconds[name] = min(times)

    files = [path.read_bytes() for path in paths]
    decoded = [decode(data, shrink=True) for data in files]
    photos = [photo.pixels for photo in decoded]
    timed("read and hash", lambda: [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths])
    timed("decode", lambda: [decode(data, shrink=True) for data in files])
    timed("luma", lambda: [PhotoInputs(photo).luma for photo in photos])
    grey = [PhotoInputs(photo) for photo in photos]
    assert all(inputs.luma.size for inputs in grey)  # cached, not timed again in each measure
    for each in (entry for entry in MEASURES if entry.scope == "photo"):
        timed(each.name, lambda each=each: [each(inputs) for inputs in grey])  # type: ignore[misc]
    faces = Faces.concat([answers.faces[_key(photo)].with_photos([k]) for k, photo in enumerate(photos)])
    faces = faces.alignable()
    timed("crops of refinement", lambda: answers(photos))
    matrices, crops = faces.matrices(TEMPLATE), faces.crop(photos, TEMPLATE)
    timed("crops", lambda: faces.crop(photos, TEMPLATE))
    timed("crops for the embedder", lambda: faces.crop(photos, answers.template))
    labels, calibration = answers.label_maps(crops), load_calibration()
    batches = []
    for start in range(0, len(faces), 32):
        rows = np.arange(start, min(start + 32, len(faces)))
        part = faces.take(rows), TEMPLATE, matrices[rows], crops[rows], labels[rows], calibration
        batches.append(FaceInputs(photos, *part))
    timed("head pose", lambda: [_pose(inputs) for inputs in batches])
    for each in (entry for entry in MEASURES if entry.scope == "face"):
        timed(each.name, lambda each=each: [each(inputs) for inputs in batches])  # type: ignore[misc]
    timed("encode JPEG", lambda: encode_crops(crops))
    timed("encode PNG", lambda: encode_label_maps(labels))
    return seconds


def _pose(inputs: FaceInputs) -> object:
    inputs.__dict__.pop("head_pose", None)
    return inputs.head_pose


def _photos_per_second(paths: list[Path], rounds: int, start: float) -> float:
    """Photos/s of wall clock in this process, from the time `start` on, when every process is ready."""
    _one_thread()
    with tempfile.TemporaryDirectory() as folder:
        answers = FixedAnswers([decode(path.read_bytes(), shrink=True).pixels for path in paths], _networks())
        job, shard = shard_of(paths, Path(folder))
        measure(job, shard, answers)
        time.sleep(max(0.0, start - time.time()))
        began = time.perf_counter()
        for _ in range(rounds):
            (job.out / "measures").rename(Path(folder) / f"measured-{time.time_ns()}")
            measure(job, shard, answers)
        return rounds * len(paths) / (time.perf_counter() - began)


def _networks() -> Models:
    return load(resolve("builtin"), "cpu")


def _one_thread() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def workers(paths: list[Path], rounds: int, count: int, ready: float) -> float:
    """Photos/s of `count` processes that each measure all photos at the same time."""
    start = time.time() + ready
    with multiprocessing.get_context("spawn").Pool(count) as pool:
        return sum(pool.starmap(_photos_per_second, [(paths, rounds, start)] * count))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2], help="none: only one process")
    parser.add_argument("--ready", type=float, default=60.0, help="seconds after which all workers have started")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    _one_thread()
    figures: dict[str, dict[str, float]] = {}
    models = _networks()
    for title, (folder, pattern) in COLLECTIONS.items():
        paths = sample(folder, pattern, options.photos)
        answers = FixedAnswers([decode(path.read_bytes(), shrink=True).pixels for path in paths], models)
        times = []
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as scratch:
                times.append(measure(*shard_of(paths, Path(scratch)), answers))
        figures[title] = {
            "CPU in all": min(cpu for cpu, _ in times),
            "of it on the thread of the networks": min(thread for _, thread in times),
            **stages(paths, answers),
        }
        figures[title] = {name: 1000 * value / len(paths) for name, value in figures[title].items()}
        for count in options.workers:
            figures[title][f"photos/s, {count} workers"] = workers(paths, options.rounds, count, options.ready)
    print(f"| ms of CPU a photo | {' | '.join(figures)} |\n|---|{'---:|' * len(figures)}")
    for name in next(iter(figures.values())):
        print(f"| {name} | {' | '.join(f'{values[name]:.2f}' for values in figures.values())} |")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
