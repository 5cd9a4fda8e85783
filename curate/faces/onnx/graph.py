"""An ONNX file as a torch module: batched, on any device, differentiable with respect to the input.

The file is compiled once into a list of torch calls in its order. Values that do not depend on the input are computed
at that time, a normalisation after a convolution or linear layer is folded into it, and unused values are dropped.
Parameters are frozen (`requires_grad` False). `.to(device)`, `.half()` and `.to(memory_format=torch.channels_last)`
work as for any module.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper
from torch import Tensor, nn

from curate.errors import ModelError
from curate.faces.onnx.operators import HOST_INPUTS, build
from curate.faces.onnx.registry import Operator
from manifests.input import readable

_LAYOUT = ("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity")
_POINTWISE = ("Sigmoid",)
_BATCH = "#batch"  # cannot collide: names of ONNX values are identifiers


@dataclass(frozen=True)
class _Node:
    operator: str
    name: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Step:
    run: Operator
    inputs: tuple[str, ...]
    output: str
    last_reads: tuple[str, ...]  # values that no later step reads


class OnnxGraph(nn.Module):
    """The network in `path`. `forward`: float (N, C, H, W) -> a tuple with each output of the file, in its order.

    A file exported at batch 1 runs at any N; its spatial sizes may be fixed. An output that the file flattens to
    (-1, 4) interleaves photos and positions in an order that the file does not determine. With `maps=True`, the
    transpositions and reshapes before the file's outputs are omitted (a sigmoid among them is kept), so that each
    output is the (N, channels, h, w) map from which it was computed.

    Attributes:
        input_shape: as the file declares it, None for a free axis.
        output_names: the file's.

    Raises:
        ModelError: the file is missing, not ONNX, or uses an unsupported operator, attribute or domain.
    """

    def __init__(self, path: Path, *, maps: bool = False) -> None:
        super().__init__()
        self.path = path
        model = _load(path)
        with _damage_is_an_error(path):
            self._read(model, maps)

    def _read(self, model: onnx.ModelProto, maps: bool) -> None:
        path, graph = self.path, model.graph
        constants = {tensor.name: _tensor(tensor) for tensor in graph.initializer}
        inputs = [value for value in graph.input if value.name not in constants]
        if len(inputs) != 1:
            raise ModelError(f"{path}: {len(inputs)} inputs, expected one image")
        self.input_name: str = inputs[0].name
        self.input_shape = tuple(
            axis.dim_value if axis.HasField("dim_value") and axis.dim_value > 0 else None
            for axis in inputs[0].type.tensor_type.shape.dim
        )
        self.output_names: tuple[str, ...] = tuple(value.name for value in graph.output)
        opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)

        nodes = list(_nodes(path, graph))
        self._results = self.output_names
        if maps:
            nodes, self._results = _before_layout(nodes, self._results)
        nodes = _needed(nodes, self._results)
        steps = self._compile(nodes, constants, opset)
        self._steps = tuple(_with_lifetimes(steps, self._results))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        values: dict[str, Any] = dict(self._host)
        values[self.input_name], values[_BATCH], values[""] = x, x.shape[0], None
        for name, parameter in self._parameter_names.items():
            values[name] = getattr(self, parameter)
        for step in self._steps:
            values[step.output] = step.run(*(values[name] for name in step.inputs))
            for name in step.last_reads:
                del values[name]
        return tuple(values[name] for name in self._results)

    def __len__(self) -> int:
        """Number of operators after folding."""
        return len(self._steps)

    def _compile(self, nodes: list[_Node], constants: dict[str, Tensor], opset: int) -> list[_Step]:
        """Nodes in order -> steps; constants become frozen parameters, or stay on the host if they are sizes."""
        self._parameter_names: dict[str, str] = {}
        self._host: dict[str, Any] = {}
        host: set[str] = set()  # values computed from shapes alone, which stay on the CPU
        steps: list[_Step] = []
        nodes = _evaluate_constants(self.path, nodes, constants, opset)
        for node in _fold_normalisations(nodes, constants, self._results):
            run = _build(self.path, node, opset)
            from_input = [name for name in node.inputs if name and name not in constants]
            on_host = node.operator == "Shape" or (bool(from_input) and host.issuperset(from_input))
            names = []
            for position, name in enumerate(node.inputs):
                if name in constants and (on_host or position in HOST_INPUTS.get(node.operator, ())):
                    self._host["host:" + name] = constants[name]
                    names.append("host:" + name)
                elif name in constants:
                    self._add_parameter(name, constants[name])
                    names.append(name)
                else:
                    names.append(name)
            if node.operator == "Reshape" and not on_host:
                names += [""] * (2 - len(names)) + [_BATCH]
            if on_host:
                host.add(node.output)
            steps.append(_Step(run, tuple(names), node.output, ()))
        for name in self._results:
            if name in constants:
                raise ModelError(f"{self.path}: output {name} does not depend on the input")
        return steps

    def _add_parameter(self, name: str, value: Tensor) -> None:
        if name not in self._parameter_names:
            self._parameter_names[name] = f"constant_{len(self._parameter_names)}"
            value = value.float() if value.is_floating_point() else value
            self.register_parameter(self._parameter_names[name], nn.Parameter(value, requires_grad=False))


@contextmanager
def _damage_is_an_error(path: Path) -> Iterator[None]:
    """Context manager: convert what torch and onnx raise on a damaged file to a ModelError."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        raise ModelError(
            f"{path}: damaged, or of an unsupported form ({type(error).__name__}: {reason}); fetch the file again"
        ) from error


def _load(path: Path) -> onnx.ModelProto:
    if not path.exists():
        raise ModelError(f"{path}: no such file")
    try:
        with readable(path, ModelError):
            # Weights in files beside it are not read: their names are text of the file.
            model = onnx.load(path, load_external_data=False)
    except (DecodeError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read as ONNX ({error}); fetch the file again") from error
    if not model.graph.node:
        raise ModelError(f"{path}: contains no network; fetch the file again")
    return model


def _tensor(proto: onnx.TensorProto) -> Tensor:
    return torch.from_numpy(numpy_helper.to_array(proto).copy())


def _nodes(path: Path, graph: onnx.GraphProto) -> Iterator[_Node]:
    for proto in graph.node:
        name = proto.name or proto.output[0]
        if proto.domain not in ("", "ai.onnx"):
            raise ModelError(f"{path}: node {name}: {proto.domain}.{proto.op_type} is not supported")
        attributes: dict[str, Any] = {}
        for entry in proto.attribute:
            value = onnx.helper.get_attribute_value(entry)
            attributes[entry.name] = value.decode() if isinstance(value, bytes) else value
        yield _Node(proto.op_type, name, tuple(proto.input), proto.output[0], attributes)


def _build(path: Path, node: _Node, opset: int) -> Operator:
    try:
        return build(node.operator, opset, node.attributes)
    except ModelError as error:
        raise ModelError(f"{path}: node {node.name}: {error}") from None


def _before_layout(nodes: list[_Node], outputs: tuple[str, ...]) -> tuple[list[_Node], tuple[str, ...]]:
    """Replace the outputs by the values before their final layout operators; pointwise operators move before those."""
    producers = {node.output: node for node in nodes}
    added, results = [], []
    for output in outputs:
        name, pointwise = output, []
        while name in producers and producers[name].operator in _LAYOUT + _POINTWISE:
            if producers[name].operator in _POINTWISE:
                pointwise.append(producers[name])
            name = producers[name].inputs[0]
        for position, node in enumerate(reversed(pointwise)):
            moved = f"{output}#map{position}"
            added.append(replace(node, inputs=(name,), output=moved))
            name = moved
        results.append(name)
    return nodes + added, tuple(results)


def _needed(nodes: list[_Node], outputs: tuple[str, ...]) -> list[_Node]:
    """The nodes that the outputs depend on, in order."""
    required = set(outputs)
    kept = []
    for node in reversed(nodes):
        if node.output in required:
            required.update(node.inputs)
            kept.append(node)
    return kept[::-1]


def _evaluate_constants(path: Path, nodes: list[_Node], constants: dict[str, Tensor], opset: int) -> list[_Node]:
    """Add values that do not depend on the input to `constants`; return the other nodes."""
    rest = []
    for node in nodes:
        if node.operator == "Constant":
            constants[node.output] = _constant(path, node)
        elif node.inputs and all(name in constants or not name for name in node.inputs):
            run = _build(path, node, opset)
            constants[node.output] = run(*(constants.get(name) for name in node.inputs))
        else:
            rest.append(node)
    return rest


def _constant(path: Path, node: _Node) -> Tensor:
    (kind, value), *_ = node.attributes.items()
    if kind == "value":
        return _tensor(value)
    if kind in ("value_int", "value_ints"):
        return torch.tensor(value, dtype=torch.int64)
    if kind in ("value_float", "value_floats"):
        return torch.tensor(value, dtype=torch.float32)
    raise ModelError(f"{path}: node {node.name}: a Constant of kind {kind} is not supported")


def _fold_normalisations(nodes: list[_Node], constants: dict[str, Tensor], outputs: tuple[str, ...]) -> list[_Node]:
    """Fold a BatchNormalization into the Conv or Gemm that only it reads; the new weights are added to `constants`.

    y = s (W x + b - mean) + shift with s = scale / sqrt(variance + eps), so W' = s W and b' = s (b - mean) + shift.
    """
    readers = Counter(name for node in nodes for name in node.inputs) + Counter(outputs)
    position = {node.output: index for index, node in enumerate(nodes)}
    folded: list[_Node | None] = list(nodes)
    for index, node in enumerate(nodes):
        before = folded[position[node.inputs[0]]] if node.inputs and node.inputs[0] in position else None
        if (
            node.operator != "BatchNormalization"
            or before is None
            or before.operator not in ("Conv", "Gemm")
            or readers[node.inputs[0]] > 1
            or not constants.keys() >= {*filter(None, before.inputs[1:]), *node.inputs[1:]}
            or any(before.attributes.get(name, 1.0) != 1.0 for name in ("alpha", "beta"))
        ):
            continue
        weight = constants[before.inputs[1]].double()
        bias = constants[before.inputs[2]].double() if len(before.inputs) > 2 and before.inputs[2] else None
        scale, shift, mean, variance = (constants[name].double() for name in node.inputs[1:])
        factor = scale / torch.sqrt(variance + node.attributes.get("epsilon", 1e-5))
        across = before.operator == "Gemm" and not before.attributes.get("transB", 0)
        weight = weight * (factor if across else factor.view(-1, *[1] * (weight.dim() - 1)))
        shift = (factor * (-mean if bias is None else bias - mean)) + shift
        names = f"{node.output}#weight", f"{node.output}#bias"
        constants.update(zip(names, (weight.float(), shift.float()), strict=True))
        folded[index] = replace(before, inputs=(before.inputs[0], *names), output=node.output)
        folded[position[before.output]] = None
    return [node for node in folded if node is not None]


def _with_lifetimes(steps: list[_Step], outputs: tuple[str, ...]) -> Iterator[_Step]:
    """Set `last_reads` of each step."""
    last = {name: index for index, step in enumerate(steps) for name in step.inputs}
    computed = {step.output for step in steps}
    for index, step in enumerate(steps):
        last_reads = {name for name in step.inputs if last[name] == index and name in computed and name not in outputs}
        yield replace(step, last_reads=tuple(sorted(last_reads)))
