"""What a model is and how it was made, for people: a page and a plot."""

import hashlib
import shlex
import subprocess
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot


def commit():
    """The recipe's commit, and whether it was changed since."""
    git = lambda *words: subprocess.run(["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True).stdout.strip()
    changed = " with changes" if git("status", "--porcelain", ".") else ""
    return (git("rev-parse", "--short", "HEAD") or "unknown") + changed


def write(args, trainer, command):
    """card.md and plot.png."""
    _, loss, accuracy = trainer.history[-1] if trainer.history else (0, float("nan"), trainer.test())
    weights = args.out / "weights.safetensors"
    parameters = sum(p.numel() for p in trainer.network.parameters())
    dataset = trainer.dataset
    (args.out / "card.md").write_text(
        f"""# {args.name or args.out.name}

| | |
|---|---|
| network | {args.preset}, {parameters:,} parameters, input {args.size}x{args.size} |
| classes | {len(dataset.classes)}: {", ".join(dataset.classes)} |
| pictures | {args.source} |
| trained with, tested with | {len(dataset.train.labels)}, {len(dataset.test.labels)} ({dataset.split}) |
| accuracy on the test pictures, f32 | {100 * accuracy:.2f} % |
| training loss at the end | {loss:.4f} |
| preprocessing | (x / 255 - mean) / std, mean {trainer.mean}, std {trainer.std} |
| epochs | {trainer.epoch} of {args.epochs} |
| hours | {trainer.seconds / 3600:.2f}, on {args.device} |
| seed | {args.seed} |
| recipe | models/train at {commit()} |
| licence | {args.licence} |
| weights.safetensors | {weights.stat().st_size:,} bytes, sha256 {hashlib.sha256(weights.read_bytes()).hexdigest()} |

    python models/train/train.py {shlex.join(command)}
"""
    )
    epochs, losses, accuracies = zip(*trainer.history) if trainer.history else ((), (), ())
    figure, left = pyplot.subplots(figsize=(7, 4))
    right = left.twinx()
    left.plot(epochs, losses, color="tab:blue")
    right.plot(epochs, [100 * a for a in accuracies], color="tab:orange")
    left.set(xlabel="epoch", ylabel="training loss (blue)", title=args.name or args.out.name)
    right.set_ylabel("test accuracy in % (orange)")
    figure.tight_layout()
    figure.savefig(args.out / "plot.png", dpi=110)
    pyplot.close(figure)
