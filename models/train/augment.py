"""What training pictures are put through, a batch at a time: f32 [n, 3, size, size] on a scale of 0 to 1."""

import torch
import torch.nn.functional as F


def plain(x, generator):
    """Nothing."""
    return x


def cifar(x, generator):
    """The paper's: shifted by up to an eighth, half of them mirrored."""
    n, _, size, _ = x.shape
    margin = size // 8
    padded = F.pad(x, (margin,) * 4)
    at = torch.randint(0, 2 * margin + 1, (2, n), generator=generator)
    rows = (at[0][:, None] + torch.arange(size)).to(x.device)
    columns = (at[1][:, None] + torch.arange(size)).to(x.device)
    each = torch.arange(n, device=x.device)[:, None, None]
    shifted = padded.permute(0, 2, 3, 1)[each, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    return mirror(shifted, generator)


def hands(x, generator):
    """For hands before a plain background that are to be known before any: another background, another place, size, angle and
    hand, another light, blur and noise."""
    n = len(x)
    mask = foreground(x)
    behind = backgrounds(x, generator)
    replaced = (_uniform(n, generator) < 0.65).to(x.device)[:, None, None, None]
    both = torch.cat([torch.where(replaced, x * mask + behind * (1 - mask), x), mask], 1)
    x = mirror(place(both, generator)[:, :3], generator)
    return light(soften(x, generator), generator).clamp(0, 1)


def _uniform(n, generator, low=0.0, high=1.0):
    return low + (high - low) * torch.rand(n, generator=generator)


def mirror(x, generator):
    """Half of them."""
    chosen = (_uniform(len(x), generator) < 0.5).to(x.device)[:, None, None, None]
    return torch.where(chosen, x.flip(3), x)


def foreground(x):
    """1 where a picture differs from the colour of its border, 0 where it does not, softly: [n, 1, size, size]."""
    border = torch.cat([x[:, :, :3].flatten(2), x[:, :, :, :3].flatten(2), x[:, :, :, -3:].flatten(2)], 2)
    colour = border.median(2).values[:, :, None, None]
    # Shadows are as dark as hands: differences of colour count more than those of brightness.
    difference = x - colour
    grey = difference.mean(1, keepdim=True)
    distance = (difference - grey).abs().sum(1, keepdim=True) * 1.5 + grey.abs()
    return F.avg_pool2d(torch.sigmoid((distance - 0.22) * 25), 3, 1, 1)


def backgrounds(x, generator):
    """Of another colour for each picture: even, shaded, or blotched."""
    n, _, size, _ = x.shape
    colour = torch.rand(n, 3, 1, 1, generator=generator)
    coarse = torch.rand(n, 3, 5, 5, generator=generator)
    fine = torch.rand(n, 3, 16, 16, generator=generator)
    blotches = F.interpolate(coarse, size=size, mode="bicubic") + 0.4 * (F.interpolate(fine, size=size, mode="bilinear") - 0.5)
    strength = _uniform(n, generator)[:, None, None, None]
    return (colour * (1 - strength) + blotches * strength).clamp(0, 1).to(x.device)


def place(x, generator):
    """Turned by up to 25 degrees, 0.7 to 1.25 times as large, shifted by up to a sixth; edges are continued."""
    n = len(x)
    angle = _uniform(n, generator, -0.44, 0.44)
    scale = 1 / _uniform(n, generator, 0.7, 1.25)
    shift = _uniform(2 * n, generator, -0.33, 0.33).reshape(n, 2)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = [torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)]
    grid = F.affine_grid(torch.stack(rows, 1).to(x.device), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


def soften(x, generator):
    """A third of them blurred, as a camera out of focus or in motion has them."""
    chosen = _uniform(len(x), generator).to(x.device)[:, None, None, None]
    once = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    twice = F.avg_pool2d(once, 3, 1, 1, count_include_pad=False)
    return torch.where(chosen < 0.17, once, torch.where(chosen < 0.33, twice, x))


def light(x, generator):
    """Another exposure, contrast and colour of the light, and a sensor's noise."""
    n = len(x)
    gain = _uniform(n, generator, 0.6, 1.4)[:, None, None, None] * _uniform(3 * n, generator, 0.85, 1.15).reshape(n, 3, 1, 1)
    contrast = _uniform(n, generator, 0.7, 1.3)[:, None, None, None]
    noise = torch.randn(x.shape, generator=generator) * _uniform(n, generator, 0.0, 0.05)[:, None, None, None]
    middle = x.mean((1, 2, 3), keepdim=True)
    return ((x - middle) * contrast.to(x.device) + middle) * gain.to(x.device) + noise.to(x.device)


AUGMENTATIONS = {"none": plain, "cifar": cifar, "hands": hands}
