"""Constants in the ways files hold them: initializers, Constant nodes, and results of operators on constants."""

import numpy as np

from .ir import Graph


def constant(graph: Graph, array: np.ndarray, plain: float = 0.7) -> str:
    """The name of a tensor that holds `array` or nearly so; with the probability `plain` simply an initializer."""
    if graph.chance(plain):
        return graph.initializer(array)
    return graph.pick(*_WAYS)(graph, np.asarray(array, np.float32))


def weights(graph: Graph, array: np.ndarray) -> str:
    """Weights: as a constant, or transposed."""
    if array.ndim < 2 or graph.chance(0.8):
        return constant(graph, array, 0.85)
    return _transposed(graph, array)


def node(graph: Graph, array: np.ndarray) -> str:
    """A `Constant` node."""
    import onnx

    name = graph.fresh("constant")
    if array.ndim == 0 and array.dtype == np.float32 and graph.opset >= 12 and graph.chance(0.5):
        graph.add("Constant", [], (), output=name, value_float=float(array))
    elif array.ndim == 1 and array.dtype == np.float32 and graph.opset >= 12 and graph.chance(0.3):
        graph.add("Constant", [], array.shape, output=name, value_floats=[float(v) for v in array])
    elif array.ndim == 1 and array.dtype == np.int64 and graph.opset >= 12 and graph.chance(0.5):
        graph.add("Constant", [], array.shape, output=name, value_ints=[int(v) for v in array])
    else:
        graph.add("Constant", [], array.shape, output=name, value=onnx.numpy_helper.from_array(array, name))
    return name


def whole(graph: Graph, values: list[int]) -> str:
    """A list of whole numbers as operators take it for extents and axes."""
    array = np.array(values, np.int64)
    way = graph.rng.random()
    if way < 0.7 or not values:
        return graph.initializer(array, "ints")
    if way < 0.85:
        return node(graph, array)
    if way < 0.9:
        other = np.array([graph.rng.randint(-3, 3) for _ in values], np.int64)
        return graph.add("Add", [graph.initializer(array - other), graph.initializer(other)], array.shape)
    if way < 0.95:
        parts = [graph.initializer(array[i : i + 1]) for i in range(len(values))]
        return graph.add("Concat", parts, array.shape, axis=0)
    return graph.add("Cast", [graph.initializer(array.astype(np.int32))], array.shape, to=7)


def _transposed(graph: Graph, array: np.ndarray) -> str:
    rank = array.ndim
    if graph.chance(0.3):
        perm = list(range(rank))
        attribute = perm
    else:
        perm = list(reversed(range(rank)))
        if rank > 2 and graph.chance(0.5):
            graph.rng.shuffle(perm)
        attribute = None if perm == list(reversed(range(rank))) and graph.chance(0.5) else perm
    stored = np.transpose(array, np.argsort(perm))
    return graph.add("Transpose", [graph.initializer(stored)], array.shape, perm=attribute)


def _broadcastable(graph: Graph, array: np.ndarray, low: float, high: float) -> np.ndarray:
    """Numbers that may stand beside `array` without changing its extents: one, as many, one a channel, a row."""
    ways = [(), array.shape]
    if array.ndim:
        ways += [array.shape[-1:], (1,), array.shape[:1] + (1,) * (array.ndim - 1)]
    shape = graph.rng.choice(ways)
    return graph.uniform(low, high, shape)


def _sum(graph: Graph, array: np.ndarray) -> str:
    other = _broadcastable(graph, array, -1, 1)
    op, first = graph.pick(("Add", array - other), ("Sub", array + other))
    inputs = [graph.initializer(first.astype(np.float32)), graph.initializer(other)]
    if op == "Add" and graph.chance(0.5):
        inputs.reverse()
    return graph.add(op, inputs, array.shape)


def _product(graph: Graph, array: np.ndarray) -> str:
    other = _broadcastable(graph, array, 0.5, 2)
    op, first = graph.pick(("Mul", array / other), ("Div", array * other))
    inputs = [graph.initializer(first.astype(np.float32)), graph.initializer(other)]
    if op == "Mul" and graph.chance(0.5):
        inputs.reverse()
    return graph.add(op, inputs, array.shape)


def _difference(graph: Graph, array: np.ndarray) -> str:
    other = _broadcastable(graph, array, -1, 1)
    return graph.add(
        "Sub", [graph.initializer(other), graph.initializer((other - array).astype(np.float32))], array.shape
    )


def _unary(graph: Graph, array: np.ndarray) -> str:
    if np.all(array > 0) and graph.chance(0.9):
        op, inverse = graph.pick(
            ("Sqrt", np.square), ("Reciprocal", np.reciprocal), ("Abs", np.negative), ("Exp", np.log)
        )
    else:
        op, inverse = graph.pick(("Neg", np.negative), ("Identity", np.copy))
    return graph.add(op, [graph.initializer(inverse(array).astype(np.float32))], array.shape)


def _cast(graph: Graph, array: np.ndarray) -> str:
    kind = graph.pick("f2", "f8", "i4", "through f8", "to whole")
    if kind in ("i4", "to whole") and np.any(np.abs(array) * 16 < 1):
        # Scales and variances are not to become 0.
        kind = "f8"
    if kind == "through f8":
        wide = graph.add("Cast", [graph.initializer(array)], array.shape, to=11)
        return graph.add("Cast", [wide], array.shape, to=1)
    if kind == "to whole":
        scaled = graph.initializer(array * 16)
        cut = graph.add("Cast", [scaled], array.shape, to=graph.pick(6, 7))
        back = graph.add("Cast", [cut], array.shape, to=1)
        return graph.add("Div", [back, graph.initializer(np.float32(16))], array.shape)
    if kind == "i4":
        cast = graph.add("Cast", [graph.initializer(np.round(array * 64).astype(np.int32))], array.shape, to=1)
        return graph.add("Mul", [cast, graph.initializer(np.float32(1 / 64))], array.shape)
    return graph.add("Cast", [graph.initializer(array.astype(kind))], array.shape, to=1)


def _reshaped(graph: Graph, array: np.ndarray) -> str:
    flat = graph.initializer(array.reshape(-1))
    target = list(array.shape)
    if target and graph.chance(0.3):
        target[graph.rng.randrange(len(target))] = -1
    return graph.add("Reshape", [flat, graph.initializer(np.array(target, np.int64), "ints")], array.shape)


def _unsqueezed(graph: Graph, array: np.ndarray) -> str:
    axis = next((i for i, n in enumerate(array.shape) if n == 1), None)
    if axis is None:
        squeezed = graph.initializer(array[np.newaxis])
        if graph.opset >= 13:
            return graph.add("Squeeze", [squeezed, graph.ints(0)], array.shape)
        return graph.add("Squeeze", [squeezed], array.shape, axes=[0])
    less = graph.initializer(np.squeeze(array, axis))
    if graph.chance(0.3):
        axis -= array.ndim
    # Negative axes came with opset 11.
    axis = axis if graph.opset >= 11 else axis % array.ndim
    if graph.opset >= 13:
        return graph.add("Unsqueeze", [less, graph.ints(axis)], array.shape)
    return graph.add("Unsqueeze", [less], array.shape, axes=[axis])


def _joined(graph: Graph, array: np.ndarray) -> str:
    if array.ndim == 0:
        return graph.initializer(array)
    axis = graph.rng.randrange(array.ndim)
    if array.shape[axis] < 2:
        return node(graph, array)
    at = graph.rng.randrange(1, array.shape[axis])
    parts = [graph.initializer(part) for part in np.split(array, [at], axis)]
    return graph.add(
        "Concat", parts, array.shape, axis=axis - (array.ndim if graph.opset >= 11 and graph.chance(0.3) else 0)
    )


def _sliced(graph: Graph, array: np.ndarray) -> str:
    if array.ndim == 0 or graph.opset < 10:
        return node(graph, array)
    more = np.concatenate([array, array[:1] + 1], 0)
    inputs = [graph.initializer(more), graph.ints(0), graph.ints(array.shape[0]), graph.ints(0)]
    return graph.add("Slice", inputs, array.shape)


def _gathered(graph: Graph, array: np.ndarray) -> str:
    if array.ndim == 0:
        return node(graph, array)
    order = list(range(array.shape[0]))
    graph.rng.shuffle(order)
    stored = graph.initializer(array[np.argsort(order)])
    indices = [i - len(order) if graph.opset >= 11 and graph.chance(0.2) else i for i in order]
    return graph.add("Gather", [stored, graph.ints(*indices)], array.shape, axis=graph.pick(None, 0))


def _quantized(graph: Graph, array: np.ndarray) -> str:
    """As whole numbers behind a `DequantizeLinear` of one scale."""
    if graph.opset < 10:
        return node(graph, array)
    scale = np.float32(max(np.abs(array).max(initial=0), 1e-3) / 127)
    stored = np.clip(np.round(array / scale), -127, 127).astype(np.int8)
    if np.any((stored == 0) & (array != 0)):
        # Scales and variances are not to become 0.
        return node(graph, array)
    inputs = [graph.initializer(stored), graph.initializer(scale)]
    if graph.chance(0.5):
        inputs.append(graph.initializer(np.int8(0)))
    return graph.add("DequantizeLinear", inputs, array.shape)


_WAYS = [
    node,
    node,
    _sum,
    _product,
    _difference,
    _unary,
    _cast,
    _reshaped,
    _unsqueezed,
    _joined,
    _sliced,
    _gathered,
    _quantized,
]
