"""Random small networks: densely connected and residual ones, and others of the same operators."""

import random

import numpy as np

from . import fused, others
from .constants import constant, whole
from .ir import INPUT, Graph


def dense(rng: random.Random) -> Graph:
    """A densely connected or residual network in f32, with other operators in between at a rate of its own."""
    graph = _empty(rng)
    rate = graph.pick(0, 0, 0, 0.03, 0.1, 0.3)
    x = _stem(graph, INPUT, rate)
    for _ in range(graph.pick(1, 1, 1, 2, 2, 3)):
        x = _residual(graph, x, rate) if graph.chance(0.25) else _block(graph, x, rate)
        if graph.chance(0.7):
            x = _transition(graph, x, rate)
    graph.output = _head(graph, x, rate)
    return graph


def stock(rng: random.Random) -> Graph:
    """A network in which much is left to tract."""
    graph = _empty(rng)
    x = INPUT
    if graph.chance(0.7):
        x = fused.convolution(graph, x, graph.width(2, 8))
    for _ in range(rng.randint(1, 6)):
        way = rng.random()
        if way < 0.35:
            x = _sprinkled(graph, x, 0.3)
        elif way < 0.55:
            x = others.keeping(graph, x)
        elif way < 0.7:
            x = others.changing(graph, x)
        elif way < 0.8:
            x = fused.pool(graph, x)
        elif way < 0.9:
            x = fused.convolution(graph, x, graph.width(1, 8))
        else:
            x = _branches(graph, x)
    graph.output = _head(graph, x, 0.3)
    return graph


def _empty(rng: random.Random) -> Graph:
    opset = rng.choice([10, 11, 12, 13, 13, 14, 15, 16, 17, 18, 19, 20, 21, 21])
    if rng.random() < 0.12:
        opset = rng.choice([7, 8, 9, 22, 23, 24])
    height, width = rng.randint(5, 33), rng.randint(5, 33)
    if rng.random() < 0.6:
        # Small images make for many graphs a second.
        height, width = rng.randint(5, 13), rng.randint(5, 13)
    if rng.random() < 0.5:
        width = height
    large = rng.random()
    if large < 0.03:
        # More pixels than one part of a layer has.
        height, width = rng.randint(20, 60), rng.randint(34, 130)
    graph = Graph(rng, opset, height, width)
    if large > 0.94 and height * width < 200:
        # More channels than a kernel computes at once.
        graph.factor = rng.choice([4, 9])
    return graph


def _sprinkled(graph: Graph, x: str, rate: float, most: int = 3) -> str:
    """Some operators that keep the extents: mostly those that are fused, others at the rate given."""
    for _ in range(graph.rng.randint(0, most)):
        if graph.chance(rate):
            flat = len(graph.shape(x)) != 4
            x = others.single(graph, x) if flat else others.keeping(graph, x)
            continue
        steps = [
            fused.relu,
            fused.relu,
            fused.norm,
            fused.norm,
            fused.clip,
            fused.arithmetic,
            fused.arithmetic,
            fused.nothing,
        ]
        x = graph.rng.choice(steps)(graph, x)
    return x


def _normed(graph: Graph, x: str, rate: float) -> str:
    """What stands in front of a convolution of a DenseNet: norm and ReLU mostly."""
    if graph.chance(0.5):
        return fused.relu(graph, fused.norm(graph, x))
    if graph.chance(0.25):
        return fused.function(graph, fused.norm(graph, x))
    if graph.opset >= 17 and graph.chance(0.15):
        return fused.layer_norm(graph, x)
    return _sprinkled(graph, x, rate)


def _stem(graph: Graph, x: str, rate: float) -> str:
    if graph.chance(0.1):
        x = _sprinkled(graph, x, rate, 2)
    if graph.chance(0.05):
        x = others.changing(graph, x)
    x = fused.convolution(graph, x, graph.width(2, 8))
    x = _sprinkled(graph, x, rate)
    if graph.chance(0.35):
        x = fused.pool(graph, x)
    return x


def _layer(graph: Graph, x: str, rate: float) -> str:
    """What a layer of a dense block adds; height and width stay."""
    growth = graph.width(1, 6)
    x = _normed(graph, x, rate)
    if graph.chance(0.08):
        x = fused.picked(graph, x)
    if graph.chance(0.06):
        x = _normed(graph, fused.scattered(graph, x), rate)
    elif graph.chance(0.4):
        x = fused.convolution(graph, x, graph.width(2, 10), (1, 1), keep_size=True)
        x = _normed(graph, x, rate)
        if graph.chance(0.08):
            x = fused.picked(graph, x)
    kernel = graph.pick((1, 1), (3, 3), (3, 3), (3, 3), (5, 5), (1, 3), (3, 2), (2, 2), (7, 7))
    if graph.chance(0.12):
        # Depthwise, or in some groups; a 1x1 behind it makes the growth.
        channels = graph.shape(x)[1]
        group = graph.rng.choice([channels] + [g for g in range(1, channels + 1) if channels % g == 0])
        x, kernel = fused.convolution(graph, x, channels, kernel, keep_size=True, group=group), (1, 1)
    if graph.chance(0.05):
        return fused.mirrored_convolution(graph, x, growth)
    if graph.chance(0.08):
        x = fused.gated(graph, x)
    y = fused.convolution(graph, x, growth, kernel, keep_size=True)
    if graph.chance(0.08):
        y = fused.added(graph, y, fused.convolution(graph, x, growth, (1, 1), keep_size=True))
    if graph.chance(0.05):
        y = fused.gated(graph, y)
    return _sprinkled(graph, y, rate, 1) if graph.chance(0.3) else y


def _residual(graph: Graph, x: str, rate: float) -> str:
    """Blocks that add what they compute to what they read, with or without a ReLU behind the sum."""
    if graph.chance(0.5):
        x = _normed(graph, x, rate)
    for _ in range(graph.rng.randint(1, 3)):
        y = fused.picked(graph, x) if graph.chance(0.1) else x
        out = graph.shape(x)[1]
        if graph.chance(0.3):
            out = graph.width(2, 8)
        if graph.chance(0.5):
            y = _normed(graph, fused.convolution(graph, y, graph.width(2, 10), (1, 1), keep_size=True), rate)
        if graph.chance(0.3):
            channels = graph.shape(y)[1]
            y = fused.convolution(graph, y, channels, (3, 3), keep_size=True, group=channels)
        y = fused.convolution(graph, y, out, graph.pick((1, 1), (3, 3), (3, 3)), keep_size=True)
        y = fused.norm(graph, y) if graph.chance(0.4) else y
        y = fused.gated(graph, y) if graph.chance(0.25) else y
        if out != graph.shape(x)[1]:
            x = fused.convolution(graph, x, out, (1, 1), keep_size=True)
        x = fused.added(graph, y, x)
        x = fused.relu(graph, x) if graph.chance(0.6) else x
    return x


def _block(graph: Graph, x: str, rate: float) -> str:
    """A dense block: each layer reads all before it."""
    features, joined = [x], x
    style = graph.pick("running", "all", "in front")
    for _ in range(graph.rng.randint(2, 4)):
        new = _layer(graph, joined, rate)
        if graph.chance(0.04):
            # A branch of another kind: pooled with the same size.
            new = _same_pool(graph, new)
        features.append(new)
        if graph.chance(0.03):
            # What a layer gave is read twice.
            features.append(new)
            new = fused.concat(graph, [new, new])
        if style == "running":
            joined = fused.concat(graph, [joined, new])
        elif style == "all":
            joined = fused.concat(graph, features)
        else:
            joined = fused.concat(graph, [new, joined])
        if graph.chance(rate / 3):
            joined = others.keeping(graph, joined)
    return joined


def _same_pool(graph: Graph, x: str) -> str:
    op = graph.pick("MaxPool", "AveragePool")
    include = graph.pick(None, 0, 1) if op == "AveragePool" else None
    return graph.add(
        op,
        [x],
        graph.shape(x),
        kernel_shape=[3, 3],
        pads=[1, 1, 1, 1],
        strides=graph.pick(None, [1, 1]),
        count_include_pad=include,
    )


def _transition(graph: Graph, x: str, rate: float) -> str:
    x = _normed(graph, x, rate)
    if graph.chance(rate):
        x = others.changing(graph, x)
    x = fused.convolution(graph, x, graph.width(2, 8), (1, 1), keep_size=True)
    if graph.chance(0.1):
        x = _sprinkled(graph, x, rate, 1)
    return fused.pool(graph, x) if graph.chance(0.7) else x


def _branches(graph: Graph, x: str) -> str:
    """Two convolutions beside each other, added or joined, or a residual."""
    way = graph.pick("add", "join", "residual")
    channels = graph.shape(x)[1]
    out = channels if way == "residual" else graph.rng.randint(2, 6)
    first = _sprinkled(graph, fused.convolution(graph, x, out, (3, 3), keep_size=True), 0.2, 1)
    if way == "residual":
        return graph.add(graph.pick("Add", "Sub", "Mul"), [first, x], graph.shape(x))
    second = fused.convolution(graph, x, out, keep_size=True, kernel=(1, 1))
    if way == "join":
        return fused.concat(graph, [first, second])
    if graph.chance(0.3):
        return graph.add(graph.pick("Sum", "Mean", "Max", "Min"), [first, second, first], graph.shape(first))
    return graph.add(graph.pick("Add", "Sub", "Mul", "Max"), [first, second], graph.shape(first))


def _head(graph: Graph, x: str, rate: float) -> str:
    """Pooling and a classifier, or none, and scores."""
    x = _normed(graph, x, rate)
    classes = graph.width(2, 9)
    way = graph.pick("linear", "linear", "linear", "conv", "none", "flat map")
    if way == "conv":
        if graph.chance(0.5):
            x = fused.global_pool(graph, x)
            if len(graph.shape(x)) == 2:
                x = fused.unsqueeze(graph, x, [2, 3])
        x = fused.convolution(graph, x, classes, (1, 1), keep_size=True)
        if graph.chance(0.7):
            x = fused.global_pool(graph, x)
    elif way != "none":
        if way == "linear" or np.prod(graph.shape(x)) > 800:
            x = fused.global_pool(graph, x)
        if len(graph.shape(x)) == 4:
            x = _sprinkled(graph, x, rate, 1)
            x = fused.flatten(graph, x)
        x = _sprinkled(graph, x, rate, 1)
        x = fused.linear(graph, x, classes)
        if graph.chance(0.15):
            x = fused.linear(graph, _sprinkled(graph, x, rate), classes)
    if graph.chance(0.15):
        x = _sprinkled(graph, x, rate, 2)
    return _scores(graph, x)


def _scores(graph: Graph, x: str) -> str:
    if len(graph.shape(x)) == 4 and graph.chance(0.6):
        x = fused.flatten(graph, x)
    shape = graph.shape(x)
    way = graph.pick(None, None, None, "Softmax", "Softmax", "Sigmoid", "LogSoftmax", "odd constant")
    if way == "odd constant":
        form = (1,) * graph.rng.randint(0, 5)
        x = graph.add(
            "Mul", [x, constant(graph, np.full(form, 1.5, np.float32))], (1,) * max(0, len(form) - len(shape)) + shape
        )
    elif way == "Sigmoid":
        x = graph.add("Sigmoid", [x], shape)
    elif way:
        axis = graph.pick(None, 1, 1) if len(shape) == 2 else 1
        if graph.opset >= 11 and len(shape) == 2 and graph.chance(0.3):
            axis = -1
        x = graph.add(way, [x], shape, axis=axis)
    if len(graph.shape(x)) == 4 and graph.chance(0.2):
        x = graph.add("Reshape", [x, whole(graph, [1, -1])], (1, int(np.prod(graph.shape(x)))))
    return x
