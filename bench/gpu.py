"""Every path on a GPU against the CPU, then throughput stage by stage, in minutes on one card.

    python -m bench.gpu [--device cuda] [--photos 256] [--seconds 4]
    python -m bench.gpu --device cpu --photos 4 --seconds 0 --side 64    # dry run without a card

Protocol: photos are parts of two pictures that ship with the dependencies, shifted and lit differently, 350 px. Each
path runs on the CPU and on the device with the same inputs; the row shows the largest difference and its limit.
Throughput: each stage on batches, after one warm-up, with the device synchronised before and after; photos/s of the
whole pipeline with one process and all cores as threads; then training steps (bench/gpu_training.py) and whole runs of
several processes (bench/gpu_curation.py). Prints two Markdown tables; the exit code is 1 where a limit is exceeded. It
needs nothing but the checkout and its environment.
"""

import argparse
import importlib.util
import itertools
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from bench import device_rate
from bench.batches import TEMPLATE
from bench.gpu_curation import curation
from bench.gpu_row import Row
from bench.gpu_training import compare_steps, step_rates
from curate.decode import Pixels, decode
from curate.faces import align
from curate.faces.models import Models, load, resolve
from curate.faces.segment import binary_mask
from curate.measure.encoding import encode_crops, encode_label_maps
from curate.measure.inputs import FaceInputs, PhotoInputs
from curate.measure.photos import BATCH_PHOTOS
from curate.measure.pipeline import Pipeline
from curate.measure.settings import MeasureSettings
from curate.measure.sharpness import load_calibration
from curate.measure.table import MEASURES, measure_faces
from curate.relate.device_centroids import DeviceCentroids
from curate.relate.other_identities import Centroids, other_identities
from curate.sources import open_source

SIDE = 350
HASH_BITS = 64
_FACES = ((388, 204), (0, 200), (831, 2), (664, 280), (191, 81))
"""Left and top of parts of insightface's picture with one face each, of about half their side."""


def photos(count: int) -> list[Pixels]:
    """Return `count` photos with one face or more, uint8 (SIDE, SIDE, 3)."""
    pictures = [_picture("skimage", "data/astronaut.png"), _picture("insightface", "data/images/t1.jpg")]
    parts = [pictures[0][0:260, 95:355], *(pictures[1][y : y + 260, x : x + 260] for x, y in _FACES)]
    rng = np.random.default_rng(0)
    made = []
    for number in range(count):
        part = parts[number % len(parts)]
        shift = np.float32([[1, 0, rng.uniform(-12, 12)], [0, 1, rng.uniform(-12, 12)]])
        moved = cv2.warpAffine(part, shift, part.shape[1::-1], borderMode=cv2.BORDER_REFLECT)
        lit = np.clip(moved * rng.uniform(0.8, 1.2), 0, 255).astype(np.uint8)
        made.append(cv2.resize(lit, (SIDE, SIDE), interpolation=cv2.INTER_AREA))
    return made


def _picture(package: str, path: str) -> Pixels:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations
    return decode(Path(spec.submodule_search_locations[0], path).read_bytes()).pixels


def parity(images: Sequence[Pixels], cpu: Models, gpu: Models, side: int) -> Iterator[Row]:
    """Compare every path of curation and training on the two devices."""
    faces, others = cpu.detector(images), gpu.detector(images)
    yield Row("detector: faces found", abs(len(faces) - len(others)), 0, "faces")
    if len(faces) == len(others):
        yield Row("detector: boxes", _largest(faces.box, others.box), 0.5, "px")
        yield Row("detector: refined landmarks", _largest(faces.landmarks, others.landmarks), 0.5, "px")
    faces = faces.alignable()
    crops, on_device = faces.crop(images, TEMPLATE), faces.crop(images, TEMPLATE, gpu.device)
    yield Row("warps of photos", _largest(crops, on_device), 0, "levels")
    size = cpu.embedder.template.size
    to_chip = torch.from_numpy(align.fit(np.repeat(TEMPLATE.points[2:3], len(crops), 0), cpu.embedder.template)[0])
    warped = [align.warp_crops(part.float() / 255, to_chip.to(part.device), size) for part in (crops, on_device)]
    yield Row("warps of crops, differentiable", 255 * _largest(*warped), 0.05, "levels")
    chips = faces.crop(images, cpu.embedder.template)
    vectors, other_vectors = cpu.embedder.embed(chips), gpu.embedder.embed(chips).cpu()
    yield Row("embedder: 1 - cosine", 1 - float((vectors * other_vectors).sum(1).min()), 1e-3, "")
    labels, other_labels = cpu.segmenter.label_maps(crops), gpu.segmenter.label_maps(crops).cpu()
    yield Row("segmenter: other classes", float((labels != other_labels).float().mean()), 0.01, "of the pixels")
    agreement = [binary_mask(part, "face") for part in (labels, other_labels)]
    yield Row("segmenter: other face masks", float((agreement[0] != agreement[1]).float().mean()), 0.005, "")
    matrices, calibration = faces.matrices(TEMPLATE), load_calibration()
    columns = [
        measure_faces(MEASURES, FaceInputs(images, faces, TEMPLATE, matrices, part, maps.to(part.device), calibration))
        for part, maps in ((crops, labels), (on_device, labels))
    ]
    yield Row(*_worst_measure(*columns), 1.0, "of 0.1% + 0.001")  # type: ignore[call-arg]
    hashes = np.bitwise_count(columns[0]["face_phash"] ^ columns[1]["face_phash"])
    yield Row("measure face_phash", int(hashes.max(initial=0)), 2, f"of {HASH_BITS} bits")
    yield _nearest(gpu.device)
    yield _pack(gpu.device)
    yield from compare_steps(crops, cpu, gpu, side)


def _largest(first: object, second: object) -> float:
    a, b = (torch.as_tensor(part).detach().double().cpu() for part in (first, second))
    return float((a - b).abs().max()) if a.numel() else 0.0


def _worst_measure(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> tuple[str, float]:
    """Name of the column whose largest difference exceeds its tolerance most, and that ratio."""
    ratios = {}
    for name, values in first.items():
        if values.dtype.kind == "f":
            a, b = values.astype(np.float64), second[name].astype(np.float64)
            ratio = np.abs(a - b) / (1e-3 + 1e-3 * np.abs(a))
            ratio = np.where(np.isnan(a) & np.isnan(b), 0, np.where(np.isnan(a) != np.isnan(b), np.inf, ratio))
            ratios[name] = float(ratio.max(initial=0))
    name = max(ratios, key=ratios.__getitem__)
    return f"measures, the worst is {name}", ratios[name]


def _nearest(device: torch.device) -> Row:
    """Compare similarities of random faces to the nearest other identity, as `curate relate` computes them."""
    rng = np.random.default_rng(0)
    faces, centroids = (rng.normal(size=(count, 512)).astype(np.float32) for count in (2000, 300))
    faces, centroids = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (faces, centroids))
    own = np.arange(len(faces)) % len(centroids)
    first, second = (
        other_identities(faces, own, comparison).similarity
        for comparison in (Centroids(centroids), DeviceCentroids(centroids, str(device)))
    )
    return Row("relate: similarity to the nearest other identity", _largest(first, second), 1e-4, "")


def _pack(device: torch.device) -> Row:
    """Compare a network that an insightface pack could hold, read from ONNX, at random weights."""
    from curate.faces.onnx.graph import OnnxGraph
    from tests.samples.pack_networks import IResNet

    torch.manual_seed(0)
    network = IResNet((1, 1, 1, 1), 16).eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.onnx")
        torch.onnx.export(network, (torch.zeros(1, 3, 112, 112),), path, dynamo=False, verbose=False)
        inputs = torch.randn(4, 3, 112, 112)
        with torch.inference_mode():
            expected = torch.as_tensor(OnnxGraph(path)(inputs)[0])
            with torch.autocast(device.type, torch.float16, enabled=device.type == "cuda"):
                vectors = torch.as_tensor(OnnxGraph(path).to(device)(inputs.to(device))[0]).float().cpu()
    cosine = torch.nn.functional.cosine_similarity(expected, vectors)
    return Row("pack (ONNX): 1 - cosine", 1 - float(cosine.min()), 1e-2, "")


def throughput(images: Sequence[Pixels], models: Models, seconds: float) -> Iterator[tuple[str, float]]:
    """Yield each stage and its items per second."""
    device = models.device
    faces = models.detector(images).alignable()
    crops, chips = faces.crop(images, TEMPLATE), faces.crop(images, models.embedder.template)
    labels = models.segmenter.label_maps(crops)
    on_device, matrices = crops.to(device), faces.matrices(TEMPLATE)
    inputs = images, faces, TEMPLATE, matrices, on_device, labels, load_calibration()
    coded = [cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes() for image in images]

    def rate(count: int, call: Callable[[], object]) -> float:
        return device_rate.rate(lambda _: call(), count, seconds, device)

    grey = [entry for entry in MEASURES if entry.scope == "photo"]
    yield "decode JPEG, one thread", rate(len(coded), lambda: [decode(data) for data in coded])
    yield (
        "photo measures, one thread",
        rate(len(images), lambda: [entry(part) for image in images for part in [PhotoInputs(image)] for entry in grey]),
    )
    yield f"detection with refinement, {len(images)} photos at once", rate(len(images), lambda: models.detector(images))
    few = images[: BATCH_PHOTOS["cpu"]]
    yield f"detection with refinement, {len(few)} photos at once", rate(len(few), lambda: models.detector(few))
    yield "crops, one thread", rate(len(faces), lambda: faces.crop(images, TEMPLATE))
    yield "segmenter", rate(len(crops), lambda: models.segmenter.label_maps(crops))
    yield "embedder, with its mirror image", rate(len(chips), lambda: models.embedder.embed(chips))
    yield "face measures", rate(len(crops), lambda: measure_faces(MEASURES, FaceInputs(*inputs)))
    yield "JPEG and PNG, one thread", rate(len(crops), lambda: (encode_crops(crops), encode_label_maps(labels)))
    with tempfile.TemporaryDirectory() as folder:
        person = Path(folder, "person")
        person.mkdir()
        for number, data in enumerate(coded):
            (person / f"{number:05d}.jpg").write_bytes(data)
        source = open_source("folder", Path(folder))
        threads = max(1, os.cpu_count() or 1)
        pipeline = Pipeline(source, models, MeasureSettings(), threads)
        name = f"whole pipeline, one process, {threads} threads"
        yield name, rate(len(coded), lambda: list(pipeline(source.entries("person"))))


def _on_cpu() -> Models:
    return load(resolve("builtin"), "cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--photos", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=4.0, help="duration of each stage; 0: one round")
    parser.add_argument("--side", type=int, default=224, help="side of the crops in training, px")
    parser.add_argument("--per-worker", type=int, default=900, help="photos that each worker of a whole run measures")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("--device cuda: torch finds no CUDA device; --device cpu is a dry run")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    images = photos(options.photos)
    cpu, gpu = _on_cpu(), load(resolve("builtin"), options.device)
    print(f"{name}, torch {torch.__version__}, {os.cpu_count()} cores, {len(images)} photos of {SIDE} px\n")
    print("| path on the device against the CPU | largest difference | limit | |\n|---|---:|---:|---|")
    failed = 0
    for row in parity(images[: min(len(images), 24)], cpu, gpu, options.side):
        failed += not row.passed
        print(f"| {row.path} | {row.difference:.3g} {row.unit} | {row.limit:g} | {'' if row.passed else '**fails**'} |")
    print("\n| stage | per second |\n|---|---:|")
    crops = cpu.detector(images[:24]).alignable().crop(images[:24], TEMPLATE)
    stages = (
        throughput(images, gpu, options.seconds),
        step_rates(crops, cpu, gpu, options.side, options.seconds),
        curation(images, gpu, options.per_worker),
    )
    for stage, rate in itertools.chain(*stages):
        print(f"| {stage} | {rate:,.0f} |", flush=True)
    if device.type == "cuda":
        print(f"\nPeak memory of the device: {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
