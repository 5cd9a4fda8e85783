"""`curate convert` against a Pillow loop on the same PNGs, both with two threads, same quality and subsampling.

    SWAPSET_DATA=... python bench/convert.py [--images 200] [--rounds 3]

Makes 512 px PNGs of CelebAMask-HQ photos in a temporary folder, converts them in turn with both, and prints images/s,
the ratio and a Markdown row. Ours decodes each output again and compares it; the loop does not.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from curate.convert import ConvertOptions, convert

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
    counts = convert(root, out, ConvertOptions(quality=QUALITY, workers=THREADS))
    if set(counts) != {"converted"}:
        raise SystemExit(f"not every photo was converted: {dict(counts)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root, out = Path(scratch, "png"), Path(scratch, "jpg")
        make_pngs(root, options.images)
        rates: dict[str, list[float]] = {"Pillow loop": [], "curate convert": []}
        for _ in range(options.rounds):
            for name, run in (("Pillow loop", pillow_loop), ("curate convert", ours)):
                shutil.rmtree(out, ignore_errors=True)
                start = time.perf_counter()
                run(root, out)
                rates[name].append(options.images / (time.perf_counter() - start))
        for name, values in rates.items():
            print(f"{name:16} {', '.join(f'{value:.0f}' for value in values)} images/s")
        loop, own = (statistics.median(values) for values in rates.values())
        print(f"ratio {own / loop:.2f}")
        print(
            f"| PNG -> JPG, {options.images} photos of 512 px, q{QUALITY} 4:4:4, {THREADS} threads "
            f"| {loop:.0f} images/s | {own:.0f} images/s, each verified | {own / loop:.2f}x |"
        )


if __name__ == "__main__":
    main()
