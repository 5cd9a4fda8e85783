"""Photos that the benchmarks run on: fixed samples, evenly spread over the collections in the folder SWAPSET_DATA."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")


def data() -> Path:
    """Return the folder of test photos; exit with a message where SWAPSET_DATA does not name one."""
    folder = os.environ.get("SWAPSET_DATA", "")
    if not folder or not Path(folder).is_dir():
        sys.exit(f"SWAPSET_DATA={folder}: not a folder; set it to the folder of test photos (see CONTRIBUTING.md)")
    return Path(folder)


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """Select `count` items, evenly spread over the sequence; all of them where there are fewer."""
    count = min(count, len(items))
    return [items[k * len(items) // count] for k in range(count)]


def sample(collection: str, pattern: str, count: int) -> list[Path]:
    """Select `count` files of a collection that match a glob pattern, evenly spread over their sorted paths."""
    return spread(sorted((data() / collection).glob(pattern)), count)
