"""Smaller forms of an exported model, the fastest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from qa.export.onnx_file import quiet
from qa.models.onnx_reader import import_extra

PRODUCTS = ("MatMul", "Gemm")
BLOCK = 32  # weights that share a scale


def dynamic_int8(source: Path, target: Path, keeps_narrowing: bool) -> None:
    """Write weights as int8 with a scale per output; activations get theirs batch by batch.

    Args:
        source: An fp32 file.
        target: Gets the int8 form.
        keeps_narrowing: Leave the products that narrow, from more numbers to fewer, in fp32: the
            down-projections of the feed-forward layers, whose inputs have outliers that one scale
            cannot hold, and the heads.
    """
    quantization = import_extra("onnxruntime.quantization")
    narrowing = list(narrowing_products(import_extra("onnx").load(source)))
    # The quantiser first turns a Gemm into a MatMul of another name.
    excluded = [*narrowing, *(f"{name}_MatMul" for name in narrowing)]
    with quiet():
        quantization.quantize_dynamic(
            source,
            target,
            op_types_to_quantize=list(PRODUCTS),
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
            # Weights of 7 bits: with 8, CPUs without VNNI overflow in pairs of products, and what
            # was checked on one machine would answer otherwise on another.
            reduce_range=True,
            nodes_to_exclude=excluded if keeps_narrowing else [],
        )


def weights_8_bit(source: Path, target: Path) -> None:
    """Write weights as int8 with a scale per 32; activations stay fp32."""
    module = import_extra("onnxruntime.quantization.matmul_nbits_quantizer")
    model = import_extra("onnx").load(source)
    with quiet():
        quantizer = module.MatMulNBitsQuantizer(model, bits=8, block_size=BLOCK, is_symmetric=True)
        quantizer.process()
        quantizer.model.save_model_to_file(str(target))


def narrowing_products(model: Any) -> Iterator[str]:
    """Yield the names of an ONNX model's products with a weight of more inputs than outputs."""
    shapes = {weight.name: tuple(weight.dims) for weight in model.graph.initializer}
    for node in model.graph.node:
        shape = shapes.get(node.input[1], ()) if node.op_type in PRODUCTS else ()
        if len(shape) == 2:
            is_transposed = any(each.name == "transB" and each.i for each in node.attribute)
            inputs, outputs = reversed(shape) if is_transposed else shape
            if inputs > outputs:
                yield node.name


SMALLER_FORMS: dict[str, Callable[[Path, Path], None]] = {
    "int8": partial(dynamic_int8, keeps_narrowing=False),
    "int8, narrowing products in fp32": partial(dynamic_int8, keeps_narrowing=True),
    "8-bit weights": weights_8_bit,
}
"""Each writes a form of an fp32 file; in the order in which they are tried."""
