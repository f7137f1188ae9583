use tract_onnx::pb::{AttributeProto, GraphProto, TensorProto};

use super::super::super::super::{Limits, Tensor};
use super::super::super::nodes::{Nodes, float, initializer, int, ints, text};
use super::*;

/// An operator, its inputs and attributes, and the extents of what it gives; none where they cannot be told.
type Case = (&'static str, &'static [&'static str], Vec<AttributeProto>, &'static [usize]);

/// Extents of a node's outputs, by ONNX's own shape inference as recorded here, for an `x` of `[1, 4, 6, 9]`.
fn of(op: &str, inputs: &[&str], attributes: Vec<AttributeProto>, outputs: usize) -> Option<Vec<Vec<usize>>> {
    let mut nodes = Nodes::default();
    nodes.add_to(op, "n", inputs, attributes, "y".into());
    nodes.list[0].output.extend((1..outputs).map(|at| format!("y{at}")));
    let list = |name: &str, values: &[i64]| TensorProto {
        name: name.into(),
        dims: vec![values.len() as i64],
        data_type: DataType::Int64 as i32,
        int64_data: values.to_vec(),
        ..Default::default()
    };
    let real = |name: &str, shape: &[usize]| {
        initializer(name, &Tensor { shape: shape.to_vec(), data: vec![2.0; shape.iter().product()] })
    };
    let initializer = vec![
        list("order", &[2, 1, 0]),
        list("starts", &[1, -1]),
        list("ends", &[i64::MAX, i64::MIN]),
        list("axes", &[2, -1]),
        list("steps", &[2, -2]),
        list("parts", &[1, 3]),
        list("twice", &[1, 1, 2, 2]),
        list("pads", &[0, 0, 1, 2, 0, 0, 3, -4]),
        list("sides", &[1, 3]),
        list("flat", &[1, -1]),
        list("sizes", &[1, 4, 12, 5]),
        real("w", &[8, 4, 3, 3]),
        real("t", &[4, 5, 2, 2]),
        real("scales", &[4]),
        real("row", &[9, 7]),
        real("column", &[4, 1, 1]),
    ];
    let graph = GraphProto { node: nodes.list, initializer, ..Default::default() };
    let constants = Constants::of(&graph, Limits::DEFAULT.constants);
    let known = |name: &String| match name.as_str() {
        "x" => Some((vec![1, 4, 6, 9], DataType::Float)),
        name => constants.extents(name),
    };
    let inputs: Vec<Option<Extents>> = graph.node[0].input.iter().map(known).collect();
    inferred(&graph.node[0], &inputs, &constants).map(|outputs| outputs.into_iter().map(|(dims, _)| dims).collect())
}

#[test]
fn extents_are_onnxs() {
    let cases: Vec<Case> = vec![
        ("Sigmoid", &["x"], vec![], &[1, 4, 6, 9]),
        ("Add", &["x", "column"], vec![], &[1, 4, 6, 9]),
        ("Gather", &["x", "order"], vec![int("axis", 1)], &[1, 3, 6, 9]),
        ("Transpose", &["x"], vec![ints("perm", &[0, 2, 3, 1])], &[1, 6, 9, 4]),
        ("Concat", &["x", "x"], vec![int("axis", -2)], &[1, 4, 12, 9]),
        ("Slice", &["x", "starts", "ends", "axes", "steps"], vec![], &[1, 4, 3, 5]),
        ("Slice", &["x"], vec![ints("starts", &[1]), ints("ends", &[-1]), ints("axes", &[3])], &[1, 4, 6, 7]),
        ("Tile", &["x", "twice"], vec![], &[1, 4, 12, 18]),
        ("Pad", &["x", "pads"], vec![], &[1, 4, 10, 7]),
        ("Pad", &["x", "sides", "", "last"], vec![], &[]),
        ("Reshape", &["x", "flat"], vec![], &[1, 216]),
        ("Flatten", &["x"], vec![int("axis", 2)], &[4, 54]),
        ("Resize", &["x", "", "scales"], vec![], &[2, 8, 12, 18]),
        ("Resize", &["x", "", "", "sizes"], vec![], &[1, 4, 12, 5]),
        ("DepthToSpace", &["x"], vec![int("blocksize", 2)], &[1, 1, 12, 18]),
        ("SpaceToDepth", &["x"], vec![int("blocksize", 3)], &[1, 36, 2, 3]),
        ("Conv", &["x", "w"], vec![ints("pads", &[1; 4]), ints("strides", &[2, 2])], &[1, 8, 3, 5]),
        ("Conv", &["x", "w"], vec![text("auto_pad", "SAME_UPPER"), int("group", 1)], &[1, 8, 6, 9]),
        ("ConvTranspose", &["x", "t"], vec![ints("strides", &[2, 2])], &[1, 5, 12, 18]),
        ("AveragePool", &["x"], vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])], &[1, 4, 3, 4]),
        ("GlobalMaxPool", &["x"], vec![], &[1, 4, 1, 1]),
        ("ReduceMax", &["x"], vec![ints("axes", &[-1, 2]), int("keepdims", 0)], &[1, 4]),
        ("ReduceSum", &["x"], vec![], &[1, 1, 1, 1]),
        ("MatMul", &["x", "row"], vec![], &[1, 4, 6, 7]),
        ("LeakyRelu", &["x"], vec![float("alpha", 0.1)], &[1, 4, 6, 9]),
        ("Expand", &["x", "twice"], vec![], &[]),
        ("Add", &["x", "row"], vec![], &[]),
        ("Einsum", &["x"], vec![], &[]),
        ("Reshape", &["x", "unknown"], vec![], &[]),
    ];
    for (op, inputs, attributes, expected) in cases {
        let found = of(op, inputs, attributes, 1);
        let expected = (!expected.is_empty()).then(|| vec![expected.to_vec()]);
        assert_eq!(found, expected, "{op} {inputs:?}");
    }
}

#[test]
fn each_part_of_a_split_is_known() {
    let parts = |inputs: &[&str], attributes, count| {
        let dims = of("Split", inputs, attributes, count)?;
        Some(dims.into_iter().map(|dims| dims[1]).collect::<Vec<_>>())
    };
    assert_eq!(parts(&["x", "parts"], vec![int("axis", 1)], 2), Some(vec![1, 3]));
    assert_eq!(parts(&["x"], vec![int("axis", 1), ints("split", &[3, 1])], 2), Some(vec![3, 1]));
    assert_eq!(parts(&["x"], vec![int("axis", 1)], 2), Some(vec![2, 2]));
    assert_eq!(parts(&["x"], vec![int("axis", 1)], 3), None, "the last would be empty");
    assert_eq!(parts(&["x", "parts"], vec![int("axis", 2)], 2), None);
}
