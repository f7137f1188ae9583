//! Quantizers to 16 bits that are left to tract, which has none, become f32 operators: their quantized values are whole numbers that
//! f32 holds exactly.

use std::collections::HashSet;

use tract_onnx::pb::{GraphProto, NodeProto, TensorProto, ValueInfoProto, tensor_proto::DataType, type_proto::Value};

use super::super::Limits;
use super::fuse::{Attributes, Constant, Constants, FUSED, Values, quantized_kind, range};
use super::nodes::{Nodes, initializer};
use super::operators;
use crate::model::Tensor;

/// Operators that choose or move values and compute nothing.
const MOVERS: [&str; 12] = [
    "Concat",
    "Dropout",
    "Expand",
    "Flatten",
    "Gather",
    "Identity",
    "MaxPool",
    "Reshape",
    "Slice",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

/// Whether a tensor type is one of quantized values of 16 bits.
fn is_wide(kind: DataType) -> bool {
    matches!(kind, DataType::Int16 | DataType::Uint16)
}

/// Puts f32 operators in the place of quantizers to 16 bits. The nodes of the file are in order.
///
/// # Errors
/// One sentence that names the node: one scale for each of several channels; an operator that computes with quantized values of 16 bits.
pub(super) fn to_f32(graph: &mut GraphProto, limits: &Limits) -> Result<(), String> {
    let mut pass = Pass {
        constants: Constants::of(graph, limits.constants),
        wide: HashSet::new(),
        nodes: Nodes::default(),
        stored: Vec::new(),
    };
    for node in &graph.node {
        pass.node(node).map_err(|what| format!("node {} ({}): {what}", operators::name(node), node.op_type))?;
    }
    let Pass { nodes, stored, .. } = pass;
    graph.node = nodes.list;
    graph.initializer.extend(stored);
    graph.value_info.iter_mut().chain(&mut graph.output).for_each(declare_f32);
    Ok(())
}

/// Declares a tensor of quantized values of 16 bits to be f32.
fn declare_f32(value: &mut ValueInfoProto) {
    if let Some(Value::TensorType(tensor)) = value.r#type.as_mut().and_then(|kind| kind.value.as_mut())
        && DataType::try_from(tensor.elem_type).is_ok_and(is_wide)
    {
        tensor.elem_type = DataType::Float as i32;
    }
}

/// Whether a node chooses or moves values and computes nothing.
fn moves(node: &NodeProto) -> bool {
    MOVERS.contains(&node.op_type.as_str())
}

fn is_cast_to_f32(node: &NodeProto) -> bool {
    node.op_type == "Cast" && node.int("to") == Some(DataType::Float as i64)
}

struct Pass<'a> {
    constants: Constants<'a>,
    /// Tensors of quantized values of 16 bits, which are f32 now.
    wide: HashSet<String>,
    nodes: Nodes,
    stored: Vec<TensorProto>,
}

impl Pass<'_> {
    fn node(&mut self, node: &NodeProto) -> Result<(), String> {
        let reads_wide = node.input.iter().any(|name| self.wide.contains(name));
        match node.op_type.as_str() {
            "QuantizeLinear" if self.quantizes_wide(node).is_some() => self.quantize(node),
            "DequantizeLinear" if self.constants.get(&node.input[0]).is_some() => self.constant(node),
            "DequantizeLinear" if reads_wide || self.zero_point_type(node).is_some_and(is_wide) => {
                self.dequantize(node)
            }
            // What a network reads and writes is f32.
            operator if !reads_wide || moves(node) || is_cast_to_f32(node) || operator == FUSED => {
                if reads_wide && moves(node) {
                    self.wide.extend(node.output.iter().cloned());
                }
                self.nodes.list.push(node.clone());
                Ok(())
            }
            _ => Err("it takes quantized values of 16 bits: Densight computes with 8".into()),
        }
    }

    fn zero_point_type(&self, node: &NodeProto) -> Option<DataType> {
        let zero_point = node.input.get(2).filter(|name| !name.is_empty());
        zero_point.and_then(|name| self.constants.get(name)).map(|constant| constant.kind)
    }

    /// The type that a `QuantizeLinear` to 16 bits gives; `None` for another one.
    fn quantizes_wide(&self, node: &NodeProto) -> Option<DataType> {
        quantized_kind(node, self.zero_point_type(node)).filter(|&kind| is_wide(kind))
    }

    fn quantize(&mut self, node: &NodeProto) -> Result<(), String> {
        let (scale, zero_point) = self.parameters(node)?;
        let (low, high) = self.quantizes_wide(node).and_then(range).unwrap_or_default();
        let steps = [
            ("Div", Some(scale)),
            ("Round", None),
            ("Add", Some(zero_point)),
            ("Max", Some(low as f32)),
            ("Min", Some(high as f32)),
        ];
        self.steps(node, &steps);
        self.wide.insert(node.output[0].clone());
        Ok(())
    }

    fn dequantize(&mut self, node: &NodeProto) -> Result<(), String> {
        let (scale, zero_point) = self.parameters(node)?;
        self.steps(node, &[("Sub", Some(zero_point)), ("Mul", Some(scale))]);
        Ok(())
    }

    /// What is decoded of constants of 16 bits is a constant; all else stays.
    fn constant(&mut self, node: &NodeProto) -> Result<(), String> {
        let is_constant = self.constants.get(&node.input[0]).is_some_and(|qvalues| is_wide(qvalues.kind));
        match self.constants.get(&node.output[0]).filter(|_| is_constant) {
            Some(Constant { dims, values: Values::F32(data), .. }) => {
                self.stored.push(initializer(&node.output[0], &Tensor { shape: dims, data }));
            }
            _ if is_constant => return Err("its scale or zero point does not fit its values".into()),
            _ => self.nodes.list.push(node.clone()),
        }
        Ok(())
    }

    /// Scale and zero point, where there is one of each.
    fn parameters(&self, node: &NodeProto) -> Result<(f32, f32), String> {
        let single = |at: usize| match node.input.get(at).filter(|name| !name.is_empty()) {
            Some(name) => match self.constants.get(name)?.real()[..] {
                [number] => Some(number),
                _ => None,
            },
            None => Some(0.0),
        };
        single(1)
            .zip(single(2))
            .ok_or_else(|| "it has several scales: Densight reads one for quantized values of 16 bits".into())
    }

    /// A node for each operator, with a number as its second operand.
    fn steps(&mut self, node: &NodeProto, steps: &[(&str, Option<f32>)]) {
        let mut value = node.input[0].clone();
        for (at, &(operator, number)) in steps.iter().enumerate() {
            let name = format!("{}.{}", node.output[0], operator.to_lowercase());
            let output = if at + 1 == steps.len() { node.output[0].clone() } else { format!("{name}.out") };
            let operand = number.map(|number| {
                let operand = format!("{name}.operand");
                self.stored.push(initializer(&operand, &Tensor { shape: vec![], data: vec![number] }));
                operand
            });
            let inputs: Vec<&str> = [Some(value.as_str()), operand.as_deref()].into_iter().flatten().collect();
            value = self.nodes.add_to(operator, &name, &inputs, vec![], output);
        }
    }
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::tensor_proto::DataType::{Int16, Uint16};

    use super::super::nodes::{float, int, value};
    use super::*;

    /// A number in the file.
    fn number(name: &str, kind: DataType, raw_data: Vec<u8>) -> TensorProto {
        TensorProto { name: name.into(), data_type: kind as i32, raw_data, ..Default::default() }
    }

    /// `x` through a quantizer to u16, a max pool, and back; weights of s16; and a node for `y`.
    fn graph(last: &str) -> GraphProto {
        let mut nodes = Nodes::default();
        nodes.add_to("QuantizeLinear", "quantize", &["x", "scale", "zero"], vec![], "q".into());
        nodes.add_to("MaxPool", "pool", &["q"], vec![], "pooled".into());
        nodes.add_to("DequantizeLinear", "decode", &["pooled", "scale", "zero"], vec![], "d".into());
        nodes.add_to("DequantizeLinear", "weights", &["stored", "scale"], vec![], "w".into());
        nodes.add_to(last, "last", &["q", "d", "w"], vec![int("to", 1), float("alpha", 1.0)], "y".into());
        let initializer = vec![
            number("scale", DataType::Float, 0.5_f32.to_le_bytes().into()),
            number("zero", Uint16, 40_000_u16.to_le_bytes().into()),
            number("stored", Int16, (-300_i16).to_le_bytes().into()),
        ];
        let mut quantized = value("q", &[1, 1, 2, 2]);
        if let Some(Value::TensorType(tensor)) = quantized.r#type.as_mut().and_then(|kind| kind.value.as_mut()) {
            tensor.elem_type = Uint16 as i32;
        }
        GraphProto { node: nodes.list, initializer, value_info: vec![quantized], ..Default::default() }
    }

    #[test]
    fn quantizers_to_16_bits_become_f32_operators() {
        let mut graph = graph("Cast");
        to_f32(&mut graph, &Limits::DEFAULT).unwrap();
        let operators: Vec<&str> = graph.node.iter().map(|node| node.op_type.as_str()).collect();
        assert_eq!(operators, ["Div", "Round", "Add", "Max", "Min", "MaxPool", "Sub", "Mul", "Cast"]);
        let constants = Constants::of(&graph, 1 << 20);
        let operands: Vec<Vec<f32>> =
            graph.node.iter().filter_map(|node| Some(constants.get(node.input.get(1)?)?.real())).collect();
        assert_eq!(operands, [[0.5], [40_000.0], [0.0], [65_535.0], [40_000.0], [0.5]]);
        assert_eq!(constants.get("w").unwrap().real(), [-150.0]);
        assert_eq!(graph.value_info, [value("q", &[1, 1, 2, 2])]);
    }

    #[test]
    fn what_would_compute_with_16_bits_is_named() {
        let error = to_f32(&mut graph("QLinearAdd"), &Limits::DEFAULT).unwrap_err();
        assert_eq!(error, "node last (QLinearAdd): it takes quantized values of 16 bits: Densight computes with 8");
        let mut many = graph("Cast");
        many.initializer[0].dims = vec![2];
        many.initializer[0].raw_data.extend(1_f32.to_le_bytes());
        let error = to_f32(&mut many, &Limits::DEFAULT).unwrap_err();
        assert!(error.starts_with("node quantize (QuantizeLinear): it has several scales"), "{error}");
    }
}
