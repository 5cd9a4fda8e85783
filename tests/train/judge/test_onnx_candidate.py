"""Generators of other programs: inputs are recognised, pixel values and latents converted, and gaps are named."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from manifests.reader import Dataset
from tests.conftest import Cleaned
from train.data.crops import CropReader
from train.data.faces import TrainingFaces, read_training_faces
from train.errors import CheckpointError, ProtocolError
from train.judge.candidate import read_images
from train.judge.evaluate import JudgeRequest, plan, run
from train.judge.onnx_candidate import OnnxCandidate, load_onnx
from train.judge.pairs import JudgedPairs
from train.judge.protocol import ProtocolRequest, make_protocol

SIZE, DIM = 32, 128
DARKER = 0.25


def write_generator(path: Path, *, batch: int | str = 1, matrix: bool = False, latent: bool = True) -> Path:
    """An ONNX graph: target - `DARKER` x (first number of the latent > 0), of one image at a time by default."""
    shape = [batch, 3, SIZE, SIZE]
    inputs = [helper.make_tensor_value_info("target", TensorProto.FLOAT, shape)]
    inputs += [helper.make_tensor_value_info("source", TensorProto.FLOAT, [batch, DIM])] if latent else []
    constants = [
        numpy_helper.from_array(np.array([0]), "start"),
        numpy_helper.from_array(np.array([1]), "axis"),
        numpy_helper.from_array(np.array([[1e9]], np.float32), "steep"),
        numpy_helper.from_array(np.array([2, 3]), "last"),
        numpy_helper.from_array(np.array(DARKER, np.float32), "darker"),
    ]
    constants += [numpy_helper.from_array(-np.eye(DIM, dtype=np.float32), "emap")] if matrix else []
    nodes = [
        helper.make_node("Slice", ["source", "start", "axis", "axis"], ["first"]),
        helper.make_node("Mul", ["first", "steep"], ["scaled"]),
        helper.make_node("Sigmoid", ["scaled"], ["positive"]),
        helper.make_node("Mul", ["positive", "darker"], ["change"]),
        helper.make_node("Unsqueeze", ["change", "last"], ["shift"]),
        helper.make_node("Sub", ["target", "shift"], ["output"]),
    ]
    if not latent:
        nodes = [helper.make_node("Sub", ["target", "darker"], ["output"])]
    graph = helper.make_graph(
        nodes, "g", inputs, [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)], constants
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))
    return path


def write_settings(folder: Path, **changes: str) -> Path:
    """A TOML file that describes `folder`/g.onnx."""
    values = {"onnx": "g.onnx", "embedder": "builtin", "template": "simswap-224", "input": "rgb01", "output": "rgb01"}
    path = folder / "g.toml"
    path.write_text("".join(f'{name} = "{value}"\n' for name, value in (values | changes).items()))
    return path


@pytest.fixture(scope="module")
def faces(cleaned: Cleaned) -> TrainingFaces:
    return read_training_faces(Dataset.open(cleaned.out), "simswap-224")


def swap(faces: TrainingFaces, cleaned: Cleaned, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Two swaps, to the first and to the second photo, and their targets at the side of the swaps."""
    latents = np.zeros((len(faces), DIM), np.float32)
    latents[:, 0] = np.where(np.arange(len(faces)) % 2 == 0, 1, -1)
    pairs = JudgedPairs("cross", np.array([2, 3]), np.array([[0, -1], [1, -1]]))
    swapped = OnnxCandidate(load_onnx(path), latents, faces, "simswap-224").swap(pairs)
    targets = read_images(CropReader(faces, swapped.shape[-1]), pairs.targets)
    return swapped.numpy(), targets.numpy()


@pytest.mark.parametrize("batch", [1, "n"])
@pytest.mark.parametrize(("pixels", "factor"), [("rgb01", 1.0), ("rgb11", 0.5)])
def test_the_latent_reaches_the_graph_and_pixels_are_converted(
    cleaned: Cleaned, faces: TrainingFaces, tmp_path: Path, batch: int | str, pixels: str, factor: float
) -> None:
    write_generator(tmp_path / "g.onnx", batch=batch)
    swapped, targets = swap(faces, cleaned, write_settings(tmp_path, input=pixels, output=pixels))
    np.testing.assert_allclose(swapped[0], (targets[0] - DARKER * factor).clip(0, 1), atol=1e-5)
    np.testing.assert_allclose(swapped[1], targets[1], atol=1e-5)


def test_embeddings_are_multiplied_by_the_projection_which_must_be_named(
    cleaned: Cleaned, faces: TrainingFaces, tmp_path: Path
) -> None:
    write_generator(tmp_path / "g.onnx", matrix=True)
    swapped, targets = swap(faces, cleaned, write_settings(tmp_path, projection="emap"))
    np.testing.assert_allclose(swapped[0], targets[0], atol=1e-5)
    np.testing.assert_allclose(swapped[1], (targets[1] - DARKER).clip(0, 1), atol=1e-5)
    with pytest.raises(CheckpointError, match=r"does not use, 'emap'.*set projection = .emap."):
        load_onnx(write_settings(tmp_path))
    with pytest.raises(CheckpointError, match=r"has no 128 x 128 matrix 'other' \(projection\): it has emap"):
        load_onnx(write_settings(tmp_path, projection="other"))


def test_crops_of_another_alignment_are_cut_and_put_back(
    cleaned: Cleaned, faces: TrainingFaces, tmp_path: Path
) -> None:
    write_generator(tmp_path / "g.onnx")
    swapped, targets = swap(faces, cleaned, write_settings(tmp_path, template="arcface-128"))
    assert swapped.shape == (2, 3, 224, 224)
    middle = slice(90, 130)
    change = (targets - swapped)[:, :, middle, middle].mean((1, 2, 3))
    assert change[0] == pytest.approx(DARKER, abs=0.08)
    assert change[1] == pytest.approx(0, abs=0.01)


def test_an_onnx_generator_is_judged_on_a_protocol(cleaned: Cleaned, tmp_path: Path) -> None:
    write_generator(tmp_path / "g.onnx")
    path, protocol = write_settings(tmp_path), tmp_path / "p.toml"
    request = JudgeRequest({"g": path}, cleaned.out, tmp_path / "out", protocol=protocol)
    with pytest.raises(ProtocolError, match="do not record whom they were trained on"):
        plan(JudgeRequest({"g": path}, cleaned.out, tmp_path / "out"))
    make_protocol(ProtocolRequest(cleaned.out, protocol, pairs=2, held_out=0.5, size=64))
    summary = run(plan(request))
    record = summary.models["g"]
    assert (record.kind, record.size, record.held_out, record.images) == ("onnx", SIZE, None, None)
    assert summary.metrics[summary.first_judge]["g"]["psnr"].value is not None


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    write_generator(tmp_path / "g.onnx")
    with pytest.raises(CheckpointError, match=r"describe it in a TOML file with the keys onnx = .g\.onnx., embedder"):
        load_onnx(tmp_path / "g.onnx")
    with pytest.raises(CheckpointError, match=r"does not describe an ONNX generator \(.*template"):
        load_onnx(write_settings(tmp_path, template="none"))
    write_generator(tmp_path / "g.onnx", latent=False)
    with pytest.raises(CheckpointError, match=r"has the inputs target \[1, 3, 32, 32\]: a generator has two"):
        load_onnx(write_settings(tmp_path))
    (tmp_path / "g.onnx").write_bytes(b"no model")
    with pytest.raises(CheckpointError, match="is not an ONNX model that onnxruntime loads"):
        load_onnx(write_settings(tmp_path))
