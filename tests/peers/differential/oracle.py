"""ONNX Runtime without graph optimizations: what is right, and how far two right runtimes may be apart."""

from __future__ import annotations

import typing

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

from .ir import INPUT

if typing.TYPE_CHECKING:
    from .case import Case

#: Largest difference by largest value that is below any doubt.
FLOAT_LIMIT, QUANTIZED_LIMIT = 1e-3, 2e-2
#: Relative size of the changes that a right answer has to be stable under, and how many are tried.
NUDGES = (3e-6, 1e-6, 1e-5) * 4
#: How many times as many are tried before an answer is called wrong: in deep networks few of them reach the output.
AGAIN = 10
#: How many times the spread of these a right answer may be off.
SPREADS = 3

#: Operators behind the last quantizer that leave values as they are.
_LEAVING = ("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Relu", "Dropout")

ort.set_default_logger_severity(4)


class Refused(Exception):
    """ONNX Runtime does not run the graph."""


def session(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = False
    try:
        return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise Refused(str(error)) from None


def run(model: onnx.ModelProto, x: np.ndarray) -> list[np.ndarray]:
    """All outputs of the model."""
    found = session(model)
    try:
        return found.run(None, {INPUT: x})
    except Exception as error:
        raise Refused(str(error)) from None


def distance(ours: np.ndarray, truth: np.ndarray) -> float:
    """Largest difference by largest value; infinite where the extents or what is finite differ."""
    if ours.size != truth.size or not np.all(np.isfinite(ours)):
        return float("inf")
    largest = np.abs(truth).max(initial=0)
    return float(np.abs(ours.reshape(-1) - truth.reshape(-1)).max(initial=0) / max(largest, 1e-30))


def degenerate(truth: np.ndarray) -> bool:
    """Whether an answer shows nothing: not finite, or the same everywhere."""
    if truth.size == 0 or truth.dtype != np.float32 or not np.all(np.isfinite(truth)):
        return True
    largest = np.abs(truth).max()
    return bool(largest < 1e-6 or largest > 1e6 or truth.size > 1 and np.ptp(truth) < 1e-4 * largest)


def nudged(model: onnx.ModelProto, x: np.ndarray, size: float, rng: np.random.Generator):
    """The model and input with each f32 number changed by up to `size` of itself."""

    def change(array: np.ndarray) -> np.ndarray:
        return (array * (1 + size * rng.uniform(-1, 1, array.shape))).astype(np.float32)

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.name) and not tensor.name.startswith("scales_"):
            tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)), tensor.name))
    return copy, change(x)


def spread(model: onnx.ModelProto, x: np.ndarray, truth: np.ndarray, enough: float = float("inf")) -> float:
    """How far ONNX Runtime's own answers are apart when every f32 number of file and input changes by its last bits.

    Values that lie on the edge between two quantized ones then fall to either side, as they do in a runtime that rounds
    in another order, and what follows from it shows in full. Ends as soon as the spread is `enough`.
    """
    rng = np.random.default_rng(0)
    worst = 0.0
    for size in NUDGES * AGAIN:
        try:
            answer = run(*nudged(model, x, size, rng))[0]
        except Refused:
            continue
        worst = max(worst, distance(answer, truth))
        if worst >= enough:
            break
    return worst


def last_step(model: onnx.ModelProto, truth: np.ndarray) -> float:
    """The step of the quantizer that the output comes from, by the largest value; 0 where there is none."""
    producers = {name: node for node in model.graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    node = producers.get(model.graph.output[0].name)
    while node is not None and node.op_type in _LEAVING:
        node = producers.get(node.input[0])
    if node is None or node.op_type != "DequantizeLinear" or node.input[1] not in constants:
        return 0.0
    return float(numpy_helper.to_array(constants[node.input[1]]).max() / max(np.abs(truth).max(), 1e-30))


def tolerated(case: Case, found: float, strict: bool) -> float:
    """The largest distance that is not wrong, as far as it matters for one of `found`.

    A difference in the last bit of a sum becomes a whole step where the sum is rounded right behind it. So an answer
    beyond the plain limit is measured by what such differences do to ONNX Runtime itself: `SPREADS` times its spread,
    and one step of the output's own quantizer. A fault is not forgiven by this: a norm, a zero point or a channel taken
    for another is off by far more than the last bits of all constants are, in each network in which these are not chaos
    already. With `strict`, quantized networks have no plain limit beyond that of float ones.
    """
    plain = QUANTIZED_LIMIT if case.quantized and not strict else FLOAT_LIMIT
    step = 1.01 * last_step(case.model, case.truth) if case.quantized else 0
    enough = (found - step) / SPREADS
    return max(plain, SPREADS * spread(case.model, case.x, case.truth, enough) + step)
