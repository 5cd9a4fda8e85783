"""`curate` as a library."""

import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import curate
from tests.conftest import Cleaned
from tests.samples.listener import Recorder

PACKAGES = ("curate", "curate.measure", "curate.relate", "curate.decide", "curate.evaluate", "curate.sources")


@pytest.mark.parametrize("package", PACKAGES)
def test_exported_names_exist(package: str) -> None:
    module = import_module(package)
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        _ = module.nothing


def test_importing_the_packages_imports_nothing_heavy() -> None:
    program = (
        f"import sys, {', '.join(PACKAGES)}\n"
        "print({'torch', 'numpy', 'pyarrow', 'pandas', 'cv2', 'tqdm'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_clean_gives_the_dataset_of_the_command(cleaned: Cleaned, tmp_path: Path) -> None:
    out = shutil.copytree(cleaned.out, tmp_path / "curated")
    (out / "manifest.parquet").unlink()
    (out / "relations.parquet").unlink()
    recorder = Recorder()
    request = curate.MeasureRequest(layout="vggface2", root=cleaned.photos, out=out, models="builtin")
    result = curate.clean(request, listener=recorder)
    assert result.manifest.read_bytes() == (cleaned.out / "manifest.parquet").read_bytes()
    assert result.report.is_file()
    assert result.measured.photos == 0
    assert result.decided.photos == len(cleaned.planted)
    assert f"{len(cleaned.planted)} of them measured before" in recorder.notes[2]
    assert all(step.finished for step in recorder.steps)
    assert "deciding" in [step.name for step in recorder.steps]
