"""Write int8 DenseNets made by other tools, ONNX Runtime's quantize_static and Intel's NNCF, in many of their forms.

Without arguments: the tiny fixtures of tests/fixtures/quantized again (see README.md). With --out DIR: more and
larger ones, DIR/NAME/{float.onnx,quant.onnx,io.npz} and DIR/index.json, for trying an importer; names given after
it choose some. Some of these start from the networks of a folder given with --models and are left out without it.
"""

import argparse
import collections
import json
import logging
import os
import pathlib
import shutil
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime import quantization as q
from onnxruntime.quantization.shape_inference import quant_pre_process

import onnx_densenet

ACTIVATIONS = {  # type, symmetric
    "u8": (q.QuantType.QUInt8, False), "u8 symmetric": (q.QuantType.QUInt8, True),
    "s8": (q.QuantType.QInt8, False), "s8 symmetric": (q.QuantType.QInt8, True),
    "u16": (q.QuantType.QUInt16, False),
}
WEIGHTS = {  # type, per channel
    "s8 per channel": (q.QuantType.QInt8, True), "s8": (q.QuantType.QInt8, False),
    "u8 per channel": (q.QuantType.QUInt8, True), "u8": (q.QuantType.QUInt8, False),
}


def network(**options):
    return options


def quantized(format="QDQ", activations="u8", weights="s8 per channel", pre=True, only=None, method="MinMax",
              reduce_range=False, opset=None, **extra):
    """How quantize_static is called: only some operator types, after pre-processing or not, extra options by name.

    `opset` rewrites the result's version: quantize_static raises 10 to 11, which changed no operator used here.
    """
    return dict(tool="ort", format=format, activations=activations, weights=weights, pre=pre, only=only,
                method=method, reduce_range=reduce_range, opset=opset, extra=extra)


def nncf_quantized(preset="PERFORMANCE", **options):
    """How nncf.quantize is called."""
    return dict(tool="nncf", preset=preset, **options)


LARGE = network(stem="large", blocks=(2, 2, 2), side=64)
PLAIN = network(bottleneck=False, compression=1.0)
MID = network(growth=12, blocks=(3, 4), init=24, classes=10, side=32)
RESIDUAL = network(layers="residual", fold=True)
K10 = network(growth=10, blocks=(3, 5), init=20, side=16)
BC100 = "densenet_bc100_12"

# Tiny networks, at most 60 KB each as a file: one of each form.
FIXTURES = {
    "qdq-u8": (network(), quantized()),
    "qdq-s8-raw": (network(batch="batch"), quantized(activations="s8 symmetric", pre=False)),
    "qop-u8": (network(batch="batch"), quantized("QOperator")),
    "qop-muladd": (network(norm="c11", head="gemm-plain", pool="mean"), quantized("QOperator", weights="s8")),
    "conv-only-flat": (network(concat="flat", growth=5, head="conv"), quantized(only=["Conv"])),
    "nncf-mixed": (network(flat="reshape"), nncf_quantized("MIXED")),
    "weights-u8": (network(head="matmul", flat="view"), quantized(weights="u8", pre=False)),
    "large-stem": (network(stem="large", growth=5, side=32), quantized(activations="s8")),
    "plain": (network(head="matmul", pool="average", flat="reshape") | PLAIN, quantized("QOperator", pre=False)),
    "opset10": (network(opset=10, pool="average", flat="squeeze"), quantized(weights="s8", pre=False, opset=10)),
    "residual-qdq": (RESIDUAL, quantized()),
    # With all 8 bits of u8 times s8, sums of ONNX Runtime saturate on processors without VNNI.
    "residual-qop": (RESIDUAL, quantized("QOperator", reduce_range=True)),
    "gated-qdq": (RESIDUAL | network(layers="gated"), quantized()),
    "gated-qop": (RESIDUAL | network(layers="gated"), quantized("QOperator", activations="s8")),
    "constant-nodes": (network(growth=4, constants="node", attributes="few", identity=True), quantized(pre=False)),
}

VARIANTS = {
    # The common forms on one network.
    "qdq-u8": (MID, quantized()),
    "qdq-s8-symmetric": (MID, quantized(activations="s8 symmetric")),
    "qdq-s8": (MID, quantized(activations="s8")),
    "qdq-u8-symmetric": (MID, quantized(activations="u8 symmetric")),
    "qdq-per-tensor": (MID, quantized(weights="s8")),
    "qdq-weights-u8": (MID, quantized(weights="u8")),
    "qdq-weights-u8-per-channel": (MID, quantized(weights="u8 per channel")),
    "qdq-raw": (MID, quantized(pre=False)),
    "qop-u8": (MID, quantized("QOperator")),
    "qop-u8-weights-u8": (MID, quantized("QOperator", weights="u8")),
    "qop-s8": (MID, quantized("QOperator", activations="s8")),
    "qop-s8-symmetric": (MID, quantized("QOperator", activations="s8 symmetric")),
    "qop-raw": (MID, quantized("QOperator", pre=False)),
    "qop-muladd": (MID | network(norm="c11"), quantized("QOperator")),
    "qop-muladd-1c11-per-tensor": (K10 | network(norm="1c11", head="matmul", pool="mean"),
                                   quantized("QOperator", weights="s8")),
    "nncf-performance": (MID, nncf_quantized()),
    "nncf-mixed": (MID, nncf_quantized("MIXED")),
    # Only some operators.
    "qdq-conv-only": (MID, quantized(only=["Conv"])),
    "qdq-conv-gemm": (MID, quantized(only=["Conv", "Gemm", "MatMul"])),
    "qdq-conv-matmul": (K10 | network(head="matmul"), quantized(only=["Conv", "MatMul"], activations="s8 symmetric")),
    "qop-conv-only": (MID, quantized("QOperator", only=["Conv"])),
    "qop-conv-gemm": (K10, quantized("QOperator", only=["Conv", "Gemm"])),
    "qdq-conv-concat-relu": (K10, quantized(only=["Conv", "Concat", "Relu", "Gemm"], pre=False)),
    # Options.
    "qdq-reduce-range": (MID, quantized(reduce_range=True)),
    "qdq-keep-relu": (MID, quantized(QDQKeepRemovableActivations=True)),
    "qdq-float-bias": (MID, quantized(QuantizeBias=False)),
    "qdq-dedicated": (MID, quantized(DedicatedQDQPair=True)),
    "qdq-forced": (K10, quantized(ForceQuantizeNoInputCheck=True)),
    "qdq-weight-pairs": (K10, quantized(AddQDQPairToWeight=True)),
    "qdq-tensorrt-style": (K10, quantized(only=["Conv", "Gemm", "Add"], activations="s8 symmetric",
                                          AddQDQPairToWeight=True, DedicatedQDQPair=True, QuantizeBias=False,
                                          OpTypesToExcludeOutputQuantization=["Conv", "Gemm", "Add"])),
    "qdq-contrib-domain": (K10, quantized(UseQDQContribOps=True)),
    "qdq-asymmetric-weights": (K10, quantized(weights="s8", WeightSymmetric=False)),
    "qdq-percentile": (MID, quantized(method="Percentile", CalibPercentile=99.9)),
    "qdq-entropy": (K10, quantized(method="Entropy")),
    "qdq-u16": (K10, quantized(activations="u16")),
    # Networks.
    "large-stem-qdq": (LARGE, quantized()),
    "large-stem-qdq-raw": (LARGE, quantized(pre=False)),
    "large-stem-qop": (LARGE, quantized("QOperator")),
    "large-stem-folded-qop": (LARGE | network(fold=True), quantized("QOperator", pre=False)),
    "large-stem-nncf": (LARGE, nncf_quantized()),
    "large-stem-padded": (LARGE | network(stem="padded", attributes="few"), quantized()),
    "flat-qdq": (K10 | network(concat="flat", batch="batch"), quantized()),
    "flat-qop": (K10 | network(concat="flat", batch="batch"), quantized("QOperator", pre=False)),
    "flat-nncf": (K10 | network(concat="flat", batch="batch"), nncf_quantized("MIXED")),
    "plain-qdq": (K10 | PLAIN, quantized()),
    "plain-qop": (K10 | PLAIN, quantized("QOperator")),
    "muladd-qdq": (K10 | network(norm="1c11"), quantized()),
    "muladd-flat-qdq-s8": (K10 | network(norm="c11", concat="flat"),
                           quantized(activations="s8 symmetric", weights="s8")),
    "muladd-qop-raw": (K10 | network(norm="c11"), quantized("QOperator", pre=False)),
    "muladd-nncf": (K10 | network(norm="c11"), nncf_quantized()),
    "folded-qdq": (K10 | network(fold=True), quantized(pre=False)),
    "identity-qdq": (K10 | network(identity=True, constants="node"), quantized(pre=False)),
    "few-attributes-qdq": (K10 | network(attributes="few", constants="node", batch="n"), quantized(pre=False)),
    "folded-nncf": (K10 | network(fold=True), nncf_quantized("MIXED")),
    "softmax-qdq": (K10 | network(softmax=True), quantized()),
    # Heads.
    "head-gemm-plain-mean-qop": (K10 | network(head="gemm-plain", pool="mean-keep"), quantized("QOperator")),
    "head-matmul-average-reshape-qdq": (K10 | network(head="matmul", pool="average", flat="reshape"), quantized()),
    "head-matmul-qop": (K10 | network(head="matmul", pool="average", flat="reshape"), quantized("QOperator")),
    "head-matmul-raw-qdq": (K10 | network(head="matmul"), quantized(pre=False)),
    "head-matmul-raw-qop": (K10 | network(head="matmul"), quantized("QOperator", pre=False)),
    "head-gemm-plain-qdq": (K10 | network(head="gemm-plain"), quantized(activations="s8")),
    "head-conv-qdq": (K10 | network(head="conv"), quantized()),
    "head-conv-qop": (K10 | network(head="conv", pool="mean", flat="squeeze"), quantized("QOperator")),
    "head-conv-nncf": (K10 | network(head="conv", pool="mean"), nncf_quantized()),
    "head-matmul-nncf": (K10 | network(head="matmul", pool="mean"), nncf_quantized()),
    "head-squeeze-qdq": (K10 | network(flat="squeeze", batch="n"), quantized(pre=False)),
    "head-view-qdq": (K10 | network(flat="view", batch="n"), quantized(pre=False)),
    # Versions: with 10 and 12 per tensor only.
    "opset10-qdq": (K10 | network(opset=10), quantized(weights="s8", pre=False, opset=10)),
    "opset10-qop": (K10 | network(opset=10), quantized("QOperator", pre=False, opset=10)),
    "opset11-qdq": (LARGE | network(opset=11), quantized(weights="s8", pre=False)),
    "opset12-qop": (LARGE | network(opset=12), quantized("QOperator", weights="u8", pre=False)),
    "opset13-qdq": (K10 | network(opset=13, pool="mean", flat="squeeze"), quantized(pre=False)),
    "opset13-nncf": (K10 | network(opset=13), nncf_quantized()),
    "opset19-qdq": (K10 | network(opset=19, pool="mean"), quantized()),
    "opset21-qdq": (K10 | network(opset=21, pool="mean-keep"), quantized()),
    "opset21-qop": (K10 | network(opset=21, pool="mean", norm="c11"), quantized("QOperator")),
    "opset21-nncf": (K10 | network(opset=21), nncf_quantized("MIXED")),
    # A deep network of the folder given with --models.
    "bc100-qdq-s8-conv-only": (BC100, quantized(activations="s8 symmetric", only=["Conv"])),
    "bc100-qop-per-tensor-u8": (BC100, quantized("QOperator", weights="u8")),
    "bc100-qdq-percentile-reduced": (BC100, quantized(method="Percentile", CalibPercentile=99.99, reduce_range=True)),
    "bc100-qdq-s8-raw": (BC100, quantized(activations="s8", pre=False)),
    "bc100-nncf-performance": (BC100, nncf_quantized()),
    "bc100-nncf-mixed": (BC100, nncf_quantized("MIXED")),
}


class Reader(q.CalibrationDataReader):
    def __init__(self, x):
        self.batches = iter([{"input": one[None]} for one in x])

    def get_next(self):
        return next(self.batches, None)


def with_ort(model, x, how, folder):
    """A model after pre-processing, if asked, and quantize_static."""
    source, out = folder / "float.onnx", folder / "quant.onnx"
    onnx.save(model, source)
    if how["pre"]:
        quant_pre_process(str(source), str(folder / "pre.onnx"), skip_symbolic_shape=True)
        source = folder / "pre.onnx"
    activation, symmetric = ACTIVATIONS[how["activations"]]
    weight, per_channel = WEIGHTS[how["weights"]]
    q.quantize_static(str(source), str(out), Reader(x), quant_format=q.QuantFormat[how["format"]],
                      op_types_to_quantize=how["only"], per_channel=per_channel, reduce_range=how["reduce_range"],
                      activation_type=activation, weight_type=weight,
                      calibrate_method=q.CalibrationMethod[how["method"]],
                      extra_options=dict(ActivationSymmetric=symmetric, **how["extra"]))
    result = onnx.load(out)
    for o in result.opset_import:
        if how["opset"] and o.domain == "":
            o.version = how["opset"]
    onnx.checker.check_model(result)
    return result


def with_nncf(model, x, how):
    os.environ["CI"] = "true"  # else it reports its use over the network, and leaves files in the home folder
    import nncf
    nncf.set_log_level(logging.ERROR)
    options = {k: v for k, v in how.items() if k not in ("tool", "preset")}
    dataset = nncf.Dataset([{"input": one[None]} for one in x])
    return nncf.quantize(model, dataset, preset=nncf.QuantizationPreset[how["preset"]], subset_size=len(x), **options)


def run(model, x, optimised):
    """Logits [n, classes] of a batch, one image at a time."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {session.get_inputs()[0].name: one[None]})[0] for one in x])


def float_model(net, models):
    """A float model, images to calibrate it with and others to compare on."""
    if net == BC100:
        pixels = np.load(models / "eval_32.npy").astype(np.float32) / 255
        x = (pixels - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        x = x.transpose(0, 3, 1, 2).astype(np.float32)
        return onnx.load(models / f"{BC100}.onnx"), x[16:48], x[:16]
    side = net.get("side", onnx_densenet.DEFAULTS["side"])
    return onnx_densenet.build(**net), onnx_densenet.images(32, side, 1), onnx_densenet.images(16, side, 2)


def make(net, how, models=None):
    """(float model, quantized model, x, logits by name)."""
    model, calibration, x = float_model(net, models)
    if how["tool"] == "nncf":
        result = with_nncf(model, calibration, how)
    else:
        with tempfile.TemporaryDirectory() as folder:
            result = with_ort(model, calibration, how, pathlib.Path(folder))
    return model, result, x, dict(f32=run(model, x, True), literal=run(result, x, False), ort=run(result, x, True))


def cosine(a, b):
    """Mean over images of the logits' cosine."""
    return float(np.mean((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)))


def describe(net, how, model, y):
    histogram = collections.Counter((n.domain + ":" if n.domain else "") + n.op_type for n in model.graph.node)
    top1 = {f"top1_{a}_{b}": float((y[a].argmax(1) == y[b].argmax(1)).mean())
            for a, b in (("literal", "f32"), ("ort", "f32"), ("ort", "literal"))}
    return dict(network=net, quantization=how, opset={o.domain: o.version for o in model.opset_import}.get(""),
                bytes=model.ByteSize(), operators=dict(histogram.most_common()),
                cosine_ort_literal=cosine(y["ort"], y["literal"]), cosine_literal_f32=cosine(y["literal"], y["f32"]),
                cosine_ort_f32=cosine(y["ort"], y["f32"]), **top1)


def many(out, names, models):
    """The variants, each in a folder, and an index of all that are there."""
    index = out / "index.json"
    for name, (net, how) in VARIANTS.items():
        if (names and name not in names) or (net == BC100 and not models):
            continue
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        try:
            model, result, x, y = make(net, how, models)
        except Exception as e:  # a tool's refusal is worth knowing, not worth stopping for
            entry = dict(network=net, quantization=how, error=f"{type(e).__name__}: {e}")
            shutil.rmtree(folder)
        else:
            onnx.save(model, folder / "float.onnx")
            onnx.save(result, folder / "quant.onnx")
            np.savez(folder / "io.npz", x=x, **y)
            entry = describe(net, how, result, y)
        all_ = json.loads(index.read_text()) if index.exists() else {}
        index.write_text(json.dumps(all_ | {name: entry}, indent=1) + "\n")
        print(f"{name:34}", entry.get("error") or " ".join(
            f"{k} {v:.4f}" for k, v in entry.items() if k.startswith(("cosine", "top1"))), flush=True)


def fixtures(out):
    """NAME/{model.onnx,x.npy,literal.npy,float.npy}: a quantized file, 4 images, its logits and the float file's."""
    for name, (net, how) in FIXTURES.items():
        _, result, x, y = make(net, how)
        (out / name).mkdir(parents=True, exist_ok=True)
        onnx.save(result, out / name / "model.onnx")
        for file, values in ("x", x), ("literal", y["literal"]), ("float", y["f32"]):
            np.save(out / name / f"{file}.npy", values[:4])
        size = (out / name / "model.onnx").stat().st_size
        print(f"{name:16} {size:6,} bytes, cosine to float {cosine(y['literal'], y['f32']):.4f}, "
              f"all optimizations to none {cosine(y['ort'], y['literal']):.4f}")
        assert size <= 60_000
    total = sum(f.stat().st_size for f in out.rglob("*") if f.is_file())
    print(f"{out}: {total:,} bytes")
    assert total < 720_000


def main():
    here = pathlib.Path(__file__).resolve().parent
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--out", type=pathlib.Path)
    args.add_argument("--models", type=pathlib.Path)
    args.add_argument("names", nargs="*")
    args = args.parse_args()
    logging.disable(logging.WARNING)
    if args.out:
        many(args.out, args.names, args.models)
    else:
        fixtures(here.parent / "fixtures/quantized")


if __name__ == "__main__":
    main()
