"""A graph as it is being built: nodes, constants and the extents of every tensor."""

import dataclasses
import random

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

INPUT = "input"
MICROSOFT = "com.microsoft"


@dataclasses.dataclass
class Node:
    """One operator. Attributes that are None are left out of the file."""

    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict
    domain: str = ""
    name: str = ""


class Graph:
    """An ONNX graph of one image [1, 3, height, width] that grows node by node."""

    def __init__(self, rng: random.Random, opset: int, height: int, width: int):
        self.rng = rng
        self.numbers = np.random.default_rng(rng.getrandbits(63))
        self.opset = opset
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}
        self.shapes: dict[str, tuple[int, ...]] = {INPUT: (1, 3, height, width)}
        self.output = INPUT
        self.count = 0
        #: How many times as many channels as usual convolutions have.
        self.factor = 1

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def pick(self, *options):
        return self.rng.choice(options)

    def width(self, least: int, most: int) -> int:
        """A number of channels."""
        return self.rng.randint(least, most * self.factor)

    def fresh(self, stem: str) -> str:
        self.count += 1
        return f"{stem}_{self.count}"

    def initializer(self, array: np.ndarray, stem: str = "c") -> str:
        name = self.fresh(stem)
        self.constants[name] = np.ascontiguousarray(array) if np.ndim(array) else np.asarray(array)
        return name

    def ints(self, *values: int) -> str:
        return self.initializer(np.array(values, np.int64), "ints")

    def add(self, op: str, inputs: list[str], shape, domain: str = "", output: str | None = None, **attributes) -> str:
        """Appends a node with one output of `shape` and gives the output's name."""
        output = output or self.fresh(op.lower())
        attributes = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(Node(op, list(inputs), [output], attributes, domain, f"node_{output}"))
        self.shapes[output] = tuple(int(n) for n in shape)
        return output

    def shape(self, name: str) -> tuple[int, ...]:
        return self.shapes[name]

    def normal(self, shape, scale: float = 1.0) -> np.ndarray:
        return (self.numbers.standard_normal(shape) * scale).astype(np.float32)

    def uniform(self, low: float, high: float, shape) -> np.ndarray:
        return self.numbers.uniform(low, high, shape).astype(np.float32)


def to_proto(graph: Graph, outputs: list[str] | None = None, **style) -> onnx.ModelProto:
    """The graph as a file's message.

    `style`: symbolic_batch, listed (initializers are inputs as well), nameless (nodes have no names), declared
    (extents of inner tensors are in the file).
    """
    nodes = []
    for node in graph.nodes:
        proto = helper.make_node(node.op, node.inputs, node.outputs, domain=node.domain, **node.attributes)
        proto.name = "" if style.get("nameless") else node.name
        nodes.append(proto)
    dims = list(graph.shapes[INPUT])
    if style.get("symbolic_batch"):
        dims[0] = "N"
    inputs = [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, dims)]
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in graph.constants.items()]
    if style.get("listed"):
        inputs += [helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in tensors]
    declared = []
    if style.get("declared"):
        inner = {name for node in graph.nodes for name in node.outputs} & style["declared"].keys()
        declared = [helper.make_tensor_value_info(name, *style["declared"][name]) for name in sorted(inner)]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, graph.shapes.get(name))
        for name in outputs or [graph.output]
    ]
    message = helper.make_graph(nodes, "differential", inputs, values, tensors, value_info=declared)
    opsets = [helper.make_opsetid("", graph.opset)]
    if any(node.domain == MICROSOFT for node in graph.nodes):
        opsets.append(helper.make_opsetid(MICROSOFT, 1))
    model = helper.make_model(message, opset_imports=opsets, producer_name="differential.py")
    model.ir_version = {22: 10, 23: 11, 24: 12}.get(graph.opset, 10 if graph.opset >= 21 else 8)
    return model


def rename(model: onnx.ModelProto, rng: random.Random, style: str) -> onnx.ModelProto:
    """Names as other exporters give them, in place: input and scales of `Resize` keep theirs.

    `style`: numbers (tensors are numbered), crossed (nodes have the names of each other's outputs), odd (paths, spaces, quotes,
    other alphabets).
    """
    graph = model.graph
    if style in ("numbers", "odd"):
        names = [t.name for t in graph.initializer if not t.name.startswith("scales_")]
        names += [name for node in graph.node for name in node.output if name]
        numbers = rng.sample(range(3 * len(names)), len(names))
        odd = ["/features/block{}/Conv output:0", "{}", "\u7b2c{}\u5c64", 'a "{}" #', "x.{}.f32", "%{}"]
        new = {
            name: str(number) if style == "numbers" else f"{rng.choice(odd).format(number)}~{number}"
            for name, number in zip(names, numbers)
        }
        for node in graph.node:
            node.input[:] = [new.get(name, name) for name in node.input]
            node.output[:] = [new.get(name, name) for name in node.output]
        for value in [*graph.initializer, *graph.input, *graph.output, *graph.value_info]:
            value.name = new.get(value.name, value.name)
    outputs = [node.output[0] for node in graph.node]
    for index, node in enumerate(graph.node):
        if style == "crossed":
            node.name = outputs[(index + 1) % len(outputs)]
        elif style == "odd":
            node.name = f"{node.op_type} {outputs[index]}"
    return model


def share(model: onnx.ModelProto) -> onnx.ModelProto:
    """Lets equal initializers be one, in place."""
    graph, first, kept, new = model.graph, {}, [], {}
    listed = {value.name for value in graph.input}
    for tensor in graph.initializer:
        key = (tensor.data_type, tuple(tensor.dims), tensor.raw_data, tensor.name.startswith("scales_"))
        if tensor.name in listed or not tensor.raw_data or key not in first:
            first.setdefault(key, tensor.name)
            kept.append(tensor)
        else:
            new[tensor.name] = first[key]
    for node in graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
    kept = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in kept]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return model


def prune(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drops what no output depends on, in place."""
    graph = model.graph
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if any(name in needed for name in node.output):
            needed.update(node.input)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    tensors = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(tensors)
    inputs = [value for value in graph.input if value.name in needed or value.name == INPUT]
    del graph.input[:]
    graph.input.extend(inputs)
    infos = [value for value in graph.value_info if value.name in needed]
    del graph.value_info[:]
    graph.value_info.extend(infos)
    return model
