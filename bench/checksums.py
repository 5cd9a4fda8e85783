"""Cost of checksums and lineage: CPU time of the loader, of deciding, and of writing, with and without them.

    python -m bench.checksums DATASET [--rounds 40]

Protocol: one process, with and without checks in turn, round by round, so that both meet the same load of the machine;
CPU time of the process, not elapsed time. The median ratio over the rounds is given. `loader`: a round is 16 pairs of a
curated dataset, crops and label maps at 224 px. `decide`: a round decides a synthetic dataset of 5,000 photos in 64
shards; the digests of footers are computed in both. `write`, `read`: a round writes, or reads, all tables of DATASET
with our reader and writer and with plain pyarrow; the difference is given relative to the CPU time of measuring the
photos of the dataset, one second for `--photos-per-second` of them. Prints Markdown.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow.parquet as pq
import torch

from bench.synthetic import generate
from curate import decide
from manifests.checksums import CheckedFile, checked_writer
from manifests.landmarks import TEMPLATES
from manifests.pixels import PixelReader
from manifests.reader import Dataset
from manifests.table_file import TableFile
from train.data.faces import read_training_faces
from train.data.loader import PairLoader
from train.data.pairs import PairSampler

BATCH = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--photos-per-second", type=float, default=3.0, help="of CPU time, from `curate measure`")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| what | CPU ms a round | without | ratio |\n|---|---:|---:|---:|")
    load = _loader(options.dataset)
    _compare("loader, 16 pairs", load, options.rounds)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "set"
        generate(root, photos=5_000, identities=200, buckets=64)
        request = decide.DecideRequest(root)
        _compare("decide, 5,000 photos", lambda: decide.run(request), max(3, options.rounds // 30))
        tables = sorted(options.dataset.rglob("*.parquet"))
        photos = Dataset.open(options.dataset).manifest(["image_id"]).num_rows
        measuring = 1000 * photos / options.photos_per_second
        steps: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "read": (
                lambda: [TableFile(path).read() for path in tables],
                lambda: [pq.ParquetFile(path).read() for path in tables],
            ),
            "write": (_writer(tables, Path(folder), checked=True), _writer(tables, Path(folder), checked=False)),
        }
        for what, (ours, plain) in steps.items():
            with_ms, without_ms, _ = _times(ours, plain, options.rounds)
            share = (with_ms - without_ms) / measuring
            print(
                f"| {what} all tables | {with_ms:.1f} | {without_ms:.1f} | {share:+.2%} of measuring {photos} photos |"
            )


def _compare(what: str, run: Callable[[], object], rounds: int) -> None:
    with_ms, without_ms, ratio = _times(run, run, rounds, _without_checks)
    print(f"| {what} | {with_ms:.1f} | {without_ms:.1f} | {ratio:.3f} |", flush=True)


def _times(
    ours: Callable[[], object],
    plain: Callable[[], object],
    rounds: int,
    plain_context: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> tuple[float, float, float]:
    """Median CPU milliseconds of both, and the median ratio of the rounds; the first round is not counted."""
    times = []
    for number in range(rounds + 1):
        pair = [0.0, 0.0]
        for which in (0, 1) if number % 2 else (1, 0):
            with plain_context() if which else nullcontext():
                began = time.process_time()
                (plain if which else ours)()
                pair[which] = 1000 * (time.process_time() - began)
        times.append(pair)
    ours_ms, plain_ms = zip(*times[1:], strict=True)
    return statistics.median(ours_ms), statistics.median(plain_ms), statistics.median(a / b for a, b in times[1:])


@contextmanager
def _without_checks() -> Iterator[None]:
    """Replace the comparisons with checksums, and of lineage, by nothing."""
    with (
        mock.patch.object(PixelReader, "_checked", lambda self, data, *_: data),
        mock.patch.object(CheckedFile, "_check"),
        mock.patch("curate.decide.stored_parts.require_relations"),
    ):
        yield


def _loader(root: Path) -> Callable[[], object]:
    faces = read_training_faces(Dataset.open(root), "simswap-224")
    sampler = PairSampler(faces, BATCH, 0)
    latents = np.ones((len(faces), 128), np.float16)
    loader = PairLoader(sampler, lambda _: "same", latents, TEMPLATES["arcface-112"], 224, "face_hair")
    numbers = iter(range(10**9))

    def load() -> object:
        number = next(numbers) // 2  # with and without checks, the same pairs
        return loader.load(number)

    return load


def _writer(tables: list[Path], folder: Path, *, checked: bool) -> Callable[[], None]:
    contents = [pq.read_table(path) for path in tables]

    def write() -> None:
        for table in contents:
            path = folder / "written.parquet"
            if checked:
                with checked_writer(path, table.schema) as writer:
                    writer.write_table(table)
            else:
                pq.write_table(table, path)

    return write


if __name__ == "__main__":
    main()
