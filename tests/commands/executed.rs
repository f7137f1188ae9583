//! What `inspect` says of networks of which nothing was fused.

use prost::Message;
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    tensor_proto::DataType, tensor_shape_proto, type_proto,
};

use super::bad_input::fails;
use super::*;

fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    use tensor_shape_proto::{Dimension, dimension::Value::DimValue};
    let dim = |&dim: &i64| Dimension { value: Some(DimValue(dim)), ..Dimension::default() };
    let shape = Some(TensorShapeProto { dim: dims.iter().map(dim).collect() });
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: name.into(), r#type: Some(kind), ..ValueInfoProto::default() }
}

/// Two convolutions, one behind the other, and what else stands between them.
fn chain(between: &str) -> Vec<u8> {
    let node = |op: &str, input: &[&str], output: &str| NodeProto {
        op_type: op.into(),
        name: format!("the {output}"),
        input: input.iter().map(|&name| name.into()).collect(),
        output: vec![output.into()],
        ..NodeProto::default()
    };
    let weights = |name: &str, channels: i64| TensorProto {
        name: name.into(),
        dims: vec![2, channels, 1, 1],
        data_type: DataType::Float as i32,
        float_data: (0..2 * channels).map(|i| 0.5 - 0.25 * i as f32).collect(),
        ..TensorProto::default()
    };
    let graph = GraphProto {
        name: "chain".into(),
        node: vec![
            node("Conv", &["x", "v"], "first"),
            node(between, &["first"], "between"),
            node("Conv", &["between", "w"], "second"),
            node("GlobalAveragePool", &["second"], "mean"),
            node("Flatten", &["mean"], "y"),
        ],
        initializer: vec![weights("v", 3), weights("w", 2)],
        input: vec![value("x", &[1, 3, 8, 8])],
        output: vec![value("y", &[1, 2])],
        ..GraphProto::default()
    };
    let opset = OperatorSetIdProto { domain: String::new(), version: 13 };
    let model = ModelProto { ir_version: 8, opset_import: vec![opset], graph: Some(graph), ..ModelProto::default() };
    model.encode_to_vec()
}

#[test]
fn a_network_of_which_nothing_is_fused_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let why = "it has no branches that come together: no dense block, no sum, no concatenation";
    for (between, expected) in [
        ("Relu", &["the first (Conv): "][..]),
        ("Softsign", &["the between (Softsign): ", "the first (Conv): ", "the second (Conv): "]),
    ] {
        std::fs::write(folder.path().join("chain.onnx"), chain(between)).unwrap();
        let run = |more: &[&str]| densight(folder.path(), &[&["inspect", "chain.onnx"], more].concat());
        let text = stdout(&run(&["--executed"]));
        let left: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("left to tract: ")).collect();
        assert_eq!(left.len(), expected.len(), "{text}");
        for (left, expected) in left.iter().zip(expected) {
            assert!(left.starts_with(expected) && (left.ends_with(why) || expected.contains("Softsign")), "{text}");
        }
        let json: serde_json::Value = serde_json::from_str(&stdout(&run(&["--executed", "--json"]))).unwrap();
        let reasons = json["executed"]["left"].as_array().unwrap();
        assert_eq!(reasons.len(), expected.len());
        assert_eq!(reasons.last().unwrap()["reason"], why);
        fails(&run(&["--require-int8", "50"]), 3, &["50 % are required; left to tract: ", expected[0], why]);
    }
}

#[test]
fn who_runs_a_network_that_is_left_to_tract_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("chain.onnx"), chain("Relu")).unwrap();
    let output = densight(folder.path(), &["classify", "--model", "chain.onnx", cat().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(
        said.starts_with(
            "0.0 % of the multiply-adds run in Densight's kernels, the rest in tract's: the first (Conv): "
        )
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    let output = densight(folder.path(), &["classify", cat().to_str().unwrap()]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
}
