"""Quantized operators: `QLinearConv`, `QLinearMatMul`, and those that ONNX Runtime contributes."""

import numpy as np

from . import encoding
from .encoding import Encoding
from .ir import MICROSOFT, Node


def rewrite(quantizer, node: Node) -> bool:
    """Puts a quantized operator in the place of a float one, if there is one that can do the same."""
    form = _FORMS.get(node.op)
    return bool(form and form(quantizer, node))


def _names(quantizer, held: Encoding) -> list[str]:
    """Scale and zero point as inputs; both are always given."""
    graph = quantizer.graph
    scale, zero_point = held.scale, held.zero_point
    if zero_point.shape != scale.shape:
        zero_point = np.full(scale.shape, zero_point.reshape(-1)[0])
    return [graph.initializer(scale, "scale"), graph.initializer(zero_point, "zero")]


def _operand(quantizer, name: str, kind: str) -> list[str]:
    """A tensor that depends on the image, with scale and zero point."""
    held = quantizer.as_whole(name, single=True, kind=kind)
    return [held] + _names(quantizer, quantizer.whole[name][1])


def _constant(quantizer, name: str, held: Encoding) -> list[str]:
    return [quantizer.graph.initializer(held.store(quantizer.values[name]), "stored")] + _names(quantizer, held)


def _finish(quantizer, node: Node, op: str, inputs: list[str], result: Encoding, domain: str, **attributes) -> bool:
    graph = quantizer.graph
    found = graph.fresh("whole")
    kept = {key: value for key, value in attributes.items() if value is not None}
    graph.nodes.append(Node(op, inputs, [found], kept, domain, f"node_{found}"))
    graph.shapes[found] = quantizer.source.shape(node.outputs[0])
    quantizer.whole[node.outputs[0]] = (found, result)
    return True


def _kind(quantizer) -> str:
    return quantizer.graph.rng.choice(quantizer.kinds)


def _weight_kind(quantizer, kind: str) -> str:
    return "s8" if kind == "s8" else quantizer.graph.rng.choice(quantizer.weight_kinds)


def _bias(quantizer, name: str, x: Encoding, weight: Encoding, factor: float = 1.0) -> str:
    scale = x.scale.astype(np.float64).reshape(()) * weight.scale * factor
    return quantizer.graph.initializer(np.round(quantizer.values[name] / scale).astype(np.int32), "bias")


def _convolution(quantizer, node: Node) -> bool:
    if node.inputs[1] not in quantizer.known:
        return False
    kind = _kind(quantizer)
    operand = _operand(quantizer, node.inputs[0], kind)
    array = quantizer.values[node.inputs[1]]
    weight = encoding.operator_weight(quantizer.graph, array, 0, _weight_kind(quantizer, kind))
    result = quantizer.encoding(node.outputs[0], single=True, kind=kind)
    inputs = operand + _constant(quantizer, node.inputs[1], weight) + _names(quantizer, result)
    if len(node.inputs) > 2:
        inputs.append(_bias(quantizer, node.inputs[2], quantizer.whole[node.inputs[0]][1], weight))
    return _finish(quantizer, node, "QLinearConv", inputs, result, "", **node.attributes)


def _matmul(quantizer, node: Node) -> bool:
    if node.inputs[1] not in quantizer.known:
        return False
    kind = _kind(quantizer)
    operand = _operand(quantizer, node.inputs[0], kind)
    array = quantizer.values[node.inputs[1]]
    weight = encoding.operator_weight(quantizer.graph, array, 1, _weight_kind(quantizer, kind))
    result = quantizer.encoding(node.outputs[0], single=True, kind=kind)
    inputs = operand + _constant(quantizer, node.inputs[1], weight) + _names(quantizer, result)
    return _finish(quantizer, node, "QLinearMatMul", inputs, result, "")


def _gemm(quantizer, node: Node) -> bool:
    graph = quantizer.graph
    attributes = dict(node.attributes)
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if node.inputs[1] not in quantizer.known or attributes.pop("beta", 1.0) != 1.0:
        return False
    if bias and quantizer.values[bias].shape != quantizer.values[node.outputs[0]].shape[1:]:
        return False
    kind = _kind(quantizer)
    operand = _operand(quantizer, node.inputs[0], kind)
    array = quantizer.values[node.inputs[1]]
    axis = 0 if attributes.get("transB") else 1
    weight = encoding.operator_weight(graph, array, axis, _weight_kind(quantizer, kind))
    inputs = operand + _constant(quantizer, node.inputs[1], weight)
    factor = attributes.get("alpha", 1.0)
    inputs.append(_bias(quantizer, bias, quantizer.whole[node.inputs[0]][1], weight, factor) if bias else "")
    if graph.chance(0.25):
        # Without a scale of its result it gives f32.
        while not inputs[-1]:
            inputs.pop()
        name = node.outputs[0]
        graph.nodes.append(Node("QGemm", inputs, [name], attributes, MICROSOFT, f"node_{name}"))
        quantizer.float[name] = name
        return True
    result = quantizer.encoding(node.outputs[0], single=True, kind=kind)
    return _finish(quantizer, node, "QGemm", inputs + _names(quantizer, result), result, MICROSOFT, **attributes)


def _arithmetic(quantizer, node: Node) -> bool:
    kind = _kind(quantizer)
    inputs = []
    for name in node.inputs:
        if name in quantizer.known:
            array = quantizer.values[name]
            inputs += _constant(quantizer, name, encoding.activation(quantizer.graph, array.min(), array.max(), kind))
        else:
            inputs += _operand(quantizer, name, kind)
    result = quantizer.encoding(node.outputs[0], single=True, kind=kind)
    return _finish(quantizer, node, f"QLinear{node.op}", inputs + _names(quantizer, result), result, MICROSOFT)


def _concat(quantizer, node: Node) -> bool:
    kind = _kind(quantizer)
    result = quantizer.encoding(node.outputs[0], single=True, kind=kind)
    inputs = _names(quantizer, result)
    for name in node.inputs:
        inputs += _operand(quantizer, name, kind)
    return _finish(quantizer, node, "QLinearConcat", inputs, result, MICROSOFT, **node.attributes)


def _unary(quantizer, node: Node) -> bool:
    kind = _kind(quantizer)
    attributes = dict(node.attributes)
    if attributes.pop("dilations", [1, 1]) != [1, 1]:
        return False
    if "Pool" in node.op:
        attributes["channels_last"] = 0
    result = quantizer.encoding(node.outputs[0], single=True, kind=kind)
    inputs = _operand(quantizer, node.inputs[0], kind) + _names(quantizer, result)
    return _finish(quantizer, node, f"QLinear{node.op}", inputs, result, MICROSOFT, **attributes)


def _softmax(quantizer, node: Node) -> bool:
    """What ONNX Runtime's quantizer makes of a `Softmax`; it takes the version for an attribute."""
    rank, opset = len(quantizer.source.shape(node.inputs[0])), quantizer.graph.opset
    axis = node.attributes.get("axis", -1 if opset >= 13 else 1)
    if opset < 13 and rank != 2 and axis not in (-1, rank - 1):
        return False
    kind = _kind(quantizer)
    result = Encoding(np.float32(1 / 256), np.array(0 if kind == "u8" else -128, "u1" if kind == "u8" else "i1"))
    inputs = _operand(quantizer, node.inputs[0], kind) + _names(quantizer, result)
    return _finish(quantizer, node, "QLinearSoftmax", inputs, result, MICROSOFT, axis=axis, opset=opset)


_FORMS = {
    "Conv": _convolution,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Add": _arithmetic,
    "Mul": _arithmetic,
    "Concat": _concat,
    "AveragePool": _unary,
    "GlobalAveragePool": _unary,
    "Sigmoid": _unary,
    "LeakyRelu": _unary,
    "Softmax": _softmax,
}
