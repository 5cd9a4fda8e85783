"""A curated dataset -> what is in it, in numbers, and those as lines of text."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.layout import MANIFEST, RELATIONS, ModelsRecord
from manifests.reader import Dataset
from manifests.schema import REASONS


@dataclass(frozen=True)
class Summary:
    """What `curate inspect` tells. Counts are of photos; `disk` is bytes per column family.

    kept_per_person: fewest, median and most kept photos of those people who have any.
    """

    path: Path
    source: str
    template: str | None
    models: dict[str, str]
    policy_hash: str | None
    photos: int
    with_face: int
    verdicts: dict[str, int]
    by_hand: int
    reasons: dict[str, int]
    people: int
    people_kept: int
    kept_per_person: tuple[int, int, int]
    disk: dict[str, int]
    parts: dict[str, Path]


def summary(dataset: Dataset) -> Summary:
    """Read the manifest and count. Raises DatasetError where there is none yet."""
    rows = dataset.manifest(["identity", "verdict", "verdict_source", "reasons", "face_id"])
    verdict = rows["verdict"].cast(pa.string())
    kept = pc.value_counts(rows["identity"].filter(pc.equal(verdict, "keep"))).field("counts").to_numpy()
    found = _counts(pc.list_flatten(rows["reasons"]))
    source = dataset.info.source
    return Summary(
        path=dataset.path,
        source=f"{source.kind} {source.root}" if source.root else source.kind,
        template=dataset.info.template,
        models=_model_names(dataset.info.models),
        policy_hash=dataset.policy_hash(),
        photos=rows.num_rows,
        with_face=rows.num_rows - rows["face_id"].null_count,
        verdicts={name: _counts(verdict).get(name, 0) for name in ("keep", "drop")},
        by_hand=_counts(rows["verdict_source"].cast(pa.string())).get("override", 0),
        reasons={reason: found[reason] for reason in REASONS if reason in found},
        people=pc.count_distinct(rows["identity"]).as_py(),
        people_kept=len(kept),
        kept_per_person=(int(kept.min()), int(np.median(kept)), int(kept.max())) if len(kept) else (0, 0, 0),
        disk=_disk(dataset.path),
        parts=dataset.parts,
    )


def render(found: Summary) -> list[str]:
    """A summary as lines of plain text for a terminal."""
    lines = [f"{found.path}: {found.source}"]
    lines += [f"  part {name}: {path}" for name, path in found.parts.items()]
    lines += [f"  {found.photos:,} photos of {found.people:,} people, {found.with_face:,} with a face"]
    for verdict, count in found.verdicts.items():
        lines.append(f"  {verdict} {count:>12,}  {_percent(count, found.photos)}")
    if found.by_hand:
        lines.append(f"  of these {found.by_hand:,} by overrides.csv")
    if found.reasons:
        lines.append("  dropped for (a photo may have several reasons)")
        lines += [
            f"    {name:<16} {count:>9,}  {_percent(count, found.photos)}" for name, count in found.reasons.items()
        ]
    fewest, median, most = found.kept_per_person
    lines.append(f"  kept: {found.people_kept:,} people, {fewest:,} to {most:,} photos each, median {median:,}")
    lines.append(f"  crops: {found.template}; policy {(found.policy_hash or 'unknown')[:12]}")
    lines += [f"  {role}: {name}" for role, name in found.models.items()]
    lines.append("  disk: " + ", ".join(f"{name} {_size(size)}" for name, size in found.disk.items()))
    return lines


def _counts(words: pa.ChunkedArray) -> dict[str, int]:
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(words).to_pylist()}


def _model_names(models: ModelsRecord) -> dict[str, str]:
    """Role -> name, if any, and first digits of the hash of each recorded network."""
    names = {
        "detector": models.detector and models.detector[:12],
        "embedder": f"{models.embedder.name} {models.embedder.embedder_id[:12]}",
        "segmenter": models.segmenter and models.segmenter[:12],
    }
    return {role: name for role, name in names.items() if name}


def _disk(root: Path) -> dict[str, int]:
    """Bytes on disk per family, largest first."""
    sizes = {name: (root / name).stat().st_size for name in (MANIFEST, RELATIONS) if (root / name).exists()}
    for family in ("faces", "measures", "embeddings", "report"):
        size = sum(path.stat().st_size for path in (root / family).rglob("*") if path.is_file())
        if size:
            sizes[family] = size
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))


def _percent(count: int, total: int) -> str:
    return f"{100 * count / total:5.1f} %" if total else ""


def _size(size: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
