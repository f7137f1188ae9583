"""Run the DenseNet-121 that the `onnx` package ships (a Caffe export, ONNX IR 3, opset 9) in Densight.

"shipped": the file as it is, against the output that lies beside it, as onnx.backend.test does (same input, rtol, atol).
All but 12 of its tensors are ConstantOfShape 0.02, which makes every input give the same logits: this shows that
the graph loads and runs. "random": the same graph with random weights instead, against ONNX Runtime on a random
image (max|a-b| / max|b| at most 1e-4): this shows that it computes. Exits 1 if either fails.
"""

import argparse
import pathlib
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime

import reference
from compare_export import densight_run

LIGHT = pathlib.Path(onnx.__file__).parent / "backend/test/data/light/light_densenet121.onnx"
RTOL, ATOL = 2e-3, 1e-7  # onnx/backend/test/data/real/test_densenet121/data.json


def randomised():
    """The shipped graph with every ConstantOfShape replaced by a random initializer of that shape."""
    model, rng = onnx.load(LIGHT), np.random.default_rng(7)
    graph = model.graph
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    made = []
    for node in [n for n in graph.node if n.op_type == "ConstantOfShape"]:
        name, shape = node.output[0], tuple(tensors[node.input[0]])
        if len(shape) == 4:
            value = rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape)
        elif name.endswith(("_var_0", "_scale_0", "_w_0")):
            value = rng.uniform(0.5, 1.5, shape)
        else:
            value = rng.uniform(-0.3, 0.3, shape)
        made.append(onnx.numpy_helper.from_array(value.astype(np.float32), name))
        graph.node.remove(node)
    kept = [t for t in graph.initializer if not t.name.endswith("__SHAPE")] + made
    del graph.initializer[:]
    graph.initializer.extend(kept)
    # IR 3 lists initializers among the inputs too.
    inputs = [i for i in graph.input if not i.name.endswith("__SHAPE")]
    inputs += [onnx.helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in made]
    del graph.input[:]
    graph.input.extend(inputs)
    onnx.checker.check_model(model, full_check=True)
    return model


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--densight", required=True, type=pathlib.Path, help="the densight program")
    densight = args.parse_args().densight
    size = 3 * 224 * 224
    ramp = (np.arange(size) / size).astype(np.float32).reshape(1, 3, 224, 224)
    expected = onnx.numpy_helper.to_array(onnx.load_tensor(LIGHT.with_name("light_densenet121_output_0.pb")))
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        y = densight_run(densight, LIGHT, ramp, folder)
        shipped = y.shape == expected.shape and np.allclose(y, expected, RTOL, ATOL)
        print(f"shipped: shape {y.shape}, max |a-b| {np.abs(y - expected).max():.1e} of {np.abs(expected).max():.3f}:"
              f" {'ok' if shipped else 'FAILED'}")
        onnx.save(randomised(), folder / "random.onnx")
        x = reference.images((1, 3, 224, 224), 1)
        truth = onnxruntime.InferenceSession(folder / "random.onnx").run(None, {"data_0": x})[0]
        y = densight_run(densight, folder / "random.onnx", x, folder)
        error = np.abs(y - truth).max() / np.abs(truth).max()
        computed = y.shape == truth.shape and error <= 1e-4
        print(f"random: max|a-b|/max|b| {error:.1e}, logits' spread {truth.std():.2f}: {'ok' if computed else 'FAILED'}")
    return not (shipped and computed)


if __name__ == "__main__":
    sys.exit(main())
