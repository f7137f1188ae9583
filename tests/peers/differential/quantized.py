"""A float network as a quantized one, in the many forms of files, mixed within one graph."""

import numpy as np

from . import encoding, oracle, qoperator
from .encoding import Encoding
from .ir import INPUT, Graph, Node

#: Operators that may work on the whole numbers themselves: they choose or move values and compute nothing.
MOVERS = {"MaxPool", "Concat", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Transpose", "Slice"}


class Quantizer:
    """Rewrites a float graph node by node.

    A tensor exists as f32, as whole numbers with an encoding, or as both; what a node reads is made when it is asked
    for. `values` holds all tensors of the float graph for one image, from which ranges are taken.
    """

    def __init__(self, source: Graph, values: dict[str, np.ndarray]):
        self.source, self.values = source, values
        self.graph = Graph(source.rng, source.opset, *source.shape(INPUT)[2:])
        self.graph.count = source.count
        self.graph.constants, self.graph.shapes = dict(source.constants), dict(source.shapes)
        self.known = set(source.constants)
        self.float: dict[str, str] = {INPUT: INPUT}
        self.whole: dict[str, tuple[str, Encoding]] = {}
        self._choose()

    def _choose(self):
        """The habits of the tool that this file is to look like."""
        graph = self.graph
        self.kinds = graph.pick(["u8"], ["u8"], ["s8"], ["u8", "s8"])
        #: Quantized values of 16 bits, where operators need not compute with them.
        self.wide = graph.pick(None, None, None, "u16", "s16") if graph.chance(0.5) else None
        self.weight_kinds = graph.pick(["s8"], ["s8"], ["u8"], ["s8", "u8"])
        style = graph.pick("all", "convolutions", "some", "operators", "operators", "mixed")
        self.operators = {"operators": 0.9, "mixed": 0.3}.get(style, 0)
        self.inputs = {"all": 0.95, "convolutions": 0, "some": 0.3, "operators": 0.5, "mixed": 0.5}[style]
        self.results = {"all": 0.5, "convolutions": 0, "some": 0.2, "operators": 0.3, "mixed": 0.3}[style]
        self.convolutions = graph.pick(1, 0.95, 0.8, 0.5)
        self.channels = graph.pick(0, 0, 0.3, 0.8) if graph.opset >= 13 else 0
        self.twice = graph.pick(0, 0, 0, 0.1)
        self.past = graph.pick(0, 0, 0.1)
        self.movers = graph.pick(0, 0, 0.3, 0.8)
        self.by_hand = graph.pick(0, 0, 0, 0.1)

    def rewrite(self) -> Graph:
        for node in self.source.nodes:
            self._node(node)
        self.graph.output = self.as_float(self.source.output, graph_output=True)
        return self.graph

    def _node(self, node: Node):
        graph, result = self.graph, node.outputs[0]
        real = [name for name in node.inputs if name and name not in self.known]
        if not real:
            # A constant computed from constants.
            self._copy(node, node.inputs)
            self.known.update(node.outputs)
            return
        if self.values[result].dtype != np.float32 or any(self.values[name].dtype != np.float32 for name in real):
            self._copy(
                node, [self.as_float(name) if name in real and self._is_float(name) else name for name in node.inputs]
            )
            return
        weighted = node.op in ("Conv", "Gemm", "MatMul") and node.inputs[1] in self.known
        if graph.chance(self.operators) and qoperator.rewrite(self, node):
            return
        if node.op in MOVERS and graph.chance(self.movers) and self._moved(node, real):
            return
        if node.op == "Div" and node.inputs[1] in real:
            # Quantized, a divisor may be 0, and what a quantizer makes of infinity and NaN is nowhere said.
            raise oracle.Refused("divides by what depends on the image")
        quantizes = graph.chance(self.convolutions if weighted else self.inputs)
        if node.op == "Concat" and quantizes and graph.chance(0.5):
            inputs = self._alike(real)
        else:
            inputs = [self._input(name, quantizes) if name in real else name for name in node.inputs]
        if weighted and quantizes:
            inputs = self._weighted(node, inputs)
        self._copy(node, inputs)
        if len(node.outputs) == 1 and self._is_float(result) and graph.chance(self.results):
            self.as_whole(result)

    def _is_float(self, name: str) -> bool:
        return self.values[name].dtype == np.float32

    def _copy(self, node: Node, inputs: list[str]):
        self.graph.nodes.append(Node(node.op, inputs, list(node.outputs), node.attributes, node.domain, node.name))
        self.float.update({name: name for name in node.outputs})

    def _input(self, name: str, quantizes: bool) -> str:
        if quantizes:
            self.as_whole(name)
        return self.as_float(name)

    def _alike(self, names: list[str]) -> list[str]:
        """Inputs that all have the encoding of one of them."""
        wanted = self.encoding(*names)
        return [encoding.dequantize(self.graph, self.as_whole(name, wanted), wanted) for name in names]

    def _moved(self, node: Node, real: list[str]) -> bool:
        """The node on whole numbers, if ONNX allows it."""
        if node.op == "MaxPool" and (self.graph.opset < 12):
            return False
        wanted = self.encoding(*real, single=True)
        held = [self.as_whole(name, wanted) if name in real else name for name in node.inputs]
        found = self.graph.fresh("whole")
        self.graph.nodes.append(Node(node.op, held, [found], node.attributes, node.domain, f"node_{found}"))
        self.graph.shapes[found] = self.source.shape(node.outputs[0])
        self.whole[node.outputs[0]] = (found, wanted)
        return True

    def encoding(self, *names: str, single: bool = False, kind: str | None = None) -> Encoding:
        """An encoding for the values of some tensors."""
        arrays = [self.values[name] for name in names]
        kind = kind or self.graph.rng.choice(self.kinds + [self.wide] * 2 if self.wide else self.kinds)
        # Nobody has been seen to write channels of 16 bits with scales of their own.
        many = self.channels * (0.05 if kind == self.wide else 1)
        if not single and len(arrays) == 1 and arrays[0].ndim > 1 and self.graph.chance(many):
            rest = tuple(i for i in range(arrays[0].ndim) if i != 1)
            return encoding.activation(self.graph, arrays[0].min(rest), arrays[0].max(rest), kind)
        return encoding.activation(self.graph, min(a.min() for a in arrays), max(a.max() for a in arrays), kind)

    def as_whole(self, name: str, wanted: Encoding | None = None, single: bool = False, kind: str | None = None) -> str:
        """The tensor's whole numbers, in an encoding of its own or the one wanted."""
        if name in self.whole:
            held, found = self.whole[name]
            fits = (not single or found.single) and (
                kind is None or found.dtype == encoding.KINDS[kind]
            )
            again = self.graph.chance(self.twice)
            if wanted.same(found) if wanted else fits and not again:
                return held
            source = encoding.dequantize(self.graph, held, found)
        else:
            source = self.float[name]
        chosen = wanted or self.encoding(name, single=single, kind=kind)
        self.whole[name] = (encoding.quantize(self.graph, source, chosen), chosen)
        return self.whole[name][0]

    def as_float(self, name: str, graph_output: bool = False) -> str:
        """The tensor in f32: through its quantizer if it has one."""
        if name in self.whole and (name not in self.float or not self.graph.chance(self.past)):
            held, found = self.whole[name]
            if found.single and self.graph.chance(self.by_hand):
                return self._dequantized_by_hand(held, found)
            return encoding.dequantize(self.graph, held, found)
        if graph_output and self.graph.chance(self.results / 2):
            self.as_whole(name)
            return self.as_float(name)
        return self.float[name]

    def _dequantized_by_hand(self, held: str, found: Encoding) -> str:
        """`Cast`, `Sub`, `Mul` in place of a `DequantizeLinear`."""
        graph, shape = self.graph, self.graph.shape(held)
        name = graph.add("Cast", [held], shape, to=1)
        if found.zero_point.any() or graph.chance(0.5):
            name = graph.add("Sub", [name, graph.initializer(found.zero_point.reshape(()).astype(np.float32))], shape)
        return graph.add("Mul", [name, graph.initializer(found.scale.reshape(()))], shape)

    def _weighted(self, node: Node, inputs: list[str]) -> list[str]:
        """The node's inputs with quantized weights and, perhaps, bias."""
        graph = self.graph
        array = self.values[node.inputs[1]]
        axis = 0 if node.op == "Conv" or node.attributes.get("transB") else 1
        chosen = self.weight_encoding(array, axis)
        changed = [inputs[0], encoding.decoded(graph, array, chosen)]
        if len(inputs) > 2:
            changed.append(self._bias(node, inputs[0], chosen, self.values[node.inputs[2]]) or inputs[2])
        return changed

    def weight_encoding(self, array: np.ndarray, axis: int) -> Encoding:
        graph = self.graph
        kind = "s16" if self.wide and graph.chance(0.3) else graph.rng.choice(self.weight_kinds)
        if graph.opset >= 21 and graph.chance(0.12):
            return encoding.blocked(graph, array, kind)
        if graph.chance(0.06) and array.ndim > 1:
            axis = 1 - axis
        chosen = encoding.weight(graph, array, axis, kind)
        if chosen.axis is not None and graph.opset < 13:
            return Encoding(chosen.scale.max(), chosen.zero_point[0], None)
        return chosen

    def _bias(self, node: Node, x: str, weight: Encoding, bias: np.ndarray) -> str | None:
        graph = self.graph
        if bias.ndim != 1 or graph.chance(0.4):
            return None
        held = self.whole.get(node.inputs[0])
        per_output = (
            weight.axis == (0 if node.op == "Conv" or node.attributes.get("transB") else 1) and weight.block is None
        )
        if (
            held
            and held[1].single
            and (weight.single or per_output)
            and (weight.single or bias.size == weight.scale.size)
        ):
            scale = (held[1].scale.reshape(()) * weight.scale).astype(np.float32)
        else:
            scale = np.float32(max(np.abs(bias).max(), 1e-3) / graph.pick(127, 1000, 30000))
        scale = np.asarray(scale)
        if scale.ndim and (scale.size == 1 or graph.opset < 13):
            if scale.size > 1:
                return None
            scale = scale.reshape(())
        chosen = Encoding(scale, np.zeros(scale.shape, np.int32), 0 if scale.ndim else None)
        name = graph.initializer(chosen.store(bias), "bias")
        graph.shapes[name] = bias.shape
        return encoding.dequantize(graph, name, chosen)
