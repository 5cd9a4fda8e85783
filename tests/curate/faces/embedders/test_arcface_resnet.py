"""The published SimSwap's face embedder: its shapes, its preprocessing, and files that are not it."""

from pathlib import Path

import pytest
import torch

from curate.errors import ModelError
from curate.faces.align import fit
from curate.faces.embedders.arcface_resnet import ArcFaceResNet, load_arcface_resnet
from curate.faces.models import load_embedder
from curate.faces.weights import SIMSWAP_ARCFACE
from manifests.landmarks import TEMPLATES
from train import complexity


def test_the_network_has_the_published_size() -> None:
    with torch.device("meta"):
        network = ArcFaceResNet()
    cost = complexity.measure(network, (2, 3, 112, 112))
    assert cost.parameters == pytest.approx(52e6, rel=0.01)
    assert cost.macs == pytest.approx(7.5e9, rel=0.03)
    names = network.state_dict().keys()
    assert {"layer1.0.bn0.weight", "layer3.22.se.fc.2.bias", "layer2.0.downsample.1.running_var", "bn3.bias"} <= names


def test_small_networks_of_the_kind_compute_finite_embeddings() -> None:
    torch.manual_seed(0)
    network = ArcFaceResNet((1, 1, 1, 1)).eval()
    one, other = network(torch.rand(2, 3, 112, 112))
    assert one.shape == (512,)
    assert torch.isfinite(one).all()
    assert (one - other).abs().max() > 0


def test_its_chips_are_simswaps_crops_at_half_the_side() -> None:
    points = TEMPLATES["simswap-224"].points
    matrices, residuals = fit(points, TEMPLATES[SIMSWAP_ARCFACE.template or ""])
    assert residuals == pytest.approx(0, abs=1e-9)
    assert matrices[:, 0, 0] == pytest.approx(0.5)
    assert SIMSWAP_ARCFACE.mean == pytest.approx([255 * mean for mean in (0.485, 0.456, 0.406)])
    assert SIMSWAP_ARCFACE.std == pytest.approx([255 * std for std in (0.229, 0.224, 0.225)])


def test_a_missing_or_other_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWAPSET_MODELS", str(tmp_path))
    with pytest.raises(ModelError, match=r"arcface.pth does not exist: docs/guides/swap.md shows how"):
        load_embedder("simswap-arcface")
    torch.save({"conv1.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match=r"does not fit ArcFace .*expected the state dict of the published SimSwap"):
        load_arcface_resnet(tmp_path / "other.pth")
    torch.save([1], tmp_path / "list.pth")
    with pytest.raises(ModelError, match="is not a state dict"):
        load_arcface_resnet(tmp_path / "list.pth")
