"""Clean VGGFace2: from the published folders to a manifest of kept photos.

    python examples/clean_vggface2.py --root /data/VGGFace2 --out curated/vggface2

ROOT is a folder with train/n000002/0001_01.jpg, ..., or a tar of it; it is only read. Stopped at any moment, the same
command continues. Same as `curate clean vggface2 --policy strict`.
"""

import argparse
from pathlib import Path

import pandas as pd

import curate
from curate.commands.progress import ProgressBar
from curate.decide import load_policy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--exclude", type=Path, nargs="*", default=[], help="folders of people who must not be in it")
    options = parser.parse_args()

    request = curate.MeasureRequest(layout="vggface2", root=options.root, out=options.out)
    cleaned = curate.clean(request, load_policy("strict"), ProgressBar(), exclude=options.exclude)
    print(f"{cleaned.decided.kept:,} of {cleaned.decided.photos:,} photos are kept: {cleaned.manifest}")
    print(f"what was dropped, with pictures: {cleaned.report}")

    # The manifest is an ordinary Parquet file: one row per photo, with its verdict and the numbers behind it.
    manifest = pd.read_parquet(cleaned.manifest)
    print(manifest.explode("reasons").groupby("reasons", observed=True).size().sort_values(ascending=False).to_string())
    wrong = manifest[manifest.suggested_identity.notna()]
    print(wrong[["image_id", "identity", "suggested_identity", "wrong_person"]].head(10).to_string(index=False))


if __name__ == "__main__":
    main()
