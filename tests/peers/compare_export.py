"""Compare networks that `densight export` writes, and what `densight run` makes of them, with PyTorch and ONNX Runtime.

Pass "fresh" takes the weights Densight draws (seed 7) and loads them into PyTorch by name; pass "norms" gives
Densight a .safetensors file whose norms are all non-trivial. The error of a pair is max|a-b| / max|b| of an image,
the largest of four images. Exits 1 if any is above 1e-4, and stops at the first name, shape or weight that differs.
"""

import argparse
import json
import pathlib
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import torch
from safetensors.torch import save_file

import reference

LIMIT = 1e-4
# Name, config, whether `densight export` knows it as a preset.
NETWORKS = [
    ("densenet-bc-40-12", reference.PRESETS["densenet-bc-40-12"], True),
    ("densenet121", reference.PRESETS["densenet121"], True),
    ("odd", reference.ODD, False),
    ("densenet-40-12", reference.PRESETS["densenet-40-12"], True),
]


def call(*command):
    """Run a command; on failure show what it said and stop."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\nexited {done.returncode}:\n{done.stdout}{done.stderr}")


def densight_run(densight, model, x, folder):
    """What `densight run` makes of one input; the files are left in `folder`."""
    x_path, y_path = folder / "x.npy", folder / "y.npy"
    np.save(x_path, x)
    y_path.unlink(missing_ok=True)
    call(densight, "run", model, "--input", x_path, "--output", y_path)
    return np.load(y_path)


def load_by_name(net, onnx_path):
    """Check the ONNX file and load its initializers into `net`: every name must be there, and no other."""
    onnx.checker.check_model(str(onnx_path), full_check=True)
    tensors = {t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy())
               for t in onnx.load(onnx_path).graph.initializer}
    counters = {k: v for k, v in net.state_dict().items() if k.endswith("num_batches_tracked")}
    missing, extra = net.state_dict().keys() - counters.keys() - tensors.keys(), tensors.keys() - net.state_dict().keys()
    if missing or extra:
        sys.exit(f"{onnx_path}: {len(missing)} missing, as {min(missing, default=None)};"
                 f" {len(extra)} unknown, as {min(extra, default=None)}")
    net.load_state_dict({**counters, **tensors}, strict=True)


def error(a, b):
    """Largest max|a-b| / max|b| of an image; NaN if either holds one."""
    assert a.shape == b.shape and a.dtype == b.dtype == np.float32, (a.shape, a.dtype, b.shape, b.dtype)
    return float((np.abs(a - b).max(1) / np.abs(b).max(1)).max())


def compare(densight, out, name, config, preset, norms):
    """One network in one pass: (errors of the three pairs, smallest difference between two images' logits)."""
    net, stem = reference.model(config), out / f"{name}-{'norms' if norms else 'fresh'}"
    model, config_path = stem.with_suffix(".onnx"), stem.with_suffix(".json")
    config_path.write_text(json.dumps(config, indent=1))
    if norms:
        weights = stem.with_suffix(".safetensors")
        given = {k: v.clone() for k, v in reference.randomise(net, 7).state_dict().items()}
        save_file(given, weights)
        call(densight, "export", "--config", config_path, "--weights", weights, "-o", model)
    else:
        what = ["--preset", name] if preset else ["--config", config_path]
        call(densight, "export", *what, "--seed", 7, "-o", model)
    load_by_name(net, model)
    if norms:
        for k, v in net.state_dict().items():
            assert torch.equal(v, given[k]), f"{name}: {k} is not what --weights gave"
    side = config["input_size"]
    x = reference.images((4, 3, side, side), 1)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    assert len(session.get_inputs()) == 1 and len(session.get_outputs()) == 1
    input_name, singles = session.get_inputs()[0].name, [x[i:i + 1] for i in range(len(x))]
    mine = np.concatenate([densight_run(densight, model, one, out) for one in singles])
    ort = np.concatenate([session.run(None, {input_name: one})[0] for one in singles])
    truth = reference.logits(net, x)
    apart = min(error(truth[i:i + 1], truth[j:j + 1]) for i in range(4) for j in range(i))
    return (error(mine, truth), error(mine, ort), error(ort, truth)), apart


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--densight", required=True, type=pathlib.Path, help="the densight program")
    args.add_argument("--out", required=True, type=pathlib.Path, help="folder for the files made")
    args = args.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    print(f"{'network':18} {'weights':7} {'densight/torch':>15} {'densight/ort':>13} {'ort/torch':>10} {'images apart':>13}")
    good = True
    for name, config, preset in NETWORKS:
        for norms in (False, True):
            errors, apart = compare(args.densight, args.out, name, config, preset, norms)
            # Were two images' logits nearly the same, agreement would show little.
            fine = all(e <= LIMIT for e in errors) and apart > 20 * LIMIT
            good &= fine
            print(f"{name:18} {'norms' if norms else 'fresh':7} {errors[0]:15.1e} {errors[1]:13.1e} {errors[2]:10.1e}"
                  f" {apart:13.1e}{'' if fine else '  TOO FAR'}", flush=True)
    print(f"all within {LIMIT:g}" if good else f"FAILED: above {LIMIT:g}, or images that hardly differ")
    return not good


if __name__ == "__main__":
    sys.exit(main())
