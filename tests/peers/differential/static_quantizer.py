"""Files as ONNX Runtime's own `quantize_static` makes them."""

import logging
import pathlib
import random
import tempfile

import numpy as np
import onnx
from onnxruntime import quantization as q

from . import oracle
from .ir import INPUT


class _Reader(q.CalibrationDataReader):
    def __init__(self, x: np.ndarray):
        numbers = np.random.default_rng(1)
        self.inputs = iter(
            [{INPUT: (x * s + numbers.normal(0, 0.1, x.shape)).astype(np.float32)} for s in (1, -0.7, 1.1)]
        )

    def get_next(self):
        return next(self.inputs, None)


def quantize(model: onnx.ModelProto, x: np.ndarray, rng: random.Random) -> onnx.ModelProto:
    """The float model quantized, with some nodes left out now and then."""
    logging.disable(logging.WARNING)
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"node{index}"
    names = [
        node.name
        for node in model.graph.node
        if node.op_type in ("Conv", "Gemm", "MatMul", "Concat", "Relu", "AveragePool")
    ]
    options = {
        "quant_format": rng.choice([q.QuantFormat.QDQ, q.QuantFormat.QDQ, q.QuantFormat.QOperator]),
        "activation_type": rng.choice([q.QuantType.QUInt8, q.QuantType.QInt8]),
        "weight_type": q.QuantType.QInt8,
        # Else ONNX Runtime's own sums of QLinearConv may saturate; see `encoding.operator_weight`.
        "reduce_range": True,
        "per_channel": rng.random() < 0.5,
        "nodes_to_exclude": rng.sample(names, min(len(names), rng.choice([0, 0, 1, 3]))),
        "op_types_to_quantize": rng.choice([None, None, ["Conv"], ["Conv", "Gemm", "MatMul"]]),
    }
    if options["quant_format"] == q.QuantFormat.QOperator and options["activation_type"] == q.QuantType.QUInt8:
        options["weight_type"] = rng.choice([q.QuantType.QInt8, q.QuantType.QUInt8])
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        onnx.save(model, path / "float.onnx")
        try:
            q.quantize_static(path / "float.onnx", path / "quantized.onnx", _Reader(x), **options)
            return onnx.load(path / "quantized.onnx")
        except Exception as error:
            raise oracle.Refused(f"quantize_static: {error}") from None
