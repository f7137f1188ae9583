"""One seed, one graph: the model, its input, and ONNX Runtime's answer."""

import dataclasses
import random

import numpy as np
import onnx

from . import generate, oracle
from .ir import INPUT, Graph, prune, rename, share, to_proto
from .quantized import Quantizer


@dataclasses.dataclass
class Case:
    """A graph with its right answer."""

    seed: int
    model: onnx.ModelProto
    x: np.ndarray
    truth: np.ndarray
    quantized: bool


def make(seed: int, stock: bool = False, check: bool = False) -> Case | None:
    """The graph of a seed; None where it shows nothing, or ONNX Runtime refuses it.

    With `check` a refusal is raised, and so is an extent that the generator was wrong about.
    """
    rng = random.Random(f"{'stock' if stock else 'dense'} {seed}")
    graph = generate.stock(rng) if stock else generate.dense(rng)
    x = graph.normal(graph.shape(INPUT), rng.choice([1, 1, 1, 0.3, 3]))
    style = {
        name: rng.random() < rate
        for name, rate in {"symbolic_batch": 0.1, "listed": 0.08, "nameless": 0.08, "declared": 0.4}.items()
    }
    names = rng.choice([None] * 12 + ["numbers", "crossed", "odd"])
    shared = rng.random() < 0.15
    form = rng.random()
    try:
        values = evaluate(graph, x, check)
        if not all(np.all(np.isfinite(v)) for v in values.values() if v.dtype.kind == "f"):
            return None
        # Quantizers came with opset 10.
        quantized = form < (0.5 if stock else 0.7) and graph.opset >= 10
        static = quantized and form < 0.01
        if quantized and not static:
            graph = Quantizer(graph, values).rewrite()
        declared = None
        if style.pop("declared"):
            declared = {
                name: (onnx.helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
                for name, v in values.items()
                if rng.random() < 0.9
            }
        model = prune(to_proto(graph, declared=declared, **style))
        if static:
            from . import static_quantizer

            model = static_quantizer.quantize(model, x, rng)
        if shared:
            model = share(model)
        if names:
            model = rename(model, rng, names)
        truth = oracle.run(model, x)[0]
    except oracle.Refused:
        if check:
            raise
        return None
    if oracle.degenerate(truth):
        return None
    return Case(seed, model, x, truth, quantized)


def evaluate(graph: Graph, x: np.ndarray, check: bool = False) -> dict[str, np.ndarray]:
    """All tensors of a float graph for one input."""
    names = [name for node in graph.nodes for name in node.outputs]
    model = to_proto(graph, outputs=names)
    for value in model.graph.output:
        # Types and extents are ONNX Runtime's to find.
        value.ClearField("type")
    values = dict(zip(names, oracle.run(model, x)))
    if check:
        for name in names:
            assert values[name].shape == graph.shape(name), f"{name}: {values[name].shape}, not {graph.shape(name)}"
    return values | graph.constants | {INPUT: x}
