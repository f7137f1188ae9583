//! Opset 6, in which binary operators broadcast by attributes, as opset 7 writes it.

use std::collections::HashMap;

use tract_onnx::pb::{GraphProto, NodeProto};

use super::nodes::ints;
use super::operators::{Names, name};

/// Operators whose second operand is broadcast if `broadcast` says so, from the axis `axis` on.
const BINARY: [&str; 11] = ["Add", "And", "Div", "Equal", "Greater", "Less", "Mul", "Or", "Pow", "Sub", "Xor"];

/// Rewrites `graph`, whose nodes are in order.
///
/// # Errors
/// One sentence that names the node whose operand could not be told to fit.
pub(super) fn raise(graph: &mut GraphProto) -> Result<(), String> {
    let mut names = Names::of(graph);
    // How many axes each tensor has.
    let mut ranks: HashMap<String, usize> =
        graph.initializer.iter().map(|tensor| (tensor.name.clone(), tensor.dims.len())).collect();
    ranks.extend(
        graph
            .input
            .iter()
            .filter(|input| !ranks.contains_key(&input.name))
            .map(|input| (input.name.clone(), 4))
            .collect::<Vec<_>>(),
    );
    let mut nodes = Vec::with_capacity(graph.node.len());
    for mut node in std::mem::take(&mut graph.node) {
        let int = |name: &str| node.attribute.iter().find(|a| a.name == name).map(|a| a.i);
        let (broadcast, axis) = (int("broadcast").unwrap_or(0) != 0, int("axis"));
        let op = node.op_type.clone();
        node.attribute.retain(|a| match a.name.as_str() {
            "is_test" => !["BatchNormalization", "Dropout"].contains(&op.as_str()),
            "broadcast" => op != "Gemm" && !BINARY.contains(&op.as_str()),
            "axis" => !BINARY.contains(&op.as_str()),
            _ => true,
        });
        if let (true, true, Some(axis)) = (BINARY.contains(&op.as_str()), broadcast, axis) {
            let rank = |at: usize| node.input.get(at).and_then(|name| ranks.get(name)).copied();
            let fits = rank(0).zip(rank(1)).and_then(|(rank, own)| {
                let axis = usize::try_from(if axis < 0 { axis.checked_add(rank as i64)? } else { axis }).ok()?;
                rank.checked_sub(axis.checked_add(own)?).map(|behind| own..own + behind)
            });
            let axes = fits.ok_or_else(|| {
                format!("node {} ({op}) broadcasts by attributes: export the model in opset 7 or newer", name(&node))
            })?;
            if !axes.is_empty() {
                let axes: Vec<i64> = axes.map(|axis| axis as i64).collect();
                let spread = names.fresh(&format!("{}.spread", node.input[1]));
                nodes.push(NodeProto {
                    op_type: "Unsqueeze".into(),
                    name: spread.clone(),
                    input: vec![node.input[1].clone()],
                    output: vec![spread.clone()],
                    attribute: vec![ints("axes", &axes)],
                    ..Default::default()
                });
                node.input[1] = spread;
            }
        }
        if let Some(rank) = rank_of(&node, graph, &ranks) {
            ranks.extend(node.output.iter().map(|name| (name.clone(), rank)));
        }
        nodes.push(node);
    }
    graph.node = nodes;
    Ok(())
}

/// How many axes the outputs of a node have.
fn rank_of(node: &NodeProto, graph: &GraphProto, ranks: &HashMap<String, usize>) -> Option<usize> {
    let own = node.input.first().and_then(|name| ranks.get(name)).copied();
    let axes = || node.attribute.iter().find(|attribute| attribute.name == "axes").map(|axes| axes.ints.len());
    match node.op_type.as_str() {
        "Flatten" | "Gemm" => Some(2),
        "Constant" => node.attribute.iter().find_map(|a| a.t.as_ref()).map(|tensor| tensor.dims.len()),
        "Reshape" => {
            let target = graph.initializer.iter().find(|tensor| Some(&tensor.name) == node.input.get(1))?;
            usize::try_from(*target.dims.first()?).ok()
        }
        "Squeeze" => own?.checked_sub(axes()?),
        "Unsqueeze" => own?.checked_add(axes()?),
        // All else that DenseNets of that time have gives as many axes as it reads.
        _ => own,
    }
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::AttributeProto;

    use super::super::super::Tensor;
    use super::super::nodes::{Nodes, initializer, int, value};
    use super::*;

    fn raised(list: Vec<(&str, &[&str], Vec<AttributeProto>)>) -> Result<Vec<(String, Vec<i64>)>, String> {
        let mut nodes = Nodes::default();
        for (op, inputs, attributes) in list {
            let name = format!("n{}", nodes.list.len());
            nodes.add_to(op, &name, inputs, attributes, name.clone());
        }
        let initializer = vec![initializer("c", &Tensor { shape: vec![3], data: vec![1.0; 3] })];
        let mut graph =
            GraphProto { node: nodes.list, initializer, input: vec![value("x", &[1, 3, 2, 2])], ..Default::default() };
        raise(&mut graph)?;
        let axes = |node: &NodeProto| node.attribute.iter().find(|a| a.name == "axes").map(|a| a.ints.clone());
        Ok(graph.node.iter().map(|node| (node.op_type.clone(), axes(node).unwrap_or_default())).collect())
    }

    #[test]
    fn an_operand_meets_the_axis_that_it_was_meant_for() {
        let by = |axis: i64| vec![int("broadcast", 1), int("axis", axis)];
        let four = raised(vec![("Relu", &["x"], vec![]), ("Mul", &["n0", "c"], by(1))]).unwrap();
        assert_eq!(four, [("Relu".into(), vec![]), ("Unsqueeze".into(), vec![1, 2]), ("Mul".into(), vec![])]);
        assert_eq!(raised(vec![("Add", &["x", "c"], by(-1))]).unwrap(), [("Add".into(), vec![])]);
        assert_eq!(raised(vec![("Add", &["x", "c"], vec![int("broadcast", 1)])]).unwrap().len(), 1);
        let two = raised(vec![("Flatten", &["x"], vec![]), ("Add", &["n0", "c"], by(1))]).unwrap();
        assert_eq!(two.len(), 2);
        assert!(raised(vec![("Add", &["unknown", "c"], by(1))]).unwrap_err().contains("opset 7"));
    }

    #[test]
    fn what_only_training_needs_is_dropped() {
        let list = vec![
            ("Dropout", &["x"][..], vec![int("is_test", 1)]),
            ("Gemm", &["n0", "c", "c"], vec![int("broadcast", 1)]),
        ];
        let mut nodes = Nodes::default();
        list.into_iter().for_each(|(op, inputs, attributes)| drop(nodes.add(op, op, inputs, attributes)));
        let mut graph = GraphProto { node: nodes.list, ..Default::default() };
        raise(&mut graph).unwrap();
        assert!(graph.node.iter().all(|node| node.attribute.is_empty()));
    }
}
