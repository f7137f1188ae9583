"""Trains a wide residual network in minutes, and writes what it says of the training pictures, for a smaller network to learn from.

    python models/train/teacher.py DATA --out FOLDER --minutes 2

FOLDER gets views.npy, f16 scores [pictures, 2, 5, 5, classes]: of each picture as it is and mirrored, shifted by -1, -1/2, 0, 1/2 and 1 times the
augmentation's most, down and to the right. `minutes.py --views` interpolates what lies between. Scores of stored views cost a student's
step nothing; the network itself would take most of it.
"""

import argparse
import itertools

import numpy as np
import torch
from torch import nn

import minutes

SHIFTS = 5


def unit(inputs, outputs):
    """Convolution 3x3, norm, ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


class Residual(nn.Module):
    """What it is given, and two units of it."""

    def __init__(self, channels):
        super().__init__()
        self.units = nn.Sequential(unit(channels, channels), unit(channels, channels))

    def forward(self, x):
        return x + self.units(x)


class Wide(nn.Module):
    """Eight convolutions and a linear layer, after the ResNet-9 of the DAWNBench entries (Page, 2018), twice as wide."""

    def __init__(self, classes, width):
        super().__init__()
        halved = lambda inputs, outputs: (unit(inputs, outputs), nn.MaxPool2d(2))
        self.features = nn.Sequential(
            unit(3, width),
            *halved(width, 2 * width),
            Residual(2 * width),
            *halved(2 * width, 4 * width),
            *halved(4 * width, 8 * width),
            Residual(8 * width),
        )
        self.classifier = nn.Linear(8 * width, classes)

    def forward(self, x):
        return 0.125 * self.classifier(self.features(x).amax((2, 3)))


def folded(module):
    """Each norm in the convolution before it."""
    for child in module.children():
        folded(child)
    if isinstance(module, nn.Sequential) and len(module) == 3 and isinstance(module[1], nn.BatchNorm2d):
        module[0], module[1] = nn.utils.fusion.fuse_conv_bn_eval(module[0], module[1]), nn.Identity()
    return module


@torch.no_grad()
def views(training, most=2000):
    """The averaged network's scores of every view, f16 [pictures, 2, SHIFTS, SHIFTS, classes]."""
    pictures, network = training.pictures, folded(training.average.eval())
    network.to(memory_format=torch.channels_last)
    shifts = torch.linspace(0, 2 * pictures.margin, SHIFTS).round().long().tolist()
    parts = []
    for chosen in torch.arange(len(pictures.labels), device=pictures.device).split(most):
        rows = []
        for view in itertools.product((0, 1), shifts, shifts):
            x = pictures.normalized(pictures.viewed(chosen, [torch.full_like(chosen, part) for part in view]))
            with torch.autocast(pictures.device, pictures.type, enabled=pictures.type != torch.float32):
                rows.append(network(x.contiguous(memory_format=torch.channels_last)).half())
        parts.append(torch.stack(rows, 1).cpu())
    return torch.cat(parts).reshape(len(pictures.labels), 2, SHIFTS, SHIFTS, -1).numpy()


def main(given=None):
    """Trains, and writes the views."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    minutes.common(parser, rate=0.2, decay=5e-4, batch=512)
    parser.add_argument("--width", type=int, default=128, help="outputs of the first convolution")
    args = parser.parse_args(given)
    training, _ = minutes.learn(args, lambda classes: Wide(classes, args.width))
    np.save(args.out / "views.npy", views(training))


if __name__ == "__main__":
    main()
