"""Accuracy of heads that `densight teach` teaches from a few pictures of each class: mean and deviation over some draws.

    python3 tests/peers/teach.py DENSIGHT PACKED.npz [BACKBONE.onnx …] [--each N] [--classes N] [--draws N] [--wrong SHARE]

PACKED.npz is a packed data set, as `densight eval` reads it. Each draw takes N pictures of each class to teach, and 40 others of each to
evaluate on. With --wrong, that share of the pictures to teach is given as the next class; printed is how many of them are named.
Takes numpy.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile
import time

import numpy as np

OTHERS = 40


def subset(packed, count, taught, evaluated, labels, path):
    """Writes a packed data set of some pictures, those to teach as split 0."""
    blob, ends = packed["blob"].tobytes(), packed["off"]
    chosen = [*taught, *evaluated]
    files = [blob[ends[i]:ends[i + 1]] for i in chosen]
    np.savez(path, blob=np.frombuffer(b"".join(files), np.uint8), off=np.cumsum([0, *map(len, files)]), y=labels,
             split=np.array([0] * len(taught) + [1] * len(evaluated)), classes=packed["classes"][:count])


def draw(densight, packed, backbone, classes, each, wrong, seed, folder):
    """One draw: accuracy by cross-validation and on the others, seconds, and the share of wrong pictures that is named."""
    random = np.random.default_rng(seed)
    y, count = packed["y"], classes or len(packed["classes"])
    order = [random.permutation(np.flatnonzero(y == c)) for c in range(count)]
    taught = [i for own in order for i in own[:each]]
    evaluated = [i for own in order for i in own[each:each + OTHERS]]
    labels = np.array([y[i] for i in [*taught, *evaluated]])
    moved = random.permutation(len(taught))[:round(wrong * len(taught))]
    labels[moved] = (labels[moved] + 1) % count
    data, model = folder / "data.npz", folder / "taught.onnx"
    subset(packed, count, taught, evaluated, labels, data)
    begin = time.time()
    command = [densight, "teach", data, "-o", model, "--split", "train", "--json"]
    report = json.loads(subprocess.run([*command, *(["--backbone", backbone] if backbone else [])], check=True,
                                       capture_output=True).stdout)
    took = time.time() - begin
    evaluation = subprocess.run([densight, "eval", data, "--model", model, "--split", "test", "--json"], check=True,
                                capture_output=True).stdout
    named = {suspect["picture"] for suspect in report["suspects"]}
    return (report["accuracy"], json.loads(evaluation)["top1"], took, report["features"],
            len(named & set(moved.tolist())) / max(1, min(len(moved), 10)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("densight")
    parser.add_argument("packed")
    parser.add_argument("backbones", nargs="*", default=[None])
    parser.add_argument("--each", type=int, default=10)
    parser.add_argument("--classes", type=int, help="the first N of the classes")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--wrong", type=float, default=0.0)
    args = parser.parse_args()
    packed = np.load(args.packed)
    print(f"{'backbone':32} {'features':>8} {'cross-validation':>16} {'others':>14} {'seconds':>8} {'named':>6}")
    for backbone in args.backbones or [None]:
        with tempfile.TemporaryDirectory() as folder:
            found = np.array([draw(args.densight, packed, backbone, args.classes, args.each, args.wrong, seed, pathlib.Path(folder))
                              for seed in range(args.draws)])
        means, deviations = found.mean(0), found.std(0)
        name = pathlib.Path(backbone).stem if backbone else "embedded"
        print(f"{name[:32]:32} {means[3]:8.0f} {100 * means[0]:14.1f} % {100 * means[1]:6.1f} ± {100 * deviations[1]:.1f} % "
              f"{means[2]:8.1f} {100 * means[4] if args.wrong else float('nan'):5.0f}%")


if __name__ == "__main__":
    main()
