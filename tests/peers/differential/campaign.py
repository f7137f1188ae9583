"""Many seeds, some at a time, and the table of what came of them."""

import argparse
import collections
import concurrent.futures
import itertools
import pathlib
import re
import tempfile
import time

import numpy as np
import onnx

from . import case as cases
from . import shrink, verdict

#: Seeds that are handed to a process at once.
BATCH = 20


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="differential.py", description="Random graphs through Densight and through ONNX Runtime without optimizations.")
    parser.add_argument("densight", help="the program")
    parser.add_argument("--seeds", default="0:1000", metavar="A:B", help="one graph each (default %(default)s)")
    parser.add_argument("--minutes", type=float, help="go on from A for so long, whatever B is")
    parser.add_argument("--stock-ops", action="store_true", help="networks that are not densely connected: tract's alone")
    parser.add_argument("--strict", action="store_true", help="no plain limit of 2 %% for quantized graphs")
    parser.add_argument("--keep", type=pathlib.Path, metavar="FOLDER", help="write failing graphs there, shrunk")
    parser.add_argument("--no-shrink", action="store_true", help="write them as they are")
    parser.add_argument("--most", type=int, default=20, metavar="N", help="shrink at most so many (default %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default %(default)s)")
    parser.add_argument("--self-test", type=pathlib.Path, metavar="FOLDER",
                        help="judge the cases of this folder instead: each has to be found wrong")
    args = parser.parse_args()
    if args.self_test:
        return self_test(args)
    return run(args)


def one(binary: str, seed: int, stock: bool, strict: bool) -> tuple[int, verdict.Verdict, bool]:
    """The verdict on a seed, and whether its graph is quantized."""
    case = cases.make(seed, stock)
    if case is None:
        return seed, verdict.Verdict("nothing"), False
    with tempfile.TemporaryDirectory(prefix="differential-") as folder:
        return seed, verdict.judge(binary, case, pathlib.Path(folder), strict), case.quantized


def several(binary: str, seeds: list[int], stock: bool, strict: bool):
    return [one(binary, seed, stock, strict) for seed in seeds]


def run(args) -> int:
    first, last = (int(n) for n in args.seeds.split(":"))
    seeds = itertools.count(first) if args.minutes else iter(range(first, last))
    start = time.monotonic()
    end = start + args.minutes * 60 if args.minutes else float("inf")
    counts, found = collections.Counter(), []
    with concurrent.futures.ProcessPoolExecutor(args.jobs) as pool:
        open_jobs = set()
        while True:
            while len(open_jobs) < 2 * args.jobs and time.monotonic() < end:
                batch = list(itertools.islice(seeds, BATCH))
                if not batch:
                    break
                open_jobs.add(pool.submit(several, args.densight, batch, args.stock_ops, args.strict))
            if not open_jobs:
                break
            done, open_jobs = concurrent.futures.wait(open_jobs, return_when=concurrent.futures.FIRST_COMPLETED)
            for seed, result, quantized in itertools.chain.from_iterable(job.result() for job in done):
                counts["quantized" if quantized else "float", result.kind] += 1
                if result.kind in (*verdict.FAULTS, verdict.RARE):
                    found.append((seed, result))
                    print(f"seed {seed}: {result.kind}: {first_lines(result.detail)}", flush=True)
    seconds = time.monotonic() - start
    if args.keep:
        keep(args, found)
    return table(counts, found, seconds)


def first_lines(text: str, lines: int = 3) -> str:
    return " | ".join(text.splitlines()[:lines])[:400]


def keep(args, found):
    """Writes one folder for each kind of failure, as far as `--most` goes."""
    seen = collections.Counter()
    for seed, result in sorted(found, key=lambda item: item[1].kind == verdict.RARE):
        signature = alike(result)
        seen[signature] += 1
        if seen[signature] > (3 if result.kind == "wrong" else 1) and result.kind != "wrong" or sum(seen.values()) > args.most:
            continue
        case = cases.make(seed, args.stock_ops)
        if not args.no_shrink:
            case = shrink.shrink(args.densight, case, result, args.strict)
        final = write(args.keep / f"{'stock' if args.stock_ops else 'dense'}-{seed}-{result.kind}", args.densight, case, args.strict)
        print(f"seed {seed}: {final.kind} with {len(case.model.graph.node)} nodes, "
              f"{' '.join(node.op_type for node in case.model.graph.node)[:200]}", flush=True)


def alike(result: verdict.Verdict) -> str:
    """The kind of a failure, without names and numbers."""
    if result.kind == "wrong":
        return "wrong"
    return result.kind + " " + re.sub(r"[a-z]+_\d+|\d+", "…", result.detail)[:120]


def write(folder: pathlib.Path, binary: str, case: cases.Case, strict: bool) -> verdict.Verdict:
    """A failing case as files."""
    folder.mkdir(parents=True, exist_ok=True)
    result = verdict.judge(binary, case, folder, strict)
    np.save(folder / "onnxruntime.npy", case.truth)
    onnx.save(case.model, folder / "model.onnx")
    nodes = "\n".join(describe(node) for node in case.model.graph.node)
    said = f"Densight's is in y.npy.\n" if (folder / "y.npy").exists() else ""
    (folder / "CASE.txt").write_text(
        f"densight run model.onnx --input x.npy --output y.npy\n"
        f"Right: onnxruntime.npy, by ONNX Runtime without graph optimizations. {said}"
        f"Found: {result.kind}: {result.detail}\nSeed {case.seed}, opset {case.model.opset_import[0].version}.\n{nodes}\n")
    return result


def describe(node: onnx.NodeProto) -> str:
    value = lambda a: "..." if a.type == onnx.AttributeProto.TENSOR else onnx.helper.get_attribute_value(a)
    attributes = ", ".join(f"{a.name}={value(a)}" for a in node.attribute)
    return f"{', '.join(node.output)} = {node.op_type}({', '.join(node.input)}) {attributes}".rstrip()


def table(counts, found, seconds: float) -> int:
    """Prints what came out, gives the exit code."""
    kinds = ["ok", "wrong", "refused", "unclear", "panic", "hang", "nothing"]
    print(f"{'':10}" + "".join(f"{kind:>9}" for kind in kinds))
    for form in ("float", "quantized"):
        print(f"{form:10}" + "".join(f"{counts[form, kind]:9}" for kind in kinds))
    judged = sum(count for (_, kind), count in counts.items() if kind != "nothing")
    refused = sum(result.kind == verdict.RARE for _, result in found)
    faults = sum(result.bad for _, result in found)
    print(f"{judged} graphs in {seconds:.0f} s, {judged / max(seconds, 1e-9):.1f} graphs a second; "
          f"{faults} faults, {refused} refused ({100 * refused / max(judged, 1):.2f} %)")
    for signature, count in collections.Counter(alike(r) for _, r in found if r.kind != "wrong").most_common():
        print(f"{count:6} {first_lines(signature, 1)}")
    return int(faults > 0 or refused >= 0.01 * max(judged, 1))


def self_test(args) -> int:
    """Whether the criterion finds cases that are known to be wrong, with a program that has their faults."""
    missed = 0
    for folder in sorted(path for path in args.self_test.iterdir() if (path / "model.onnx").exists()):
        model = onnx.load(folder / "model.onnx")
        truth = next(folder / name for name in ("onnxruntime.npy", "y.npy") if (folder / name).exists())
        quantized = any("QuantizeLinear" in n.op_type or n.op_type.startswith("QLinear") for n in model.graph.node)
        case = cases.Case(0, model, np.load(folder / "x.npy"), np.load(truth), quantized)
        with tempfile.TemporaryDirectory(prefix="differential-") as scratch:
            result = verdict.judge(args.densight, case, pathlib.Path(scratch), args.strict)
        missed += not result.bad
        print(f"{folder.name}: {result.kind} {first_lines(result.detail)}")
    print(f"{missed} not found")
    return int(missed > 0)
