"""The table of docs/networks.md: networks that people have, in Densight and ONNX Runtime.

    python benches/peers/networks.py --densight target/release/densight --networks FOLDER --output docs/networks.md

`FOLDER` is what tests/peers/make_networks.py writes; it is run first where a network is missing. An int8 model of each is made by
`densight quantize` and kept there. What was measured is kept in `FOLDER/NAME/measured.json`, and measured again with `--again`.
"""

import argparse
import json
import statistics
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np

from run import Runner, installed, processor

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path.append(str(ROOT / "tests" / "peers"))


class Busy(Runner):
    """A runner whose times are those that the processor worked for it: other programs on the machine count less."""

    def busy(self):
        threads = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9

    def turn(self, count):
        before = self.busy()
        super().turn(count)
        return (self.busy() - before) / count


def decibels(found, right):
    """Signal to noise of scores."""
    noise = float(((found - right) ** 2).sum())
    return float("inf") if noise == 0 else 10 * np.log10(float((right ** 2).sum()) / noise)


def call(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["it ended without a word"])[-1])
    return done.stdout


def answer(args, model, x, folder):
    call(args.densight, "run", model, "--input", x, "--output", folder / "found.npy")
    return np.load(folder / "found.npy")


def executed(args, model):
    return json.loads(call(args.densight, "inspect", model, "--executed", "--json"))["executed"]


def kernel_share(executed):
    """Share of the multiply-adds in Densight's kernels."""
    ours = sum(node["macs"] for node in executed["nodes"] if node["kernel"] != "tract")
    return ours / max(1, sum(node["macs"] for node in executed["nodes"]))


def peer_answer(engine, model, x):
    """The scores of one of runner.py's engines."""
    runner = Runner(engine, [sys.executable, HERE / "runner.py", engine, model, x, 1], True)
    runner.close()
    return np.array(runner.report["scores"])


def times(args, engines):
    """Median milliseconds of each, the engines taking turns; none where one does not run the model."""
    runners = {}
    for name, (command, reports) in engines.items():
        try:
            runners[name] = Busy(name, command, reports)
        except (RuntimeError, BrokenPipeError) as error:
            print(f"  not run: {name}: {error}", file=sys.stderr)
    counts = {name: max(1, round(args.turn / runner.turn(1))) for name, runner in runners.items()}
    for _ in range(args.rounds):
        for name, runner in runners.items():
            runner.times.append(runner.turn(counts[name]))
    for runner in runners.values():
        runner.close()
    return {name: 1e3 * statistics.median(runner.times) for name, runner in runners.items()}


def measure(args, folder):
    model, x, y = folder / "model.onnx", folder / "x.npy", np.load(folder / "y.npy")
    found = executed(args, model)
    result = {"share": kernel_share(found), "left": [f"{left['op']}: {left['reason']}" for left in found["left"]]}
    result["error"] = float(abs(answer(args, model, x, folder) - y).max() / abs(y).max())
    if folder.name.rsplit(".", 1)[0] in args.f32_only or folder.name in args.f32_only:
        return result
    int8 = folder / "int8.onnx"
    if args.again or not int8.exists():
        call(args.densight, "quantize", model, "--images", args.networks / "pictures", "--samples", args.samples, "--check", 0, "--no-sensitivity", "-o", int8)
    # The preprocessing is the same, and in the file.
    result["int8_share"] = executed(args, int8)["int8_share"]
    result["int8_db"] = decibels(answer(args, int8, x, folder).ravel(), y.ravel())
    try:
        result["int8_db_peer"] = decibels(peer_answer("onnxruntime", int8, x), y.ravel())
    except RuntimeError as error:
        print(f"  not run: ONNX Runtime int8: {error}", file=sys.stderr)
    own = lambda file: ([args.densight, "bench", file, "--serve", "--warmup", "0", "--threads", 1], False)
    peer = lambda engine, file: ([sys.executable, HERE / "runner.py", engine, file, x, 1], True)
    peers = ["onnxruntime"] + ["openvino"] * installed("openvino")
    result["ms"] = times(args, {f"{name} {kind}": own(file) if name == "densight" else peer(name, file)
                                for kind, file in (("f32", model), ("int8", int8)) for name in ["densight", *peers]})
    return result


def row(name, measured):
    network, exporter = name.rsplit(".", 1)
    ms = measured.get("ms", {})
    peers = ["onnxruntime"] + ["openvino"] * installed("openvino")

    def milliseconds(kind):
        return [f"{ms[key]:.1f}" if (key := f"{peer} {kind}") in ms else "–" for peer in ["densight", *peers]]

    number = lambda key, factor=1: f"{factor * measured[key]:.1f}" if key in measured else "–"
    cells = [network, exporter, number("share", 100), f"{measured['error']:.0e}", *milliseconds("f32"),
             number("int8_share", 100), number("int8_db"), number("int8_db_peer"), *milliseconds("int8")]
    return "| " + " | ".join(cells) + " |"


def page(args, rows):
    peers = ["ONNX Runtime"] + ["OpenVINO"] * installed("openvino")
    packages = ("onnxruntime", "openvino", "torch", "torchvision", "timm", "pytorchcv", "monai", "torchxrayvision")
    versions = ", ".join(f"{name} {version(name)}" for name in packages if installed(name))
    heads = ["network", "exporter", "in kernels, %", "f32 error", *(f"f32 ms, {name}" for name in ["Densight", *peers]),
             "int8, %", "int8 dB, Densight", "int8 dB, ONNX Runtime", *(f"int8 ms, {name}" for name in ["Densight", *peers])]
    template = (HERE / "networks.md").read_text()
    rust = call("rustc", "--version").split(" (")[0]
    kernel = executed(args, args.networks / names(args)[0] / "model.onnx")["nodes"][0]["kernel"]
    about = (f"{processor()} ({kernel}), one thread, {rust}, {date.today()}; {versions}. Medians of {args.rounds} rounds in turns, of the time that the "
             f"processor worked; int8 calibrated with {args.samples} pictures.")
    table = "\n".join(["| " + " | ".join(heads) + " |", "|---" * 2 + "|---:" * (len(heads) - 2) + "|", *rows])
    return template.replace("ABOUT", about).replace("TABLE", table)


def names(args):
    from make_networks import NETWORKS

    every = []
    for name in args.names or NETWORKS:
        network, _, exporter = name.partition(".")
        every += [f"{network}.{exporter}" for exporter in ([exporter] if exporter else NETWORKS[network].exporters)]
    return every


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--densight", required=True, type=Path, help="the program, built with --release")
    parser.add_argument("--networks", required=True, type=Path, help="folder of networks")
    parser.add_argument("--samples", type=int, default=32, help="pictures to calibrate with")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--turn", type=float, default=0.15, help="seconds of a turn")
    parser.add_argument("--f32-only", nargs="*", default=[], help="networks to compare in f32, without int8 and times")
    parser.add_argument("--again", action="store_true", help="quantize and measure again")
    parser.add_argument("--output", type=Path, help="write the page here")
    parser.add_argument("names", nargs="*", help="networks [default: all]")
    args = parser.parse_args()
    rows = []
    for name in names(args):
        folder = args.networks / name
        kept = folder / "measured.json"
        try:
            if not (folder / "y.npy").exists():
                call(sys.executable, ROOT / "tests/peers/make_networks.py", "--out", args.networks, name.rsplit(".", 1)[0])
            if args.again or not kept.exists():
                kept.write_text(json.dumps(measure(args, folder), indent=1))
            measured = json.loads(kept.read_text())
            rows.append(row(name, measured))
            print(rows[-1], *measured["left"][:1], flush=True)
        except RuntimeError as error:
            rows.append(f"| {name.replace('.', ' | ')} | {error} |")
            print(rows[-1], flush=True)
    if args.output:
        args.output.write_text(page(args, rows))


if __name__ == "__main__":
    main()
