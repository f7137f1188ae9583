//! Constants that make no sense: scales that are not positive, variances below zero, weights that are infinite.

use tract_onnx::pb::{GraphProto, NodeProto, tensor_proto::DataType};

use super::super::super::Limits;
use super::attributes::Attributes;
use super::constant::Constant;
use super::constants::Constants;
use crate::model::onnx::operators;

/// Refuses constants with which no network can have been trained, by node.
///
/// # Errors
/// One sentence that names the node and the constant.
pub(in super::super) fn check_constants(graph: &GraphProto, limits: &Limits) -> Result<(), String> {
    let constants = Constants::of(graph, limits.constants);
    for node in &graph.node {
        let what = match node.op_type.as_str() {
            "BatchNormalization" => norm(node, &constants),
            "QuantizeLinear" | "DequantizeLinear" => scales(node, &constants),
            "Conv" | "ConvTranspose" | "Gemm" | "MatMul" => weights(node, &constants),
            "Slice" => steps(node, &constants).and_then(|()| starts(node, &constants)),
            "ConstantOfShape" => whole(node, 0, 0, &constants),
            "Expand" | "Tile" => whole(node, 1, 0, &constants),
            "Reshape" | "Split" | "TopK" => whole(node, 1, -1, &constants),
            "Resize" => whole(node, 3, 0, &constants),
            _ => Ok(()),
        };
        what.map_err(|what| format!("node {} ({}): {what}", operators::name(node), node.op_type))?;
    }
    Ok(())
}

fn input(node: &NodeProto, at: usize, constants: &Constants<'_>) -> Option<Constant> {
    constants.get(node.input.get(at).filter(|name| !name.is_empty())?)
}

fn norm(node: &NodeProto, constants: &Constants<'_>) -> Result<(), String> {
    for (at, name) in [(1, "scale"), (2, "offset"), (3, "mean"), (4, "variance")] {
        let parameter = input(node, at, constants).ok_or_else(|| format!("its {name} is not in the file"))?;
        if parameter.dims.len() != 1 || parameter.len() == 0 {
            return Err(format!("its {name} is {:?}, not one number a channel", parameter.dims));
        }
        if let Some(value) = parameter.real().into_iter().find(|value| !value.is_finite()) {
            return Err(format!("its {name} holds {value}: the training or conversion failed"));
        }
    }
    let epsilon = node.float("epsilon").unwrap_or(1e-5);
    let variance = input(node, 4, constants).map(|variance| variance.real()).unwrap_or_default();
    match variance.into_iter().find(|variance| variance + epsilon <= 0.0) {
        Some(value) => Err(format!("variance {value} with epsilon {epsilon} is not positive")),
        None => Ok(()),
    }
}

fn scales(node: &NodeProto, constants: &Constants<'_>) -> Result<(), String> {
    let scales = input(node, 1, constants).ok_or("its scale is not in the file")?;
    let zero_point = node.input.get(2).filter(|name| !name.is_empty());
    let zero_points = match zero_point {
        Some(_) => {
            Some(input(node, 2, constants).ok_or("its zero point is not in the file, or of no type that is read")?)
        }
        None => None,
    };
    if scales.kind != DataType::Float {
        return Err("its scale is not f32".into());
    }
    if scales.len() == 0 || zero_points.as_ref().is_some_and(|zero| zero.len() == 0) {
        return Err("its scale or zero point is empty".into());
    }
    // What is smaller has no finite inverse.
    let sensible = |scale: &f32| *scale > 0.0 && scale.is_finite() && scale.recip().is_finite();
    if let Some(scale) = scales.real().into_iter().find(|scale| !sensible(scale)) {
        return Err(format!("scale {scale} makes no sense"));
    }
    if let Some(zero) = zero_points.filter(|zero| zero.len() != 1 && scales.len() != 1 && zero.len() != scales.len()) {
        return Err(format!("it has {} zero points for {} scales", zero.len(), scales.len()));
    }
    Ok(())
}

fn steps(node: &NodeProto, constants: &Constants<'_>) -> Result<(), String> {
    match input(node, 4, constants) {
        Some(steps) if steps.whole().is_some_and(|steps| steps.contains(&0)) => Err("its steps hold 0".into()),
        _ => Ok(()),
    }
}

/// Where there are steps, tract does not slice.
fn starts(node: &NodeProto, constants: &Constants<'_>) -> Result<(), String> {
    let stepped = node.input.get(4).is_some_and(|name| !name.is_empty());
    if stepped { Ok(()) } else { whole(node, 1, i32::MIN, constants) }
}

/// Refuses an input that holds whole numbers below `least` or beyond 31 bits, of which tract takes the lower 32.
fn whole(node: &NodeProto, at: usize, least: i32, constants: &Constants<'_>) -> Result<(), String> {
    let numbers = input(node, at, constants);
    let outside =
        |numbers: &Constant| numbers.whole()?.iter().copied().find(|n| i32::try_from(*n).map_or(true, |n| n < least));
    match numbers.as_ref().and_then(outside) {
        Some(number) => Err(format!("its input {at} holds {number}, which is not from {least} to {}", i32::MAX)),
        None => Ok(()),
    }
}

fn weights(node: &NodeProto, constants: &Constants<'_>) -> Result<(), String> {
    let constants = (0..node.input.len()).filter_map(|at| input(node, at, constants));
    match constants.flat_map(|weights| weights.real()).find(|value| !value.is_finite()) {
        Some(value) => Err(format!("its weights hold {value}: the training or conversion failed")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::TensorProto;

    use super::super::super::nodes::Nodes;
    use super::*;

    #[test]
    fn whole_numbers_that_tract_would_cut_are_refused() {
        let said = |op: &str, at: usize, numbers: &[i64]| {
            let inputs = [&["list"][..], &["x", "list"], &["x", "x", "list"], &["x", "list", "x", "x", "x"]][at];
            let mut nodes = Nodes::default();
            nodes.add_to(op, "the node", inputs, vec![], "y".into());
            let list = TensorProto {
                name: "list".into(),
                dims: vec![numbers.len() as i64],
                data_type: DataType::Int64 as i32,
                int64_data: numbers.to_vec(),
                ..Default::default()
            };
            let graph = GraphProto { node: nodes.list, initializer: vec![list], ..Default::default() };
            check_constants(&graph, &Limits::DEFAULT).err().unwrap_or_default()
        };
        for (op, at) in [("ConstantOfShape", 0), ("Expand", 1), ("Tile", 1), ("Reshape", 1), ("Split", 1), ("Slice", 1)]
        {
            assert_eq!(said(op, at, &[0, 8]), "", "{op}");
            let cut = said(op, at, &[0, (1 << 32) + 8]);
            assert!(cut.starts_with(&format!("node the node ({op}): its input {at} holds 4294967304")), "{cut}");
        }
        assert!(said("Expand", 1, &[-1]).contains("its input 1 holds -1"));
        assert_eq!(said("Reshape", 1, &[0, -1]), "");
        assert_eq!(said("Slice", 1, &[-5]), "");
        assert_eq!(said("Slice", 2, &[i64::MAX]), "", "to the end");
        assert_eq!(said("Slice", 3, &[i64::MAX]), "", "backwards");
    }
}
