//! How large the constants are that a graph computes and that are left to tract, which would compute them while it reads the graph.
//!
//! What they come to is found out without computing them. Where that cannot be told, the graph is refused.

use std::collections::{BTreeMap, HashMap};

use tract_onnx::pb::{GraphProto, NodeProto};

use super::super::{Limit, Limits};
use super::fuse::{Constants, name_of};
use super::tensors::value_count;
use crate::error::{Error, ErrorKind, Result};

/// Operators that give no more values than their inputs have together.
const NOT_GROWING: [&str; 43] = [
    "Abs",
    "BatchNormalization",
    "Cast",
    "CastLike",
    "Ceil",
    "Clip",
    "Concat",
    "DequantizeLinear",
    "Dropout",
    "Erf",
    "Exp",
    "Flatten",
    "Floor",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "IsInf",
    "IsNaN",
    "LeakyRelu",
    "Log",
    "Neg",
    "Not",
    "QuantizeLinear",
    "Reciprocal",
    "ReduceL2",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "Relu",
    "Reshape",
    "Round",
    "Sigmoid",
    "Sign",
    "Slice",
    "Softmax",
    "Split",
    "Sqrt",
    "Squeeze",
    "Tanh",
    "Transpose",
    "Unsqueeze",
];

/// Operators of values that meet each other, with extents of 1 repeated.
const BROADCASTING: [&str; 17] = [
    "Add",
    "And",
    "Div",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Max",
    "Min",
    "Mod",
    "Mul",
    "Or",
    "PRelu",
    "Pow",
    "Sub",
    "Where",
];

/// How large a constant is.
#[derive(Debug, Clone)]
struct Size {
    /// At most so many values.
    values: u64,
    /// Its extents, where they are known.
    dims: Option<Vec<u64>>,
}

impl Size {
    fn of(dims: Vec<u64>) -> Self {
        Self { values: dims.iter().fold(1, |all, &dim| all.saturating_mul(dim)), dims: Some(dims) }
    }

    fn at_most(values: u64) -> Self {
        Self { values, dims: None }
    }
}

/// Looks whether the constants that `graph` computes are within the limits.
///
/// # Errors
/// [`ErrorKind::Model`] if they are not, or if it cannot be told, naming the node.
pub(super) fn check(graph: &GraphProto, limits: &Limits) -> Result<()> {
    let constants = Constants::of(graph, limits.constants);
    let mut sizes: HashMap<&str, Size> = HashMap::new();
    for tensor in &graph.initializer {
        let dims = tensor.dims.iter().map(|&dim| u64::try_from(dim).unwrap_or(0)).collect();
        sizes.insert(&tensor.name, Size { values: value_count(tensor), ..Size::of(dims) });
    }
    let mut bytes = 0_u64;
    for node in constant_nodes(graph) {
        let at = |e: Error| e.at(format!("node {} ({})", name_of(node), node.op_type));
        let inputs: Vec<Size> =
            node.input.iter().map(|name| sizes.get(name.as_str()).cloned().unwrap_or(Size::at_most(0))).collect();
        let size = size(node, &inputs, &constants).ok_or_else(|| {
            let message =
                "it computes a constant whose size cannot be told beforehand: compute it when exporting the model";
            at(Error::new(ErrorKind::Model, message))
        })?;
        for output in node.output.iter().filter(|name| !name.is_empty()) {
            bytes = bytes.saturating_add(size.values.saturating_mul(8));
            limits.check(Limit::Constants, Some(bytes)).map_err(at)?;
            sizes.insert(output, size.clone());
        }
    }
    Ok(())
}

/// The nodes that depend on constants only, each behind those that it depends on.
pub(super) fn constant_nodes(graph: &GraphProto) -> Vec<&NodeProto> {
    let made: HashMap<&str, usize> = graph
        .node
        .iter()
        .enumerate()
        .flat_map(|(at, node)| node.output.iter().map(move |o| (o.as_str(), at)))
        .collect();
    let stored: std::collections::HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    // How many inputs of each node are not known to be constant yet; those from outside never are.
    let mut waiting: Vec<usize> = Vec::with_capacity(graph.node.len());
    let mut readers: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, node) in graph.node.iter().enumerate() {
        let mut open = 0;
        for name in node.input.iter().filter(|name| !name.is_empty() && !stored.contains(name.as_str())) {
            open += 1;
            if let Some(&maker) = made.get(name.as_str()) {
                readers.entry(maker).or_default().push(at);
            }
        }
        waiting.push(open);
    }
    let mut ready: Vec<usize> = (0..graph.node.len()).filter(|&at| waiting[at] == 0).collect();
    let mut found = Vec::new();
    while let Some(at) = ready.pop() {
        found.push(&graph.node[at]);
        for &reader in readers.get(&at).into_iter().flatten() {
            waiting[reader] -= 1;
            if waiting[reader] == 0 {
                ready.push(reader);
            }
        }
    }
    found
}

/// The size of what a node makes of constants of these sizes.
fn size(node: &NodeProto, inputs: &[Size], constants: &Constants<'_>) -> Option<Size> {
    let op = node.op_type.as_str();
    let known = |index: usize| node.input.get(index).and_then(|name| constants.get(name));
    let extents = |values: &[i64]| values.iter().map(|&value| u64::try_from(value).ok()).collect::<Option<Vec<u64>>>();
    let total = inputs.iter().fold(0_u64, |all, size| all.saturating_add(size.values));
    if let Some(constant) = node.output.first().and_then(|name| constants.get(name)) {
        return Some(Size::of(constant.dims.iter().map(|&dim| dim as u64).collect()));
    }
    if NOT_GROWING.contains(&op) {
        let same = ["Cast", "Identity", "Neg", "Sqrt", "DequantizeLinear", "QuantizeLinear"].contains(&op);
        return if same { inputs.first().cloned() } else { Some(Size::at_most(total)) };
    }
    if BROADCASTING.contains(&op) {
        return Some(broadcast(inputs));
    }
    match op {
        "Constant" => {
            let tensor = node.attribute.iter().find_map(|attribute| attribute.t.as_ref()).map_or(0, value_count);
            let lists = node.attribute.iter().map(|a| a.ints.len().max(a.floats.len()).max(a.strings.len()) as u64);
            Some(Size::at_most(tensor.max(lists.max().unwrap_or(0)).max(1)))
        }
        "Shape" | "Size" => Some(Size::at_most(64)),
        "ConstantOfShape" => Some(Size::of(extents(known(0)?.whole()?)?)),
        "Expand" => {
            let shape = Size::of(extents(known(1)?.whole()?)?);
            Some(broadcast(&[inputs.first()?.clone(), shape]))
        }
        "Tile" => {
            let times = Size::of(extents(known(1)?.whole()?)?).values;
            Some(Size::at_most(inputs.first()?.values.saturating_mul(times)))
        }
        "Gather" => Some(Size::at_most(inputs.first()?.values.saturating_mul(inputs.get(1)?.values))),
        "Range" => {
            let number = |index: usize| known(index)?.real().first().copied();
            let (start, end, step) = (number(0)?, number(1)?, number(2)?);
            let count = ((f64::from(end) - f64::from(start)) / f64::from(step)).ceil();
            // Also for NaN, none.
            Some(Size::at_most(if count > 0.0 { count as u64 } else { 0 }))
        }
        "OneHot" => {
            let depth = *known(1)?.real().first()?;
            Some(Size::at_most(inputs.first()?.values.saturating_mul(depth.max(0.0) as u64)))
        }
        "MatMul" | "Gemm" => Some(Size::at_most(inputs.first()?.values.saturating_mul(inputs.get(1)?.values))),
        _ => None,
    }
}

/// Extents that hold those of all, with extents of 1 repeated; where some are not known, every value may meet every other.
fn broadcast(inputs: &[Size]) -> Size {
    let all: Option<Vec<&Vec<u64>>> = inputs.iter().map(|size| size.dims.as_ref()).collect();
    let Some(all) = all else {
        return Size::at_most(inputs.iter().fold(1, |all: u64, size| all.saturating_mul(size.values.max(1))));
    };
    let rank = all.iter().map(|dims| dims.len()).max().unwrap_or(0);
    let extent = |axis: usize| {
        let of = |dims: &&Vec<u64>| (axis + dims.len()).checked_sub(rank).and_then(|at| dims.get(at)).copied();
        all.iter().filter_map(of).max().unwrap_or(1)
    };
    Size::of((0..rank).map(extent).collect())
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::{TensorProto, tensor_proto::DataType};

    use super::super::nodes::Nodes;
    use super::*;

    fn graph(nodes: &[(&str, &[&str])], tensors: &[(&str, &[i64])]) -> GraphProto {
        let mut made = Nodes::default();
        for (op, inputs) in nodes {
            let output = format!("n{}", made.list.len());
            made.add_to(op, &output, inputs, vec![], output.clone());
        }
        let tensor = |(name, values): &(&str, &[i64])| TensorProto {
            name: (*name).into(),
            dims: vec![values.len() as i64],
            data_type: DataType::Int64 as i32,
            int64_data: values.to_vec(),
            ..Default::default()
        };
        GraphProto { node: made.list, initializer: tensors.iter().map(tensor).collect(), ..Default::default() }
    }

    #[test]
    fn what_grows_is_counted_before_it_is_computed() {
        let huge: &[i64] = &[1 << 18, 1 << 18];
        let said = |nodes: &[(&str, &[&str])]| {
            let tensors: [(&str, &[i64]); 3] = [("huge", huge), ("few", &[2, 3]), ("one", &[1])];
            check(&graph(nodes, &tensors), &Limits::DEFAULT).err().map(|e| e.to_string()).unwrap_or_default()
        };
        let said_of_huge = said(&[("ConstantOfShape", &["huge"])]);
        assert!(said_of_huge.contains("--allow constants=NUMBER"), "{said_of_huge}");
        assert_eq!(said(&[("ConstantOfShape", &["few"])]), "");
        for op in ["Expand", "Tile"] {
            assert!(said(&[(op, &["few", "huge"])]).contains("--allow constants=NUMBER"), "{op}");
            assert_eq!(said(&[(op, &["one", "few"])]), "", "{op}");
        }
        assert_eq!(said(&[("Add", &["few", "one"]), ("Sqrt", &["n0"]), ("Slice", &["n1", "one", "few"])]), "");
        assert!(said(&[("LSTM", &["few"])]).contains("node n0 (LSTM)"), "{}", said(&[("LSTM", &["few"])]));
        // What depends on the image is not its business.
        assert_eq!(said(&[("LSTM", &["image"])]), "");
    }

    #[test]
    fn what_doubles_is_found() {
        let names: Vec<String> = (0..60).map(|n| format!("n{n}")).collect();
        let doubled: Vec<[&str; 2]> =
            (0..60).map(|n| if n == 0 { ["x", "x"] } else { [names[n - 1].as_str(); 2] }).collect();
        let nodes: Vec<(&str, &[&str])> = doubled.iter().map(|inputs| ("Concat", inputs.as_slice())).collect();
        let error = check(&graph(&nodes, &[("x", &[1, 2])]), &Limits::DEFAULT).unwrap_err();
        assert!(error.to_string().contains("--allow constants"), "{error}");
    }
}
