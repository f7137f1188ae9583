"""DenseNet and DenseNet-BC (Huang et al., CVPR 2017) with Densight's names and initialization."""

from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass

import onnx
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn
from torch.utils.checkpoint import checkpoint


@dataclass(frozen=True)
class Config:
    """A network's definition; the fields are those of `densight export --config`."""

    growth_rate: int = 12
    block_config: tuple = (6, 6, 6)
    num_init_features: int = 24
    compression: float = 0.5
    bn_size: int = 4
    bottleneck: bool = True
    small_inputs: bool = True
    drop_rate: float = 0.0
    num_classes: int = 10

    def as_json(self):
        """What Densight reads."""
        return {**asdict(self), "block_config": list(self.block_config)}


PRESETS = {
    "densenet-bc-40-12": Config(),
    "densenet-bc-100-12": Config(block_config=(16, 16, 16)),
    "densenet-bc-250-24": Config(growth_rate=24, block_config=(41, 41, 41), num_init_features=48),
    "densenet-bc-190-40": Config(growth_rate=40, block_config=(31, 31, 31), num_init_features=80),
    "densenet-40-12": Config(block_config=(12, 12, 12), num_init_features=16, compression=1.0, bottleneck=False),
    "densenet-100-12": Config(block_config=(32, 32, 32), num_init_features=16, compression=1.0, bottleneck=False),
    "densenet121": Config(32, (6, 12, 24, 16), 64, small_inputs=False, num_classes=1000),
}


def read_weights(path):
    """Tensors by name: of a .safetensors file, or of a float ONNX file that Densight wrote, which keeps all names."""
    if not path.exists():
        raise SystemExit(f"{path} does not exist")
    if path.suffix == ".onnx":
        tensors = onnx.load(path).graph.initializer
        return {t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy()) for t in tensors}
    return load_file(path)


@contextmanager
def frozen_statistics(norm):
    """A norm that normalizes by its batch, but does not learn from it: a second pass must not count twice."""
    momentum, norm.momentum = norm.momentum, 0.0
    try:
        yield
    finally:
        norm.momentum = momentum


class DenseLayer(nn.Module):
    """H of the paper: norm, ReLU and convolution, once or (bottleneck) twice."""

    def __init__(self, inputs, config, efficient):
        super().__init__()
        growth = config.growth_rate
        middle = config.bn_size * growth
        self.norm1 = nn.BatchNorm2d(inputs)
        if config.bottleneck:
            self.conv1 = nn.Conv2d(inputs, middle, 1, bias=False)
            self.norm2 = nn.BatchNorm2d(middle)
            self.conv2 = nn.Conv2d(middle, growth, 3, padding=1, bias=False)
        else:
            self.conv1 = nn.Conv2d(inputs, growth, 3, padding=1, bias=False)
        self.bottleneck = config.bottleneck
        self.drop_rate = config.drop_rate
        self.efficient = efficient

    def _first(self, *features):
        return self.conv1(F.relu(self.norm1(torch.cat(features, 1))))

    def forward(self, features):
        """The layer's own channels. With `efficient` the concatenation and what follows it are computed again for the gradient
        rather than kept, which is most of a DenseNet's memory."""
        if self.efficient and self.training and torch.is_grad_enabled():
            contexts = lambda: (nullcontext(), frozen_statistics(self.norm1))
            out = checkpoint(self._first, *features, use_reentrant=False, context_fn=contexts)
        else:
            out = self._first(*features)
        if self.bottleneck:
            out = self.conv2(F.relu(self.norm2(out)))
        return F.dropout(out, self.drop_rate, self.training) if self.drop_rate else out


class DenseBlock(nn.Module):
    """Layers that each read everything before them."""

    def __init__(self, layers, inputs, config, efficient):
        super().__init__()
        for i in range(layers):
            self.add_module(f"denselayer{i + 1}", DenseLayer(inputs + i * config.growth_rate, config, efficient))

    def forward(self, x):
        features = [x]
        for layer in self.children():
            features.append(layer(features))
        return torch.cat(features, 1)


class Transition(nn.Module):
    """Norm, ReLU, 1x1 convolution, average pool."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs)
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x):
        return F.avg_pool2d(self.conv(F.relu(self.norm(x))), 2)


class DenseNet(nn.Module):
    """The network; its state's names are those of `densight export --weights`."""

    def __init__(self, config, efficient=False):
        super().__init__()
        self.config = config
        channels = config.num_init_features
        self.features = nn.Sequential()
        if config.small_inputs:
            self.features.add_module("conv0", nn.Conv2d(3, channels, 3, padding=1, bias=False))
        else:
            self.features.add_module("conv0", nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False))
            self.features.add_module("norm0", nn.BatchNorm2d(channels))
            self.features.add_module("relu0", nn.ReLU())
            self.features.add_module("pool0", nn.MaxPool2d(3, stride=2, padding=1))
        for i, layers in enumerate(config.block_config):
            block = DenseBlock(layers, channels, config, efficient)
            self.features.add_module(f"denseblock{i + 1}", block)
            channels += layers * config.growth_rate
            if i + 1 < len(config.block_config):
                outputs = int(channels * config.compression)
                self.features.add_module(f"transition{i + 1}", Transition(channels, outputs))
                channels = outputs
        self.features.add_module("norm_final", nn.BatchNorm2d(channels))
        self.classifier = nn.Linear(channels, config.num_classes)
        self.reset()

    def reset(self):
        """Fresh weights, drawn as Densight draws them."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
                nn.init.normal_(module.weight, 0.0, (2.0 / fan) ** 0.5)
            elif isinstance(module, nn.Linear):
                bound = module.in_features ** -0.5
                nn.init.uniform_(module.weight, -bound, bound)
                nn.init.zeros_(module.bias)

    def forward(self, x):
        x = F.relu(self.features(x))
        return self.classifier(x.mean((2, 3)))

    def tensors(self):
        """What is stored: all but the norms' counters."""
        return {name: t for name, t in self.state_dict().items() if not name.endswith("num_batches_tracked")}

    def load(self, tensors):
        """Takes `tensors`, and a new head where the number of classes is another; returns the names that were left fresh."""
        own = self.tensors()
        unknown = [name for name in tensors if name not in own]
        if unknown:
            raise SystemExit(f"the weights are of another network: {unknown[0]} is not in this one")
        fitting = {name: t for name, t in tensors.items() if t.shape == own[name].shape}
        fresh = sorted(set(own) - set(fitting))
        if any(not name.startswith("classifier.") for name in fresh):
            raise SystemExit(f"the weights are of another network: {fresh[0]} has another shape, or is missing")
        self.load_state_dict(fitting, strict=False)
        return fresh
