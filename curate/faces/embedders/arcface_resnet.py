"""The ArcFace network of the published SimSwap generators: IR-SE-101, normalised RGB (N, 3, 112, 112) -> (N, 512).

Deng et al. 2019, "ArcFace"; squeeze-and-excitation by Hu et al. 2018. Attribute names are the keys of the published
state dict.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from curate.errors import ModelError
from curate.faces.embedder import Embedder
from curate.faces.torch_file import UnreadableTorchFileError, read_state_dict
from curate.faces.weights import SIMSWAP_ARCFACE, file_sha256

_BLOCKS = (3, 4, 23, 3)
_PREFIX = "module."  # of all names in files of multi-GPU trainings


class SqueezeExcitation(nn.Module):
    """Scales each channel by a gate computed from the means of all channels."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = channels // reduction
        self.fc = nn.Sequential(nn.Linear(channels, hidden), nn.PReLU(), nn.Linear(hidden, channels), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.fc(x.mean((2, 3)))
        return x * gate[:, :, None, None]


class ResidualBlock(nn.Module):
    """Batch normalisation first, two 3x3 convolutions, squeeze-and-excitation, shortcut, PReLU."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.bn0 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_in, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.prelu = nn.PReLU()  # one slope, used twice
        self.conv2 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.se = SqueezeExcitation(channels_out)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or channels_in != channels_out:
            projection = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        y = self.prelu(self.bn1(self.conv1(self.bn0(x))))
        y = self.se(self.bn2(self.conv2(y)))
        result: Tensor = self.prelu(y + (x if self.downsample is None else self.downsample(x)))
        return result


class ArcFaceResNet(nn.Module):
    """The network. blocks: residual blocks of each of the four stages."""

    def __init__(self, blocks: tuple[int, int, int, int] = _BLOCKS) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.prelu = nn.PReLU()
        self.maxpool = nn.MaxPool2d(2, 2)
        channels = 64
        for number, (width, count) in enumerate(zip((64, 128, 256, 512), blocks, strict=True), 1):
            stage = []
            for index in range(count):
                stage.append(ResidualBlock(channels, width, 2 if number > 1 and index == 0 else 1))
                channels = width
            self.add_module(f"layer{number}", nn.Sequential(*stage))
        self.bn2 = nn.BatchNorm2d(512)
        self.fc = nn.Linear(512 * 7 * 7, 512)
        self.bn3 = nn.BatchNorm1d(512)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.prelu(self.bn1(self.conv1(x))))  # (N, 64, 56, 56)
        for number in range(1, 5):
            x = self.get_submodule(f"layer{number}")(x)
        y: Tensor = self.bn3(self.fc(self.bn2(x).flatten(1)))
        return y


def load_arcface_resnet(path: Path) -> Embedder:
    """Load the state dict of the network. Raises ModelError for any other file."""
    expected = (
        "expected the state dict of the published SimSwap's ArcFace, with the keys conv1.weight ... "
        "layer3.22.se.fc.0.weight ... bn3.weight, loadable with weights_only=True (docs/guides/swap.md shows how to "
        "make it of the published file)"
    )
    try:
        state = read_state_dict(path, ModelError)
    except UnreadableTorchFileError as error:
        raise ModelError(f"{path} is not a state dict ({error}); {expected}") from error
    weights = {name.removeprefix(_PREFIX): tensor for name, tensor in state.items()}
    with torch.device("meta"):
        network = ArcFaceResNet()
    try:
        network.load_state_dict(weights, strict=True, assign=True)
    except RuntimeError as error:
        raise ModelError(f"{path} does not fit ArcFace ({' '.join(str(error).split())[:300]}); {expected}") from error
    return Embedder(network, SIMSWAP_ARCFACE, file_sha256(path), dim=512)
