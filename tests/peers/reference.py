"""DenseNet and DenseNet-BC (Huang et al., 2017) in PyTorch: the truth Densight is compared with.

Module names give the `state_dict()` keys of gpleiss/efficient_densenet_pytorch.
Run it (`python reference.py`) to check parameters and thop's FLOPs against known totals.
"""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

DEFAULTS = dict(growth_rate=12, block_config=(16, 16, 16), compression=0.5, num_init_features=24, bn_size=4,
                drop_rate=0.0, num_classes=10, small_inputs=True, bottleneck=True)


class DenseLayer(nn.Module):
    """BN-ReLU-Conv(1x1)-BN-ReLU-Conv(3x3), or BN-ReLU-Conv(3x3) without the bottleneck."""

    def __init__(self, channels, growth_rate, bn_size, drop_rate, bottleneck):
        super().__init__()
        self.norm1, self.relu1 = nn.BatchNorm2d(channels), nn.ReLU()
        self.bottleneck, self.drop_rate = bottleneck, drop_rate
        if bottleneck:
            inner = bn_size * growth_rate
            self.conv1 = nn.Conv2d(channels, inner, 1, bias=False)
            self.norm2, self.relu2 = nn.BatchNorm2d(inner), nn.ReLU()
            self.conv2 = nn.Conv2d(inner, growth_rate, 3, padding=1, bias=False)
        else:
            self.conv1 = nn.Conv2d(channels, growth_rate, 3, padding=1, bias=False)

    def forward(self, x):
        y = self.conv1(self.relu1(self.norm1(x)))
        if self.bottleneck:
            y = self.conv2(self.relu2(self.norm2(y)))
        return F.dropout(y, self.drop_rate, self.training) if self.drop_rate else y


class DenseBlock(nn.Module):
    """Each layer reads everything before it; the block hands on the input and all layers' outputs."""

    def __init__(self, depth, channels, growth_rate, *layer_args):
        super().__init__()
        for i in range(depth):
            self.add_module(f"denselayer{i + 1}", DenseLayer(channels + i * growth_rate, growth_rate, *layer_args))

    def forward(self, x):
        for layer in self.children():
            x = torch.cat([x, layer(x)], 1)
        return x


def transition(channels, out):
    """BN-ReLU-Conv(1x1)-AvgPool(2x2)."""
    net = nn.Sequential()
    net.add_module("norm", nn.BatchNorm2d(channels))
    net.add_module("relu", nn.ReLU())
    net.add_module("conv", nn.Conv2d(channels, out, 1, bias=False))
    net.add_module("pool", nn.AvgPool2d(2, 2))
    return net


class DenseNet(nn.Module):
    """A DenseNet classifier: [n, 3, h, w] -> logits [n, num_classes]. Keywords as in DEFAULTS."""

    def __init__(self, **config):
        super().__init__()
        if unknown := config.keys() - DEFAULTS.keys():
            raise TypeError(f"unknown keys {sorted(unknown)}")
        c = {**DEFAULTS, **config}
        channels = c["num_init_features"]
        self.features = nn.Sequential()
        if c["small_inputs"]:
            self.features.add_module("conv0", nn.Conv2d(3, channels, 3, padding=1, bias=False))
        else:
            self.features.add_module("conv0", nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False))
            self.features.add_module("norm0", nn.BatchNorm2d(channels))
            self.features.add_module("relu0", nn.ReLU())
            self.features.add_module("pool0", nn.MaxPool2d(3, stride=2, padding=1))
        for i, depth in enumerate(c["block_config"], 1):
            block = DenseBlock(depth, channels, c["growth_rate"], c["bn_size"], c["drop_rate"], c["bottleneck"])
            self.features.add_module(f"denseblock{i}", block)
            channels += depth * c["growth_rate"]
            if i < len(c["block_config"]):
                out = int(channels * c["compression"])
                self.features.add_module(f"transition{i}", transition(channels, out))
                channels = out
        self.features.add_module("norm_final", nn.BatchNorm2d(channels))
        self.classifier = nn.Linear(channels, c["num_classes"])

    def forward(self, x):
        x = F.relu(self.features(x))
        return self.classifier(F.adaptive_avg_pool2d(x, 1).flatten(1))


def model(config):
    """The network of a config in inference mode; keys that say nothing about its layers are left out."""
    return DenseNet(**{k: v for k, v in config.items() if k not in ("input_size", "efficient")}).eval()


def randomise(net, seed):
    """Fill every tensor: He convolutions, small classifier, norms with gamma 0.5-1.5 and non-trivial statistics."""
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, t in net.state_dict().items():
            if t.dim() == 4:
                value = rng.normal(0, (2 / t[0].numel()) ** 0.5, t.shape)
            elif t.dim() == 2:
                value = rng.normal(0, t.shape[1] ** -0.5, t.shape)
            elif name.endswith("num_batches_tracked"):
                continue
            elif name.endswith("running_var") or (name.endswith("weight") and t.dim() == 1):
                value = rng.uniform(0.5, 1.5, t.shape)
            else:
                value = rng.uniform(-0.3, 0.3, t.shape)
            t.copy_(torch.from_numpy(np.asarray(value, np.float32)))
    return net.eval()


def images(shape, seed):
    """Deterministic normalised images, float32 [n, 3, h, w]: a tint, coarse shapes and fine noise."""
    rng = np.random.default_rng(seed)
    n, c, h, w = shape
    coarse = rng.normal(0, 1, (n, c, 4, 4)).repeat(-(-h // 4), 2).repeat(-(-w // 4), 3)[:, :, :h, :w]
    tint = rng.normal(0, 1, (n, c, 1, 1))
    return (tint + coarse + rng.normal(0, 0.5, shape)).astype(np.float32)


def logits(net, x):
    """PyTorch's float32 logits of a numpy batch."""
    with torch.no_grad():
        return net(torch.from_numpy(x)).numpy()


def exact_logits(net, x):
    """Logits computed in float64 and rounded to float32: the same on every machine, nearer the truth than any peer."""
    with torch.no_grad():
        return copy.deepcopy(net).double()(torch.from_numpy(x).double()).float().numpy()


def cifar(k, n, init, bottleneck=True):
    """A CIFAR-10 network of three blocks of n layers; the plain form has no compression."""
    return dict(growth_rate=k, block_config=[n] * 3, compression=0.5 if bottleneck else 1.0, num_init_features=init,
                bn_size=4, drop_rate=0.0, num_classes=10, small_inputs=True, bottleneck=bottleneck, input_size=32)


def imagenet(k, blocks, init):
    """An ImageNet network of four blocks."""
    return dict(growth_rate=k, block_config=list(blocks), compression=0.5, num_init_features=init, bn_size=4,
                drop_rate=0.0, num_classes=1000, small_inputs=False, bottleneck=True, input_size=224)


PRESETS = {
    "densenet121": imagenet(32, (6, 12, 24, 16), 64),
    "densenet169": imagenet(32, (6, 12, 32, 32), 64),
    "densenet201": imagenet(32, (6, 12, 48, 32), 64),
    "densenet264": imagenet(32, (6, 12, 64, 48), 64),
    "densenet161": imagenet(48, (6, 12, 36, 24), 96),
    "densenet-bc-40-12": cifar(12, 6, 24),
    "densenet-bc-100-12": cifar(12, 16, 24),
    "densenet-bc-250-24": cifar(24, 41, 48),
    "densenet-bc-190-40": cifar(40, 31, 80),
    "densenet-40-12": cifar(12, 12, 16, False),
    "densenet-100-12": cifar(12, 32, 16, False),
    "densenet-100-24": cifar(24, 32, 16, False),
}

# The default network at ImageNet's size, CIFAR stem included: the example of the reference implementation.
DEFAULT_AT_224 = {**PRESETS["densenet-bc-100-12"], "num_classes": 1000, "input_size": 224}


def count(config):
    """(parameters, thop FLOPs, multiply-adds of convolutions and linear layers, {layer type: thop FLOPs})."""
    from thop import profile
    net, by_type, hooks = model(config), {}, []

    def macs(m, x, y):
        per_output = m.weight[0].numel()
        by_type[type(m).__name__] = by_type.get(type(m).__name__, 0) + y.numel() * per_output

    for m in net.modules():
        if isinstance(m, (nn.Conv2d, nn.Linear)):
            hooks.append(m.register_forward_hook(macs))
    x = torch.zeros(1, 3, config["input_size"], config["input_size"])
    params = sum(p.numel() for p in net.parameters())
    with torch.no_grad():
        net(x)
    for h in hooks:
        h.remove()
    true_macs = sum(by_type.values())
    thop_total, thop_params, layers = profile(net, inputs=(x,), verbose=False, ret_layer_info=True)
    assert thop_params == params, (thop_params, params)
    types, thop_by_type = {n: type(m).__name__ for n, m in net.named_modules()}, {}

    def walk(tree, prefix):
        for name, (ops, _, below) in tree.items():
            if below:
                walk(below, f"{prefix}{name}.")
            else:
                kind = types[prefix + name]
                thop_by_type[kind] = thop_by_type.get(kind, 0) + int(ops)

    walk(layers, "")
    assert sum(thop_by_type.values()) == thop_total
    return params, int(thop_total), true_macs, thop_by_type


# Odd widths: transition 50 -> 25, classifier 65 -> 7.
ODD = dict(growth_rate=10, block_config=[3, 4], compression=0.5, num_init_features=20, bn_size=4, drop_rate=0.0,
           num_classes=7, small_inputs=True, bottleneck=True, input_size=32)


KNOWN = [  # parameters and thop FLOPs of the reference implementation itself
    ("densenet121", PRESETS["densenet121"], 7_978_856, 2_897_007_104),
    ("default 10 classes, 32", PRESETS["densenet-bc-100-12"], 769_162, 305_073_372),
    ("default 1000 classes, 224", DEFAULT_AT_224, 1_108_732, 14_948_769_648),
    ("L=250 k=24", PRESETS["densenet-bc-250-24"], 15_324_406, 5_589_729_084),
    ("L=190 k=40", PRESETS["densenet-bc-190-40"], 25_624_430, 9_475_395_340),
]


if __name__ == "__main__":
    for name, config, params, flops in KNOWN:
        got = count(config)
        print(f"{name:26} params {got[0]:>11,} thop {got[1]:>15,} macs {got[2]:>15,} {got[3]}")
        assert got[:2] == (params, flops), f"{name}: expected {params:,} and {flops:,}"
