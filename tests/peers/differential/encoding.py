"""Scales and zero points, and the nodes that quantize and dequantize by them."""

import dataclasses

import numpy as np
import onnx

from . import constants
from .ir import MICROSOFT, Graph

#: Types of quantized values.
KINDS = {"u8": np.dtype(np.uint8), "s8": np.dtype(np.int8), "u16": np.dtype(np.uint16), "s16": np.dtype(np.int16)}
BOUNDS = {dtype: (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)) for dtype in [*KINDS.values(), np.dtype(np.int32)]}


@dataclasses.dataclass
class Encoding:
    """`(stored - zero_point) * scale`; one number, or one for each index of `axis`, or of each block of it."""

    scale: np.ndarray
    zero_point: np.ndarray
    axis: int | None = None
    block: int | None = None

    @property
    def dtype(self) -> np.dtype:
        return self.zero_point.dtype

    @property
    def single(self) -> bool:
        return self.scale.size == 1

    def same(self, other: "Encoding") -> bool:
        return (self.dtype, self.axis, self.block) == (other.dtype, other.axis, other.block) and all(
            np.array_equal(a, b) for a, b in ((self.scale, other.scale), (self.zero_point, other.zero_point))
        )

    def _spread(self, shape) -> tuple[np.ndarray, np.ndarray]:
        if self.single:
            return self.scale.reshape(()), self.zero_point.reshape(())
        if self.block:
            return tuple(
                np.repeat(a, self.block, self.axis).take(range(shape[self.axis]), self.axis)
                for a in (self.scale, self.zero_point)
            )
        view = [1] * len(shape)
        view[self.axis] = -1
        zero_point = self.zero_point if self.zero_point.size > 1 else np.full(self.scale.shape, self.zero_point)
        return self.scale.reshape(view), zero_point.reshape(view)

    def store(self, array: np.ndarray) -> np.ndarray:
        """The whole numbers for `array`."""
        scale, zero_point = self._spread(array.shape)
        low, high = BOUNDS[self.dtype]
        return np.clip(np.round(array.astype(np.float64) / scale) + zero_point, low, high).astype(self.dtype)


def activation(graph: Graph, low, high, kind: str) -> Encoding:
    """An encoding for values from `low` to `high`: numbers, or lists of one number a channel, which stand on axis 1."""
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    dtype = KINDS[kind]
    least, greatest = BOUNDS[dtype]
    steps, signed = greatest - least, least < 0
    low, high = np.minimum(low, 0), np.maximum(high, 0)
    # A calibration that saw more, or cut off the tails.
    stretch = graph.pick(1, 1, 1.2, 0.9)
    low, high = low * stretch, high * stretch
    way = graph.rng.random()
    width = np.maximum(high - low, 1e-3)
    if way < 0.6:
        scale = width / steps
        zero_point = np.clip(np.round(least - low / scale), least, greatest)
    elif way < 0.8:
        # Symmetric; or of what is not negative.
        middle = 0 if signed else (steps + 1) // 2
        positive = low.max() >= 0 and not signed
        zero_point = np.zeros_like(width) if positive else np.full_like(width, middle)
        scale = np.maximum(np.maximum(high, -low), 1e-3) / (steps if positive else steps // 2)
    else:
        unusual = graph.pick(-128, 127, 3, -125, 100, -1) if signed else graph.pick(3, 255, 250, 1, 77, 0)
        zero_point = np.full_like(width, unusual)
        # Finer on the longer side; what is beyond on the other is cut off.
        above, below = greatest - unusual, unusual - least
        scale = width / steps if graph.chance(0.5) else np.maximum(high / max(above, 1), -low / max(below, 1))
        scale = np.clip(scale, width / steps, width / (steps // 4))
    if graph.chance(0.15):
        scale = np.exp2(np.ceil(np.log2(scale)))
    axis = 1 if low.ndim else None
    return Encoding(scale.astype(np.float32), zero_point.astype(dtype), axis)


def weight(graph: Graph, array: np.ndarray, axis: int, kind: str) -> Encoding:
    """An encoding for weights, perhaps one scale for each index of `axis`."""
    dtype = KINDS[kind]
    least, greatest = BOUNDS[dtype]
    steps, signed = greatest - least, least < 0
    many = graph.chance(0.5)
    other = tuple(i for i in range(array.ndim) if i != axis) if many else None
    low, high = np.minimum(array.min(other), 0), np.maximum(array.max(other), 0)
    if signed and graph.chance(0.7):
        scale, zero_point = np.maximum(high, -low) / greatest, np.zeros(np.shape(low))
    elif graph.chance(0.6):
        scale = (high - low) / steps
        zero_point = np.round(least - low / np.maximum(scale, 1e-9))
    else:
        unusual = graph.pick(0, 3, -128, 127, -20) if signed else graph.pick(128, 128, 120, 3, 255, 0)
        zero_point = np.full(np.shape(low), unusual)
        scale = np.maximum(high / max(greatest - unusual, 60), -low / max(unusual - least, 60))
    scale = np.maximum(scale, 0.03 / steps).astype(np.float32)
    return Encoding(scale, np.clip(zero_point, least, greatest).astype(dtype), axis if many else None)


def operator_weight(graph: Graph, array: np.ndarray, axis: int, kind: str) -> Encoding:
    """An encoding for the weights of a quantized operator, whose zero points have to be all the same.

    Signed ones have 7 bits: on x86 without VNNI, ONNX Runtime adds products of 8 bits in pairs in 16, which saturates.
    """
    other = tuple(i for i in range(array.ndim) if i != axis) if graph.chance(0.5) else None
    largest = np.maximum(np.abs(array).max(other), 1e-3)
    if kind == "u8":
        zero_point = graph.pick(128, 128, 128, 120, 140)
        scale = largest / (255 - max(zero_point, 255 - zero_point))
    else:
        zero_point = graph.pick(0, 0, 0, 3, -5)
        scale = largest / 58
    chosen = np.full(largest.shape, zero_point, np.uint8 if kind == "u8" else np.int8)
    return Encoding(scale.astype(np.float32), chosen, axis if other else None)


def blocked(graph: Graph, array: np.ndarray, kind: str) -> Encoding:
    """One scale for each block of an axis (opset 21)."""
    dtype = KINDS[kind]
    axis = graph.rng.randrange(array.ndim)
    block = graph.rng.randint(1, max(1, array.shape[axis]))
    count = -(-array.shape[axis] // block)
    shape = list(array.shape)
    shape[axis] = count
    largest = np.stack(
        [np.abs(part).max(axis) for part in np.array_split(array, range(block, array.shape[axis], block), axis)], axis
    )
    scale = np.maximum(largest.reshape(shape) / 100, 1e-4).astype(np.float32)
    zero_point = graph.numbers.integers(*((-9, 10) if dtype.kind == "i" else (118, 138)), shape).astype(dtype)
    return Encoding(scale, zero_point, axis, block)


def parameters(graph: Graph, encoding: Encoding, may_omit: bool) -> list[str]:
    """The names of scale and zero point; the latter is left out sometimes where 0 may be meant by that."""
    scale, zero_point = encoding.scale, encoding.zero_point
    if scale.size == 1 and not encoding.block:
        shape = graph.pick((), (), (), (1,))
        scale, zero_point = scale.reshape(shape), zero_point.reshape(shape)
    elif zero_point.shape != scale.shape:
        zero_point = np.full(scale.shape, zero_point.reshape(-1)[0])
    names = [constants.constant(graph, scale, 0.97)]
    if may_omit and not zero_point.any() and graph.chance(0.4):
        return names
    if graph.chance(0.04):
        wide = graph.initializer(zero_point.astype(np.int32))
        kind = onnx.helper.np_dtype_to_tensor_dtype(zero_point.dtype)
        return names + [graph.add("Cast", [wide], zero_point.shape, to=kind)]
    return names + [constants.node(graph, zero_point) if graph.chance(0.05) else graph.initializer(zero_point, "zero")]


def _attributes(graph: Graph, encoding: Encoding, rank: int, op: str) -> dict:
    attributes = {}
    if graph.opset >= 13:
        axis = encoding.axis
        if axis is None:
            # Without a meaning where there is one scale.
            attributes["axis"] = graph.pick(*[None] * 8, 0 if rank else None, 1 if rank > 1 else None)
        elif axis == 1 and graph.chance(0.5):
            pass
        else:
            attributes["axis"] = axis - rank if graph.chance(0.2) else axis
    if graph.opset >= 19 and op == "QuantizeLinear":
        attributes["saturate"] = graph.pick(None, None, None, 0, 1)
    if graph.opset >= 21:
        attributes["block_size"] = encoding.block or graph.pick(None, None, 0)
    return attributes


def quantize(graph: Graph, x: str, encoding: Encoding) -> str:
    """A `QuantizeLinear`."""
    shape = graph.shape(x)
    attributes = _attributes(graph, encoding, len(shape), "QuantizeLinear")
    omit = encoding.dtype == np.uint8
    if graph.opset >= 21:
        # The type of the result, with or without a zero point that says the same.
        kind = onnx.helper.np_dtype_to_tensor_dtype(encoding.dtype)
        attributes["output_dtype"] = graph.pick(None, None, kind)
        omit = omit or attributes["output_dtype"] is not None
    domain = contributed(graph, attributes, encoding)
    return graph.add(
        "QuantizeLinear", [x] + parameters(graph, encoding, omit and not domain), shape, domain, **attributes
    )


def dequantize(graph: Graph, x: str, encoding: Encoding) -> str:
    """A `DequantizeLinear`."""
    shape = graph.shape(x)
    attributes = _attributes(graph, encoding, len(shape), "DequantizeLinear")
    domain = contributed(graph, attributes, encoding)
    return graph.add("DequantizeLinear", [x] + parameters(graph, encoding, not domain), shape, domain, **attributes)


def contributed(graph: Graph, attributes: dict, encoding: Encoding) -> str:
    """The domain of a quantizer: now and then that of ONNX Runtime, whose quantizers are those of opset 13, but know 16 bits."""
    wide = encoding.dtype in (KINDS["u16"], KINDS["s16"])
    needed = wide and graph.opset < 21
    if not needed and not graph.chance(0.02) or encoding.block or encoding.dtype.itemsize > 2:
        return ""
    for name in ("saturate", "block_size", "output_dtype"):
        attributes.pop(name, None)
    if encoding.axis is not None:
        attributes["axis"] = encoding.axis
    return MICROSOFT


def stored(graph: Graph, array: np.ndarray, encoding: Encoding) -> str:
    """A constant as whole numbers, in one of the ways files hold them; not yet dequantized."""
    whole = encoding.store(array)
    way = graph.rng.random()
    if way < 0.8:
        return graph.initializer(whole, "stored")
    if way < 0.9:
        name = graph.initializer(array, "float")
        graph.shapes[name] = array.shape
        # As if it were an activation.
        return quantize(graph, name, encoding)
    if way < 0.95:
        return constants.node(graph, whole)
    flat = graph.initializer(whole.reshape(-1), "stored")
    return graph.add("Reshape", [flat, graph.ints(*whole.shape)], whole.shape)


def decoded(graph: Graph, array: np.ndarray, encoding: Encoding) -> str:
    """A constant behind its `DequantizeLinear`, which may be transposed."""
    if array.ndim == 2 and encoding.block is None and graph.chance(0.15):
        turned = graph.chance(0.7)
        perm = [1, 0] if turned else [0, 1]
        axis = None if encoding.axis is None else (1 - encoding.axis if turned else encoding.axis)
        inner = Encoding(encoding.scale, encoding.zero_point, axis)
        before = array.T if turned else array
        perm = graph.pick(perm, None) if turned else perm
        if graph.chance(0.5):
            name = _shaped(graph, stored(graph, before, inner), before.shape)
            return graph.add("Transpose", [dequantize(graph, name, inner)], array.shape, perm=perm)
        name = graph.add("Transpose", [stored(graph, before, inner)], array.shape, perm=perm)
        return dequantize(graph, name, encoding)
    name = dequantize(graph, _shaped(graph, stored(graph, array, encoding), array.shape), encoding)
    return graph.add("Identity", [name], array.shape) if graph.chance(0.03) else name


def _shaped(graph: Graph, name: str, shape) -> str:
    graph.shapes[name] = tuple(shape)
    return name
