"""`curate convert` against a Pillow loop on the same PNGs, both with two threads, same quality and subsampling.

    SWAPSET_DATA=... python bench/convert.py [--images 200] [--rounds 3]

Makes 512 px PNGs of CelebAMask-HQ photos in a temporary folder, converts them in turn with both, each time in a new
process, and prints images/s, CPU time, the ratios and a Markdown row. Ours decodes each output again and compares it;
the loop does not.
"""

import argparse
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from curate.convert import ConvertRequest, plan, run

QUALITY, THREADS = 95, 2


def make_pngs(folder: Path, count: int) -> None:
    photos = sorted((Path(os.environ["SWAPSET_DATA"]) / "celebamask" / "images").glob("*.jpg"))
    if len(photos) < count:
        raise SystemExit(f"{count} photos asked for, {len(photos)} found under $SWAPSET_DATA/celebamask/images")
    for number, path in enumerate(photos[:count]):
        target = folder / f"person{number % 10}" / f"{path.stem}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).convert("RGB").save(target)


def pillow_loop(root: Path, out: Path) -> None:
    def one(path: Path) -> None:
        target = out / path.relative_to(root).with_suffix(".jpg")
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).convert("RGB").save(target, quality=QUALITY, subsampling=0)

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(one, sorted(root.rglob("*.png"))))


def ours(root: Path, out: Path) -> None:
    counts = run(plan(ConvertRequest(root=root, out=out, quality=QUALITY, workers=THREADS))).counts
    if set(counts) != {"converted"}:
        raise SystemExit(f"not every photo was converted: {dict(counts)}")


def timed(name: str, root: Path, out: Path) -> tuple[float, float]:
    """Wall-clock and CPU seconds of one run, in a process of its own: neither warms the memory of the other."""
    shutil.rmtree(out, ignore_errors=True)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(_run, name, root, out).result()


def _run(name: str, root: Path, out: Path) -> tuple[float, float]:
    start, used = time.perf_counter(), time.process_time()
    RUNS[name](root, out)
    return time.perf_counter() - start, time.process_time() - used


RUNS = {"Pillow loop": pillow_loop, "curate convert": ours}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root, out = Path(scratch, "png"), Path(scratch, "jpg")
        make_pngs(root, options.images)
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in RUNS}
        for _ in range(options.rounds):
            for name, seconds in taken.items():
                seconds.append(timed(name, root, out))
        rates = {}
        for name, seconds in taken.items():
            wall, used = (statistics.median(column) for column in zip(*seconds, strict=True))
            rates[name] = options.images / wall, 1000 * used / options.images
            clock = ", ".join(f"{options.images / wall:.0f}" for wall, _ in seconds)
            cpu = ", ".join(f"{1000 * used / options.images:.1f}" for _, used in seconds)
            print(f"{name:16} {clock} images/s; {cpu} ms of CPU an image")
        (loop, loop_cpu), (own, own_cpu) = rates.values()
        print(f"ratio {own / loop:.2f} by the clock, {loop_cpu / own_cpu:.2f} by CPU time")
        print(
            f"| PNG -> JPG, {options.images} photos of 512 px, q{QUALITY} 4:4:4, {THREADS} threads "
            f"| {loop:.0f} images/s, {loop_cpu:.1f} ms CPU | {own:.0f} images/s, {own_cpu:.1f} ms CPU, each verified "
            f"| {own / loop:.2f}x by the clock, {loop_cpu / own_cpu:.2f}x by CPU time |"
        )


if __name__ == "__main__":
    main()
