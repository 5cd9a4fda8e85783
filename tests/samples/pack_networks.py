"""Networks with the architectures of insightface's packs and random weights, which tests export to ONNX."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class IResNetBlock(nn.Module):
    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(inside),
            nn.Conv2d(inside, outside, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outside),
            nn.PReLU(outside),
            nn.Conv2d(outside, outside, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outside),
        )
        self.skip = (
            nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))
            if stride > 1 or inside != outside
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + self.skip(x)


class IResNet(nn.Module):
    """(N, 3, 112, 112) -> (N, 512). IResNet-50 has (3, 4, 14, 3) blocks, of 64, 128, 256, 512 channels."""

    def __init__(self, blocks: tuple[int, ...] = (3, 4, 14, 3), width: int = 64) -> None:
        super().__init__()
        channels = width
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.PReLU(width)]
        for stage, count in enumerate(blocks):
            for block in range(count):
                layers.append(IResNetBlock(channels, width << stage, 2 if block == 0 else 1))
                channels = width << stage
        self.body = nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.Dropout(0.4))
        self.linear, self.features = nn.Linear(channels * 49, 512), nn.BatchNorm1d(512)

    def forward(self, x: Tensor) -> Tensor:
        return self.features(self.linear(torch.flatten(self.body(x), 1)))


def _conv(inside: int, outside: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outside),
        nn.PReLU(outside),
    )


class MobileFaceNet(nn.Module):
    """(N, 3, 112, 112) -> (N, 512); flattens with `view`, which an export at batch 1 stores as a leading 1."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv(3, 128, 3, 2), _conv(128, 128, 3, 1, 64))
        self.stages = nn.ModuleList()
        for inside, outside, middle, stride, count in (
            (128, 128, 128, 2, 1), (128, 128, 128, 1, 4), (128, 256, 256, 2, 1), (256, 256, 256, 1, 6),
            (256, 256, 512, 2, 1), (256, 256, 256, 1, 2),
        ):  # fmt: skip
            for _ in range(count):
                block = [_conv(inside, middle), _conv(middle, middle, 3, stride, middle), _conv(middle, outside)[:2]]
                self.stages.append(nn.Sequential(*block))
        self.last = nn.Sequential(_conv(256, 512), nn.Conv2d(512, 512, 7, groups=512, bias=False), nn.BatchNorm2d(512))
        self.linear, self.features = nn.Linear(512, 512, bias=False), nn.BatchNorm1d(512)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.stages:
            y = block(x)
            x = x + y if x.shape == y.shape else y
        x = self.last(x)
        return self.features(self.linear(x.view(x.size(0), -1)))


def _relu(inside: int, outside: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(*_conv(inside, outside, kernel, stride, groups)[:2], nn.ReLU())


class _ResidualStage(nn.Module):
    """ResNet-D: the shortcut is averaged before it is projected; the average excludes pixels beyond the edge."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_relu(inside, outside, 3, stride), *_conv(outside, outside, 3)[:2])
        pool = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
        self.skip = nn.Sequential(pool if stride > 1 else nn.Identity(), *_conv(inside, outside)[:2])

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.skip(x))


class _Depthwise(nn.Sequential):
    def __init__(self, inside: int, outside: int, stride: int = 1) -> None:
        super().__init__(_relu(inside, inside, 3, stride, inside), _relu(inside, outside, 1))


class ScrfdNetwork(nn.Module):
    """SCRFD with landmarks: (N, 3, H, W) -> scores, boxes and landmarks at strides 8, 16 and 32, flattened.

    kind "10g" has residual stages, a plain head and a learnt scale of its boxes, "500m" depthwise ones throughout.
    layout "position-first" flattens with permute(2, 3, 0, 1), as the published packs do, which interleaves photos;
    "batched" flattens to (N, -1, k), as newer exports do.
    """

    def __init__(self, kind: str = "10g", layout: str = "position-first") -> None:
        super().__init__()
        self.layout = layout
        if kind == "10g":
            planes, neck, head, depth = (56, 88, 88, 224), 56, 80, 3
            self.stem = nn.Sequential(_relu(3, 28, 3, 2), _relu(28, 56), nn.MaxPool2d(3, 2, 1))
            strides = (1, 2, 2, 2)
            block, tower = _ResidualStage, _relu
        else:
            planes, neck, head, depth = (40, 72, 152, 288), 16, 64, 2
            self.stem = nn.Sequential(_relu(3, 16, 3, 2), _Depthwise(16, 16))
            strides = (2, 2, 2, 2)
            block, tower = _Depthwise, _Depthwise
        inside = (56 if kind == "10g" else 16, *planes)
        self.stages = nn.ModuleList(block(a, b, s) for a, b, s in zip(inside, planes, strides, strict=False))
        self.lateral = nn.ModuleList(nn.Conv2d(plane, neck, 1) for plane in planes[1:])
        self.smooth = nn.ModuleList(nn.Conv2d(neck, neck, 3, 1, 1) for _ in range(3))
        self.down = nn.ModuleList(nn.Conv2d(neck, neck, 3, 2, 1) for _ in range(2))
        self.again = nn.ModuleList(nn.Conv2d(neck, neck, 3, 1, 1) for _ in range(2))
        self.towers = nn.ModuleList(
            nn.Sequential(*(tower(neck if index == 0 else head, head) for index in range(depth))) for _ in range(3)
        )
        self.outputs = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(head, 2 * channels, 3, 1, 1) for channels in (1, 4, 10)) for _ in range(3)
        )
        self.scales = nn.ParameterList(torch.tensor(1.0 + 0.1 * level) for level in range(3)) if kind == "10g" else None

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x, features = self.stem(x), []
        for stage in self.stages:
            features.append(x := stage(x))
        maps = [lateral(feature) for lateral, feature in zip(self.lateral, features[1:], strict=True)]
        for level in (2, 1):
            maps[level - 1] = maps[level - 1] + F.interpolate(maps[level], maps[level - 1].shape[2:], mode="nearest")
        maps = [smooth(level) for smooth, level in zip(self.smooth, maps, strict=True)]
        for level in range(2):
            maps[level + 1] = maps[level + 1] + self.down[level](maps[level])
        maps[1:] = [again(level) for again, level in zip(self.again, maps[1:], strict=True)]
        flat: list[list[Tensor]] = [[], [], []]
        for level, features in enumerate(maps):
            features = self.towers[level](features)
            score, box, points = (convolution(features) for convolution in self.outputs[level])
            if self.scales is not None:
                box = box * self.scales[level]
            flat[0].append(self._flatten(score, 1).sigmoid())
            flat[1].append(self._flatten(box, 4))
            flat[2].append(self._flatten(points, 10))
        return (*flat[0], *flat[1], *flat[2])

    def _flatten(self, x: Tensor, channels: int) -> Tensor:
        if self.layout == "batched":
            return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, channels)
        return x.permute(2, 3, 0, 1).reshape(-1, channels)


def randomise(network: nn.Module, seed: int = 0) -> nn.Module:
    """Set random weights and running statistics that keep activations near 1."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.uniform_(module.bias, -0.1, 0.1, generator=generator)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for values, low, high in (
                (module.weight, 0.4, 0.9), (module.bias, -0.2, 0.2),
                (module.running_mean, -0.2, 0.2), (module.running_var, 0.8, 1.6),
            ):  # fmt: skip
                nn.init.uniform_(values, low, high, generator=generator)
        elif isinstance(module, nn.PReLU):
            nn.init.uniform_(module.weight, 0.1, 0.4, generator=generator)
    return network.eval()
