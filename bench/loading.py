"""Loading training images by byte offset from a shard, and with torchvision's ImageFolder from files.

`python -m bench.training loader` runs it.
"""

import json
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.crops import SHARD, encode_jpeg, faces_row, read_crop, read_label_map, write_bench_info
from bench.photos import data, sample
from bench.process import run_child
from manifests.landmarks import TEMPLATES
from manifests.writer import FacesWriter
from train.data.faces import TrainingFaces
from train.data.loader import PairLoader
from train.data.pairs import PairSampler

TEMPLATE = TEMPLATES["simswap-224"]
SIDE = TEMPLATE.size[0]
BATCH = 16
LOADERS = {
    "ImageFolder, float32 normalised": "files float32",
    "ImageFolder, uint8": "files uint8",
    "Swapset, by offset": "shard",
    "Swapset, with masks": "shard with masks",
}


def compare(images: int, workers: int) -> None:
    """Print images/s and CPU time of each loader, on the same crops."""
    with tempfile.TemporaryDirectory() as folder:
        write_crops(Path(folder))
        print(f"batches of {BATCH}, {workers} workers: processes for ImageFolder, threads for Swapset\n")
        print("| loader | images/s | CPU ms per image |")
        print("|---|---:|---:|")
        for title, loader in LOADERS.items():
            options = ["--child", loader, "--root", folder, "--images", images, "--workers", workers]
            result = run_child("bench.training", "loader", *options)
            rate, cpu_ms = images / result["wall"], 1e3 * result["cpu"] / images
            print(f"| {title} | {rate:,.0f} | {cpu_ms:.2f} |", flush=True)


def run_as_child(loader: str, root: Path, images: int, workers: int) -> None:
    """Print the seconds that `images` images take after the first batch; CPU time includes worker processes."""
    torch.set_num_threads(1)
    batches = _files(root, loader, images, workers) if loader.startswith("files") else _shard(root, loader, workers)
    next(batches)
    wall, cpu = time.perf_counter(), _cpu_with_children()
    for _ in range(images // BATCH):
        next(batches)
    wall = time.perf_counter() - wall
    del batches  # ends worker processes, whose CPU time counts from then on
    print(json.dumps({"wall": wall, "cpu": _cpu_with_children() - cpu}))


def _files(root: Path, loader: str, images: int, workers: int) -> Iterator[object]:
    from torch.utils.data import DataLoader, RandomSampler
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    # float32 and normalised, as the published loop reads images; or the bytes alone.
    normalize = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    steps = [transforms.PILToTensor()] if loader.endswith("uint8") else [transforms.ToTensor(), normalize]
    folder = ImageFolder(str(root / "files"), transforms.Compose(steps))
    # One long epoch, so that starting workers again is not measured.
    order = RandomSampler(folder, replacement=True, num_samples=images + 2 * BATCH)
    return iter(DataLoader(folder, BATCH, sampler=order, num_workers=workers))


def _shard(root: Path, loader: str, workers: int) -> Iterator[object]:
    faces = read_faces(root)
    latents = np.ones((len(faces), 128), np.float16)
    mask: Any = "face_hair" if loader.endswith("masks") else "none"
    pairs = PairSampler(faces, BATCH, 0)
    return PairLoader(pairs, lambda _: "same", latents, TEMPLATES["arcface-112"], SIDE, mask, workers=workers)


def write_crops(root: Path) -> None:
    """Write up to 100 crops of each person of celebs-112 to the shard of `root`, with masks, and to `root`/files."""
    masks = [read_label_map(path, SIDE) for path in sample("celebamask", "masks/*.png", 50)]
    people = sorted(path for path in (data() / "celebs-112").iterdir() if path.is_dir())
    with FacesWriter(root / SHARD) as writer:
        for person in people:
            rows = []
            (root / "files" / person.name).mkdir(parents=True)
            for number, path in enumerate(sorted(person.glob("*.jpg"))[::4][:100]):
                crop = encode_jpeg(read_crop(path, SIDE))
                (root / "files" / person.name / path.name).write_bytes(crop)
                rows.append(faces_row(f"{person.name}/{path.name}", person.name, crop, masks[number % len(masks)]))
            writer.add(rows)
    assert writer.offsets is not None
    table = writer.offsets
    names = [face_id.split("/")[0] for face_id in table["face_id"].to_pylist()]
    columns = {
        name: table[name].to_numpy() for name in table.column_names if name.endswith(("offset", "length", "crc"))
    }
    write_bench_info(root)
    np.savez(root / "offsets.npz", person=np.unique(names, return_inverse=True)[1], **columns)


def read_faces(root: Path) -> TrainingFaces:
    """Return the faces of the shard as a training holds them, all with the template's frontal landmarks."""
    columns = dict(np.load(root / "offsets.npz"))
    person = columns.pop("person")
    count = len(person)
    return TrainingFaces(
        root=root,
        side=SIDE,
        people=[str(number) for number in range(person.max() + 1)],
        shards=[SHARD],
        face_id=np.array([str(number) for number in range(count)], object),
        person=person,
        shard=np.zeros(count, np.int64),
        box=np.zeros((count, 4), np.float32),
        matrix=np.zeros((count, 2, 3)),
        points=np.repeat(TEMPLATE.points[2:3], count, 0).astype(np.float32),
        **{name: values.astype(np.int64) for name, values in columns.items()},
    )


def _cpu_with_children() -> float:
    """CPU seconds of this process and of its finished children."""
    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
