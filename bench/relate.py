"""Time and memory of `relate` on synthetic photos of 9,131 identities with embeddings of 512 dimensions.

    python -m bench.relate --photos 100000 330000

Protocol: each size is written as a dataset of 1,000 shards (bench/synthetic.py) and related in a process of its own.
Prints wall-clock and CPU time, peak memory, and a linear extrapolation to 3.3 million photos from the last two sizes
(with one size: from that size and zero). The search for duplicates runs, but synthetic photos have none, so that no
pixels are compared; a pixel comparison takes about 2 ms per candidate.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from bench.process import peak_memory, run_child, timed
from bench.synthetic import EMBEDDER, generate

ALL_PHOTOS = 3_300_000
"""Size that the figures are extrapolated to: VGGFace2."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, nargs="+", default=[100_000, 330_000])
    parser.add_argument("--identities", type=int, default=9_131)
    parser.add_argument("--buckets", type=int, default=1_000)
    parser.add_argument("--dim", type=int, default=512, help="dimensions of an embedding")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(relate(options.child)))
        return
    print("| photos | seconds | CPU seconds | peak memory, GB |\n|---|---|---|---|")
    sizes: list[dict[str, float]] = [{"photos": 0, "wall": 0, "cpu": 0, "gigabytes": 0}]
    for photos in sorted(options.photos):
        with tempfile.TemporaryDirectory() as folder:
            generate(Path(folder), photos, options.identities, options.buckets, options.dim)
            sizes.append({"photos": photos, **run_child("bench.relate", "--child", folder)})
        print(table_row(sizes[-1]), flush=True)
    print(table_row(extrapolated(*sizes[-2:]), ", extrapolated"))


def extrapolated(small: dict[str, float], large: dict[str, float]) -> dict[str, float]:
    """Extrapolate every figure linearly in the number of photos to ALL_PHOTOS."""
    factor = (ALL_PHOTOS - large["photos"]) / (large["photos"] - small["photos"])
    return {name: large[name] + factor * (large[name] - small[name]) for name in large}


def table_row(figures: dict[str, float], note: str = "") -> str:
    photos, wall, cpu, gigabytes = (figures[name] for name in ("photos", "wall", "cpu", "gigabytes"))
    return f"| {photos:,.0f}{note} | {wall:.0f} | {cpu:.0f} | {gigabytes:.2f} |"


def relate(dataset: Path) -> dict[str, float]:
    """Relate a dataset in this process. The CPU time includes imports, the wall-clock time does not."""
    from curate.relate.relate import RelateRequest, run

    seconds = timed(lambda: run(RelateRequest(dataset, embedder_id=EMBEDDER)))
    return {"wall": seconds.wall, "cpu": time.process_time(), "gigabytes": peak_memory() / 1e9}


if __name__ == "__main__":
    main()
