"""Write the fixtures of tests/fixtures/exported: one small DenseNet in the forms that exporters write, with ONNX Runtime's answer.

Each folder has `model.onnx`, its input `x.npy` and the output `y.npy` that is right. Needs numpy, onnx and onnxruntime.
"""

import pathlib
import shutil

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

import onnx_densenet

OUT = pathlib.Path(__file__).parent.parent / "fixtures" / "exported"
README = """# Exported

A small DenseNet in the forms that exporters write: `model.onnx`, its input `x.npy`, and `y.npy`, which is ONNX Runtime's answer without
graph optimizations. `tests/peers/make_exported.py` makes them; the weights are random numbers. They are part of Densight and under its
licence. `tests/agreement/exported.rs` runs them.
"""
SMALL = dict(growth=4, blocks=(2, 2), init=6, classes=5, side=16)
LARGE = dict(growth=4, blocks=(2, 2), init=6, classes=5, side=32)


def build(**options):
    return onnx_densenet.build(3, **{**SMALL, **options})


def add(graph, name, value, kind):
    graph.initializer.append(numpy_helper.from_array(np.asarray(value, kind), name))
    return name


def replace(graph, at, nodes):
    """Puts nodes in the place of the node at `at`."""
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend(rest[:at] + nodes + rest[at + 1:])


def position(graph, op):
    return next(at for at, node in enumerate(graph.node) if node.op_type == op)


def resize_input(model, dims):
    del model.graph.input[:]
    model.graph.input.append(helper.make_tensor_value_info("input", TensorProto.FLOAT, dims))


def pads_of_nothing(opset):
    """torch 1.x: a Pad of nothing in front of each average pool."""
    model = build(opset=opset, attributes="few")
    at = position(model.graph, "AveragePool")
    pool = model.graph.node[at]
    x = pool.input[0]
    if opset < 11:
        pad = helper.make_node("Pad", [x], ["pad"], name="pad", mode="constant", pads=[0] * 8, value=0.0)
        nodes = [pad]
    else:
        # As torch 1.12 computes them.
        add(model.graph, "rank", [4], np.int64)
        add(model.graph, "zero", 0.0, np.float32)
        zeros = numpy_helper.from_array(np.zeros(1, np.int64))
        nodes = [helper.make_node("ConstantOfShape", ["rank"], ["zeros"], value=zeros),
                 helper.make_node("Concat", ["zeros", "zeros"], ["more"], axis=0),
                 helper.make_node("Cast", ["more"], ["pads"], to=TensorProto.INT64),
                 helper.make_node("Pad", [x, "pads", "zero"], ["pad"], mode="constant")]
    pool.input[0] = "pad"
    replace(model.graph, at, nodes + [pool])
    return model


def keras():
    """tf2onnx: Pads in front of convolution and max pool, ReLU as Clip, channels last at both ends, no bias in the end."""
    model = onnx_densenet.build(3, **LARGE, stem="padded", opset=13)
    graph = model.graph
    add(graph, "low", 0.0, np.float32)
    for node in graph.node:
        if node.op_type == "Relu":
            node.op_type = "Clip"
            node.input.append("low")
    at = position(graph, "Flatten")
    add(graph, "list", [0, -1], np.int64)
    flatten = graph.node[at]
    replace(graph, at, [
        helper.make_node("Transpose", [flatten.input[0]], ["last"], perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["last", "list"], [flatten.output[0]])])
    first = helper.make_node("Transpose", ["input"], ["first"], perm=[0, 3, 1, 2])
    graph.node[0].input[0] = "first"
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([first] + rest)
    resize_input(model, ["n", 32, 32, 3])
    return model


def pads_by_axes_through_quantizers():
    """Opset 18: axes of a Pad; quantizers between it and the convolution and pool."""
    model = onnx_densenet.build(3, **LARGE, stem="padded", opset=18)
    graph = model.graph
    add(graph, "axes", [-1, 2], np.int64)
    add(graph, "three", [3, 3, 3, 3], np.int64)
    add(graph, "one", [1, 1, 1, 1], np.int64)
    add(graph, "scale", 0.0625, np.float32)
    add(graph, "zero", 100, np.uint8)
    amounts = iter(["three", "one"])
    for name in [node.name for node in graph.node if node.op_type == "Pad"]:
        at = next(at for at, node in enumerate(graph.node) if node.name == name)
        pad = graph.node[at]
        pad.input[1] = next(amounts)
        pad.input.append("axes")
        output, pad.output[0] = pad.output[0], pad.output[0] + ".real"
        replace(graph, at, [
            pad, helper.make_node("QuantizeLinear", [pad.output[0], "scale", "zero"], [output + ".codes"]),
            helper.make_node("DequantizeLinear", [output + ".codes", "scale", "zero"], [output])])
    return model


def gray():
    model = build()
    weight = next(t for t in model.graph.initializer if t.name == "conv0.weight")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight)[:, :1] * 2, "conv0.weight"))
    resize_input(model, [1, 1, 16, 16])
    return model


def open_size():
    model = build()
    resize_input(model, ["n", 3, "h", "w"])
    return model


def colours_swapped_without_shapes():
    """BGR inside the graph, by Split and Concat, and a Slice of more than there is: nothing is declared."""
    model = build()
    graph = model.graph
    add(graph, "starts", [1, 0], np.int64)
    add(graph, "ends", [2 ** 40, 17], np.int64)
    add(graph, "slice_axes", [2, 3], np.int64)
    nodes = [helper.make_node("Slice", ["input", "starts", "ends", "slice_axes"], ["cut"]),
             helper.make_node("Split", ["cut"], ["r", "g", "b"], axis=1),
             helper.make_node("Concat", ["b", "g", "r"], ["bgr"], axis=1)]
    graph.node[0].input[0] = "bgr"
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes + rest)
    resize_input(model, [1, 3, 17, 16])
    return model


def halves(ends):
    """All of it in f16, or with f32 ends."""
    model = build(opset=17)
    graph = model.graph
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    if ends:
        graph.node[0].input[0] = "half"
        graph.node[-1].output[0] = "half_logits"
        nodes = [helper.make_node("Cast", ["input"], ["half"], to=TensorProto.FLOAT16), *graph.node,
                 helper.make_node("Cast", ["half_logits"], ["logits"], to=TensorProto.FLOAT)]
        del graph.node[:]
        graph.node.extend(nodes)
    else:
        for value in [*graph.input, *graph.output]:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    return model


def opset_6():
    """Norms as Mul and Add with an axis, as Caffe2 wrote them; and the same network in opset 7, which ONNX Runtime runs."""
    model = build(opset=9, norm="c11", attributes="few")
    graph, old = model.graph, onnx.ModelProto()
    old.CopyFrom(model)
    for tensor in old.graph.initializer:
        if tensor.name.endswith((".scale", ".shift")):
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).reshape(-1), tensor.name))
    for node in old.graph.node:
        if node.op_type in ("Mul", "Add"):
            node.attribute.extend([helper.make_attribute("axis", 1), helper.make_attribute("broadcast", 1)])
        if node.op_type == "Gemm":
            node.attribute.append(helper.make_attribute("broadcast", 1))
    old.opset_import[0].version = 6
    return old, model


def bfloat(model):
    """Weights in bf16, each cast to f32 where it is read."""
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        if tensor.name.endswith("weight") and len(tensor.dims) == 4:
            bits = numpy_helper.to_array(tensor).astype(np.float32).view(np.uint32) >> 16
            name, dims = tensor.name, list(tensor.dims)
            tensor.Clear()
            tensor.CopyFrom(helper.make_tensor(name + ".bf16", TensorProto.BFLOAT16, dims,
                                               bits.astype(np.uint16).tobytes(), raw=True))
            casts.append(helper.make_node("Cast", [name + ".bf16"], [name], to=TensorProto.FLOAT))
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend(casts + rest)
    return model


def two_outputs():
    model = build()
    graph = model.graph
    logits = graph.output[0]
    n = graph.node[-1].input[0]
    del graph.output[:]
    width = next(t for t in graph.initializer if t.name == "classifier.weight").dims[1]
    graph.output.extend([helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, width]), logits])
    return model


def in_place_of_relu(make):
    """Each ReLU as `make` says: nodes from x to y, with constants."""
    model = build(opset=13)
    graph = model.graph
    for node in [node for node in graph.node if node.op_type == "Relu"]:
        number = lambda name, value: add(graph, f"{node.output[0]}.{name}", value, np.float32)
        nodes = make(node.input[0], node.output[0], number)
        replace(graph, list(graph.node).index(node), nodes)
    return model


def silu(x, y, _):
    return [helper.make_node("Sigmoid", [x], [y + ".gate"]), helper.make_node("Mul", [x, y + ".gate"], [y])]


def hard_swish(x, y, number):
    return [
        helper.make_node("Add", [x, number("three", 3)], [y + ".moved"]),
        helper.make_node("Clip", [y + ".moved", number("zero", 0), number("six", 6)], [y + ".gate"]),
        helper.make_node("Div", [y + ".gate", number("sixth", 6)], [y + ".share"]),
        helper.make_node("Mul", [x, y + ".share"], [y]),
    ]


def gelu(x, y, number):
    return [
        helper.make_node("Div", [x, number("root", 2**0.5)], [y + ".scaled"]),
        helper.make_node("Erf", [y + ".scaled"], [y + ".erf"]),
        helper.make_node("Add", [y + ".erf", number("one", 1)], [y + ".gate"]),
        helper.make_node("Mul", [x, y + ".gate"], [y + ".double"]),
        helper.make_node("Mul", [y + ".double", number("half", 0.5)], [y]),
    ]


def leaky(x, y, _):
    return [helper.make_node("LeakyRelu", [x], [y], alpha=0.1)]


def prelu():
    """A slope for each channel."""
    model = build(opset=13)
    graph, numbers = onnx.shape_inference.infer_shapes(model).graph, np.random.default_rng(5)
    channels = {value.name: value.type.tensor_type.shape.dim[1].dim_value for value in graph.value_info}
    for node in model.graph.node:
        if node.op_type == "Relu":
            slopes = numbers.uniform(-0.2, 0.6, (channels[node.input[0]], 1, 1))
            node.op_type = "PRelu"
            node.input.append(add(model.graph, f"{node.output[0]}.slope", slopes, np.float32))
    return model


def windows(change, opset=13):
    """Each 3x3 convolution of a dense layer as `change` says: nodes in its place."""
    model = build(opset=opset)
    graph, numbers = model.graph, np.random.default_rng(5)
    weights = {tensor.name: tensor.dims for tensor in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "Conv" and list(weights[node.input[1]][2:]) == [3, 3]]:
        if weights[node.input[1]][1] == 3:
            continue  # The stem.
        replace(graph, list(graph.node).index(node), change(graph, node, weights[node.input[1]][1], numbers))
    return unused_dropped(model)


def unused_dropped(model):
    """The model without initializers that no node reads."""
    graph = model.graph
    used = {name for node in graph.node for name in node.input}
    kept = [onnx.TensorProto.FromString(t.SerializeToString()) for t in graph.initializer if t.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return model


def attribute(node, name, value):
    kept = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend(kept + [helper.make_attribute(name, value)])


def depthwise(graph, node, channels, numbers):
    """A depthwise 3x3 in front, as in HarDNet-DS."""
    x, y = node.input[0], node.output[0] + ".depthwise"
    weights = add(graph, y + ".weight", numbers.normal(0, 0.4, (channels, 1, 3, 3)), np.float32)
    node.input[0] = y
    return [helper.make_node("Conv", [x, weights], [y], name=y, kernel_shape=[3, 3], pads=[1] * 4, group=channels), node]


def grouped(graph, node, channels, numbers):
    """Two groups in front, as in CondenseNet."""
    x, y = node.input[0], node.output[0] + ".grouped"
    weights = add(graph, y + ".weight", numbers.normal(0, 0.3, (channels, channels // 2, 1, 1)), np.float32)
    node.input[0] = y
    return [helper.make_node("Conv", [x, weights], [y], name=y, kernel_shape=[1, 1], group=2), node]


def dilated(graph, node, channels, numbers):
    attribute(node, "dilations", [2, 2])
    attribute(node, "pads", [2] * 4)
    return [node]


def shuffled(graph, node, channels, numbers):
    """Groups that are mixed, as in ShuffleNet: each group of the second convolution reads outputs of both of the first."""
    first, *_ = grouped(graph, node, channels, numbers)
    x, side = first.output[0], 8 if node.output[0].startswith("block2") else 16
    apart = add(graph, x + ".groups", [1, 2, channels // 2, side, side], np.int64)
    joined = add(graph, x + ".channels", [1, channels, side, side], np.int64)
    attribute(node, "group", 2)
    weights = add(graph, x + ".second", numbers.normal(0, 0.2, (4, channels // 2, 3, 3)), np.float32)
    node.input[:2] = [x + ".shuffled", weights]
    return [
        first,
        helper.make_node("Reshape", [x, apart], [x + ".apart"]),
        helper.make_node("Transpose", [x + ".apart"], [x + ".mixed"], perm=[0, 2, 1, 3, 4]),
        helper.make_node("Reshape", [x + ".mixed", joined], [x + ".shuffled"]),
        node,
    ]


def halved(graph, node, channels, numbers):
    """Half of the channels pass the convolution by, as in CSPNet and ShuffleNetV2."""
    x, y = node.input[0], node.output[0]
    weights = add(graph, y + ".half", numbers.normal(0, 0.2, (4, channels // 2, 3, 3)), np.float32)
    point = add(graph, y + ".point", numbers.normal(0, 0.4, (4, 6, 1, 1)), np.float32)
    ends = [add(graph, f"{y}.{name}", [value], np.int64) for name, value in (("from", 1), ("to", 3), ("axis", 1))]
    node.input[:2], node.output[0] = [y + ".b", weights], y + ".conv"
    return [
        helper.make_node("Split", [x], [y + ".a", y + ".b"], axis=1),
        node,
        helper.make_node("Slice", [y + ".a", *ends], [y + ".some"]),
        helper.make_node("Concat", [y + ".some", y + ".conv"], [y + ".joined"], axis=1),
        helper.make_node("Conv", [y + ".joined", point], [y], name=y + ".1x1", kernel_shape=[1, 1]),
    ]


def condensed():
    """Groups that pick their channels out of all features, as in CondenseNet: some more than once, some not at all."""
    model = build(opset=13)
    graph, numbers = model.graph, np.random.default_rng(5)
    weights = {tensor.name: tensor.dims for tensor in graph.initializer}
    for name in [node.name for node in graph.node if node.name.endswith(".conv1")]:
        at = next(at for at, node in enumerate(graph.node) if node.name == name)
        node = graph.node[at]
        (x, weight), y = node.input, node.output[0]
        out, channels = weights[weight][:2]
        picked = np.concatenate([numbers.permutation(channels)[: channels // 2] for _ in range(2)])
        picks = add(graph, y + ".picks", picked, np.int64)
        few = add(graph, y + ".few", numbers.normal(0, 0.4, (out, channels // 2, 1, 1)), np.float32)
        node.input[:2] = [y + ".picked", few]
        attribute(node, "group", 2)
        replace(graph, at, [helper.make_node("Gather", [x, picks], [y + ".picked"], axis=1), node])
    return unused_dropped(model)


def average_pools(**attributes):
    """Each average pool of a transition with padding, or rounding up."""
    model = build(opset=13, side=18)
    for node in model.graph.node:
        if node.op_type == "AveragePool":
            for name, value in attributes.items():
                attribute(node, name, value)
    return model


def mirrored(graph, node, channels, numbers):
    """A blur of the mirrored image in front, as in timm's networks with anti-aliasing."""
    x, y = node.input[0], node.output[0] + ".blur"
    blur = np.outer([1, 2, 1], [1, 2, 1]) / 16
    weights = add(graph, y + ".weight", np.tile(blur, (channels, 1, 1, 1)), np.float32)
    pads = add(graph, y + ".pads", [0, 0, 1, 1, 0, 0, 1, 1], np.int64)
    node.input[0] = y
    return [
        helper.make_node("Pad", [x, pads], [y + ".padded"], name=y + ".pad", mode="reflect"),
        helper.make_node("Conv", [y + ".padded", weights], [y], name=y, kernel_shape=[3, 3], group=channels),
        node,
    ]


def layer_norm(graph, node, channels, numbers):
    """LayerNorm over channels in front, which are last for as long, as in RDNet and ConvNeXt."""
    x, y = node.input[0], node.output[0] + ".norm"
    scale = add(graph, y + ".scale", numbers.uniform(0.5, 1.5, channels), np.float32)
    bias = add(graph, y + ".bias", numbers.normal(0, 0.3, channels), np.float32)
    node.input[0] = y
    return [
        helper.make_node("Transpose", [x], [y + ".last"], perm=[0, 2, 3, 1]),
        helper.make_node("LayerNormalization", [y + ".last", scale, bias], [y + ".normed"], name=y, axis=-1, epsilon=1e-6),
        helper.make_node("Transpose", [y + ".normed"], [y], perm=[0, 3, 1, 2]),
        node,
    ]


def declared_wrongly():
    """Behind an Einsum, whose extents are not inferred, the file declares others."""
    model = build()
    graph = model.graph
    graph.node[0].input[0] = "same"
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([helper.make_node("Einsum", ["input"], ["same"], name="same", equation="nchw->nchw")] + rest)
    graph.value_info.append(helper.make_tensor_value_info("same", TensorProto.FLOAT, [1, 3, 8, 8]))
    return model


def answered(model, x):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    kind = np.float16 if "16" in session.get_inputs()[0].type else np.float32
    return session.run(None, {session.get_inputs()[0].name: x.astype(kind)})[0].astype(np.float32)


def write(name, model, answering=None, x=None, external=False):
    folder = OUT / name
    folder.mkdir(parents=True)
    dims = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    if x is None:
        channels, height, width = dims[1:] if dims[1] in (1, 3) else (dims[3], dims[1], dims[2])
        side = max(height, width) or 16
        x = onnx_densenet.images(1, side, 7)[:, :channels, :height or 16, :width or 16]
        if dims[1] not in (1, 3):
            x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    y = answered(answering or model, x)
    if external:
        onnx.save(model, folder / "model.onnx", save_as_external_data=True, all_tensors_to_one_file=True,
                  location="model.onnx.data", size_threshold=0)
    else:
        onnx.save(model, folder / "model.onnx")
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    write("pads-of-nothing", pads_of_nothing(13))
    write("pads-of-nothing-opset9", pads_of_nothing(9))
    write("keras-channels-last", keras())
    write("pads-through-quantizers", pads_by_axes_through_quantizers())
    write("gray", gray())
    write("open-size", open_size(), x=onnx_densenet.images(1, 20, 7)[:, :, :14, :20])
    write("colours-swapped", colours_swapped_without_shapes())
    write("half", halves(False))
    write("half-with-f32-ends", halves(True))
    write("bfloat16-weights", bfloat(build()))
    old, new = opset_6()
    write("opset-6", old, answering=new)
    write("weights-beside", build(), external=True)
    write("two-outputs", two_outputs())
    for name, make in [("silu", silu), ("hard-swish", hard_swish), ("gelu", gelu), ("leaky-relu", leaky)]:
        write(name, in_place_of_relu(make))
    write("prelu", prelu())
    write("residual", build(layers="residual", fold=True))
    write("residual-with-norms", build(layers="residual"))
    write("gated", build(layers="gated", fold=True))
    write("averages-of-padding", average_pools(kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1))
    write("averages-without-padding", average_pools(kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=0))
    write("averages-over-the-edge", average_pools(kernel_shape=[4, 4], strides=[3, 3], ceil_mode=1))
    write("condensed", condensed())
    for name, change in [("shuffled", shuffled), ("halved", halved)]:
        write(name, windows(change))
    for name, change in [("depthwise", depthwise), ("grouped", grouped), ("dilated", dilated), ("mirrored", mirrored)]:
        write(name, windows(change))
    write("layer-norm", windows(layer_norm, 17))
    onnx.save(declared_wrongly(), OUT.parent / "refused" / "wrong-value-info" / "model.onnx")
    (OUT / "README.md").write_text(README)


if __name__ == "__main__":
    main()
