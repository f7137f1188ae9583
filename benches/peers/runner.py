"""One engine with one model, in a process of its own: for each line with a number of runs on standard input it prints the
seconds that they took.

    python runner.py ENGINE MODEL INPUT.npy THREADS        # on a GPU the batch instead of THREADS

The first line it prints is JSON: how long loading and the first run took, how much memory that took at most beyond what
was taken before (MiB), and the scores of the input. `MODEL` may be a folder's name for engines with several files.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np


def onnxruntime(model, threads, provider="CPUExecutionProvider"):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    # A thread that waits for its turn must not take a core from the engine whose turn it is.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0" if threads == 1 else "1")
    yield
    session = ort.InferenceSession(model, options, providers=[provider])
    if session.get_providers()[0] != provider:
        raise SystemExit(f"this ONNX Runtime has no {provider}")
    name = session.get_inputs()[0].name
    yield lambda x: session.run(None, {name: x})[0]


def onnxruntime_cuda(model, threads):
    yield from onnxruntime(model, threads, "CUDAExecutionProvider")


def torch_gpu(model, batch, prepare):
    """PyTorch's network of that name on a GPU, f16, channels last, with weights of chance; what comes in and out is copied, as
    Densight does."""
    import torch

    sys.path.insert(0, str(Path(__file__).parents[2] / "models" / "train"))
    from network import PRESETS, DenseNet

    if not torch.cuda.is_available():
        raise SystemExit("PyTorch finds no GPU")
    preset = {"densenet121": "densenet121", "densenet_bc100_12": "densenet-bc-100-12"}[Path(model).stem]
    yield
    network = DenseNet(PRESETS[preset]).eval().to("cuda", torch.float16, memory_format=torch.channels_last)
    batches = {}

    def move(x):
        """A batch of `x` on the GPU; putting the batch together is no part of the inference."""
        if id(x) not in batches:
            batches[id(x)] = (x, torch.from_numpy(np.repeat(x, batch, 0)))
        return batches[id(x)][1].to("cuda").to(torch.float16, memory_format=torch.channels_last)

    with torch.no_grad():
        yield prepare(torch, network, move)


def torch_eager(model, batch):
    yield from torch_gpu(model, batch, lambda torch, network, move: lambda x: network(move(x)).float().cpu())


def torch_compile(model, batch):
    def prepare(torch, network, move):
        compiled = torch.compile(network, mode="max-autotune")
        return lambda x: compiled(move(x)).float().cpu()

    yield from torch_gpu(model, batch, prepare)


def torch_graph(model, batch):
    def prepare(torch, network, move):
        place = move(np.zeros((1, 3, 224, 224) if "121" in model else (1, 3, 32, 32), np.float32))
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for _ in range(3):
                network(place)
        side.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            scores = network(place)

        def run(x):
            place.copy_(move(x))
            graph.replay()
            return scores.float().cpu()

        return run

    yield from torch_gpu(model, batch, prepare)


def openvino(model, threads):
    import openvino as ov

    core = ov.Core()
    yield
    # Without the last, float models run in bfloat16 where the processor has it.
    hints = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
    hints["INFERENCE_PRECISION_HINT"] = "f32"
    compiled = core.compile_model(core.read_model(model), "CPU", hints)
    request = compiled.create_infer_request()
    yield lambda x: request.infer({0: x}, share_inputs=True)[0]


def ncnn(model, threads):
    import ncnn as nn

    yield
    net = nn.Net()
    net.opt.num_threads = threads
    net.opt.use_int8_inference = True
    net.load_param(model + ".param")
    net.load_model(model + ".bin")

    def run(x):
        extractor = net.create_extractor()
        extractor.input("in0", nn.Mat(x[0]))
        return np.array(extractor.extract("out0")[1])[None]

    yield run


def litert(model, threads):
    from ai_edge_litert.interpreter import Interpreter

    yield
    interpreter = Interpreter(model_path=model, num_threads=threads)
    interpreter.allocate_tensors()
    place, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    codes = place["dtype"] == np.int8
    inputs = {}

    def prepared(x):
        """Channels last, and in codes where the model takes those; once, as it is no part of the inference."""
        if id(x) not in inputs:
            rows = x.transpose(0, 2, 3, 1)
            if codes:
                scale, zero = place["quantization"]
                rows = np.clip(np.round(rows / scale) + zero, -128, 127).astype(np.int8)
            inputs[id(x)] = np.ascontiguousarray(rows)
        return inputs[id(x)]

    def run(x):
        interpreter.set_tensor(place["index"], prepared(x))
        interpreter.invoke()
        scores = interpreter.get_tensor(result["index"])
        if codes:
            scale, zero = result["quantization"]
            scores = (scores.astype(np.float32) - zero) * scale
        return scores

    yield run


def memory(field):
    """MiB of this process: VmRSS, what is in memory now; VmHWM, the most that ever was."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(field))


def main():
    engine, model, path, threads = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    x = np.load(path)[:1]
    steps = globals()[engine](model, threads)
    next(steps)
    before, start = memory("VmRSS"), time.perf_counter()
    run = next(steps)
    scores = run(x)
    loaded = time.perf_counter() - start
    most = memory("VmHWM")
    scores = np.asarray(scores).ravel().tolist()
    print(json.dumps({"load": loaded, "memory": most - before, "scores": scores}), flush=True)
    for line in sys.stdin:
        count, start = int(line), time.perf_counter()
        for _ in range(count):
            run(x)
        print(time.perf_counter() - start, flush=True)


main()
