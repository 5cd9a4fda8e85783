"""A dataset and a policy -> a directory that reads as the same dataset decided by that policy; the dataset stays as is.

The measurements, relations, crops and vectors are referred to and not copied; `manifest.parquet` is the view's own.
"""

import os
import shutil
from dataclasses import replace
from pathlib import Path

from curate.decide.decide import DecideRequest, run_locked
from curate.decide.overrides import FILE_NAME
from curate.decide.policy import Policy
from curate.merge import merge
from manifests.layout import INFO, RELATIONS, read_info, write_info
from manifests.output import OutputLock, atomic, writable
from manifests.reader import Dataset

_PARTS = "parts"
_FAMILIES = ("measures", "faces", "embeddings", RELATIONS)


def make_view(dataset_dir: Path, policy: Policy, out: Path) -> Dataset:
    """Write the directory `out` (made again where it is one already) and open it.

    Human verdicts (overrides.csv) hold as they do in the dataset; sharpness is taken as it was measured. The parts of a
    merged dataset are decided one by one and merged again. Raises DatasetError: not measured or not related;
    PolicyError: a faulty overrides.csv; OutputError: `out` cannot be written.
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
    merge(views, out, join_identities=dataset.info.source.join_identities)
    # Rows and vectors are looked up beside the crops, and those lie in the dataset's own parts.
    parts = {name: os.path.relpath(part.resolve(), out.resolve()) for name, part in dataset.parts.items()}
    write_info(out, replace(read_info(out), parts=parts))
    return Dataset.open(out)


def _decide(dataset: Dataset, policy: Policy, out: Path) -> None:
    """Decide a dataset that is not merged, in a directory of references to it."""
    with writable(out):
        out.mkdir(parents=True, exist_ok=True)
        for name in _FAMILIES:
            link = out / name
            if link.is_symlink():
                link.unlink()
            link.symlink_to((dataset.path / name).resolve())
    (out / FILE_NAME).unlink(missing_ok=True)
    if (dataset.path / FILE_NAME).exists():
        shutil.copyfile(dataset.path / FILE_NAME, out / FILE_NAME)
    # The description makes it a dataset; the manifest, which `decide` writes whole or not at all, makes it one to use.
    with atomic(out / INFO) as partial:
        shutil.copyfile(dataset.path / INFO, partial)
    run_locked(DecideRequest(out, policy))
