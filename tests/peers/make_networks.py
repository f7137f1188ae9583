"""Write networks that people have, with random weights, as their packages' exporters write them.

    python make_networks.py --out FOLDER [NAME ...]      # all of them: 3 GB

Each is a folder `FOLDER/NAME/` with `model.onnx`, the input `x.npy`, ONNX Runtime's answer without optimizations `y.npy`, and a `model.toml`
where the input is not scaled as usual. `FOLDER/pictures/` has pictures to calibrate with. A NAME is a network's and its exporter's,
`densenet121.torchscript`. Weights are what the package draws; the statistics of batch norms come from the pictures, so that values stay as
large as in a trained network. `chest-x-ray` is the one of tests/fixtures/networks. Needs what `requirements-networks.txt` lists.
"""

import argparse
import json
import logging
import warnings
from pathlib import Path

import numpy as np
import torch

import own_networks

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
PICTURES = 32


def torchvision(name):
    import torchvision.models

    return getattr(torchvision.models, name)(weights=None)


def timm(name, **options):
    import timm

    return timm.create_model(name, pretrained=False, **options)


def pytorchcv(name):
    from pytorchcv.model_provider import get_model

    model = get_model(name, pretrained=False)
    for layer in model.modules():
        # It draws them evenly from a range; those of trained networks, and of the other packages here, are mostly small.
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
            torch.nn.init.normal_(layer.weight, 0, layer.weight.std().item())
        # CondenseNet reads the channels that it learned to read, each group its own.
        if type(layer).__name__ == "CondenseComplexConv":
            count = layer.index.numel()
            layer.index.copy_(torch.cat([torch.randperm(count)[: count // 4] for _ in range(4)]))
    return model


def monai(channels):
    from monai.networks.nets import DenseNet121

    return DenseNet121(spatial_dims=2, in_channels=channels, out_channels=18)


def torchxrayvision(**options):
    import torchxrayvision

    return torchxrayvision.models.DenseNet(apply_sigmoid=True, **options)


class Network:
    """How to build one, and what it takes."""

    def __init__(self, build, *args, exporters=("torchscript",), side=224, channels=3, scaled=None, labels=None, **options):
        self.build = lambda: build(*args, **options)
        self.exporters, self.side, self.channels, self.scaled, self.labels = exporters, side, channels, scaled, labels

    def input(self, picture):
        """A picture as `densight` scales it."""
        picture = picture[: self.side, : self.side] / 255
        if self.channels == 1:
            picture = (picture * [0.299, 0.587, 0.114]).sum(2, keepdims=True)
        mean, std = self.scaled or ((MEAN, STD) if self.channels == 3 else (0, 1))
        return ((picture - mean) / std).transpose(2, 0, 1).astype(np.float32)


BOTH = ("torchscript", "dynamo")
FINDINGS = [
    "Atelectasis", "Consolidation", "Infiltration", "Pneumothorax", "Edema", "Emphysema", "Fibrosis", "Effusion", "Pneumonia",
    "Pleural_Thickening", "Cardiomegaly", "Nodule", "Mass", "Hernia", "Lung Lesion", "Fracture", "Lung Opacity",
    "Enlarged Cardiomediastinum"]
NETWORKS = {
    **{f"densenet{n}": Network(torchvision, f"densenet{n}", exporters=BOTH) for n in (121, 161, 169, 201)},
    "timm-densenet121": Network(timm, "densenet121", exporters=BOTH),
    "timm-densenetblur121d": Network(timm, "densenetblur121d"),
    "timm-densenet121-silu": Network(timm, "densenet121", act_layer="silu"),
    "timm-rdnet-tiny": Network(timm, "rdnet_tiny"),
    "torchxrayvision": Network(torchxrayvision, channels=1, scaled=(0.5, 1 / 2048), labels=FINDINGS),
    "monai-densenet121": Network(monai, 3),
    "monai-densenet121-gray": Network(monai, 1, channels=1),
    "se-densenet121": Network(own_networks.se_densenet121),
    "csp-densenet121": Network(own_networks.csp_densenet121),
    **{f"cifar-densenet{n}": Network(pytorchcv, f"densenet{n}_cifar10", side=32)
       for n in ("40_k12", "40_k12_bc", "100_k12", "100_k12_bc")},
    **{name.removesuffix("_w1").removesuffix("_c4_g4").replace("_v1_1", ""): Network(pytorchcv, name) for name in (
        "peleenet", "hardnet39ds", "hardnet68", "hardnet85", "vovnet39", "vovnet57", "condensenet74_c4_g4", "dpn68", "seresnet18",
        "resnet18", "resnet50", "mobilenetv2_w1", "squeezenet_v1_1")},
}


# Small enough for tests/fixtures/networks; not in the table.
SMALL = {
    "chest-x-ray": Network(torchxrayvision, channels=1, scaled=(0.5, 1 / 2048), labels=FINDINGS, side=48, growth_rate=8,
                           block_config=(2, 2), num_init_features=8, bn_size=2),
}


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
    """Gives the batch norms the statistics of what they read."""
    norms = [layer for layer in model.modules() if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm)]
    model.eval()
    for norm in norms:
        norm.momentum = None
        norm.train()
        torch.nn.init.uniform_(norm.weight, 0.7, 1.3)
        torch.nn.init.uniform_(norm.bias, -0.3, 0.3)
    with torch.no_grad():
        model(batch)
    model.eval()


def export(model, x, exporter, path):
    options = dict(input_names=["input"], output_names=["logits"])
    if exporter == "torchscript":
        torch.onnx.export(model, x, path, opset_version=17, dynamo=False, **options)
    else:
        torch.onnx.export(model, (x,), path, dynamo=True, verbose=False, **options)


def answer(path, x):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def make(name, out):
    network = {**NETWORKS, **SMALL}[name]
    torch.manual_seed(0)
    model = network.build()
    settle(model, torch.tensor(np.stack([network.input(picture) for picture in pictures(4)])))
    x = network.input(next(pictures(1, seed=2)))[None]
    for exporter in network.exporters:
        folder = out / f"{name}.{exporter}"
        folder.mkdir(exist_ok=True)
        export(model, torch.tensor(x), exporter, folder / "model.onnx")
        np.save(folder / "x.npy", x)
        y = answer(folder / "model.onnx", x)
        np.save(folder / "y.npy", y)
        if network.scaled:
            mean, std = network.scaled
            labels = f"labels = {json.dumps(network.labels)}\n" if network.labels else ""
            (folder / "model.toml").write_text(f"{labels}[preprocessing]\nmean = {mean}\nstd = {std}\n")
        print(f"{folder.name}: {y.shape}, deviation {y.std():.3g}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("names", nargs="*", help=", ".join(NETWORKS))
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    from PIL import Image

    folder = args.out / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures(PICTURES)):
        Image.fromarray(picture).save(folder / f"{number:03}.png")
    failed = False
    for name in args.names or NETWORKS:
        try:
            make(name, args.out)
        except Exception as error:
            failed = True
            print(f"{name}: not made: {type(error).__name__}: {str(error).splitlines()[:1]}", flush=True)
    raise SystemExit(failed)


if __name__ == "__main__":
    main()
