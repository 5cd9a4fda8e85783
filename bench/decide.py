"""Time and memory of `decide` on a synthetic dataset of 3.3 million photos and 9,131 identities.

    python -m bench.decide --photos 3300000

Protocol: the tables (bench/synthetic.py) are written once; `decide` with the default policy then runs in a process of
its own. Wall-clock time and peak memory of that process are printed as Markdown.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from bench.process import peak_memory, run_child
from bench.synthetic import generate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=3_300_000)
    parser.add_argument("--identities", type=int, default=9_131)
    parser.add_argument("--buckets", type=int, default=1_000)
    parser.add_argument("--out", type=Path, help="keep the dataset in this folder, or use the complete one in it")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(decide(options.child)))
        return
    with tempfile.TemporaryDirectory() as folder:
        out = options.out or Path(folder) / "dataset"
        if not (out / "dataset.json").exists():
            generate(out, options.photos, options.identities, options.buckets)
        result = run_child("bench.decide", "--child", out)
    print("| step | photos | seconds | peak memory, GB | kept |\n|---|---|---|---|---|")
    print(
        f"| decide | {options.photos:,} | {result['wall']:.1f} | {result['peak_memory'] / 1e9:.2f} "
        f"| {result['kept']:,} |"
    )


def decide(dataset: Path) -> dict[str, float]:
    """Decide a dataset in this process. Imports count, since a user pays for them too."""
    start = time.perf_counter()
    from curate.decide.decide import DecideRequest, run
    from curate.decide.policy import load_policy

    kept = run(DecideRequest(dataset, load_policy("default"))).kept
    return {"wall": time.perf_counter() - start, "peak_memory": peak_memory(), "kept": kept}


if __name__ == "__main__":
    main()
