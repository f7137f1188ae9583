"""Failing graphs as folders, made smaller."""

import concurrent.futures
import concurrent.futures.process
import pathlib

import numpy as np
import onnx

from . import case as cases
from . import shrink, verdict


def keep(args, found: list[tuple[int, verdict.Verdict]]):
    """Writes failing graphs: every wrong one and one of each other kind, as far as `--most` goes."""
    seen, chosen = set(), []
    for seed, result in sorted(found, key=lambda item: (item[1].kind != "wrong", item[1].kind == verdict.RARE)):
        signature = verdict.alike(result)
        if result.kind == "wrong" or signature not in seen:
            chosen.append((seed, result))
        seen.add(signature)
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for line in pool.map(lambda item: apart(args, *item), chosen[: args.most]):
            print(line, flush=True)


def apart(args, seed: int, result: verdict.Verdict) -> str:
    """`keep_one` in a process of its own: ONNX Runtime aborts at some of the graphs that are tried."""
    with concurrent.futures.ProcessPoolExecutor(1) as pool:
        try:
            return pool.submit(keep_one, args, seed, result).result()
        except concurrent.futures.process.BrokenProcessPool:
            return f"seed {seed}: {result.kind}, as small as it was when ONNX Runtime aborted"


def keep_one(args, seed: int, result: verdict.Verdict) -> str:
    """Writes and shrinks one failing graph; says what is left of it."""
    case = cases.make(seed, args.stock_ops)
    folder = args.keep / f"{'stock' if args.stock_ops else 'dense'}-{seed}-{result.kind}"
    write(folder, case, result)
    if not args.no_shrink:
        case = shrink.shrink(args.densight, case, result, args.strict, lambda *better: write(folder, *better))
    nodes = case.model.graph.node
    return f"seed {seed}: {result.kind} with {len(nodes)} nodes: {' '.join(node.op_type for node in nodes)[:200]}"


def write(folder: pathlib.Path, case: cases.Case, result: verdict.Verdict):
    """A failing case as files."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(case.model, folder / "model.onnx")
    np.save(folder / "x.npy", case.x)
    np.save(folder / "onnxruntime.npy", case.truth)
    nodes = "\n".join(describe(node) for node in case.model.graph.node)
    (folder / "CASE.txt").write_text(
        f"densight run model.onnx --input x.npy --output y.npy\n"
        f"Right: onnxruntime.npy, by ONNX Runtime without graph optimizations.\n"
        f"Found: {result.kind}: {result.detail}\n"
        f"Seed {case.seed}, opset {case.model.opset_import[0].version}.\n{nodes}\n"
    )


def describe(node: onnx.NodeProto) -> str:
    """A node on one line."""
    shown = []
    for attribute in node.attribute:
        tensor = attribute.type == onnx.AttributeProto.TENSOR
        shown.append(f"{attribute.name}={'...' if tensor else onnx.helper.get_attribute_value(attribute)}")
    return f"{', '.join(node.output)} = {node.op_type}({', '.join(node.input)}) {', '.join(shown)}".rstrip()
