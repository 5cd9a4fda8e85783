"""The built-in segmenter: damaged files, preprocessing, batches, binary and box masks."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from curate.errors import ModelError
from curate.faces.deeplab import DeepLabSpec, DeepLabV3Plus
from curate.faces.segment import (
    CLASSES,
    FORMAT,
    MASK_KINDS,
    MIN_HAT_MARGIN,
    Segmenter,
    binary_mask,
    box_mask,
    digest,
    fuse_batch_norm,
    read_weights,
    without_doubtful_hats,
)
from curate.faces.weights import SEGMENTER, locate, place
from manifests.landmarks import MASK_CLASSES, flip_mask
from train.perception.celebamask import split_names
from train.perception.recipe import SPEC

shipped = pytest.mark.skipif(
    not place(SEGMENTER).is_file(), reason="curate/weights/segmenter.safetensors does not exist"
)
data = pytest.mark.skipif("SWAPSET_DATA" not in os.environ, reason="SWAPSET_DATA (folder with celebamask) is not set")


def celebamask(count: int, size: int) -> tuple[torch.Tensor, np.ndarray]:
    """Photos uint8 (count, 3, size, size) and label maps uint8 of the test split."""
    folder = Path(os.environ["SWAPSET_DATA"]) / "celebamask"
    _, names = split_names(folder)
    photos, masks = [], []
    for name in names[:count]:
        photos.append(np.asarray(Image.open(folder / "images" / f"{name}.jpg").convert("RGB").resize((size, size))))
        masks.append(np.asarray(Image.open(folder / "masks" / f"{name}.png").resize((size, size), 0)))
    return torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).contiguous(), np.stack(masks)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter.load("cpu")


@pytest.fixture
def weights_file(tmp_path: Path) -> Path:
    """A well-formed file of random weights."""
    tensors = {name: tensor.contiguous() for name, tensor in DeepLabV3Plus(SPEC, len(CLASSES)).state_dict().items()}
    record = {
        "format": FORMAT,
        "spec": SPEC.to_json(),
        "classes": json.dumps(CLASSES),
        "licence": "test",
        "sha256": digest(tensors),
    }
    path = tmp_path / "segmenter.safetensors"
    save_file(tensors, path, record)
    return path


def rewrite(path: Path, **changes: str) -> None:
    """Change entries of the record and leave the tensors."""
    tensors, record = read_weights(path)
    save_file(tensors, path, record | changes)


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"segmenter\.safetensors is missing; reinstall swapset"):
        Segmenter.load("cpu", tmp_path / "segmenter.safetensors")


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "segmenter.safetensors"
    path.write_bytes(b"GIF89a" * 100)
    with pytest.raises(ModelError, match="not a safetensors file"):
        Segmenter.load("cpu", path)


def test_a_flipped_bit_is_detected(weights_file: Path) -> None:
    content = bytearray(weights_file.read_bytes())
    content[-1000] ^= 1
    weights_file.write_bytes(content)
    with pytest.raises(ModelError, match="damaged: reinstall"):
        Segmenter.load("cpu", weights_file)


def test_another_model_is_refused(weights_file: Path) -> None:
    rewrite(weights_file, format="something-else")
    with pytest.raises(ModelError, match="not a Swapset segmenter"):
        Segmenter.load("cpu", weights_file)


def test_classes_in_another_order_are_refused(weights_file: Path) -> None:
    rewrite(weights_file, classes=json.dumps(CLASSES[::-1]))
    with pytest.raises(ModelError, match="in that order"):
        Segmenter.load("cpu", weights_file)


def test_tensors_of_another_architecture_are_refused(weights_file: Path) -> None:
    rewrite(weights_file, spec=replace(SPEC, decoder_channels=48).to_json())
    with pytest.raises(ModelError, match="do not fit the recorded architecture"):
        Segmenter.load("cpu", weights_file)


def test_another_encoder_is_refused(weights_file: Path) -> None:
    rewrite(weights_file, spec=SPEC.to_json().replace("resnet18", "resnet50"))
    with pytest.raises(ModelError, match="encoder 'resnet50' with stem 'deep' is not 'resnet18'"):
        Segmenter.load("cpu", weights_file)


def test_the_network_is_that_of_segmentation_models_pytorch() -> None:
    smp = pytest.importorskip("segmentation_models_pytorch")
    reference = smp.DeepLabV3Plus(
        encoder_name="tu-resnet18", encoder_weights=None, encoder_output_stride=16, classes=len(CLASSES), upsampling=1,
        decoder_channels=SPEC.decoder_channels, decoder_atrous_rates=SPEC.atrous_rates,
        **json.loads(SPEC.to_json())["encoder_options"],
    )  # fmt: skip
    network = DeepLabV3Plus(SPEC, len(CLASSES))
    network.load_state_dict(reference.state_dict())
    photo = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(network.eval()(photo), reference.eval()(photo))


def test_fusion_keeps_the_outputs() -> None:
    torch.manual_seed(0)
    network = DeepLabV3Plus(SPEC, len(CLASSES))
    network(torch.randn(4, 3, 64, 64))  # updates the running statistics
    network.eval()
    photo = torch.randn(2, 3, 96, 96)
    with torch.inference_mode():
        before = network(photo)
        fuse_batch_norm(network)
        after = network(photo)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)


def test_preprocessing_is_that_of_the_file(weights_file: Path) -> None:
    segmenter = Segmenter.load("cpu", weights_file)
    crops = torch.randint(0, 256, (2, 3, SPEC.size, SPEC.size), dtype=torch.uint8)
    mean, std = (torch.tensor(values)[:, None, None] for values in (SPEC.mean, SPEC.std))
    with torch.inference_mode():
        expected = segmenter.network((crops.float() / 255 - mean) / std)
        torch.testing.assert_close(segmenter.logits(crops), expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("crops", [torch.zeros(1, 3, 64, 64), torch.zeros(3, 64, 64, dtype=torch.uint8)])
def test_crops_of_another_kind_are_refused(crops: torch.Tensor, weights_file: Path) -> None:
    with pytest.raises(ValueError, match="crops must be uint8"):
        Segmenter.load("cpu", weights_file).label_maps(crops)


def test_no_crops_give_no_maps(weights_file: Path) -> None:
    maps = Segmenter.load("cpu", weights_file).label_maps(torch.zeros(0, 3, 224, 224, dtype=torch.uint8))
    assert maps.shape == (0, 224, 224)


@shipped
def test_the_record_of_the_committed_file() -> None:
    path = locate(SEGMENTER)
    _, record = read_weights(path)
    assert path.stat().st_size <= 12 * 2**20
    assert "research use only" in record["licence"]
    spec = DeepLabSpec.from_json(record["spec"])
    assert json.loads(spec.to_json()) == json.loads(record["spec"])
    assert tuple(round(255 * value, 3) for value in spec.mean) == SEGMENTER.mean
    assert tuple(round(255 * value, 3) for value in spec.std) == SEGMENTER.std


@shipped
@data
@pytest.mark.parametrize("size", [224, 512])
def test_faces_and_hair_are_segmented(segmenter: Segmenter, size: int) -> None:
    photos, truth = celebamask(6, size)
    labels = segmenter.label_maps(photos).numpy()
    assert labels.shape == truth.shape
    assert iou(binary_mask(labels, "face_hair"), binary_mask(truth, "face_hair")) > 0.9
    assert iou(binary_mask(labels, "face"), binary_mask(truth, "face")) > 0.87


@shipped
@data
def test_label_maps_do_not_depend_on_the_batch(segmenter: Segmenter) -> None:
    photos, _ = celebamask(3, 224)
    together = segmenter.label_maps(photos)
    alone = torch.cat([segmenter.label_maps(photo[None]) for photo in photos])
    assert (together == alone).float().mean() > 0.9999


@shipped
@data
def test_a_mirrored_photo_gives_the_mirrored_map(segmenter: Segmenter) -> None:
    """Left and right classes are distinguished by side, so they are exchanged."""
    photos, _ = celebamask(4, 224)
    labels = segmenter.label_maps(photos).numpy()
    mirrored = segmenter.label_maps(photos.flip(-1)).numpy()
    eyes = np.isin(labels, [MASK_CLASSES.index("l_eye"), MASK_CLASSES.index("r_eye")])
    assert eyes.any()
    assert (flip_mask(mirrored) == labels).mean() > 0.92
    assert (flip_mask(mirrored)[eyes] == labels[eyes]).mean() > 0.75
    assert (mirrored[..., ::-1][eyes] == labels[eyes]).mean() < 0.1


def test_a_hat_that_is_nowhere_certain_is_the_next_class() -> None:
    hat, hair = MASK_CLASSES.index("hat"), MASK_CLASSES.index("hair")
    logits = torch.zeros(2, len(MASK_CLASSES), 4, 4)
    logits[:, hair], logits[:, hat] = 1.0, 2.0
    logits[1, hat, 0, 0] = 1.0 + MIN_HAT_MARGIN
    labels = without_doubtful_hats(logits).argmax(1)
    assert (labels[0] == hair).all()
    assert (labels[1] == hat).all()
    assert logits[0, hat, 0, 0] == 2.0  # the argument is as it was


def test_binary_masks_of_arrays_and_tensors_agree() -> None:
    labels = np.arange(len(CLASSES), dtype=np.uint8).reshape(1, -1)
    for kind, members in MASK_KINDS.items():
        mask = binary_mask(labels, kind)
        assert mask.dtype == np.bool_
        assert {CLASSES[c] for c in labels[mask]} == members
        assert np.array_equal(binary_mask(torch.from_numpy(labels), kind).numpy(), mask)
    assert binary_mask(labels, "face").sum() < binary_mask(labels, "face_hair").sum() < 18


def test_an_unknown_mask_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="face, face_hair, not_background"):
        binary_mask(np.zeros((2, 2), np.uint8), "nose")  # type: ignore[call-overload]


def test_a_box_mask_contains_pixel_centres() -> None:
    """Integer corners are pixel centres: a box from 2 to 5 contains four columns."""
    upright = np.array([[[1.0, 0, 0], [0, 1, 0]]])
    mask = box_mask(np.array([[2.0, 1, 5, 3]]), upright, 8)
    assert mask.shape == (1, 8, 8)
    assert mask.dtype == np.bool_
    assert np.array_equal(np.argwhere(mask[0])[[0, -1]], [[1, 2], [3, 5]])
    assert mask.sum() == 12


def test_a_box_mask_is_scaled_translated_and_contains_a_rotated_box() -> None:
    half = np.array([[0.5, 0, 10], [0, 0.5, 20]])
    c = np.sqrt(0.5)
    turned = np.array([[c, -c, 32], [c, c, 32]])  # 45 degrees about (32, 32)
    mask = box_mask(np.array([[0.0, 0, 20, 40], [-10, -10, 10, 10]]), np.stack([half, turned]), 64)
    assert np.array_equal(np.argwhere(mask[0])[[0, -1]], [[20, 10], [40, 20]])
    reach = int(10 * np.sqrt(2))
    assert np.array_equal(np.argwhere(mask[1])[[0, -1]], [[32 - reach] * 2, [32 + reach] * 2])


def test_a_box_beside_the_crop_gives_an_empty_mask() -> None:
    upright = np.array([[[1.0, 0, 0], [0, 1, 0]]])
    assert not box_mask(np.array([[-50.0, -50, -20, -20]]), upright, 16).any()
