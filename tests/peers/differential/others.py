"""Operators that are left to tract: between the layers of a dense network, or in a graph of their own."""

import numpy as np

from . import fused
from .constants import constant, whole
from .ir import Graph


def keeping(graph: Graph, x: str) -> str:
    """An operator whose output has its input's extents, of rank 4."""
    return graph.rng.choice(_KEEPING)(graph, x)


def single(graph: Graph, x: str) -> str:
    """An operator on single values, of any rank."""
    return graph.rng.choice(_SINGLE)(graph, x)


def changing(graph: Graph, x: str) -> str:
    """An operator that changes height, width or channels, of rank 4."""
    return graph.rng.choice(_CHANGING)(graph, x)


def _like(op: str, since: int = 1, **choices):
    """An operator on single values; each attribute is one of some values."""

    def apply(graph: Graph, x: str) -> str:
        if graph.opset < since:
            return graph.add("Sigmoid", [x], graph.shape(x))
        attributes = {name: graph.rng.choice(values) for name, values in choices.items()}
        return graph.add(op, [x], graph.shape(x), **attributes)

    return apply


def _root(graph: Graph, x: str) -> str:
    shape = graph.shape(x)
    above = graph.add("Add", [graph.add("Abs", [x], shape), graph.initializer(np.float32(0.1))], shape)
    return graph.add("Sqrt", [above], shape)


def _extreme(graph: Graph, x: str) -> str:
    if graph.opset < 8:
        return fused.clip(graph, x)
    inputs = [x, constant(graph, np.asarray(graph.normal(graph.pick((), (1,)), 0.5)))]
    if graph.chance(0.3):
        inputs.append(constant(graph, graph.normal((), 0.5)))
    if graph.chance(0.3):
        inputs.reverse()
    return graph.add(graph.pick("Max", "Min"), inputs, graph.shape(x))


def _prelu(graph: Graph, x: str) -> str:
    shape = graph.shape(x)
    slope = graph.pick((), (1,), (shape[1], *(1,) * (len(shape) - 2)))
    return graph.add("PRelu", [x, constant(graph, np.asarray(graph.uniform(0.1, 0.6, slope)))], shape)


def _silu(graph: Graph, x: str) -> str:
    shape = graph.shape(x)
    return graph.add("Mul", [x, graph.add("Sigmoid", [x], shape)], shape)


def _with_itself(graph: Graph, x: str) -> str:
    """Arithmetic between two tensors that depend on the image."""
    shape = graph.shape(x)
    other = _like("Tanh")(graph, x) if graph.chance(0.5) else fused.relu(graph, x)
    op = graph.pick("Add", "Sub", "Mul", "Div")
    if op == "Div":
        other = _root(graph, x)
    inputs = [x, other] if op == "Div" or graph.chance(0.5) else [other, x]
    return graph.add(op, inputs, shape)


def _softmax(graph: Graph, x: str) -> str:
    rank = len(graph.shape(x))
    axis = (
        graph.pick(1, None, -1 if graph.opset >= 11 else 1)
        if rank == 2
        else graph.pick(1, 1 - rank if graph.opset >= 11 else 1)
    )
    return graph.add("Softmax", [x], graph.shape(x), axis=axis)


def _squeeze_excite(graph: Graph, x: str) -> str:
    channels = graph.shape(x)[1]
    mean = graph.add("GlobalAveragePool", [x], (1, channels, 1, 1))
    less = fused.relu(graph, fused.convolution(graph, mean, max(1, channels // 2), (1, 1), keep_size=True))
    gate = fused.convolution(graph, less, channels, (1, 1), keep_size=True)
    gate = graph.add(graph.pick("Sigmoid", "HardSigmoid"), [gate], (1, channels, 1, 1))
    inputs = [x, gate]
    if graph.chance(0.3):
        inputs.reverse()
    return graph.add("Mul", inputs, graph.shape(x))


def _there_and_back(graph: Graph, x: str) -> str:
    """NHWC and NCHW again, perhaps with something in between."""
    n, c, h, w = graph.shape(x)
    y = graph.add("Transpose", [x], (n, h, w, c), perm=[0, 2, 3, 1])
    if graph.chance(0.5):
        y = single(graph, y) if graph.chance(0.5) else fused.relu(graph, y)
    return graph.add("Transpose", [y], (n, c, h, w), perm=[0, 3, 1, 2])


def _shuffled(graph: Graph, x: str) -> str:
    """Channel shuffle by Reshape, Transpose, Reshape."""
    n, c, h, w = graph.shape(x)
    if c % 2:
        return _silu(graph, x)
    y = graph.add("Reshape", [x, graph.ints(1, 2, c // 2, h, w)], (1, 2, c // 2, h, w))
    y = graph.add("Transpose", [y], (1, c // 2, 2, h, w), perm=[0, 2, 1, 3, 4])
    return graph.add("Reshape", [y, whole(graph, [1, c, h, w])], (n, c, h, w))


def _grouped(graph: Graph, x: str) -> str:
    channels = graph.shape(x)[1]
    group = graph.rng.choice([g for g in range(1, channels + 1) if channels % g == 0])
    return fused.convolution(graph, x, channels * graph.pick(1, 1, 2), group=group, keep_size=graph.chance(0.5))


def _dilated(graph: Graph, x: str) -> str:
    return fused.convolution(graph, x, graph.rng.randint(2, 6), graph.pick((3, 3), (2, 2), (3, 1)), dilated=True)


def _split(graph: Graph, x: str) -> str:
    """Split in two, one part changed, and joined again."""
    n, c, h, w = graph.shape(x)
    if c < 2:
        return _silu(graph, x)
    sizes = [c // 2, c - c // 2]
    names = [graph.fresh("split"), graph.fresh("split")]
    inputs, attributes = [x], {"axis": graph.pick(1, -3 if graph.opset >= 11 else 1)}
    if graph.opset >= 13:
        inputs.append(whole(graph, sizes))
    else:
        attributes["split"] = sizes
    graph.add("Split", inputs, (n, sizes[0], h, w), output=names[0], **attributes)
    graph.nodes[-1].outputs = names
    graph.shapes[names[1]] = (n, sizes[1], h, w)
    parts = [graph.pick(fused.relu, single)(graph, names[0]), names[1]]
    if graph.chance(0.5):
        parts.reverse()
    return fused.concat(graph, parts)


def _slice(graph: Graph, x: str) -> str:
    shape = list(graph.shape(x))
    axis = graph.rng.choice([a for a in (1, 2, 3) if shape[a] > 1] or [1])
    start = graph.rng.randrange(0, max(1, shape[axis] // 2))
    step = graph.pick(1, 1, 2) if graph.opset >= 10 else 1
    end = graph.pick(shape[axis], 2**31 - 1, max(start + 1, shape[axis] - 1))
    shape[axis] = len(range(start, min(end, shape[axis]), step))
    if graph.opset < 10:
        return graph.add("Slice", [x], shape, starts=[start], ends=[end], axes=[axis])
    inputs = [x, whole(graph, [start]), whole(graph, [end]), whole(graph, [axis - (4 if graph.chance(0.3) else 0)])]
    if step > 1 or graph.chance(0.3):
        inputs.append(whole(graph, [step]))
    return graph.add("Slice", inputs, shape)


def _pad(graph: Graph, x: str) -> str:
    n, c, h, w = graph.shape(x)
    mode = graph.pick("constant", "constant", "constant", "reflect", "edge", None)
    most = min(h, w) - 1 if mode == "reflect" else 2
    top, left, bottom, right = (graph.rng.randint(0, min(2, most)) for _ in range(4))
    shape = (n, c, h + top + bottom, w + left + right)
    pads = [0, 0, top, left, 0, 0, bottom, right]
    value = graph.pick(None, 0.0, 0.5, -1.0)
    if graph.opset < 11:
        return graph.add("Pad", [x], shape, mode=mode, pads=pads, value=value)
    inputs = [x, whole(graph, pads)]
    if value is not None and mode in ("constant", None):
        inputs.append(constant(graph, np.float32(value), 0.9))
    return graph.add("Pad", inputs, shape, mode=mode)


def _resize(graph: Graph, x: str) -> str:
    """Twice as large and pooled again, or only twice as large."""
    n, c, h, w = graph.shape(x)
    if h * w > 300 or graph.opset < 10:
        return _pad(graph, x)
    shape = (n, c, 2 * h, 2 * w)
    scales = graph.initializer(np.array([1, 1, 2, 2], np.float32), "scales")
    if graph.opset < 11:
        y = graph.add("Resize", [x, scales], shape, mode="nearest")
    else:
        nearest = graph.chance(0.7)
        way = "asymmetric" if nearest else graph.pick("half_pixel", "asymmetric")
        rounding = "floor" if nearest else None
        y = graph.add(
            "Resize",
            [x, graph.initializer(np.zeros(0, np.float32), "roi") if graph.opset < 13 else "", scales],
            shape,
            mode="nearest" if nearest else "linear",
            coordinate_transformation_mode=way,
            nearest_mode=rounding,
        )
    if graph.chance(0.5):
        return y
    return graph.add("AveragePool", [y], (n, c, h, w), kernel_shape=[2, 2], strides=[2, 2])


def _lp_norm(graph: Graph, x: str) -> str:
    return graph.add("LpNormalization", [x], graph.shape(x), axis=graph.pick(1, 1, -1), p=graph.pick(None, 2, 1))


def _instance_norm(graph: Graph, x: str) -> str:
    channels = graph.shape(x)[1]
    inputs = [
        x,
        constant(graph, graph.uniform(0.5, 2, (channels,)), 0.9),
        constant(graph, graph.normal((channels,)), 0.9),
    ]
    return graph.add("InstanceNormalization", inputs, graph.shape(x), epsilon=graph.pick(1e-3, 1e-2))


def _local_norm(graph: Graph, x: str) -> str:
    return graph.add(
        "LRN", [x], graph.shape(x), size=graph.pick(3, 5), alpha=graph.pick(None, 0.1), beta=graph.pick(None, 0.5)
    )


def _reduced(graph: Graph, x: str) -> str:
    """Greatest values or sums over height and width, added to every pixel or alone."""
    channels = graph.shape(x)[1]
    shape = (1, channels, 1, 1)
    op = graph.pick("GlobalMaxPool", "ReduceMax", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum")
    if op == "GlobalMaxPool":
        y = graph.add(op, [x], shape)
    elif graph.opset >= 18 or op == "ReduceSum" and graph.opset >= 13:
        y = graph.add(op, [x, whole(graph, [2, 3])], shape, keepdims=graph.pick(None, 1))
    else:
        y = graph.add(op, [x], shape, axes=[2, 3], keepdims=graph.pick(None, 1))
    if op == "ReduceSum":
        y = graph.add("Mul", [y, graph.initializer(np.float32(1 / np.prod(graph.shape(x)[2:])))], shape)
    return graph.add(graph.pick("Add", "Sub", "Mul"), [x, y], graph.shape(x))


def _mean_over_channels(graph: Graph, x: str) -> str:
    """A gate of one plane."""
    n, c, h, w = graph.shape(x)
    if graph.opset >= 18:
        mean = graph.add("ReduceMean", [x, whole(graph, [1])], (n, 1, h, w), keepdims=1)
    else:
        mean = graph.add("ReduceMean", [x], (n, 1, h, w), axes=[1], keepdims=1)
    return graph.add(graph.pick("Add", "Mul", "Sub"), [x, mean], (n, c, h, w))


def _through_f16(graph: Graph, x: str) -> str:
    shape = graph.shape(x)
    return graph.add("Cast", [graph.add("Cast", [x], shape, to=10)], shape, to=1)


def _tall(graph: Graph, x: str) -> str:
    """Height and width as one, and back."""
    n, c, h, w = graph.shape(x)
    y = graph.add("Reshape", [x, graph.pick(whole(graph, [0, 0, -1]), whole(graph, [1, c, h * w]))], (n, c, h * w))
    y = graph.pick(fused.relu, single)(graph, y)
    return graph.add("Reshape", [y, whole(graph, graph.pick([1, c, h, w], [0, 0, h, w], [1, -1, h, w]))], (n, c, h, w))


def _power(graph: Graph, x: str) -> str:
    """Squares, and roots of what is not negative."""
    shape = graph.shape(x)
    if graph.chance(0.5):
        return graph.add("Pow", [x, constant(graph, np.float32(2))], shape)
    base = graph.add("Add", [graph.add("Abs", [x], shape), graph.initializer(np.float32(0.1))], shape)
    return graph.add("Pow", [base, constant(graph, np.asarray(graph.uniform(0.3, 1.5, graph.pick((), (1,)))))], shape)


def _several(graph: Graph, x: str) -> str:
    """Operators with any number of inputs."""
    if graph.opset < 8:
        return fused.relu(graph, x)
    shape = graph.shape(x)
    parts = [x] + [
        graph.pick(fused.relu, _like("Tanh"), _like("Abs"))(graph, x) for _ in range(graph.rng.randint(0, 2))
    ]
    if graph.chance(0.4):
        parts.append(constant(graph, graph.normal(graph.pick((), (1,), (1,) * len(shape)), 0.5)))
    graph.rng.shuffle(parts)
    return graph.add(graph.pick("Sum", "Mean", "Max", "Min"), parts, shape)


def _logarithm(graph: Graph, x: str) -> str:
    shape = graph.shape(x)
    if graph.chance(0.5):
        return graph.add("Exp", [graph.add("Neg", [graph.add("Abs", [x], shape)], shape)], shape)
    return graph.add(
        "Log", [graph.add("Add", [graph.add("Abs", [x], shape), constant(graph, np.float32(0.5))], shape)], shape
    )


def _chosen(graph: Graph, x: str) -> str:
    """Leaky ReLU by hand."""
    if graph.opset < 9:
        return fused.relu(graph, x)
    shape = graph.shape(x)
    above = graph.add("Greater", [x, constant(graph, np.float32(0), 0.95)], shape)
    less = graph.add("Mul", [x, constant(graph, np.float32(0.2))], shape)
    return graph.add("Where", [above, x, less], shape)


def _layer_norm(graph: Graph, x: str) -> str:
    """The normalization of `fused.layer_norm`, or its mean alone by hand."""
    if graph.opset >= 17:
        return fused.layer_norm(graph, x)
    n, c, h, w = graph.shape(x)
    y = graph.add("Transpose", [x], (n, h, w, c), perm=[0, 2, 3, 1])
    mean = graph.add("ReduceMean", [y], (n, h, w, 1), axes=[3 if graph.opset < 11 else -1])
    y = graph.add("Sub", [y, mean], (n, h, w, c))
    return graph.add("Transpose", [y], (n, c, h, w), perm=[0, 3, 1, 2])


def _blocks_of_space(graph: Graph, x: str) -> str:
    """`SpaceToDepth` where it fits, else `DepthToSpace`."""
    n, c, h, w = graph.shape(x)
    if h % 2 == 0 and w % 2 == 0:
        return graph.add("SpaceToDepth", [x], (n, 4 * c, h // 2, w // 2), blocksize=2)
    if c % 4 or h * w > 300:
        return _pad(graph, x)
    mode = graph.pick(None, "DCR", "CRD") if graph.opset >= 11 else None
    return graph.add("DepthToSpace", [x], (n, c // 4, 2 * h, 2 * w), blocksize=2, mode=mode)


def _transposed(graph: Graph, x: str) -> str:
    """`ConvTranspose`."""
    n, c, h, w = graph.shape(x)
    out, stride = graph.rng.randint(1, 5), graph.pick(1, 2)
    kernel = [graph.rng.randint(1, 3), graph.rng.randint(1, 3)]
    if h * w * stride * stride > 600:
        return _pad(graph, x)
    pads = [graph.rng.randint(0, (k - 1) // 2) for k in kernel * 2]
    sides = [(n - 1) * stride + k - pads[i] - pads[i + 2] for i, (n, k) in enumerate(zip((h, w), kernel))]
    if min(sides) < 1:
        return _pad(graph, x)
    inputs = [x, constant(graph, graph.normal((c, out, *kernel), 0.5), 0.95)]
    if graph.chance(0.5):
        inputs.append(constant(graph, graph.normal((out,), 0.3), 0.95))
    return graph.add(
        "ConvTranspose",
        inputs,
        (n, out, *sides),
        kernel_shape=graph.pick(kernel, None),
        strides=graph.pick([stride, stride], None) if stride == 1 else [stride, stride],
        pads=pads if any(pads) else graph.pick(pads, None),
    )


def _padded_pool(graph: Graph, x: str) -> str:
    """As older exporters write a pool that counts its padding: `Pad` and a pool without."""
    n, c, h, w = graph.shape(x)
    shape = (n, c, h + 2, w + 2)
    pads = [0, 0, 1, 1, 0, 0, 1, 1]
    if graph.opset < 11:
        y = graph.add("Pad", [x], shape, mode=graph.pick(None, "constant"), pads=pads, value=graph.pick(None, 0.0))
    else:
        y = graph.add("Pad", [x, whole(graph, pads)], shape, mode=graph.pick(None, "constant"))
    if graph.chance(0.4):
        return fused.convolution(graph, y, graph.rng.randint(2, 6), (3, 3))
    return graph.add(graph.pick("AveragePool", "MaxPool"), [y], (n, c, h, w), kernel_shape=[3, 3], strides=[1, 1])


_SINGLE = [
    _like("Sigmoid"),
    _like("HardSigmoid", alpha=[None, 0.25], beta=[None, 0.4]),
    _like("HardSwish", 14),
    _like("Tanh"),
    _like("LeakyRelu", alpha=[None, 0.1, 0.3]),
    _like("Elu", alpha=[None, 1.0, 0.5]),
    _like("Gelu", 20, approximate=[None, "tanh"]),
    _like("Abs"),
    _like("Neg"),
    _like("Softplus"),
    _like("Erf", 9),
    _like("Mish", 18),
    _like("Selu"),
    _like("Celu", 12, alpha=[None, 0.7]),
    _like("Softsign"),
    _like("ThresholdedRelu", 10, alpha=[None, 0.3]),
    _root,
    _extreme,
    _silu,
    _with_itself,
    _power,
    _several,
    _logarithm,
    _chosen,
]
_KEEPING = _SINGLE + [
    _prelu,
    _prelu,
    _softmax,
    _squeeze_excite,
    _squeeze_excite,
    _there_and_back,
    _shuffled,
    _lp_norm,
    _instance_norm,
    _local_norm,
    _reduced,
    _reduced,
    _mean_over_channels,
    _through_f16,
    _tall,
    _layer_norm,
]
_CHANGING = [
    _grouped,
    _grouped,
    _dilated,
    _split,
    _slice,
    _pad,
    _padded_pool,
    _resize,
    _blocks_of_space,
    _transposed,
]
