r"""Judge a generator on people that it was not trained on, and compare it with another one.

    python examples/judge_generator.py --data curated/vggface2 --out judged \
        --checkpoint runs/seg-mask/checkpoints/000008000000.safetensors \
        --baseline runs/baseline/checkpoints/000008000000.safetensors

Same as `simswap evaluate`. OUT/index.html shows swaps beside the numbers.
"""

import argparse
from pathlib import Path

import pandas as pd

from curate.commands.progress import ProgressBar
from curate.faces.models import check_device
from train.judge.evaluate import JudgeRequest, plan, run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--baseline", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=500, help="pairs of two people, and as many of one person")
    options = parser.parse_args()

    request = JudgeRequest(
        candidates={"checkpoint": options.checkpoint},
        baseline=options.baseline,
        data=options.data,
        out=options.out,
        pairs=options.pairs,
        device=check_device(None),
    )
    summary = run(plan(request), ProgressBar())
    for model, metrics in summary.metrics[summary.first_judge].items():
        print(model)
        for name, metric in metrics.items():
            if metric.value is not None:
                print(f"  {name:<16} {metric.value:8.3f}   95% interval {metric.low:.3f} to {metric.high:.3f}")

    # pairs.parquet has one row per pair, model and judge: the source persons that are reproduced worst.
    pairs = pd.read_parquet(options.out / "pairs.parquet")
    cross = pairs[(pairs.kind == "cross") & (pairs.model == "checkpoint")]
    print(cross.groupby("source_person").distance.mean().sort_values(ascending=False).head(5).to_string())


if __name__ == "__main__":
    main()
