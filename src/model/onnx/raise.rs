//! Nodes of an older opset as opset 13 writes them, which has scales for single channels.

use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto, tensor_proto::DataType};

use super::super::Tensor;
use super::nodes::{initializer, int, text};
use super::operators::{Names, name};
use crate::error::{Error, ErrorKind, Result};

/// The opset that graphs are raised to.
pub(super) const RAISED: i64 = 13;

/// Rewrites the nodes of `graph`, which is of the opset `from` and passed the check of its operators, for opset [`RAISED`]. Operators
/// that are not named here mean the same in both.
///
/// # Errors
/// [`ErrorKind::Model`] for a node that has no such form.
pub(super) fn raise(graph: &mut GraphProto, from: i64) -> Result<()> {
    if from >= RAISED {
        return Ok(());
    }
    let names = Names::of(graph);
    let mut raised = Raised { from, names, nodes: Vec::new(), tensors: Vec::new() };
    for node in std::mem::take(&mut graph.node) {
        raised.node(node)?;
    }
    graph.node = raised.nodes;
    graph.initializer.extend(raised.tensors);
    Ok(())
}

struct Raised {
    from: i64,
    names: Names,
    nodes: Vec<NodeProto>,
    tensors: Vec<TensorProto>,
}

impl Raised {
    fn node(&mut self, mut node: NodeProto) -> Result<()> {
        match (node.op_type.as_str(), self.from) {
            ("BatchNormalization", _) => drop(take(&mut node, "spatial")),
            ("Dropout", ..12) => {
                if node.output.len() > 1 {
                    let what = "its mask is read, which only training needs: export the model for inference";
                    return Err(Error::new(ErrorKind::Model, what).at(format!("node {} (Dropout)", name(&node))));
                }
                node = NodeProto { op_type: "Identity".into(), attribute: Vec::new(), ..node };
            }
            ("Clip", ..11) => {
                let bounds = ["min", "max"].map(|name| take(&mut node, name).map(|a| a.f));
                let inputs = bounds.map(|bound| bound.map_or(String::new(), |bound| self.real(&node, bound)));
                node.input.extend(inputs);
                while node.input.last().is_some_and(String::is_empty) {
                    node.input.pop();
                }
            }
            ("Pad", ..11) => {
                self.list_to_input(&mut node, "pads");
                if let Some(value) = take(&mut node, "value") {
                    let value = self.real(&node, value.f);
                    node.input.push(value);
                }
            }
            ("Slice", ..10) => ["starts", "ends", "axes"].iter().for_each(|list| self.list_to_input(&mut node, list)),
            ("Resize", 10) => {
                // It was so before there were attributes that say it.
                node.input.insert(1, String::new());
                node.attribute.push(text("coordinate_transformation_mode", "asymmetric"));
                node.attribute.push(text("nearest_mode", "floor"));
            }
            ("Squeeze" | "Unsqueeze" | "ReduceSum", _) => self.list_to_input(&mut node, "axes"),
            ("Split", _) => self.list_to_input(&mut node, "split"),
            ("Softmax" | "LogSoftmax" | "Hardmax", _) => return self.softmax(node),
            _ => {}
        }
        self.nodes.push(node);
        Ok(())
    }

    /// Before opset 13 these are of matrices: all axes from `axis` on are one.
    fn softmax(&mut self, mut node: NodeProto) -> Result<()> {
        let axis = take(&mut node, "axis").map_or(1, |axis| axis.i);
        if axis == -1 {
            node.attribute.push(int("axis", -1));
            self.nodes.push(node);
            return Ok(());
        }
        let [shape, flat, soft] =
            ["shape", "flat", "soft"].map(|part| self.names.fresh(&format!("{}.{part}", name(&node))));
        let make = |op: &str, input: Vec<String>, output: &String, attribute: Vec<AttributeProto>| NodeProto {
            op_type: op.into(),
            name: output.clone(),
            input,
            output: vec![output.clone()],
            attribute,
            ..Default::default()
        };
        let x = node.input.clone();
        self.nodes.push(make("Shape", x.clone(), &shape, vec![]));
        self.nodes.push(make("Flatten", x, &flat, vec![int("axis", axis)]));
        self.nodes.push(make(&node.op_type, vec![flat.clone()], &soft, vec![int("axis", 1)]));
        self.nodes.push(NodeProto { op_type: "Reshape".into(), input: vec![soft, shape], ..node });
        Ok(())
    }

    /// An attribute that became the next input.
    fn list_to_input(&mut self, node: &mut NodeProto, list: &str) {
        let Some(attribute) = take(node, list) else { return };
        let name = self.names.fresh(&format!("{}.{list}", name(node)));
        self.tensors.push(TensorProto {
            name: name.clone(),
            dims: vec![attribute.ints.len() as i64],
            data_type: DataType::Int64 as i32,
            raw_data: attribute.ints.iter().flat_map(|n| n.to_le_bytes()).collect(),
            ..Default::default()
        });
        node.input.push(name);
    }

    fn real(&mut self, node: &NodeProto, value: f32) -> String {
        let name = self.names.fresh(&format!("{}.bound", name(node)));
        self.tensors.push(initializer(&name, &Tensor { shape: vec![], data: vec![value] }));
        name
    }
}

/// Takes an attribute out of a node.
fn take(node: &mut NodeProto, name: &str) -> Option<AttributeProto> {
    let at = node.attribute.iter().position(|attribute| attribute.name == name)?;
    Some(node.attribute.remove(at))
}

#[cfg(test)]
mod tests {
    use super::super::nodes::{Nodes, float, ints};
    use super::super::operators::{Opsets, check};
    use super::*;

    /// Every node is one of opset 13 afterwards, and says the same.
    #[test]
    fn attributes_become_inputs() {
        let list = |name: &str| ints(name, &[1, 2]);
        let cases: [(i64, &str, Vec<AttributeProto>, usize); 9] = [
            (7, "Clip", vec![float("max", 6.0)], 3),
            (7, "Clip", vec![float("min", 0.0)], 2),
            (10, "Pad", vec![ints("pads", &[0, 0, 1, 1, 0, 0, 1, 1]), float("value", 1.0)], 3),
            (9, "Slice", vec![list("starts"), list("ends"), list("axes")], 4),
            (10, "Resize", vec![text("mode", "nearest")], 3),
            (12, "Squeeze", vec![list("axes")], 2),
            (12, "Squeeze", vec![], 1),
            (12, "ReduceSum", vec![list("axes")], 2),
            (7, "Dropout", vec![float("ratio", 0.5)], 1),
        ];
        for (from, op, attributes, inputs) in cases {
            let mut nodes = Nodes::default();
            let given: &[&str] = if op == "Resize" { &["x", "scales"] } else { &["x"] };
            nodes.add_to(op, "n", given, attributes, "y".into());
            let mut graph = GraphProto { node: nodes.list, ..Default::default() };
            raise(&mut graph, from).unwrap();
            let [node] = graph.node.as_slice() else { panic!("{op}") };
            assert_eq!((node.input.len(), node.output[0].as_str()), (inputs, "y"), "{op}");
            let opset = tract_onnx::pb::OperatorSetIdProto { version: RAISED, ..Default::default() };
            check(&graph, &[], &Opsets::of(&[opset]).unwrap()).unwrap();
        }
    }

    #[test]
    fn a_softmax_of_matrices_stays_one() {
        let of = |attributes: Vec<AttributeProto>| {
            let mut nodes = Nodes::default();
            nodes.add_to("Softmax", "n", &["x"], attributes, "y".into());
            let mut graph = GraphProto { node: nodes.list, ..Default::default() };
            raise(&mut graph, 9).unwrap();
            graph.node.iter().map(|node| node.op_type.clone()).collect::<Vec<_>>()
        };
        assert_eq!(of(vec![int("axis", -1)]), ["Softmax"]);
        for attributes in [vec![], vec![int("axis", 1)], vec![int("axis", 2)]] {
            assert_eq!(of(attributes), ["Shape", "Flatten", "Softmax", "Reshape"]);
        }
    }

    #[test]
    fn newer_graphs_stay_as_they_are() {
        let mut nodes = Nodes::default();
        nodes.add_to("Softmax", "n", &["x"], vec![], "y".into());
        let mut graph = GraphProto { node: nodes.list, ..Default::default() };
        let before = graph.clone();
        raise(&mut graph, 13).unwrap();
        assert_eq!(graph, before);
    }
}
