"""What make_networks.py and make_old_networks.py share: pictures, how a network takes them, and the files that are written."""

import argparse
import json
import logging
import warnings
from pathlib import Path

import numpy as np

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
PICTURES = 32


class Network:
    """How to build one, and what it takes."""

    def __init__(self, build, *args, exporters=("torchscript",), side=224, channels=3, channels_last=False, scaled=None, labels=None, **options):
        self.build = lambda: build(*args, **options)
        self.exporters, self.side, self.channels, self.channels_last = exporters, side, channels, channels_last
        self.scaled, self.labels = scaled, labels

    def input(self, picture):
        """A picture as `densight` scales it."""
        factor, rest = divmod(len(picture), self.side)
        if rest:
            picture = picture[: self.side, : self.side] / 255
        else:
            picture = picture.reshape(self.side, factor, self.side, factor, -1).mean((1, 3)) / 255
        if self.channels == 1:
            picture = (picture * [0.299, 0.587, 0.114]).sum(2, keepdims=True)
        mean, std = self.scaled or ((MEAN, STD) if self.channels == 3 else (0, 1))
        picture = (picture - mean) / std
        return (picture if self.channels_last else picture.transpose(2, 0, 1)).astype(np.float32)

    def inputs(self, count, seed=1):
        return np.stack([self.input(picture) for picture in pictures(count, seed)])


def pictures(count, seed=1):
    """Pictures of blobs of three sizes, u8 [224, 224, 3]."""
    generator = np.random.default_rng(seed)
    for _ in range(count):
        picture = np.full((224, 224, 3), generator.uniform(60, 190))
        for size, amount in ((56, 45), (14, 25), (2, 12)):
            blobs = generator.normal(0, amount, (224 // size, 224 // size, 3))
            picture += blobs.repeat(size, 0).repeat(size, 1)
        yield picture.clip(0, 255).round().astype(np.uint8)


def settle(model, batch):
    """Gives a torch model's batch norms the statistics of what they read."""
    import torch

    norms = [layer for layer in model.modules() if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm)]
    model.eval()
    for norm in norms:
        norm.momentum = None
        norm.train()
        torch.nn.init.uniform_(norm.weight, 0.7, 1.3)
        torch.nn.init.uniform_(norm.bias, -0.3, 0.3)
    with torch.no_grad():
        model(torch.tensor(batch))
    model.eval()


def answer(path, inputs, optimized=False):
    """ONNX Runtime's scores of each input."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: x[None]})[0] for x in inputs])


def write(folder, network, export):
    """A network's folder; `export` writes the model."""
    x = network.inputs(1, seed=2)
    folder.mkdir(exist_ok=True)
    export(x, folder / "model.onnx")
    np.save(folder / "x.npy", x)
    y = answer(folder / "model.onnx", x)
    np.save(folder / "y.npy", y)
    if network.scaled:
        mean, std = network.scaled
        labels = f"labels = {json.dumps(network.labels)}\n" if network.labels else ""
        (folder / "model.toml").write_text(f"{labels}[preprocessing]\nmean = {mean}\nstd = {std}\n")
    print(f"{folder.name}: {y.shape}, deviation {y.std():.3g}", flush=True)


def main(about, names, make):
    """Makes the named networks, or all of `names`, each by `make(name, out)`."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("names", nargs="*", help=", ".join(names))
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    from PIL import Image

    folder = args.out / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures(PICTURES)):
        if not (path := folder / f"{number:03}.png").exists():
            Image.fromarray(picture).save(path)
    failed = False
    for name in args.names or names:
        try:
            make(name, args.out)
        except Exception as error:
            failed = True
            print(f"{name}: not made: {type(error).__name__}: {str(error).splitlines()[:1]}", flush=True)
    raise SystemExit(failed)
