"""Write the small files of tests/fixtures/peers that Rust tests compare Densight with (see its README.md).

Deterministic: logits are computed in float64 and stored as float32.
"""

import argparse
import json
import pathlib
import re

import numpy as np
import skimage.data
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file, save_file
from torchvision.transforms import functional as T

import reference


def tiny(k, blocks, init, classes, side, **rest):
    """A small network's config; 3x3 stem, bottleneck and compression 0.5 unless told."""
    return dict(growth_rate=k, block_config=list(blocks), compression=0.5, num_init_features=init, bn_size=4,
                drop_rate=0.0, num_classes=classes, small_inputs=True, bottleneck=True, input_size=side) | rest


NETWORKS = {
    "bc": tiny(4, (2, 2), 8, 5, 16),
    "odd": reference.ODD,
    # 15 -> 7: the transition's pool drops a row and a column.
    "plain": tiny(4, (2, 3), 6, 3, 15, bottleneck=False, compression=1.0),
    "one-block": tiny(3, (3,), 5, 2, 9, bn_size=1),
    "large-stem": tiny(4, (2, 2, 2), 8, 5, 64, small_inputs=False),
    # 70 -> 35 -> 18 -> 9 -> 4 -> 2: every kind of odd size; widths 18 -> 12, 24 -> 16, 28 -> 19 round down.
    "four-blocks": tiny(6, (1, 2, 2, 1), 12, 11, 70, small_inputs=False, compression=0.7, bn_size=3, drop_rate=0.2),
}
TORCHVISION = tiny(4, (2, 2), 8, 5, 64, small_inputs=False, bn_size=2)


def torchvision_name(name, old):
    """A tensor's name in torchvision's DenseNet, or in its first checkpoints (`norm.1` for `norm1`)."""
    name = name.replace("features.norm_final.", "features.norm5.")
    return re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)\.", r"\1.\2.", name) if old else name


def save_network(folder, config, net, seed, counters=False):
    """config.json, weights.safetensors (with norms' `num_batches_tracked`?), x.npy and y.npy of a network."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    state = reference.randomise(net, seed).state_dict()
    state = {k: v for k, v in state.items() if counters or not k.endswith("num_batches_tracked")}
    save_file(state, folder / "weights.safetensors")
    x = reference.images((1, 3, config["input_size"], config["input_size"]), seed)
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", reference.exact_logits(net, x))


def networks(out):
    """The tiny networks, one of them under three namings, and one that is torchvision's own."""
    for seed, (name, config) in enumerate(NETWORKS.items()):
        save_network(out / name, config, reference.model(config), seed)
    state = load_file(out / "large-stem/weights.safetensors")
    for file, old in ("weights-torchvision", False), ("weights-torchvision-old", True):
        renamed = {torchvision_name(k, old): v for k, v in state.items()}
        save_file(renamed, out / "large-stem" / f"{file}.safetensors")
    c = TORCHVISION
    theirs = torchvision.models.DenseNet(c["growth_rate"], tuple(c["block_config"]), c["num_init_features"],
                                         c["bn_size"], num_classes=c["num_classes"])
    save_network(out / "torchvision", c, theirs, 9, counters=True)
    # Its weights in the reference must give its logits: two independent implementations agree.
    ours = reference.model(c)
    ours.load_state_dict({k.replace("norm5", "norm_final"): v for k, v in theirs.state_dict().items()})
    x = np.load(out / "torchvision/x.npy")
    assert np.allclose(reference.exact_logits(ours, x), np.load(out / "torchvision/y.npy"), rtol=1e-6, atol=1e-7)


def counts(out):
    """counts.json: parameters, thop FLOPs and multiply-adds of every preset and of the networks above."""
    configs = reference.PRESETS | {"default-at-224": reference.DEFAULT_AT_224} | NETWORKS
    rows = []
    for name, config in configs.items():
        params, thop_flops, macs, _ = reference.count(config)
        rows.append(dict(name=name, params=params, thop_flops=thop_flops, macs=macs, config=config))
    (out / "counts.json").write_text("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")


def preprocessing(out):
    """Photographs with PIL's resizes, which torchvision's transforms use: uint8 [height, width, 3]."""
    out.mkdir(parents=True, exist_ok=True)
    # Sizes for which shorter-side sizes are rounded down and crops start at 5, 5.5, 10.5 and 11.
    crops = {"cat": skimage.data.chelsea()[60:150, 120:240], "coffee": skimage.data.coffee()[180:252, 0:53]}
    for name, pixels in crops.items():
        image = Image.fromarray(pixels)
        image.save(out / f"{name}.png", optimize=True)
        for side in 32, 64:
            crop = T.center_crop(T.resize(image, side, T.InterpolationMode.BILINEAR, antialias=True), side)
            np.save(out / f"{name}-crop-{side}.npy", np.asarray(crop))
            squash = T.resize(image, (side, side), T.InterpolationMode.BILINEAR, antialias=True)
            np.save(out / f"{name}-squash-{side}.npy", np.asarray(squash))
            if side == 32:
                mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
                np.save(out / f"{name}-crop-32-imagenet.npy", T.normalize(T.to_tensor(crop), mean, std).numpy())
    (out / "LICENSE.md").write_text("""Pictures from scikit-image's data, cropped; both CC0 1.0 (no rights reserved):
`cat.png` from "Chelsea the cat", Stefan van der Walt; `coffee.png` from "Coffee cup", Rachel Michetti
(courtesy of Pikolo Espresso Bar).
""")


def main():
    here = pathlib.Path(__file__).resolve().parent
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--out", type=pathlib.Path, default=here.parent / "fixtures/peers")
    out = args.parse_args().out
    torch.manual_seed(0)
    networks(out)
    preprocessing(out / "preprocessing")
    counts(out)
    size = sum(f.stat().st_size for f in out.rglob("*") if f.is_file())
    print(f"{out}: {size:,} bytes")
    assert size < 1_500_000


if __name__ == "__main__":
    main()
