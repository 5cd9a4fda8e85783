"""A view: a directory that reads as a dataset decided by another policy, while the dataset itself is unchanged.

Measures, relations, crops and vectors are symbolic links; the view has its own `manifest.parquet`.
"""

import shutil
from pathlib import Path

from curate import merge
from curate.decide.decide import DecideRequest, run_locked
from curate.decide.rules import Policy
from curate.overrides import FILE_NAME
from manifests.layout import INFO, RELATIONS
from manifests.output import OutputLock, atomic, writable
from manifests.reader import Dataset

_PARTS = "parts"
_LINKED = ("measures", "faces", "embeddings", RELATIONS)


def make_view(dataset_dir: Path, policy: Policy, out: Path) -> Dataset:
    """Write the view `out` of a dataset, replacing an earlier one, and open it.

    The dataset's human verdicts (overrides.csv) apply to the view as well; sharpness is as measured. The parts of a
    merged dataset are decided separately and merged again. Raises DatasetError where the dataset is not measured or
    not related, PolicyError for a faulty overrides.csv, OutputError where `out` cannot be written.
    """
    dataset = Dataset.open(dataset_dir)
    with OutputLock(out):
        if not dataset.parts:
            _decide(dataset, policy, out)
            return Dataset.open(out)
        views = []
        for name, part in dataset.parts.items():
            views.append(out / _PARTS / name)
            _decide(Dataset.open(part), policy, views[-1])
    request = merge.MergeRequest(tuple(views), out, dataset.info.source.join_identities)
    merge.run(merge.plan(request))
    return Dataset.open(out)


def _decide(dataset: Dataset, policy: Policy, out: Path) -> None:
    """Decide a dataset that is not merged, in a directory of links to it."""
    with writable(out):
        out.mkdir(parents=True, exist_ok=True)
        for name in _LINKED:
            link = out / name
            if link.is_symlink():
                link.unlink()
            link.symlink_to((dataset.path / name).resolve())
    (out / FILE_NAME).unlink(missing_ok=True)
    if (dataset.path / FILE_NAME).exists():
        with atomic(out / FILE_NAME) as partial:
            shutil.copyfile(dataset.path / FILE_NAME, partial)
    # dataset.json makes the directory a dataset; the manifest, written atomically, makes it a decided one.
    with atomic(out / INFO) as partial:
        shutil.copyfile(dataset.path / INFO, partial)
    run_locked(DecideRequest(out, policy))
