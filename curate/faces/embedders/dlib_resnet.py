"""dlib's face ResNet in torch, with weights from its `.dat` file: normalised RGB (N, 3, 150, 150) -> (N, 128).

The network is that of dlib's `dnn_face_recognition_ex.cpp` (King 2017), trained so that photos of one person are within
a Euclidean distance of 0.6. Each convolution's affine layer (a frozen batch normalisation) is folded into it, which
leaves 29 convolutions and a matrix.

Measured during the search for the template, on 396 photos of lfw-gray and 192 of celebs-112, facenet-pytorch's MTCNN,
best threshold of the same pairs (balanced pair accuracy / TAR at FAR 1e-3; compare bench/embedders.py --compare):
- Unit vectors or dlib's own distance between raw vectors: .978/.845 and .952/.788 against .979/.833 and .959/.787.
  Equal within noise; unit vectors are used because all later steps compare them.
- Mean of crop and mirrored crop against the crop alone: .978/.845 against .977/.832, .952/.788 against .951/.775. Used.
- All vectors share a large component: different people have a cosine of .85, not 0. Subtracting it spreads the
  similarities but lowers TAR (.726 on lfw-gray), so it is kept, and thresholds come from the calibration.
- The template is dlib's own chip geometry: the median position of our five points on chips cut by dlib, then shifted
  and scaled by a search on photos. An eye distance of 61 px instead of 55 loses .017 and .10 on lfw-gray.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from curate.errors import ModelError
from curate.faces.embedder import Embedder
from curate.faces.weights import DLIB_RESNET, file_sha256, locate

_BLOCKS = (
    # (channels in, channels out, stride of the first convolution)
    *((32, 32, 1),) * 3,
    (32, 64, 2),
    *((64, 64, 1),) * 3,
    (64, 128, 2),
    *((128, 128, 1),) * 2,
    (128, 256, 2),
    *((256, 256, 1),) * 2,
    (256, 256, 2),
)
_TAIL_BYTES = 72
"""Bytes after the last matrix: its two alias tensors, learning-rate multipliers, state of the empty outer layers."""

_MAX_GAP = 1024
"""Largest distance in bytes of a layer's tag from the previous tensor: between them are layers without parameters."""


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut: (N, in, H, W) -> (N, out, H', W'), H' about H / stride.

    dlib pads by half the kernel at stride 1 and not at all above, so the two branches of a strided block may differ
    in size; its addition fills the smaller one with zeros, at the bottom, the right and in the last channels.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.first = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1 if stride == 1 else 0)
        self.second = nn.Conv2d(channels_out, channels_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(F.relu(self.first(x)))
        if self.stride == 1:
            return F.relu(y + x)
        x = F.avg_pool2d(x, 2, 2)
        _, channels, height, width = (max(sizes) for sizes in zip(x.shape, y.shape, strict=True))
        return F.relu(_padded(x, channels, height, width) + _padded(y, channels, height, width))


def _padded(x: Tensor, channels: int, height: int, width: int) -> Tensor:
    """Pad `x` with zeros after its last column, row and channel to the given sizes."""
    missing = (width - x.shape[3], height - x.shape[2], channels - x.shape[1])
    return F.pad(x, (0, missing[0], 0, missing[1], 0, missing[2])) if any(missing) else x


class DlibResnet(nn.Module):
    """Normalised RGB (N, 3, 150, 150) -> (N, 128), dlib's descriptor, not of unit norm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 7, 2)
        self.blocks = nn.Sequential(*(Block(*shape) for shape in _BLOCKS))
        self.head = nn.Linear(256, 128, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.stem(x)), 3, 2)  # (N, 32, 35, 35)
        x = self.blocks(x)  # (N, 256, 2, 2)
        vectors: Tensor = self.head(x.mean((2, 3)))
        return vectors

    def convolutions(self) -> list[nn.Conv2d]:
        """The 29 convolutions from input to output, the order of the file."""
        return [module for module in self.modules() if isinstance(module, nn.Conv2d)]


class DatReader:
    """Reads the tensors of a dlib network file in order; every method raises ModelError for unexpected bytes.

    dlib writes an integer as one byte (bit 7: negative, the rest: number of bytes that follow) and its bytes, lowest
    first; a string as its length and its bytes; a tensor as its version (2), four sizes and little-endian float32.
    """

    def __init__(self, data: bytes, name: str) -> None:
        self.data, self.name, self.at = data, name, 0

    def error(self, problem: str) -> ModelError:
        """The error for a problem at the current position."""
        return ModelError(
            f"{self.name}: {problem} at byte {self.at}; this is not dlib_face_recognition_resnet_model_v1.dat "
            "of face_recognition_models 0.3.0: reinstall that package"
        )

    def take(self, count: int) -> bytes:
        """Read `count` bytes."""
        if self.at + count > len(self.data):
            raise self.error(f"the file ends {self.at + count - len(self.data)} bytes early,")
        self.at += count
        return self.data[self.at - count : self.at]

    def integer(self) -> int:
        """Read an integer."""
        head = self.take(1)[0]
        if not 1 <= head & 0x7F <= 8:
            raise self.error(f"byte {head:#04x} instead of an integer")
        value = int.from_bytes(self.take(head & 0x7F), "little")
        return -value if head & 0x80 else value

    def expect(self, what: str, *values: int) -> None:
        """Read integers that must equal `values`."""
        for value in values:
            if (integer := self.integer()) != value:
                raise self.error(f"{what} is {integer} instead of {value}")

    def enter(self, tag: str) -> None:
        """Move behind the tag of the next layer with parameters, which must be `tag`."""
        tags = [bytes((1, len(name), *name.encode())) for name in ("con_4", "affine_", "fc_2")]
        found = [(place, name) for name in tags if (place := self.data.find(name, self.at, self.at + _MAX_GAP)) >= 0]
        if not found:
            raise self.error(f"no layer {tag} within {_MAX_GAP} bytes")
        self.at, name = min(found)
        if name[2:].decode() != tag:
            raise self.error(f"layer {name[2:].decode()} instead of {tag}")
        self.at += len(name)

    def tensor(self, *sizes: int) -> Tensor:
        """Read a float32 tensor of these four sizes."""
        self.expect("a tensor's version", 2)
        self.expect("a tensor's size", *sizes)
        count = sizes[0] * sizes[1] * sizes[2] * sizes[3]
        values = torch.from_numpy(np.frombuffer(self.take(4 * count), "<f4").astype(np.float32))
        if not values.isfinite().all():
            raise self.error("a value that is not finite")
        return values.view(sizes)


def read_dat(data: bytes, name: str) -> DlibResnet:
    """Read the network from the bytes of a file; `name` is used in messages. Raises ModelError for unexpected bytes."""
    reader, network = DatReader(data, name), DlibResnet()
    with torch.no_grad():
        for convolution in network.convolutions():
            channels, kernel = convolution.out_channels, convolution.kernel_size[0]
            count = convolution.weight.numel()
            reader.enter("con_4")
            values = reader.tensor(count + channels, 1, 1, 1).flatten()
            reader.expect("a convolution's shape", channels, kernel, kernel)
            reader.expect("a convolution's stride", *convolution.stride)
            reader.expect("a convolution's padding", *map(int, convolution.padding))
            weight, bias = values[:count].view_as(convolution.weight), values[count:]
            reader.enter("affine_")
            gamma, beta = reader.tensor(2 * channels, 1, 1, 1).view(2, channels)
            # gamma * (w * x + b) + beta = (gamma w) * x + (gamma b + beta)
            convolution.weight.copy_(weight * gamma.view(-1, 1, 1, 1))
            convolution.bias.copy_(bias * gamma + beta)  # type: ignore[union-attr]
        reader.enter("fc_2")
        reader.expect("the last layer's width", 128, 256)
        network.head.weight.copy_(reader.tensor(256, 128, 1, 1).view(256, 128).T)
    if (rest := len(data) - reader.at) != _TAIL_BYTES:
        raise reader.error(f"{rest} bytes instead of {_TAIL_BYTES} after the last layer")
    return network.eval()


def load_dlib_resnet() -> Embedder:
    """Load the built-in embedder, (N, 128), from the installed face_recognition_models.

    Raises ModelError if the file is missing or another one.
    """
    file = locate(DLIB_RESNET)
    network = read_dat(file.read_bytes(), str(file))
    # float16 moves a similarity by at most 2e-4 (bfloat16: 1.4e-3, of a spread of 0.02); activations stay below 20.
    return Embedder(network, DLIB_RESNET, file_sha256(file), dim=128, half=torch.float16)
