"""The networks of `run.py` for ncnn and LiteRT, float and int8, from the same ONNX files and pictures.

    pip install -r benches/peers/requirements-convert.txt
    python benches/peers/convert.py --models FOLDER --work FOLDER

`FOLDER`s are those of `run.py`. A file that is there already is kept. ncnn's own quantizer is not among its wheels: what it would write
is written here (int8 weights for each output channel, int8 inputs scaled by the greatest value seen, neighbouring convolutions joined
in int8).
"""

import argparse
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from run import NETWORKS, prepare_inputs

# What begins weights in ncnn's files: f32 as they are, or int8 in whole words.
NCNN_F32, NCNN_INT8 = 0, 0x000D4B38


class NcnnLayer:
    """A line of a .param file, with its part of the .bin file."""

    def __init__(self, line, file):
        kind, name, inputs, outputs, *rest = line.split()
        inputs, outputs = int(inputs), int(outputs)
        self.kind, self.name = kind, name
        self.inputs, self.outputs = rest[:inputs], rest[inputs : inputs + outputs]
        self.settings = dict(part.split("=") for part in rest[inputs + outputs :])
        number = lambda key: int(self.settings.get(key, 0))
        read = lambda count: np.frombuffer(file.read(4 * count), np.float32)
        self.weights, self.rest = None, np.zeros(0, np.float32)
        if kind in ("Convolution", "InnerProduct"):
            size, bias = (number("6"), number("5")) if kind == "Convolution" else (number("2"), number("1"))
            if int.from_bytes(file.read(4), "little") != NCNN_F32:
                raise SystemExit(f"{name}: the weights are not f32")
            self.weights = read(size).reshape(number("0"), -1)
            self.rest = read(number("0") * bias)
        elif kind == "BatchNorm":
            self.rest = read(4 * number("0"))
        self.scales = []

    def quantize(self, greatest):
        """Weights and input in int8, with the scales that ncnn wants behind the biases."""
        peaks = np.maximum(np.abs(self.weights).max(1), 1e-9)
        scales = (127 / peaks).astype(np.float32)
        self.weights = np.clip(np.round(self.weights * scales[:, None]), -127, 127).astype(np.int8)
        self.scales = [scales, np.float32([127 / greatest])]
        self.settings["8"] = "2"

    def line(self):
        settings = " ".join(f"{key}={value}" for key, value in self.settings.items())
        blobs = " ".join(self.inputs + self.outputs)
        return f"{self.kind} {self.name} {len(self.inputs)} {len(self.outputs)} {blobs} {settings}\n"

    def bytes(self):
        data = b""
        if self.weights is not None:
            tag = NCNN_INT8 if self.weights.dtype == np.int8 else NCNN_F32
            data = tag.to_bytes(4, "little") + self.weights.tobytes()
            data += bytes(-len(data) % 4)
        return data + self.rest.tobytes() + b"".join(scale.tobytes() for scale in self.scales)


def ncnn_int8(source, inputs, target):
    """`source`.param and .bin with convolutions and head in int8."""
    import ncnn

    head, count, *lines = Path(f"{source}.param").read_text().splitlines()
    with open(f"{source}.bin", "rb") as file:
        layers = [NcnnLayer(line, file) for line in lines]
    products = [layer for layer in layers if layer.weights is not None]
    net = ncnn.Net()
    net.load_param(f"{source}.param")
    net.load_model(f"{source}.bin")
    net.opt.lightmode = False
    greatest = dict.fromkeys((layer.inputs[0] for layer in products), 0.0)
    for picture in inputs:
        extractor = net.create_extractor()
        extractor.input("in0", ncnn.Mat(picture))
        for blob in greatest:
            greatest[blob] = max(greatest[blob], float(np.abs(np.array(extractor.extract(blob)[1])).max()))
    readers = {}
    for layer in layers:
        for blob in layer.inputs:
            readers.setdefault(blob, []).append(layer)
    for layer in products:
        layer.quantize(greatest[layer.inputs[0]])
    for layer in products:
        behind = readers.get(layer.outputs[0], [])
        if [reader.kind for reader in behind] == ["Convolution"] == [layer.kind]:
            layer.settings["8"] = "102"
            layer.scales.append(np.float32([127 / greatest[layer.outputs[0]]]))
    Path(f"{target}.bin").write_bytes(b"".join(layer.bytes() for layer in layers))
    Path(f"{target}.param").write_text(f"{head}\n{count}\n" + "".join(layer.line() for layer in layers))


def pnnx(model, picture, folder):
    """What pnnx makes of the ONNX file: ncnn's float files, and the network as PyTorch code."""
    folder.mkdir(exist_ok=True)
    link = folder / model.name
    if not link.exists():
        link.symlink_to(model.resolve())
    shape = ",".join(str(size) for size in (1, *picture.shape))
    tool = Path(sys.executable).parent / "pnnx"
    subprocess.run([tool, model.name, f"inputshape=[{shape}]", "fp16=0"], cwd=folder, check=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)


def torch_network(folder, network):
    """That code's network, each norm one product and one sum, as LiteRT runs it faster than what its converter makes of norms."""
    import torch

    class Norm(torch.nn.Module):
        def __init__(self, norm):
            super().__init__()
            factor = norm.weight / (norm.running_var + norm.eps).sqrt()
            shaped = lambda t: torch.nn.Parameter(t.detach()[:, None, None])
            self.factor, self.shift = shaped(factor), shaped(norm.bias - norm.running_mean * factor)

        def forward(self, x):
            return x * self.factor + self.shift

    spec = importlib.util.spec_from_file_location(network, folder / f"{network}_pnnx.py")
    module = importlib.util.module_from_spec(spec)
    before = os.getcwd()
    os.chdir(folder)
    try:
        spec.loader.exec_module(module)
        net = module.Model().eval()
    finally:
        os.chdir(before)
    for name, child in list(net.named_children()):
        if isinstance(child, torch.nn.BatchNorm2d):
            setattr(net, name, Norm(child))
    return net


def litert_float(net, picture, target):
    import litert_torch
    import torch

    example = torch.from_numpy(picture[None].transpose(0, 2, 3, 1).copy())
    litert_torch.convert(litert_torch.to_channel_last_io(net, args=[0]), (example,)).export(str(target))


def litert_int8(source, inputs, target):
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import quantizer, recipe

    signatures = Interpreter(str(source)).get_signature_list()
    key = next(iter(signatures))
    name = signatures[key]["inputs"][0]
    quantize = quantizer.Quantizer(str(source))
    quantize.load_quantization_recipe(recipe.static_wi8_ai8())
    ranges = quantize.calibrate({key: [{name: picture[None].transpose(0, 2, 3, 1)} for picture in inputs]})
    quantize.quantize(ranges).export_model(str(target), overwrite=True)


def convert(model, network, pictures, work):
    """All files of one network."""
    prepare_inputs(pictures, work / f"{network}.inputs.npy")
    inputs = np.load(work / f"{network}.inputs.npy")
    place = lambda ending: work / f"{network}.{ending}"
    folder = work / f"{network}.pnnx"
    if not place("f32.param").exists() or not place("f32.tflite").exists():
        pnnx(model, inputs[0], folder)
        for ending in ("param", "bin"):
            place(f"f32.{ending}").write_bytes((folder / f"{network}.ncnn.{ending}").read_bytes())
    if not place("int8.param").exists():
        ncnn_int8(place("f32"), inputs, place("int8"))
    if not place("f32.tflite").exists():
        litert_float(torch_network(folder, network), inputs[0], place("f32.tflite"))
    if not place("int8.tflite").exists():
        litert_int8(place("f32.tflite"), inputs, place("int8.tflite"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", required=True, type=Path, help="folder of networks and inputs")
    parser.add_argument("--work", default=Path("target/peers"), type=Path, help="folder for models that are made")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    for network, pictures in NETWORKS.items():
        convert(args.models / f"{network}.onnx", network, args.models / pictures, args.work)


if __name__ == "__main__":
    main()
