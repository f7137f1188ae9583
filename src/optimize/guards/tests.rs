//! Wrong results of tract 0.23.9 alone, and the right ones behind a guard. If a test fails because tract alone is right, its
//! guard and its entry in `docs/tract.md` can go.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tract_core::internal::*;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, tensor_shape_proto, type_proto,
};
use tract_onnx::prelude::{Framework, InferenceModelExt};

/// A graph `x`, f32 `[1, 3, 4, 4]`, to `y`.
struct Graph {
    opset: i64,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

fn graph(opset: i64) -> Graph {
    Graph { opset, nodes: Vec::new(), constants: Vec::new() }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Int as i32, i, ..Default::default() }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Ints as i32,
        ints: values.to_vec(),
        ..Default::default()
    }
}

fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Float as i32, f, ..Default::default() }
}

fn text(name: &str, s: &str) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::String as i32, s: s.into(), ..Default::default() }
}

impl Graph {
    fn node(mut self, op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> Self {
        // The first node of an operator has the short name.
        let others = self.nodes.iter().filter(|node| node.op_type == op).count();
        self.nodes.push(NodeProto {
            name: if others == 0 { format!("the {op}") } else { format!("the {op} {others}") },
            op_type: op.into(),
            input: inputs.iter().map(|&input| input.into()).collect(),
            output: vec![output.into()],
            attribute,
            ..Default::default()
        });
        self
    }

    fn tensor(mut self, name: &str, dims: &[i64], kind: DataType, raw_data: Vec<u8>) -> Self {
        let (name, dims) = (name.into(), dims.to_vec());
        self.constants.push(TensorProto { name, dims, data_type: kind as i32, raw_data, ..Default::default() });
        self
    }

    fn floats(self, name: &str, dims: &[i64], values: &[f32]) -> Self {
        self.tensor(name, dims, DataType::Float, values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    fn whole(self, name: &str, values: &[i64]) -> Self {
        let dims = [values.len() as i64];
        self.tensor(name, &dims, DataType::Int64, values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    /// A 3x3 convolution `a` of `x`, of two channels.
    fn conv(self) -> Self {
        let weights: Vec<f32> = (0..54).map(|i| (i * 7 % 11) as f32 / 11.0 - 0.4).collect();
        let this = self.floats("w", &[2, 3, 3, 3], &weights).floats("b", &[2], &[0.5, -0.25]);
        this.node("Conv", &["x", "w", "b"], "a", vec![ints("pads", &[1, 1, 1, 1])])
    }

    fn proto(&self) -> ModelProto {
        let dim = |value| tensor_shape_proto::Dimension {
            value: Some(tensor_shape_proto::dimension::Value::DimValue(value)),
            ..Default::default()
        };
        let shape = TensorShapeProto { dim: [1, 3, 4, 4].map(dim).to_vec() };
        let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape: Some(shape) };
        let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
        let graph = GraphProto {
            node: self.nodes.clone(),
            initializer: self.constants.clone(),
            input: vec![ValueInfoProto { name: "x".into(), r#type: Some(r#type), ..Default::default() }],
            output: vec![ValueInfoProto { name: "y".into(), ..Default::default() }],
            ..Default::default()
        };
        let opset = OperatorSetIdProto { domain: String::new(), version: self.opset };
        ModelProto { ir_version: 8, opset_import: vec![opset], graph: Some(graph), ..Default::default() }
    }

    fn run(&self, onnx: tract_onnx::Onnx, x: &[f32]) -> Result<Vec<f32>, String> {
        let run = || -> TractResult<Vec<f32>> {
            let onnx = onnx.with_ignore_output_shapes(true).with_ignore_value_info(true);
            let mut model = onnx.model_for_proto_model(&self.proto())?;
            model.set_input_fact(0, f32::fact([1, 3, 4, 4]).into())?;
            let plan = TypedSimplePlan::new(model.into_optimized()?)?;
            let y = plan.run(tvec!(Tensor::from_shape(&[1, 3, 4, 4], x)?.into_tvalue()))?.remove(0);
            Ok(y.cast_to::<f32>()?.to_plain_array_view::<f32>()?.iter().copied().collect())
        };
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(result) => result.map_err(|e| e.root_cause().to_string()),
            Err(_) => Err("panic".into()),
        }
    }

    fn guarded(&self, x: &[f32]) -> Result<Vec<f32>, String> {
        self.run(super::guarded(), x)
    }

    /// tract alone is wrong, and behind its guard gives `right`.
    fn mends(&self, x: &[f32], right: &[f32]) {
        let close = |y: &[f32]| {
            y.len() == right.len() && y.iter().zip(right).all(|(a, b)| (a - b).abs() <= 1e-4 * b.abs().max(1.0))
        };
        let alone = self.run(tract_onnx::onnx(), x);
        assert!(!alone.as_ref().is_ok_and(|y| close(y)), "tract is right: the guard can go");
        let guarded = self.guarded(x).unwrap();
        assert!(close(&guarded), "{guarded:?} for {right:?}, alone {alone:?}");
    }

    /// Behind its guard the graph is refused, naming the node `op`.
    fn refuses(&self, op: &str) {
        let said = self.guarded(&image()).unwrap_err();
        assert!(said.contains(&format!("node the {op} ({op})")), "{said}");
    }
}

fn image() -> Vec<f32> {
    (0..48).map(|i| (i * 5 % 13) as f32 / 6.0 - 1.0).collect()
}

/// The result of [`Graph::conv`].
fn convolved() -> Vec<f32> {
    graph(17).conv().node("Identity", &["a"], "y", vec![]).guarded(&image()).unwrap()
}

#[test]
fn a_slice_with_steps_behind_a_convolution() {
    let sliced = graph(13).conv().whole("start", &[1]).whole("end", &[4]).whole("axes", &[2]).whole("step", &[2]);
    // Rows 1 and 3 of each plane of 4x4.
    let right: Vec<f32> = convolved().chunks(16).flat_map(|plane| [&plane[4..8], &plane[12..16]].concat()).collect();
    sliced.node("Slice", &["a", "start", "end", "axes", "step"], "y", vec![]).mends(&image(), &right);
}

#[test]
fn a_mean_whose_first_input_has_a_lower_rank() {
    let mean = graph(13).floats("c", &[1], &[3.0]).node("Mean", &["c", "x", "x"], "y", vec![]);
    mean.mends(&image(), &image().iter().map(|x| (3.0 + x + x) / 3.0).collect::<Vec<_>>());
}

#[test]
fn what_has_no_values_or_too_many() {
    let none = || graph(18).floats("none", &[0, 1 << 40], &[]).whole("axis", &[0]);
    none().node("ReduceSum", &["none", "axis"], "s", vec![]).node("Add", &["x", "s"], "y", vec![]).refuses("ReduceSum");
    none()
        .node("Softmax", &["none"], "s", vec![int("axis", 0)])
        .node("Add", &["x", "s"], "y", vec![])
        .refuses("Softmax");
    let most = |count: i64| {
        let mut graph = graph(18).whole("k", &[count]).node("TopK", &["x", "k"], "y", vec![int("axis", 1)]);
        graph.nodes[0].output.push("places".into());
        graph
    };
    most(4).refuses("TopK");
    assert_eq!(most(2).guarded(&image()).map(|y| y.len()), Ok(32));
    // An empty tensor is concatenated with another.
    let joined = graph(18).floats("none", &[1, 0, 4, 4], &[]).node("Concat", &["none", "x"], "y", vec![int("axis", 1)]);
    assert_eq!(joined.guarded(&image()), Ok(image()));
    let stepped = |graph: Graph, of: &str| {
        let graph = graph.whole("start", &[1]).whole("end", &[i64::MAX]).whole("axes", &[1]).whole("step", &[2]);
        graph.node("Slice", &[of, "start", "end", "axes", "step"], "y", vec![]).refuses("Slice");
    };
    stepped(none(), "none");
    let long = graph(18).whole("dims", &[1, 1 << 30, 1, 1]).node("ReduceMean", &["x"], "mean", vec![]);
    stepped(long.node("Expand", &["mean", "dims"], "long", vec![]), "long");
}

#[test]
fn a_convolution_with_strides_behind_a_padded_one_and_behind_a_softmax() {
    let weights: Vec<f32> = (0..27).map(|i| (i * 5 % 7) as f32 / 7.0 - 0.3).collect();
    let same = vec![text("auto_pad", "SAME_UPPER")];
    let padded = || graph(17).floats("p", &[1, 3, 3, 3], &weights).node("Conv", &["x", "p"], "a", same.clone());
    let kept = |plane: &[f32]| [plane[0], plane[2], plane[8], plane[10]].map(|value| 2.0 * value).to_vec();
    let two = |graph: Graph| graph.floats("w", &[1, 1, 1, 1], &[2.0]);
    let strided = |graph: Graph| two(graph).node("Conv", &["a", "w"], "y", vec![ints("strides", &[2, 2])]);
    let right = kept(&padded().node("Identity", &["a"], "y", vec![]).guarded(&image()).unwrap());
    strided(padded()).mends(&image(), &right);

    let rows = || graph(17).floats("p", &[1, 3, 1, 1], &[1.0, -0.5, 0.25]).node("Conv", &["x", "p"], "b", vec![]);
    let softmax = || rows().node("Softmax", &["b"], "a", vec![int("axis", 2)]);
    let right = kept(&softmax().node("Identity", &["a"], "y", vec![]).guarded(&image()).unwrap());
    strided(softmax()).mends(&image(), &right);
}

#[test]
fn a_convolution_that_is_subtracted() {
    let right: Vec<f32> = convolved().iter().enumerate().map(|(i, a)| [0.75, -0.5][i / 16] - a).collect();
    let by_channel = graph(17).conv().floats("c", &[1, 2, 1, 1], &[0.75, -0.5]);
    by_channel.node("Sub", &["c", "a"], "y", vec![]).mends(&image(), &right);
}

#[test]
fn a_convolution_that_divides() {
    let right: Vec<f32> = convolved().iter().enumerate().map(|(i, a)| [0.75, -0.5][i / 16] / a).collect();
    let by_channel = graph(17).conv().floats("c", &[1, 2, 1, 1], &[0.75, -0.5]);
    by_channel.node("Div", &["c", "a"], "y", vec![]).mends(&image(), &right);
}

#[test]
fn a_softmax_between_quantizers() {
    let quantizer = graph(17).floats("s", &[], &[0.05]).tensor("z", &[], DataType::Uint8, vec![128]);
    let quantizer = quantizer.floats("t", &[], &[1.0 / 256.0]).tensor("o", &[], DataType::Uint8, vec![0]);
    let quantizer = quantizer.node("QuantizeLinear", &["x", "s", "z"], "q", vec![]);
    let quantizer = quantizer.node("DequantizeLinear", &["q", "s", "z"], "d", vec![]);
    let quantizer = quantizer.node("Softmax", &["d"], "p", vec![int("axis", -1)]);
    let quantizer = quantizer.node("QuantizeLinear", &["p", "t", "o"], "r", vec![]);
    let x = image();
    let mut right = Vec::new();
    for row in x.chunks(4) {
        let exp: Vec<f32> = row.iter().map(|x| ((x / 0.05).round_ties_even() * 0.05).exp()).collect();
        let sum: f32 = exp.iter().sum();
        right.extend(exp.iter().map(|e| (e / sum * 256.0).round_ties_even() / 256.0));
    }
    quantizer.node("DequantizeLinear", &["r", "t", "o"], "y", vec![]).mends(&x, &right);
}

/// -9 times the first scale is -7.4999994 of the second; times the second's reciprocal it is -7.5.
#[test]
fn a_quantizer_divides() {
    let (from, to) = (0.078_864_954f32, 0.094_637_95f32);
    let this = graph(17).floats("s", &[], &[to]).tensor("z", &[], DataType::Uint8, vec![128]);
    let this = this.node("QuantizeLinear", &["x", "s", "z"], "q", vec![]);
    let this = this.node("DequantizeLinear", &["q", "s", "z"], "y", vec![]);
    let x: Vec<f32> = (-24i8..24).map(|i| f32::from(i) * from).collect();
    let right: Vec<f32> = x.iter().map(|x| (x / to).round_ties_even() * to).collect();
    this.mends(&x, &right);
}

#[test]
fn quantizers_of_different_types() {
    let this = graph(17).floats("s", &[], &[0.05]).tensor("z", &[], DataType::Uint8, vec![128]);
    let this = this.tensor("o", &[], DataType::Int8, vec![0]).node("QuantizeLinear", &["x", "s", "z"], "q", vec![]);
    let this = this.node("DequantizeLinear", &["q", "s", "z"], "d", vec![]);
    let this = this.node("QuantizeLinear", &["d", "s", "o"], "r", vec![]);
    let this = this.node("DequantizeLinear", &["r", "s", "o"], "y", vec![]);
    let x = image();
    let right: Vec<f32> = x.iter().map(|x| (x / 0.05).round_ties_even() * 0.05).collect();
    this.mends(&x, &right);
}

#[test]
fn the_type_that_a_quantizer_is_asked_for() {
    let this = graph(21).floats("s", &[], &[0.05]);
    let this = this.node("QuantizeLinear", &["x", "s"], "q", vec![int("output_dtype", 3)]);
    let x = image();
    let right: Vec<f32> = x.iter().map(|x| (x / 0.05).round_ties_even()).collect();
    this.node("Cast", &["q"], "y", vec![int("to", 1)]).mends(&x, &right);
}

#[test]
fn celu_with_an_alpha() {
    let x = image();
    let right: Vec<f32> = x.iter().map(|&x| x.max(0.0) + (2.0 * ((x / 2.0).exp() - 1.0)).min(0.0)).collect();
    graph(12).node("Celu", &["x"], "y", vec![float("alpha", 2.0)]).mends(&x, &right);
}

#[test]
fn what_is_large_under_a_logarithm() {
    let x: Vec<f32> = (0..48).map(|i| [0.0, 120.0, -3.0, 7.0][i % 4]).collect();
    let right: Vec<f32> = x.iter().map(|&x| if x > 20.0 { x } else { (1.0 + x.exp()).ln() }).collect();
    graph(17).node("Softplus", &["x"], "y", vec![]).mends(&x, &right);
    let right: Vec<f32> = x.iter().map(|&x| x - 120.0).collect();
    graph(17).node("LogSoftmax", &["x"], "y", vec![int("axis", -1)]).mends(&x, &right);
    let sum = graph(17).node("ReduceLogSumExp", &["x"], "y", vec![ints("axes", &[3]), int("keepdims", 0)]);
    sum.mends(&x, &[120.0; 12]);
}

#[test]
fn a_global_norm_is_no_mean() {
    let x = image();
    let right: Vec<f32> = x.chunks(16).map(|plane| plane.iter().map(|x| x * x).sum::<f32>().sqrt()).collect();
    graph(17).node("GlobalLpPool", &["x"], "y", vec![int("p", 2)]).mends(&x, &right);
}

#[test]
fn no_axes_are_all_axes() {
    let x = image();
    let right = [x.iter().sum::<f32>() / 48.0];
    graph(11).node("ReduceMean", &["x"], "y", vec![ints("axes", &[])]).mends(&x, &right);
}

#[test]
fn axes_to_squeeze_in_any_order() {
    let x = image();
    let right: Vec<f32> = x.chunks(16).map(|plane| plane.iter().sum::<f32>() / 16.0).collect();
    let pooled = graph(11).node("GlobalAveragePool", &["x"], "p", vec![]);
    pooled.node("Squeeze", &["p"], "y", vec![ints("axes", &[3, 2])]).mends(&x, &right);
}

#[test]
fn padding_by_itself_beside_an_explicit_one_of_nothing() {
    let attributes = vec![text("auto_pad", "SAME_UPPER"), ints("pads", &[0; 4]), ints("kernel_shape", &[1, 2])];
    let x = image();
    let right: Vec<f32> = x.chunks(4).flat_map(|r| [r[0].max(r[1]), r[1].max(r[2]), r[2].max(r[3]), r[3]]).collect();
    graph(17).node("MaxPool", &["x"], "y", attributes).mends(&x, &right);
}

/// Without guards these read out of bounds or panic: they are not tried.
#[test]
fn extents_that_are_not_there() {
    let parameters = ["g", "b", "m", "v"].map(|name| name.to_owned());
    let norm = |graph: Graph, input: &str| {
        let graph = parameters.iter().fold(graph, |graph, name| graph.floats(name, &[3], &[1.0; 3]));
        graph.node("BatchNormalization", &[input, "g", "b", "m", "v"], "y", vec![])
    };
    let line = graph(17).node("ReduceMean", &["x"], "r", vec![ints("axes", &[0, 2, 3]), int("keepdims", 0)]);
    norm(line, "r").refuses("BatchNormalization");
    norm(graph(17).floats("r", &[3], &[1.0; 3]), "r").refuses("BatchNormalization");
    let nothing = || graph(17).node("ReduceMean", &["x"], "r", vec![int("keepdims", 0)]);
    nothing().node("MaxPool", &["r"], "y", vec![ints("kernel_shape", &[2, 2])]).refuses("MaxPool");
    nothing().node("GlobalAveragePool", &["r"], "y", vec![]).refuses("GlobalAveragePool");
    graph(17).node("ReduceMean", &["x"], "y", vec![ints("axes", &[4])]).refuses("ReduceMean");
    graph(17).node("Flatten", &["x"], "y", vec![int("axis", i64::MAX)]).refuses("Flatten");
    graph(17).node("Softmax", &["x"], "y", vec![int("axis", 4)]).refuses("Softmax");
    graph(17).node("Transpose", &["x"], "y", vec![ints("perm", &[0, 0, 1, 2])]).refuses("Transpose");
    let empty = graph(17).floats("s", &[0], &[]).whole("unused", &[1]);
    empty.node("QuantizeLinear", &["x", "s"], "y", vec![]).refuses("QuantizeLinear");
    let three = graph(17).floats("c", &[3], &[1.0; 3]);
    three.node("Add", &["x", "c"], "y", vec![]).refuses("Add");
    let beyond = graph(17).whole("i", &[3]);
    beyond.node("Gather", &["x", "i"], "y", vec![int("axis", 1)]).refuses("Gather");
    let negative = graph(17).whole("p", &[0, 0, -1, 0, 0, 0, 0, 0]);
    negative.node("Pad", &["x", "p"], "y", vec![]).refuses("Pad");
    let weights = graph(17).floats("w", &[0, 3, 3, 3], &[]);
    weights.node("Conv", &["x", "w"], "y", vec![]).refuses("Conv");
}

/// An error at run time names the node, in each of tract's wordings.
#[test]
fn errors_at_run_time_name_the_node() {
    let mut model = TypedModel::default();
    model.add_source("dense/conv 3", f32::fact([1])).unwrap();
    let node = model.node(0);
    for words in ["Evaluating", "ModelBuilder: node", "running pass"] {
        let error = format_err!("no room").context(format!("{words} {node}")).context("running the plan");
        assert_eq!(super::named(error).to_string(), "node dense/conv 3 (Source): no room", "{words}");
    }
    let other = format_err!("no room").context("applying patch #3 to a graph");
    assert_eq!(super::named(other).to_string(), "no room");
}

/// A dilated window may step over the input: its mean is NaN, which a `Clip` behind it would hide.
#[test]
fn pools_that_see_padding_alone() {
    let pooled = |dilations: &[i64], include: i64| {
        let square = |side: i64| vec![ints("kernel_shape", &[2, 2]), ints("strides", &[side, side])];
        let dilated = [square(1), vec![ints("dilations", dilations), int("count_include_pad", include)]].concat();
        let dilated = [dilated, vec![ints("pads", &[1, 1, 1, 1])]].concat();
        graph(19).node("AveragePool", &["x"], "a", square(2)).node("AveragePool", &["a"], "y", dilated)
    };
    let x: Vec<f32> = (0..48).map(|i| i as f32).collect();
    let tracts = pooled(&[3, 1], 0).run(tract_onnx::onnx(), &x).unwrap();
    assert!(tracts.iter().any(|value| value.is_nan()), "{tracts:?}");
    let said = pooled(&[3, 1], 0).guarded(&x).unwrap_err();
    assert!(said.contains("node the AveragePool 1 (AveragePool): its window [2, 2]"), "{said}");
    for (dilations, include) in [([1, 1], 0), ([2, 2], 0), ([3, 3], 1)] {
        let y = pooled(&dilations, include).guarded(&x).unwrap();
        assert!(y.iter().all(|value| value.is_finite()), "{dilations:?}: {y:?}");
    }
}
