"""Compare two decisions: `DiffRequest` -> `plan` -> `run`."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from curate.counts import counted
from curate.decide.collection import decide_collection
from curate.decide.footer import decision_footer, requested_policy
from curate.decide.rules import RULES, Policy
from curate.decide.stored_parts import stored_parts
from curate.diff.flips import COLUMNS, FlipGroup, Flips, compare
from curate.errors import PolicyError
from curate.lineage import require_current
from curate.listener import SILENT, Listener, progress
from curate.overrides import FILE_NAME, read_overrides
from curate.report.pages import render
from curate.report.pictures import PictureFolder
from curate.report.sheets import format_number
from manifests.csv_rows import CsvWriter
from manifests.errors import DatasetError
from manifests.layout import CALIBRATION_HASH, MANIFEST
from manifests.output import OutputLock, atomic_folder, require_replaceable
from manifests.reader import Dataset
from manifests.schema import VERDICTS
from manifests.table_file import TableFile

if TYPE_CHECKING:
    from curate.measure.sharpness import BlurCalibration

TABLE, PAGE = "diff.csv", "index.html"
"""Files of the output folder."""

FOLDER = "diff"
"""Name of the output folder inside the dataset before, where no other is given."""

MAX_GROUPS, MAX_PHOTOS = 24, 24
"""Groups of flips on the page, and photos of each."""

PICTURE_SIDE = 160
"""px of a shown photo."""

_SHOWN = {rule.reason: rule.shown for rule in RULES}
_READ = tuple(
    dict.fromkeys((
        *COLUMNS, "source_identity", "error", "shard", "crop_offset", "crop_length", "crop_crc",
        *(name for names in _SHOWN.values() for name in names),
    ))
)  # fmt: skip


@dataclass(frozen=True)
class DiffRequest:
    """What to compare. Exactly one of `after` and `policy` is given.

    Attributes:
        before: a decided dataset.
        after: another decided dataset of the same photos.
        policy: another policy for the photos of `before`, which is not decided again.
        calibration: with `policy`, the blur calibration of the decision.
        out: folder of the result: new, empty, or of an earlier comparison, which it replaces. None: `diff` in `before`.
    """

    before: Path
    after: Path | None = None
    policy: Policy | None = None
    calibration: "BlurCalibration | None" = None
    out: Path | None = None

    def __post_init__(self) -> None:
        if (self.after is None) == (self.policy is None):
            raise ValueError("give either a second dataset or a policy to compare with")


@dataclass(frozen=True)
class DiffPlan:
    """A request and its opened datasets; `after` is None where a policy is compared."""

    request: DiffRequest
    before: Dataset
    after: Dataset | None

    @property
    def out(self) -> Path:
        """The output folder."""
        return self.request.out or self.before.path / FOLDER


@dataclass(frozen=True)
class Differences:
    """Result of `run`: the output folder, and the flips."""

    out: Path
    flips: Flips

    def lines(self) -> list[str]:
        """Describe the result: photos that flip, in all and by verdict."""
        flips = self.flips
        lines = [f"another verdict: {flips.changed:,} of {counted(int(flips.counts.sum()), 'photo')}"]
        for a, before in enumerate(VERDICTS):
            for b, after in enumerate(VERDICTS):
                if a != b and flips.counts[a, b]:
                    lines.append(f"  {int(flips.counts[a, b]):>9,}  {before} -> {after}")
        if flips.only_before or flips.only_after:
            lines.append(
                f"  in the first only: {counted(flips.only_before, 'photo')}; in the second only: {flips.only_after:,}"
            )
        if flips.moved:
            lines.append(f"  another identity: {counted(flips.moved, 'photo')}")
        return lines


def plan(request: DiffRequest) -> DiffPlan:
    """Open the datasets. Writes nothing.

    Raises DatasetError where one has no manifest, is out of date, or is merged and to be decided by a policy;
    PolicyError where the dataset was decided with a blur calibration that is not given; OutputError where the output
    folder has other files.
    """
    before = Dataset.open(request.before)
    require_current(before)
    after = Dataset.open(request.after) if request.after else None
    if after:
        require_current(after)
    elif before.parts:
        parts = ", ".join(map(str, before.parts.values()))
        raise DatasetError(f"{before.path} is merged and has no single policy: compare its parts, {parts}")
    elif CALIBRATION_HASH in TableFile(before.path / MANIFEST).metadata and request.calibration is None:
        raise PolicyError(f"{before.path} was decided with a blur calibration: give the same one as --calibration")
    diff_plan = DiffPlan(request, before, after)
    out = diff_plan.out
    require_replaceable(out, TABLE, "a comparison")
    return diff_plan


def run(diff_plan: DiffPlan, listener: Listener = SILENT) -> Differences:
    """Compare, and write the output folder, which replaces an earlier one when it is whole.

    Raises DatasetError where a table is missing or damaged, OutputError where the output cannot be written, BusyError
    where another process writes into the dataset.
    """
    before, out = diff_plan.before, diff_plan.out
    old = before.manifest(_READ)
    new, policies = _after(diff_plan, listener)
    flips = compare(old, new)
    with OutputLock(before.path) if out.parent == before.path else nullcontext(), atomic_folder(out) as folder:
        _write_table(folder / TABLE, old, new, flips)
        (folder / "pictures").mkdir()
        pictures = PictureFolder(before, folder / "pictures", PICTURE_SIDE)
        text = render(
            "curate.diff",
            "page.html",
            name=before.path.resolve().name,
            other=diff_plan.after.path.resolve().name if diff_plan.after else "another policy",
            flips=flips,
            verdicts=VERDICTS,
            keys=policies,
            groups=[_shown(group, old, pictures) for group in flips.groups[:MAX_GROUPS]],
        )
        (folder / PAGE).write_text(text, encoding="utf-8")
    return Differences(out, flips)


def _after(diff_plan: DiffPlan, listener: Listener) -> tuple[pa.Table, list[tuple[str, str, str]]]:
    """The manifest to compare with, and the keys of the policies that differ: name, before, after."""
    before, request = diff_plan.before, diff_plan.request
    if diff_plan.after:
        metadata = [TableFile(dataset.path / MANIFEST).metadata for dataset in (before, diff_plan.after)]
        merged = before.parts or diff_plan.after.parts
        keys = [] if merged else _keys(requested_policy(metadata[0]), requested_policy(metadata[1]))
        return diff_plan.after.manifest(COLUMNS), keys
    assert request.policy is not None
    overrides = read_overrides(before.path / FILE_NAME)
    collection = decide_collection(stored_parts(before, request.calibration), request.policy, overrides)
    tables = []
    with progress(
        listener, "deciding", sum(part.rows for batch in collection.batches for part in batch), "faces"
    ) as advance:
        for batch, table in zip(collection.batches, collection.tables(), strict=True):
            tables.append(table.select(list(COLUMNS)))
            advance(sum(part.rows for part in batch))
    recorded = decision_footer(request.policy, collection.sharpness_limits, request.calibration)
    keys = _keys(requested_policy(TableFile(before.path / MANIFEST).metadata), requested_policy(recorded))
    return pa.concat_tables(tables), keys


def _keys(before: Policy, after: Policy) -> list[tuple[str, str, str]]:
    rows = zip(before.describe(), after.describe(), strict=True)
    return [(old.name, old.value, new.value) for old, new in rows if old.value != new.value]


def _write_table(path: Path, old: pa.Table, new: pa.Table, flips: Flips) -> None:
    after_of = dict(zip(flips.before_rows.tolist(), flips.after_rows.tolist(), strict=True)) if flips.groups else {}
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        table = CsvWriter(file, ("image_id", "identity", "before", "after", "reasons_before", "reasons_after"))
        for group in flips.groups:
            rows = old.select(list(COLUMNS)).take(pa.array(group.rows)).to_pylist()
            others = new["reasons"].take(pa.array([after_of[row] for row in group.rows.tolist()])).to_pylist()
            for row, reasons in zip(rows, others, strict=True):
                cells = (row["image_id"], row["identity"], group.before, group.after)
                table.write((*cells, " ".join(row["reasons"]), " ".join(reasons)))


def _shown(group: FlipGroup, old: pa.Table, pictures: PictureFolder) -> dict[str, Any]:
    """A group with pictures, spread over the range of the first number of its first reason."""
    names = [name for reason in (*group.gone, *group.come) for name in _SHOWN.get(reason, ())]
    rows = group.rows
    if names:
        values = np.asarray(old[names[0]].take(pa.array(rows)).to_numpy(), np.float64)
        rows = rows[np.argsort(values, kind="stable")]
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(MAX_PHOTOS, len(rows))).astype(int))]
    photos = []
    for row in old.take(pa.array(rows)).to_pylist():
        numbers = [
            f"{name.replace('_', ' ')} {format_number(row[name])}"
            for name in dict.fromkeys(names)
            if row[name] is not None
        ]
        photos.append({"file": pictures.add(row), "title": row["image_id"], "lines": numbers})
    return {"group": group, "total": len(group.rows), "photos": photos}
