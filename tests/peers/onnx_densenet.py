"""Small float DenseNets, and residual networks, as ONNX graphs, node by node, in the many forms exporters write. Needs only numpy and onnx.

Weights are random but settled: He-normal convolutions, gamma 0.5-1.5, and running statistics measured on sample
images while the network is built, so that activations keep a sane range at any depth.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DEFAULTS = dict(
    growth=6, blocks=(2, 2), init=8, classes=7, side=12, compression=0.5, bn_size=4,
    bottleneck=True,    # False: BN-ReLU-Conv(3x3) layers
    layers="dense",     # "dense"; "residual": two 3x3 and a sum, as in ResNet-18; "gated": with SE in front of the sum
    stem="small",       # "small": 3x3; "large": 7x7 stride 2, BN, ReLU, max pool; "padded": large with Pad nodes
    concat="chain",     # "chain": concat(concat(x, a), b); "flat": concat(x, a, b)
    norm="bn",          # "bn", or Mul and Add with constants "c11" [C, 1, 1] or "1c11" [1, C, 1, 1]
    fold=False,         # norms that follow a convolution become its weights and bias
    pool="global",      # "global", "mean" (ReduceMean), "mean-keep" (keepdims) or "average" (AveragePool)
    flat="flatten",     # "flatten", "reshape", "squeeze" or "view" (Shape, Gather, Unsqueeze, Concat, Reshape)
    head="gemm",        # "gemm", "gemm-plain" (transB 0), "matmul" (with Add) or "conv" (1x1, then flat)
    softmax=False,      # a Softmax at the end
    identity=False,     # Identity and Dropout nodes, as from training code
    attributes="full",  # "full", or "few": only attributes that differ from ONNX's defaults
    constants="init",   # "init": initializers; "node": Constant nodes
    opset=17, batch=1)  # batch: a number, or a string for a symbolic dimension


def images(n, side, seed):
    """Deterministic normalised images, float32 [n, 3, side, side]: a tint, coarse shapes and fine noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0, 1, (n, 3, 4, 4)).repeat(-(-side // 4), 2).repeat(-(-side // 4), 3)[:, :, :side, :side]
    return (rng.normal(0, 1, (n, 3, 1, 1)) + coarse + rng.normal(0, 0.5, (n, 3, side, side))).astype(np.float32)


def windows(x, k, stride):
    """[n, c, h, w, k, k] windows."""
    return np.lib.stride_tricks.sliding_window_view(x, (k, k), (2, 3))[:, :, ::stride, ::stride]


def padded(x, pad, value=0.0):
    return np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=value)


class Builder:
    """Grows a graph, and next to it (`values`) what its tensors are for sample images."""

    def __init__(self, c, seed):
        self.c, self.rng = c, np.random.default_rng(seed)
        self.nodes, self.initializers = [], []
        self.values = {"input": images(48, c["side"], seed + 1000).astype(np.float64)}

    def node(self, op, inputs, out, value, default=None, **attributes):
        """Adds a node; attributes equal to those in `default` are left out in files with few of them."""
        if self.c["attributes"] == "few":
            attributes = {k: v for k, v in attributes.items() if (default or {}).get(k) != v}
        self.nodes.append(helper.make_node(op, inputs, [out], name=out, **attributes))
        self.values[out] = value
        return out

    def constant(self, name, value, kind=np.float32):
        tensor = numpy_helper.from_array(np.asarray(value, kind), name)
        if self.c["constants"] == "node":
            self.nodes.append(helper.make_node("Constant", [], [name], name=f"{name}.constant", value=tensor))
        else:
            self.initializers.append(tensor)
        return name

    def pad(self, x, pad, value):
        pads = self.constant(f"{x}.pads", [0, 0, pad, pad, 0, 0, pad, pad], np.int64)
        fill = self.constant(f"{x}.fill", value)
        return self.node("Pad", [x, pads, fill], f"{x}.pad", padded(self.values[x], pad, value), mode="constant")

    def conv(self, x, out, channels, k, stride=1, norm=False):
        """A convolution with half padding; a norm folded in, if asked, gives it a bias."""
        v, pad = self.values[x], k // 2
        w = self.rng.normal(0, (2 / (v.shape[1] * k * k)) ** 0.5, (channels, v.shape[1], k, k))
        y = np.tensordot(windows(padded(v, pad), k, stride), w, ([1, 4, 5], [1, 2, 3])).transpose(0, 3, 1, 2)
        b = None
        if norm:
            scale, b = self.scale_and_shift(y)
            w, y = w * scale[:, None, None, None], y * scale[:, None, None] + b[:, None, None]
        if self.c["stem"] == "padded" and k == 7:
            x, pad = self.pad(x, pad, 0.0), 0
        return self.conv_node(x, w, b, out, y, stride, pad)

    def conv_node(self, x, w, b, out, y, stride=1, pad=0):
        k = w.shape[2]
        inputs = [x, self.constant(f"{out}.weight", w)] + ([] if b is None else [self.constant(f"{out}.bias", b)])
        default = dict(dilations=[1, 1], group=1, kernel_shape=[k, k], pads=[0] * 4, strides=[1, 1])
        return self.node("Conv", inputs, out, y, default, **default | dict(pads=[pad] * 4, strides=[stride] * 2))

    def norm_values(self, v):
        """gamma, beta, mean and variance per channel; statistics rounded, so that machines agree on them."""
        n = v.shape[1]
        gamma, beta = self.rng.uniform(0.5, 1.5, n), self.rng.uniform(-0.3, 0.3, n)
        return gamma, beta, np.round(v.mean((0, 2, 3)), 3), np.round(v.var((0, 2, 3)) + 1e-3, 3)

    def scale_and_shift(self, v):
        gamma, beta, mean, var = self.norm_values(v)
        scale = gamma / np.sqrt(var + 1e-5)
        return scale, beta - mean * scale

    def norm(self, x, out):
        v = self.values[x]
        if self.c["norm"] == "bn":
            parts = self.norm_values(v)
            scale = parts[0] / np.sqrt(parts[3] + 1e-5)
            y = (v - parts[2][:, None, None]) * scale[:, None, None] + parts[1][:, None, None]
            names = [self.constant(f"{out}.{n}", p)
                     for n, p in zip(("weight", "bias", "running_mean", "running_var"), parts)]
            attributes = dict(epsilon=1e-5, momentum=0.9)
            if self.c["opset"] >= 14:
                attributes["training_mode"] = 0
            return self.node("BatchNormalization", [x, *names], out, y, attributes, **attributes)
        shape = (-1, 1, 1) if self.c["norm"] == "c11" else (1, -1, 1, 1)
        scale, shift = (p.reshape(shape) for p in self.scale_and_shift(v))
        x = self.node("Mul", [x, self.constant(f"{out}.scale", scale)], f"{out}.mul", v * scale)
        return self.node("Add", [x, self.constant(f"{out}.shift", shift)], out, v * scale + shift)

    def relu(self, x):
        return self.node("Relu", [x], f"{x}.relu", np.maximum(self.values[x], 0))

    def concat(self, parts, out):
        return self.node("Concat", parts, out, np.concatenate([self.values[p] for p in parts], 1), axis=1)

    def average(self, x, out, k):
        attributes = dict(ceil_mode=0, count_include_pad=1, kernel_shape=[k, k], pads=[0] * 4, strides=[k, k])
        default = dict(ceil_mode=0, count_include_pad=1, pads=[0] * 4)  # without padding nothing to include
        y = windows(self.values[x], k, k).mean((4, 5))
        return self.node("AveragePool", [x], out, y, default, **attributes)

    def norm_conv(self, x, name, i, channels, k):
        """The i-th BN-ReLU-Conv of a layer."""
        return self.conv(self.relu(self.norm(x, f"{name}.norm{i}")), f"{name}.conv{i}", channels, k)

    def layer(self, x, name):
        c = self.c
        if not c["bottleneck"]:
            return self.norm_conv(x, name, "1", c["growth"], 3)
        inner = c["bn_size"] * c["growth"]
        if c["fold"]:
            y = self.relu(self.norm(x, f"{name}.norm1"))
            y = self.relu(self.conv(y, f"{name}.conv1", inner, 1, norm=True))
            y = self.conv(y, f"{name}.conv2", c["growth"], 3)
        else:
            y = self.norm_conv(self.norm_conv(x, name, "1", inner, 1), name, "2", c["growth"], 3)
        return self.node("Dropout", [y], f"{name}.drop", self.values[y]) if c["identity"] else y

    def residual(self, x, name):
        fold, channels = self.c["fold"], self.values[x].shape[1]
        normed = lambda y: y if fold else self.norm(y, f"{y}.norm")
        y = self.relu(normed(self.conv(x, f"{name}.conv1", channels, 3, norm=fold)))
        y = normed(self.conv(y, f"{name}.conv2", channels, 3, norm=fold))
        if self.c["layers"] == "gated":
            y = self.gate(y, f"{name}.gate")
        return self.relu(self.node("Add", [y, x], f"{name}.sum", self.values[y] + self.values[x]))

    def gate(self, x, name):
        """Each channel times a number between 0 and 1 that is computed of all channels' means."""
        v = self.values[x]
        y = self.node("GlobalAveragePool", [x], f"{name}.mean", v.mean((2, 3), keepdims=True))
        y = self.relu(self.point(y, f"{name}.conv1", max(1, v.shape[1] // 2)))
        y = self.point(y, f"{name}.conv2", v.shape[1])
        y = self.node("Sigmoid", [y], f"{name}.sigmoid", 1 / (1 + np.exp(-self.values[y])))
        return self.node("Mul", [x, y], f"{name}.scaled", v * self.values[y])

    def point(self, x, out, channels):
        """A 1x1 convolution with a bias."""
        v = self.values[x]
        w, b = self.rng.normal(0, 2, (channels, v.shape[1])), self.rng.uniform(-1, 1, channels)
        y = np.einsum("oc,nchw->nohw", w, v) + b[:, None, None]
        return self.conv_node(x, w[:, :, None, None], b, out, y)

    def block(self, x, name, depth):
        if self.c["layers"] != "dense":
            for i in range(1, depth + 1):
                x = self.residual(x, f"{name}.layer{i}")
            return x
        parts = [x]
        for i in range(1, depth + 1):
            parts.append(self.layer(x, f"{name}.layer{i}"))
            x = self.concat(parts, f"{name}.concat{i}")
            if self.c["concat"] == "chain":
                parts = [x]
        return x

    def pool_and_flatten(self, x):
        """[n, c, h, w] -> [n, c, 1, 1], and a last step that makes it [n, c] where a classifier needs that."""
        c, v = self.c, self.values[x].mean((2, 3), keepdims=True)
        if c["pool"] == "global":
            x = self.node("GlobalAveragePool", [x], "pool", v)
        elif c["pool"] == "average":
            x = self.average(x, "pool", self.values[x].shape[2])
        else:
            keep = c["pool"] == "mean-keep" or c["head"] == "conv"
            if c["opset"] >= 18:
                inputs, axes = [x, self.constant("pool.axes", [2, 3], np.int64)], {}
            else:
                inputs, axes = [x], dict(axes=[2, 3])
            x = self.node("ReduceMean", inputs, "pool", v if keep else v[:, :, 0, 0], keepdims=int(keep), **axes)
        return x if c["head"] == "conv" else self.flatten(x, "features")

    def flatten(self, x, out):
        v = self.values[x].reshape(len(self.values[x]), -1)
        if self.values[x].ndim == 2:
            return x
        form = self.c["flat"]
        if form == "flatten":
            return self.node("Flatten", [x], out, v, dict(axis=1), axis=1)
        if form == "reshape":
            return self.node("Reshape", [x, self.constant(f"{out}.shape", [-1, v.shape[1]], np.int64)], out, v)
        if form == "squeeze":
            if self.c["opset"] >= 13:
                return self.node("Squeeze", [x, self.constant(f"{out}.axes", [2, 3], np.int64)], out, v)
            return self.node("Squeeze", [x], out, v, axes=[2, 3])
        n = self.node("Shape", [x], f"{out}.shape", None)
        n = self.node("Gather", [n, self.constant(f"{out}.zero", 0, np.int64)], f"{out}.n", None, axis=0)
        if self.c["opset"] >= 13:
            n = self.node("Unsqueeze", [n, self.constant(f"{out}.axes", [0], np.int64)], f"{out}.n1", None)
        else:
            n = self.node("Unsqueeze", [n], f"{out}.n1", None, axes=[0])
        n = self.node("Concat", [n, self.constant(f"{out}.rest", [-1], np.int64)], f"{out}.view", None, axis=0)
        return self.node("Reshape", [x, n], out, v)

    def classify(self, x):
        c, n, classes = self.c, self.values[x].shape[1], self.c["classes"]
        last = "scores" if c["softmax"] else "logits"
        # Logits of mean about 0 and deviation 1 per class: they tell images apart, and so show small errors.
        v = self.values[x].reshape(-1, n)
        w = self.rng.normal(0, 1, (classes, n))
        w = np.round(w / (v @ w.T).std(0)[:, None], 3)
        b = np.round(self.rng.uniform(-0.3, 0.3, classes) - (v @ w.T).mean(0), 3)
        y = v @ w.T + b
        if c["head"] == "conv":
            x = self.conv_node(x, w[:, :, None, None], b, "classifier", y[:, :, None, None])
            self.flatten(x, last)
        else:
            if c["head"] == "matmul":
                x = self.node("MatMul", [x, self.constant("classifier.weight", w.T)], "classifier", y - b)
                self.node("Add", [x, self.constant("classifier.bias", b)], last, y)
            else:
                plain = c["head"] == "gemm-plain"
                names = [self.constant("classifier.weight", w.T if plain else w), self.constant("classifier.bias", b)]
                self.node("Gemm", [x, *names], last, y, dict(alpha=1.0, beta=1.0, transB=0), alpha=1.0, beta=1.0,
                          transB=int(not plain))
        if c["softmax"]:
            self.node("Softmax", [last], "logits", self.values[last], axis=1)

    def network(self):
        c = self.c
        large = c["stem"] != "small"
        x = self.conv("input", "conv0", c["init"], 7 if large else 3, 2 if large else 1, norm=large and c["fold"])
        if large:
            x = self.relu(x if c["fold"] else self.norm(x, "norm0"))
            v = windows(padded(self.values[x], 1), 3, 2).max((4, 5))
            pad = 1
            if c["stem"] == "padded":
                x, pad = self.pad(x, 1, 0.0), 0  # after a ReLU zeros do as well as the lowest number
            attributes = dict(kernel_shape=[3, 3], strides=[2, 2], pads=[pad] * 4, ceil_mode=0)
            x = self.node("MaxPool", [x], "pool0", v, dict(pads=[0] * 4, ceil_mode=0), **attributes)
        for i, depth in enumerate(c["blocks"], 1):
            x = self.block(x, f"block{i}", depth)
            if i < len(c["blocks"]):
                y = self.relu(self.norm(x, f"transition{i}.norm"))
                y = self.conv(y, f"transition{i}.conv", int(self.values[x].shape[1] * c["compression"]), 1)
                x = self.average(y, f"transition{i}.pool", 2)
        x = self.relu(self.norm(x, "norm_final"))
        if c["identity"]:
            x = self.node("Identity", [x], "identity", self.values[x])
        self.classify(self.pool_and_flatten(x))


def build(seed=0, **options):
    """A float ModelProto: `input` [batch, 3, side, side] -> `logits` [batch, classes]. Keywords as in DEFAULTS."""
    if unknown := options.keys() - DEFAULTS.keys():
        raise TypeError(f"unknown keys {sorted(unknown)}")
    c = {**DEFAULTS, **options}
    b = Builder(c, seed)
    b.network()
    shapes = [c["batch"], 3, c["side"], c["side"]], [c["batch"], c["classes"]]
    graph = helper.make_graph(b.nodes, "densenet",
                              [helper.make_tensor_value_info("input", TensorProto.FLOAT, shapes[0])],
                              [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shapes[1])], b.initializers)
    opsets = [helper.make_opsetid("", c["opset"])]
    model = helper.make_model(graph, opset_imports=opsets, producer_name="densight-peers")
    model.ir_version = 6 if c["opset"] < 13 else 8 if c["opset"] < 19 else 10
    onnx.checker.check_model(model, full_check=True)
    return model
