"""Densight beside other runtimes: all of them loaded, taking turns on the same input.

    python benches/peers/run.py --densight target/release/densight --models FOLDER --output table.md

`FOLDER` holds `NETWORK.onnx` (float), `NETWORK.qdq_u8.onnx` and `NETWORK.qop_u8.onnx` (quantized by ONNX Runtime), and an array of
pictures for each network named in NETWORKS; int8 models by `densight quantize` and NNCF are made in `--work` and kept there.
`--gpu` measures what runs on an NVIDIA GPU instead; Densight is to be built with CUDA.
Each round gives every engine one turn, in an order of chance; a turn is as many runs as take about `--turn` seconds.
"""

import argparse
import json
import platform
import random
import statistics
import subprocess
import sys
import time
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent

# Network, and its pictures: u8 [n, side, side, 3].
NETWORKS = {"densenet121": "eval_224.npy", "densenet_bc100_12": "eval_32.npy"}
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


class Runner:
    """A process that runs on demand."""

    def __init__(self, name, command, reports):
        self.name, self.times = name, []
        start = time.perf_counter()
        pipe = subprocess.PIPE
        command = [str(part) for part in command]
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        if reports:
            self.report = json.loads(self.line())
        else:
            # Densight itself: all of the process, from its start on.
            self.turn(1)
            self.report = {"load": time.perf_counter() - start, "memory": self.most_memory()}

    def most_memory(self):
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))

    def line(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name}: {self.process.stderr.read().strip().splitlines()[-1:]}")
        return line

    def turn(self, count):
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        return float(self.line()) / count

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def prepare_inputs(pictures, target):
    """The network's inputs, and the pictures as files."""
    if not target.exists():
        from PIL import Image

        folder = target.with_suffix("")
        folder.mkdir(exist_ok=True)
        array = np.load(pictures)
        for number, picture in enumerate(array):
            Image.fromarray(picture).save(folder / f"{number:03}.png")
        np.save(target, ((array / 255 - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32))


def nncf_model(model, inputs, target):
    """The float model quantized by NNCF, as OpenVINO's users do it."""
    if not target.exists():
        import nncf
        import openvino as ov

        data = [x[None] for x in np.load(inputs)]
        quantized = nncf.quantize(ov.Core().read_model(model), nncf.Dataset(data), subset_size=len(data))
        ov.save_model(quantized, target)


def own_model(densight, model, inputs, target):
    """The float model quantized by Densight, with the same pictures."""
    if not target.exists():
        command = [densight, "quantize", model, "--images", inputs.with_suffix(""), "--check", "0", "-o", target]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def gpu_engines(args, network, batch):
    """The same, of everything that runs on a GPU."""
    model, inputs = Path(args.models) / f"{network}.onnx", Path(args.work) / f"{network}.inputs.npy"
    prepare_inputs(Path(args.models) / NETWORKS[network], inputs)
    densight = [args.densight, "bench", model, "--serve", "--warmup", "10", "--device", "cuda", "--batch", batch]
    other = lambda engine: [sys.executable, HERE / "runner.py", engine, model, inputs, batch]
    # Where no plan fits, tract would run the network under Densight's name.
    listing = [args.densight, "inspect", model, "--executed", "--device", "cuda"]
    if "densight cuda" in subprocess.run(listing, capture_output=True, text=True).stdout:
        yield "Densight f16", densight, False
    else:
        print(f"not run: Densight f16 ({network}): its kernels do not run here", file=sys.stderr)
    yield "tract-cuda f32", [*densight, "--stock"], False
    yield "PyTorch f16", other("torch_eager"), True
    yield "PyTorch f16, CUDA graph", other("torch_graph"), True
    yield "PyTorch f16, compiled", other("torch_compile"), True
    if batch == 1:
        # The files' batch is 1.
        yield "ONNX Runtime f32, CUDA", other("onnxruntime_cuda"), True


def engines(args, network, threads):
    """Name, command and whether it reports, of everything that can be run."""
    folder, work = Path(args.models), Path(args.work)
    float_model = folder / f"{network}.onnx"
    inputs, nncf, own = (work / f"{network}.{ending}" for ending in ("inputs.npy", "nncf.xml", "densight.onnx"))
    prepare_inputs(folder / NETWORKS[network], inputs)
    nncf_model(float_model, inputs, nncf)
    own_model(args.densight, float_model, inputs, own)
    qdq, qop = folder / f"{network}.qdq_u8.onnx", folder / f"{network}.qop_u8.onnx"
    prepared = work / f"{network}.densight"
    subprocess.run([args.densight, "prepare", own, "-o", prepared], check=True)
    serve = ["--serve", "--warmup", "0", "--threads", threads]
    densight = lambda *model: [args.densight, "bench", *model, *serve]
    other = lambda engine, model: [sys.executable, HERE / "runner.py", engine, model, inputs, threads]
    yield "Densight int8 (its own file)", densight(own), False
    yield "Densight int8 (that, prepared)", densight(prepared), False
    yield "Densight int8 (QDQ)", densight(qdq), False
    yield "OpenVINO int8 (NNCF)", other("openvino", nncf), True
    yield "OpenVINO int8 (QDQ)", other("openvino", qdq), True
    yield "ONNX Runtime int8 (QDQ)", other("onnxruntime", qdq), True
    yield "ONNX Runtime int8 (QOperator)", other("onnxruntime", qop), True
    yield "Densight f32", densight(float_model), False
    yield "OpenVINO f32", other("openvino", float_model), True
    yield "ONNX Runtime f32", other("onnxruntime", float_model), True
    yield "tract f32", densight(float_model, "--stock"), False
    for engine, ending in (("ncnn", "param"), ("litert", "tflite")):
        for kind in ("int8", "f32"):
            model = work / f"{network}.{kind}.{ending}"
            if model.exists():
                yield f"{engine} {kind}", other(engine, model.with_suffix("") if engine == "ncnn" else model), True
            else:
                print(f"not run: {engine} {kind} ({network}): no {model.name} in {work}", file=sys.stderr)


def measure(args, network, number):
    runners = []
    for name, command, reports in (gpu_engines if args.gpu else engines)(args, network, number):
        if name.startswith(tuple(args.without)):
            continue
        try:
            runners.append(Runner(name, command, reports))
        except RuntimeError as error:
            print(f"not run: {error}", file=sys.stderr)
        except BrokenPipeError:
            print(f"not run: {name}: it ended at once", file=sys.stderr)
    counts = {runner: max(1, round(args.turn / runner.turn(1))) for runner in runners}
    for _ in range(args.rounds):
        for runner in random.sample(runners, len(runners)):
            runner.times.append(runner.turn(counts[runner]))
    for runner in runners:
        runner.close()
    return runners


def table(title, runners):
    if not runners:
        return f"### {title}: nothing could be run\n"
    base = statistics.median(runners[0].times)
    reference = next((r.report["scores"] for r in runners if r.name == "ONNX Runtime f32"), None)
    lines = [f"### {title}", ""]
    lines += ["| engine | median, ms | least, ms | times the first | load, s | memory, MiB | cosine |", "|---|---|---|---|---|---|---|"]
    for r in runners:
        middle, least = statistics.median(r.times) * 1e3, min(r.times) * 1e3
        cosine = "–"
        if "scores" in r.report and reference:
            a, b = np.array(r.report["scores"]), np.array(reference)
            cosine = f"{a @ b / np.linalg.norm(a) / np.linalg.norm(b):.4f}"
        more = f"{r.report['load']:.3f} | {r.report['memory']:.0f} | {cosine}"
        lines.append(f"| {r.name} | {middle:.2f} | {least:.2f} | {middle / base / 1e3:.2f} | {more} |")
    return "\n".join(lines) + "\n"


def processor():
    with open("/proc/cpuinfo") as file:
        return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), platform.machine())


def installed(name):
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--densight", required=True, help="the program, built with --release")
    parser.add_argument("--models", required=True, help="folder of networks and inputs")
    parser.add_argument("--work", default="target/peers", help="folder for models that are made")
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--threads", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--gpu", action="store_true", help="what runs on an NVIDIA GPU, one picture at a time and 32; times are those of all")
    parser.add_argument("--without", nargs="*", default=[], help="engines not to run, by how their names begin")
    parser.add_argument("--rounds", type=int, default=14)
    parser.add_argument("--turn", type=float, default=0.15, help="seconds of a turn")
    parser.add_argument("--output", help="write the table here, too")
    args = parser.parse_args()
    Path(args.work).mkdir(parents=True, exist_ok=True)
    packages = ("torch", "onnxruntime-gpu") if args.gpu else ("openvino", "nncf", "onnxruntime")
    versions = ", ".join(f"{name} {version(name)}" for name in packages if installed(name))
    text = f"{processor()}, {date.today()}, {versions}; medians of {args.rounds} rounds.\n\n"
    for network in args.networks:
        for number in [1, 32] if args.gpu else args.threads:
            what = "batch" if args.gpu else "threads:"
            text += table(f"{network}, {what} {number}", measure(args, network, number)) + "\n"
            time.sleep(1)
    print(text)
    if args.output:
        Path(args.output).write_text(text)


if __name__ == "__main__":
    main()
