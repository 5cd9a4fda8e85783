"""MTCNN's three networks: normalised pixels -> face probability, box regression and landmarks.

Zhang et al. 2016, "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks". The weights
are the files in facenet-pytorch's wheel (MIT); that package itself is never imported. Input is (x - 127.5) / 128. A
probability is the sigmoid of the difference of the two class logits, which equals their softmax.
"""

import hashlib

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from curate.faces.weights import MTCNN_ONET, MTCNN_PNET, MTCNN_RNET, file_sha256, locate


class PNet(nn.Module):
    """Proposal network: (G, 3, H, W) -> probability (G, h, w), regression (G, 4, h, w); a cell sees 12x12 px."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 10, 3)
        self.prelu1 = nn.PReLU(10)
        self.conv2 = nn.Conv2d(10, 16, 3)
        self.prelu2 = nn.PReLU(16)
        self.conv3 = nn.Conv2d(16, 32, 3)
        self.prelu3 = nn.PReLU(32)
        self.conv4_1 = nn.Conv2d(32, 2, 1)
        self.conv4_2 = nn.Conv2d(32, 4, 1)

    def forward(self, pixels: Tensor, outside: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`outside`: bool (G, 1, H - 2, W - 2), True beyond the edge of an image smaller than its frame."""
        features = self.prelu1(self.conv1(pixels))
        if outside is not None:
            # The pool's last window is cut off by the image's edge; values beyond it must not be the maximum.
            features = features.masked_fill(outside, -1e30)
        features = F.max_pool2d(features, 2, 2, ceil_mode=True)
        features = self.prelu2(self.conv2(features))
        features = self.prelu3(self.conv3(features))
        logits = self.conv4_1(features)
        return torch.sigmoid(logits[:, 1] - logits[:, 0]), self.conv4_2(features)


class RNet(nn.Module):
    """Refinement network: (K, 3, 24, 24) -> probability (K,), box regression (K, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 28, 3)
        self.prelu1 = nn.PReLU(28)
        self.conv2 = nn.Conv2d(28, 48, 3)
        self.prelu2 = nn.PReLU(48)
        self.conv3 = nn.Conv2d(48, 64, 2)
        self.prelu3 = nn.PReLU(64)
        self.dense4 = nn.Linear(576, 128)
        self.prelu4 = nn.PReLU(128)
        self.dense5_1 = nn.Linear(128, 2)
        self.dense5_2 = nn.Linear(128, 4)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        features = F.max_pool2d(self.prelu1(self.conv1(pixels)), 3, 2, ceil_mode=True)
        features = F.max_pool2d(self.prelu2(self.conv2(features)), 3, 2, ceil_mode=True)
        features = self.prelu3(self.conv3(features))
        features = self.prelu4(self.dense4(_column_major(features)))
        logits = self.dense5_1(features)
        return torch.sigmoid(logits[:, 1] - logits[:, 0]), self.dense5_2(features)


class ONet(nn.Module):
    """Output network: (K, 3, 48, 48) -> probability (K,), box regression (K, 4), landmarks (K, 5, 2) in box units."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3)
        self.prelu1 = nn.PReLU(32)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.prelu2 = nn.PReLU(64)
        self.conv3 = nn.Conv2d(64, 64, 3)
        self.prelu3 = nn.PReLU(64)
        self.conv4 = nn.Conv2d(64, 128, 2)
        self.prelu4 = nn.PReLU(128)
        self.dense5 = nn.Linear(1152, 256)
        self.prelu5 = nn.PReLU(256)
        self.dense6_1 = nn.Linear(256, 2)
        self.dense6_2 = nn.Linear(256, 4)
        self.dense6_3 = nn.Linear(256, 10)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = F.max_pool2d(self.prelu1(self.conv1(pixels)), 3, 2, ceil_mode=True)
        features = F.max_pool2d(self.prelu2(self.conv2(features)), 3, 2, ceil_mode=True)
        features = F.max_pool2d(self.prelu3(self.conv3(features)), 2, 2, ceil_mode=True)
        features = self.prelu4(self.conv4(features))
        features = self.prelu5(self.dense5(_column_major(features)))
        logits = self.dense6_1(features)
        # The ten outputs are five x, then five y.
        points = self.dense6_3(features).reshape(-1, 2, 5).transpose(1, 2)
        return torch.sigmoid(logits[:, 1] - logits[:, 0]), self.dense6_2(features), points


def _column_major(features: Tensor) -> Tensor:
    """(K, C, H, W) -> (K, W * H * C): the order in which the dense layers were trained, a Caffe export from MATLAB."""
    return features.permute(0, 3, 2, 1).flatten(1)


def weights_sha256() -> str:
    """sha256 of the sha256 of the three files. Raises ModelError as `load` does."""
    files = [file_sha256(locate(weights)) for weights in (MTCNN_PNET, MTCNN_RNET, MTCNN_ONET)]
    return hashlib.sha256(" ".join(files).encode()).hexdigest()


def load(device: torch.device) -> tuple[PNet, RNet, ONet]:
    """The three networks with their weights on `device`, in inference mode.

    Raises ModelError where facenet-pytorch's wheel is not installed or a file is not the one in the weights table.
    """
    networks = (PNet(), RNet(), ONet())
    for network, weights in zip(networks, (MTCNN_PNET, MTCNN_RNET, MTCNN_ONET), strict=True):
        network.load_state_dict(torch.load(locate(weights), map_location="cpu", weights_only=True))
        network.requires_grad_(False).eval().to(device)
        network.to(memory_format=torch.channels_last)  # 2.5 times as fast on the CPU
    return networks
