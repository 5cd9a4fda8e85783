"""`curate convert` against a Pillow loop on the same PNGs: images/s and CPU time.

    SWAPSET_DATA=DIR python -m bench.convert [--images 200] [--rounds 3]

Protocol: 512 px PNGs of CelebAMask-HQ photos are written to a temporary folder and converted by both sides in turn,
each time in a new process, with two threads, JPEG quality 95 and 4:4:4 subsampling. Medians over the rounds.
`curate convert` also decodes each output and compares it with the source; the loop and `--no-verify` do not. Prints
images/s, CPU time, the ratios to the loop and Markdown rows.
"""

import argparse
import multiprocessing
import shutil
import statistics
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from PIL import Image

from bench.photos import data
from bench.process import Seconds, timed
from curate.convert import ConvertRequest, plan, run

QUALITY, THREADS = 95, 2


def make_pngs(folder: Path, count: int) -> None:
    photos = sorted((data() / "celebamask" / "images").glob("*.jpg"))
    if len(photos) < count:
        raise SystemExit(f"--images {count}: $SWAPSET_DATA/celebamask/images has only {len(photos)} photos")
    for number, path in enumerate(photos[:count]):
        target = folder / f"person{number % 10}" / f"{path.stem}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).convert("RGB").save(target)


def pillow_loop(root: Path, out: Path) -> None:
    def convert(path: Path) -> None:
        target = out / path.relative_to(root).with_suffix(".jpg")
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).convert("RGB").save(target, quality=QUALITY, subsampling=0)

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(convert, sorted(root.rglob("*.png"))))


def curate_convert(root: Path, out: Path, *, verify: bool = True) -> None:
    request = ConvertRequest(root=root, out=out, quality=QUALITY, workers=THREADS, verify=verify)
    counts = run(plan(request)).counts
    if set(counts) != {"converted"}:
        raise SystemExit(f"not every photo was converted: {dict(counts)}")


SIDES: dict[str, Callable[[Path, Path], None]] = {
    "Pillow loop": pillow_loop,
    "curate convert": curate_convert,
    "curate convert --no-verify": partial(curate_convert, verify=False),
}


def timed_in_new_process(side: str, root: Path, out: Path) -> Seconds:
    """Time one side in a process of its own, so that neither side warms the memory of the other."""
    shutil.rmtree(out, ignore_errors=True)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(_timed_side, side, root, out).result()


def _timed_side(side: str, root: Path, out: Path) -> Seconds:
    return timed(lambda: SIDES[side](root, out))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    times: dict[str, list[Seconds]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        root, out = Path(folder, "png"), Path(folder, "jpg")
        make_pngs(root, options.images)
        for _ in range(options.rounds):
            for side, rounds in times.items():
                rounds.append(timed_in_new_process(side, root, out))
    report(times, options.images)


def report(times: dict[str, list[Seconds]], images: int) -> None:
    """Print all sides, the ratios to the first one, and Markdown rows."""
    medians: list[tuple[str, float, float]] = []
    for side, rounds in times.items():
        rate = images / statistics.median(seconds.wall for seconds in rounds)
        cpu_ms = 1000 * statistics.median(seconds.cpu for seconds in rounds) / images
        medians.append((side, rate, cpu_ms))
        rates = ", ".join(f"{images / seconds.wall:.0f}" for seconds in rounds)
        cpu = ", ".join(f"{1000 * seconds.cpu / images:.1f}" for seconds in rounds)
        print(f"{side:26} {rates} images/s; {cpu} ms of CPU per image")
    _, loop_rate, loop_cpu = medians[0]
    print(f"\n{images} PNGs of 512 px, quality {QUALITY}, 4:4:4, {THREADS} threads\n")
    print("| | images/s | CPU, ms an image | by wall clock | by CPU time |\n|---|---:|---:|---:|---:|")
    for side, rate, cpu_ms in medians:
        print(f"| {side} | {rate:.0f} | {cpu_ms:.1f} | {rate / loop_rate:.2f} | {loop_cpu / cpu_ms:.2f} |")


if __name__ == "__main__":
    main()
