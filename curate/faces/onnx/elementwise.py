"""Arithmetic and activations, element by element."""

import math

import torch
from torch import Tensor

from curate.faces.onnx.registry import BUILDERS, Attributes, Operator, operator


def _without_attributes(name: str, function: Operator) -> None:
    BUILDERS[name] = lambda _: function


def _divide(x: Tensor, y: Tensor) -> Tensor:
    return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


_without_attributes("Add", torch.add)
_without_attributes("Sub", torch.sub)
_without_attributes("Mul", torch.mul)
_without_attributes("Div", _divide)
_without_attributes("MatMul", torch.matmul)
_without_attributes("Relu", torch.relu)
_without_attributes("Sigmoid", torch.sigmoid)
_without_attributes("Floor", torch.floor)
_without_attributes("Identity", lambda x: x)


@operator("Dropout")
def _dropout(a: Attributes) -> Operator:
    a.take("ratio"), a.take("seed")
    return lambda x, *_: x


@operator("Clip")
def _clip(a: Attributes) -> Operator:
    low, high = a.take("min", -math.inf), a.take("max", math.inf)

    def run(x: Tensor, minimum: Tensor | None = None, maximum: Tensor | None = None) -> Tensor:
        return x.clamp(
            low if minimum is None else float(minimum),
            high if maximum is None else float(maximum),
        )

    return run


@operator("Softmax")
def _softmax(a: Attributes) -> Operator:
    if a.opset >= 13:
        axis = a.take("axis", -1)
        return lambda x: x.softmax(axis)
    axis = a.take("axis", 1)  # up to opset 12: over all axes from that one on
    return lambda x: x.flatten(axis).softmax(-1).reshape(x.shape)


@operator("Cast")
def _cast(a: Attributes) -> Operator:
    kinds = {1: torch.float32, 6: torch.int32, 7: torch.int64, 9: torch.bool, 10: torch.float16, 11: torch.float64}
    if (kind := a.take("to")) not in kinds:
        raise a.unsupported(f"to={kind}")
    a.take("saturate")

    def run(x: Tensor) -> Tensor:
        # The floating-point type is the module's (fp32, fp16, bf16), not the file's.
        return x if x.is_floating_point() and kinds[kind].is_floating_point else x.to(kinds[kind])

    return run
