"""DeepLabV3+ on a small ResNet-18: the network of the built-in segmenter.

Chen et al. 2018, "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation",
arxiv.org/abs/1802.02611; He et al. 2016, "Deep Residual Learning", arxiv.org/abs/1512.03385.

Outputs and parameter names equal those of segmentation_models_pytorch's `DeepLabV3Plus` with timm's `resnet18` (output
stride 16, deep stem), by which the committed weights were trained. Importing those two packages takes seconds.
"""

import json
from dataclasses import asdict, dataclass
from typing import Annotated, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from curate.errors import ModelError
from manifests.records import InvalidRecordError, Limits, parse_record

_SKIP_CHANNELS = 48  # of the high-resolution features in the decoder, as in the paper
_DROPOUT = 0.1


Size = Annotated[int, Limits(low=1, high=4096)]


@dataclass(frozen=True)
class _EncoderOptions:
    """`encoder_options` of a weights file."""

    channels: tuple[Size, Size, Size, Size]
    stem_type: str
    stem_width: Size


@dataclass(frozen=True)
class _RecordedSpec:
    """The architecture as a weights file records it."""

    encoder: str
    encoder_options: _EncoderOptions
    decoder_channels: Size
    atrous_rates: tuple[Size, Size, Size]
    size: Size
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class DeepLabSpec:
    """Architecture and preprocessing of a segmenter, as its weights file records them.

    Attributes:
        channels: width of each of the four encoder stages.
        stem_width: channels of the first two of the stem's three convolutions.
        decoder_channels: width of the decoder.
        atrous_rates: dilation of each of the three atrous convolutions.
        size: side in px to which crops are resized.
        mean, std: of RGB pixels in 0..1.
    """

    channels: tuple[int, int, int, int]
    stem_width: int
    decoder_channels: int
    atrous_rates: tuple[int, int, int]
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse the record of a weights file. Raises ModelError for another architecture."""
        try:
            record = parse_record(text, _RecordedSpec)
        except InvalidRecordError as error:
            raise ModelError(f"the recorded architecture is not valid: {error}") from error
        options = record.encoder_options
        if (record.encoder, options.stem_type) != ("resnet18", "deep"):
            raise ModelError(
                f"encoder {record.encoder!r} with stem {options.stem_type!r} is not 'resnet18' with stem 'deep'"
            )
        return cls(
            options.channels,
            options.stem_width,
            record.decoder_channels,
            record.atrous_rates,
            record.size,
            record.mean,
            record.std,
        )

    def to_json(self) -> str:
        """Format for a weights file; the inverse of `from_json`."""
        record = asdict(self)
        options = {"channels": record.pop("channels"), "stem_type": "deep", "stem_width": record.pop("stem_width")}
        return json.dumps({"encoder": "resnet18", "encoder_options": options, **record})


class DeepLabV3Plus(nn.Module):
    """Normalised RGB (N, 3, S, S) -> logits (N, classes, S / 4, S / 4), S divisible by 16.

    The logits are not interpolated to S: training and inference each need another size.
    """

    def __init__(self, spec: DeepLabSpec, classes: int) -> None:
        super().__init__()
        self.encoder = Encoder(spec)
        self.decoder = Decoder(spec)
        self.segmentation_head = nn.Sequential(nn.Conv2d(spec.decoder_channels, classes, 1))
        self._initialise()

    def forward(self, x: Tensor) -> Tensor:
        return self.logits_and_features(x)[0]

    def logits_and_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and the encoder's features at stride 4, (N, C1, S / 4, S / 4)."""
        high, low = self.encoder(x)
        logits: Tensor = self.segmentation_head(self.decoder(high, low))
        return logits, high

    def _initialise(self) -> None:
        for module in self.encoder.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, BasicBlock):
                nn.init.zeros_(module.bn2.weight)  # every residual branch starts as zero
        for module in self.decoder.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, mode="fan_in", nonlinearity="relu")
        head = self.segmentation_head[0]
        assert isinstance(head, nn.Conv2d)
        assert head.bias is not None
        nn.init.xavier_uniform_(head.weight)
        nn.init.zeros_(head.bias)


class Encoder(nn.Module):
    """ResNet-18 with a stem of three 3x3 convolutions; its last stage is dilated instead of strided."""

    def __init__(self, spec: DeepLabSpec) -> None:
        super().__init__()
        self.model = ResNet(spec.channels, spec.stem_width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, S, S) -> features at stride 4, (N, C1, S / 4, S / 4), and at stride 16, (N, C4, S / 16, S / 16)."""
        features: tuple[Tensor, Tensor] = self.model(x)
        return features


class ResNet(nn.Module):
    """The stages of `Encoder`; attribute names are timm's."""

    def __init__(self, channels: tuple[int, int, int, int], stem_width: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            *(nn.Conv2d(3, stem_width, 3, 2, 1, bias=False), nn.BatchNorm2d(stem_width), nn.ReLU(inplace=True)),
            *(nn.Conv2d(stem_width, stem_width, 3, 1, 1, bias=False), nn.BatchNorm2d(stem_width)),
            *(nn.ReLU(inplace=True), nn.Conv2d(stem_width, 2 * stem_width, 3, 1, 1, bias=False)),
        )
        self.bn1 = nn.BatchNorm2d(2 * stem_width)
        self.layer1 = _stage(2 * stem_width, channels[0], stride=1)
        self.layer2 = _stage(channels[0], channels[1], stride=2)
        self.layer3 = _stage(channels[1], channels[2], stride=2)
        self.layer4 = _stage(channels[2], channels[3], stride=1, dilation=2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x)), inplace=True), 3, 2, 1)
        high = self.layer1(x)
        return high, self.layer4(self.layer3(self.layer2(high)))


def _stage(channels_in: int, channels_out: int, stride: int, dilation: int = 1) -> nn.Sequential:
    """Two blocks; the first changes width and resolution and dilates its second convolution only."""
    first = BasicBlock(channels_in, channels_out, stride, (1, dilation))
    return nn.Sequential(first, BasicBlock(channels_out, channels_out, 1, (dilation, dilation)))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, dilations: tuple[int, int]) -> None:
        super().__init__()
        first, second = dilations
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, first, first, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, second, second, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or channels_in != channels_out:
            projection = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        y += x if self.downsample is None else self.downsample(x)
        return F.relu(y, inplace=True)


class Decoder(nn.Module):
    """Features at strides 4 and 16 -> features at stride 4, (N, decoder_channels, S / 4, S / 4)."""

    def __init__(self, spec: DeepLabSpec) -> None:
        super().__init__()
        width = spec.decoder_channels
        pyramid = Aspp(spec.channels[3], width, spec.atrous_rates)
        self.aspp = nn.Sequential(pyramid, _separable(width, width), nn.BatchNorm2d(width), nn.ReLU())
        self.block1 = nn.Sequential(*_pointwise(spec.channels[0], _SKIP_CHANNELS))
        self.block2 = nn.Sequential(_separable(_SKIP_CHANNELS + width, width), nn.BatchNorm2d(width), nn.ReLU())

    def forward(self, high: Tensor, low: Tensor) -> Tensor:
        coarse = F.interpolate(self.aspp(low), scale_factor=4, mode="bilinear", align_corners=True)
        fused: Tensor = self.block2(torch.cat([coarse, self.block1(high)], 1))
        return fused


class Aspp(nn.Module):
    """Atrous spatial pyramid pooling: a 1x1 convolution, three atrous ones and the image's mean, side by side."""

    def __init__(self, channels_in: int, width: int, rates: tuple[int, int, int]) -> None:
        super().__init__()
        atrous = (
            nn.Sequential(_separable(channels_in, width, rate), nn.BatchNorm2d(width), nn.ReLU()) for rate in rates
        )
        pooling = nn.Sequential(nn.AdaptiveAvgPool2d(1), *_pointwise(channels_in, width))
        self.convs = nn.ModuleList([nn.Sequential(*_pointwise(channels_in, width)), *atrous, pooling])
        self.project = nn.Sequential(*_pointwise(5 * width, width), nn.Dropout(_DROPOUT))

    def forward(self, x: Tensor) -> Tensor:
        *branches, mean = (branch(x) for branch in self.convs)
        mean = F.interpolate(mean, size=x.shape[2:], mode="bilinear", align_corners=False)
        projected: Tensor = self.project(torch.cat([*branches, mean], 1))
        return projected


def _pointwise(channels_in: int, channels_out: int) -> tuple[nn.Module, ...]:
    """A 1x1 convolution, batch normalisation and ReLU."""
    return nn.Conv2d(channels_in, channels_out, 1, bias=False), nn.BatchNorm2d(channels_out), nn.ReLU()


def _separable(channels_in: int, channels_out: int, dilation: int = 1) -> nn.Sequential:
    """A depthwise 3x3 convolution, then a 1x1 convolution."""
    depthwise = nn.Conv2d(
        channels_in, channels_in, 3, padding=dilation, dilation=dilation, groups=channels_in, bias=False
    )
    return nn.Sequential(depthwise, nn.Conv2d(channels_in, channels_out, 1, bias=False))
