"""Trains a DenseNet-BC in as many minutes as there are on one GPU.

    python models/train/minutes.py DATA --out FOLDER --minutes 5
    python models/train/minutes.py DATA --out FOLDER --minutes 4 --preset densenet-bc-40-12 --views TEACHER/views.npy

All pictures are in the GPU's memory; a step is one CUDA graph, timed first, so that the one-cycle schedule ends with the time. The weights
that are kept are the exponential moving average; the norms' statistics are taken for them at the end, and the classifier is scaled so that
probabilities are as sure as they are right (temperature scaling, Guo et al., 2017, on the test pictures: it changes no label). With `--views` a teacher's scores
(teacher.py) are learned beside the labels (Hinton et al., 2015). FOLDER gets weights.safetensors, labels.txt and report.json.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

import data
import fused
from network import PRESETS, DenseNet
from schedule import onecycle

# Of the teacher's distribution: its temperature, and its share of the loss.
TEMPERATURE, SHARE = 4.0, 0.9


def common(parser, rate, decay, batch):
    """Options of everything that is trained this way, with these defaults."""
    add = parser.add_argument
    add("data", help="packed set (.npz), or folder with a folder of pictures for each class")
    add("--out", required=True, type=Path, help="folder for everything that comes out")
    add("--minutes", required=True, type=float, help="from the start of the program to its end")
    add("--size", type=int, default=32, help="height and width of the network's input")
    add("--batch", type=int, default=batch, help="pictures in a step")
    add("--rate", type=float, default=rate, help="learning rate at its peak")
    add("--momentum", type=float, default=0.9, help="Nesterov momentum")
    add("--weight-decay", type=float, default=decay, help="of all weights")
    add("--label-smoothing", type=float, default=0.0, help="share of a label that goes to the other classes, without a teacher")
    add("--cutout", type=int, default=0, help="side of a square that is blanked in each training picture")
    add("--average", type=float, default=5.0, help="epochs that the moving average of the weights reaches back")
    add("--plots", type=int, default=6, help="times that the network is tested on the way")
    add("--seed", type=int, default=0, help="of weights, order and augmentation")
    add("--mean", help="r,g,b of the preprocessing, 0 to 1 (default: the training pictures')")
    add("--std", help="r,g,b of the preprocessing (default: the training pictures')")
    add("--plain", action="store_true", help="without fused.py's kernels and without a CUDA graph")
    add("--profile", action="store_true", help="say which kernels take a step's time")
    add("--steps", type=int, help="so many steps instead of as many as there is time for")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda")


def arguments(given=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    common(parser, rate=0.3, decay=3e-4, batch=256)
    paper = [name for name, config in PRESETS.items() if config.bottleneck]
    parser.add_argument("--preset", default="densenet-bc-100-12", choices=paper, help="network of the paper")
    parser.add_argument("--views", type=Path, help="a teacher's scores of every view of the training pictures (teacher.py)")
    return parser.parse_args(given)


class Pictures:
    """A set in memory, normalized on the way out."""

    def __init__(self, args, dataset):
        numbers = lambda text: [float(v) for v in text.split(",")]
        mean, std = data.statistics(dataset.train.pixels)
        self.mean, self.std = numbers(args.mean) if args.mean else mean, numbers(args.std) if args.std else std
        self.device, self.size, self.margin, self.cutout = args.device, args.size, args.size // 8, args.cutout
        self.grey = torch.tensor([round(255 * v) for v in self.mean], dtype=torch.uint8, device=args.device)
        self.shift, self.scale = (torch.tensor(v, device=args.device) for v in (self.mean, self.std))
        self.type = torch.bfloat16 if args.device == "cuda" else torch.float32
        part = lambda pictures: (pictures.pixels.to(args.device), pictures.labels.to(args.device))
        (train, self.labels), (self.test, self.test_labels) = part(dataset.train), part(dataset.test)
        # Black around them, for the shifts.
        self.padded = F.pad(train, (0, 0) + (self.margin,) * 4)

    def normalized(self, x):
        """u8 [n, h, w, 3] as f32 [n, 3, h, w], channels last."""
        return ((x.float() / 255 - self.shift) / self.scale).permute(0, 3, 1, 2)

    def augmented(self, chosen):
        """Shifted by up to an eighth, half of them mirrored: the paper's. Beside them the view of each: mirrored, down, right."""
        count, most = len(chosen), 2 * self.margin + 1
        down, right = torch.randint(0, most, (2, count), device=self.device)
        view = (torch.rand(count, device=self.device) < 0.5).long(), down, right
        return self.blanked(self.viewed(chosen, view)), view

    def viewed(self, chosen, view):
        """Each chosen picture as its view has it, u8 [n, h, w, 3]."""
        mirrored, down, right = view
        run = torch.arange(self.size, device=self.device)
        rows, columns = down[:, None] + run, right[:, None] + torch.where(mirrored[:, None] == 1, run.flip(0), run)
        return self.padded[chosen[:, None, None], rows[:, :, None], columns[:, None, :]]

    def blanked(self, x):
        """A square of each picture grey, wholly inside."""
        if not self.cutout:
            return x
        begin = torch.randint(0, self.size - self.cutout + 1, (2, len(x), 1), device=self.device)
        run = torch.arange(self.size, device=self.device)
        rows, columns = (run >= begin) & (run < begin + self.cutout)
        return torch.where((rows[:, :, None] & columns[:, None, :])[..., None], self.grey, x)


class Training:
    """A network, its average, and what a step needs, all in fixed places so that a step can be recorded."""

    def __init__(self, args, pictures, build, forward=None, views=None):
        """`build` makes the network; `forward` gives the scores of a network in training, if not PyTorch; `views` are the teacher's."""
        torch.manual_seed(args.seed)
        self.args, self.pictures, self.forward, self.views = args, pictures, None if args.plain else forward, views
        fresh = lambda: build().to(args.device, memory_format=torch.channels_last)
        self.network, self.average = fresh(), fresh()
        self.average.load_state_dict(self.network.state_dict())
        self.weights, self.averages = list(self.network.parameters()), list(self.average.parameters())
        self.momenta = [torch.zeros_like(weight) for weight in self.weights]
        self.chosen = torch.zeros(args.batch, dtype=torch.long, device=args.device)
        self.rate, self.keep = torch.zeros((), device=args.device), torch.zeros((), device=args.device)
        self.loss = torch.zeros((), device=args.device)
        self.graph = None

    def plain(self, x):
        """PyTorch's scores."""
        with torch.autocast(x.device.type, x.dtype, enabled=x.dtype != torch.float32, cache_enabled=False):
            return self.network(x).float()

    def drawn(self):
        """The chosen pictures, augmented, as the network takes them, and their views."""
        pictures = self.pictures
        pixels, view = pictures.augmented(self.chosen)
        return pictures.normalized(pixels).to(pictures.type, memory_format=torch.channels_last), view

    def loss_of(self, scores, view):
        labels = self.pictures.labels[self.chosen]
        if self.views is None:
            return F.cross_entropy(scores, labels, label_smoothing=self.args.label_smoothing)
        soft = F.log_softmax(self.views[self.chosen, *view].float() / TEMPERATURE, 1)
        taught = F.kl_div(F.log_softmax(scores / TEMPERATURE, 1), soft, reduction="batchmean", log_target=True)
        return SHARE * TEMPERATURE**2 * taught + (1 - SHARE) * F.cross_entropy(scores, labels)

    def step(self):
        """Learns from the chosen pictures."""
        args = self.args
        x, view = self.drawn()
        loss = self.loss_of(self.forward(self.network, x) if self.forward else self.plain(x), view)
        gradients = torch.autograd.grad(loss, self.weights)
        with torch.no_grad():
            gradients = torch._foreach_add(gradients, self.weights, alpha=args.weight_decay)
            torch._foreach_mul_(self.momenta, args.momentum)
            torch._foreach_add_(self.momenta, gradients)
            change = torch._foreach_add(gradients, self.momenta, alpha=args.momentum)
            torch._foreach_mul_(change, -self.rate)
            torch._foreach_add_(self.weights, change)
            away = torch._foreach_sub(self.averages, self.weights)
            torch._foreach_mul_(away, self.keep)
            torch._foreach_add_(away, self.weights)
            torch._foreach_copy_(self.averages, away)
            self.loss.lerp_(loss.detach(), 0.02)

    @torch.no_grad()
    def differs(self):
        """How far the fused network's scores are from PyTorch's, by the largest."""
        x, _ = self.drawn()
        ours, theirs = self.forward(self.network, x), self.plain(x)
        return ((ours - theirs).abs().max() / theirs.abs().max()).item()

    def record(self):
        """Makes a step one CUDA graph, after some that compile and choose kernels."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.step()
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.step()

    def run(self, chosen, rate, keep):
        self.chosen.copy_(chosen)
        self.rate.fill_(rate)
        self.keep.fill_(keep)
        self.graph.replay() if self.graph else self.step()

    @torch.no_grad()
    def calibrate(self, batches=40):
        """The norms' statistics for the averaged weights, over augmented training pictures."""
        pictures = self.pictures
        norms = [m for m in self.average.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        self.average.train()
        generator = torch.Generator(device=self.args.device).manual_seed(self.args.seed)
        for _ in range(batches):
            chosen = torch.randint(0, len(pictures.labels), (min(500, len(pictures.labels)),), device=self.args.device, generator=generator)
            self.average(pictures.normalized(pictures.augmented(chosen)[0]).contiguous(memory_format=torch.channels_last))
        self.average.eval()

    @torch.no_grad()
    def test_scores(self):
        """The averaged network's scores of the test pictures, in f32."""
        chunks = self.pictures.test.split(500)
        return torch.cat([self.average(self.pictures.normalized(x).contiguous(memory_format=torch.channels_last)) for x in chunks])

    def test(self):
        """The share of test pictures that is labelled right."""
        return (self.test_scores().argmax(1) == self.pictures.test_labels).float().mean().item()


@torch.no_grad()
def tempered(scores, labels):
    """The temperature at which the probabilities of `scores` [n, classes] surprise least, in steps of 0.05."""
    surprise = lambda temperature: F.cross_entropy(scores.double() / temperature, labels).item()
    return min((step / 20 for step in range(5, 101)), key=surprise)


def synchronize(args):
    if args.device == "cuda":
        torch.cuda.synchronize()


def profile(training):
    """Says which kernels take the time of a step."""
    training.step()
    activity = torch.profiler.ProfilerActivity
    gpu = training.args.device == "cuda"
    with torch.profiler.profile(activities=[activity.CUDA if gpu else activity.CPU]) as seen:
        training.step()
        synchronize(training.args)
    by = "self_device_time_total" if gpu else "self_cpu_time_total"
    print(seen.key_averages().table(sort_by=by, row_limit=25, max_name_column_width=70), flush=True)


def plan(args, training, begin):
    """So many steps as there is time for, and how long one takes."""
    if args.device == "cuda":
        torch.backends.cudnn.benchmark = True
    if training.forward:
        off = training.differs()
        print(f"fused: {off:.1e} off PyTorch's scores", flush=True)
        if not off < 0.1:
            raise SystemExit("the fused network computes something else")
    if args.profile:
        profile(training)
    if args.device == "cuda" and not args.plain:
        training.record()
        print(f"recorded after {time.monotonic() - begin:.1f} s", flush=True)
    training.calibrate(2)
    chosen = torch.randint(0, len(training.pictures.labels), (args.batch,), device=args.device)
    synchronize(args)
    start, turns = time.monotonic(), 20 if args.device == "cuda" else 1
    for _ in range(turns):
        training.run(chosen, 0.0, 1.0)
    synchronize(args)
    seconds = (time.monotonic() - start) / turns
    # The rest is for tests on the way and for writing.
    left = 60 * args.minutes - (time.monotonic() - begin) - 2.0 * (args.plots + 2)
    return args.steps or max(1, int(left / seconds)), seconds


def train(args, training, steps, begin):
    """All steps; what was seen on the way: epoch, loss, accuracy, seconds."""
    count, history, start = len(training.pictures.labels), [], time.monotonic()
    each = max(1, count // args.batch)
    keep = 1 - 1 / (args.average * each)
    order, tested = None, 0
    for weight in training.momenta:
        weight.zero_()
    for step in range(steps):
        place = step % each
        if place == 0:
            order = torch.randperm(count, device=args.device)
        chosen = order[place * args.batch : (place + 1) * args.batch]
        if len(chosen) < args.batch:
            chosen = order[torch.arange(args.batch, device=args.device) % count]
        # The average of the beginning is of no use: it follows closely at first.
        training.run(chosen, onecycle(step / steps, args.rate), min(keep, (step + 1) / (step + 10)))
        # Replays are launched far ahead of the GPU otherwise.
        if step % 50 == 49:
            synchronize(args)
        if (step + 1) * args.plots // steps > tested:
            tested += 1
            training.calibrate()
            loss, accuracy = training.loss.item(), training.test()
            history.append([(step + 1) / each, loss, accuracy, time.monotonic() - start])
            print(f"epoch {(step + 1) / each:.1f}/{steps / each:.1f}: loss {loss:.4f}, test {100 * accuracy:.2f} %, {time.monotonic() - begin:.0f} s", flush=True)
            if not loss < float("inf"):
                raise SystemExit("the loss is no number any more: lower --rate")
    return history


def learn(args, build, forward=None, views=None):
    """Trains what `build` makes of a number of classes, with the teacher's scores in the file `views`; gives the training and the classes' names."""
    begin = time.monotonic()
    args.out.mkdir(parents=True, exist_ok=True)
    dataset = data.load(args.data, args.size)
    pictures = Pictures(args, dataset)
    print(f"{len(pictures.labels)} pictures to train with after {time.monotonic() - begin:.1f} s", flush=True)
    if views:
        views = all_views(torch.from_numpy(np.load(views)).to(args.device), pictures)
    training = Training(args, pictures, lambda: build(len(dataset.classes)), forward, views)
    steps, seconds = plan(args, training, begin)
    epochs = steps * args.batch / len(pictures.labels)
    print(f"{steps} steps of {1000 * seconds:.2f} ms: {epochs:.1f} epochs", flush=True)
    history = train(args, training, steps, begin)
    settings = {name: str(value) for name, value in vars(args).items()}
    card = torch.cuda.get_device_name() if args.device == "cuda" else "cpu"
    report = {"settings": settings, "device": card, "torch": torch.__version__, "steps": steps, "epochs": epochs, "mean": pictures.mean, "std": pictures.std,
              "seconds": time.monotonic() - begin, "history": history}
    (args.out / "report.json").write_text(json.dumps(report, indent=1))
    return training, dataset.classes


def all_views(some, pictures):
    """Scores [pictures, 2, shifts, shifts, classes] for each shift, of those for some of them: what lies between is interpolated."""
    count, shifts = len(pictures.labels), 2 * pictures.margin + 1
    if len(some) != count:
        raise SystemExit(f"the views are of {len(some)} pictures, not of these {count}")
    between = lambda part: F.interpolate(part.flatten(0, 1).permute(0, 3, 1, 2).float(), (shifts, shifts), mode="bilinear", align_corners=True)
    parts = [between(part).permute(0, 2, 3, 1).unflatten(0, (-1, 2)).half() for part in some.split(5000)]
    return torch.cat(parts)


def main(given=None):
    """Trains, and writes what came of it."""
    args = arguments(given)
    build = lambda classes: DenseNet(replace(PRESETS[args.preset], num_classes=classes))
    training, classes = learn(args, build, fused.forward, args.views)
    temperature = tempered(training.test_scores(), training.pictures.test_labels)
    print(f"the classifier is divided by {temperature}")
    with torch.no_grad():
        training.average.classifier.weight /= temperature
        training.average.classifier.bias /= temperature
    tensors = {name: t.detach().float().cpu().contiguous() for name, t in training.average.tensors().items()}
    save_file(tensors, args.out / "weights.safetensors")
    (args.out / "labels.txt").write_text("".join(f"{name}\n" for name in classes))


if __name__ == "__main__":
    main()
