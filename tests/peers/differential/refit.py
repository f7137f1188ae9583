"""Constants cut to fit a graph whose image or channels became fewer."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from . import oracle
from .ir import INPUT


class Unfit(Exception):
    """The constants cannot be cut to fit."""


#: For operators with weights: which inputs, and whether the input's channels stand on the second axis of the weights.
_WEIGHTS = {"Conv": 1, "Gemm": 1, "MatMul": 1, "QLinearConv": 3, "QLinearMatMul": 3, "QGemm": 3}
_CHANNELWISE = {"BatchNormalization": (1, 2, 3, 4), "InstanceNormalization": (1, 2)}


class Refitter:
    """Walks a model, evaluates node by node, and cuts the constants of each to what reaches it."""

    def __init__(self, model: onnx.ModelProto, x: np.ndarray):
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self.x = x
        self.constants = {t.name: numpy_helper.to_array(t) for t in self.model.graph.initializer}
        self.producers = {name: node for node in self.model.graph.node for name in node.output}
        self.changed: set[str] = set()

    def run(self) -> onnx.ModelProto:
        """The model with fitting constants; raises `Unfit`."""
        values = dict(self.constants) | {INPUT: self.x}
        for node in self.model.graph.node:
            if any(name and name not in values for name in node.input):
                raise Unfit(node.op_type)
            if any(name not in self.constants for name in node.input):
                self._fit(node, values)
            inputs = {name: self.constants.get(name, values[name]) for name in node.input if name}
            values.update(zip(node.output, evaluate(node, inputs, self.model)))
        tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in self.constants.items()]
        graph = self.model.graph
        del graph.initializer[:], graph.value_info[:], graph.input[:]
        graph.initializer.extend(tensors)
        graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, self.x.shape))
        output = values[graph.output[0].name]
        graph.output[0].CopyFrom(helper.make_tensor_value_info(graph.output[0].name, TensorProto.FLOAT, output.shape))
        return self.model

    def fewer_outputs(self, name: str, count: int):
        """Lets the convolution or linear layer that writes `name` have `count` outputs."""
        node = self.producers[name]
        at = _WEIGHTS[node.op_type]
        first = node.op_type.endswith("Conv") or attribute(node, "transB", 0)
        old = self._trim(node.input[at], 0 if first else 1, count)
        quantized = at == 3
        if quantized:
            for index in (4, 5):
                if self.constants[node.input[index]].size > 1:
                    self._trim(node.input[index], 0, count)
        bias = {"Conv": 2, "Gemm": 2, "QLinearConv": 8, "QGemm": 6}.get(node.op_type)
        if bias and len(node.input) > bias and node.input[bias]:
            shape = self._shape(node.input[bias])
            if shape and shape[-1] == old:
                self._trim(node.input[bias], len(shape) - 1, count)

    def _shape(self, name: str):
        if name in self.constants:
            return self.constants[name].shape
        node = self.producers.get(name)
        if node is None or node.op_type not in ("DequantizeLinear", "QuantizeLinear", "Identity"):
            raise Unfit(name)
        return self._shape(node.input[0])

    def _fit(self, node, values):
        known = [index for index, name in enumerate(node.input) if name in self.constants or self._constant(name)]
        shape = values[node.input[0]].shape if node.input[0] in values else ()
        if node.op_type in _WEIGHTS:
            at = _WEIGHTS[node.op_type]
            second = node.op_type.endswith("Conv") or attribute(node, "transB", 0)
            if at in known and not attribute(node, "group", 1) > 1:
                self._trim(node.input[at], 1 if second else 0, shape[1])
        elif node.op_type in _CHANNELWISE:
            for index in _CHANNELWISE[node.op_type]:
                self._trim(node.input[index], 0, shape[1])
        elif node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            self._fit_scales(node, shape)
        elif node.op_type in ("Add", "Sub", "Mul", "Div", "PRelu") and len(known) == 1:
            other = values[node.input[1 - known[0]]].shape
            own = self._shape(node.input[known[0]])
            for back in range(1, min(len(own), len(other)) + 1):
                if own[-back] not in (1, other[-back]) and other[-back] != 1:
                    self._trim(node.input[known[0]], len(own) - back, other[-back])

    def _constant(self, name: str) -> bool:
        try:
            self._shape(name)
            return True
        except Unfit:
            return False

    def _fit_scales(self, node, shape):
        axis = attribute(node, "axis", 1) % max(len(shape), 1)
        for name in node.input[1:3]:
            if (
                name
                and self.constants.get(name) is not None
                and self.constants[name].ndim == 1
                and self.constants[name].size > 1
            ):
                self._trim(name, 0, shape[axis])

    def _trim(self, name: str, axis: int, count: int) -> int:
        """Cuts a constant's axis, gives its old extent."""
        if name in self.constants:
            array = self.constants[name]
            old = array.shape[axis]
            if old < count:
                raise Unfit(name)
            self.constants[name] = np.take(array, range(count), axis)
            return old
        node = self.producers.get(name)
        if node is None:
            raise Unfit(name)
        if node.op_type in ("DequantizeLinear", "QuantizeLinear"):
            shape = self._shape(node.input[0])
            if attribute(node, "block_size", 0):
                raise Unfit(name)
            if attribute(node, "axis", 1) % len(shape) == axis:
                for parameter in node.input[1:3]:
                    if parameter and self.constants[parameter].size > 1:
                        self._trim(parameter, 0, count)
            return self._trim(node.input[0], axis, count)
        if node.op_type == "Identity":
            return self._trim(node.input[0], axis, count)
        raise Unfit(name)


def attribute(node: onnx.NodeProto, name: str, otherwise):
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), otherwise)


def evaluate(node: onnx.NodeProto, inputs: dict[str, np.ndarray], model: onnx.ModelProto) -> list[np.ndarray]:
    """One node of a model, for inputs that are known."""
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in inputs.items()]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output]
    alone = helper.make_model(helper.make_graph([node], "one", [], outputs, tensors), opset_imports=model.opset_import)
    alone.ir_version = model.ir_version
    try:
        return oracle.session(alone).run(None, {})
    except oracle.Refused:
        raise
    except Exception as error:
        raise oracle.Refused(str(error)) from None
