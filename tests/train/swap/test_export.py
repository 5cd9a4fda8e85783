"""ONNX export: onnxruntime computes what torch computes, and the file says what it wants."""

import base64
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch.nn.functional import normalize

from manifests.errors import OutputError
from tests.samples.swap import embedder, write_checkpoint
from train.build import load_generator
from train.errors import CheckpointError
from train.swap.export import export_generator


@pytest.mark.parametrize(
    "recipe",
    [
        {"blocks": 1},
        {"io_space": "imagenet", "blocks": 1},
        {"output": "change", "shrink": 2, "identity_map": 2, "blocks": 1},
    ],
)
def test_onnxruntime_agrees_with_torch(tmp_path: Path, recipe: dict[str, object]) -> None:
    path, out = tmp_path / "a.safetensors", tmp_path / "g.onnx"
    write_checkpoint(path, **recipe)
    assert export_generator(path, out) == out.stat().st_size
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    generator, facts = load_generator(path)
    for count in (1, 3):
        target = torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(count))
        latent = normalize(torch.randn(count, 128, generator=torch.Generator().manual_seed(9)))
        (ours,) = session.run(None, {"target": target.numpy(), "latent": latent.numpy()})
        theirs = generator.to_rgb01(generator(generator.to_input(target), latent)).clamp(0, 1)
        assert ours.shape == (count, 3, 64, 64)
        assert np.abs(ours - theirs.numpy()).max() < 2e-4
    told = session.get_modelmeta().custom_metadata_map
    assert told["swapset.size"] == "64"
    assert told["swapset.template"] == "simswap-224"
    assert told["swapset.embedder_id"] == embedder().embedder_id
    centre = np.frombuffer(base64.b64decode(told["swapset.centre"]), "<f4")
    assert np.allclose(centre, facts["centre"])


def test_what_onnx_cannot_hold_is_refused_and_nothing_is_overwritten(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.safetensors", mask="face", masked="input")
    with pytest.raises(CheckpointError, match="masked = 'input'"):
        export_generator(tmp_path / "a.safetensors", tmp_path / "g.onnx")
    (tmp_path / "g.onnx").write_text("")
    with pytest.raises(OutputError, match="exists already"):
        export_generator(tmp_path / "a.safetensors", tmp_path / "g.onnx")
