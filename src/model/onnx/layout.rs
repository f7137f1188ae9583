//! Transpositions that exporters of channels-last networks leave in the graph, and that do nothing.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::{GraphProto, NodeProto};

use super::super::Limits;
use super::fuse::{Attributes, Constants};

/// Drops transpositions that undo each other, and those of pooled features in front of a node that makes a list of them. The nodes of
/// `graph` are in order.
pub(super) fn fold(graph: &mut GraphProto, limits: &Limits) {
    if !graph.node.iter().any(|node| node.op_type == "Transpose") {
        return;
    }
    let mut rewired: Vec<(usize, String, bool)> = Vec::new();
    {
        let constants = Constants::of(graph, limits.constants);
        let makers: HashMap<&str, &NodeProto> =
            graph.node.iter().flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node))).collect();
        for (at, node) in graph.node.iter().enumerate() {
            let Some(before) = node.input.first().and_then(|name| makers.get(name.as_str())) else { continue };
            if before.op_type != "Transpose" {
                continue;
            }
            let Some(from) = before.input.first() else { continue };
            if node.op_type == "Transpose" {
                if undone(before, node) {
                    rewired.push((at, from.clone(), true));
                }
            } else if makers.get(from.as_str()).is_some_and(|maker| pools_all(maker))
                && before.ints("perm").is_some_and(|perm| perm.len() == 4 && perm[0] == 0)
                && lists(node, &constants)
            {
                rewired.push((at, from.clone(), false));
            }
        }
    }
    for (at, from, identity) in rewired {
        let node = &mut graph.node[at];
        if identity {
            node.op_type = "Identity".into();
            node.attribute.clear();
        }
        node.input[0] = from;
    }
    let outputs: HashSet<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    let read: HashSet<String> = graph.node.iter().flat_map(|node| node.input.iter().cloned()).collect();
    let needed = |name: &String| outputs.contains(name) || read.contains(name);
    graph.node.retain(|node| node.op_type != "Transpose" || node.output.iter().any(needed));
}

/// Whether one transposition undoes the other.
fn undone(first: &NodeProto, second: &NodeProto) -> bool {
    let (Some(first), Some(second)) = (first.ints("perm"), second.ints("perm")) else { return false };
    let at = |perm: &[i64], axis: i64| usize::try_from(axis).ok().and_then(|axis| perm.get(axis).copied());
    first.len() == second.len() && (0..).zip(second).all(|(axis, &from)| at(first, from) == Some(axis))
}

/// Whether a node leaves one value of each plane.
fn pools_all(node: &NodeProto) -> bool {
    ["GlobalAveragePool", "GlobalMaxPool"].contains(&node.op_type.as_str())
}

/// Whether a node makes the same list of values of `[1, n, 1, 1]` as of `[1, 1, 1, n]`.
fn lists(node: &NodeProto, constants: &Constants<'_>) -> bool {
    match node.op_type.as_str() {
        "Flatten" => node.int("axis").unwrap_or(1) == 1,
        "Reshape" => {
            let target = node.input.get(1).and_then(|name| constants.get(name));
            // A 0 is the extent that was there.
            target.and_then(|target| Some(target.whole()?.iter().skip(1).all(|&extent| extent != 0))).unwrap_or(false)
                && node.int("allowzero").unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::{TensorProto, ValueInfoProto, tensor_proto::DataType};

    use super::super::nodes::{Nodes, ints};
    use super::*;

    /// An operator, its inputs, and the order of a transposition.
    type Listed<'a> = (&'a str, &'a [&'a str], Option<&'a [i64]>);

    fn left(list: Vec<Listed<'_>>) -> Vec<String> {
        let mut nodes = Nodes::default();
        for (op, inputs, perm) in list {
            let name = format!("n{}", nodes.list.len());
            nodes.add_to(op, &name, inputs, perm.map(|perm| ints("perm", perm)).into_iter().collect(), name.clone());
        }
        let output = vec![ValueInfoProto { name: nodes.list.last().unwrap().name.clone(), ..Default::default() }];
        let list = |name: &str, values: &[i64]| TensorProto {
            name: name.into(),
            dims: vec![values.len() as i64],
            data_type: DataType::Int64 as i32,
            int64_data: values.to_vec(),
            ..Default::default()
        };
        let initializer = vec![list("list", &[-1, 8]), list("same", &[1, 0])];
        let mut graph = GraphProto { node: nodes.list, output, initializer, ..Default::default() };
        fold(&mut graph, &Limits::DEFAULT);
        graph.node.iter().map(|node| format!("{} {}", node.op_type, node.input[0])).collect()
    }

    #[test]
    fn what_is_undone_is_dropped() {
        let (last, first): (&[i64], &[i64]) = (&[0, 2, 3, 1], &[0, 3, 1, 2]);
        let two = |a, b| left(vec![("Transpose", &["x"], Some(a)), ("Transpose", &["n0"], Some(b))]);
        assert_eq!(two(last, first), ["Identity x"]);
        assert_eq!(two(last, last), ["Transpose x", "Transpose n0"]);
        let read = left(vec![
            ("Transpose", &["x"], Some(last)),
            ("Transpose", &["n0"], Some(first)),
            ("Add", &["n0", "n1"], None),
        ]);
        assert_eq!(read, ["Transpose x", "Identity x", "Add n0"]);
    }

    #[test]
    fn a_list_of_features_has_no_order_of_axes() {
        let of = |op: &'static str, reader: (&'static str, &'static [&'static str])| {
            left(vec![(op, &["x"], None), ("Transpose", &["n0"], Some(&[0, 2, 3, 1])), (reader.0, reader.1, None)])
        };
        assert_eq!(of("GlobalAveragePool", ("Reshape", &["n1", "list"])), ["GlobalAveragePool x", "Reshape n0"]);
        assert_eq!(of("GlobalAveragePool", ("Flatten", &["n1"])), ["GlobalAveragePool x", "Flatten n0"]);
        assert_eq!(of("GlobalAveragePool", ("Reshape", &["n1", "same"])).len(), 3);
        assert_eq!(of("Relu", ("Flatten", &["n1"])).len(), 3, "of more than one value a plane");
    }
}
