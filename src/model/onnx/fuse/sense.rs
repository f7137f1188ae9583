//! Constants that make no sense: scales that are not positive, variances below zero, weights that are infinite.

use tract_onnx::pb::{GraphProto, NodeProto, tensor_proto::DataType};

use super::super::super::Limits;
use super::attributes::Attributes;
use super::constants::{Constant, Constants};
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
            "Slice" => steps(node, &constants),
            "ConstantOfShape" => extents(node, 0, &constants),
            "Expand" | "Tile" => extents(node, 1, &constants),
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

fn extents(node: &NodeProto, at: usize, constants: &Constants<'_>) -> Result<(), String> {
    let extents = input(node, at, constants);
    let negative = |extents: &Constant| extents.whole()?.iter().copied().find(|&extent| extent < 0);
    match extents.as_ref().and_then(negative) {
        Some(extent) => Err(format!("it is asked for an extent of {extent}")),
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
