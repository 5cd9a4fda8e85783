"""A decided dataset -> report/index.html: static pages that open from disk, without network or script."""

import shutil
from importlib.resources import files
from pathlib import Path, PurePath

from curate.decide.footer import applied_policy
from curate.report import numbers
from curate.report.charts import histogram_svg
from curate.report.sheets import COLUMNS, SheetMaker
from manifests.errors import DatasetError
from manifests.layout import MANIFEST, POLICY_HASH, SourceRecord
from manifests.output import OutputLock, writable
from manifests.reader import Dataset, footer

MEANINGS = {
    "undecodable": "the file is broken, or no image",
    "no_face": "no face was found",
    "too_small": "the face or the photo has too few pixels",
    "blurred": "the face is out of focus, moved, or enlarged from few pixels",
    "stretched": "the face is too tall or too wide",
    "corrupt_pixels": "damaged image data: torn blocks, a grey lower part",
    "too_dark": "the face is lost in the dark",
    "too_bright": "the face is burnt out",
    "other_person": "not the person of its folder",
    "mixed_identity": "the whole folder is no one person",
    "duplicate": "the same bytes as a photo that is kept",
    "near_duplicate": "the same picture as a photo that is kept",
    "excluded": "a person of the exclusion gallery",
    "keep": "a sample of what is kept",
}


def run(dataset: Path) -> Path:
    """Write the report of a decided dataset, under its lock; return the page's path.

    Raises BusyError, DatasetError and OutputError.
    """
    with OutputLock(dataset):
        return write_report(dataset)


def write_report(dataset_dir: Path) -> Path:
    """Writes `report/index.html` and its pictures for the dataset's present manifest; returns the page's path.

    The former report is replaced only when the new one is complete. Raises DatasetError, OutputError.
    """
    import jinja2

    dataset = Dataset.open(dataset_dir)
    if dataset.parts:
        parts = ", ".join(map(str, dataset.parts.values()))
        raise DatasetError(f"{dataset_dir} is merged, each part has a policy of its own: report on its parts, {parts}")
    told = footer(dataset.path / MANIFEST) or {}
    names = list(dict.fromkeys((*numbers.COLUMNS, *COLUMNS)))
    manifest = dataset.manifest(names)
    policy = applied_policy(told)
    counted = numbers.count(manifest, policy)
    target, draft = dataset.path / "report", dataset.path / ".report.partial"
    with writable(target):
        shutil.rmtree(draft, ignore_errors=True)
        (draft / "pictures").mkdir(parents=True)
        sheets = SheetMaker(dataset, manifest, draft / "pictures").reasons()
        environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        template = environment.from_string((files("curate.report") / "page.html").read_text(encoding="utf-8"))
        page = template.render(
            numbers=counted,
            sheets=sheets,
            charts=[(h.measure, histogram_svg(h)) for h in counted.histograms if h.photos.any()],
            meanings=MEANINGS,
            policy=policy.describe(),
            policy_hash=told[POLICY_HASH],
            source=_source_name(dataset.info.source),
            embedder=dataset.info.models.embedder,
            name=dataset.path.resolve().name,
        )
        (draft / "index.html").write_text(page, encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        draft.replace(target)
    return target / "index.html"


def _source_name(source: SourceRecord) -> str:
    """The kind of source and its folder's name; not its path, since reports are passed on."""
    return " ".join(dict.fromkeys(part for part in (source.kind, PurePath(source.root or "").name) if part))
