"""The table of docs/networks.md: networks that people have, in Densight and ONNX Runtime.

    python benches/peers/networks.py --densight target/release/densight --networks FOLDER --output docs/networks.md

`FOLDER` is what tests/peers/make_networks.py and make_old_networks.py write; the first is run where a network of it is missing, the second
needs Pythons of its own. An int8 model of each is made by `densight quantize` and kept there. What was measured is kept in
`FOLDER/NAME/measured.json`, and measured again with `--again`. On a busy machine `--no-times` does all but the times, which a later call adds.
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

import make_networks
import make_old_networks
from exported_networks import answer as onnxruntime_answer


class Busy(Runner):
    """A runner whose times are those that the processor worked for it, but for the first run of each turn."""

    def busy(self):
        threads = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9

    def turn(self, count):
        # What the others had put out of the caches comes back first.
        super().turn(1)
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


def answer(args, model, folder):
    call(args.densight, "run", model, "--input", folder / "inputs.npy", "--output", folder / "found.npy")
    return np.load(folder / "found.npy")


def executed(args, model):
    return json.loads(call(args.densight, "inspect", model, "--executed", "--json"))["executed"]


def kernel_share(executed):
    """Share of the multiply-adds in Densight's kernels."""
    ours = sum(node["macs"] for node in executed["nodes"] if node["kernel"] != "tract")
    return ours / max(1, sum(node["macs"] for node in executed["nodes"]))


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


def scores(args, folder, network):
    """All but times."""
    model, int8, inputs = folder / "model.onnx", folder / "int8.onnx", network.inputs(args.pictures, seed=2)
    np.save(folder / "inputs.npy", inputs)
    found, right = executed(args, model), onnxruntime_answer(model, inputs)
    result = {"share": kernel_share(found), "left": [f"{left['op']}: {left['reason']}" for left in found["left"]]}
    result["error"] = float(abs(answer(args, model, folder) - right).max() / abs(right).max())
    if folder.name.partition(".")[0] in args.f32_only or folder.name in args.f32_only:
        return result
    if args.again or not int8.exists():
        call(args.densight, "quantize", model, "--images", args.networks / "pictures", "--samples", args.samples, "--check", 0, "--no-sensitivity", "-o", int8)
    # The preprocessing is the same, and in the file.
    result["int8_share"] = executed(args, int8)["int8_share"]
    result["int8_db"] = decibels(answer(args, int8, folder), right)
    try:
        result["int8_db_peer"] = decibels(onnxruntime_answer(int8, inputs, optimized=True), right)
    except Exception as error:
        print(f"  not run: ONNX Runtime int8: {str(error).splitlines()[:1]}", file=sys.stderr)
    return result


def measure(args, folder, network):
    kept = folder / "measured.json"
    result = json.loads(kept.read_text()) if kept.exists() and not args.again else scores(args, folder, network)
    if "int8_db" in result and "ms" not in result and not args.no_times:
        model, int8, x = folder / "model.onnx", folder / "int8.onnx", folder / "x.npy"
        own = lambda file: ([args.densight, "bench", file, "--serve", "--warmup", "0", "--threads", 1], False)
        peer = lambda engine, file: ([sys.executable, HERE / "runner.py", engine, file, x, 1], True)
        peers = ["onnxruntime"] + ["openvino"] * installed("openvino")
        result["ms"] = times(args, {f"{name} {kind}": own(file) if name == "densight" else peer(name, file)
                                    for kind, file in (("f32", model), ("int8", int8)) for name in ["densight", *peers]})
    kept.write_text(json.dumps(result, indent=1))
    return result


def row(name, measured):
    network, _, exporter = name.partition(".")
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
    kernel = executed(args, args.networks / next(iter(networks(args))) / "model.onnx")["nodes"][0]["kernel"]
    about = (f"{processor()} ({kernel}), one thread, {rust}, {date.today()}; {versions}. Medians of {args.rounds} rounds in turns, of the time that the "
             f"processor worked; int8 calibrated with {args.samples} pictures.")
    table = "\n".join(["| " + " | ".join(heads) + " |", "|---" * 2 + "|---:" * (len(heads) - 2) + "|", *rows])
    return template.replace("ABOUT", about).replace("TABLE", table)


def networks(args):
    """Networks by their names and exporters."""
    every, tables = {}, (make_networks.NETWORKS, make_old_networks.NETWORKS)
    for name in dict.fromkeys([*tables[0], *tables[1]]):
        for table in tables:
            if name in table:
                every |= {f"{name}.{exporter}": table[name] for exporter in table[name].exporters}
    return {name: network for name, network in every.items() if not args.names or {name, name.partition(".")[0]} & set(args.names)}


def make(args, name):
    """Makes a network that is missing, if its exporter needs no Python of its own."""
    network, _, exporter = name.partition(".")
    if exporter in ("torchscript", "dynamo"):
        call(sys.executable, ROOT / "tests/peers/make_networks.py", "--out", args.networks, network)
    else:
        raise RuntimeError(f"missing: tests/peers/make_old_networks.py makes it with requirements-networks-{exporter}.txt")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--densight", required=True, type=Path, help="the program, built with --release")
    parser.add_argument("--networks", required=True, type=Path, help="folder of networks")
    parser.add_argument("--samples", type=int, default=32, help="pictures to calibrate with")
    parser.add_argument("--pictures", type=int, default=8, help="pictures to compare scores on")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--turn", type=float, default=0.15, help="seconds of a turn")
    parser.add_argument("--f32-only", nargs="*", default=[], help="networks to compare in f32, without int8 and times")
    parser.add_argument("--no-times", action="store_true", help="shares, errors and int8 files only")
    parser.add_argument("--again", action="store_true", help="quantize and measure again")
    parser.add_argument("--output", type=Path, help="write the page here")
    parser.add_argument("names", nargs="*", help="networks [default: all]")
    args = parser.parse_args()
    rows = []
    for name, network in networks(args).items():
        folder = args.networks / name
        try:
            if not (folder / "y.npy").exists():
                make(args, name)
            measured = measure(args, folder, network)
            rows.append(row(name, measured))
            print(rows[-1], *measured["left"][:1], flush=True)
        except RuntimeError as error:
            rows.append(f"| {name.replace('.', ' | ', 1)} | {error} |")
            print(rows[-1], flush=True)
    if args.output:
        args.output.write_text(page(args, rows))


if __name__ == "__main__":
    main()
