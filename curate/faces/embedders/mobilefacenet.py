"""MobileFaceNet (Chen et al. 2018): normalised RGB (N, 3, 112, 96) -> (N, 128), from a checkpoint file.

Checkpoints are those of the common PyTorch implementation: a dict with `net_state_dict`, or the state itself. They are
loaded strictly; then each batch normalisation is folded into the convolution before it.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from curate.errors import ModelError
from curate.faces.embedder import Embedder
from curate.faces.torch_file import UnreadableTorchFileError, read_torch_file
from curate.faces.weights import MOBILEFACENET, file_sha256

# Table 1 of the paper: (expansion t, channels c, repeats n, stride s of the first).
_STAGES = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))


class ConvBlock(nn.Module):
    """Convolution, batch normalisation and, unless `linear`, PReLU."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int | tuple[int, int], stride: int, padding: int,
        *, depthwise: bool = False, linear: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        groups = channels_in if depthwise else 1
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride, padding, groups=groups, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(channels_out)
        self.prelu: nn.Module = nn.Identity() if linear else nn.PReLU(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.prelu(self.bn(self.conv(x)))
        return y


class Bottleneck(nn.Module):
    """Inverted residual: 1x1 expansion, depthwise 3x3, 1x1 projection; with a shortcut where the shapes agree."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, expansion: int) -> None:
        super().__init__()
        expanded = channels_in * expansion
        self.shortcut = stride == 1 and channels_in == channels_out
        self.conv = nn.Sequential(
            nn.Conv2d(channels_in, expanded, 1, bias=False),
            nn.BatchNorm2d(expanded),
            nn.PReLU(expanded),
            nn.Conv2d(expanded, expanded, 3, stride, 1, groups=expanded, bias=False),
            nn.BatchNorm2d(expanded),
            nn.PReLU(expanded),
            nn.Conv2d(expanded, channels_out, 1, bias=False),
            nn.BatchNorm2d(channels_out),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return x + y if self.shortcut else y


class MobileFaceNet(nn.Module):
    """Normalised RGB (N, 3, 112, 96) -> (N, 128). Attribute names are the checkpoints' keys."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvBlock(3, 64, 3, 2, 1)
        self.dw_conv1 = ConvBlock(64, 64, 3, 1, 1, depthwise=True)
        blocks, channels = [], 64
        for expansion, width, repeats, stride in _STAGES:
            for repeat in range(repeats):
                blocks.append(Bottleneck(channels, width, stride if repeat == 0 else 1, expansion))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.conv2 = ConvBlock(128, 512, 1, 1, 0)
        self.linear7 = ConvBlock(512, 512, (7, 6), 1, 0, depthwise=True, linear=True)
        self.linear1 = ConvBlock(512, 128, 1, 1, 0, linear=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.dw_conv1(self.conv1(x)))  # (N, 128, 7, 6)
        return self.linear1(self.linear7(self.conv2(x))).flatten(1)  # type: ignore[no-any-return]

    def fold(self) -> None:
        """Fold every batch normalisation into the convolution before it, for inference and gradients of pixels only."""
        for module in self.modules():
            if isinstance(module, ConvBlock):
                assert isinstance(module.bn, nn.BatchNorm2d)
                module.conv, module.bn = fuse_conv_bn_eval(module.conv, module.bn), nn.Identity()
            elif isinstance(module, Bottleneck):
                for at in (0, 3, 6):
                    convolution, norm = module.conv[at], module.conv[at + 1]
                    assert isinstance(convolution, nn.Conv2d)
                    assert isinstance(norm, nn.BatchNorm2d)
                    module.conv[at], module.conv[at + 1] = fuse_conv_bn_eval(convolution, norm), nn.Identity()


def load_mobilefacenet(path: Path) -> Embedder:
    """Load a MobileFaceNet checkpoint, (N, 128). Raises ModelError for any other file."""
    expected = (
        "expected a PyTorch checkpoint of a MobileFaceNet: `net_state_dict`, or the state itself, with the keys "
        "conv1.conv.weight ... blocks.14.conv.6.weight ... linear1.conv.weight, loadable with weights_only=True"
    )
    try:
        content = read_torch_file(path, ModelError)
    except UnreadableTorchFileError as error:
        raise ModelError(f"{path} cannot be read as weights ({error}); {expected}") from error
    state = content.get("net_state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or "conv1.conv.weight" not in state or "linear7.conv.weight" not in state:
        keys = ", ".join(map(str, list(state)[:3])) if isinstance(state, Mapping) else type(content).__name__
        raise ModelError(f"{path} contains no MobileFaceNet (found: {keys}); {expected}")
    network = MobileFaceNet().eval()
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"{path} does not fit MobileFaceNet ({reason}); {expected}") from error
    network.fold()
    calibration = MOBILEFACENET.calibration
    sha256 = file_sha256(path)
    if calibration is not None and sha256 != MOBILEFACENET.sha256:
        assumed = f"assumed from {MOBILEFACENET.name}: this file was not measured"
        calibration = replace(calibration, measured_on=assumed)
    return Embedder(network, MOBILEFACENET, sha256, dim=128, calibration=calibration)
