"""Packs in torch against onnxruntime and insightface, on networks of the packs' architectures with random weights."""

import warnings
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from insightface.model_zoo.scrfd import SCRFD
from onnxruntime import InferenceSession

from curate.errors import ModelError
from curate.faces.align import Photo
from curate.faces.detectors.scrfd import Scrfd, ScrfdSettings, letterbox
from curate.faces.faces import Faces
from curate.faces.models import load_embedder
from curate.faces.onnx.graph import OnnxGraph
from curate.faces.packs import insightface as packs
from curate.faces.packs.networks import load_arcface
from curate.faces.packs.parity import verify
from tests.samples.pack_networks import IResNet, MobileFaceNet, ScrfdNetwork, randomise

CPU = ["CPUExecutionProvider"]


def export(network: torch.nn.Module, path: Path, size: int, **dynamic: dict[int, str]) -> Path:
    """Export as the packs were exported: traced at batch 1, opset 11, IR 6."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter is deprecated, but the published files come from it
        torch.onnx.export(
            network, (torch.zeros(1, 3, size, size),), str(path), input_names=["input.1"],
            opset_version=11, dynamo=False, dynamic_axes={"input.1": dynamic["free"]} if dynamic else None,
        )  # fmt: skip
    return path


def detector(kind: str, layout: str = "position-first") -> ScrfdNetwork:
    network = randomise(ScrfdNetwork(kind, layout))
    with torch.no_grad():
        for _, box, _ in network.outputs:
            box.bias.fill_(2.5)  # boxes about 5 cells wide, none with negative sides
    return network


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name in packs.PACKS:
        (folder / name).mkdir()
    free = {2: "?", 3: "?"}
    export(detector("10g"), folder / "buffalo_l" / "det_10g.onnx", 64, free=free)
    export(randomise(IResNet(width=32)), folder / "buffalo_l" / "w600k_r50.onnx", 112)
    export(detector("500m"), folder / "buffalo_s" / "det_500m.onnx", 64, free=free)
    export(randomise(MobileFaceNet()), folder / "buffalo_s" / "w600k_mbf.onnx", 112)
    return folder


@pytest.fixture(autouse=True)
def model_folder(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWAPSET_MODELS", str(models))


@pytest.fixture(scope="module")
def photos() -> list[Photo]:
    """Three sizes: a landscape photo of six faces, its middle in portrait format, and one smaller than the input."""
    data = np.frombuffer((files("insightface") / "data/images/t1.jpg").read_bytes(), np.uint8)
    image = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return [image, image[:, 400:800].copy(), image[100:333, 500:687].copy()]


def session(path: Path) -> InferenceSession:
    return InferenceSession(str(path), providers=CPU)


def test_exports_have_the_format_of_the_published_packs(models: Path) -> None:
    for path in models.glob("*/*.onnx"):
        model = onnx.load(path)
        assert (model.opset_import[0].version, model.ir_version) == (11, 6)
        assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1


@pytest.mark.parametrize("name", packs.PACKS)
def test_embedders_agree_with_onnxruntime_at_any_batch_size(models: Path, name: str) -> None:
    path = packs.PACKS[name].files[1]
    pixels = torch.randn(2, 3, 112, 112, generator=torch.Generator().manual_seed(1))
    runtime = session(path)
    expected = np.concatenate([runtime.run(None, {"input.1": one[None].numpy()})[0] for one in pixels])
    assert np.abs(expected).max() > 0.5  # not close to zero
    graph = OnnxGraph(path)
    (together,) = graph(pixels)
    np.testing.assert_allclose(together, expected, atol=1e-4)
    alone = torch.cat([graph(one[None])[0] for one in pixels])
    torch.testing.assert_close(together, alone, atol=2e-5, rtol=0)


def test_gradients_reach_the_pixels_and_no_parameter() -> None:
    embedder = load_arcface("buffalo_s")
    pixels = torch.rand(2, 3, 112, 112, requires_grad=True)
    target = torch.nn.functional.normalize(torch.randn(2, embedder.dim, generator=torch.Generator().manual_seed(0)))
    (similarity,) = torch.autograd.grad((embedder(pixels) * target).sum(), pixels)
    step = 1e-2 * similarity / similarity.norm()
    with torch.no_grad():
        increase = (embedder(pixels + step) * target).sum() - (embedder(pixels) * target).sum()
    assert float(increase) == pytest.approx(float(similarity.norm()) * 1e-2, rel=0.1)  # the directional derivative
    assert not any(parameter.requires_grad for parameter in embedder.parameters())


def test_a_pack_is_an_embedder_with_its_own_template() -> None:
    small = load_embedder("buffalo_s")
    assert (small.template.name, small.dim, small.flip) == ("arcface-112", 512, False)
    crops = torch.randint(0, 256, (5, 3, 112, 112), dtype=torch.uint8)
    vectors = small.embed(crops, batch=2)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(5))


@pytest.mark.parametrize("layout", ["position-first", "batched"])
def test_maps_do_not_depend_on_the_batch(tmp_path: Path, layout: str) -> None:
    path = export(detector("500m", layout), tmp_path / "detector.onnx", 64, free={2: "?", 3: "?"})
    pixels = torch.randn(2, 3, 96, 160, generator=torch.Generator().manual_seed(2))
    graph, runtime = OnnxGraph(path, maps=True), session(path)
    together = graph(pixels)
    for index, one in enumerate(pixels):
        for level_map, expected in zip(together, runtime.run(None, {"input.1": one[None].numpy()}), strict=True):
            rows = level_map[index].permute(1, 2, 0).reshape(-1, expected.shape[-1])
            np.testing.assert_allclose(rows, expected.reshape(rows.shape), atol=1e-4)


@pytest.mark.parametrize("name", packs.PACKS)
def test_candidates_agree_with_insightface(photos: list[Photo], name: str) -> None:
    """All candidates, without suppression; cells in the black margin have equal scores, so their order is arbitrary."""
    path = packs.PACKS[name].files[0]
    reference = SCRFD(str(path), session=session(path))
    threshold = between_scores(path, photos[0])
    reference.prepare(-1, det_thresh=threshold, nms_thresh=1.0)
    ours = Scrfd(path, "cpu", ScrfdSettings(10_000, (128, 320), threshold, overlap=1.0))(photos)
    assert np.bincount(ours.photo)[0] > 50
    for index, photo in enumerate(photos):
        found = ours.in_photo(index)
        boxes, points = reference.detect(np.ascontiguousarray(photo[..., ::-1]), input_size=[(128, 128), (320, 320)])
        expected = np.concatenate([boxes, points.reshape(-1, 10)], 1)
        got = np.concatenate([found.box, found.score[:, None], found.landmarks.reshape(-1, 10)], 1)
        apart = np.abs(got[:, None] - expected[None]).max(2)
        assert got.shape == expected.shape
        assert len(set(apart.argmin(1))) == len(expected)  # a one-to-one match
        assert apart.min(1).max() < 0.01


@pytest.mark.parametrize("name", packs.PACKS)
def test_detections_agree_with_insightface(photos: list[Photo], name: str) -> None:
    path = packs.PACKS[name].files[0]
    reference = SCRFD(str(path), session=session(path))
    square = photos[0][:800, 200:1000].copy()
    threshold = between_scores(path, square)
    reference.prepare(-1, det_thresh=threshold, nms_thresh=0.4)
    found = Scrfd(path, "cpu", ScrfdSettings(10_000, (320,), threshold))([square])
    boxes, points = reference.detect(np.ascontiguousarray(square[..., ::-1]), input_size=(320, 320))
    assert 5 < len(boxes) < 100
    by_score = np.argsort(-found.score, kind="stable")
    np.testing.assert_allclose(found.score[by_score], boxes[:, 4], atol=1e-5)
    np.testing.assert_allclose(found.box[by_score], boxes[:, :4], atol=0.01)
    np.testing.assert_allclose(found.landmarks[by_score], points, atol=0.01)


def between_scores(path: Path, photo: Photo) -> float:
    """A threshold in the widest gap near the 150 best scores, so that rounding changes no decision."""
    square = np.zeros((320, 320, 3), np.uint8)
    letterbox(photo, square)
    blob = cv2.dnn.blobFromImage(square, 1 / 128, mean=(127.5,) * 3)
    scores = np.sort(np.concatenate([out.ravel() for out in session(path).run(None, {"input.1": blob})[:3]]))
    near = scores[-200:-100]
    widest = int(np.argmax(near[1:] - near[:-1]))
    return float(near[widest] + near[widest + 1]) / 2


def test_detections_do_not_depend_on_the_batch_and_are_sorted_by_size(photos: list[Photo]) -> None:
    path = packs.PACKS["buffalo_s"].files[0]
    scrfd = Scrfd(path, "cpu", ScrfdSettings(sizes=(320,), threshold=between_scores(path, photos[0])))
    together = scrfd(photos)
    assert np.bincount(together.photo).max() == 4
    for index, photo in enumerate(photos):
        found, alone = together.in_photo(index), scrfd([photo])
        sides = found.box[:, 2:] - found.box[:, :2]
        assert (np.diff(sides.prod(1)) <= 0).all()
        np.testing.assert_allclose(alone.box, found.box, atol=1e-3)
        np.testing.assert_allclose(alone.landmarks, found.landmarks, atol=1e-3)
    assert len(scrfd([])) == 0


def test_photos_without_a_face_give_no_faces(photos: list[Photo]) -> None:
    found = Scrfd(packs.PACKS["buffalo_s"].files[0], "cpu", ScrfdSettings(sizes=(128,), threshold=1.1))(photos[2:])
    for array, empty in zip(vars(found).values(), vars(Faces.empty()).values(), strict=True):
        assert (array.shape, array.dtype) == (empty.shape, empty.dtype)


def test_the_fingerprint_depends_on_settings_and_file() -> None:
    large, small = (pack.files[0] for pack in packs.PACKS.values())
    default, strict = ScrfdSettings(), ScrfdSettings(threshold=0.6)
    assert Scrfd(small).fingerprint == default.fingerprint(small)
    assert len({default.fingerprint(small), default.fingerprint(large), strict.fingerprint(small)}) == 3


@pytest.mark.parametrize(("height", "width"), [(480, 640), (640, 480), (50, 999), (7, 7)])
def test_letterbox_keeps_the_aspect_ratio_and_pads_with_black(height: int, width: int) -> None:
    square = np.zeros((128, 128, 3), np.uint8)
    scale = letterbox(np.full((height, width, 3), 200, np.uint8), square)
    filled = square[..., 0].any(1).sum(), square[..., 0].any(0).sum()
    assert max(filled) == 128
    assert scale == filled[0] / height
    assert filled[1] / width == pytest.approx(scale, abs=1.01 / min(height, width))


def test_the_file_of_an_embedder_is_not_a_detector() -> None:
    with pytest.raises(ModelError, match="1 outputs where a SCRFD with landmarks has 9"):
        Scrfd(packs.PACKS["buffalo_s"].files[1])


def test_verify_compares_both_files_with_onnxruntime(monkeypatch: pytest.MonkeyPatch, photos: list[Photo]) -> None:
    square = photos[0][:800, 200:1000].copy()
    threshold = between_scores(packs.PACKS["buffalo_s"].files[0], square)
    monkeypatch.setattr("curate.faces.packs.parity._THRESHOLD", threshold)
    monkeypatch.setattr("curate.faces.packs.parity._SIZE", 320)
    monkeypatch.setattr("curate.faces.packs.parity._MAX_CROPS", 4)
    detection, embedding = verify("buffalo_s", [square])
    assert detection.agrees
    assert embedding.agrees
    assert detection.compared > 0
    assert embedding.compared > 0
    assert embedding.difference > 0  # two implementations

    pack = packs.PACKS["buffalo_s"]
    wrong = replace(pack, embedder=replace(pack.embedder, std=(128.0, 128.0, 128.0)))
    monkeypatch.setitem(packs.PACKS, "buffalo_s", wrong)
    assert not verify("buffalo_s", [square])[1].agrees

    monkeypatch.setattr("curate.faces.packs.parity._THRESHOLD", 1.0)
    with pytest.raises(ModelError, match="no face found in 1 photo;"):
        verify("buffalo_s", [square])
