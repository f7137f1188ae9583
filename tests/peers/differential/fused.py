"""The operators that Densight's importer takes into its fused networks, with all their attributes."""

import numpy as np

from . import constants, windows
from .constants import constant, whole
from .ir import Graph


def convolution(graph: Graph, x: str, out: int, kernel=None, keep_size=False, group=1, dilated=False) -> str:
    """`Conv`. With `keep_size` the output has the input's height and width."""
    channels, height, width = graph.shape(x)[1:]
    kernel = list(kernel or windows.kernel(graph, x))
    found = None
    if not keep_size:
        found = windows.window(graph, x, kernel, dilated=dilated)
    if found is None:
        attributes, sides = same_size(graph, kernel), [height, width]
    else:
        attributes, sides = found
    fan_in = channels // group * kernel[0] * kernel[1]
    inputs = [x, constants.weights(graph, graph.normal((out, channels // group, *kernel), 1.4 / fan_in**0.5))]
    if graph.chance(0.5):
        inputs.append(constant(graph, graph.normal((out,), 0.3), 0.85))
    shape = graph.pick(kernel, kernel, None)
    group_attribute = group if group > 1 else graph.pick(None, 1)
    return graph.add("Conv", inputs, (1, out, *sides), kernel_shape=shape, group=group_attribute, **attributes)


def same_size(graph: Graph, kernel) -> dict:
    """Attributes of a window that keeps height and width."""
    before = [(k - 1) // 2 for k in kernel]
    behind = [k - 1 - b for k, b in zip(kernel, before)]
    way = graph.rng.random()
    if way < 0.15:
        return {"auto_pad": graph.pick("SAME_UPPER", "SAME_LOWER"), "strides": graph.pick(None, [1, 1])}
    if way < 0.3:
        before, behind = behind, before
    return {"pads": before + behind, "strides": graph.pick(None, [1, 1])}


def linear(graph: Graph, x: str, out: int) -> str:
    """`Gemm`, or `MatMul` with or without `Add`, of a tensor of rank 2."""
    count = graph.shape(x)[1]
    weight = graph.normal((count, out), 1.4 / count**0.5)
    bias = graph.normal((out,), 0.3)
    if graph.chance(0.6):
        transposed = graph.pick(0, 1, None, 1)
        inputs = [x, constants.weights(graph, weight.T.copy() if transposed else weight)]
        # Before version 11 the bias has to be there.
        if graph.chance(0.7) or graph.opset < 11:
            bias = graph.pick(bias, bias, bias[np.newaxis], bias[:1])
            inputs.append(constant(graph, bias, 0.85))
        factors = {"alpha": 0.5, "beta": 2.0} if graph.chance(0.08) else {"alpha": graph.pick(None, 1.0)}
        return graph.add("Gemm", inputs, (1, out), transB=transposed, **factors)
    y = graph.add("MatMul", [x, constants.weights(graph, weight)], (1, out))
    if graph.chance(0.6):
        inputs = [y, constant(graph, bias)]
        if graph.chance(0.3):
            inputs.reverse()
        y = graph.add("Add", inputs, (1, out))
    return y


def norm(graph: Graph, x: str) -> str:
    """`BatchNormalization`."""
    channels = graph.shape(x)[1]
    scale = graph.uniform(0.4, 1.6, (channels,)) * graph.numbers.choice([1, 1, 1, -1], channels).astype(np.float32)
    parts = [scale, graph.normal((channels,), 0.4), graph.normal((channels,), 0.4), graph.uniform(0.3, 2, (channels,))]
    inputs = [x] + [constant(graph, part, 0.93) for part in parts]
    epsilon = graph.pick(None, 1e-5, 1e-3, 0.1)
    momentum = graph.pick(None, 0.9)
    training = graph.pick(None, 0) if graph.opset >= 14 else None
    return graph.add(
        "BatchNormalization", inputs, graph.shape(x), epsilon=epsilon, momentum=momentum, training_mode=training
    )


def layer_norm(graph: Graph, x: str) -> str:
    """`LayerNormalization` over channels, which are last for as long; of opset 17."""
    n, c, h, w = graph.shape(x)
    y = graph.add("Transpose", [x], (n, h, w, c), perm=[0, 2, 3, 1])
    inputs = [y, constant(graph, graph.uniform(0.5, 2, (c,)), 0.9)]
    if graph.chance(0.7):
        inputs.append(constant(graph, graph.normal((c,)), 0.9))
    axis, epsilon = graph.pick(None, -1, 3), graph.pick(1e-3, 1e-2)
    y = graph.add("LayerNormalization", inputs, (n, h, w, c), axis=axis, epsilon=epsilon)
    return graph.add("Transpose", [y], (n, c, h, w), perm=[0, 3, 1, 2])


def relu(graph: Graph, x: str) -> str:
    return graph.add("Relu", [x], graph.shape(x))


def function(graph: Graph, x: str) -> str:
    """A function of one value, as one operator or as those that exporters make of it."""
    shape = graph.shape(x)
    single = [("Sigmoid", {}), ("Tanh", {}), ("LeakyRelu", {"alpha": graph.pick(None, 0.1, 0.3)})]
    single += [("Elu", {"alpha": graph.pick(None, 1.5)}), ("HardSigmoid", {"alpha": graph.pick(None, 0.25)})]
    if graph.opset >= 14:
        single.append(("HardSwish", {}))
    way = graph.pick("single", "silu", "silu", "silu", "hard swish", "gelu", "PRelu")
    if way == "silu":
        return graph.add("Mul", _turned(graph, x, graph.add("Sigmoid", [x], shape)), shape)
    if way == "hard swish":
        return _hard_swish(graph, x)
    if way == "gelu" and graph.opset >= 9:
        return _gelu(graph, x)
    if way == "PRelu":
        # One slope, or one for each channel.
        each = (shape[1],) + (1,) * (len(shape) - 2)
        slopes = np.asarray([0.2], np.float32) if graph.chance(0.5) else graph.uniform(-0.3, 0.8, each)
        return graph.add("PRelu", [x, constant(graph, slopes, 0.9)], shape)
    op, attributes = graph.rng.choice(single)
    return graph.add(op, [x], shape, **attributes)


def added(graph: Graph, a: str, b: str) -> str:
    """The sum or difference of two tensors of the same extents."""
    op = graph.pick("Add", "Add", "Add", "Sub", "Sum")
    inputs = _turned(graph, a, b)
    if op == "Sum" and graph.chance(0.3):
        inputs.append(a)
    return graph.add(op, inputs, graph.shape(a))


def picked(graph: Graph, x: str) -> str:
    """Some channels, or all in another order: by `Slice`, `Split`, `Gather`, or a shuffle of groups."""
    channels, *sides = graph.shape(x)[1:]
    way = graph.pick("Slice", "Split", "Gather", "shuffle", "shuffle")
    divisors = [n for n in range(2, channels) if channels % n == 0]
    if way == "shuffle" and divisors:
        groups = graph.rng.choice(divisors)
        each = channels // groups
        y = graph.add("Reshape", [x, whole(graph, [1, groups, each, *sides])], (1, groups, each, *sides))
        y = graph.add("Transpose", [y], (1, each, groups, *sides), perm=[0, 2, 1, 3, 4])
        return graph.add("Reshape", [y, whole(graph, [1, channels, *sides])], (1, channels, *sides))
    if way == "Split" and channels > 1:
        return _split(graph, x, channels, sides)
    if way == "Slice" and graph.opset >= 10:
        first = graph.rng.randint(0, channels - 1)
        last, step = graph.rng.randint(first + 1, channels), graph.pick(1, 1, 2)
        inputs = [x, whole(graph, [first]), whole(graph, [last]), whole(graph, [1])]
        if step > 1:
            inputs.append(whole(graph, [step]))
        return graph.add("Slice", inputs, (1, len(range(first, last, step)), *sides))
    chosen = graph.rng.sample(range(channels), graph.rng.randint(1, channels))
    return graph.add("Gather", [x, whole(graph, chosen)], (1, len(chosen), *sides), axis=1)


def scattered(graph: Graph, x: str) -> str:
    """Groups that pick their channels from everywhere, as CondenseNet does: each of its own, some of them those of others too."""
    channels, *sides = graph.shape(x)[1:]
    groups, each = graph.pick(2, 3), graph.pick(4, 8)
    chosen = [c for _ in range(groups) for c in graph.rng.sample(range(channels), min(each, channels))]
    y = graph.add("Gather", [x, whole(graph, chosen)], (1, len(chosen), *sides), axis=1)
    return convolution(graph, y, groups * graph.pick(1, 2, 3), (1, 1), keep_size=True, group=groups)


def _split(graph: Graph, x: str, channels: int, sides) -> str:
    """One part, or both joined the other way round."""
    first = graph.rng.randint(1, channels - 1)
    parts = [first, channels - first]
    if graph.opset >= 13:
        one = graph.add("Split", [x, whole(graph, parts)], (1, first, *sides), axis=1)
    else:
        one = graph.add("Split", [x], (1, first, *sides), axis=1, split=parts)
    other = graph.fresh("split")
    graph.nodes[-1].outputs.append(other)
    graph.shapes[other] = (1, parts[1], *sides)
    if graph.chance(0.3):
        return graph.pick(one, other)
    if graph.chance(0.5):
        one = relu(graph, one)
    return concat(graph, [other, one])


def gated(graph: Graph, x: str) -> str:
    """Each channel times a number between 0 and 1 that is computed of all means (SE), or added to one."""
    channels = graph.shape(x)[1]
    mean = graph.add("GlobalAveragePool", [x], (1, channels, 1, 1))
    if graph.chance(0.35):
        y = graph.add("Flatten", [mean], (1, channels))
        if graph.chance(0.6):
            y = relu(graph, linear(graph, y, graph.width(1, 4)))
        y = graph.add("Sigmoid", [linear(graph, y, channels)], (1, channels))
        gate = unsqueeze(graph, y, [2, 3])
    else:
        y = mean
        if graph.chance(0.6):
            y = relu(graph, convolution(graph, y, graph.width(1, 4), (1, 1), keep_size=True))
        y = convolution(graph, y, channels, (1, 1), keep_size=True)
        gate = graph.add(graph.pick("Sigmoid", "HardSigmoid"), [y], (1, channels, 1, 1))
    return graph.add(graph.pick("Mul", "Mul", "Mul", "Add"), _turned(graph, x, gate), graph.shape(x))


def _turned(graph: Graph, a: str, b: str) -> list[str]:
    return graph.pick([a, b], [b, a])


def _hard_swish(graph: Graph, x: str) -> str:
    shape = graph.shape(x)
    if graph.chance(0.3):
        gate = graph.add("HardSigmoid", [x], shape, alpha=1 / 6)
        return graph.add("Mul", _turned(graph, x, gate), shape)
    gate = graph.add("Add", [x, constant(graph, np.float32(3), 0.9)], shape)
    if graph.opset < 11:
        gate = graph.add("Clip", [gate], shape, min=0.0, max=6.0)
    else:
        bounds = [constant(graph, np.float32(bound), 0.9) for bound in (0, 6)]
        gate = graph.add("Clip", [gate] + bounds, shape)
    six = constant(graph, np.float32(6), 0.9)
    if graph.chance(0.5):
        return graph.add("Mul", _turned(graph, x, graph.add("Div", [gate, six], shape)), shape)
    return graph.add("Div", [graph.add("Mul", _turned(graph, x, gate), shape), six], shape)


def _gelu(graph: Graph, x: str) -> str:
    shape = graph.shape(x)
    y = graph.add("Div", [x, constant(graph, np.float32(2**0.5), 0.9)], shape)
    y = graph.add("Add", [graph.add("Erf", [y], shape), constant(graph, np.float32(1), 0.9)], shape)
    half = constant(graph, np.float32(0.5), 0.9)
    if graph.chance(0.5):
        return graph.add("Mul", [graph.add("Mul", _turned(graph, x, y), shape), half], shape)
    return graph.add("Mul", _turned(graph, x, graph.add("Mul", [y, half], shape)), shape)


def mirrored_convolution(graph: Graph, x: str, out: int) -> str:
    """A convolution of an image that a `Pad` mirrored at its ends; height and width stay."""
    channels, height, width = graph.shape(x)[1:]
    if min(height, width) < 2 or graph.opset < 11:
        return convolution(graph, x, out, (3, 3), keep_size=True)
    pads = constant(graph, np.asarray([0, 0, 1, 1, 0, 0, 1, 1], np.int64), 0.9)
    x = graph.add("Pad", [x, pads], (1, channels, height + 2, width + 2), mode="reflect")
    group = channels if graph.chance(0.6) and out % channels == 0 else 1
    weight = constants.weights(graph, graph.normal((out, channels // group, 3, 3), 0.4))
    return graph.add("Conv", [x, weight], (1, out, height, width), kernel_shape=[3, 3], group=group)


def clip(graph: Graph, x: str) -> str:
    """`Clip` with both bounds or one."""
    low, high = graph.pick(
        (0.0, 6.0), (0.0, 1.0), (-1.0, 1.5), (None, 0.8), (-0.5, None), (0.0, None), (None, None), (0.3, 0.9)
    )
    if graph.opset < 11:
        return graph.add("Clip", [x], graph.shape(x), min=low, max=high)
    bounds = ["" if bound is None else constant(graph, np.float32(bound), 0.85) for bound in (low, high)]
    while bounds and not bounds[-1]:
        bounds.pop()
    return graph.add("Clip", [x] + bounds, graph.shape(x))


def arithmetic(graph: Graph, x: str) -> str:
    """`Add`, `Sub`, `Mul` or `Div` with a constant on either side, mostly one number a channel."""
    shape = graph.shape(x)
    channels, sides = shape[1], shape[2:]
    ones = (1,) * len(sides)
    forms = [(channels, *ones), (1, channels, *ones), (), (1,), (1,) * len(shape)]
    if graph.chance(0.12):
        forms = [(1, 1, *sides), sides[-1:], shape[1:], shape, (1,) * (len(shape) - 1)]
        if len(sides) == 2:
            forms += [(sides[0], 1), (channels, sides[0], 1)]
    if not sides:
        forms = [form for form in forms if len(form) < 2 or form[0] == 1] or [()]
    form = graph.rng.choice(forms)
    op = graph.pick("Add", "Sub", "Mul", "Div")
    turned = graph.chance(0.4) and op != "Div"
    far = op in ("Mul", "Div")
    numbers = graph.uniform(0.5, 2, form) * graph.numbers.choice([1, 1, -1], form) if far else graph.normal(form, 0.5)
    inputs = [x, constant(graph, np.asarray(numbers, np.float32))]
    return graph.add(op, inputs[::-1] if turned else inputs, shape)


def nothing(graph: Graph, x: str) -> str:
    """Operators that change nothing."""
    way = graph.pick("Identity", "Dropout", "Cast", "through f64", "Unsqueeze", "ones", "Concat")
    shape = graph.shape(x)
    if way == "Dropout":
        if graph.opset < 12:
            name = graph.add("Dropout", [x], shape, ratio=graph.pick(None, 0.3))
        else:
            inputs = graph.pick([x], [x, constant(graph, np.float32(0.3), 0.9)])
            name = graph.add("Dropout", inputs, shape)
        if graph.chance(0.3):
            # A mask that nobody reads.
            graph.nodes[-1].outputs.append(graph.fresh("mask"))
            graph.shapes[graph.nodes[-1].outputs[1]] = shape
        return name
    if way == "Concat":
        return concat(graph, [x])
    if way == "Cast":
        return graph.add("Cast", [x], shape, to=1)
    if way == "through f64":
        return graph.add("Cast", [graph.add("Cast", [x], shape, to=11)], shape, to=1)
    if way == "Unsqueeze" and len(shape) == 2:
        return squeeze(graph, unsqueeze(graph, x, [2, 3]), [2, 3])
    if way == "ones":
        return graph.add("Mul", [x, constant(graph, np.float32(1), 0.9)], shape)
    return graph.add("Identity", [x], shape)


def unsqueeze(graph: Graph, x: str, axes: list[int]) -> str:
    shape = list(graph.shape(x))
    for axis in axes:
        shape.insert(axis, 1)
    if graph.opset >= 11 and graph.chance(0.3):
        axes = [axis - len(shape) for axis in axes]
    if graph.opset >= 13:
        return graph.add("Unsqueeze", [x, whole(graph, axes)], shape)
    return graph.add("Unsqueeze", [x], shape, axes=axes)


def squeeze(graph: Graph, x: str, axes: list[int]) -> str:
    shape = [n for i, n in enumerate(graph.shape(x)) if i not in axes]
    if graph.opset >= 11 and graph.chance(0.3):
        axes = [axis - len(graph.shape(x)) for axis in axes]
    if graph.opset >= 13:
        return graph.add("Squeeze", [x, whole(graph, axes)], shape)
    return graph.add("Squeeze", [x], shape, axes=axes)


def flatten(graph: Graph, x: str) -> str:
    """[1, channels, height, width] as [1, values], in one of the many ways."""
    shape = graph.shape(x)
    count = int(np.prod(shape[1:]))
    way = graph.pick("Flatten", "Flatten", "Reshape", "Reshape", "arithmetic", "Squeeze", "allowzero")
    if way == "Squeeze" and shape[2:] == (1, 1):
        return squeeze(graph, x, [2, 3])
    if way == "arithmetic":
        return graph.add("Reshape", [x, counted(graph, x)], (1, count))
    if way == "allowzero" and graph.opset >= 14:
        target = graph.pick([1, -1], [1, count], [-1, count])
        return graph.add("Reshape", [x, whole(graph, target)], (1, count), allowzero=1)
    if way == "Reshape":
        target = graph.pick([1, -1], [0, -1], [1, count], [-1, count], [0, count])
        return graph.add("Reshape", [x, whole(graph, target)], (1, count))
    axis = graph.pick(None, 1, -3 if graph.opset >= 11 else 1)
    return graph.add("Flatten", [x], (1, count), axis=axis)


def counted(graph: Graph, x: str) -> str:
    """The target of a flattening `Reshape`, computed from the tensor's own extents."""
    shape = graph.shape(x)
    extents = graph.add("Shape", [x], (len(shape),), start=graph.pick(None, 0) if graph.opset >= 15 else None)
    way = graph.pick("Gather", "Gather", "Slice", "start" if graph.opset >= 15 else "Gather")
    if way == "Slice" and graph.opset < 10:
        way = "Gather"
    if way == "start":
        batch = graph.add("Shape", [x], (1,), start=0, end=1)
    elif way == "Slice":
        batch = graph.add("Slice", [extents, graph.ints(0), graph.ints(1), graph.ints(0)], (1,))
    elif graph.chance(0.5):
        batch = graph.add("Gather", [extents, graph.ints(0)], (1,), axis=graph.pick(None, 0))
    else:
        batch = graph.add("Gather", [extents, graph.initializer(np.array(0, np.int64))], (), axis=0)
        batch = unsqueeze(graph, batch, [0])
    rest = graph.pick([-1], [-1], [int(np.prod(shape[1:]))])
    return graph.add("Concat", [batch, whole(graph, rest)], (2,), axis=graph.pick(0, 0, -1 if graph.opset >= 11 else 0))


def pool(graph: Graph, x: str) -> str:
    """`MaxPool` or `AveragePool`."""
    kernel = windows.kernel(graph, x, ((2, 2), (2, 2), (3, 3), (3, 3), (2, 3), (1, 2), (3, 1), (4, 4)))
    op = graph.pick("MaxPool", "AveragePool")
    dilated = graph.chance(0.08) and graph.opset >= (10 if op == "MaxPool" else 19)
    found = windows.window(graph, x, kernel, pool=True, ceil=graph.opset >= 10, dilated=dilated)
    if found is None:
        return graph.add("Identity", [x], graph.shape(x))
    attributes, sides = found
    if op == "AveragePool":
        attributes["count_include_pad"] = graph.pick(None, 0, 1)
        if graph.opset < 19:
            attributes["dilations"] = None
    else:
        attributes["storage_order"] = graph.pick(None, None, 0) if graph.opset >= 8 else None
        if graph.opset < 10:
            attributes["dilations"] = None
    return graph.add(op, [x], (1, graph.shape(x)[1], *sides), kernel_shape=kernel, **attributes)


def global_pool(graph: Graph, x: str) -> str:
    """Means over height and width: [1, channels, 1, 1] or [1, channels]."""
    channels, height, width = graph.shape(x)[1:]
    way = graph.rng.random()
    if way < 0.45:
        return graph.add("GlobalAveragePool", [x], (1, channels, 1, 1))
    if way < 0.6:
        return graph.add(
            "AveragePool",
            [x],
            (1, channels, 1, 1),
            kernel_shape=[height, width],
            strides=graph.pick(None, [1, 1], [height, width]),
        )
    keepdims = graph.pick(None, 0, 1, 1)
    shape = (1, channels) if keepdims == 0 else (1, channels, 1, 1)
    axes = graph.pick([2, 3], [-1, -2], [-2, -1], [3, 2])
    if graph.opset < 11:
        axes = [2, 3]
    if graph.opset >= 18:
        quirk = graph.pick(None, None, 0, 1)
        return graph.add("ReduceMean", [x, whole(graph, axes)], shape, keepdims=keepdims, noop_with_empty_axes=quirk)
    return graph.add("ReduceMean", [x], shape, axes=axes, keepdims=keepdims)


def concat(graph: Graph, parts: list[str]) -> str:
    """`Concat` of channels."""
    first = graph.shape(parts[0])
    axis = graph.pick(1, 1, 1 - len(first)) if graph.opset >= 11 else 1
    channels = sum(graph.shape(part)[1] for part in parts)
    return graph.add("Concat", parts, (1, channels, *first[2:]), axis=axis)
