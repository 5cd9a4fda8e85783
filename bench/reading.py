"""Crops read where they lie against crops read by row group, from the same shards: bytes and images per second.

    SWAPSET_DATA=DIR python bench/reading.py [--people 20] [--photos 500] [--seconds 10]

Makes a dataset of real faces (celebs-112, at 224 px as curation stores them) in a temporary folder and reads it as
training does: two random photos of one random person, each time; then 32 of one person. Each way runs in a process of
its own, on a warm page cache; bytes are those that the process asked the kernel for (`rchar` of /proc/self/io).
Prints Markdown.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from manifests.pixels import PixelReader
from manifests.writer import FacesWriter, write_table

Pick = tuple[int, list[int]]
"""A person, and photos of that person."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--photos", type=int, default=500, help="photos per person")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each way of reading runs")
    parser.add_argument("--worker", nargs=3, metavar=("WAY", "COUNT", "ROOT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        way, count, root = arguments.worker
        print(json.dumps(_measured(WAYS[way], int(count), Path(root), arguments.seconds)))
        return
    with tempfile.TemporaryDirectory() as folder:
        size = _make(Path(folder), arguments.people, arguments.photos)
        print(
            f"{arguments.people} people x {arguments.photos} crops of 224 px, {size / 1e6:.0f} MB of crops and masks\n"
        )
        print("| read | way | images/s | bytes read / delivered |")
        print("|---|---|---:|---:|")
        for count, what in ((2, "2 photos of one person"), (32, "32 photos of one person")):
            for way in WAYS:
                command = [sys.executable, __file__, "--worker", way, str(count), folder]
                run = subprocess.run(
                    [*command, "--seconds", str(arguments.seconds)], capture_output=True, text=True, check=True
                )
                told = json.loads(run.stdout)
                print(
                    f"| {what} | {way} | {told['images'] / told['seconds']:,.0f} | {told['read'] / told['out']:.2f} |"
                )


def _make(root: Path, people: int, photos: int) -> int:
    """Write the shard and where its crops lie; returns the bytes of crops and masks."""
    where = Path(os.environ["SWAPSET_DATA"]) / "celebs-112"
    # Crops may repeat: only sizes and places matter here, and to encode ten thousand takes longer than to read them.
    crops = [_jpeg(path) for path in sorted(where.glob("*/*.jpg"))[::4]]
    masks = sorted((where.parent / "celebamask" / "masks").glob("*.png"))[:50]
    labels = [_png(Image.open(path)) for path in masks]
    with FacesWriter(root / "faces" / "b-000.parquet") as writer:
        for person in range(people):
            name = f"{person:04d}"
            rows = []
            for photo in range(photos):
                ident = f"{name}/{photo:04d}.jpg"
                rows.append({
                    "image_id": ident, "identity": name, "face_id": f"{ident}#0", "matrix": [0.0] * 6,
                    "crop": crops[(person * photos + photo) % len(crops)], "mask": labels[photo % len(labels)],
                })  # fmt: skip
            writer.add(rows)
    assert writer.offsets is not None
    offsets = writer.offsets.append_column(
        "identity", pa.array([person for person in range(people) for _ in range(photos)])
    )
    write_table(root / "offsets.parquet", offsets, offsets.schema)
    sizes = (offsets["crop_length"].to_numpy(), offsets["mask_length"].to_numpy())
    return int(sum(size.sum() for size in sizes))


def _jpeg(path: Path) -> bytes:
    out = io.BytesIO()
    with Image.open(path) as image:
        crop = image.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)
    crop.save(out, "JPEG", quality=95, subsampling=0)
    return out.getvalue()


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    labels = Image.fromarray(np.asarray(image)).resize((224, 224), Image.Resampling.NEAREST)
    labels.save(out, "PNG", optimize=True)
    return out.getvalue()


class ByOffset:
    """Two reads a photo: its crop and its mask, at the places that the manifest names."""

    def __init__(self, root: Path, table: pa.Table) -> None:
        self.pixels = PixelReader(root)
        self.at = {name: table[name].to_numpy() for name in table.column_names if name.endswith(("offset", "length"))}
        self.first = np.searchsorted(table["identity"].to_numpy(), np.arange(table["identity"].to_numpy().max() + 1))

    def read(self, pick: Pick) -> int:
        person, photos = pick
        rows = self.first[person] + np.array(photos)
        return sum(
            len(data)
            for name in ("crop", "mask")
            for data in self.pixels.many(
                "faces/b-000.parquet", self.at[f"{name}_offset"][rows], self.at[f"{name}_length"][rows]
            )
        )


class ByRowGroup:
    """What a Parquet reader offers: the row group that holds the person, then the wanted rows of it."""

    def __init__(self, root: Path, table: pa.Table) -> None:
        self.file = pq.ParquetFile(root / "faces" / "b-000.parquet")
        self.groups: dict[int, tuple[int, int]] = {}
        for group in range(self.file.num_row_groups):
            people = self.file.read_row_group(group, ["identity"])["identity"].to_pylist()
            for row in range(len(people) - 1, -1, -1):
                self.groups[int(people[row])] = (group, row)

    def read(self, pick: Pick) -> int:
        person, photos = pick
        group, first = self.groups[person]
        rows = self.file.read_row_group(group, ["crop", "mask"]).take([first + photo for photo in photos])
        return sum(len(value["bytes"]) for name in ("crop", "mask") for value in rows[name].to_pylist())


WAYS: dict[str, Callable[[Path, pa.Table], ByOffset | ByRowGroup]] = {"by offset": ByOffset, "by row group": ByRowGroup}


def _measured(
    way: Callable[[Path, pa.Table], ByOffset | ByRowGroup], count: int, root: Path, seconds: float
) -> dict[str, float]:
    table = pq.read_table(root / "offsets.parquet")
    reader = way(root, table)
    people = int(table["identity"].to_numpy().max()) + 1
    photos = table.num_rows // people
    random = np.random.default_rng(0)
    picks = [
        (int(random.integers(people)), random.choice(photos, count, replace=False).tolist()) for _ in range(20_000)
    ]
    for person in range(people):
        reader.read((person, list(range(photos))))  # the page cache is warm from here on
    before, start, cpu = _rchar(), time.perf_counter(), time.process_time()
    images = out = 0
    for pick in picks * 100:
        out += reader.read(pick)
        images += count
        if time.perf_counter() - start > seconds:
            break
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {"images": images, "out": out, "seconds": seconds, "cpu": cpu, "read": _rchar() - before}


def _rchar() -> int:
    for line in Path("/proc/self/io").read_text().splitlines():
        name, _, value = line.partition(": ")
        if name == "rchar":
            return int(value)
    raise RuntimeError("/proc/self/io has no rchar: this bench needs Linux")


if __name__ == "__main__":
    main()
