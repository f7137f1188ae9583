"""Trains a DenseNet of the paper on a packed set or on a folder of pictures.

    python models/train/train.py DATA --out FOLDER

Run again with the same --out, it goes on where it was interrupted. FOLDER gets weights.safetensors, card.md, plot.png, labels.txt and,
where the program densight is at hand, model.onnx.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

import card
import checkpoint
import data
import export
from augment import AUGMENTATIONS
from network import PRESETS, DenseNet, read_weights
from schedule import SCHEDULES

# Not a matter of the result: they may change when a training goes on.
FREE = {"out", "device", "densight", "stop_after", "licence", "source", "name"}


def arguments(given=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("data", help="packed set (.npz), or folder with a folder of pictures for each class")
    add("--out", required=True, type=Path, help="folder for everything that comes out")
    add("--preset", default="densenet-bc-40-12", choices=PRESETS, help="network of the paper")
    add("--growth-rate", type=int, help="instead of the preset's")
    add("--compression", type=float, help="instead of the preset's")
    add("--drop-rate", type=float, default=0.0, help="dropout after each dense layer; the paper: 0.2 without augmentation")
    add("--efficient", action="store_true", help="compute concatenations again rather than keep them: less memory, more time")
    add("--size", type=int, default=32, help="height and width of the network's input")
    add("--from", dest="start", type=Path, help="weights to begin with (.safetensors, or a float .onnx of Densight's); the head is new if classes differ")
    add("--augment", default="cifar", choices=AUGMENTATIONS, help="what training pictures are put through")
    add("--epochs", type=int, default=300, help="times that each picture is seen")
    add("--batch", type=int, default=64, help="pictures in a step")
    add("--schedule", default="step", choices=SCHEDULES, help="how the learning rate goes")
    add("--rate", type=float, default=0.1, help="learning rate at its peak")
    add("--momentum", type=float, default=0.9, help="Nesterov momentum")
    add("--weight-decay", type=float, default=1e-4, help="of all weights")
    add("--label-smoothing", type=float, default=0.0, help="share of a label that goes to the other classes")
    add("--amp", action="store_true", help="products in bfloat16")
    add("--seed", type=int, default=0, help="of weights, order and augmentation")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda")
    add("--mean", help="r,g,b of the preprocessing, 0 to 1 (default: the training pictures')")
    add("--std", help="r,g,b of the preprocessing (default: the training pictures')")
    add("--stop-after", type=int, help="end after so many epochs of this run; run again to go on")
    add("--name", help="the model's name (default: the folder's)")
    add("--source", default="not stated", help="where the pictures are from, for the card")
    add("--licence", default="not stated", help="what the model may be used for, for the card")
    add("--densight", type=Path, help="the program that writes the ONNX file (default: the one built here)")
    return parser.parse_args(given)


def config(args, classes):
    """The preset with what was given instead."""
    chosen = {"num_classes": classes, "drop_rate": args.drop_rate}
    for name in ("growth_rate", "compression"):
        if getattr(args, name) is not None:
            chosen[name] = getattr(args, name)
    return replace(PRESETS[args.preset], **chosen)


class Trainer:
    """A network on its way."""

    def __init__(self, args, dataset):
        self.args, self.dataset = args, dataset
        numbers = lambda text: [float(v) for v in text.split(",")]
        mean, std = data.statistics(dataset.train.pixels)
        self.mean = numbers(args.mean) if args.mean else mean
        self.std = numbers(args.std) if args.std else std
        torch.manual_seed(args.seed)
        self.network = DenseNet(config(args, len(dataset.classes)), args.efficient)
        if args.start:
            fresh = self.network.load(read_weights(args.start))
            print(f"began with {args.start}" + (", with a new head" if fresh else ""))
        layout = torch.channels_last
        self.network = self.network.to(args.device, memory_format=layout)
        self.optimizer = torch.optim.SGD(
            self.network.parameters(), args.rate, args.momentum, weight_decay=args.weight_decay, nesterov=args.momentum > 0
        )
        self.epoch, self.seconds, self.history = 0, 0.0, []

    def normalized(self, x):
        mean, std = (torch.tensor(v, device=x.device)[:, None, None] for v in (self.mean, self.std))
        return ((x - mean) / std).contiguous(memory_format=torch.channels_last)

    def batch(self, pixels):
        """u8 [n, size, size, 3] as f32 [n, 3, size, size] on the device, 0 to 1."""
        return pixels.to(self.args.device).permute(0, 3, 1, 2).float() / 255

    def logits(self, x):
        with torch.autocast(self.args.device, torch.bfloat16, enabled=self.args.amp):
            return self.network(x).float()

    def train_epoch(self):
        """Every training picture once; the mean loss. All chance comes from the seed and the epoch's number."""
        args, pictures = self.args, self.dataset.train
        torch.manual_seed(args.seed * 100_003 + self.epoch + 1)
        generator = torch.Generator().manual_seed(args.seed * 100_003 + self.epoch + 1)
        order = torch.randperm(len(pictures.labels), generator=generator)
        steps = max(1, len(order) // args.batch)
        augment, rate = AUGMENTATIONS[args.augment], SCHEDULES[args.schedule]
        self.network.train()
        total, begin = 0.0, time.monotonic()
        for i in range(steps):
            chosen = order[i * args.batch : (i + 1) * args.batch]
            now = rate((self.epoch + i / steps) / args.epochs, args.rate)
            for group in self.optimizer.param_groups:
                group["lr"] = now
            x = self.normalized(augment(self.batch(pictures.pixels[chosen]), generator))
            labels = pictures.labels[chosen].to(args.device)
            loss = F.cross_entropy(self.logits(x), labels, label_smoothing=args.label_smoothing)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            total += loss.item()
            if not total < float("inf"):
                raise SystemExit(f"the loss is no number any more in epoch {self.epoch + 1}: lower --rate")
            if sys.stdout.isatty():
                left = (time.monotonic() - begin) / (i + 1) * (steps - i - 1)
                print(f"\repoch {self.epoch + 1}/{args.epochs} step {i + 1}/{steps} loss {total / (i + 1):.4f} {left:.0f} s left ", end="")
        return total / steps

    @torch.no_grad()
    def test(self):
        """The share of test pictures that is labelled right, in f32."""
        self.network.eval()
        pictures, right = self.dataset.test, 0
        for begin in range(0, len(pictures.labels), 256):
            x = self.normalized(self.batch(pictures.pixels[begin : begin + 256]))
            labels = pictures.labels[begin : begin + 256].to(self.args.device)
            right += (self.network(x).argmax(1) == labels).sum().item()
        return right / len(pictures.labels)

    def run(self, settings):
        """Trains on from where it is."""
        args, begun = self.args, self.epoch
        while self.epoch < args.epochs and (not args.stop_after or self.epoch - begun < args.stop_after):
            begin = time.monotonic()
            loss = self.train_epoch()
            accuracy = self.test()
            self.epoch += 1
            self.seconds += time.monotonic() - begin
            self.history.append([self.epoch, loss, accuracy])
            print(f"\repoch {self.epoch}/{args.epochs}: loss {loss:.4f}, test {100 * accuracy:.2f} %, {time.monotonic() - begin:.0f} s", flush=True)
            checkpoint.save(args.out, self.state(settings))

    def state(self, settings):
        return {
            "settings": settings,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "seconds": self.seconds,
            "history": self.history,
        }

    def resume(self, state):
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.seconds, self.history = state["epoch"], state["seconds"], state["history"]
        print(f"goes on after epoch {self.epoch}")


def main(given=None):
    """Trains, and writes what came of it."""
    args = arguments(given)
    args.out.mkdir(parents=True, exist_ok=True)
    settings = {name: str(value) for name, value in vars(args).items() if name not in FREE}
    state = checkpoint.load(args.out, settings)
    dataset = data.load(args.data, args.size)
    trainer = Trainer(args, dataset)
    print(f"{len(dataset.train.labels)} pictures to train with, {len(dataset.test.labels)} to test with, {len(dataset.classes)} classes, on {args.device}")
    if state:
        trainer.resume(state)
    trainer.run(settings)
    weights = args.out / "weights.safetensors"
    tensors = {name: t.detach().float().cpu().contiguous() for name, t in trainer.network.tensors().items()}
    save_file(tensors, weights)
    (args.out / "labels.txt").write_text("".join(f"{name}\n" for name in dataset.classes))
    card.write(args, trainer, given if given is not None else sys.argv[1:])
    export.onnx(args, trainer)
    print(f"{args.out} has the weights, the card and the plot")


if __name__ == "__main__":
    main()
