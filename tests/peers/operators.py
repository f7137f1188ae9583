"""What single operators give in Densight and in ONNX Runtime: each with many attributes, shapes and opsets.

Each graph is small and no DenseNet, so that nothing is fused and each node is left to tract, behind the importer's checks and guards.
Right is what ONNX Runtime gives without optimizations. A graph is `right`, `refused` (exit code 1 and one line that names the node), or a
fault: `wrong`, `crash`, `unnamed` (refused without the node's name). Graphs that ONNX Runtime itself refuses, or for which it gives NaN or
infinity, only must not crash.
"""

import argparse
import collections
import itertools
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

ort.set_default_logger_severity(4)
SHAPE = (1, 3, 7, 6)
CASES = []


class Graph:
    """A graph under construction; each method appends a node and returns the name of its output."""

    def __init__(self, op, what, opset=17, shape=SHAPE, scale=1.0):
        self.op, self.what, self.opset, self.shape, self.scale = op, what, opset, shape, scale
        self.nodes, self.constants, self.count = [], [], 0
        self.microsoft = False

    def node(self, op, *inputs, outputs=1, domain="", **attributes):
        self.count += 1
        names = outputs if isinstance(outputs, list) else [f"t{self.count}"]
        attributes = {name: value for name, value in attributes.items() if value is not None}
        self.microsoft |= domain == "com.microsoft"
        empty = [name for name, value in attributes.items() if isinstance(value, list) and not value]
        given = {name: value for name, value in attributes.items() if name not in empty}
        node = helper.make_node(op, list(inputs), names, name=f"node{self.count}.{op}", domain=domain, **given)
        node.attribute.extend(onnx.AttributeProto(name=name, type=onnx.AttributeProto.INTS) for name in empty)
        self.nodes.append(node)
        return names[0]

    def constant(self, values, dtype=np.float32):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def random(self, *shape, low=-1.0, high=1.0):
        rng = np.random.default_rng(len(self.constants) + 7 * sum(shape))
        return self.constant(rng.uniform(low, high, shape))

    def model(self, output):
        imports = [helper.make_opsetid("", self.opset)]
        if self.microsoft:
            imports.append(helper.make_opsetid("com.microsoft", 1))
        # Densight takes one output, [1, values].
        flat = self.constant([1, -1], np.int64)
        last = helper.make_node("Reshape", [output, flat], ["flat"], name="flat")
        graph = helper.make_graph(
            [*self.nodes, last],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info("flat", TensorProto.FLOAT, None)],
            self.constants,
        )
        return helper.make_model(graph, opset_imports=imports, ir_version=10)

    def conv(self, x, kernel=3, out=4, channels=3, group=1, bias=True, **attributes):
        w = self.random(out, channels // group, kernel, kernel)
        inputs = [x, w] + ([self.random(out)] if bias else [])
        attributes.setdefault("pads", [kernel // 2] * 4)
        return self.node("Conv", *inputs, group=group, **attributes)

    def quantize(self, x, scale=0.02, zero=128, dtype=np.uint8, **attributes):
        return self.node("QuantizeLinear", x, self.constant(scale), self.constant(zero, dtype), **attributes)

    def dequantize(self, q, scale=0.02, zero=128, dtype=np.uint8, **attributes):
        return self.node("DequantizeLinear", q, self.constant(scale), self.constant(zero, dtype), **attributes)


def case(op, what, build, **options):
    """Adds a graph: `build(graph)` gives the name of its output."""
    graph = Graph(op, what, **options)
    CASES.append((graph, build))


def simple(op, what="", inputs=("x",), opset=17, shape=SHAPE, scale=1.0, domain="", cast=False, before=None, **attributes):
    """One node; what is no string among `inputs` becomes a constant."""

    def build(g):
        first = before(g) if before else "x"
        names = []
        for one in inputs:
            constant = not isinstance(one, str)
            names.append(g.constant(one, getattr(one, "dtype", np.float32)) if constant else first if one == "x" else one)
        out = g.node(op, *names, domain=domain, **attributes)
        return g.node("Cast", out, to=TensorProto.FLOAT) if cast else out

    shown = " ".join(f"{k}={v}" for k, v in attributes.items() if v is not None)
    case(op, f"{what} {shown}".strip(), build, opset=opset, shape=shape, scale=scale)


def rand(*shape, low=-1.0, high=1.0):
    return np.random.default_rng(sum(shape) + 3).uniform(low, high, shape).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


def unary():
    positive = lambda g: g.node("Abs", "x")
    small = lambda g: g.node("Mul", "x", g.constant(0.2))
    for op, opset in [("Relu", 17), ("Sigmoid", 17), ("Tanh", 17), ("HardSwish", 17), ("Mish", 18), ("Softplus", 17), ("Softsign", 17), ("Abs", 17), ("Neg", 17), ("Exp", 17), ("Floor", 17), ("Ceil", 17), ("Round", 17), ("Erf", 17), ("Sign", 17), ("Sin", 17), ("Cos", 17), ("Tan", 17), ("Atan", 17), ("Sinh", 17), ("Cosh", 17), ("Asinh", 17), ("Identity", 17), ("Reciprocal", 17)]:
        for scale in (1.0, 30.0, 200.0):
            simple(op, f"scale {scale}", opset=opset, scale=scale)
        simple(op, "6", opset=14 if op == "HardSwish" else 18 if op == "Mish" else 9 if op in ("Sinh", "Cosh", "Asinh", "Sign", "Erf") else 11 if op == "Round" else 7)
    for op in ("Log", "Sqrt", "Acosh"):
        simple(op, "of abs", before=lambda g: g.node("Add", g.node("Abs", "x"), g.constant(1.0)))
    for op in ("Asin", "Acos", "Atanh"):
        simple(op, "of small", before=small)
    for alpha in (None, 0.0, 0.3, 2.0, -0.5):
        for scale in (1.0, 100.0):
            for op in ("LeakyRelu", "Elu", "ThresholdedRelu"):
                simple(op, f"scale {scale}", alpha=alpha, scale=scale)
            if alpha != 0.0:
                simple("Celu", f"scale {scale}", alpha=alpha, scale=scale)
            simple("Selu", f"scale {scale}", alpha=alpha, gamma=None if alpha is None else 1.5, scale=scale)
            simple("HardSigmoid", f"scale {scale}", alpha=alpha, beta=None if alpha is None else 0.4, scale=scale)
            simple("Shrink", f"scale {scale}", lambd=None if alpha is None else abs(alpha), bias=alpha, scale=scale)
    for approximate in (None, "none", "tanh"):
        simple("Gelu", opset=20, approximate=approximate)
        simple("Gelu", "large", opset=20, approximate=approximate, scale=50.0)
    simple("Gelu", domain="com.microsoft")
    simple("QuickGelu", domain="com.microsoft")
    simple("QuickGelu", domain="com.microsoft", alpha=1.2)
    simple("FastGelu", domain="com.microsoft")
    simple("BiasGelu", inputs=("x", rand(6)), domain="com.microsoft")
    for opset, alpha in itertools.product((24,), (None, 1.0, 0.5)):
        simple("Swish", opset=opset, alpha=alpha)
    for opset in (6, 10):
        for low, high in [(None, None), (0.0, 6.0), (None, 0.5), (-0.5, None), (1.0, -1.0)]:
            simple("Clip", opset=opset, min=low, max=high)
    for opset in (11, 12, 13, 17):
        one = lambda v: np.float32(v)
        for inputs in [("x",), ("x", one(-0.5)), ("x", "", one(0.5)), ("x", one(-0.5), one(0.5)), ("x", one(-0.5), ""), ("x", one(0.5), one(-0.5)), ("x", "", "")]:
            simple("Clip", f"inputs {[str(i) for i in inputs]}", inputs=inputs, opset=opset)
    for opset, ratio in [(7, None), (7, 0.3), (10, 0.3), (12, None), (13, None)]:
        simple("Dropout", opset=opset, ratio=ratio)
    for inputs in [("x", np.float32(0.3)), ("x", "", np.bool_(False)), ("x", np.float32(0.3), np.bool_(False)), ("x", np.float32(0.0), np.bool_(True)), ("x", np.float32(0.5), np.bool_(True)), ("x", "", "")]:
        simple("Dropout", f"inputs {[str(i) for i in inputs]}", inputs=inputs, opset=13)
    case("Dropout", "with mask", lambda g: g.node("Add", g.node("Dropout", "x", outputs=["d", "m"]), g.node("Cast", "m", to=1)), opset=13)
    case("Dropout", "with empty mask", lambda g: g.node("Dropout", "x", outputs=["d", ""]), opset=13)
    for slope in (rand(1), rand(3, 1, 1), rand(1, 3, 1, 1), rand(6), rand(7, 1), np.float32(0.2), rand(1, 3, 7, 6)):
        simple("PRelu", f"slope {list(np.shape(slope))}", inputs=("x", slope))
    for a, b, c in [(1e-4, 0.75, 1.0), (0.5, 0.5, 2.0)]:
        for size in (1, 2, 3, 5):
            simple("LRN", alpha=a, beta=b, bias=c, size=size, shape=(1, 3, 4, 4))


def reductions():
    ops = "ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSum ReduceLogSumExp".split()
    for op in ops:
        before = (lambda g: g.node("Add", g.node("Abs", "x"), g.constant(0.1))) if op == "ReduceLogSum" else None
        for axes in (None, [2, 3], [-1, -2], [3, 2], [1], [-3], [0], [0, 1, 2, 3], [], [1, 1], [4], [-5]):
            for keepdims in (None, 0, 1):
                if axes in ([1, 1], [4], [-5]) and keepdims is not None:
                    continue
                simple(op, opset=11, before=before, axes=axes, keepdims=keepdims)
                for noop in (None, 1) if axes in (None, [], [2, 3]) else (None,):
                    inputs = ("x",) if axes is None else ("x", ints(*axes))
                    for opset in (13, 18) if op == "ReduceSum" else (18,):
                        simple(op, f"axes {axes}", inputs=inputs, opset=opset, before=before, keepdims=keepdims, noop_with_empty_axes=noop)
        simple(op, "empty axes name", inputs=("x", ""), opset=18, before=before)
        simple(op, "large", opset=18, inputs=("x", ints(2, 3)), before=before, scale=60.0)
    for op in ("ArgMax", "ArgMin"):
        for axis in (None, 1, 2, -1, 4):
            for keepdims in (None, 0):
                for last in (None, 0, 1):
                    ties = lambda g: g.node("Round", "x")
                    simple(op, opset=13, axis=axis, keepdims=keepdims, select_last_index=last, cast=True, before=ties)
    for axis in (None, -1, 1, 2, 0, 3, -3):
        for scale in (1.0, 200.0):
            for opset in (9, 11, 12, 13, 17):
                for op in ("Softmax", "LogSoftmax", "Hardmax"):
                    simple(op, f"scale {scale}", opset=opset, axis=axis, scale=scale)
        for p in (None, 1, 2):
            simple("LpNormalization", axis=axis, p=p)
    for axis in (4, -5):
        for op in ("Softmax", "LogSoftmax", "Hardmax", "LpNormalization"):
            simple(op, axis=axis)
    for op in ("GlobalAveragePool", "GlobalMaxPool"):
        simple(op)
        simple(op, "rank 3", before=lambda g: g.node("Reshape", "x", g.constant([1, 3, 42], np.int64)))
        simple(op, "rank 2", before=lambda g: g.node("Flatten", "x"))
    for p in (None, 1, 2, 3):
        simple("GlobalLpPool", p=p)
    for p in (1, 2, 3):
        simple("LpPool", p=p, kernel_shape=[2, 2])
    for axes in (None, [0, 2, 3], [1], [2, 3]):
        simple("MeanVarianceNormalization", opset=13, axes=axes)
    for axis, exclusive, reverse in itertools.product((0, 1, 3, -1), (None, 1), (None, 1)):
        simple("CumSum", f"axis {axis}", inputs=("x", np.array(axis, np.int64)), opset=14, exclusive=exclusive, reverse=reverse)


def norms():
    for opset in (7, 9, 13, 14, 15, 17):
        for eps in (None, 0.1):
            for extra in ({}, {"momentum": 0.5}, {"spatial": 1} if opset < 9 else {}, {"spatial": 0} if opset < 9 else {}, {"training_mode": 0} if opset >= 14 else {}, {"training_mode": 1} if opset >= 14 else {}):
                parameters = (rand(3), rand(3), rand(3), rand(3, low=0.1, high=2.0))
                simple("BatchNormalization", inputs=("x", *parameters), opset=opset, epsilon=eps, **extra)
    parameters = (rand(126), rand(126), rand(126), rand(126, low=0.1, high=2.0))
    simple("BatchNormalization", "rank 2", inputs=("x", *parameters), before=lambda g: g.node("Flatten", "x"))
    parameters = (rand(3), rand(3), rand(3), rand(3, low=0.1, high=2.0))
    simple("BatchNormalization", "rank 3", inputs=("x", *parameters), before=lambda g: g.node("Reshape", "x", g.constant([1, 3, 42], np.int64)))
    simple("BatchNormalization", "rank 1", inputs=("x", *parameters), before=lambda g: g.node("Reshape", g.node("ReduceMean", "x", axes=[0, 2, 3]), g.constant([3], np.int64)))
    for bad in (rand(4), rand(1, 3), np.float32(1.0), rand(0)):
        simple("BatchNormalization", f"scale {list(np.shape(bad))}", inputs=("x", bad, *parameters[1:]))
    simple("BatchNormalization", "negative variance", inputs=("x", *parameters[:3], np.array([1, -0.5, 1], np.float32)))
    simple("BatchNormalization", "zero variance", inputs=("x", *parameters[:3], np.array([1, 0, 1], np.float32)), epsilon=0.0)
    for eps in (None, 0.1):
        simple("InstanceNormalization", inputs=("x", rand(3), rand(3)), epsilon=eps)
        simple("InstanceNormalization", "rank 3", inputs=("x", rand(3), rand(3)), epsilon=eps, before=lambda g: g.node("Reshape", "x", g.constant([1, 3, 42], np.int64)))
        for axis, shape in [(None, (6,)), (-1, (6,)), (3, (6,)), (2, (7, 6)), (1, (3, 7, 6)), (-2, (7, 6)), (1, (1, 1, 6)), (0, (1, 3, 7, 6))]:
            simple("LayerNormalization", f"scale {shape}", inputs=("x", rand(*shape), rand(*shape)), axis=axis, epsilon=eps)
            simple("LayerNormalization", f"scale {shape} alone", inputs=("x", rand(*shape)), axis=axis, epsilon=eps)
        simple("LayerNormalization", "stash 0", inputs=("x", rand(6)), stash_type=0)
        simple("LayerNormalization", "stash 1", inputs=("x", rand(6)), stash_type=1)
        for groups in (1, 3):
            simple("GroupNormalization", inputs=("x", rand(3), rand(3)), opset=21, num_groups=groups, epsilon=eps)
            simple("GroupNormalization", inputs=("x", rand(groups), rand(groups)), opset=18, num_groups=groups, epsilon=eps)
        simple("RMSNormalization", inputs=("x", rand(6)), opset=23, epsilon=eps)
        simple("RMSNormalization", inputs=("x", rand(3, 7, 6)), opset=23, axis=1, epsilon=eps)
        simple("SimplifiedLayerNormalization", inputs=("x", rand(6)), epsilon=eps, axis=-1)
    case("LayerNormalization", "three outputs", lambda g: g.node("Add", g.node("LayerNormalization", "x", g.random(6), outputs=["a", "b", "c"]), "c"))


def shapes():
    for axis in (None, 0, 1, 2, 3, 4, -1, -4, -5, 5):
        simple("Flatten", axis=axis)
    for perm in [None, *itertools.permutations(range(4))]:
        simple("Transpose", perm=list(perm) if perm else None)
    for perm in ([0, 1, 2], [0, 0, 1, 2], [0, 1, 2, 4], [-1, 1, 2, 0]):
        simple("Transpose", perm=perm)
    for target in ([1, -1], [0, -1], [0, 0, -1], [1, 126], [3, 42], [-1], [1, 3, 6, 7], [0, 3, 0, 6], [1, 1, 3, 42], [2, 63], [1, 3, 42, 1], [5, -1], [-1, -1], [1, 0, 42], [1, 125], [0, 0, 0, 0, -1]):
        for allowzero in (None, 0, 1):
            simple("Reshape", f"to {target}", inputs=("x", ints(*target)), opset=14, allowzero=allowzero)
        simple("Reshape", f"to {target}", inputs=("x", ints(*target)), opset=7)
    # Squeeze and Unsqueeze on a tensor [1, 3, 1, 1].
    pooled = lambda g: g.node("GlobalAveragePool", "x")
    for axes in (None, [0], [2, 3], [3, 2], [-1, -2], [-1, 0], [0, -1], [2], [0, 2, 3], [1], [4], [-5], [2, 2], []):
        simple("Squeeze", opset=11, before=pooled, axes=axes)
        for opset in (13, 21):
            simple("Squeeze", f"axes {axes}", opset=opset, before=pooled, inputs=("x",) if axes is None else ("x", ints(*axes)))
        if axes is not None:
            simple("Unsqueeze", opset=11, before=pooled, axes=axes)
            simple("Unsqueeze", f"axes {axes}", opset=13, before=pooled, inputs=("x", ints(*axes)))
    simple("Squeeze", "empty axes name", opset=13, before=pooled, inputs=("x", ""))
    for axes in ([4, 5], [0, 5], [5, 0], [-1, 0], [6]):
        simple("Unsqueeze", opset=11, axes=axes)
        simple("Unsqueeze", f"axes {axes}", opset=13, inputs=("x", ints(*axes)))
    for opset in (4, 9, 13):
        for axis in (0, 1, 2, 3, -1, -3, 4, -5):
            simple("Concat", opset=opset, inputs=("x", "x"), axis=axis)
    simple("Concat", "no axis", inputs=("x", "x"))
    simple("Concat", "one", inputs=("x",), axis=1)
    for index in (0, 2, -1, 3, -4, 100, [0, 2], [[0, 1], [2, -1]], []):
        for axis in (None, 1, -3, 2, 3, 4):
            simple("Gather", f"indices {index}", inputs=("x", np.array(index, np.int64)), axis=axis)
    simple("Gather", "i32", inputs=("x", np.array([1], np.int32)), axis=1)
    big = 2**63 - 1
    for starts, ends, axes, steps in [([0], [2], [1], None), ([1], [big], [2], None), ([-2], [big], [3], [1]), ([0, 1], [3, 5], [1, 2], [1, 2]), ([5], [0], [2], [-1]), ([-1], [-big], [2], [-2]), ([big], [-big - 1], [3], [-1]), ([0, 0, 1, 1], [1, 2, 6, 5], None, None), ([3], [3], [2], None), ([-100], [4], [2], None), ([4], [2], [2], None), ([0], [2], [-3], None), ([0], [7], [2], [3]), ([1], [2], [4], None), ([0], [2], [1], [0])]:
        inputs = [ints(*starts), ints(*ends)] + ([ints(*axes)] if axes is not None else []) + ([ints(*steps)] if steps and axes is not None else [])
        simple("Slice", f"{starts} {ends} {axes} {steps}", inputs=("x", *inputs), opset=13)
        simple("Slice", f"{starts} {ends} {axes} {steps}", inputs=("x", *inputs), opset=10)
        if steps is None:
            simple("Slice", opset=9, starts=starts, ends=ends, axes=axes)
    simple("Slice", "empty axes", inputs=("x", ints(0, 0, 0, 0), ints(1, 3, 6, 6), "", ints(1, 1, 2, 3)), opset=13)
    for mode in (None, "constant", "reflect", "edge", "wrap"):
        for pads in ([0, 0, 1, 2, 0, 0, 2, 1], [0, 1, 0, 0, 0, 1, 0, 0], [0, 0, -1, 0, 0, 0, -1, 0], [0, 0, 1, 1, 0, 0, 1, 1], [1, 0, 0, 0, 0, 0, 0, 0], [0, 0, 8, 0, 0, 0, 0, 0]):
            for value in (None, 1.5):
                simple("Pad", f"{pads} value {value}", inputs=("x", ints(*pads), np.float32(value)) if value is not None else ("x", ints(*pads)), opset=19 if mode == "wrap" else 13, mode=mode)
                simple("Pad", opset=9, mode=mode, pads=pads, value=value)
    simple("Pad", "axes", inputs=("x", ints(1, 2, 2, 1), "", ints(2, 3)), opset=18)
    simple("Pad", "negative axes", inputs=("x", ints(1, 2, 2, 1), np.float32(1.0), ints(-1, -2)), opset=18)
    simple("Pad", "value of rank 1", inputs=("x", ints(0, 0, 1, 1, 0, 0, 1, 1), rand(1)), opset=13)
    simple("Pad", "trailing empty", inputs=("x", ints(0, 0, 1, 1, 0, 0, 1, 1), ""), opset=13)
    for axis in (None, 1, 2, -1):
        for parts in ([1, 2], [1, 1, 1], [2, 2, 2], [3, 4], None):
            names = [f"s{i}" for i in range(len(parts) if parts else 3)]
            both = lambda g, how: g.node("Concat", *reversed(how), axis=1 if axis is None else axis)
            case("Split", f"axis {axis} parts {parts} attribute", lambda g, names=names, axis=axis, parts=parts: (g.node("Split", "x", outputs=names, axis=axis, split=parts), both(g, names))[1], opset=11)
            case("Split", f"axis {axis} parts {parts}", lambda g, names=names, axis=axis, parts=parts: (g.node("Split", "x", *([g.constant(parts, np.int64)] if parts else []), outputs=names, axis=axis), both(g, names))[1], opset=13)
            case("Split", f"axis {axis} num_outputs", lambda g, names=names, axis=axis: (g.node("Split", "x", outputs=names, axis=axis, num_outputs=len(names)), both(g, names))[1], opset=18)
    for size, mode in itertools.product((1, 2, 3), (None, "DCR", "CRD")):
        simple("DepthToSpace", opset=13, shape=(1, 3, 4, 6), before=lambda g: g.conv("x", out=36), blocksize=size, mode=mode)
        if mode is None:
            simple("SpaceToDepth", opset=13, shape=(1, 3, 12, 6), blocksize=size)
    for target in ([1, 3, 7, 6], [2, 3, 7, 6], [1], [4, 1, 1, 1, 1], [1, 1, 7, 1], [1, 3, 2, 6]):
        simple("Expand", f"to {target}", inputs=("x", ints(*target)))
    simple("Expand", "of pooled", inputs=("x", ints(1, 3, 5, 5)), before=pooled)
    for repeats in ([1, 2, 1, 1], [1, 1, 2, 3], [1, 1, 1, 1], [2, 1]):
        simple("Tile", f"{repeats}", inputs=("x", ints(*repeats)))
    for start, end in ((None, None), (1, None), (None, -1), (1, 3), (-2, None), (2, 1), (0, 9)):
        case("Shape", f"{start} {end}", lambda g, s=start, e=end: g.node("Add", g.node("Cast", g.node("ReduceSum", g.node("Shape", "x", start=s, end=e), keepdims=0), to=1), g.node("Mul", "x", g.constant(0.1))), opset=15)
    case("Size", "", lambda g: g.node("Mul", "x", g.node("Cast", g.node("Size", "x"), to=1)))
    for value in (None, helper.make_tensor("v", 1, [1], [2.5]), helper.make_tensor("v", 7, [1], [3])):
        case("ConstantOfShape", str(value and value.data_type), lambda g, v=value: g.node("Mul", "x", g.node("Cast", g.node("ConstantOfShape", g.node("Shape", "x"), value=v), to=1)))
    for name, value in [("value_float", 0.5), ("value_floats", [0.1] * 6), ("value_int", 3), ("value_ints", [1, 2, 3, 4, 5, 6]), ("value", helper.make_tensor("v", 1, [6], list(range(6))))]:
        case("Constant", name, lambda g, n=name, v=value: g.node("Mul", "x", g.node("Cast", g.node("Constant", **{n: v}), to=1)), opset=13)
    for k, axis, largest, order in itertools.product((1, 2), (None, 1, -1), (None, 0), (None, 0)):
        case("TopK", f"k {k} axis {axis} {largest} {order}", lambda g, k=k, a=axis, l=largest, o=order: g.node("TopK", "x", g.constant([k], np.int64), outputs=["v", "i"], axis=a, largest=l, sorted=o), opset=11)
    for upper, k in itertools.product((None, 0, 1), (None, 1, -2)):
        simple("Trilu", f"k {k}", inputs=("x",) if k is None else ("x", np.array(k, np.int64)), upper=upper)


def resizes():
    for opset in (10, 11, 13, 18, 19):
        for mode in ("nearest", "linear", "cubic"):
            for transform in (None, "half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric", "tf_crop_and_resize", "tf_half_pixel_for_nn"):
                for nearest in (None, "floor", "ceil", "round_prefer_floor", "round_prefer_ceil") if mode == "nearest" else (None,):
                    if opset == 10 and (transform or nearest or mode == "cubic"):
                        continue
                    if opset in (11, 18) and nearest not in (None, "floor"):
                        continue
                    for scales in ([1, 1, 2, 2], [1, 1, 0.5, 0.5], [1, 1, 1.7, 0.6], [1, 1, 3, 1]):
                        inputs = ("x", np.array(scales, np.float32)) if opset == 10 else ("x", "" if opset > 11 else np.zeros(0, np.float32), np.array(scales, np.float32))
                        attributes = {} if opset == 10 else {"coordinate_transformation_mode": transform, "nearest_mode": nearest}
                        simple("Resize", f"scales {scales}", inputs=inputs, opset=opset, mode=mode, **attributes)
                    if opset != 10:
                        for sizes in ([1, 3, 14, 12], [1, 3, 5, 9], [1, 3, 1, 1]):
                            middle = ("", "") if opset > 11 else (np.zeros(0, np.float32), np.zeros(0, np.float32))
                            simple("Resize", f"sizes {sizes}", inputs=("x", *middle, ints(*sizes)), opset=opset, mode=mode, coordinate_transformation_mode=transform, nearest_mode=nearest)
    up = np.array([1, 1, 2, 2], np.float32)
    down = np.array([1, 1, 0.5, 0.5], np.float32)
    for extra in ({"cubic_coeff_a": -0.5}, {"exclude_outside": 1}):
        simple("Resize", inputs=("x", "", up), opset=13, mode="cubic", **extra)
    simple("Resize", inputs=("x", "", down), opset=18, mode="linear", antialias=1)
    simple("Resize", inputs=("x", "", np.array([2, 2], np.float32)), opset=18, mode="linear", axes=[2, 3])
    for policy in ("stretch", "not_larger", "not_smaller"):
        simple("Resize", inputs=("x", "", "", ints(9, 9)), opset=18, mode="linear", axes=[2, 3], keep_aspect_ratio_policy=policy)
    for opset in (7, 9):
        for mode in ("nearest", "linear"):
            simple("Upsample", opset=opset, mode=mode, scales=[1.0, 1.0, 2.0, 2.0]) if opset == 7 else simple("Upsample", inputs=("x", up), opset=opset, mode=mode)


def binary():
    shapes = ((), (1,), (6,), (7, 1), (3, 1, 1), (1, 3, 1, 1), (3, 7, 6), (1, 3, 7, 6), (1, 1, 7, 6), (2, 3, 1, 1), (3, 1, 6))
    for op in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Pow"):
        for shape in shapes:
            value = rand(*shape, low=0.5, high=2.0)
            positive = (lambda g: g.node("Abs", "x")) if op == "Pow" else None
            divisor = (lambda g: g.node("Add", g.node("Abs", "x"), g.constant(0.3))) if op == "Div" else positive
            simple(op, f"constant {shape} last", inputs=("x", value), before=positive)
            simple(op, f"constant {shape} first", inputs=(value, "x"), before=divisor)
            for kind, conv in CONVS.items():
                channels = value if shape not in ((3, 1, 1), (1, 3, 1, 1), (2, 3, 1, 1), (3, 7, 6), (1, 3, 7, 6), (3, 1, 6)) else rand(*[4 if n == 3 else n for n in shape], low=0.5, high=2.0)
                shown = np.shape(channels)
                guarded = lambda g, conv=conv, op=op: conv(g) if op != "Pow" else g.node("Abs", conv(g))
                simple(op, f"{kind}, constant {shown} last", inputs=("x", channels), before=guarded)
                simple(op, f"{kind}, constant {shown} first", inputs=(channels, "x"), before=guarded if op == "Pow" else conv)
        gate = lambda g, y: g.node("Sigmoid", g.node("GlobalAveragePool", y))
        for kind, conv in CONVS.items():
            case(op, f"{kind} with its pooled", lambda g, op=op, conv=conv: (lambda y: g.node(op, y, gate(g, y)))(g.node("Abs", conv(g)) if op == "Pow" else conv(g)))
            case(op, f"pooled with {kind}", lambda g, op=op, conv=conv: g.node(op, g.node("Sigmoid", g.node("GlobalAveragePool", g.conv("x", 1))), conv(g)))
            case(op, f"{kind} with pooled of x", lambda g, op=op, conv=conv: g.node(op, g.node("Abs", conv(g)) if op == "Pow" else conv(g), g.node("Sigmoid", g.node("GlobalAveragePool", g.conv("x", 1)))))
            case(op, f"{kind} with another", lambda g, op=op, conv=conv: g.node(op, g.node("Abs", conv(g)) if op == "Pow" else conv(g), g.node("Sigmoid", conv(g))))
            case(op, f"{kind} with itself", lambda g, op=op, conv=conv: (lambda y: g.node(op, y, y))(g.node("Abs", conv(g))))
        case(op, "chain after conv", lambda g, op=op: g.node(op, g.constant(rand(4, 1, 1, low=0.5)), g.node("Add", g.node("Mul", g.conv("x"), g.constant(rand(4, 1, 1))), g.constant(rand(4, 1, 1)))))
        case(op, "batch norm after conv", lambda g, op=op: g.node(op, g.constant(rand(4, 1, 1, low=0.5)), g.node("BatchNormalization", g.conv("x"), g.random(4), g.random(4), g.random(4), g.random(4, low=0.1))))
        case(op, "int64 shapes", lambda g, op=op: g.node("Mul", "x", g.node("Cast", g.node(op, g.node("Shape", "x"), g.constant([2, 2, 2, 3], np.int64)), to=1)) if op not in ("Pow",) else g.node("Identity", "x"), shape=(1, 3, 7, 4))
        case(op, "int64 constants", lambda g, op=op: g.node("Mul", "x", g.node("Cast", g.node(op, g.constant([7, -7, 5, 9], np.int64), g.constant([2, 2, -2, 3], np.int64)), to=1)) if op not in ("Pow",) else g.node("Identity", "x"), shape=(1, 3, 7, 4))
    for tiny in (1e-6, 1e-7, 1e-8, 1e-12):
        case("Mul", f"by {tiny} and back", lambda g, t=tiny: g.node("Mul", g.node("Relu", g.node("Mul", "x", g.constant(t))), g.constant(1 / t)))
        case("Div", f"by {1/tiny} and back", lambda g, t=tiny: g.node("Div", g.node("Relu", g.node("Div", "x", g.constant(1 / t))), g.constant(t)))
        case("Add", f"{tiny} to what is tiny", lambda g, t=tiny: g.node("Mul", g.node("Add", g.node("Relu", g.node("Mul", "x", g.constant(t))), g.constant(t)), g.constant(1 / t)))
        case("Sub", f"{tiny} from what is tiny", lambda g, t=tiny: g.node("Mul", g.node("Sub", g.node("Relu", g.node("Mul", "x", g.constant(t))), g.constant(t)), g.constant(1 / t)))
        case("Max", f"{tiny} with what is tiny", lambda g, t=tiny: g.node("Mul", g.node("Max", g.node("Mul", "x", g.constant(t)), g.constant(t)), g.constant(1 / t)))
        case("Clip", f"at {tiny}", lambda g, t=tiny: g.node("Mul", g.node("Clip", g.node("Mul", "x", g.constant(t)), g.constant(t)), g.constant(1 / t)))
        case("Div", f"normalized plus {tiny}", lambda g, t=tiny: g.node("Div", "x", g.node("Add", g.node("ReduceL2", "x", axes=[1], keepdims=1), g.constant(t))))
    for op in ("Sum", "Mean", "Max", "Min"):
        simple(op, "one", inputs=("x",))
        simple(op, "three", inputs=("x", rand(3, 1, 1), rand(6)))
        simple(op, "constant first", inputs=(rand(6), "x"))
        simple(op, "scalar first", inputs=(np.float32(0.3), "x", rand(1, 3, 7, 6)))
        simple(op, "old", inputs=("x", rand(3, 1, 1)), opset=8)
    for shape in ((6, 5), (6,), (1, 6, 5), (3, 6, 5), (1, 1, 6, 5), (2, 3, 6, 5)):
        simple("MatMul", f"by {shape}", inputs=("x", rand(*shape)))
    for shape in ((5, 7), (7,), (3, 5, 7), (1, 3, 5, 7)):
        simple("MatMul", f"of {shape}", inputs=(rand(*shape), "x"))
    case("MatMul", "of itself", lambda g: g.node("MatMul", "x", g.node("Transpose", "x", perm=[0, 1, 3, 2])))
    simple("MatMul", "flat", inputs=("x", rand(126, 5)), before=lambda g: g.node("Flatten", "x"))
    for op in ("Add", "Sub", "Mul", "Div", "Max", "Min"):
        for shape in ((), (1,), (5,), (1, 5), (1, 1)):
            flat = lambda g: g.node("MatMul", g.node("Flatten", "x"), g.random(126, 5))
            simple(op, f"after MatMul {shape} last", inputs=("x", rand(*shape, low=0.5, high=2.0)), before=flat)
            simple(op, f"after MatMul {shape} first", inputs=(rand(*shape, low=0.5, high=2.0), "x"), before=flat)
    flat = lambda g: g.node("Flatten", "x")
    for alpha, beta, c in itertools.product((None, 0.5), (None, 0.25, 0.0), (None, (5,), (1, 5), (1, 1), (1,), ())):
        inputs = ("x", rand(126, 5)) if c is None else ("x", rand(126, 5), rand(*c))
        simple("Gemm", f"c {c}", inputs=inputs, before=flat, alpha=alpha, beta=beta)
    simple("Gemm", "transB", inputs=("x", rand(5, 126), rand(5)), before=flat, transB=1)
    simple("Gemm", "transA", inputs=("x", rand(1, 5), rand(126, 1)), before=flat, transA=1)
    simple("Gemm", "transA transB", inputs=("x", rand(5, 1), rand(5)), before=flat, transA=1, transB=1)
    simple("Gemm", "empty c", inputs=("x", rand(126, 5), ""), before=flat)
    simple("Gemm", "old", inputs=("x", rand(126, 5), rand(5)), before=flat, opset=9)
    for fmod in (None, 1):
        simple("Mod", inputs=("x", np.float32(0.7)), fmod=fmod)
    for op in ("Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Equal"):
        simple(op, "round", inputs=("x", rand(3, 1, 1).round()), before=lambda g: g.node("Round", "x"), cast=True)
        case("Where", op, lambda g, op=op: g.node("Where", g.node(op, g.node("Round", "x"), g.constant(0.0)), "x", g.constant(rand(3, 1, 1))))
        case("Where", f"{op} constants", lambda g, op=op: g.node("Where", g.node(op, "x", g.constant(0.0)), g.constant(1.5), g.constant(rand(6))))
    for op in ("And", "Or", "Xor"):
        case(op, "", lambda g, op=op: g.node("Cast", g.node(op, g.node("Greater", "x", g.constant(0.3)), g.node("Less", "x", g.constant(0.6))), to=1))
    case("Not", "", lambda g: g.node("Cast", g.node("Not", g.node("Greater", "x", g.constant(0.3))), to=1))
    for kind in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL, TensorProto.BFLOAT16, TensorProto.INT16):
        case("Cast", f"to {kind}", lambda g, k=kind: g.node("Cast", g.node("Cast", g.node("Mul", "x", g.constant(3.0)), to=k), to=1))
    for kind in (TensorProto.UINT8, TensorProto.INT8):
        case("Cast", f"to {kind}", lambda g, k=kind: g.node("Cast", g.node("Cast", g.node("Clip", g.node("Mul", "x", g.constant(30.0)), g.constant(0.0), g.constant(100.0)), to=k), to=1))
    case("CastLike", "", lambda g: g.node("Cast", g.node("CastLike", "x", g.constant([1], np.int32)), to=1))
    for op in ("IsNaN", "IsInf"):
        simple(op, cast=True)
    simple("Einsum", inputs=("x", rand(3, 5)), equation="nchw,cd->ndhw")


CONVS = {
    "conv 3x3": lambda g: g.conv("x"),
    "conv 3x3 without bias": lambda g: g.conv("x", bias=False),
    "conv 1x1": lambda g: g.conv("x", 1),
    "conv 1x1 stride 2": lambda g: g.conv("x", 1, strides=[2, 2]) if False else g.conv("x", 1),
    "conv 3x3 grouped": lambda g: g.conv(g.conv("x", 1), out=4, channels=4, group=2),
    "conv depthwise": lambda g: g.conv(g.conv("x", 1), out=4, channels=4, group=4),
    "transposed": lambda g: g.node("ConvTranspose", "x", g.random(3, 4, 3, 3), pads=[1, 1, 1, 1]),
}


def windows():
    for kernel, strides, pads, dilations, group, auto, bias in itertools.product(([3, 3], [2, 3], [1, 1], [5, 4]), (None, [2, 2], [1, 2]), (None, [1, 1, 1, 1], [0, 1, 2, 0]), (None, [2, 2], [1, 2]), (1, 3), (None, "SAME_UPPER", "SAME_LOWER", "VALID"), (False, True)):
        if auto and pads or kernel == [5, 4] and (dilations or not (pads or auto)) or group == 3 and (auto == "VALID" or bias is False):
            continue
        out = 6 if group == 3 else 4
        inputs = ("x", rand(out, 3 // group, *kernel)) + ((rand(out),) if bias else ())
        simple("Conv", inputs=inputs, kernel_shape=kernel if bias else None, strides=strides, pads=pads, dilations=dilations, group=group, auto_pad=auto)
    w = rand(4, 3, 3, 3)
    for what, attributes in [("pads and auto_pad", {"pads": [1, 1, 1, 1], "auto_pad": "SAME_UPPER"}), ("zero pads and auto_pad", {"pads": [0, 0, 0, 0], "auto_pad": "SAME_UPPER"}), ("NOTSET", {"pads": [1, 1, 1, 1], "auto_pad": "NOTSET"}), ("zero stride", {"strides": [0, 1]}), ("negative stride", {"strides": [-1, 1]}), ("three strides", {"strides": [1, 1, 1]}), ("zero dilation", {"dilations": [0, 1]}), ("kernel_shape other", {"kernel_shape": [2, 2]}), ("negative pads", {"pads": [-1, 0, 0, 0]}), ("two pads", {"pads": [1, 1]}), ("group 2", {"group": 2}), ("group 0", {"group": 0}), ("unknown pad", {"auto_pad": "ODD"})]:
        simple("Conv", what, inputs=("x", w), **attributes)
    simple("Conv", "empty bias", inputs=("x", w, ""))
    simple("Conv", "too large", inputs=("x", rand(4, 3, 9, 9)))
    simple("Conv", "no outputs", inputs=("x", rand(0, 3, 3, 3)))
    simple("Conv", "rank 3", inputs=("x", rand(4, 3, 3)), before=lambda g: g.node("Reshape", "x", g.constant([1, 3, 42], np.int64)))
    simple("Conv", "rank 3 attributes", inputs=("x", rand(4, 3, 3)), before=lambda g: g.node("Reshape", "x", g.constant([1, 3, 42], np.int64)), pads=[1, 2], strides=[2], dilations=[2])
    simple("Conv", "rank 5", inputs=("x", rand(4, 1, 2, 3, 3)), before=lambda g: g.node("Reshape", "x", g.constant([1, 1, 3, 7, 6], np.int64)))
    simple("Conv", "wide bias", inputs=("x", w, rand(1)))
    for strides, pads, output_padding, group, auto, output_shape, dilations in itertools.product((None, [2, 2], [2, 1]), (None, [1, 1, 1, 1], [1, 0, 0, 1]), (None, [1, 0]), (1, 3), (None, "SAME_UPPER", "SAME_LOWER"), (None, [14, 13]), (None, [2, 2])):
        if auto and pads or output_shape and (pads or dilations or output_padding) or output_padding and not strides or dilations and group == 3:
            continue
        simple("ConvTranspose", inputs=("x", rand(3, 6 // group, 3, 3), rand(6)), strides=strides, pads=pads, output_padding=output_padding, group=group, auto_pad=auto, output_shape=output_shape, dilations=dilations)
    for op in ("MaxPool", "AveragePool"):
        for kernel, strides, pads, ceil, auto, extra in itertools.product(([2, 2], [3, 3], [3, 2]), (None, [2, 2], [3, 1], [4, 4]), (None, [1, 1, 1, 1], [0, 1, 1, 0]), (None, 0, 1), (None, "SAME_UPPER", "SAME_LOWER", "VALID"), (None, 0, 1)):
            if auto and pads or kernel == [2, 2] and pads == [1, 1, 1, 1] and False:
                continue
            extra = {} if extra is None else {"storage_order": extra} if op == "MaxPool" else {"count_include_pad": extra}
            simple(op, opset=10, kernel_shape=kernel, strides=strides, pads=pads, ceil_mode=ceil, auto_pad=auto, **extra)
            if op == "AveragePool" and ceil:
                simple(op, opset=19, kernel_shape=kernel, strides=strides, pads=pads, ceil_mode=ceil, auto_pad=auto, **extra)
        for dilations in ([1, 1], [2, 2], [1, 2]):
            for pads, ceil in itertools.product((None, [1, 1, 1, 1]), (None, 1)):
                simple(op, opset=12 if op == "MaxPool" else 19, kernel_shape=[2, 3] if pads is None else [3, 3], dilations=dilations, pads=pads, ceil_mode=ceil)
        for what, attributes in [("no kernel", {}), ("zero kernel", {"kernel_shape": [0, 2]}), ("three", {"kernel_shape": [2, 2, 2]}), ("one", {"kernel_shape": [2]}), ("huge", {"kernel_shape": [2**31, 2]}), ("larger than the input", {"kernel_shape": [9, 9]}), ("zero stride", {"kernel_shape": [2, 2], "strides": [0, 1]}), ("pads larger than the kernel", {"kernel_shape": [2, 2], "pads": [3, 3, 3, 3]}), ("negative pads", {"kernel_shape": [2, 2], "pads": [-1, 0, 0, 0]}), ("pads and auto_pad", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "auto_pad": "SAME_UPPER"}), ("two pads", {"kernel_shape": [2, 2], "pads": [1, 1]})]:
            simple(op, what, **attributes)
        simple(op, "rank 3", kernel_shape=[3], before=lambda g: g.node("Reshape", "x", g.constant([1, 3, 42], np.int64)))
        simple(op, "rank 2", kernel_shape=[2], before=lambda g: g.node("Flatten", "x"))
        simple(op, "rank 1", kernel_shape=[], before=lambda g: g.node("Reshape", "x", g.constant([-1], np.int64)))
        simple(op, "rank 0", kernel_shape=[], before=lambda g: g.node("ReduceMean", "x", keepdims=0))
    for storage in (None, 0, 1):
        case("MaxPool", f"indices, storage_order {storage}", lambda g, s=storage: (g.node("MaxPool", "x", outputs=["m", "i"], kernel_shape=[2, 2], storage_order=s), g.node("Add", "m", g.node("Cast", "i", to=1)))[1], opset=12)
    case("MaxPool", "empty indices", lambda g: g.node("MaxPool", "x", outputs=["m", ""], kernel_shape=[2, 2]), opset=12)


def quantizers():
    u8, s8 = (np.uint8, 128), (np.int8, -3)
    for opset in (10, 13, 19, 21, 23):
        for dtype, zero in (u8, s8, (np.uint8, 0), (np.uint8, 255)):
            case("QuantizeLinear", f"and back {dtype.__name__} {zero}", lambda g, d=dtype, z=zero: g.dequantize(g.quantize("x", 0.05, z, d), 0.05, z, d), opset=opset)
            for other, zero2 in (u8, s8):
                if other != dtype:
                    case("QuantizeLinear", f"{dtype.__name__} to {other.__name__}", lambda g, d=dtype, z=zero, o=other, z2=zero2: g.dequantize(g.quantize(g.node("Relu", g.dequantize(g.quantize("x", 0.05, z, d), 0.05, z, d)), 0.04, z2, o), 0.04, z2, o), opset=opset)
        case("QuantizeLinear", "without zero point", lambda g: g.node("DequantizeLinear", g.node("QuantizeLinear", "x", g.constant(0.02)), g.constant(0.02)), opset=opset)
        case("QuantizeLinear", "empty zero point", lambda g: g.node("DequantizeLinear", g.node("QuantizeLinear", "x", g.constant(0.02), ""), g.constant(0.02), ""), opset=opset)
        case("QuantizeLinear", "scale of rank 1", lambda g: g.dequantize(g.quantize("x", [0.02], [128]), [0.02], [128]), opset=opset)
        if opset >= 13:
            for axis, n in ((None, 3), (1, 3), (2, 7), (-1, 6), (0, 1), (4, 3)):
                s, z = rand(n, low=0.01, high=0.1), np.arange(n)
                case("QuantizeLinear", f"axis {axis}", lambda g, a=axis, s=s, z=z: g.dequantize(g.quantize("x", s, z, axis=a), s, z, axis=a), opset=opset)
                case("QuantizeLinear", f"axis {axis} int8", lambda g, a=axis, s=s, z=z: g.dequantize(g.quantize("x", s, z, np.int8, axis=a), s, z, np.int8, axis=a), opset=opset)
        if opset >= 19:
            case("QuantizeLinear", "saturate 1", lambda g: g.dequantize(g.quantize("x", saturate=1)), opset=opset)
            case("QuantizeLinear", "saturate 0", lambda g: g.dequantize(g.quantize("x", saturate=0)), opset=opset)
        if opset >= 21:
            for kind in (TensorProto.INT8, TensorProto.UINT8):
                case("QuantizeLinear", f"output_dtype {kind}", lambda g, k=kind: g.node("DequantizeLinear", g.node("QuantizeLinear", "x", g.constant(0.02), output_dtype=k), g.constant(0.02)), opset=opset)
            case("QuantizeLinear", "blocks", lambda g: g.node("DequantizeLinear", g.node("QuantizeLinear", "x", g.constant(rand(1, 3, 7, 2, low=0.01, high=0.1)), g.constant(np.zeros((1, 3, 7, 2)), np.int8), axis=3, block_size=3), g.constant(rand(1, 3, 7, 2, low=0.01, high=0.1)), g.constant(np.zeros((1, 3, 7, 2)), np.int8), axis=3, block_size=3), opset=opset)
            for axis, block, shape in ((0, 2, (2, 3, 3, 3)), (1, 2, (4, 2, 3, 3)), (1, 3, (4, 1, 3, 3)), (3, 2, (4, 3, 3, 2))):
                case("DequantizeLinear", f"weights in blocks of {block} along {axis}", lambda g, a=axis, b=block, s=shape: g.node("Conv", "x", g.node("DequantizeLinear", g.constant(np.arange(108).reshape(4, 3, 3, 3) % 15 - 7, np.int8), g.constant(rand(*s, low=0.01, high=0.1)), g.constant(np.arange(np.prod(s)).reshape(s) % 5, np.int8), axis=a, block_size=b)), opset=opset)
    between = {
        "Relu": lambda g, y: g.node("Relu", y), "Sigmoid": lambda g, y: g.node("Sigmoid", y), "Softmax": lambda g, y: g.node("Softmax", y, axis=1), "Softmax -1": lambda g, y: g.node("Softmax", y),
        "LogSoftmax": lambda g, y: g.node("LogSoftmax", y, axis=1), "Hardmax": lambda g, y: g.node("Hardmax", y, axis=1), "CumSum": lambda g, y: g.node("CumSum", y, g.constant(1, np.int64)), "LRN": lambda g, y: g.node("LRN", y, size=3),
        "Transpose": lambda g, y: g.node("Transpose", y, perm=[0, 2, 1, 3]), "Reshape": lambda g, y: g.node("Reshape", y, g.constant([1, 6, 3, 7], np.int64)), "MaxPool": lambda g, y: g.node("MaxPool", y, kernel_shape=[2, 2]), "MaxPool padded": lambda g, y: g.node("MaxPool", y, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        "AveragePool": lambda g, y: g.node("AveragePool", y, kernel_shape=[2, 2]), "GlobalAveragePool": lambda g, y: g.node("GlobalAveragePool", y), "ReduceMax": lambda g, y: g.node("ReduceMax", y, axes=[1]), "Flatten": lambda g, y: g.node("Flatten", y),
        "Add": lambda g, y: g.node("Add", y, g.constant(0.1)), "Mul": lambda g, y: g.node("Mul", y, g.constant(rand(3, 1, 1))), "Sub": lambda g, y: g.node("Sub", g.constant(0.1), y), "Neg": lambda g, y: g.node("Neg", y), "Abs": lambda g, y: g.node("Abs", y), "Square": lambda g, y: g.node("Mul", y, y),
        "Clip": lambda g, y: g.node("Clip", y, g.constant(-0.2), g.constant(0.6)), "Max": lambda g, y: g.node("Max", y, g.constant(0.1)), "Min": lambda g, y: g.node("Min", y, g.constant(0.1)), "HardSwish": lambda g, y: g.node("HardSwish", y), "LeakyRelu": lambda g, y: g.node("LeakyRelu", y, alpha=0.2), "PRelu": lambda g, y: g.node("PRelu", y, g.constant(rand(3, 1, 1))),
        "InstanceNormalization": lambda g, y: g.node("InstanceNormalization", y, g.random(3), g.random(3)), "LayerNormalization": lambda g, y: g.node("LayerNormalization", y, g.random(6)), "LpNormalization": lambda g, y: g.node("LpNormalization", y, axis=1), "BatchNormalization": lambda g, y: g.node("BatchNormalization", y, g.random(3), g.random(3), g.random(3), g.random(3, low=0.1)), "MVN": lambda g, y: g.node("MeanVarianceNormalization", y),
        "Concat": lambda g, y: g.node("Concat", y, y, axis=1), "Slice": lambda g, y: g.node("Slice", y, g.constant([0], np.int64), g.constant([2], np.int64), g.constant([1], np.int64)), "Gather": lambda g, y: g.node("Gather", y, g.constant([2, 0], np.int64), axis=1), "Pad": lambda g, y: g.node("Pad", y, g.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64)), "Resize": lambda g, y: g.node("Resize", y, "", g.constant([1, 1, 2, 2]), mode="nearest"), "Conv": lambda g, y: g.conv(y), "Conv 1x1": lambda g, y: g.conv(y, 1), "Depthwise": lambda g, y: g.conv(y, 3, 3, group=3), "MatMul": lambda g, y: g.node("MatMul", y, g.constant(rand(6, 4))), "Identity": lambda g, y: g.node("Identity", y), "Dropout": lambda g, y: g.node("Dropout", y), "Expand": lambda g, y: g.node("Expand", y, g.constant([1, 3, 7, 6], np.int64)), "Tile": lambda g, y: g.node("Tile", y, g.constant([1, 2, 1, 1], np.int64)), "DepthToSpace": lambda g, y: g.node("SpaceToDepth", g.node("Pad", y, g.constant([0, 0, 0, 0, 0, 0, 1, 0], np.int64)), blocksize=2), "TopK": lambda g, y: g.node("TopK", y, g.constant([2], np.int64), outputs=["tv", "ti"], axis=1), "Round": lambda g, y: g.node("Round", y), "Sqrt": lambda g, y: g.node("Sqrt", g.node("Abs", y)), "Exp": lambda g, y: g.node("Exp", y), "Where": lambda g, y: g.node("Where", g.node("Greater", y, g.constant(0.1)), y, g.constant(0.3)), "Trilu": lambda g, y: g.node("Trilu", y), "Split": lambda g, y: g.node("Split", y, outputs=["sa", "sb", "sc"], axis=1), "Erf": lambda g, y: g.node("Erf", y), "Pow": lambda g, y: g.node("Pow", g.node("Abs", y), g.constant(1.5)), "Mod": lambda g, y: g.node("Mod", y, g.constant(0.3), fmod=1), "ReduceSum": lambda g, y: g.node("ReduceSum", y, g.constant([1], np.int64)), "Squeeze": lambda g, y: g.node("Squeeze", y, g.constant([0], np.int64)), "Sign": lambda g, y: g.node("Sign", y), "GlobalMaxPool": lambda g, y: g.node("GlobalMaxPool", y), "Cast": lambda g, y: g.node("Cast", g.node("Cast", y, to=TensorProto.FLOAT16), to=1),
    }
    for name, op in between.items():
        for dtype, zero in (u8, s8):
            for out, zero2 in (u8, s8):
                case("between quantizers", f"{name} {dtype.__name__} {out.__name__}", lambda g, op=op, d=dtype, z=zero, o=out, z2=zero2: g.dequantize(g.quantize(op(g, g.dequantize(g.quantize("x", 0.03, z, d), 0.03, z, d)), 0.01, z2, o), 0.01, z2, o))
        s = rand(3, low=0.01, high=0.04)
        case("between quantizers", f"{name} per channel", lambda g, op=op, s=s: g.dequantize(g.quantize(op(g, g.dequantize(g.quantize("x", s, [1, 2, 3], np.int8), s, [1, 2, 3], np.int8)), 0.01, 100), 0.01, 100))
        case("between quantizers", f"{name} on quantized values", lambda g, op=op: g.dequantize(op(g, g.quantize("x", 0.03, 128)), 0.03, 128))
        for twice in ("Relu", "Reshape", "Softmax", "Transpose"):
            case("between quantizers", f"{name} and {twice}", lambda g, op=op, t=between[twice]: g.dequantize(g.quantize(t(g, op(g, g.dequantize(g.quantize("x", 0.03), 0.03))), 0.01, 7), 0.01, 7))
        case("after conv", name, lambda g, op=op: op(g, g.conv("x", out=3)))
        case("after conv 1x1", name, lambda g, op=op: op(g, g.conv("x", 1, out=3)))
        case("before conv", name, lambda g, op=op: g.conv(g.node("Resize", op(g, "x"), "", "", g.constant([1, 3, 7, 6], np.int64), mode="nearest")) if name not in ("Conv", "Conv 1x1", "Concat", "Flatten", "Squeeze", "TopK", "Split", "Tile", "Gather", "Slice", "DepthToSpace", "ReduceMax", "ReduceSum", "Reshape", "Transpose") else op(g, "x"))
        for pad in ({"pads": [0, 0, 0, 0]}, {"auto_pad": "SAME_UPPER", "pads": None}):
            case("before strides", f"{name} {pad}", lambda g, op=op, p=pad: strided(g, op(g, "x"), **p), shape=(1, 3, 9, 6))
            case("before strides", f"{name} of conv {pad}", lambda g, op=op, p=pad: strided(g, op(g, g.conv("x", out=3, **p)), pads=[0, 0, 0, 0]), shape=(1, 3, 9, 6))
        case("after depthwise", name, lambda g, op=op: op(g, g.conv("x", 3, 3, group=3)))
    for name in "QLinearSoftmax QLinearSigmoid QLinearLeakyRelu QLinearGlobalAveragePool QLinearAveragePool".split():
        for extra in {"QLinearSoftmax": ({"opset": 13}, {"opset": 13, "axis": 1}, {"opset": 12, "axis": 1}, {"opset": 12}), "QLinearLeakyRelu": ({}, {"alpha": 0.3}), "QLinearGlobalAveragePool": ({}, {"channels_last": 0}, {"channels_last": 1}), "QLinearAveragePool": ({"kernel_shape": [2, 2]}, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}, {"kernel_shape": [2, 2], "ceil_mode": 1, "strides": [2, 2]}, {"kernel_shape": [2, 2], "channels_last": 1})}.get(name, ({},)):
            for dtype, zero in (u8, s8):
                case(name, f"{extra} {dtype.__name__}", lambda g, n=name, e=extra, d=dtype, z=zero: g.dequantize(g.node(n, g.quantize("x", 0.03, z, d), g.constant(0.03), g.constant(z, d), g.constant(0.01), g.constant(z, d), domain="com.microsoft", **e), 0.01, z, d))
    for name in ("QLinearAdd", "QLinearMul"):
        for shape in ((3, 1, 1), (1, 3, 7, 6), ()):
            case(name, f"{shape}", lambda g, n=name, s=shape: g.dequantize(g.node(n, g.quantize("x", 0.03), g.constant(0.03), g.constant(128, np.uint8), g.constant(rand(*s, low=0, high=255).astype(np.uint8), np.uint8), g.constant(0.01), g.constant(9, np.uint8), g.constant(0.05), g.constant(100, np.uint8), domain="com.microsoft"), 0.05, 100))
    case("QLinearConcat", "", lambda g: g.dequantize(g.node("QLinearConcat", g.constant(0.04), g.constant(10, np.uint8), g.quantize("x", 0.03), g.constant(0.03), g.constant(128, np.uint8), g.quantize("x", 0.02, 3), g.constant(0.02), g.constant(3, np.uint8), axis=1, domain="com.microsoft"), 0.04, 10))
    for group, scales, bias in itertools.product((1, 3), (False, True), (False, True)):
        case("QLinearConv", f"group {group} {scales} {bias}", lambda g, gr=group, sc=scales, b=bias: g.dequantize(g.node("QLinearConv", g.quantize("x", 0.03), g.constant(0.03), g.constant(128, np.uint8), g.constant(np.arange(6 * 27 // gr).reshape(6, 3 // gr, 3, 3) % 31 - 15, np.int8), g.constant(rand(6, low=0.01, high=0.02)) if sc else g.constant(0.01), g.constant(np.zeros(6), np.int8) if sc else g.constant(0, np.int8), g.constant(0.05), g.constant(100, np.uint8), *([g.constant(np.arange(6) * 100, np.int32)] if b else []), group=gr, pads=[1, 1, 1, 1]), 0.05, 100))
    case("QLinearMatMul", "", lambda g: g.dequantize(g.node("QLinearMatMul", g.quantize("x", 0.03), g.constant(0.03), g.constant(128, np.uint8), g.constant(np.arange(30).reshape(6, 5), np.uint8), g.constant(0.01), g.constant(12, np.uint8), g.constant(0.02), g.constant(120, np.uint8)), 0.02, 120))
    case("QLinearMatMul", "per column", lambda g: g.dequantize(g.node("QLinearMatMul", g.quantize("x", 0.03), g.constant(0.03), g.constant(128, np.uint8), g.constant(np.arange(30).reshape(6, 5), np.int8), g.constant(rand(5, low=0.01, high=0.02)), g.constant(np.zeros(5), np.int8), g.constant(0.02), g.constant(120, np.uint8)), 0.02, 120))
    case("ConvInteger", "", lambda g: g.node("Mul", g.node("Cast", g.node("ConvInteger", g.quantize("x", 0.03), g.constant(np.arange(108).reshape(4, 3, 3, 3) % 15 - 7, np.int8), g.constant(128, np.uint8)), to=1), g.constant(0.01)))
    case("MatMulInteger", "", lambda g: g.node("Mul", g.node("Cast", g.node("MatMulInteger", g.quantize("x", 0.03), g.constant(np.arange(30).reshape(6, 5) % 15 - 7, np.int8), g.constant(128, np.uint8)), to=1), g.constant(0.01)))
    case("DynamicQuantizeLinear", "", lambda g: (g.node("DynamicQuantizeLinear", "x", outputs=["dq", "ds", "dz"]), g.node("Mul", g.node("Sub", g.node("Cast", "dq", to=1), g.node("Cast", "dz", to=1)), "ds"))[1])


def strided(g, x, **attributes):
    """A convolution of windows of one value with strides behind `x`, brought to [1, 3, 7, 5]."""
    sizes = g.constant([1, 3, 7, 5], np.int64)
    names = [node.op_type for node in g.nodes]
    if any(name in ("Concat", "Flatten", "Squeeze", "TopK", "Split", "Tile", "Gather", "Slice", "SpaceToDepth", "ReduceMax", "ReduceSum", "GlobalAveragePool", "GlobalMaxPool", "Expand") for name in names):
        x = g.node("Resize", g.node("Reshape", x, g.constant([1, 1, 1, -1], np.int64)), "", "", sizes, mode="nearest")
    channels = 4 if names and names[-1] == "Conv" and "Resize" not in names else 3
    if names and names[-1] in ("Concat",) or "Reshape" in names and "Resize" not in names:
        channels = 6
    return g.conv(x, 1, channels=channels, strides=[3, 2], **attributes)


def oddities():
    """What no exporter writes."""
    w = rand(4, 3, 3, 3)
    for op, inputs, attributes in [("Relu", ("x",), {}), ("Conv", ("x", w), {}), ("MaxPool", ("x",), {"kernel_shape": [2, 2]}), ("Add", ("x", rand(6)), {}), ("Flatten", ("x",), {}), ("Softmax", ("x",), {})]:
        simple(op, "unknown attribute", inputs=inputs, magic=1, **attributes)
        simple(op, "unknown domain", inputs=inputs, domain="com.example", **attributes)
        simple(op, "domain ai.onnx", inputs=inputs, domain="ai.onnx", **attributes)
        simple(op, "domain com.microsoft", inputs=inputs, domain="com.microsoft", **attributes)
        simple(op, "too many inputs", inputs=(*inputs, "x", "x", "x"), **attributes)
        simple(op, "no inputs", inputs=(), **attributes)
    simple("Conv", "wrong type", inputs=("x", w), strides=2.0)
    simple("Conv", "wrong type", inputs=("x", w), group=[1])
    simple("Flatten", "wrong type", axis=1.0)
    simple("LeakyRelu", "wrong type", alpha=1)
    simple("NoSuchOperator")
    simple("Softmax", "opset 30", opset=30)
    simple("Relu", "opset 1", opset=1)


GROUPS = [unary, reductions, norms, shapes, resizes, binary, windows, quantizers, oddities]


def truth(model, x):
    """What ONNX Runtime gives, or None with its reason."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return session.run(None, {"x": x})[0], ""
    except Exception as error:  # noqa: BLE001: whatever it says, it refuses
        return None, str(error)


def judge(densight, folder, graph, build, stock):
    try:
        output = build(graph)
        model = graph.model(output)
    except Exception as error:  # noqa: BLE001
        return "unbuilt", str(error)
    x = (np.random.default_rng(5).standard_normal(graph.shape) * graph.scale).astype(np.float32)
    want, why = truth(model, x)
    file, input_file, output_file = folder / "m.onnx", folder / "x.npy", folder / "y.npy"
    onnx.save(model, file)
    np.save(input_file, x)
    output_file.unlink(missing_ok=True)
    command = [str(densight), "run", str(file), "--input", str(input_file), "--output", str(output_file)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except subprocess.TimeoutExpired:
        return "crash", "hangs"
    said = done.stderr.strip()
    if done.returncode not in (0, 1) or "\n" in said:
        return "crash", f"{done.returncode}: {said[:300]!r}"
    if done.returncode == 1 and want is not None and not np.isfinite(want).all():
        return "not finite", said
    if done.returncode == 1:
        named = any(node.name in said for node in graph.nodes) or "written in opset" in said
        return ("refused" if named else "unnamed"), said + ("" if want is not None else "  [ONNX Runtime too]")
    if want is None:
        return "lenient", why[:200]
    if not np.isfinite(want).all():
        return "wrong", "finite values where ONNX Runtime gives others"
    got = np.load(output_file)
    if got.size != want.size:
        return "wrong", f"{list(got.shape)} instead of {list(want.shape)}"
    error = np.abs(got.reshape(want.shape).astype(np.float64) - want).max(initial=0) / max(np.abs(want).max(initial=0), 1e-30)
    limit = 0.02 if any(node.op_type.startswith("Quant") for node in graph.nodes) else 2e-4
    return ("right" if error <= limit else "wrong"), f"{error:.3g}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--densight", type=pathlib.Path, required=True)
    parser.add_argument("--only", nargs="*", help="operators to try")
    parser.add_argument("--groups", nargs="*", help="groups of operators to try: " + ", ".join(g.__name__ for g in GROUPS))
    parser.add_argument("--show", nargs="*", default=["wrong", "crash", "unnamed"], help="verdicts to list")
    parser.add_argument("--keep", type=pathlib.Path, help="folder for the graphs that are listed")
    args = parser.parse_args()
    for group in GROUPS:
        if not args.groups or group.__name__ in args.groups:
            group()
    totals, by_operator, seen = collections.Counter(), collections.defaultdict(collections.Counter), set()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for number, (graph, build) in enumerate(CASES):
            if args.only and graph.op not in args.only:
                continue
            verdict, detail = judge(args.densight, folder, graph, build, False)
            totals[verdict] += 1
            by_operator[graph.op][verdict] += 1
            if verdict in args.show:
                print(f"{verdict}: {graph.op} [{graph.opset}] {graph.what}: {detail}", flush=True)
                if args.keep:
                    args.keep.mkdir(parents=True, exist_ok=True)
                    onnx.save(onnx.load(folder / "m.onnx"), args.keep / f"{number}-{graph.op.replace(' ', '-')}.onnx")
    for operator, counts in by_operator.items():
        print(f"{operator:28}", "  ".join(f"{verdict} {count}" for verdict, count in sorted(counts.items())))
    print(dict(totals))
    return 1 if totals["wrong"] or totals["crash"] or totals["unnamed"] else 0


if __name__ == "__main__":
    sys.exit(main())
