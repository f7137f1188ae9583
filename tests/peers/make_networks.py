"""Write networks that people have, with random weights, as their packages' exporters write them.

    python make_networks.py --out FOLDER [NAME ...]      # all of them: 3 GB

Each is a folder `FOLDER/NAME/` with `model.onnx`, the input `x.npy`, ONNX Runtime's answer without optimizations `y.npy`, and a `model.toml`
where the input is not scaled as usual. `FOLDER/pictures/` has pictures to calibrate with. A NAME is a network's and its exporter's,
`densenet121.torchscript`. Weights are what the package draws; the statistics of batch norms come from the pictures, so that values stay as
large as in a trained network. `chest-x-ray` and `chest-x-ray-points` are those of tests/fixtures/networks. Needs what `requirements-networks.txt` lists.
"""

import torch

import own_networks
from exported_networks import Network, main, settle, write


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


def operating_points(**options):
    """Each finding scaled so that 0.5 is its operating point, as torchxrayvision's trained networks do; one has none."""
    import torchxrayvision

    model = torchxrayvision.models.DenseNet(**options)
    model.op_threshs = torch.linspace(0.02, 0.9, len(FINDINGS))
    model.op_threshs[3] = float("nan")
    return model


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
    "torchxrayvision-points": Network(operating_points, channels=1, scaled=(0.5, 1 / 2048), labels=FINDINGS),
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
    "chest-x-ray-points": Network(operating_points, exporters=BOTH, channels=1, scaled=(0.5, 1 / 2048), labels=FINDINGS, side=48,
                                  growth_rate=8, block_config=(2, 2), num_init_features=8, bn_size=2),
}


def export(model, x, exporter, path):
    options = dict(input_names=["input"], output_names=["logits"])
    if exporter == "torchscript":
        torch.onnx.export(model, x, path, opset_version=17, dynamo=False, **options)
    else:
        torch.onnx.export(model, (x,), path, dynamo=True, verbose=False, **options)


def make(name, out):
    network = {**NETWORKS, **SMALL}[name]
    torch.manual_seed(0)
    model = network.build()
    settle(model, network.inputs(4))
    for exporter in network.exporters:
        write(out / f"{name}.{exporter}", network, lambda x, path: export(model, torch.tensor(x), exporter, path))


if __name__ == "__main__":
    main(__doc__, NETWORKS, make)
