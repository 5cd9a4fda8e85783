"""A summary of a dataset: counts of photos, reasons and people, models, disk space."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.counts import counted
from curate.lineage import require_current
from manifests.errors import DatasetError
from manifests.layout import MANIFEST, RELATIONS, ModelsRecord
from manifests.reader import Dataset
from manifests.schema import NO_IDENTITY, REASONS, VERDICTS


@dataclass(frozen=True)
class DatasetSummary:
    """The numbers that `curate inspect` prints.

    Attributes:
        path: directory of the dataset.
        source: kind and root.
        template: name of the crops' template.
        models: role -> name and first digits of the hash of each recorded network.
        policy_hash: hash of the policy, if recorded.
        photos, with_face: photos in all, and those with a face.
        verdicts: photos of each verdict, in the order of `VERDICTS`.
        used: photos that training and exports use: the kept ones, and those to review where the policy says so.
        overridden: photos decided by overrides.csv.
        reasons: reason -> photos, in the order of `REASONS`.
        people, people_kept: people in all, and those with a photo that is used.
        kept_per_person: fewest, median and most used photos of the people who have any.
        disk: family -> bytes, largest first.
        parts: name -> directory of each part of a merged dataset.
        outdated: why the manifest is out of date, and the next step; None where it is not.
    """

    path: Path
    source: str
    template: str
    models: dict[str, str]
    policy_hash: str | None
    photos: int
    with_face: int
    verdicts: dict[str, int]
    used: int
    overridden: int
    reasons: dict[str, int]
    people: int
    people_kept: int
    kept_per_person: tuple[int, int, int]
    disk: dict[str, int]
    parts: dict[str, Path]
    outdated: str | None = None

    def lines(self) -> list[str]:
        """Format the summary as lines of plain text."""
        lines = [f"{self.path}: {self.source}"]
        lines += [f"  out of date: {self.outdated}"] if self.outdated else []
        lines += [f"  part {name}: {path}" for name, path in self.parts.items()]
        whose = f"of {counted(self.people, 'person')}" if self.people else "without identities"
        lines += [f"  {counted(self.photos, 'photo')} {whose}, {self.with_face:,} with a face"]
        for verdict, count in self.verdicts.items():
            lines.append(f"  {verdict:<6} {count:>10,}  {_percent(count, self.photos)}")
        if self.verdicts.get("review"):
            used = "are used" if self.used > self.verdicts["keep"] else "are not used"
            lines.append(f"  photos to review {used} in training and exports")
        if self.overridden:
            lines.append(f"  of these {self.overridden:,} by overrides.csv")
        if self.reasons:
            lines.append("  reasons (a photo may have several reasons)")
            for name, count in self.reasons.items():
                lines.append(f"    {name:<16} {count:>9,}  {_percent(count, self.photos)}")
        fewest, median, most = self.kept_per_person
        if self.people:
            kept = counted(self.people_kept, "person")
            lines.append(f"  kept: {kept}, {fewest:,} to {counted(most, 'photo')} each, median {median:,}")
        lines.append(f"  crops: {self.template}; policy {(self.policy_hash or 'unknown')[:12]}")
        lines += [f"  {role}: {name}" for role, name in self.models.items()]
        lines.append("  disk: " + ", ".join(f"{name} {_size(size)}" for name, size in self.disk.items()))
        return lines


def summarise(dataset: Dataset) -> DatasetSummary:
    """Read the manifest and count. Raises DatasetError without a manifest."""
    rows = dataset.manifest(["identity", "keep", "verdict", "verdict_source", "reasons", "face_id"])
    verdict = rows["verdict"].cast(pa.string())
    identified = pc.not_equal(rows["identity"], NO_IDENTITY)
    kept_rows = pc.and_(identified, rows["keep"])
    kept = pc.value_counts(rows["identity"].filter(kept_rows)).field("counts").to_numpy()
    reasons = _counts(pc.list_flatten(rows["reasons"]))
    source = dataset.info.source
    return DatasetSummary(
        path=dataset.path,
        source=f"{source.kind} {source.root}" if source.root else source.kind,
        template=dataset.info.template,
        models=_model_names(dataset.info.models),
        policy_hash=dataset.policy_hash(),
        photos=rows.num_rows,
        with_face=rows.num_rows - rows["face_id"].null_count,
        verdicts={name: _counts(verdict).get(name, 0) for name in VERDICTS},
        used=pc.sum(rows["keep"]).as_py() or 0,
        overridden=_counts(rows["verdict_source"].cast(pa.string())).get("override", 0),
        reasons={reason: reasons[reason] for reason in REASONS if reason in reasons},
        people=pc.count_distinct(rows["identity"].filter(identified)).as_py(),
        people_kept=len(kept),
        kept_per_person=(int(kept.min()), int(np.median(kept)), int(kept.max())) if len(kept) else (0, 0, 0),
        disk=_disk_usage(dataset.path),
        parts=dataset.parts,
        outdated=_outdated(dataset),
    )


def _outdated(dataset: Dataset) -> str | None:
    try:
        require_current(dataset)
    except DatasetError as error:
        return str(error)
    return None


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(column).to_pylist()}


def _model_names(models: ModelsRecord) -> dict[str, str]:
    names = {
        "detector": models.detector and models.detector[:12],
        "embedder": f"{models.embedder.name} {models.embedder.embedder_id[:12]}",
        "segmenter": models.segmenter and models.segmenter[:12],
    }
    return {role: name for role, name in names.items() if name}


def _disk_usage(root: Path) -> dict[str, int]:
    """Return the bytes on disk of each family, largest first."""
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
