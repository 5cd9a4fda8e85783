"""The photos that benches run on: a sample, evenly spread and always the same, of what SWAPSET_DATA names."""

import os
import sys
from pathlib import Path


def data() -> Path:
    """The folder; leaves the program with a word where it is not set."""
    where = os.environ.get("SWAPSET_DATA", "")
    if not where or not Path(where).is_dir():
        sys.exit("set SWAPSET_DATA to the folder of test photos (see CONTRIBUTING.md)")
    return Path(where)


def sample(folder: str, pattern: str, count: int) -> list[Path]:
    """`count` files of data()/folder that match, evenly spread over the sorted names; all where there are fewer."""
    found = sorted((data() / folder).glob(pattern))
    return [found[k * len(found) // min(count, len(found))] for k in range(min(count, len(found)))]
