"""Convolution, normalisation, activation with parameters, pooling and padding."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from curate.faces.onnx.registry import Attributes, Operator, integers, operator


@operator("Conv")
def _conv(a: Attributes) -> Operator:
    a.take("kernel_shape")
    top, left, bottom, right = a.padding()
    stride, dilation = tuple(a.take("strides", (1, 1))), tuple(a.take("dilations", (1, 1)))
    groups = a.take("group", 1)
    even = (top, left) == (bottom, right)

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if not even:
            x = F.pad(x, (left, right, top, bottom))
        return F.conv2d(x, weight, bias, stride, (top, left) if even else 0, dilation, groups)

    return run


@operator("BatchNormalization")
def _batch_norm(a: Attributes) -> Operator:
    epsilon = a.take("epsilon", 1e-5)
    a.take("momentum")
    if a.take("training_mode", 0) or a.take("spatial", 1) != 1:
        raise a.unsupported("a training-mode or non-spatial normalisation")

    def run(x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        return F.batch_norm(x, mean, variance, scale, bias, training=False, eps=epsilon)

    return run


@operator("PRelu")
def _prelu(a: Attributes) -> Operator:
    def run(x: Tensor, slope: Tensor) -> Tensor:
        # One slope per channel has the shape (C, 1, 1); torch expects (C,).
        if slope.numel() == 1 or slope.numel() == slope.shape[0] == x.shape[1]:
            return F.prelu(x, slope.flatten())
        return torch.where(x > 0, x, x * slope)

    return run


@operator("Gemm")
def _gemm(a: Attributes) -> Operator:
    alpha: float = a.take("alpha", 1.0)
    beta: float = a.take("beta", 1.0)
    first, second = bool(a.take("transA", 0)), bool(a.take("transB", 0))

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        x = x.t() if first else x
        if alpha == beta == 1.0 and (bias is None or bias.dim() == 1):
            return F.linear(x, weight if second else weight.t(), bias)
        product = alpha * (x @ (weight.t() if second else weight))
        return product if bias is None else product + beta * bias

    return run


@operator("MaxPool")
def _max_pool(a: Attributes) -> Operator:
    kernel, (top, left, bottom, right) = tuple(a.take("kernel_shape")), a.padding()
    stride, dilation = tuple(a.take("strides", (1, 1))), tuple(a.take("dilations", (1, 1)))
    ceil = bool(a.take("ceil_mode", 0))
    even = (top, left) == (bottom, right)
    if a.take("storage_order", 0):
        raise a.unsupported("storage_order=1")

    def run(x: Tensor) -> Tensor:
        if not even:
            x = F.pad(x, (left, right, top, bottom), value=-math.inf)
        return F.max_pool2d(x, kernel, stride, (top, left) if even else 0, dilation, ceil)

    return run


@operator("AveragePool")
def _average_pool(a: Attributes) -> Operator:
    kernel, (top, left, bottom, right) = tuple(a.take("kernel_shape")), a.padding()
    stride, ceil = tuple(a.take("strides", (1, 1))), bool(a.take("ceil_mode", 0))
    count_padding = bool(a.take("count_include_pad", 0))
    if (top, left) != (bottom, right) or tuple(a.take("dilations", (1, 1))) != (1, 1):
        raise a.unsupported("uneven padding or dilation")

    def run(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, kernel, stride, (top, left), ceil, count_padding)

    return run


@operator("GlobalAveragePool")
def _global_average_pool(a: Attributes) -> Operator:
    return lambda x: x.mean(dim=(2, 3), keepdim=True)


@operator("Pad")
def _pad(a: Attributes) -> Operator:
    if (mode := a.take("mode", "constant")) != "constant":
        raise a.unsupported(f"mode={mode}")
    fixed, fill = a.take("pads"), a.take("value", 0.0)

    def run(x: Tensor, pads: Tensor | None = None, value: Tensor | None = None) -> Tensor:
        sides = integers(fixed if pads is None else pads)
        half = len(sides) // 2  # all starts, then all ends; torch expects pairs, last axis first
        pairs = [side for axis in reversed(range(half)) for side in (sides[axis], sides[half + axis])]
        return F.pad(x, pairs, value=fill if value is None else float(value))

    return run
