"""Reading crops by byte offset against reading them by Parquet row group, from the same shard: bytes and images/s.

    SWAPSET_DATA=DIR python -m bench.reading [--people 20] [--photos 500] [--seconds 10]

Protocol: a shard of real faces (celebs-112, resized to 224 px, encoded as curation stores them) is written to a
temporary folder and read as training reads it: two random photos of one random person at a time, then 32 of one
person; crop and mask. Each method runs in a process of its own with a warm page cache. Bytes read are those that the
process requested from the kernel (`rchar` of /proc/self/io). Prints Markdown.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.crops import SHARD, encode_jpeg, faces_row, read_crop, read_label_map, write_bench_info
from bench.photos import data
from bench.process import run_child
from manifests.pixels import PixelReader
from manifests.writer import FacesWriter, write_table

SIDE = 224


class Request(NamedTuple):
    """Photos of one person, by their number within that person."""

    person: int
    photos: list[int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--photos", type=int, default=500, help="photos per person")
    parser.add_argument("--seconds", type=float, default=10.0, help="running time of each method")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        method, count, root = options.child
        print(json.dumps(measure(METHODS[method], int(count), Path(root), options.seconds)))
        return
    with tempfile.TemporaryDirectory() as folder:
        size = write_shard(Path(folder), options.people, options.photos)
        print(f"{options.people} people x {options.photos} crops of 224 px, {size / 1e6:.0f} MB of crops and masks\n")
        print("| read | method | images/s | bytes read / delivered |")
        print("|---|---|---:|---:|")
        for count in (2, 32):
            for method in METHODS:
                child = ["--child", method, count, folder, "--seconds", options.seconds]
                result = run_child("bench.reading", *child)
                rate, ratio = result["images"] / result["seconds"], result["read"] / result["delivered"]
                print(f"| {count} photos of one person | {method} | {rate:,.0f} | {ratio:.2f} |", flush=True)


def write_shard(root: Path, people: int, photos: int) -> int:
    """Write the shard and the table of its offsets; returns the bytes of all crops and masks."""
    # Crops repeat: only their sizes and positions matter, and encoding ten thousand would take longer than reading.
    crops = [encode_jpeg(read_crop(path, SIDE)) for path in sorted((data() / "celebs-112").glob("*/*.jpg"))[::4]]
    masks = [read_label_map(path, SIDE) for path in sorted((data() / "celebamask" / "masks").glob("*.png"))[:50]]
    with FacesWriter(root / SHARD) as writer:
        for person in range(people):
            name = f"{person:04d}"
            writer.add([
                faces_row(
                    f"{name}/{photo:04d}.jpg", name,
                    crops[(person * photos + photo) % len(crops)], masks[photo % len(masks)],
                )
                for photo in range(photos)
            ])  # fmt: skip
    assert writer.offsets is not None
    offsets = writer.offsets.append_column("identity", pa.array(np.repeat(np.arange(people), photos)))
    write_table(root / "offsets.parquet", offsets, offsets.schema)
    write_bench_info(root)
    return int(offsets["crop_length"].to_numpy().sum() + offsets["mask_length"].to_numpy().sum())


class ByOffset:
    """Two reads per photo, its crop and its mask, at the offsets that the manifest records."""

    def __init__(self, root: Path, table: pa.Table) -> None:
        self.pixels = PixelReader(root)
        self.columns = {
            name: table[name].to_numpy() for name in table.column_names if name.endswith(("offset", "length", "crc"))
        }
        identity = table["identity"].to_numpy()
        self.first = np.searchsorted(identity, np.arange(identity.max() + 1))

    def read(self, request: Request) -> int:
        """Read the crops and masks of a request; returns their bytes."""
        rows = self.first[request.person] + np.array(request.photos)
        return sum(
            len(content)
            for name in ("crop", "mask")
            for content in self.pixels.many(
                SHARD, *(self.columns[f"{name}_{value}"][rows] for value in ("offset", "length", "crc"))
            )
        )


class ByRowGroup:
    """What a Parquet reader offers: read the row group that contains the person, then take the requested rows."""

    def __init__(self, root: Path, table: pa.Table) -> None:
        self.file = pq.ParquetFile(root / SHARD)
        self.first: dict[int, tuple[int, int]] = {}
        """Row group and first row in it of each person."""
        for group in range(self.file.num_row_groups):
            people = self.file.read_row_group(group, ["identity"])["identity"].to_pylist()
            for row in range(len(people) - 1, -1, -1):
                self.first[int(people[row])] = (group, row)

    def read(self, request: Request) -> int:
        """Read the crops and masks of a request; returns their bytes."""
        group, first = self.first[request.person]
        rows = self.file.read_row_group(group, ["crop", "mask"]).take([first + photo for photo in request.photos])
        return sum(len(value["bytes"]) for name in ("crop", "mask") for value in rows[name].to_pylist())


Method = Callable[[Path, pa.Table], ByOffset | ByRowGroup]
METHODS: dict[str, Method] = {"by offset": ByOffset, "by row group": ByRowGroup}


def measure(method: Method, count: int, root: Path, seconds: float) -> dict[str, float]:
    """Read `count` photos of one random person at a time, for `seconds`."""
    table = pq.read_table(root / "offsets.parquet")
    reader = method(root, table)
    people = int(table["identity"].to_numpy().max()) + 1
    photos = table.num_rows // people
    random = np.random.default_rng(0)
    requests = [
        Request(int(random.integers(people)), random.choice(photos, count, replace=False).tolist())
        for _ in range(20_000)
    ]
    for person in range(people):
        reader.read(Request(person, list(range(photos))))  # warms the page cache
    read_before, start = _bytes_read(), time.perf_counter()
    images = delivered = 0
    for request in requests * 100:
        delivered += reader.read(request)
        images += count
        if time.perf_counter() - start > seconds:
            break
    return {
        "images": images,
        "delivered": delivered,
        "seconds": time.perf_counter() - start,
        "read": _bytes_read() - read_before,
    }


def _bytes_read() -> int:
    """Bytes that this process has requested from the kernel so far."""
    for line in Path("/proc/self/io").read_text().splitlines():
        name, _, value = line.partition(": ")
        if name == "rchar":
            return int(value)
    raise RuntimeError("/proc/self/io has no rchar: this benchmark needs Linux")


if __name__ == "__main__":
    main()
