"""Embedders: agreement with dlib, batches, gradients, ids, and refusal of other files."""

from collections import OrderedDict
from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import insightface
import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from curate.errors import ModelError
from curate.faces.detectors.mtcnn import Mtcnn, MtcnnSettings
from curate.faces.embedder import Embedder
from curate.faces.embedders.dlib_resnet import read_dat
from curate.faces.embedders.mobilefacenet import MobileFaceNet
from curate.faces.faces import Faces
from curate.faces.models import load_embedder
from curate.faces.weights import DLIB_RESNET, MOBILEFACENET, embedder_id, locate


@cache
def builtin() -> Embedder:
    return load_embedder("builtin")


@cache
def people() -> tuple[npt.NDArray[np.uint8], Faces]:
    """insightface's photo of six people and their faces."""
    path = Path(insightface.__file__).parent / "data" / "images" / "t1.jpg"
    photo = np.ascontiguousarray(np.asarray(cv2.imread(str(path)), np.uint8)[..., ::-1])
    return photo, Mtcnn("cpu", MtcnnSettings(max_faces=6))([photo])


@cache
def chips() -> Tensor:
    """Crops of the six people, uint8 (K, 3, 150, 150)."""
    photo, faces = people()
    return faces.crop([photo], builtin().template)


@cache
def dat() -> bytes:
    return locate(DLIB_RESNET).read_bytes()


def test_equals_dlib_on_real_chips() -> None:
    dlib = pytest.importorskip("dlib")
    reference = dlib.face_recognition_model_v1(str(locate(DLIB_RESNET)))
    arrays = chips()[:3].permute(0, 2, 3, 1).contiguous().numpy()
    expected = np.array([reference.compute_face_descriptor(chip) for chip in arrays])
    mean, std = torch.tensor(DLIB_RESNET.mean), torch.tensor(DLIB_RESNET.std)
    normalised = ((torch.from_numpy(arrays).float() - mean) / std).permute(0, 3, 1, 2)
    with torch.inference_mode():
        descriptors = builtin().network(normalised).numpy()
    assert np.abs(descriptors - expected).max() < 1e-3
    unit = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.abs(builtin()(chips()[:3].float() / 255).numpy() - unit).max() < 1e-3


def test_six_people_are_distinguished_also_in_other_light() -> None:
    embedder = builtin()
    clean = embedder.embed(chips())
    similarity = clean @ embedder.embed((chips().float() * 0.6 + 10).to(torch.uint8)).T
    different = similarity[~torch.eye(6, dtype=torch.bool)]
    assert (similarity.diag() > embedder.calibration.far_1e3).all()
    assert different.max() < similarity.diag().min()
    assert different.median() < embedder.calibration.equal_error


def test_batch_of_n_equals_n_batches_of_one() -> None:
    together = builtin().embed(chips())
    alone = torch.cat([builtin().embed(chip[None]) for chip in chips()])
    assert (together - alone).abs().max() < 1e-5
    assert (builtin().embed(chips(), batch=4) - together).abs().max() < 1e-5


def test_embeddings_have_unit_norm_and_are_invariant_to_a_flip() -> None:
    vectors = builtin().embed(chips())
    assert vectors.dtype == torch.float32
    assert vectors.shape == (6, 128)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(6), atol=1e-5)
    assert builtin().flip
    assert (builtin().embed(chips().flip(3)) - vectors).abs().max() < 1e-5


def test_no_crops_give_no_embeddings() -> None:
    assert builtin().embed(torch.zeros(0, 3, 150, 150, dtype=torch.uint8)).shape == (0, 128)


def test_gradients_reach_the_pixels_and_raise_the_similarity() -> None:
    embedder = builtin()
    target = embedder(chips()[:1].float() / 255)
    x = (chips()[1:2].float() / 255).requires_grad_()
    before = (embedder(x) * target).sum()
    (gradient,) = torch.autograd.grad(before, x)
    assert gradient.isfinite().all()
    assert (gradient.abs().amax((0, 1)) > 0).float().mean() > 0.9  # the gradient covers the whole face
    step = 0.5 * gradient / gradient.norm()
    assert (embedder(x + step) * target).sum() > before
    assert all(not parameter.requires_grad for parameter in embedder.parameters())


def test_crops_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"takes crops \(N, 3, \(150, 150\)\), got \(2, 3, 112, 112\)"):
        builtin()(torch.zeros(2, 3, 112, 112))


def test_channel_order_is_applied() -> None:
    rgb = builtin()
    weights = replace(DLIB_RESNET, mean=DLIB_RESNET.mean[::-1], channels="BGR")
    assert weights.calibration is not None
    swapped = Embedder(_Reversed(rgb.network), weights, "0", dim=128, calibration=weights.calibration)
    assert torch.allclose(swapped.embed(chips()), rgb.embed(chips()), atol=1e-5)


class _Reversed(torch.nn.Module):
    """A network with BGR input, made of one with RGB input."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.inner = network

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x.flip(1))
        return y


def test_the_id_depends_on_everything_that_changes_embeddings() -> None:
    base = embedder_id(DLIB_RESNET, "a" * 64)
    others = [
        embedder_id(DLIB_RESNET, "b" * 64),
        embedder_id(replace(DLIB_RESNET, flip=not DLIB_RESNET.flip), "a" * 64),
        embedder_id(replace(DLIB_RESNET, template="arcface-112"), "a" * 64),
        embedder_id(replace(DLIB_RESNET, std=(255.0, 255.0, 255.0)), "a" * 64),
        embedder_id(replace(DLIB_RESNET, channels="BGR"), "a" * 64),
    ]
    assert len({base, *others}) == 6
    assert embedder_id(replace(DLIB_RESNET, licence="another"), "a" * 64) == base
    assert len(builtin().embedder_id) == 16
    assert builtin().embedder_id == embedder_id(DLIB_RESNET, DLIB_RESNET.sha256 or "")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:1_000_000], "the file ends .* bytes early"),
        (lambda data: data[:-1], "71 bytes instead of 72 after the last layer"),
        (lambda data: data + b"more", "76 bytes instead of 72 after the last layer"),
        (lambda data: b"\x01\x01" * 40, "no layer con_4"),
        (lambda data: b"", "no layer con_4"),
        (lambda data: data.replace(b"\x01\x07affine_", b"\x01\x07AFFINE_", 1), "layer con_4 instead of affine_"),
        (lambda data: data.replace(b"\x02\x80\x12\x01", b"\x02\x81\x12\x01", 1), "size is 4737 instead of 4736"),
        (lambda data: data.replace(b"con_4\x01\x02", b"con_4\x01\x01", 1), "version is 1 instead of 2"),
        (lambda data: data.replace(b"con_4\x01\x02", b"con_4\x00\x02", 1), "byte 0x00 instead of an integer"),
        (lambda data: data[:360] + b"\xff" * 8 + data[368:], "a value that is not finite"),
    ],
)  # fmt: skip
def test_a_damaged_dat_file_is_refused_with_the_position(damage, message: str) -> None:  # type: ignore[no-untyped-def]
    data = damage(dat())
    assert data != dat()
    with pytest.raises(ModelError, match=f"damaged.dat: .*{message}.* at byte .*face_recognition_models"):
        read_dat(data, "damaged.dat")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a MobileFaceNet with random weights and updated running statistics."""
    torch.manual_seed(0)
    network = MobileFaceNet().train()
    with torch.no_grad():
        network(torch.randn(4, 3, 112, 96))
    path = tmp_path_factory.mktemp("checkpoint") / "face.ckpt"
    torch.save({"epoch": 1, "net_state_dict": network.state_dict()}, path)
    return path


def test_folding_a_mobilefacenet_checkpoint_keeps_its_embeddings(checkpoint: Path) -> None:
    embedder = load_embedder(checkpoint)
    assert (embedder.name, embedder.dim, embedder.template.size) == ("mobilefacenet", 128, (112, 96))
    assert embedder.embedder_id != embedder_id(MOBILEFACENET, MOBILEFACENET.sha256 or "")
    assert "not measured" in embedder.calibration.measured_on
    plain = MobileFaceNet().eval()
    plain.load_state_dict(torch.load(checkpoint, weights_only=True)["net_state_dict"])
    x = torch.rand(2, 3, 112, 96, requires_grad=True)
    expected = torch.nn.functional.normalize(plain((x * 255 - 127.5) / 128))
    vectors = embedder(x)
    assert (vectors - expected).abs().max() < 1e-4
    assert torch.autograd.grad(vectors[:, 0].sum(), x)[0].abs().sum() > 0


def test_a_bare_state_dict_is_accepted(checkpoint: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.pt"
    torch.save(torch.load(checkpoint, weights_only=True)["net_state_dict"], bare)
    crops = torch.randint(0, 256, (2, 3, 112, 96), dtype=torch.uint8)
    assert torch.equal(load_embedder(str(bare)).embed(crops), load_embedder(checkpoint).embed(crops))


def test_a_checkpoint_that_does_not_fit_is_refused_by_name(checkpoint: Path, tmp_path: Path) -> None:
    state = torch.load(checkpoint, weights_only=True)["net_state_dict"]
    cases = {
        "missing.ckpt": OrderedDict(list(state.items())[:-3]),
        "extra.ckpt": state | {"margin.weight": torch.zeros(1)},
        "shape.ckpt": state | {"conv1.conv.weight": torch.zeros(64, 3, 5, 5)},
        "other.ckpt": {"layer.weight": torch.zeros(1)},
        "list.ckpt": [1, 2],
    }
    for name, content in cases.items():
        torch.save(content, tmp_path / name)
        with pytest.raises(ModelError, match=f"{name}.*MobileFaceNet.*expected a PyTorch checkpoint"):
            load_embedder(tmp_path / name)
    # Each first byte is another instruction of the unpickler, with other errors.
    for text in ("not weights", "hello", "ab", "}}", "0", ")t.", "\x80\x02q", "GIF89a", ""):
        (tmp_path / "text.ckpt").write_text(text)
        with pytest.raises(ModelError, match=r"text\.ckpt cannot be read as weights"):
            load_embedder(tmp_path / "text.ckpt")


def test_a_checkpoint_that_runs_code_is_refused(tmp_path: Path) -> None:
    torch.save({"net_state_dict": Path("x")}, tmp_path / "code.ckpt")
    with pytest.raises(ModelError, match=r"code\.ckpt cannot be read as weights"):
        load_embedder(tmp_path / "code.ckpt")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(
        ModelError, match="'arcfase' is neither auto, builtin, buffalo_l, buffalo_s, simswap-arcface nor a file"
    ):
        load_embedder("arcfase")


def test_auto_without_packs_is_builtin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWAPSET_MODELS", str(tmp_path))
    assert load_embedder("auto").embedder_id == builtin().embedder_id
