"""What a measurement noticed about a collection, in lines for the summary: landmarks that do not fit, turned photos."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pyarrow.compute as pc

from curate.counts import counted
from manifests.reader import read_table

_COLUMNS = ["face_id", "landmark_source", "landmarks_rejected", "turn"]


def findings(shards: Iterable[Path]) -> list[str]:
    """Describe the measured photos, one line per finding. `shards`: files of MEASURES; missing ones are skipped."""
    rejected, turned = Counter[str](), Counter[int]()
    used = 0
    for path in shards:
        if not path.exists():
            continue
        table = read_table(path, _COLUMNS)
        # One row per photo: the first face, or the row without a face.
        photos = table.filter(pc.fill_null(pc.ends_with(table["face_id"], "#0"), True))
        rejected.update(photos["landmarks_rejected"].drop_null().to_pylist())
        turned.update(filter(None, photos["turn"].to_pylist()))
        used += pc.sum(pc.equal(photos["landmark_source"], "source")).as_py() or 0
    lines = []
    if count := rejected.total():
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in sorted(rejected.items()))
        lines.append(
            f"landmarks of {count:,} of {counted(count + used, 'photo')} do not fit ({reasons}): faces were detected "
            "instead"
        )
    if count := turned.total():
        degrees = ", ".join(f"{number:,} by {degrees}°" for degrees, number in sorted(turned.items()))
        lines.append(
            f"{counted(count, 'photo', 'is', 'are')} stored turned ({degrees} clockwise to be upright): "
            f"{'its crops' if count == 1 else 'their crops'} are upright"
        )
    return lines
