"""Densight's answer to a graph, and whether it is right."""

import dataclasses
import pathlib
import re
import subprocess

import numpy as np
import onnx

from . import oracle
from .case import Case

#: Seconds after which Densight hangs.
PATIENCE = 20
#: What is not to happen at all, and what is to be rare.
FAULTS, RARE = ("wrong", "panic", "hang", "unclear"), "refused"


@dataclasses.dataclass
class Verdict:
    """`kind` is ok, wrong, refused, unclear (refused without naming a node, or in more than a line), panic, or hang."""

    kind: str
    detail: str = ""
    #: Largest difference by largest value, and what would have been tolerated.
    distance: float = 0.0
    tolerated: float = 0.0

    @property
    def by_last_bits(self) -> bool:
        """Whether it is right only as far as last bits decide."""
        return self.kind == "ok" and bool(self.detail)

    @property
    def bad(self) -> bool:
        return self.kind in FAULTS


def judge(binary: str, case: Case, folder: pathlib.Path, strict: bool = False) -> Verdict:
    """Runs Densight on a case, with files in `folder`."""
    model, x, y = folder / "model.onnx", folder / "x.npy", folder / "y.npy"
    model.write_bytes(case.model.SerializeToString())
    np.save(x, case.x)
    y.unlink(missing_ok=True)
    command = [binary, "run", str(model), "--input", str(x), "--output", str(y)]
    if case.seed % 8 == 0:
        command += ["--threads", "3"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return Verdict("hang", f"longer than {PATIENCE} s")
    said = done.stderr.decode(errors="replace").strip().replace(str(folder), "")
    if done.returncode not in (0, 1):
        return Verdict("panic", f"exit code {done.returncode}: {said}")
    if done.returncode == 1:
        named = "\n" not in said and _names_a_node(said, case.model)
        return Verdict("refused" if named else "unclear", said)
    return compare(case, np.load(y), strict)


def compare(case: Case, ours: np.ndarray, strict: bool) -> Verdict:
    """Whether `ours` is the case's answer."""
    distance = oracle.distance(ours, case.truth)
    plain = oracle.QUANTIZED_LIMIT if case.quantized and not strict else oracle.FLOAT_LIMIT
    if ours.shape != case.truth.shape:
        return Verdict("wrong", f"its extents are {ours.shape}, not {case.truth.shape}", float("inf"), plain)
    if distance <= plain:
        return Verdict("ok", "", distance, plain)
    tolerated = oracle.tolerated(case, distance, strict)
    if distance <= tolerated:
        return Verdict("ok", "within what last bits change", distance, tolerated)
    return Verdict(
        "wrong", f"off by {distance:.3g} of the largest value, {tolerated:.3g} is tolerated", distance, tolerated
    )


def _names_a_node(said: str, model: onnx.ModelProto) -> bool:
    names = {name for node in model.graph.node for name in [node.name, *node.output] if name}
    return any(name in said for name in names)


def alike(result: Verdict) -> str:
    """The kind of a failure, without names and numbers."""
    if result.kind == "wrong":
        return "wrong extents" if result.distance == float("inf") else "wrong"
    return result.kind + " " + re.sub(r"[a-z]+_\d+|\d+", "…", result.detail)[:120]


def first_lines(text: str, lines: int = 3) -> str:
    """The beginning of a text, on one line."""
    return " | ".join(text.splitlines()[:lines])[:400]
