"""Time and memory of `relate` on synthetic photos of 9,131 identities, 512 numbers an embedding.

    python -m bench.relate --photos 100000 330000

Each size is written as a dataset of 1,000 shards (faces scattered about one direction a person, random hashes) and
related in a process of its own. Printed: seconds by the clock and of CPU, peak memory, and what a line through the last
two sizes, or through the only one and zero, gives for 3.3 million photos. Near duplicates are looked for; as there are
none, no pixels are compared: those cost 10 ms a candidate more (`bench.duplicates`).
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.decide import EMBEDDER, generate

WHOLE = 3_300_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, nargs="+", default=[100_000, 330_000])
    parser.add_argument("--identities", type=int, default=9_131)
    parser.add_argument("--buckets", type=int, default=1_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run_child(options.child)
        return
    print("| photos | seconds | seconds of CPU | peak memory, GB |\n|---|---|---|---|")
    told: list[dict[str, float]] = []
    for photos in sorted(options.photos):
        with tempfile.TemporaryDirectory() as scratch:
            generate(Path(scratch), argparse.Namespace(**vars(options) | {"photos": photos, "relate": True}))
            command = [sys.executable, "-m", "bench.relate", "--child", scratch]
            told.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
        told[-1]["photos"] = photos
        print("| {photos:,} | {wall:.0f} | {cpu:.0f} | {gigabytes:.2f} |".format(**told[-1]), flush=True)
    small, large = ([dict.fromkeys(told[0], 0.0), *told])[-2:]
    share = (WHOLE - large["photos"]) / (large["photos"] - small["photos"])
    whole = {name: large[name] + share * (large[name] - small[name]) for name in large}
    print("| {photos:,.0f}, extrapolated | {wall:.0f} | {cpu:.0f} | {gigabytes:.2f} |".format(**whole))


def run_child(dataset: Path) -> None:
    from curate.relate.relate import RelateRequest, run

    start = time.perf_counter()
    run(RelateRequest(dataset, embedder_id=EMBEDDER))
    # ru_maxrss is in KiB on Linux.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(json.dumps({"wall": time.perf_counter() - start, "cpu": time.process_time(), "gigabytes": peak}))


if __name__ == "__main__":
    main()
