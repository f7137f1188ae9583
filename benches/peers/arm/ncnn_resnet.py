"""ncnn's int8 ResNets, run by ARM's Python under QEMU: see run.sh beside it.

    python3.11 ncnn_resnet.py 18|50 RUNS

Their weights are nothing but zeros, as in ncnn's own benchmark: how long an inference takes does not depend on them.
"""

import sys
import tempfile
from pathlib import Path

import ncnn


class Graph:
    """A network in ncnn's text format."""

    def __init__(self):
        self.lines, self.blobs, self.channels = [], set(), {}

    def add(self, kind, name, inputs, outputs, options=""):
        self.lines.append(f"{kind} {name} {len(inputs)} {len(outputs)} {' '.join(inputs + outputs)} {options}")
        self.blobs.update(outputs)

    def convolution(self, name, source, channels, kernel, stride, relu=True):
        weights = channels * self.channels[source] * kernel * kernel
        self.add("Convolution", name, [source], [name], f"0={channels} 1={kernel} 3={stride} 4={kernel // 2} 5=1 6={weights} 8=2")
        self.channels[name] = channels
        return self.relu(name) if relu else name

    def relu(self, source):
        self.add("ReLU", f"{source}_relu", [source], [f"{source}_relu"])
        self.channels[f"{source}_relu"] = self.channels[source]
        return f"{source}_relu"

    def split(self, source):
        both = [f"{source}_a", f"{source}_b"]
        self.add("Split", f"{source}_split", [source], both)
        self.channels.update(dict.fromkeys(both, self.channels[source]))
        return both

    def text(self):
        return f"7767517\n{len(self.lines)} {len(self.blobs)}\n" + "\n".join(self.lines) + "\n"


def resnet(depth):
    """Of Caffe's kind, with strides in the first convolution of a unit, as in ncnn's benchmark."""
    units, wide = {18: ([2, 2, 2, 2], 1), 50: ([3, 4, 6, 3], 4)}[depth]
    graph = Graph()
    graph.add("Input", "data", [], ["data"], "0=224 1=224 2=3")
    graph.channels["data"] = 3
    stem = graph.convolution("stem", "data", 64, 7, 2)
    graph.add("Pooling", "pool", [stem], ["pool"], "0=0 1=3 2=2")
    graph.channels["pool"] = 64
    last = "pool"
    for stage, count in enumerate(units):
        for number in range(count):
            name, middle = f"unit{stage}_{number}", 64 << stage
            stride = 2 if number == 0 and stage > 0 else 1
            short, deep = graph.split(last)
            # ncnn's ResNet-18 has a convolution beside the first unit, too.
            if number == 0:
                short = graph.convolution(f"{name}_short", short, wide * middle, 1, stride, relu=False)
            kernels = [3, 3] if wide == 1 else [1, 3, 1]
            for place, kernel in enumerate(kernels):
                final = place == len(kernels) - 1
                channels = wide * middle if final else middle
                deep = graph.convolution(f"{name}_{place}", deep, channels, kernel, stride if place == 0 else 1, relu=not final)
            graph.add("Eltwise", name, [short, deep], [name], "0=1 -23301=0")
            graph.channels[name] = wide * middle
            last = graph.relu(name)
    graph.add("Pooling", "mean", [last], ["mean"], "0=1 1=7 2=1")
    graph.add("InnerProduct", "scores", ["mean"], ["scores"], f"0=1000 1=1 2={1000 * graph.channels[last]}")
    graph.add("Softmax", "output", ["scores"], ["output"], "0=0 1=1")
    return graph.text()


def main():
    depth, runs = map(int, sys.argv[1:])
    net = ncnn.Net()
    net.opt.num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "resnet.param"
        path.write_text(resnet(depth))
        if net.load_param(str(path)) or net.load_model(ncnn.DataReaderFromEmpty()):
            raise SystemExit("ncnn does not take the network")
    picture = ncnn.Mat(224, 224, 3)
    picture.fill(0.01)
    for _ in range(runs):
        extractor = net.create_extractor()
        extractor.input("data", picture)
        code, _ = extractor.extract("output")
        if code:
            raise SystemExit(f"ncnn: {code}")


if __name__ == "__main__":
    main()
