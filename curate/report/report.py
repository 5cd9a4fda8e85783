"""Write the report of a decided dataset."""

from pathlib import Path, PurePath

from curate.audit.record import stored_audit
from curate.decide.footer import applied_policy, limit_groups, stored_findings
from curate.decide.rules import RULES
from curate.lineage import require_current
from curate.report import doubts, sheets, summary
from curate.report.charts import histogram_svg
from curate.report.pages import render
from curate.report.persons import mixed_identities
from curate.report.pictures import PictureFolder
from manifests.errors import DatasetError
from manifests.layout import MANIFEST, POLICY_HASH, SourceRecord
from manifests.output import OutputLock, atomic_folder
from manifests.reader import Dataset
from manifests.table_file import footer

_MEANINGS = {rule.reason: rule.meaning for rule in RULES} | {
    sheets.KEPT: "a sample of the kept photos",
    sheets.DOUBTS: "photos whose verdict is doubtful, the most doubtful first; review.csv lists up to 50,000",
}


def run(dataset: Path) -> Path:
    """Write `report/index.html` and its pictures for the current manifest of a dataset; return the path of the page.

    Beside it, `review.csv` lists the photos to look at, and `splits.csv` the lines of overrides.csv that split folders
    of two persons.

    A previous report is replaced when the new one is complete. Raises BusyError where another process writes into the
    dataset, DatasetError where it is not decided, out of date or merged, OutputError where it cannot be written.
    """
    Dataset.open(dataset)  # before a lock is written into a folder that is no dataset
    with OutputLock(dataset):
        opened = Dataset.open(dataset)
        if opened.parts:
            parts = ", ".join(map(str, opened.parts.values()))
            raise DatasetError(f"{dataset} is merged and has no single policy: write the reports of its parts, {parts}")
        require_current(opened)
        with atomic_folder(opened.path / "report") as folder:
            (folder / "pictures").mkdir()
            (folder / "index.html").write_text(_page(opened, folder), encoding="utf-8")
    return opened.path / "report" / "index.html"


def _page(dataset: Dataset, folder: Path) -> str:
    """The page as HTML; its tables are written into `folder`, its pictures into `folder/pictures`."""
    manifest = dataset.manifest(list(dict.fromkeys((*summary.COLUMNS, *sheets.COLUMNS, *doubts.COLUMNS))))
    metadata = footer(dataset.path / MANIFEST) or {}
    policy = applied_policy(metadata)
    numbers = summary.summarise(manifest, policy)
    doubtful, mixed = doubts.find_doubts(manifest, policy), mixed_identities(manifest)
    doubts.write_tables(folder, manifest, doubtful, mixed)
    return render(
        "curate.report",
        "page.html",
        numbers=numbers,
        findings=stored_findings(metadata),
        audit=stored_audit(metadata),
        mixed=mixed,
        sheets=sheets.contact_sheets(manifest, PictureFolder(dataset, folder / "pictures"), doubtful),
        charts=[(shown.chart, histogram_svg(shown)) for shown in numbers.histograms if shown.photos.any()],
        meanings=_MEANINGS,
        sharpness_limits=[group.reason() for group in limit_groups(metadata)],
        policy=policy.describe(),
        policy_hash=metadata[POLICY_HASH],
        source=_source_name(dataset.info.source),
        embedder=dataset.info.models.embedder,
        name=dataset.path.resolve().name,
    )


def _source_name(source: SourceRecord) -> str:
    """Layout and folder name of the source, without its path, because reports are passed on."""
    return " ".join(dict.fromkeys(part for part in (source.kind, PurePath(source.root or "").name) if part))
