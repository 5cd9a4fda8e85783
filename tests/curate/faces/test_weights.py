"""The weights table: complete entries, unique names, and hashes of the files in installed packages."""

import hashlib
import math
from dataclasses import replace
from pathlib import Path

import pytest

from curate.errors import ModelError
from curate.faces import weights
from curate.faces.weights import DLIB_RESNET, REGISTRY, Weights, locate, register
from manifests.landmarks import TEMPLATES

BUNDLED = [entry for entry in REGISTRY.values() if entry.package is not None]
every_entry = pytest.mark.parametrize("entry", REGISTRY.values(), ids=REGISTRY.keys())


@every_entry
def test_entry_is_complete(entry: Weights) -> None:
    assert entry.licence
    assert entry.source
    assert len(entry.mean) == len(entry.std) == 3
    assert all(value > 0 for value in entry.std)
    if entry.sha256 is not None:
        assert len(entry.sha256) == 64
        assert int(entry.sha256, 16)


@every_entry
def test_embedding_entry_names_a_template_of_its_own_size(entry: Weights) -> None:
    if entry.task == "embedding":
        assert entry.template in TEMPLATES
        assert TEMPLATES[entry.template].size == entry.size
    else:
        assert entry.template is None


@every_entry
def test_calibration_is_ordered(entry: Weights) -> None:
    calibration = entry.calibration
    if calibration is None:
        assert entry.task != "embedding" or entry.package is None, "a built-in embedder needs a calibration"
        return
    assert calibration.different_mean < calibration.equal_error < calibration.same_mean
    assert -1 <= calibration.different_mean < calibration.far_1e2 < calibration.far_1e3 < calibration.far_1e4 < 1
    assert all(math.isfinite(value) and value > 0 for value in (calibration.same_std, calibration.different_std))
    assert calibration.measured_on


@pytest.mark.parametrize("entry", BUNDLED, ids=lambda entry: entry.name)
def test_bundled_file_has_the_recorded_hash(entry: Weights) -> None:
    path = weights.place(entry)
    if entry.sha256 is None and not path.exists():
        pytest.skip(f"{entry.name} is not pinned and {path.name} does not exist")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == entry.sha256
    assert locate(entry) == path


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="'dlib-resnet' are registered twice"):
        register(DLIB_RESNET)


def test_a_changed_file_is_refused_with_both_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWAPSET_MODELS", str(tmp_path))
    content = b"other weights"
    (tmp_path / "face.onnx").write_bytes(content)
    entry = replace(DLIB_RESNET, name="custom", package=None, file="face.onnx", sha256="0" * 64)
    with pytest.raises(ModelError) as error:
        locate(entry)
    for part in ("custom", str(tmp_path / "face.onnx"), hashlib.sha256(content).hexdigest(), "0" * 64):
        assert part in str(error.value)


def test_a_file_that_changes_is_hashed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWAPSET_MODELS", str(tmp_path))
    file = tmp_path / "face.onnx"
    file.write_bytes(b"right")
    entry = replace(DLIB_RESNET, package=None, file="face.onnx", sha256=hashlib.sha256(b"right").hexdigest())
    assert locate(entry) == file
    file.write_bytes(b"wrong, and longer")
    with pytest.raises(ModelError, match="damaged or another version"):
        locate(entry)


def test_a_missing_file_names_its_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWAPSET_MODELS", str(tmp_path))
    entry = replace(DLIB_RESNET, package=None, file="pack/face.onnx", url="https://example.org/pack.zip")
    with pytest.raises(
        ModelError, match=r"pack/face\.onnx does not exist; download it from https://example\.org/pack\.zip"
    ):
        locate(entry)
    with pytest.raises(ModelError, match=r"'no_such_package' that contains .* is not installed"):
        locate(replace(DLIB_RESNET, package="no_such_package"))
