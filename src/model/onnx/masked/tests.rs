use tract_onnx::pb::{AttributeProto, TensorProto};

use super::super::super::Tensor;
use super::super::nodes::{Nodes, initializer, ints, value};
use super::*;

type Line<'a> = (&'a str, &'a [&'a str], &'a str, Vec<AttributeProto>);

fn whole(name: &str, dims: &[i64], values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: DataType::Int64 as i32,
        int64_data: values.to_vec(),
        ..Default::default()
    }
}

/// Twice the values of `x` [1, 3, 1, 2] that are less than `limit`, written over `base`, with some lines in the place of others.
fn doubled(changed: &[Line<'_>]) -> Result<GraphProto, String> {
    let lines: [Line<'_>; 8] = [
        ("Less", &["x", "limit"], "mask", vec![]),
        ("NonZero", &["mask"], "axes", vec![]),
        ("Transpose", &["axes"], "at", vec![]),
        ("GatherND", &["x", "at"], "some", vec![]),
        ("Mul", &["some", "two"], "twice", vec![]),
        ("Reshape", &["twice", "flat"], "list", vec![]),
        ("Expand", &["mask", "dims"], "again", vec![]),
        ("ScatterND", &["base", "at", "list"], "y", vec![]),
    ];
    let mut nodes = Nodes::default();
    for (op, inputs, output, attributes) in &lines {
        match changed.iter().find(|(_, _, of, _)| of == output) {
            Some((op, inputs, _, attributes)) => {
                nodes.add_to(op, output, inputs, attributes.clone(), (*output).into());
            }
            None => {
                nodes.add_to(op, output, inputs, attributes.clone(), (*output).into());
            }
        }
    }
    let tensor = |name: &str, shape: &[usize], values: &[f32]| {
        initializer(name, &Tensor { shape: shape.to_vec(), data: values.to_vec() })
    };
    let mut graph = GraphProto {
        node: nodes.list,
        input: vec![value("x", &[1, 3, 1, 2])],
        output: vec![value("y", &[1, 3, 1, 2])],
        initializer: vec![
            tensor("limit", &[1], &[0.5]),
            tensor("two", &[], &[2.0]),
            tensor("pair", &[2], &[2.0, 3.0]),
            tensor("base", &[1, 3, 1, 2], &[0.0; 6]),
            tensor("wide", &[1, 3, 2, 2], &[0.0; 12]),
            whole("flat", &[1], &[-1]),
            whole("dims", &[4], &[1, 3, 1, 2]),
            whole("first", &[1], &[0]),
            whole("three", &[1], &[3]),
        ],
        ..Default::default()
    };
    let input = GraphInput { name: "x".into(), channels: 3, height: 1, width: 2, channels_last: false };
    fold(&mut graph, &input, &Limits::default())?;
    Ok(graph)
}

fn operators(graph: &GraphProto) -> Vec<&str> {
    graph.node.iter().map(|node| node.op_type.as_str()).collect()
}

#[test]
fn a_masked_assignment_becomes_a_choice() {
    let graph = doubled(&[]).unwrap();
    // The mask expanded to what it is stays, as nobody says that it is read.
    assert_eq!(operators(&graph), ["Less", "Mul", "Expand", "Where"]);
    let [mask, twice, .., chosen] = graph.node.as_slice() else { panic!() };
    assert_eq!(twice.input, ["x", "two"]);
    assert_eq!(chosen.input, [&mask.output[0], &twice.output[0], "base"]);
    assert_eq!(chosen.output, ["y"]);
}

#[test]
fn one_mask_may_be_listed_more_than_once() {
    let graph = doubled(&[("NonZero", &["again"], "list", vec![]), ("Transpose", &["list"], "at 2", vec![])]);
    assert!(graph.is_err(), "what is written back is no list of values");
    let written: [Line<'_>; 1] = [("ScatterND", &["base", "at", "some"], "y", vec![])];
    let graph = doubled(&written).unwrap();
    assert_eq!(graph.node.last().unwrap().input, ["mask", "x", "base"]);
}

#[test]
fn whatever_is_no_such_assignment_is_refused() {
    let cases: [(&str, Line<'_>); 8] = [
        ("positions by axis", ("Identity", &["axes"], "at", vec![])),
        ("not turned", ("Transpose", &["axes"], "at", vec![ints("perm", &[0, 1])])),
        ("not one number", ("Mul", &["some", "pair"], "twice", vec![])),
        ("not each its own", ("Softmax", &["some"], "twice", vec![])),
        ("not a list", ("Reshape", &["twice", "dims"], "list", vec![])),
        ("another length", ("Slice", &["twice", "first", "three"], "list", vec![])),
        ("other extents", ("ScatterND", &["wide", "at", "list"], "y", vec![])),
        ("no list of values", ("ScatterND", &["base", "at", "x"], "y", vec![])),
    ];
    for (name, line) in cases {
        let error = doubled(&[line]).unwrap_err();
        assert!(error.contains("NonZero") && error.contains("depends on the picture"), "{name}: {error}");
    }
}

#[test]
fn other_graphs_stay_as_they_are() {
    let mut graph = GraphProto::default();
    let input = GraphInput { name: "x".into(), channels: 3, height: 1, width: 2, channels_last: false };
    fold(&mut graph, &input, &Limits::default()).unwrap();
    assert_eq!(graph, GraphProto::default());
}
