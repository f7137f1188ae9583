use tract_onnx::pb::{AttributeProto, GraphProto, OperatorSetIdProto, TensorProto, ValueInfoProto};

use super::super::nodes::{float, int, ints};
use super::table::TABLE;
use super::*;

/// Operators on whose names the fuser, the evaluation of constants and the expansion of quantized operators match.
const READ_HERE: &[&str] = &[
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Clip",
    "Concat",
    "Constant",
    "Conv",
    "DequantizeLinear",
    "Div",
    "Dropout",
    "Flatten",
    "Gather",
    "Gemm",
    "GlobalAveragePool",
    "Identity",
    "MatMul",
    "MaxPool",
    "Mul",
    "Neg",
    "QGemm",
    "QLinearAdd",
    "QLinearAveragePool",
    "QLinearConcat",
    "QLinearConv",
    "QLinearGlobalAveragePool",
    "QLinearLeakyRelu",
    "QLinearMatMul",
    "QLinearMul",
    "QLinearSigmoid",
    "QLinearSoftmax",
    "QuantizeLinear",
    "Reciprocal",
    "ReduceMean",
    "Relu",
    "Reshape",
    "Shape",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Transpose",
    "Unsqueeze",
];

fn opsets(opset: i64) -> Opsets {
    let import = |domain: &str, version| OperatorSetIdProto { domain: domain.into(), version };
    Opsets::of(&[import("", opset), import(MICROSOFT, 1)]).unwrap()
}

fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::String as i32,
        s: value.as_bytes().to_vec(),
        ..Default::default()
    }
}

/// A value that an attribute can have.
fn allowed(attribute: &Attribute) -> AttributeProto {
    let name = attribute.name;
    let low = if let Allowed::Between(low, _) = attribute.values { low } else { 0 };
    match attribute.kind {
        AttributeType::Int => int(name, low),
        AttributeType::Ints => ints(name, &[low.max(1), low.max(1)]),
        AttributeType::Float => float(name, 1.0),
        AttributeType::Floats => AttributeProto {
            name: name.into(),
            r#type: AttributeType::Floats as i32,
            floats: vec![1.0],
            ..Default::default()
        },
        AttributeType::String => match attribute.values {
            Allowed::Texts(texts) => text(name, texts[0]),
            _ => text(name, "ij->ji"),
        },
        _ => AttributeProto {
            name: name.into(),
            r#type: AttributeType::Tensor as i32,
            t: Some(TensorProto::default()),
            ..Default::default()
        },
    }
}

/// A value that it cannot have, if there is one.
fn forbidden(name: &str, values: Allowed, kind: AttributeType) -> Option<AttributeProto> {
    Some(match (values, kind) {
        (Allowed::Between(low, _), AttributeType::Int) if low > i64::MIN => int(name, low - 1),
        (Allowed::Between(_, high), AttributeType::Int) => int(name, high + 1),
        (Allowed::Between(low, _), _) => ints(name, &[low - 1, low]),
        (Allowed::Exactly(value), _) => float(name, value + 1.0),
        (Allowed::Texts(_), _) => text(name, "magic"),
        (Allowed::Any, AttributeType::Float) => float(name, f32::INFINITY),
        (Allowed::Any, _) => return None,
    })
}

/// A node with as little as the row asks for.
fn least(row: &Definition) -> NodeProto {
    let mut attribute: Vec<AttributeProto> = row.attributes.iter().filter(|a| a.required).map(allowed).collect();
    if row.name == "Constant" {
        attribute.push(allowed(&row.attributes[0]));
    }
    let mut node = NodeProto {
        name: "n".into(),
        op_type: row.name.into(),
        domain: row.domain.into(),
        input: (0..row.inputs.0).map(|at| format!("x{at}")).collect(),
        output: (0..row.outputs.0).map(|at| format!("y{at}")).collect(),
        attribute,
        ..Default::default()
    };
    // One of the two is needed.
    if row.name == "Split" && row.opsets.0 == 18 {
        node.attribute.push(int("num_outputs", 1));
    }
    node
}

fn checked(node: NodeProto, opset: i64) -> Result<(), String> {
    let graph = GraphProto { node: vec![node], ..Default::default() };
    check(&graph, &[], &opsets(opset))
}

fn opset_of(row: &Definition) -> i64 {
    if row.domain.is_empty() { row.opsets.0 } else { NEWEST }
}

#[test]
fn rows_are_in_order_and_no_two_are_for_one_opset() {
    for pair in TABLE.windows(2) {
        let keys = [&pair[0], &pair[1]].map(|row| (row.name, row.domain, row.opsets.0));
        assert!(keys[0] < keys[1], "{keys:?}");
        assert!(keys[0].0 != keys[1].0 || keys[0].1 != keys[1].1 || pair[0].opsets.1 + 1 == keys[1].2, "{keys:?}");
    }
    for row in TABLE {
        let last = if row.domain.is_empty() { NEWEST } else { 1 };
        let known = |attribute: &str| row.attributes.iter().filter(|other| other.name == attribute).count();
        assert!(row.opsets.0 <= row.opsets.1 && row.opsets.1 <= last, "{}", row.name);
        assert!(row.attributes.iter().all(|attribute| known(attribute.name) == 1), "{}", row.name);
    }
}

#[test]
fn what_is_read_here_is_in_the_table() {
    for name in READ_HERE {
        assert!(TABLE.iter().any(|row| row.name == *name), "{name}");
    }
    // Newer rows go on from older ones to the newest opset.
    for row in TABLE.iter().filter(|row| row.domain.is_empty()) {
        assert!(TABLE.iter().any(|other| other.name == row.name && other.opsets.1 == NEWEST), "{}", row.name);
    }
}

#[test]
fn each_row_takes_the_least_and_nothing_unknown() {
    for row in TABLE {
        let opset = opset_of(row);
        assert_eq!(checked(least(row), opset), Ok(()), "{} {opset}", row.name);
        let refused = |change: &dyn Fn(&mut NodeProto), what: &str| {
            let mut node = least(row);
            change(&mut node);
            let said = checked(node, opset).expect_err(&format!("{}: {what}", row.name));
            assert!(said.starts_with(&format!("node n ({}): ", row.name)), "{said}");
            said
        };
        let said = refused(&|node| node.attribute.push(int("magic", 7)), "an unknown attribute");
        assert!(said.contains("magic (7)"), "{said}");
        refused(&|node| node.domain = "com.example".into(), "an unknown domain");
        let mut renamed = least(row);
        renamed.op_type += "X";
        assert!(checked(renamed, opset).is_err(), "{}", row.name);
        if row.inputs.1 < 100 {
            refused(&|node| node.input = vec!["x".into(); row.inputs.1 + 1], "too many inputs");
        }
        if row.inputs.0 > 0 {
            refused(&|node| node.input.truncate(row.inputs.0 - 1), "too few inputs");
            refused(&|node| node.input[0] = String::new(), "no first input");
        }
        refused(&|node| node.output.clear(), "no output");
        let first = TABLE.iter().find(|other| (other.name, other.domain) == (row.name, row.domain)).unwrap().opsets.0;
        if row.domain.is_empty() && first > OLDEST {
            assert!(checked(least(row), first - 1).unwrap_err().contains("version"), "{}", row.name);
        }
    }
}

#[test]
fn each_attribute_is_held_to_its_type_and_values() {
    for row in TABLE {
        let opset = opset_of(row);
        for attribute in row.attributes {
            let with = |given: AttributeProto| {
                let mut node = least(row);
                node.attribute.retain(|other| other.name != attribute.name && row.name != "Constant");
                node.attribute.push(given);
                node
            };
            let at = format!("{} {}", row.name, attribute.name);
            let mut typed = allowed(attribute);
            typed.r#type = AttributeType::Graph as i32;
            assert!(checked(with(typed), opset).is_err(), "{at}");
            let mut twice = with(allowed(attribute));
            twice.attribute.push(allowed(attribute));
            assert!(checked(twice, opset).is_err(), "{at}");
            if let Some(value) = forbidden(attribute.name, attribute.values, attribute.kind) {
                let said = checked(with(value), opset).expect_err(&at);
                assert!(said.contains(attribute.name), "{said}");
            }
            // What only tract does is left to it.
            if let Some(value) = forbidden(attribute.name, attribute.fused, attribute.kind) {
                assert!(understood(&with(value)).is_err_and(|said| said.contains(attribute.name)), "{at}");
            }
        }
    }
}

#[test]
fn attributes_that_change_what_an_operator_means_are_not_fused() {
    let node = |op: &str, attribute| NodeProto { op_type: op.into(), attribute: vec![attribute], ..Default::default() };
    for node in [
        node("DequantizeLinear", int("block_size", 2)),
        node("MaxPool", ints("dilations", &[2, 2])),
        node("Gemm", float("alpha", 0.5)),
        node("Gemm", int("transA", 1)),
        node("ReduceMean", int("noop_with_empty_axes", 1)),
        node("Relu", int("magic", 1)),
    ] {
        assert!(understood(&node).is_err(), "{node:?}");
    }
    assert_eq!(understood(&node("Conv", ints("dilations", &[1, 1]))), Ok(()));
}

#[test]
fn opsets_that_are_not_read_are_refused() {
    let import = |domain: &str, version| OperatorSetIdProto { domain: domain.into(), version };
    assert!(Opsets::of(&[import("", 6)]).unwrap_err().contains("opset 6"));
    assert!(Opsets::of(&[import("", NEWEST + 1)]).is_err());
    assert!(Opsets::of(&[import("com.microsoft", 1)]).is_err());
    assert!(Opsets::of(&[import("", 17), import("ai.onnx", 13)]).unwrap_err().contains("two versions"));
    assert!(Opsets::of(&[import("", 17), import("ai.onnx", 17)]).is_ok());
}

#[test]
fn graphs_within_graphs_and_functions_are_refused_by_name() {
    let node = |op: &str| NodeProto { name: "n".into(), op_type: op.into(), ..Default::default() };
    assert!(checked(node("If"), 17).unwrap_err().contains("no graphs within a graph"));
    let graph = GraphProto { node: vec![node("Relu")], ..Default::default() };
    assert!(check(&graph, &[("Relu", "")], &opsets(17)).unwrap_err().contains("function"));
}

#[test]
fn nodes_are_put_in_order_and_what_is_missing_is_named() {
    let node = |name: &str, input: &str, output: &str| NodeProto {
        name: name.into(),
        op_type: "Relu".into(),
        input: vec![input.into()],
        output: vec![output.into()],
        ..Default::default()
    };
    let value = |name: &str| ValueInfoProto { name: name.into(), ..Default::default() };
    let graph = |node: Vec<NodeProto>| GraphProto {
        node,
        input: vec![value("x")],
        output: vec![value("y")],
        ..Default::default()
    };
    let mut turned = graph(vec![node("b", "a", "y"), node("a", "x", "a")]);
    assert_eq!(sort(&mut turned), Ok(()));
    assert_eq!(turned.node[0].name, "a");
    let said = |nodes| sort(&mut graph(nodes)).unwrap_err();
    assert!(said(vec![node("a", "z", "y")]).contains("node a (Relu) reads z"));
    assert!(said(vec![node("a", "x", "a")]).contains("output y"));
    assert!(said(vec![node("a", "b", "y"), node("b", "y", "b")]).contains("node a (Relu) depends on itself"));
    assert!(said(vec![node("a", "x", "y"), node("b", "x", "y")]).contains("node b (Relu) gives y"));
}

#[test]
fn nodes_of_one_name_get_names_of_their_own() {
    let node = |name: &str, output: &str| NodeProto {
        name: name.into(),
        op_type: "Relu".into(),
        output: vec![output.into()],
        ..Default::default()
    };
    let input = vec![ValueInfoProto { name: "x".into(), ..Default::default() }];
    let nodes = vec![node("a", "p"), node("a", "q"), node("a 2", "r"), node("", "a"), node("x", "s"), node("", "t")];
    let initializer = vec![TensorProto { name: "a 4".into(), ..Default::default() }];
    let mut graph = GraphProto { node: nodes, input, initializer, ..Default::default() };
    distinguish(&mut graph);
    let names: Vec<&str> = graph.node.iter().map(|node| node.name.as_str()).collect();
    // The node without a name is called as the tensor that it writes.
    assert_eq!(names, ["a 2", "a 3", "a 2 2", "", "x 2", ""]);
    graph.node.insert(0, node("a 4", "v"));
    distinguish(&mut graph);
    assert_eq!(graph.node[0].name, "a 4 2");
    graph.node.push(node("densight.fused.0", "u"));
    assert!(sort(&mut graph).unwrap_err().contains("densight.fused.0"));
}

#[test]
fn names_that_say_nothing_are_dropped() {
    let mut graph = GraphProto {
        node: vec![NodeProto {
            input: vec!["x".into(), String::new(), String::new()],
            output: vec!["y".into(), String::new()],
            ..Default::default()
        }],
        ..Default::default()
    };
    tidy(&mut graph);
    assert_eq!((graph.node[0].input.len(), graph.node[0].output.len()), (1, 1));
}

/// As many windows as rounding up gives, but for those that begin behind the input, each within the padding.
#[test]
fn pads_without_ceil_give_the_same_windows() {
    for (side, kernel, stride) in (1i64..9).flat_map(|a| (1..5).flat_map(move |b| (1..5).map(move |c| (a, b, c)))) {
        for (before, behind) in (0..kernel).flat_map(|before| (0..kernel).map(move |behind| (before, behind))) {
            let room = side + before + behind - kernel;
            if room < 0 {
                continue;
            }
            let node = NodeProto {
                attribute: vec![
                    ints("kernel_shape", &[kernel]),
                    ints("strides", &[stride]),
                    ints("pads", &[before, behind]),
                ],
                ..Default::default()
            };
            let starts = (0..=(room + stride - 1) / stride).filter(|window| window * stride < side + before).count();
            let pads = pads_without_ceil(&node);
            assert_eq!(pads[0], before);
            assert!(pads[1] < kernel);
            let windows = (side + before + pads[1] - kernel) / stride + 1;
            assert_eq!(windows, starts as i64, "{side} {kernel} {stride} {before} {behind}");
        }
    }
}
