"""Where a training stands, written after each epoch, so that it goes on as if it had never been interrupted."""

import os
from pathlib import Path

import torch

NAME = "checkpoint.pt"


def save(folder, state):
    """Replaces the folder's checkpoint; at every moment one of the two is whole."""
    partial = Path(folder) / (NAME + ".partial")
    torch.save(state, partial)
    os.replace(partial, Path(folder) / NAME)


def load(folder, settings):
    """The folder's checkpoint, if there is one, of a training with the same `settings`."""
    path = Path(folder) / NAME
    if not path.exists():
        return None
    state = torch.load(path, map_location="cpu", weights_only=True)
    for name, value in settings.items():
        if state["settings"].get(name) != value:
            before = state["settings"].get(name)
            raise SystemExit(f"{path} is of a training with {name} {before}, not {value}: give another --out, or remove it")
    return state
