"""The supported ONNX operators, and `build`, which turns a node into a torch function.

Supported is what convolutional face networks are exported to. An unknown operator or attribute is a ModelError when the
file is read. Semantics: https://onnx.ai/onnx/operators, opsets 7 to 22; where they differ, the file's opset decides.
To add an operator, register a builder with `registry.operator` in one of the modules imported here.
"""

from typing import Any

from curate.errors import ModelError
from curate.faces.onnx import elementwise, layers, resize, shapes  # noqa: F401  (they register their operators)
from curate.faces.onnx.registry import BUILDERS, Attributes, Operator

HOST_INPUTS: dict[str, tuple[int, ...]] = {
    "Reshape": (1,), "Resize": (1, 2, 3), "Upsample": (1,), "Slice": (1, 2, 3, 4), "Unsqueeze": (1,), "Squeeze": (1,),
    "Clip": (1, 2), "Gather": (1,), "Dropout": (1, 2), "Pad": (1, 2),
}  # fmt: skip
"""Positions of inputs that are sizes, axes or bounds; they stay on the CPU, so that reading them does not wait for the
device."""


def build(operator: str, opset: int, values: dict[str, Any]) -> Operator:
    """Build the function of a node's input tensors, None for an omitted one.

    Args:
        operator: name of the ONNX operator.
        opset: version of the operator set.
        values: the node's attributes.

    Raises:
        ModelError: the operator or an attribute is not supported.
    """
    if operator not in BUILDERS:
        raise ModelError(f"{operator} is not supported; supported: {', '.join(sorted(BUILDERS))}")
    attributes = Attributes(operator, opset, values)
    run = BUILDERS[operator](attributes)
    attributes.finish()
    return run
