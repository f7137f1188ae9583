//! `LayerNormalization` over channels. Of an image, exporters write it between a `Transpose` that puts channels last and one back.

use tract_onnx::pb::{NodeProto, tensor_proto::DataType};

use super::super::super::fused::Op;
use super::attributes::Attributes;
use super::not_fused::NotFused;
use super::state::Walk;
use super::value::Value;
use crate::model::onnx::operators::understood;

/// Whether a node is the first of the three, or the second behind a first one.
pub(super) fn waits(walk: &Walk<'_>, node: &NodeProto) -> bool {
    let plain = |value: Value| !value.flat && value.groups.is_none() && value.kind == DataType::Float;
    match node.op_type.as_str() {
        "Transpose" => permutes(node, [0, 2, 3, 1]) && walk.value(node, 0).is_ok_and(plain),
        "LayerNormalization" => waiting(walk, node, "Transpose").is_some() && of_channels(node, 4).is_ok(),
        _ => false,
    }
}

/// The value of the last of the three; `None` if a node is no such.
pub(super) fn between_transpositions(walk: &mut Walk<'_>, node: &NodeProto) -> Option<Value> {
    let norm = waiting(walk, node, "LayerNormalization").filter(|_| permutes(node, [0, 3, 1, 2]))?;
    let value = walk.value(waiting(walk, norm, "Transpose")?, 0).ok()?;
    normalized(walk, norm, value).ok()
}

/// A normalization of features, one value a channel.
pub(super) fn of_features(walk: &mut Walk<'_>, node: &NodeProto) -> Result<Value, NotFused> {
    let value = walk.value(node, 0)?;
    of_channels(node, 2)?;
    if !value.flat || value.shape.area() != 1 {
        return Err(NotFused::Form("it normalizes over more than channels"));
    }
    let result = normalized(walk, node, value)?;
    Ok(Value { flat: true, ..result })
}

/// The node of an operator that waits for the one that reads it.
fn waiting<'a>(walk: &Walk<'a>, node: &NodeProto, op: &str) -> Option<&'a NodeProto> {
    walk.waiting.get(node.input.first()?).copied().filter(|waiting| waiting.op_type == op)
}

fn permutes(node: &NodeProto, order: [i64; 4]) -> bool {
    node.op_type == "Transpose" && node.ints("perm") == Some(&order) && understood(node).is_ok()
}

/// Checks that it normalizes over the last of `rank` axes, and nothing else.
fn of_channels(node: &NodeProto, rank: i64) -> Result<(), NotFused> {
    understood(node).map_err(NotFused::NotUnderstood)?;
    let axis = node.int("axis").unwrap_or(-1);
    match node.output.iter().filter(|name| !name.is_empty()).count() {
        1 if axis == -1 || axis == rank - 1 => Ok(()),
        1 => Err(NotFused::Form("it normalizes over more than channels")),
        _ => Err(NotFused::Form("it has more than one output")),
    }
}

fn normalized(walk: &mut Walk<'_>, node: &NodeProto, value: Value) -> Result<Value, NotFused> {
    let Value { pieces, shape, region, .. } = value;
    let numbers = |at: usize, default: f64| match node.input.get(at).filter(|name| !name.is_empty()) {
        None => Ok(vec![default; shape.channels]),
        Some(name) => {
            let constant = walk.constants.get(name).ok_or(NotFused::NotConstant("its scale and bias"))?;
            let numbers: Vec<f64> = constant.real().into_iter().map(f64::from).collect();
            match numbers.len() == shape.channels {
                true => Ok(numbers),
                false => Err(NotFused::extents(format!("{} numbers for {} channels", numbers.len(), shape.channels))),
            }
        }
    };
    let (scale, bias) = (numbers(1, 1.0)?, numbers(2, 0.0)?);
    let epsilon = node.float("epsilon").unwrap_or(1e-5);
    if !(epsilon > 0.0 && epsilon.is_finite()) {
        return Err(NotFused::Form("its epsilon is not above 0"));
    }
    let mut result = walk.layer(node, Op::Normalize { epsilon }, pieces, shape, region);
    result.affine(&scale, &bias);
    Ok(result)
}
