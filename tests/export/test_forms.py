"""Smaller forms of a graph made by hand, with products that widen and that narrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qa.export.forms import SMALLER_FORMS, narrowing_products

onnx: Any = pytest.importorskip("onnx", reason="needs qa[export]")
onnxruntime: Any = pytest.importorskip("onnxruntime", reason="needs qa[export]")

WIDTHS = (64, 96, 64, 32, 64)
NARROWING = ["down", "head"]
ALL = ["up", "down", "head", "wide"]


@pytest.fixture
def weights() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    shapes = zip(WIDTHS, WIDTHS[1:], strict=False)
    return [random.normal(size=shape).astype(np.float32) / 8 for shape in shapes]


@pytest.fixture
def file(tmp_path: Path, weights: list[np.ndarray]) -> Path:
    """Input -> up -> down -> head -> wide, of which "head" is a Gemm with its weight transposed."""
    helper = onnx.helper
    nodes, tensors, before = [], [], "x"
    for name, weight in zip(ALL, weights, strict=True):
        is_gemm = name == "head"
        tensors.append(
            onnx.numpy_helper.from_array(weight.T.copy() if is_gemm else weight, name[0])
        )
        options = {"transB": 1} if is_gemm else {}
        kind = "Gemm" if is_gemm else "MatMul"
        nodes.append(helper.make_node(kind, [before, name[0]], [f"{name}-out"], name, **options))
        before = f"{name}-out"
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [value("x", 1, ["n", WIDTHS[0]])],
        [value(before, 1, ["n", WIDTHS[-1]])],
        tensors,
    )
    path = tmp_path / "fp32.onnx"
    opset = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    return path


def test_products_that_narrow_are_found_in_both_notations(file: Path) -> None:
    assert list(narrowing_products(onnx.load(file))) == NARROWING


@pytest.mark.parametrize(
    ("form", "kept"),
    [("int8", []), ("int8, narrowing products in fp32", NARROWING), ("8-bit weights", ["head"])],
)
def test_a_form_computes_the_same_with_the_weights_that_it_keeps(
    form: str, kept: list[str], file: Path, weights: list[np.ndarray]
) -> None:
    """8-bit weights are of MatMul only, which is what the exporter makes of all large products."""
    target = file.with_name("small.onnx")
    SMALLER_FORMS[form](file, target)
    left = {  # a Gemm becomes a MatMul
        node.name.removesuffix("_MatMul")
        for node in onnx.load(target).graph.node
        if node.op_type in ("MatMul", "Gemm")
    }
    assert left == set(kept)
    x = np.random.default_rng(1).normal(size=(5, WIDTHS[0])).astype(np.float32)
    expected = x @ weights[0] @ weights[1] @ weights[2] @ weights[3]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    (actual,) = onnxruntime.InferenceSession(str(target), options).run(None, {"x": x})
    error = np.abs(actual - expected).max() / np.abs(expected).max()
    assert 0 < error < 0.05
    if form != "8-bit weights":
        assert target.stat().st_size < file.stat().st_size
