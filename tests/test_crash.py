"""Every command that writes, killed at every step of writing: nothing in part, and the next run completes it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from curate import convert, decide, export, merge, relate, report
from manifests.errors import BusyError
from manifests.output import OutputLock
from tests.conftest import Cleaned
from tests.samples.dataset import write_pair
from tests.samples.kills import contents, killed_at, temporaries

Command = Callable[[Path, Path], object]
"""Called with a folder of inputs (datasets `vgg` and `sjtu`, photos `photos`) and the folder to write into."""


def _convert(inputs: Path, out: Path) -> object:
    return convert.run(convert.plan(convert.ConvertRequest(root=inputs / "photos", out=out, workers=1)))


def _merge(inputs: Path, out: Path) -> object:
    return merge.run(merge.plan(merge.MergeRequest((inputs / "vgg", inputs / "sjtu"), out)))


def _export_hf(inputs: Path, out: Path) -> object:
    return export.run(export.plan(export.ExportRequest(inputs / "vgg", out, "hf")))


def _export_folder(inputs: Path, out: Path) -> object:
    return export.run(export.plan(export.ExportRequest(inputs / "vgg", out, "folder", masks=True)))


def _export_webdataset(inputs: Path, out: Path) -> object:
    return export.run(export.plan(export.ExportRequest(inputs / "vgg", out, "webdataset")))


def _export_fiftyone(inputs: Path, out: Path) -> object:
    return export.run(export.plan(export.ExportRequest(inputs / "vgg", out, "fiftyone", masks=True)))


NEW: dict[str, Command] = {
    "convert": _convert,
    "merge": _merge,
    "export hf": _export_hf,
    "export folder": _export_folder,
    "export webdataset": _export_webdataset,
    "export fiftyone": _export_fiftyone,
}
"""Commands that write a folder of their own."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_pair(folder)
    (folder / "photos/ann").mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (40, 30), (number * 60, 90, 120)).save(folder / f"photos/ann/{number}.png")
    return folder


@pytest.mark.parametrize("name", NEW)
def test_a_folder_of_its_own_killed_at_every_step(name: str, inputs: Path, tmp_path: Path) -> None:
    command, undisturbed = NEW[name], tmp_path / "undisturbed"
    command(inputs, undisturbed)
    expected = contents(undisturbed)
    out, step = tmp_path / "out", 1
    while killed_at(step, lambda: command(inputs, out)):
        written = contents(out)
        assert written.items() <= expected.items(), f"step {step} left something in part"
        command(inputs, out)
        assert _without_status(out, contents(out)) == _without_status(undisturbed, expected)
        assert not temporaries(out)
        shutil.rmtree(out)
        step += 1 if step < 12 else 5  # later files are written as the first ones are
    assert step > 6


def _without_status(folder: Path, found: dict[str, str]) -> dict[str, str]:
    """Replace the hash of a report of `convert`, which says which photos a run has skipped."""
    reported = folder / convert.REPORT
    if reported.exists():
        found = found | {convert.REPORT: reported.read_text().replace("skipped", "converted")}
    return found


DATASET: dict[str, Callable[[Path], object]] = {
    "relate": lambda out: relate.run(relate.RelateRequest(out)),
    "decide": lambda out: decide.run(decide.DecideRequest(out)),
    "report": report.run,
}
"""Commands that write into a dataset."""


@pytest.mark.parametrize("name", DATASET)
def test_a_step_in_a_dataset_killed_at_every_step(name: str, cleaned: Cleaned, tmp_path: Path) -> None:
    command, out = DATASET[name], tmp_path / "curated"
    shutil.copytree(cleaned.out, out)
    expected = contents(out)
    for missing in {"relate": ["relations.parquet"], "decide": ["manifest.parquet", "overrides.csv"], "report": []}[
        name
    ]:
        (out / missing).unlink()
    if name == "report":
        shutil.rmtree(out / "report")
    before, step = contents(out), 1
    while killed_at(step, lambda: command(out)):
        found = contents(out)
        assert before.items() <= found.items() <= expected.items(), f"step {step} left something in part"
        step += 1
    assert step > 3
    assert contents(out) == expected
    assert not temporaries(out)


@pytest.mark.parametrize("name", [*NEW, *DATASET])
def test_a_second_process_on_the_same_output_is_refused(
    name: str, inputs: Path, cleaned: Cleaned, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    if name in DATASET:
        shutil.copytree(cleaned.out, out)
    with OutputLock(out), pytest.raises(BusyError, match="is in use by another run"):
        _ = DATASET[name](out) if name in DATASET else NEW[name](inputs, out)
