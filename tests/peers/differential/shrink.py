"""A failing graph made smaller while it fails in the same way."""

import os
import pathlib
import tempfile
import time
from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from . import oracle, verdict
from .case import Case
from .ir import INPUT, prune
from .refit import Refitter, Unfit, evaluate

#: Seconds that a graph is worked on.
SECONDS = int(os.environ.get("SHRINK_SECONDS", "120"))


def shrink(
    binary: str, case: Case, result: verdict.Verdict, strict: bool, better: Callable[[Case, verdict.Verdict], None]
) -> Case:
    """The smallest case found that gets the same kind of verdict; `better` is told of each on the way there."""
    with tempfile.TemporaryDirectory(prefix="differential-") as folder:
        return Shrinker(binary, case, result, strict, better, pathlib.Path(folder)).run()


class Shrinker:
    """Tries changes, keeps those with which the graph still fails."""

    def __init__(self, binary, case, result, strict, better, folder):
        self.binary, self.case, self.strict, self.better, self.folder = binary, case, strict, better, folder
        self.wanted = verdict.alike(result)
        self.least = min(result.distance, 0.3) / 2
        self.end = time.monotonic() + SECONDS

    def run(self) -> Case:
        passes = [
            self.earlier_outputs,
            self.folded,
            self.bypassed,
            self.fewer_inputs,
            self.fewer_attributes,
            self.plainer,
            self.smaller_image,
            self.fewer_channels,
            self.simpler_numbers,
        ]
        changed = True
        while changed and time.monotonic() < self.end:
            changed = any([step() for step in passes])
        return self.case

    def accept(self, model: onnx.ModelProto, x: np.ndarray | None = None) -> bool:
        """Takes the model if it still fails."""
        if time.monotonic() > self.end:
            return False
        x = self.case.x if x is None else x
        try:
            truth = oracle.run(declared_anew(prune(model)), x)[0]
        except oracle.Refused:
            return False
        if oracle.degenerate(truth):
            return False
        quantized = any(
            "QuantizeLinear" in n.op_type or n.op_type.startswith(("QLinear", "QGemm")) for n in model.graph.node
        )
        case = Case(self.case.seed, model, x, truth, quantized)
        result = verdict.judge(self.binary, case, self.folder, self.strict)
        # One that is far less wrong may be so for another reason.
        if verdict.alike(result) != self.wanted or result.distance < self.least:
            return False
        self.case = case
        self.better(case, result)
        return True

    def copy(self) -> onnx.ModelProto:
        model = onnx.ModelProto()
        model.CopyFrom(self.case.model)
        return model

    def earlier_outputs(self) -> bool:
        """An inner tensor as the output, as early as may be: what is wrong mostly stays wrong behind it."""
        changed = False
        low, high = 0, len(self.case.model.graph.node) - 1
        while low < high:
            middle = (low + high) // 2
            model = self.copy()
            del model.graph.output[1:]
            name = model.graph.node[middle].output[0]
            model.graph.output[0].CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
            if self.accept(model):
                changed = True
                # What was pruned stood in front.
                high = len(self.case.model.graph.node) - 1
                low = min(low, high)
            else:
                low = middle + 1
        return changed

    def folded(self) -> bool:
        """Results of operators on constants as initializers."""
        changed = False
        for node in list(self.case.model.graph.node):
            constants = {t.name: numpy_helper.to_array(t) for t in self.case.model.graph.initializer}
            if any(name and name not in constants for name in node.input):
                continue
            try:
                inputs = {name: constants[name] for name in node.input if name}
                results = evaluate(node, inputs, self.case.model)
            except oracle.Refused:
                continue
            model = self.copy()
            model.graph.node.remove(node)
            model.graph.initializer.extend(numpy_helper.from_array(r, n) for n, r in zip(node.output, results))
            changed |= self.accept(model)
        return changed

    def bypassed(self) -> bool:
        """Nodes left out, many at once and then one by one: what they read goes to their readers."""
        changed = False
        size = len(self.case.model.graph.node) // 2
        while size:
            start = len(self.case.model.graph.node)
            while start > 0:
                start -= size
                changed |= self._without(max(0, start), size)
            size //= 2
        return changed

    def _without(self, start: int, size: int) -> bool:
        """The graph without the nodes from `start`, where each has an input that may stand for its output."""
        nodes = list(self.case.model.graph.node)[start : start + size]
        constants = {t.name for t in self.case.model.graph.initializer}
        choices = range(1) if size > 1 else range(max([len(node.input) for node in nodes], default=0))
        for choice in choices:
            model = self.copy()
            for node in nodes:
                inner = [name for name in node.input if name and name not in constants]
                if choice < len(inner):
                    index = next(i for i, other in enumerate(model.graph.node) if other.output == node.output)
                    stand_in = model.graph.node[index].input[list(node.input).index(inner[choice])]
                    del model.graph.node[index]
                    rename(model, node.output[0], stand_in)
            if len(model.graph.node) == len(self.case.model.graph.node):
                continue
            spare = onnx.ModelProto()
            spare.CopyFrom(model)
            if self.accept(model) or self._refitted(spare, self.case.x):
                return True
        return False

    def fewer_inputs(self) -> bool:
        """Parts left out of concatenations, and inputs that may be missing."""
        changed = False
        for index in range(len(self.case.model.graph.node)):
            if index >= len(self.case.model.graph.node):
                break
            node = self.case.model.graph.node[index]
            for at in reversed(range(1 if node.op_type != "Concat" else 0, len(node.input))):
                if index >= len(self.case.model.graph.node) or at >= len(self.case.model.graph.node[index].input):
                    break
                model = self.copy()
                del model.graph.node[index].input[at]
                changed |= self.accept(model) or self._refitted(model, self.case.x)
        return changed

    def fewer_attributes(self) -> bool:
        changed = False
        for index in range(len(self.case.model.graph.node)):
            if index >= len(self.case.model.graph.node):
                break
            for attribute in list(self.case.model.graph.node[index].attribute):
                model = self.copy()
                if index >= len(model.graph.node) or attribute not in model.graph.node[index].attribute:
                    break
                model.graph.node[index].attribute.remove(attribute)
                changed |= self.accept(model)
        return changed

    def plainer(self) -> bool:
        """No declared extents, a batch of 1, constants that are no inputs."""
        model = self.copy()
        del model.graph.value_info[:]
        del model.graph.input[:]
        model.graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, self.case.x.shape))
        same = model.SerializeToString() == self.case.model.SerializeToString()
        return not same and self.accept(model)

    def smaller_image(self) -> bool:
        changed = False
        for axis in (2, 3):
            for side in (1, 2, 3, 4, 5, 6, 8, 10, 13):
                if side < self.case.x.shape[axis] and self._refitted(
                    self.copy(), np.take(self.case.x, range(side), axis)
                ):
                    changed = True
                    break
        return changed

    def fewer_channels(self) -> bool:
        changed = False
        for node in list(self.case.model.graph.node):
            if node.op_type not in ("Conv", "Gemm", "MatMul", "QLinearConv", "QLinearMatMul", "QGemm"):
                continue
            for count in (1, 2, 3, 4):
                if self._refitted(self.copy(), self.case.x, (node.output[0], count)):
                    changed = True
                    break
        return changed

    def _refitted(self, model, x, fewer: tuple[str, int] | None = None) -> bool:
        size = sum(numpy_helper.to_array(t).size for t in self.case.model.graph.initializer) + self.case.x.size
        try:
            refitter = Refitter(model, x)
            if fewer:
                refitter.fewer_outputs(*fewer)
            model = prune(refitter.run())
        except (Unfit, oracle.Refused, KeyError, IndexError, ValueError):
            return False
        less = sum(numpy_helper.to_array(t).size for t in model.graph.initializer) + x.size < size
        return less and self.accept(model, x)

    def simpler_numbers(self) -> bool:
        """Constants of ones, of zeros, or rounded."""
        changed = False
        scales = behind_scales(self.case.model)
        for tensor in list(self.case.model.graph.initializer):
            array = numpy_helper.to_array(tensor)
            if array.size == 0 or array.dtype == np.int64:
                continue
            ways = [np.ones_like(array), np.zeros_like(array), np.round(array, 1), np.round(array, 3)]
            if tensor.name in scales:
                ways = [np.ones_like(array), np.exp2(np.round(np.log2(array)))]
            for simple in ways:
                if np.array_equal(simple, array):
                    break
                model = self.copy()
                index = next((i for i, t in enumerate(model.graph.initializer) if t.name == tensor.name), None)
                if index is None:
                    break
                model.graph.initializer[index].CopyFrom(numpy_helper.from_array(simple, tensor.name))
                if self.accept(model):
                    changed = True
                    break
        return changed


def scale_inputs(node: onnx.NodeProto) -> list[str]:
    """A node's inputs that are scales: not to be 0."""
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        return list(node.input[1:2])
    if node.op_type == "QLinearConcat":
        return [node.input[0], *node.input[3::3]]
    if node.op_type.startswith("QLinear") or node.op_type == "QGemm":
        return [name for name in node.input if name.startswith(("scale", "c_"))]
    return []


def behind_scales(model: onnx.ModelProto) -> set[str]:
    """Names of scales, and of the constants that they are computed from."""
    names = {name for node in model.graph.node for name in scale_inputs(node)}
    for node in reversed(model.graph.node):
        if names.intersection(node.output):
            names.update(node.input)
    return names


def declared_anew(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model, in place, with its declared extents as they are after a change."""
    names = {value.name for value in model.graph.value_info}
    if names:
        del model.graph.value_info[:]
        try:
            inferred = shape_inference.infer_shapes(model)
        except shape_inference.InferenceError as error:
            raise oracle.Refused(str(error)) from error
        model.graph.value_info.extend(value for value in inferred.graph.value_info if value.name in names)
    return model


def rename(model: onnx.ModelProto, old: str, new: str):
    """Lets readers of a tensor read another."""
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if name == old:
                node.input[index] = new
    for output in model.graph.output:
        if output.name == old:
            output.name = new
