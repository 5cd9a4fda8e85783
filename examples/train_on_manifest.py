"""Train a face-swap generator on the kept faces of a cleaned dataset.

    python examples/train_on_manifest.py --data curated/vggface2 --out runs/seg-mask --recipe seg-mask

Same as `simswap fit`. Stopped at any moment, the same command continues. RUN/samples shows what the generator does.
"""

import argparse
import json
from pathlib import Path

from curate.commands.progress import ProgressBar
from curate.faces.models import check_device
from manifests.reader import Dataset
from train.config import load_recipe
from train.fit import FitRequest, plan, run
from train.trained import load_trained


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipe", default="baseline", help="a recipe's name, or a TOML file")
    parser.add_argument("--images", type=int, help="train on this many images instead of the recipe's number")
    options = parser.parse_args()

    kept = Dataset.open(options.data).to_pandas(["identity", "image_id"], keep=True)
    print(f"{len(kept):,} kept photos of {kept.identity.nunique():,} people")

    # A recipe is a frozen dataclass; values given here replace those of the file.
    recipe = load_recipe(options.recipe, images=options.images)
    request = FitRequest(data=options.data, recipe=recipe, out=options.out, device=check_device(None))
    checkpoint = run(plan(request), ProgressBar())

    last = json.loads((options.out / "log.jsonl").read_text().splitlines()[-1])
    print(", ".join(f"{name} {value:.4g}" for name, value in last.items() if isinstance(value, int | float)))
    generator = load_trained(checkpoint, request.device)
    parameters = sum(parameter.numel() for parameter in generator.network.parameters())
    print(f"{checkpoint}: {parameters:,} parameters, {generator.size} px, trained on {generator.facts.images:,} images")


if __name__ == "__main__":
    main()
