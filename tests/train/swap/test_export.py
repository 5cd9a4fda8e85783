"""ONNX export: onnxruntime agrees with torch, and the metadata describes the inputs."""

import base64
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch.nn.functional import normalize

from manifests.errors import OutputError
from tests.samples.swap import embedder, write_checkpoint
from train.errors import CheckpointError
from train.swap.export import export_generator
from train.trained import load_network


@pytest.mark.parametrize(
    "recipe",
    [
        {"blocks": 1},
        {"io_space": "imagenet", "blocks": 1},
        {"output": "change", "shrink": 2, "identity_map": 2, "blocks": 1},
        {"generator": "people", "people": "ann, bob", "same_person": 1.0, "held_out": 0.0, "blocks": 9},
    ],
)
def test_onnxruntime_agrees_with_torch(tmp_path: Path, recipe: dict[str, object]) -> None:
    path, out = tmp_path / "a.safetensors", tmp_path / "g.onnx"
    write_checkpoint(path, **recipe)
    assert export_generator(path, out) == out.stat().st_size
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    trained = load_network(path)
    for count in (1, 3):
        target = torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(count))
        latent = normalize(torch.randn(count, 128, generator=torch.Generator().manual_seed(9)))
        (output,) = session.run(None, {"target": target.numpy(), "latent": latent.numpy()})
        expected = trained.generate(target, latent)
        assert output.shape == (count, 3, 64, 64)
        assert np.abs(output - expected.numpy()).max() < 2e-4
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["swapset.size"] == "64"
    assert metadata["swapset.template"] == "simswap-224"
    assert metadata["swapset.embedder_id"] == embedder().embedder_id
    centre = np.frombuffer(base64.b64decode(metadata["swapset.centre"]), "<f4")
    assert np.allclose(centre, trained.centre)


def test_unsupported_generators_and_existing_files_are_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.safetensors", mask="face", masked="input")
    with pytest.raises(CheckpointError, match="masked = 'input'"):
        export_generator(tmp_path / "a.safetensors", tmp_path / "g.onnx")
    (tmp_path / "g.onnx").write_text("")
    with pytest.raises(OutputError, match="exists already"):
        export_generator(tmp_path / "a.safetensors", tmp_path / "g.onnx")
