"""Two densely connected networks that no package here has: SE-DenseNet and CSPDenseNet, in PyTorch."""

import torch
from torch import nn


class Layer(nn.Module):
    """A layer of DenseNet-BC; with `gate` its result is weighted channel by channel (squeeze-and-excitation)."""

    def __init__(self, channels, growth, gate):
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, 4 * growth, 1, bias=False),
            nn.BatchNorm2d(4 * growth), nn.ReLU(), nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False))
        self.gate = Gate(growth) if gate else nn.Identity()

    def forward(self, x):
        return torch.cat([x, self.gate(self.body(x))], 1)


class Gate(nn.Module):
    def __init__(self, channels, reduction=4):
        super().__init__()
        self.body = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels // reduction, 1), nn.ReLU(),
            nn.Conv2d(channels // reduction, channels, 1), nn.Sigmoid())

    def forward(self, x):
        return x * self.body(x)


class Partial(nn.Module):
    """A dense block that reads half of the channels only (cross stage partial): the others pass beside it."""

    def __init__(self, channels, layers, growth):
        super().__init__()
        half = channels // 2
        self.split = [channels - half, half]
        self.block = nn.Sequential(*(Layer(half + at * growth, growth, False) for at in range(layers)))
        inner = half + layers * growth
        self.inner = transition(inner, inner // 2)
        self.channels = channels - half + inner // 2

    def forward(self, x):
        beside, read = x.split(self.split, 1)
        return torch.cat([beside, self.inner(self.block(read))], 1)


def transition(channels, outputs):
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, outputs, 1, bias=False))


def stem(channels):
    return [nn.Conv2d(3, channels, 7, 2, 3, bias=False), nn.BatchNorm2d(channels), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]


def head(channels):
    return [nn.BatchNorm2d(channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000)]


def se_densenet121(growth=32, blocks=(6, 12, 24, 16)):
    """DenseNet-121 with a gate behind each layer and each transition."""
    channels, parts = 64, stem(64)
    for number, layers in enumerate(blocks):
        parts += [Layer(channels + at * growth, growth, True) for at in range(layers)]
        channels += layers * growth
        if number + 1 < len(blocks):
            parts += [transition(channels, channels // 2), Gate(channels // 2, 16), nn.AvgPool2d(2)]
            channels //= 2
    return nn.Sequential(*parts, *head(channels))


def csp_densenet121(growth=32, blocks=(6, 12, 24, 16)):
    """CSPDenseNet-121: each dense block reads half of what comes in."""
    channels, parts = 64, stem(64)
    for number, layers in enumerate(blocks):
        parts.append(Partial(channels, layers, growth))
        channels = parts[-1].channels
        if number + 1 < len(blocks):
            parts += [transition(channels, channels // 2), nn.AvgPool2d(2)]
            channels //= 2
    return nn.Sequential(*parts, *head(channels))
