"""An ONNX node's attributes -> the torch function that computes it.

Only what convolutional face networks are exported to: convolution, normalisation, activation, pooling, addition,
resizing, and the integer arithmetic on shapes that a dynamic export carries along. Anything else, an unknown attribute
included, is a `ModelError` naming the operator while the file is read, not a wrong number while it runs.
Semantics: https://onnx.ai/onnx/operators, opsets 7 to 22; where they differ the file's own opset decides.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from curate.errors import ModelError
from curate.faces.onnx.resize import ROUNDING, SMOOTH, resize

Operator = Callable[..., Tensor]

ON_HOST: dict[str, tuple[int, ...]] = {
    "Reshape": (1,), "Resize": (1, 2, 3), "Upsample": (1,), "Slice": (1, 2, 3, 4), "Unsqueeze": (1,), "Squeeze": (1,),
    "Clip": (1, 2), "Gather": (1,), "Dropout": (1, 2), "Pad": (1, 2),
}  # fmt: skip
"""Inputs that are sizes, axes or bounds: read as numbers on the CPU, so that no device waits for them."""


class Attributes:
    """The attributes of one node; `take` removes one, so that what nobody took can be refused."""

    def __init__(self, operator: str, opset: int, values: dict[str, Any]) -> None:
        self.operator = operator
        self.opset = opset
        self._values = dict(values)

    def take(self, name: str, default: Any = None) -> Any:
        return self._values.pop(name, default)

    def refuse(self, what: str) -> ModelError:
        return ModelError(f"{self.operator} (opset {self.opset}): {what} is not supported")

    def padding(self) -> tuple[int, int, int, int]:
        """Explicit (top, left, bottom, right) padding in pixels."""
        if (auto := self.take("auto_pad", "NOTSET")) not in ("NOTSET", "VALID"):
            raise self.refuse(f"auto_pad={auto}")
        pads = tuple(self.take("pads", (0, 0, 0, 0)))
        if len(pads) != 4:
            raise self.refuse(f"pads={list(pads)} (two spatial axes wanted)")
        return pads

    def finish(self) -> None:
        if self._values:
            raise self.refuse("attribute " + ", ".join(sorted(self._values)))


_BUILDERS: dict[str, Callable[[Attributes], Operator]] = {}


def _operator(name: str) -> Callable[[Callable[[Attributes], Operator]], Callable[[Attributes], Operator]]:
    def register(builder: Callable[[Attributes], Operator]) -> Callable[[Attributes], Operator]:
        _BUILDERS[name] = builder
        return builder

    return register


def build(operator: str, opset: int, values: dict[str, Any]) -> Operator:
    """Operator name, opset and attributes -> function of the node's input tensors (None for an omitted one)."""
    if operator not in _BUILDERS:
        raise ModelError(f"{operator} is not supported; supported: {', '.join(sorted(_BUILDERS))}")
    attributes = Attributes(operator, opset, values)
    run = _BUILDERS[operator](attributes)
    attributes.finish()
    return run


def _numbers(values: Tensor | Sequence[int]) -> list[int]:
    return [int(value) for value in values]


# --- layers -----------------------------------------------------------------------------------------------------


@_operator("Conv")
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


@_operator("BatchNormalization")
def _batch_norm(a: Attributes) -> Operator:
    epsilon = a.take("epsilon", 1e-5)
    a.take("momentum")
    if a.take("training_mode", 0) or a.take("spatial", 1) != 1:
        raise a.refuse("a training-mode or non-spatial normalisation")

    def run(x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        return F.batch_norm(x, mean, variance, scale, bias, training=False, eps=epsilon)

    return run


@_operator("PRelu")
def _prelu(a: Attributes) -> Operator:
    def run(x: Tensor, slope: Tensor) -> Tensor:
        # One slope a channel comes as (C, 1, 1); torch wants (C,).
        if slope.numel() == 1 or slope.numel() == slope.shape[0] == x.shape[1]:
            return F.prelu(x, slope.flatten())
        return torch.where(x > 0, x, x * slope)

    return run


@_operator("Gemm")
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


@_operator("MaxPool")
def _max_pool(a: Attributes) -> Operator:
    kernel, top_left_bottom_right = tuple(a.take("kernel_shape")), a.padding()
    stride, dilation = tuple(a.take("strides", (1, 1))), tuple(a.take("dilations", (1, 1)))
    ceil = bool(a.take("ceil_mode", 0))
    top, left, bottom, right = top_left_bottom_right
    even = (top, left) == (bottom, right)
    if a.take("storage_order", 0):
        raise a.refuse("storage_order=1")

    def run(x: Tensor) -> Tensor:
        if not even:
            x = F.pad(x, (left, right, top, bottom), value=-math.inf)
        return F.max_pool2d(x, kernel, stride, (top, left) if even else 0, dilation, ceil)

    return run


@_operator("AveragePool")
def _average_pool(a: Attributes) -> Operator:
    kernel, (top, left, bottom, right) = tuple(a.take("kernel_shape")), a.padding()
    stride, ceil = tuple(a.take("strides", (1, 1))), bool(a.take("ceil_mode", 0))
    count_padding = bool(a.take("count_include_pad", 0))
    if (top, left) != (bottom, right) or tuple(a.take("dilations", (1, 1))) != (1, 1):
        raise a.refuse("uneven padding or dilation")

    def run(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, kernel, stride, (top, left), ceil, count_padding)

    return run


@_operator("GlobalAveragePool")
def _global_average_pool(a: Attributes) -> Operator:
    return lambda x: x.mean(dim=(2, 3), keepdim=True)


@_operator("Pad")
def _pad(a: Attributes) -> Operator:
    if (mode := a.take("mode", "constant")) != "constant":
        raise a.refuse(f"mode={mode}")
    fixed, fill = a.take("pads"), a.take("value", 0.0)

    def run(x: Tensor, pads: Tensor | None = None, value: Tensor | None = None) -> Tensor:
        sides = _numbers(fixed if pads is None else pads)
        half = len(sides) // 2  # all starts, then all ends; torch wants pairs, last axis first
        pairs = [side for axis in reversed(range(half)) for side in (sides[axis], sides[half + axis])]
        return F.pad(x, pairs, value=fill if value is None else float(value))

    return run


# --- point by point -----------------------------------------------------------------------------------------------


def _simple(name: str, function: Operator) -> None:
    _BUILDERS[name] = lambda _: function


def _divide(x: Tensor, y: Tensor) -> Tensor:
    return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


_simple("Add", torch.add)
_simple("Sub", torch.sub)
_simple("Mul", torch.mul)
_simple("Div", _divide)
_simple("MatMul", torch.matmul)
_simple("Relu", torch.relu)
_simple("Sigmoid", torch.sigmoid)
_simple("Floor", torch.floor)
_simple("Identity", lambda x: x)


@_operator("Dropout")
def _dropout(a: Attributes) -> Operator:
    a.take("ratio"), a.take("seed")
    return lambda x, *_: x


@_operator("Clip")
def _clip(a: Attributes) -> Operator:
    low, high = a.take("min", -math.inf), a.take("max", math.inf)

    def run(x: Tensor, minimum: Tensor | None = None, maximum: Tensor | None = None) -> Tensor:
        return x.clamp(
            low if minimum is None else float(minimum),
            high if maximum is None else float(maximum),
        )

    return run


@_operator("Softmax")
def _softmax(a: Attributes) -> Operator:
    if a.opset >= 13:
        axis = a.take("axis", -1)
        return lambda x: x.softmax(axis)
    axis = a.take("axis", 1)  # up to opset 12: over everything from that axis on
    return lambda x: x.flatten(axis).softmax(-1).reshape(x.shape)


@_operator("Cast")
def _cast(a: Attributes) -> Operator:
    kinds = {1: torch.float32, 6: torch.int32, 7: torch.int64, 9: torch.bool, 10: torch.float16, 11: torch.float64}
    if (kind := a.take("to")) not in kinds:
        raise a.refuse(f"to={kind}")
    a.take("saturate")

    def run(x: Tensor) -> Tensor:
        # The precision of real numbers is the module's (fp32, fp16, bf16), not the file's.
        return x if x.is_floating_point() and kinds[kind].is_floating_point else x.to(kinds[kind])

    return run


# --- layout and shapes ----------------------------------------------------------------------------------------------


@_operator("Shape")
def _shape(a: Attributes) -> Operator:
    start, end = a.take("start", 0), a.take("end")
    return lambda x: torch.tensor(x.shape[start:end], dtype=torch.int64)


@_operator("Reshape")
def _reshape(a: Attributes) -> Operator:
    fixed, zero_is_zero = a.take("shape"), bool(a.take("allowzero", 0))

    def run(x: Tensor, shape: Tensor | None = None, batch: int = 1) -> Tensor:
        sizes = _numbers(fixed if shape is None else shape)
        if not zero_is_zero:
            sizes = [x.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
        # A file exported at batch 1 says 1 where it means the batch.
        if batch > 1 and sizes[:1] == [1] and x.shape[0] == batch:
            sizes[0] = batch
        return x.reshape(sizes)

    return run


@_operator("Flatten")
def _flatten(a: Attributes) -> Operator:
    axis = a.take("axis", 1)
    return lambda x: x.reshape(math.prod(x.shape[:axis]), -1)


@_operator("Transpose")
def _transpose(a: Attributes) -> Operator:
    order = a.take("perm")
    return lambda x: x.permute(tuple(reversed(range(x.dim()))) if order is None else tuple(order))


@_operator("Concat")
def _concat(a: Attributes) -> Operator:
    axis = a.take("axis")
    return lambda *parts: torch.cat(parts, axis)


@_operator("Gather")
def _gather(a: Attributes) -> Operator:
    axis = a.take("axis", 0)

    def run(x: Tensor, indices: Tensor) -> Tensor:
        if indices.dim() == 0:
            return x.select(axis, int(indices))
        if indices.dim() > 1:
            raise ModelError(f"Gather: indices of {indices.dim()} axes are not supported")
        return x.index_select(axis, (indices % x.shape[axis]).to(x.device))

    return run


@_operator("Slice")
def _slice(a: Attributes) -> Operator:
    fixed = a.take("starts"), a.take("ends"), a.take("axes")

    def run(x: Tensor, *bounds: Tensor | None) -> Tensor:
        given = [None if values is None else _numbers(values) for values in (bounds or fixed)]
        starts, ends, axes, steps = (*given, None, None)[:4]
        assert starts is not None
        assert ends is not None
        cut = [slice(None)] * x.dim()
        for position, (start, end) in enumerate(zip(starts, ends, strict=True)):
            step = 1 if steps is None else steps[position]
            if step < 1:
                raise ModelError(f"Slice: step {step} is not supported")
            cut[position if axes is None else axes[position]] = slice(start, end, step)
        return x[tuple(cut)]

    return run


@_operator("Unsqueeze")
def _unsqueeze(a: Attributes) -> Operator:
    fixed = a.take("axes")

    def run(x: Tensor, axes: Tensor | None = None) -> Tensor:
        where = _numbers(fixed if axes is None else axes)
        rank = x.dim() + len(where)
        for axis in sorted(axis % rank for axis in where):
            x = x.unsqueeze(axis)
        return x

    return run


@_operator("Squeeze")
def _squeeze(a: Attributes) -> Operator:
    fixed = a.take("axes")

    def run(x: Tensor, axes: Tensor | None = None) -> Tensor:
        chosen = fixed if axes is None else axes
        return x.squeeze() if chosen is None else x.squeeze(tuple(_numbers(chosen)))

    return run


@_operator("Resize")
def _resize(a: Attributes) -> Operator:
    mode = a.take("mode", "nearest")
    # Opset 10 had no choice of coordinates: output pixel i reads i / scale.
    transform = a.take("coordinate_transformation_mode", "half_pixel" if a.opset >= 11 else "asymmetric")
    rounding = a.take("nearest_mode", "round_prefer_floor" if a.opset >= 11 else "floor")
    for unused in ("cubic_coeff_a", "exclude_outside", "extrapolation_value"):
        a.take(unused)
    if a.take("antialias", 0) or a.take("keep_aspect_ratio_policy", "stretch") != "stretch" or a.take("axes"):
        raise a.refuse("antialias, keep_aspect_ratio_policy or axes")
    if mode not in ("nearest", "linear") or transform not in (*SMOOTH, "asymmetric") or rounding not in ROUNDING:
        raise a.refuse(f"mode={mode}, coordinate_transformation_mode={transform}, nearest_mode={rounding}")
    if mode == "linear" and transform not in SMOOTH:
        raise a.refuse(f"mode=linear with coordinate_transformation_mode={transform}")
    run = partial(resize, mode=mode, transform=transform, rounding=rounding)
    if a.opset < 11:
        return lambda x, scales: run(x, scales, None)
    return lambda x, roi=None, scales=None, sizes=None: run(x, scales, sizes)


@_operator("Upsample")
def _upsample(a: Attributes) -> Operator:
    if (mode := a.take("mode", "nearest")) != "nearest":
        raise a.refuse(f"mode={mode}")
    fixed = a.take("scales")
    run = partial(resize, mode="nearest", transform="asymmetric", rounding="floor")
    return lambda x, scales=None: run(x, torch.tensor(fixed) if scales is None else scales, None)
