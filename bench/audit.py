"""How often the 95% interval of `curate audit` contains the truth.

    python -m bench.audit --audits 500

Protocol: collections of 10,000 kept photos in the four strata of doubt that `curate audit` uses. Faulty photos are
planted at shares of 0, 2 and 10% of the collection, in five ways: more often in doubtful strata (as expected),
equally in all, in the undoubtful stratum alone, in the most doubtful ones alone, and in a collection without doubtful
photos. Of each collection, `--audits` samples of 300 photos are drawn with the allocation of `curate audit` and judged
without error. A hit is an audit whose interval contains the share of faulty photos in the collection. Nothing was tuned
on these collections; the allocation was fixed before.
"""

import argparse

import numpy as np
import numpy.typing as npt

from curate.audit.draw import allocation
from curate.audit.estimate import Stratum, estimate

Sizes = npt.NDArray[np.int64]

COLLECTIONS = {
    "more in doubtful strata": ((7000, 2000, 700, 300), (0.2, 1.0, 5.0, 20.0)),
    "equally": ((7000, 2000, 700, 300), (1.0, 1.0, 1.0, 1.0)),
    "undoubtful ones alone": ((7000, 2000, 700, 300), (1.0, 0.0, 0.0, 0.0)),
    "doubtful ones alone": ((7000, 1500, 1000, 500), (0.0, 0.0, 1.0, 2.0)),
    "no doubtful photo": ((10_000, 0, 0, 0), (1.0, 0.0, 0.0, 0.0)),
}
"""Name -> photos of each stratum, and how much more often than elsewhere they are faulty."""

NOISE = (0.0, 0.02, 0.1)
SAMPLE = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audits", type=int, default=500)
    options = parser.parse_args()
    print("| faulty photos | share | drawn of each stratum | intervals that contain the truth | mean width |")
    print("|---|---|---|---|---|")
    random = np.random.default_rng(0)
    for name, (sizes, risk) in COLLECTIONS.items():
        for noise in NOISE:
            faulty = planted(np.array(sizes), np.array(risk), noise)
            drawn = np.array(allocation(list(sizes), SAMPLE))
            truth = faulty.sum() / sum(sizes)
            hits, width = 0, 0.0
            for _ in range(options.audits):
                found = random.hypergeometric(faulty, np.array(sizes) - faulty, drawn)
                strata = [Stratum(*map(int, row)) for row in zip(sizes, drawn, found, strict=True)]
                share = estimate(strata)
                hits += share.low <= truth <= share.high
                width += (share.high - share.low) / options.audits
            numbers = "/".join(map(str, drawn.tolist()))
            print(
                f"| {name} | {100 * truth:.1f}% | {numbers} | {100 * hits / options.audits:.1f}% | {100 * width:.1f}% |"
            )


def planted(sizes: Sizes, risk: npt.NDArray[np.float64], noise: float) -> Sizes:
    """Return the faulty photos of each stratum, `noise` of all photos in all, at most all of a stratum."""
    total = noise * sizes.sum()
    faulty = np.zeros(len(sizes))
    while (left := total - faulty.sum()) > 0.5:
        free = np.where(faulty < sizes, risk * sizes, 0)
        faulty = np.minimum(faulty + left * free / free.sum(), sizes)
    return np.round(faulty).astype(np.int64)


if __name__ == "__main__":
    main()
