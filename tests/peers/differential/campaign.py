"""Many seeds, some at a time, and the table of what came of them."""

import argparse
import collections
import concurrent.futures
import concurrent.futures.process
import itertools
import pathlib
import tempfile
import time

import numpy as np
import onnx

from . import case as cases
from . import keep, verdict

#: Seeds that are handed to a process at once.
BATCH = 20


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="differential.py",
        description="Random graphs through Densight and through ONNX Runtime without optimizations.",
    )
    parser.add_argument("densight", help="the program")
    parser.add_argument("--seeds", default="0:1000", metavar="A:B", help="one graph each (default %(default)s)")
    parser.add_argument("--minutes", type=float, help="go on from A for so long, whatever B is")
    parser.add_argument(
        "--stock-ops", action="store_true", help="networks of which much is left to tract"
    )
    parser.add_argument("--strict", action="store_true", help="no plain limit of 2 %% for quantized graphs")
    parser.add_argument("--keep", type=pathlib.Path, metavar="FOLDER", help="write failing graphs there, shrunk")
    parser.add_argument("--no-shrink", action="store_true", help="write them as they are")
    parser.add_argument(
        "--most", type=int, default=20, metavar="N", help="shrink at most so many (default %(default)s)"
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes (default %(default)s)")
    parser.add_argument(
        "--self-test",
        type=pathlib.Path,
        metavar="FOLDER",
        help="judge the cases of this folder instead: each has to be found wrong",
    )
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
    counts, found, close = collections.Counter(), [], 0
    for seed, result, quantized in results(args, seeds, end):
        counts["quantized" if quantized else "float", result.kind] += 1
        close += result.by_last_bits
        if result.kind in (*verdict.FAULTS, verdict.RARE):
            found.append((seed, result))
            print(f"seed {seed}: {result.kind}: {verdict.first_lines(result.detail)}", flush=True)
    seconds = time.monotonic() - start
    if args.keep:
        keep.keep(args, found)
    return table(counts, found, close, seconds)


def results(args, seeds, end: float):
    """What `one` gives for each seed, in the order they are done; no batch is begun after `end`."""
    batches = (batch for batch in iter(lambda: list(itertools.islice(seeds, BATCH)), []))
    how = (args.stock_ops, args.strict)
    finished = False
    while not finished:
        running: dict = {}
        try:
            with concurrent.futures.ProcessPoolExecutor(args.jobs) as pool:
                while True:
                    while len(running) < 2 * args.jobs and time.monotonic() < end and (batch := next(batches, None)):
                        running[pool.submit(several, args.densight, batch, *how)] = batch
                    if not running:
                        finished = True
                        break
                    done, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
                    for job in done:
                        found = job.result()
                        del running[job]
                        yield from found
        except concurrent.futures.process.BrokenProcessPool:
            # ONNX Runtime aborted in one of these, and took its process along.
            for seed in itertools.chain.from_iterable(running.values()):
                yield alone(args.densight, seed, *how)


def alone(binary: str, seed: int, stock: bool, strict: bool) -> tuple[int, verdict.Verdict, bool]:
    """`one` in a process of its own."""
    with concurrent.futures.ProcessPoolExecutor(1) as pool:
        try:
            return pool.submit(one, binary, seed, stock, strict).result()
        except concurrent.futures.process.BrokenProcessPool:
            return seed, verdict.Verdict("nothing"), False


def table(counts, found, close: int, seconds: float) -> int:
    """Prints what came out, gives the exit code."""
    kinds = ["ok", "wrong", "refused", "unclear", "panic", "hang", "nothing"]
    print(f"{'':10}" + "".join(f"{kind:>9}" for kind in kinds))
    for form in ("float", "quantized"):
        print(f"{form:10}" + "".join(f"{counts[form, kind]:9}" for kind in kinds))
    judged = sum(count for (_, kind), count in counts.items() if kind != "nothing")
    refused = sum(result.kind == verdict.RARE for _, result in found)
    faults = sum(result.bad for _, result in found)
    print(
        f"{judged} graphs in {seconds:.0f} s, {judged / max(seconds, 1e-9):.1f} graphs a second; "
        f"{faults} faults, {refused} refused ({100 * refused / max(judged, 1):.2f} %), "
        f"{close} ok by what last bits change"
    )
    for signature, count in collections.Counter(verdict.alike(r) for _, r in found if r.kind != "wrong").most_common():
        print(f"{count:6} {verdict.first_lines(signature, 1)}")
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
        print(f"{folder.name}: {result.kind} {verdict.first_lines(result.detail)}")
    print(f"{missed} not found")
    return int(missed > 0)
