"""The table of ONNX operators: name -> function that turns a node's attributes into a torch function."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from curate.errors import ModelError

Operator = Callable[..., Tensor]
Builder = Callable[["Attributes"], Operator]

BUILDERS: dict[str, Builder] = {}


class Attributes:
    """The attributes of one node. `take` removes an attribute; `finish` refuses those that remain."""

    def __init__(self, operator: str, opset: int, values: dict[str, Any]) -> None:
        self.operator = operator
        self.opset = opset
        self._values = dict(values)

    def take(self, name: str, default: Any = None) -> Any:
        """Remove and return an attribute, `default` if the node does not have it."""
        return self._values.pop(name, default)

    def unsupported(self, feature: str) -> ModelError:
        """The error for a feature of this operator that is not supported."""
        return ModelError(f"{self.operator} (opset {self.opset}): {feature} is not supported")

    def padding(self) -> tuple[int, int, int, int]:
        """Explicit (top, left, bottom, right) padding in px."""
        if (auto := self.take("auto_pad", "NOTSET")) not in ("NOTSET", "VALID"):
            raise self.unsupported(f"auto_pad={auto}")
        pads = tuple(self.take("pads", (0, 0, 0, 0)))
        if len(pads) != 4:
            raise self.unsupported(f"pads={list(pads)} (not two spatial axes)")
        return pads

    def finish(self) -> None:
        """Raise ModelError if an attribute was not taken."""
        if self._values:
            raise self.unsupported("attribute " + ", ".join(sorted(self._values)))


def operator(name: str) -> Callable[[Builder], Builder]:
    """Register a builder under the name of its ONNX operator. Raises ValueError for a name that is taken."""

    def register(builder: Builder) -> Builder:
        if name in BUILDERS:
            raise ValueError(f"ONNX operator {name!r} is registered twice")
        BUILDERS[name] = builder
        return builder

    return register


def integers(values: Tensor | Sequence[int]) -> list[int]:
    """Sizes or axes as Python integers."""
    return [int(value) for value in values]
