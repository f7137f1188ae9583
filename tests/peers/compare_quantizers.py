"""Accuracy of int8 models on CIFAR-10's test pictures: Densight's quantizer, ONNX Runtime's, and both in ONNX Runtime.

ONNX Runtime's quantizer gets the same calibration pictures: as many of the training split, evenly spaced. Pictures are
decoded with PIL; `densight eval` decodes for itself.
"""

import argparse
import io
import json
import pathlib
import subprocess
import tempfile

import numpy as np
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image

MEAN = np.array([0.4914, 0.4822, 0.4465], np.float32)
STD = np.array([0.2470, 0.2435, 0.2616], np.float32)


def pictures(packed, split, count=None):
    """Network inputs [n, 3, 32, 32] and classes of a split; `count` of them, evenly spaced."""
    data = np.load(packed)
    blob, offsets = data["blob"].tobytes(), data["off"]
    chosen = np.flatnonzero(data["split"] == split)
    if count is not None:
        chosen = chosen[[i * len(chosen) // count for i in range(count)]]
    image = lambda i: np.asarray(Image.open(io.BytesIO(blob[offsets[i] : offsets[i + 1]])).convert("RGB"))
    pixels = np.stack([image(i) for i in chosen]).astype(np.float32) / 255
    return np.ascontiguousarray(((pixels - MEAN) / STD).transpose(0, 3, 1, 2)), data["y"][chosen]


class Reader(CalibrationDataReader):
    def __init__(self, x):
        self.rows = iter(x)

    def get_next(self):
        row = next(self.rows, None)
        return None if row is None else {"input": row[None]}


def predictions(model, x):
    """The most probable class of each picture, in ONNX Runtime."""
    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return np.array([session.run(None, {"input": row[None]})[0][0].argmax() for row in x])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--densight", type=pathlib.Path, required=True)
    parser.add_argument("--model", type=pathlib.Path, required=True, help="float ONNX model of 32x32 pictures")
    parser.add_argument("--data", type=pathlib.Path, required=True, help="packed CIFAR-10")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--limit", type=int, help="test pictures to take")
    parser.add_argument("--quantized", type=pathlib.Path, help="model that `densight quantize` wrote; else it is run")
    args = parser.parse_args()
    x, y = pictures(args.data, 1, args.limit)
    calibration, _ = pictures(args.data, 0, args.samples)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        ours = args.quantized or folder / "densight.onnx"
        if args.quantized is None:
            command = [args.densight, "quantize", args.model, "--images", args.data, "-o", ours, "--check", "0"]
            subprocess.run([*map(str, command), "--samples", str(args.samples)], check=True, stdout=subprocess.DEVNULL)
        prepared = folder / "prepared.onnx"
        quant_pre_process(str(args.model), str(prepared), skip_symbolic_shape=True)
        rows = {"float": args.model, "Densight": ours}
        for name, method in [("minmax", CalibrationMethod.MinMax), ("entropy", CalibrationMethod.Entropy)]:
            for kind, format in [("QDQ", QuantFormat.QDQ), ("QOperator", QuantFormat.QOperator)]:
                path = folder / f"{name}-{kind}.onnx"
                quantize_static(
                    str(prepared), str(path), Reader(calibration), quant_format=format, per_channel=True,
                    activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, calibrate_method=method,
                )
                rows[f"ONNX Runtime {kind} {name}"] = path
        float_classes = predictions(args.model, x)
        limit = ["--limit", str(args.limit)] if args.limit else []
        print(f"{'quantizer':32} {'top-1 in ONNX Runtime':>22} {'drop, points':>13} {'agreement':>10}")
        for name, path in rows.items():
            found = predictions(path, x)
            top1, base = (found == y).mean(), (float_classes == y).mean()
            print(f"{name:32} {100 * top1:21.2f}% {100 * (base - top1):13.2f} {100 * (found == float_classes).mean():9.2f}%")
        run = subprocess.run(
            [str(args.densight), "eval", str(args.data), "--model", str(ours), "--json", *limit],
            check=True, capture_output=True,
        )
        report = json.loads(run.stdout)
        print(f"Densight's model in Densight: {100 * report['top1']:.2f}% of {report['pictures']} pictures")
        logits = folder / "logits.npy"
        np.save(folder / "x.npy", x)
        subprocess.run([str(args.densight), "run", str(ours), "--input", str(folder / "x.npy"), "--output", str(logits)], check=True)
        same = (np.load(logits).argmax(1) == predictions(ours, x)).mean()
        print(f"Agreement between Densight and ONNX Runtime on it: {100 * same:.2f}%")


if __name__ == "__main__":
    main()
