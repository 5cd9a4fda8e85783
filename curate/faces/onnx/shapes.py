"""Layout of tensors, and the integer arithmetic on shapes that a dynamic export contains."""

import math

import torch
from torch import Tensor

from curate.errors import ModelError
from curate.faces.onnx.registry import Attributes, Operator, integers, operator


@operator("Shape")
def _shape(a: Attributes) -> Operator:
    start, end = a.take("start", 0), a.take("end")
    return lambda x: torch.tensor(x.shape[start:end], dtype=torch.int64)


@operator("Reshape")
def _reshape(a: Attributes) -> Operator:
    fixed, zero_is_zero = a.take("shape"), bool(a.take("allowzero", 0))

    def run(x: Tensor, shape: Tensor | None = None, batch: int = 1) -> Tensor:
        sizes = integers(fixed if shape is None else shape)
        if not zero_is_zero:
            sizes = [x.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
        # In a file exported at batch 1, a leading 1 is the batch.
        if batch > 1 and sizes[:1] == [1] and x.shape[0] == batch:
            sizes[0] = batch
        return x.reshape(sizes)

    return run


@operator("Flatten")
def _flatten(a: Attributes) -> Operator:
    axis = a.take("axis", 1)
    return lambda x: x.reshape(math.prod(x.shape[:axis]), -1)


@operator("Transpose")
def _transpose(a: Attributes) -> Operator:
    order = a.take("perm")
    return lambda x: x.permute(tuple(reversed(range(x.dim()))) if order is None else tuple(order))


@operator("Concat")
def _concat(a: Attributes) -> Operator:
    axis = a.take("axis")
    return lambda *parts: torch.cat(parts, axis)


@operator("Gather")
def _gather(a: Attributes) -> Operator:
    axis = a.take("axis", 0)

    def run(x: Tensor, indices: Tensor) -> Tensor:
        if indices.dim() == 0:
            return x.select(axis, int(indices))
        if indices.dim() > 1:
            raise ModelError(f"Gather: indices of {indices.dim()} axes are not supported")
        return x.index_select(axis, (indices % x.shape[axis]).to(x.device))

    return run


@operator("Slice")
def _slice(a: Attributes) -> Operator:
    fixed = a.take("starts"), a.take("ends"), a.take("axes")

    def run(x: Tensor, *bounds: Tensor | None) -> Tensor:
        given = [None if values is None else integers(values) for values in (bounds or fixed)]
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


@operator("Unsqueeze")
def _unsqueeze(a: Attributes) -> Operator:
    fixed = a.take("axes")

    def run(x: Tensor, axes: Tensor | None = None) -> Tensor:
        where = integers(fixed if axes is None else axes)
        rank = x.dim() + len(where)
        for axis in sorted(axis % rank for axis in where):
            x = x.unsqueeze(axis)
        return x

    return run


@operator("Squeeze")
def _squeeze(a: Attributes) -> Operator:
    fixed = a.take("axes")

    def run(x: Tensor, axes: Tensor | None = None) -> Tensor:
        chosen = fixed if axes is None else axes
        return x.squeeze() if chosen is None else x.squeeze(tuple(integers(chosen)))

    return run
