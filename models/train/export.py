"""The trained weights as an ONNX file, written by Densight itself."""

import json
import subprocess
from pathlib import Path


def program(args):
    """The program densight; `None` where it was not built."""
    built = Path(__file__).parents[2] / "target/release/densight"
    path = args.densight or built
    return path if path.exists() else None


def command(args, trainer, densight):
    """How the file is written; also what to type where the program is elsewhere."""
    definition = args.out / "config.json"
    definition.write_text(json.dumps(trainer.network.config.as_json()))
    values = lambda numbers: ",".join(str(v) for v in numbers)
    return [
        str(densight), "export", "--config", str(definition), "--input-size", str(args.size),
        "--weights", str(args.out / "weights.safetensors"), "--labels", str(args.out / "labels.txt"),
        "--name", args.name or args.out.name, "--resize", "crop", "--crop", "1",
        "--mean", values(trainer.mean), "--std", values(trainer.std), "-o", str(args.out / "model.onnx"),
    ]


def onnx(args, trainer):
    """Writes model.onnx, or says how."""
    densight = program(args)
    words = command(args, trainer, densight or "densight")
    if densight is None:
        print("no ONNX file was written, as densight is not built here (cargo build --release). Then:\n    " + " ".join(words))
        return
    subprocess.run(words, check=True)
