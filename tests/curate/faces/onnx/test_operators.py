"""Operators of several opsets against onnxruntime; unsupported ones are refused by name."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession

from curate.errors import ModelError
from curate.faces.onnx.graph import OnnxGraph

RNG = np.random.default_rng(0)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def reals(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def write(path: Path, opset: int, nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], shape: tuple) -> Path:
    graph = helper.make_graph(
        nodes,
        "case",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=6), path)
    return path


IMAGE = (2, 4, 9, 7)
NONE = np.zeros(0, np.float32)

# operator, opset, shape of x, further inputs, attributes
CASES: list[tuple[str, int, tuple[int, ...], list[np.ndarray], dict[str, Any]]] = [
    ("Conv", 11, IMAGE, [floats(6, 4, 3, 3), floats(6)], {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
    ("Conv", 11, IMAGE, [floats(4, 1, 3, 3)], {"group": 4, "pads": [0, 0, 1, 1], "dilations": [2, 1]}),
    *(
        ("BatchNormalization", opset, shape, [floats(4), floats(4), floats(4), floats(4) ** 2 + 0.1], {"epsilon": 1e-3})
        for opset, shape in ((9, IMAGE), (11, (5, 4)), (15, IMAGE))
    ),
    ("PRelu", 9, IMAGE, [floats(4, 1, 1)], {}),
    ("PRelu", 11, IMAGE, [floats(1)], {}),
    ("PRelu", 11, IMAGE, [floats(7)], {}),
    ("Gemm", 11, (3, 5), [floats(6, 5), floats(6)], {"transB": 1}),
    ("Gemm", 11, (5, 3), [floats(5, 6), floats(3, 6)], {"transA": 1, "alpha": 0.5, "beta": 2.0}),
    ("Gemm", 11, (3, 5), [floats(5, 6)], {}),
    ("MatMul", 11, (3, 5), [floats(5, 6)], {}),
    ("MaxPool", 11, IMAGE, [], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1}),
    ("MaxPool", 11, IMAGE, [], {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0, 0, 1, 1]}),
    ("AveragePool", 11, IMAGE, [], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    ("AveragePool", 11, IMAGE, [], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    ("AveragePool", 11, IMAGE, [], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    ("GlobalAveragePool", 11, IMAGE, [], {}),
    ("Relu", 11, IMAGE, [], {}),
    ("Sigmoid", 11, IMAGE, [], {}),
    ("Add", 11, IMAGE, [floats(4, 1, 1)], {}),
    ("Sub", 11, IMAGE, [floats(1)], {}),
    ("Mul", 11, IMAGE, [np.float32(0.3)], {}),
    ("Div", 11, IMAGE, [floats(4, 1, 1)], {}),
    ("Clip", 6, IMAGE, [], {"min": -0.5, "max": 0.25}),
    ("Clip", 11, IMAGE, [np.float32(-0.5), np.float32(0.25)], {}),
    ("Softmax", 11, (2, 3, 4), [], {"axis": 1}),
    ("Softmax", 13, (2, 3, 4), [], {"axis": 1}),
    ("Dropout", 11, IMAGE, [], {"ratio": 0.4}),
    ("Flatten", 11, IMAGE, [], {"axis": 1}),
    ("Flatten", 11, IMAGE, [], {"axis": 3}),
    ("Reshape", 11, IMAGE, [ints(0, -1, 7)], {}),
    ("Transpose", 11, IMAGE, [], {"perm": [2, 3, 0, 1]}),
    ("Transpose", 11, (2, 3, 4), [], {}),
    ("Slice", 9, IMAGE, [], {"starts": [1, -3], "ends": [3, 100], "axes": [1, 3]}),
    ("Slice", 11, IMAGE, [ints(0, 1), ints(-1, 9), ints(2, 3), ints(1, 2)], {}),
    ("Gather", 11, IMAGE, [np.int64(-1)], {"axis": 1}),
    ("Gather", 11, IMAGE, [ints(2, 0)], {"axis": 1}),
    ("Unsqueeze", 11, (2, 3), [], {"axes": [0, 3]}),
    ("Unsqueeze", 13, (2, 3), [ints(0, 3)], {}),
    ("Squeeze", 11, (2, 1, 3, 1), [], {"axes": [1]}),
    ("Squeeze", 13, (2, 1, 3, 1), [ints(3)], {}),
    ("Pad", 9, IMAGE, [], {"pads": [0, 0, 1, 2, 0, 0, 0, 1], "value": 0.5}),
    ("Pad", 11, IMAGE, [ints(0, 0, 1, 2, 0, 0, 0, 1), np.float32(0.5)], {}),
    ("Upsample", 7, IMAGE, [], {"scales": [1.0, 1.0, 2.0, 2.0], "mode": "nearest"}),
    ("Upsample", 9, IMAGE, [reals(1, 1, 2, 3)], {}),
    ("Resize", 10, IMAGE, [reals(1, 1, 2, 2)], {}),
    ("Resize", 11, IMAGE, [NONE, reals(1, 1, 2, 2)], {}),
    ("Resize", 11, IMAGE, [NONE, NONE, ints(2, 4, 18, 14)],
     {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}),
    ("Resize", 11, IMAGE, [NONE, NONE, ints(2, 4, 13, 10)],
     {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}),
    ("Resize", 11, IMAGE, [NONE, NONE, ints(2, 4, 13, 10)], {"coordinate_transformation_mode": "half_pixel"}),
    ("Resize", 11, IMAGE, [NONE, NONE, ints(2, 4, 5, 12)],
     {"coordinate_transformation_mode": "align_corners", "nearest_mode": "round_prefer_ceil"}),
    ("Resize", 11, IMAGE, [NONE, NONE, ints(2, 4, 15, 14)], {"mode": "linear"}),
    ("Resize", 13, IMAGE, [NONE, NONE, ints(2, 4, 15, 14)],
     {"mode": "linear", "coordinate_transformation_mode": "align_corners"}),
    ("Resize", 11, IMAGE, [NONE, reals(1, 1, 2, 2)],
     {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def test_operator_agrees_with_onnxruntime(tmp_path: Path, case: tuple) -> None:
    operator, opset, shape, inputs, attributes = case
    constants = {f"c{index}": np.asarray(value) for index, value in enumerate(inputs)}
    node = helper.make_node(operator, ["x", *constants], ["y"], **attributes)
    path = write(tmp_path / "case.onnx", opset, [node], constants, shape)
    x = floats(*shape)
    (expected,) = InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x})
    (result,) = OnnxGraph(path)(torch.from_numpy(x))
    assert result.shape == expected.shape
    np.testing.assert_allclose(result.numpy(), expected, atol=1e-5)


def test_sizes_are_computed_on_the_host(tmp_path: Path) -> None:
    """Doubling the size with Shape, Gather, Mul, Unsqueeze and Concat, as in a dynamic export."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Slice", ["shape", "zero", "two"], ["head"]),
        helper.make_node("Gather", ["shape", "axis"], ["height"]),
        helper.make_node("Unsqueeze", ["height"], ["height1"], axes=[0]),
        helper.make_node("Add", ["one", "one"], ["factor"]),
        helper.make_node("Mul", ["height1", "factor"], ["tall"]),
        helper.make_node("Cast", ["tall"], ["tall64"], to=7),
        helper.make_node("Concat", ["head", "tall64", "eight"], ["sizes"], axis=0),
        helper.make_node("Resize", ["x", "roi", "roi", "sizes"], ["y"]),
    ]
    constants = {"zero": ints(0), "two": ints(2), "one": ints(1), "eight": ints(8), "roi": NONE, "axis": np.int64(2)}
    path = write(tmp_path / "case.onnx", 11, nodes, constants, (1, 2, "h", "w"))
    graph = OnnxGraph(path)
    assert graph.input_shape == (1, 2, None, None)
    assert graph(torch.zeros(3, 2, 5, 6))[0].shape == (3, 2, 10, 8)
    assert not list(graph.parameters())
    on_meta = torch.zeros(3, 2, 5, 6, device="meta", dtype=torch.half)  # without values on the device
    assert graph.to("meta")(on_meta)[0].shape == (3, 2, 10, 8)


@pytest.mark.parametrize("transposed", [0, 1])
def test_normalisation_is_folded_into_a_layer_that_only_it_reads(tmp_path: Path, transposed: int) -> None:
    norm = {f"n{index}": np.abs(floats(6)) + 0.1 for index in range(4)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], kernel_shape=[3, 3]),
        helper.make_node("BatchNormalization", ["a", *norm], ["b"]),
        helper.make_node("GlobalAveragePool", ["b"], ["c"]),
        helper.make_node("Flatten", ["c"], ["d"]),
        helper.make_node("Gemm", ["d", "v", "u"], ["e"], transB=transposed),
        helper.make_node("BatchNormalization", ["e", *norm], ["f"]),
        helper.make_node("BatchNormalization", ["f", *norm], ["g"]),
        helper.make_node("Add", ["f", "g"], ["y"]),
    ]
    constants = {"w": floats(6, 4, 3, 3), "v": floats(6, 6), "u": floats(6), **norm}
    path = write(tmp_path / "case.onnx", 11, nodes, constants, IMAGE)
    x = floats(*IMAGE)
    (expected,) = InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x})
    graph = OnnxGraph(path)
    np.testing.assert_allclose(graph(torch.from_numpy(x))[0].numpy(), expected, atol=1e-4)
    assert len(graph) == len(nodes) - 2  # the output of the second is read twice, so the third remains


def test_a_reshape_exported_at_batch_1_keeps_the_batch(tmp_path: Path) -> None:
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    path = write(tmp_path / "case.onnx", 11, [node], {"shape": ints(1, -1)}, (1, 4, 2, 2))
    x = torch.randn(3, 4, 2, 2)
    assert torch.equal(OnnxGraph(path)(x)[0], x.flatten(1))


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (helper.make_node("Erf", ["x"], ["y"], name="odd_one"), "node odd_one: Erf is not supported"),
        (helper.make_node("Resize", ["x", "", "s"], ["y"], mode="cubic"), "mode=cubic"),
        (helper.make_node("Conv", ["x", "s"], ["y"], auto_pad="SAME_UPPER"), "auto_pad=SAME_UPPER"),
        (helper.make_node("Relu", ["x"], ["y"], slope=0.1), "attribute slope"),
        (helper.make_node("Relu", ["x"], ["y"], domain="com.microsoft"), "com.microsoft.Relu is not supported"),
    ],
)
def test_an_unsupported_feature_is_refused_when_the_file_is_read(
    tmp_path: Path, node: onnx.NodeProto, message: str
) -> None:
    path = write(tmp_path / "case.onnx", 11, [node], {"s": reals(1, 1, 2, 2)}, IMAGE)
    with pytest.raises(ModelError) as error:
        OnnxGraph(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(("content", "message"), [(b"<html>404</html>", "cannot be read as ONNX"), (b"", "no network")])
def test_a_file_without_a_network_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        OnnxGraph(path)
    with pytest.raises(ModelError, match="no such file"):
        OnnxGraph(tmp_path / "absent.onnx")


def test_a_damaged_tensor_or_one_in_another_file_is_a_model_error(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "w")
    cut, external = copy.deepcopy(weight), copy.deepcopy(weight)
    cut.raw_data = cut.raw_data[:-4]
    external.ClearField("raw_data")
    external.data_location = onnx.TensorProto.EXTERNAL
    external.external_data.add(key="location", value="/etc/passwd")
    for name, tensor in (("cut", cut), ("external", external)):
        nodes = [helper.make_node("Conv", ["x", "w"], ["y"])]
        info = helper.make_tensor_value_info
        graph = helper.make_graph(nodes, "g", [info("x", 1, [1, 3, 9, 9])], [info("y", 1, None)], [tensor])
        (tmp_path / name).write_bytes(helper.make_model(graph).SerializeToString())
        with pytest.raises(ModelError, match="damaged, or of an unsupported form"):
            OnnxGraph(tmp_path / name)
