//! What a graph does last: whether its output is scores already, and of which kind.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use tract_onnx::pb::{GraphProto, NodeProto};

/// What gives a graph's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Ending {
    /// Anything else: numbers without bounds.
    #[default]
    Logits,
    /// A softmax: probabilities of classes of which one is true.
    Softmax,
    /// The logarithms of a softmax.
    LogSoftmax,
    /// A sigmoid: probabilities of classes each of which may be true.
    Sigmoid,
}

/// Operators that only store or reshape what they read.
const STORES: [&str; 11] = [
    "Cast",
    "DequantizeLinear",
    "Dropout",
    "Flatten",
    "Identity",
    "QuantizeLinear",
    "Reshape",
    "Slice",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

/// Operators that combine values one by one: where all that they combine are sigmoids and constants, thresholds and scales were
/// applied to each class.
const COMBINES: [&str; 11] =
    ["Add", "BatchNormalization", "Clip", "Concat", "Div", "Max", "Min", "Mul", "Relu", "Sub", "Where"];

/// What gives the output `output` of `graph`, whose nodes are in order.
pub(super) fn ending(graph: &GraphProto, output: &str) -> Ending {
    let makers: HashMap<&str, &NodeProto> =
        graph.node.iter().flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node))).collect();
    let mut name = output;
    // As often as there are nodes: a graph has no rings.
    for _ in 0..graph.node.len() {
        let Some(node) = makers.get(name) else { return Ending::Logits };
        match node.op_type.as_str() {
            "Softmax" => return Ending::Softmax,
            "LogSoftmax" => return Ending::LogSoftmax,
            "Sigmoid" | "HardSigmoid" => return Ending::Sigmoid,
            "Log" => {
                let inner = node.input.first().map_or("", String::as_str);
                let softmax = makers.get(inner).is_some_and(|node| node.op_type == "Softmax");
                return if softmax { Ending::LogSoftmax } else { Ending::Logits };
            }
            op if STORES.contains(&op) => name = node.input.first().map_or("", String::as_str),
            op if COMBINES.contains(&op) => {
                return if all_sigmoids(&makers, node) { Ending::Sigmoid } else { Ending::Logits };
            }
            _ => return Ending::Logits,
        }
    }
    Ending::Logits
}

/// Whether all that `node` combines goes back to sigmoids, at least one, and to what does not depend on a picture.
fn all_sigmoids(makers: &HashMap<&str, &NodeProto>, node: &NodeProto) -> bool {
    const CONDITIONS: [&str; 9] =
        ["And", "Equal", "Greater", "GreaterOrEqual", "IsNaN", "Less", "LessOrEqual", "Not", "Or"];
    const CONSTANT: [&str; 4] = ["Constant", "ConstantOfShape", "Range", "Shape"];
    let mut open = vec![node];
    let mut seen: HashSet<&str> = HashSet::new();
    let mut sigmoids = 0;
    while let Some(node) = open.pop() {
        for name in &node.input {
            // What no node gives is an initializer: no picture is combined with probabilities.
            let Some(maker) = makers.get(name.as_str()).filter(|_| seen.insert(name)) else { continue };
            match maker.op_type.as_str() {
                "Sigmoid" | "HardSigmoid" => sigmoids += 1,
                op if CONSTANT.contains(&op) => {}
                op if STORES.contains(&op)
                    || COMBINES.contains(&op)
                    || CONDITIONS.contains(&op)
                    || ["Expand", "Gather", "Tile"].contains(&op) =>
                {
                    open.push(maker);
                }
                _ => return false,
            }
        }
    }
    sigmoids > 0
}

#[cfg(test)]
mod tests {
    use super::super::nodes::Nodes;
    use super::*;

    fn of(list: &[(&str, &[&str], &str)]) -> Ending {
        let mut nodes = Nodes::default();
        for (op, inputs, output) in list {
            nodes.add_to(op, output, inputs, vec![], (*output).into());
        }
        ending(&GraphProto { node: nodes.list, ..Default::default() }, "y")
    }

    #[test]
    fn endings_are_found_behind_what_only_stores() {
        for (op, expected) in [
            ("Softmax", Ending::Softmax),
            ("LogSoftmax", Ending::LogSoftmax),
            ("Sigmoid", Ending::Sigmoid),
            ("Gemm", Ending::Logits),
            ("Relu", Ending::Logits),
        ] {
            assert_eq!(of(&[("Gemm", &["x"], "a"), (op, &["a"], "y")]), expected);
            let behind =
                [(op, &["x"][..], "a"), ("QuantizeLinear", &["a", "s"], "b"), ("DequantizeLinear", &["b", "s"], "c")];
            let reshaped = [("Reshape", &["c", "to"][..], "d"), ("Flatten", &["d"], "e"), ("Identity", &["e"], "y")];
            assert_eq!(of(&[&behind[..], &reshaped].concat()), expected, "{op}");
        }
        assert_eq!(of(&[("Softmax", &["x"], "a"), ("Log", &["a"], "y")]), Ending::LogSoftmax);
        assert_eq!(of(&[("Gemm", &["x"], "a"), ("Log", &["a"], "y")]), Ending::Logits);
    }

    #[test]
    fn a_gate_is_no_ending_and_thresholds_of_each_class_are() {
        // SiLU: what is multiplied is no probability.
        assert_eq!(of(&[("Gemm", &["x"], "a"), ("Sigmoid", &["a"], "b"), ("Mul", &["a", "b"], "y")]), Ending::Logits);
        let scaled = [
            ("Gemm", &["x"][..], "a"),
            ("Sigmoid", &["a"], "b"),
            ("Less", &["b", "thresholds"], "low"),
            ("Div", &["b", "twice"], "c"),
            ("Sub", &["b", "one"], "d"),
            ("Where", &["low", "c", "d"], "y"),
        ];
        assert_eq!(of(&scaled), Ending::Sigmoid);
        // As such scales are written when a network is quantized.
        let norm = ("BatchNormalization", &["b", "scale", "offset", "mean", "variance"][..], "y");
        assert_eq!(of(&[scaled[0], scaled[1], norm]), Ending::Sigmoid);
        assert_eq!(of(&[("Gemm", &["x"], "a"), ("Add", &["a", "bias"], "y")]), Ending::Logits);
    }
}
