"""Resolving, identifying and finding networks."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from curate.errors import ModelError
from curate.faces import models
from curate.faces.embedders.mobilefacenet import MobileFaceNet
from manifests.layout import ChoiceRecord, DatasetInfo, ModelsRecord, SettingsRecord, SourceRecord

BUILTIN = ChoiceRecord("builtin")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A MobileFaceNet of random weights."""
    path = tmp_path / "face.ckpt"
    torch.save({"net_state_dict": MobileFaceNet().state_dict()}, path)
    return path


@pytest.fixture(autouse=True)
def no_packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWAPSET_MODELS", str(tmp_path / "models"))


def builtin_id() -> str:
    return models.embedder_ids(["builtin"])["builtin"]


def test_options_are_resolved(checkpoint: Path) -> None:
    assert models.resolve() == BUILTIN
    chosen = models.resolve("builtin", checkpoint, "full")
    assert chosen == ChoiceRecord("builtin", str(checkpoint), "full")
    assert models.describe(chosen) == f"MTCNN detector, checkpoint {checkpoint}, built-in DeepLabV3+ segmenter"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": "arcface"}, "--models arcface: unknown; choose auto, builtin, buffalo_l or buffalo_s"),
        ({"detection": "fine"}, "--detection fine: unknown; choose coarse or full"),
        ({"embedder": Path("none.ckpt")}, "--embedder none.ckpt: no such file"),
    ],
)
def test_an_unknown_option_is_a_model_error(options: dict[str, str], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        models.resolve(**options)


def test_ids_are_those_of_the_loaded_networks(checkpoint: Path) -> None:
    for choice in (BUILTIN, ChoiceRecord("builtin", str(checkpoint), "full")):
        record, loaded = models.identify(choice), models.load(choice, "cpu")
        assert record.embedder.embedder_id == loaded.embedder.embedder_id
        assert record.embedder.name == loaded.embedder.name
        assert record.detector == loaded.detector.fingerprint


def test_ids_change_with_settings_and_files(checkpoint: Path) -> None:
    builtin, full = models.identify(BUILTIN), models.identify(ChoiceRecord("builtin", None, "full"))
    other = models.identify(ChoiceRecord("builtin", str(checkpoint)))
    assert builtin == models.identify(BUILTIN)
    assert builtin.detector != full.detector
    assert builtin.embedder != other.embedder
    assert builtin.segmenter == full.segmenter == other.segmenter


def test_a_checkpoint_of_another_kind_is_refused_before_it_is_used(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.ckpt"
    wrong.write_bytes(b"GIF89a")
    with pytest.raises(ModelError, match=r"wrong\.ckpt cannot be read as weights"):
        models.identify(ChoiceRecord("builtin", str(wrong)))


def test_an_embedder_is_found_by_its_id(checkpoint: Path) -> None:
    ids = models.embedder_ids([checkpoint, "builtin", "buffalo_l", "missing.ckpt"])
    assert list(ids) == [str(checkpoint), "builtin"]
    assert models.find_embedder(builtin_id(), "the test").name == "dlib-resnet"
    assert models.find_embedder(ids[str(checkpoint)], "the test", hints=[checkpoint]).name == "mobilefacenet"
    assert models.find_embedder(ids[str(checkpoint)], "the test", name=checkpoint).name == "mobilefacenet"


def test_an_embedder_that_is_not_on_this_machine_is_a_model_error(checkpoint: Path) -> None:
    with pytest.raises(
        ModelError, match=f"run.safetensors needs embedder 0123, and builtin is {builtin_id()}: .*fetch"
    ):
        models.find_embedder("0123", "run.safetensors")
    with pytest.raises(ModelError, match=r"needs embedder 0123, and .*face\.ckpt is [0-9a-f]{16}: .*name the one"):
        models.find_embedder("0123", "run.safetensors", name=checkpoint)
    with pytest.raises(ModelError, match=r"'missing\.ckpt' is neither auto, builtin"):
        models.find_embedder("0123", "run.safetensors", name="missing.ckpt")


def test_the_embedder_of_a_dataset() -> None:
    def info(choice: ChoiceRecord | None) -> DatasetInfo:
        record = models.identify(BUILTIN)
        return DatasetInfo(
            SourceRecord("folder"), SettingsRecord("simswap-224"), ModelsRecord(record.embedder, choice=choice), 1
        )

    assert models.embedders_of(info(BUILTIN)) == ["builtin"]
    assert models.embedders_of(info(ChoiceRecord("builtin", "face.ckpt"))) == ["face.ckpt"]
    assert models.embedders_of(info(None)) == []


def test_the_builtin_models_import_no_package_that_takes_seconds() -> None:
    """torchvision imports torch._dynamo; the others are needed for packs and training only."""
    heavy = ["torchvision", "torch._dynamo", "timm", "segmentation_models_pytorch", "onnx", "facenet_pytorch"]
    program = (
        "import sys, numpy; from curate.faces.models import *; models = load(resolve('builtin'), 'cpu');"
        "models.detector([numpy.zeros((64, 64, 3), numpy.uint8)]); identify(resolve('builtin'));"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["mps", "meta", "gpu", "cuda:99"])
def test_an_unusable_device_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match=f"--device {name}: "):
        models.check_device(name)


@pytest.mark.parametrize(
    ("name", "message"), [("cuda:1", "--device cuda:1: .* are given their GPU; choose cpu or cuda"), ("tpu", "unknown")]
)
def test_a_device_that_workers_on_other_machines_cannot_have(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        models.check_remote_device(name)
    assert models.check_remote_device("cuda") == "cuda"
