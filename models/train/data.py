"""Labelled pictures in memory: of a packed set, or of folders named as their classes."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


@dataclass
class Pictures:
    """Pictures u8 [n, size, size, 3], their classes [n]."""

    pixels: torch.Tensor
    labels: torch.Tensor


@dataclass
class Dataset:
    """What to train with, what to test with, and how the two were told apart."""

    classes: list
    train: Pictures
    test: Pictures
    split: str


def fit(picture, size):
    """As `densight export --resize crop --crop 1` has it: the shorter side scaled to `size`, the middle cut out."""
    picture = picture.convert("RGB")
    width, height = picture.size
    if (width, height) != (size, size):
        scale = size / min(width, height)
        width, height = max(size, round(width * scale)), max(size, round(height * scale))
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        left, top = (width - size) // 2, (height - size) // 2
        picture = picture.crop((left, top, left + size, top + size))
    return np.asarray(picture)


def load(path, size):
    """The set at `path`: a .npz file, or a folder."""
    path = Path(path)
    if path.suffix == ".npz":
        return packed(path, size)
    if path.is_dir():
        return folders(path, size)
    raise SystemExit(f"{path} is neither a folder of pictures nor a packed set (.npz)")


def packed(path, size):
    """`blob`: JPEG files one after the other, `off`: where each begins, `y`: classes, `split`: 0 train, 1 test, `classes`."""
    file = np.load(path)
    blob, offsets, labels, split = file["blob"].tobytes(), file["off"], file["y"], file["split"]

    def part(which):
        chosen = np.flatnonzero(split == which)
        read = lambda i: fit(Image.open(io.BytesIO(blob[offsets[i] : offsets[i + 1]])), size)
        pixels = np.stack([read(i) for i in chosen])
        return Pictures(torch.from_numpy(pixels), torch.from_numpy(labels[chosen].astype(np.int64)))

    classes = [str(name) for name in file["classes"]]
    return Dataset(classes, part(0), part(1), "as the packed set has it")


def folders(path, size):
    """`CLASS/*.jpg`, and every fifth picture of a class is for testing; or `train/CLASS/*` and `test/CLASS/*`."""
    own_split = (path / "train").is_dir() and (path / "test").is_dir()
    roots = [path / "train", path / "test"] if own_split else [path]
    classes = sorted(folder.name for folder in roots[0].iterdir() if folder.is_dir())
    if len(classes) < 2:
        raise SystemExit(f"{roots[0]} has {len(classes)} folders of pictures: there must be one for each class, two at least")

    def read(root):
        found = []
        for label, name in enumerate(classes):
            files = sorted(f for f in (root / name).rglob("*") if f.suffix.lower() in PICTURES)
            if not files:
                raise SystemExit(f"{root / name} has no pictures")
            for i, file in enumerate(files):
                try:
                    found.append((fit(Image.open(file), size), label, i))
                except OSError as error:
                    raise SystemExit(f"{file} is no picture: {error}") from error
        return found

    def pictures(found):
        pixels, labels, _ = zip(*found)
        return Pictures(torch.from_numpy(np.stack(pixels)), torch.tensor(labels))

    if own_split:
        train, test, split = read(roots[0]), read(roots[1]), "folders train and test"
    else:
        found = read(path)
        train = [entry for entry in found if entry[2] % 5 != 4]
        test = [entry for entry in found if entry[2] % 5 == 4]
        split = "every fifth picture of a class is for testing"
    if not test:
        raise SystemExit(f"{path} has fewer than five pictures in each class: too few to test with")
    return Dataset(classes, pictures(train), pictures(test), split)


def statistics(pixels):
    """Mean and standard deviation of red, green, blue, on a scale of 0 to 1, to four digits."""
    values = pixels.reshape(-1, 3).double() / 255
    return [round(v, 4) for v in values.mean(0).tolist()], [round(v, 4) for v in values.std(0).tolist()]
