"""Convolutions and pools in two dimensions: attributes at random, and the extents they give."""

from .ir import Graph


def window(graph: Graph, name: str, kernel: list[int], pool: bool = False, ceil: bool = False, dilated: bool = False):
    """Attributes for a window on the tensor `name`, and height and width of its output; None where nothing is left."""
    sides = graph.shape(name)[2:]
    strides = graph.pick(None, None, [1, 1], [1, 1], [2, 2], [2, 2], [1, 2], [2, 1], [3, 2])
    dilations = [graph.rng.randint(1, 3), graph.rng.randint(1, 3)] if dilated else graph.pick(None, None, None, [1, 1])
    auto_pad = graph.pick(*[None] * 8, "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
    if dilated and auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        # ONNX Runtime refuses the two together.
        auto_pad = None
    if pool and auto_pad and strides and (strides[0] > kernel[0] or strides[1] > kernel[1]):
        # ONNX Runtime finds negative padding for these.
        auto_pad = None
    explicit = auto_pad in (None, "NOTSET")
    pads = None
    if explicit and graph.chance(0.7):
        half = [k // 2 for k in kernel]
        # A pool's padding has to be smaller than its window.
        most = [max(k - 1, 0) if pool else k for k in kernel]
        even = half * 2
        odd = [graph.rng.randint(0, min(m, 3)) for m in most * 2]
        pads = graph.pick(even, even, even, odd, [0, 0, 0, 0])
    ceil_mode = 1 if ceil and explicit and graph.chance(0.35) else graph.pick(None, 0) if ceil else None
    out = extents(sides, kernel, strides or [1, 1], pads or [0] * 4, dilations or [1, 1], auto_pad, ceil_mode)
    if min(out) < 1:
        return None
    attributes = {"strides": strides, "pads": pads, "auto_pad": auto_pad, "dilations": dilations}
    if ceil:
        attributes["ceil_mode"] = ceil_mode
    return attributes, out


def extents(sides, kernel, strides, pads, dilations, auto_pad, ceil_mode) -> list[int]:
    """Height and width of what a window gives."""
    out = []
    for axis in range(2):
        side, stride = sides[axis], strides[axis]
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            out.append(-(-side // stride))
            continue
        before, behind = (0, 0) if auto_pad == "VALID" else (pads[axis], pads[axis + 2])
        room = side + before + behind - reach
        if room < 0:
            return [0, 0]
        count = (-(-room // stride) if ceil_mode else room // stride) + 1
        # The last window has to begin within the input or the padding in front of it.
        if ceil_mode and (count - 1) * stride >= side + before:
            count -= 1
        out.append(count)
    return out


def kernel(
    graph: Graph,
    name: str,
    sizes=((1, 1), (1, 1), (1, 1), (3, 3), (3, 3), (3, 3), (5, 5), (7, 7), (1, 3), (3, 2), (2, 5), (2, 2)),
):
    """A window's height and width that fit the tensor."""
    height, width = graph.shape(name)[2:]
    fitting = [k for k in sizes if k[0] <= height and k[1] <= width]
    return list(graph.rng.choice(fitting or [(1, 1)]))
