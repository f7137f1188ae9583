use tract_onnx::pb::{AttributeProto, TensorProto, ValueInfoProto, tensor_proto::DataType};

use super::super::super::Tensor;
use super::super::nodes::{Nodes, float, initializer, text};
use super::*;

/// A graph of some nodes `(operator, inputs, attributes)`, which write `n0`, `n1`, …; the last is the output.
fn graph(list: Vec<(&str, &[&str], Vec<AttributeProto>)>) -> GraphProto {
    let mut nodes = Nodes::default();
    for (op, inputs, attributes) in list {
        let name = format!("n{}", nodes.list.len());
        nodes.add_to(op, &name, inputs, attributes, name.clone());
    }
    let whole = |name: &str, kind: DataType, values: &[i64], dims: Vec<i64>| TensorProto {
        name: name.into(),
        dims,
        data_type: kind as i32,
        int64_data: if kind == DataType::Int64 { values.to_vec() } else { vec![] },
        int32_data: if kind == DataType::Int64 { vec![] } else { values.iter().map(|&v| v as i32).collect() },
        ..Default::default()
    };
    let real = |name: &str, value: f32| initializer(name, &Tensor { shape: vec![], data: vec![value] });
    let initializer = vec![
        whole("none", DataType::Int64, &[0; 8], vec![8]),
        whole("one", DataType::Int64, &[0, 0, 1, 1, 0, 0, 1, 1], vec![8]),
        whole("cut", DataType::Int64, &[0, 0, -1, 0, 0, 0, 0, 0], vec![8]),
        whole("more", DataType::Int64, &[0, 1, 0, 0, 0, 0, 0, 0], vec![8]),
        whole("sides", DataType::Int64, &[1, 2, 1, 2], vec![4]),
        whole("last", DataType::Int64, &[-2, 3], vec![2]),
        whole("zero", DataType::Uint8, &[0], vec![]),
        whole("zero 7", DataType::Uint8, &[7], vec![]),
        real("0", 0.0),
        real("6", 6.0),
        real("-1", -1.0),
        real("-inf", f32::NEG_INFINITY),
        real("scale", 0.5),
    ];
    let last = nodes.list.last().unwrap().name.clone();
    let output = vec![ValueInfoProto { name: last, ..Default::default() }];
    GraphProto { node: nodes.list, initializer, output, ..Default::default() }
}

/// What is left of `Pad` nodes, and the padding of the last node.
fn folded(list: Vec<(&str, &[&str], Vec<AttributeProto>)>) -> (usize, Vec<i64>) {
    let mut graph = graph(list);
    fold(&mut graph, &Limits::DEFAULT);
    let last = graph.node.last().unwrap();
    (graph.node.iter().filter(|node| node.op_type == "Pad").count(), last.ints("pads").unwrap_or_default().to_vec())
}

fn pool(side: i64) -> Vec<AttributeProto> {
    vec![ints("kernel_shape", &[side, side])]
}

#[test]
fn pads_of_nothing_are_dropped_whatever_reads_them() {
    assert_eq!(folded(vec![("Pad", &["x", "none"], vec![]), ("Exp", &["n0"], vec![])]).0, 0);
    let by_attribute = vec![("Pad", &["x"][..], vec![ints("pads", &[0; 8]), text("mode", "reflect")])];
    assert_eq!(folded(by_attribute).0, 0);
    assert_eq!(folded(vec![("Pad", &["x", "unknown"], vec![]), ("Exp", &["n0"], vec![])]).0, 1);
}

#[test]
fn a_convolution_takes_zeros_over() {
    let conv = |inputs: &'static [&'static str], attributes: Vec<AttributeProto>| {
        folded(vec![("Pad", inputs, vec![]), ("Conv", &["n0", "w"], attributes)])
    };
    assert_eq!(conv(&["x", "one"], vec![]), (0, vec![1, 1, 1, 1]));
    assert_eq!(conv(&["x", "one"], vec![ints("pads", &[0, 1, 2, 3])]), (0, vec![1, 2, 3, 4]));
    assert_eq!(conv(&["x", "one", "0"], vec![text("auto_pad", "VALID")]), (0, vec![1, 1, 1, 1]));
    assert_eq!(conv(&["x", "sides", "", "last"], vec![]), (0, vec![1, 2, 1, 2]), "axes -2 and 3");
    // Another value, another axis, less instead of more, padding that depends on the extents.
    assert_eq!(conv(&["x", "one", "-1"], vec![]).0, 1);
    assert_eq!(conv(&["x", "more"], vec![]).0, 1);
    assert_eq!(conv(&["x", "cut"], vec![]).0, 1);
    assert_eq!(conv(&["x", "one"], vec![text("auto_pad", "SAME_UPPER")]).0, 1);
    let two = vec![("Pad", &["x", "one"][..], vec![]), ("Pad", &["n0", "one"], vec![]), ("Conv", &["n1", "w"], vec![])];
    assert_eq!(folded(two), (0, vec![2, 2, 2, 2]));
    // Older opsets have it all in attributes.
    let old = |value: f32| vec![ints("pads", &[0, 0, 1, 1, 0, 0, 1, 1]), float("value", value)];
    let with = |value: f32| folded(vec![("Pad", &["x"], old(value)), ("Conv", &["n0", "w"], vec![])]);
    assert_eq!((with(0.0), with(1.0).0), ((0, vec![1, 1, 1, 1]), 1));
}

#[test]
fn what_stands_between_is_looked_through() {
    let through = |between: Vec<(&'static str, &'static [&'static str])>| {
        let mut list: Vec<(&str, &[&str], Vec<AttributeProto>)> = vec![("Pad", &["x", "one"], vec![])];
        list.extend(between.into_iter().map(|(op, inputs)| (op, inputs, vec![])));
        let last: &[&str] = if list.len() == 2 { &["n1", "w"] } else { &["n2", "w"] };
        list.push(("Conv", last, vec![]));
        folded(list).0
    };
    assert_eq!(
        through(vec![("QuantizeLinear", &["n0", "scale", "zero 7"]), ("DequantizeLinear", &["n1", "scale", "zero 7"])]),
        0
    );
    assert_eq!(
        through(vec![("QuantizeLinear", &["n0", "scale", "zero 7"]), ("DequantizeLinear", &["n1", "scale", "zero"])]),
        1
    );
    assert_eq!(through(vec![("Relu", &["n0"])]), 0);
    assert_eq!(through(vec![("Clip", &["n0", "0", "6"])]), 0);
    assert_eq!(through(vec![("Clip", &["n0", "6"])]), 1, "0 becomes 6");
    assert_eq!(through(vec![("Exp", &["n0"])]), 1);
}

#[test]
fn a_max_pool_takes_over_what_is_never_the_greatest() {
    let behind = |before: (&'static str, &'static [&'static str]), value: &'static [&'static str], side: i64| {
        folded(vec![(before.0, before.1, vec![]), ("Pad", value, vec![]), ("MaxPool", &["n1"], pool(side))])
    };
    let zeros: &[&str] = &["n0", "one"];
    assert_eq!(behind(("Relu", &["x"]), zeros, 3), (0, vec![1, 1, 1, 1]));
    assert_eq!(behind(("Clip", &["x", "0", "6"]), zeros, 3).0, 0);
    assert_eq!(behind(("Exp", &["x"]), zeros, 3).0, 1, "it is not known to be positive");
    assert_eq!(behind(("Clip", &["x", "-1"]), zeros, 3).0, 1);
    assert_eq!(behind(("Clip", &["x", "-1"]), &["n0", "one", "-1"], 3).0, 0);
    assert_eq!(behind(("Exp", &["x"]), &["n0", "one", "-inf"], 3).0, 0);
    assert_eq!(behind(("Relu", &["x"]), zeros, 1).0, 1, "a window would see nothing else");
    let up = vec![
        ("Relu", &["x"][..], vec![]),
        ("Pad", &["n0", "one"], vec![]),
        ("MaxPool", &["n1"], [pool(3), vec![int("ceil_mode", 1)]].concat()),
    ];
    assert_eq!(folded(up).0, 1);
    let coded = |zero: &'static str, other: &'static str| {
        let (quantize, decode): (&[&str], &[&str]) = match (zero, other) {
            ("zero", _) => (&["n0", "scale", "zero"], &["n1", "scale", "zero"]),
            _ => (&["n0", "scale", "zero 7"], &["n1", "scale", "zero 7"]),
        };
        folded(vec![
            ("Relu", &["x"], vec![]),
            ("QuantizeLinear", quantize, vec![]),
            ("DequantizeLinear", decode, vec![]),
            ("Pad", &["n2", "one"], vec![]),
            ("MaxPool", &["n3"], pool(3)),
        ])
        .0
    };
    assert_eq!((coded("zero", ""), coded("zero 7", "")), (0, 0));
}

#[test]
fn an_average_pool_counts_what_it_takes_over() {
    let pooled = |attributes: Vec<AttributeProto>| {
        let mut graph =
            graph(vec![("Pad", &["x", "one"], vec![]), ("AveragePool", &["n0"], [pool(3), attributes].concat())]);
        fold(&mut graph, &Limits::DEFAULT);
        let last = graph.node.last().unwrap();
        (graph.node[0].op_type.clone(), last.ints("pads").map(<[i64]>::to_vec), last.int("count_include_pad"))
    };
    assert_eq!(pooled(vec![]), ("Identity".into(), Some(vec![1; 4]), Some(1)));
    assert_eq!(pooled(vec![ints("pads", &[1; 4]), int("count_include_pad", 1)]).1, Some(vec![2; 4]));
    assert_eq!(pooled(vec![ints("pads", &[1; 4])]).0, "Pad", "its own padding does not count");
}

#[test]
fn it_moves_into_all_readers_or_none() {
    let both = |second: &'static str| {
        let list =
            vec![("Pad", &["x", "one"][..], vec![]), ("Conv", &["n0", "w"], vec![]), (second, &["n0", "w"], vec![])];
        folded(list).0
    };
    assert_eq!((both("Conv"), both("Add")), (0, 1));
    // A tensor that leaves the graph keeps its extents.
    assert_eq!(folded(vec![("Conv", &["x", "w"], vec![]), ("Pad", &["n0", "one"], vec![])]).0, 1);
}
