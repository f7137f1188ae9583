//! Sums and products of tensors that all depend on the image.

use tract_onnx::pb::{NodeProto, tensor_proto::DataType};

use super::super::super::fused::Op;
use super::elementwise::per_channel;
use super::not_fused::NotFused;
use super::state::Walk;
use super::value::{Piece, Value};
use crate::quant::Function;

/// `Add`, `Sub`, `Sum` and `Mul`: one layer for each operand behind the first. A product of a tensor and a function of it is a
/// function, and no layer.
pub(super) fn combine(walk: &mut Walk<'_>, node: &NodeProto) -> Result<Value, NotFused> {
    let operands = (0..node.input.len()).map(|index| walk.value(node, index)).collect::<Result<Vec<_>, _>>()?;
    if let ("Mul", [a, b]) = (node.op_type.as_str(), operands.as_slice())
        && let Some(product) = a.product(b)
    {
        return Ok(product);
    }
    let region = operands.iter().map(|operand| operand.region).max().unwrap_or(0);
    let largest =
        operands.iter().max_by_key(|operand| operand.shape.len()).ok_or(NotFused::Form("it combines nothing"))?.clone();
    if !operands.iter().all(|operand| fits(operand, &largest)) {
        return Err(NotFused::Form("its operands have other extents, and not one number a channel"));
    }
    let lifted = node.input.iter().zip(operands).map(|(name, operand)| walk.lifted(name, operand, region));
    let mut operands = lifted.collect::<Vec<_>>().into_iter();
    let mut result = operands.next().ok_or(NotFused::Form("it combines nothing"))?;
    for mut operand in operands {
        if node.op_type == "Sub" {
            let channels = operand.shape.channels;
            operand.affine(&vec![-1.0; channels], &vec![0.0; channels]);
        }
        let op = if node.op_type == "Mul" { Op::Multiply } else { Op::Add };
        result = of_two(walk, node, op, result, operand);
    }
    Ok(result)
}

/// `PRelu` with a slope for each channel: what is above 0, plus what is below times its slope.
pub(super) fn rectify(walk: &mut Walk<'_>, node: &NodeProto) -> Result<Value, NotFused> {
    let mut value = walk.value(node, 0)?;
    let slope =
        node.input.get(1).and_then(|name| walk.constants.get(name)).ok_or(NotFused::NotConstant("its slope"))?;
    if let [slope] = slope.real()[..] {
        value.function(&Function::LeakyRelu(slope));
        return Ok(value);
    }
    let slopes = per_channel(&slope, &value)?;
    let mut below = value.clone();
    value.bound(0.0, f64::INFINITY);
    below.bound(f64::NEG_INFINITY, 0.0);
    below.affine(&slopes, &vec![0.0; slopes.len()]);
    Ok(of_two(walk, node, Op::Add, value, below))
}

/// Whether a tensor has the extents of another one, or one value for each of its channels.
fn fits(operand: &Value, largest: &Value) -> bool {
    let single = !operand.flat && operand.shape.area() == 1 && operand.shape.channels == largest.shape.channels;
    operand.flat == largest.flat && (operand.shape == largest.shape || single)
}

/// The layer that combines two operands, of which one has one value for each channel or both have the same extents.
fn of_two(walk: &mut Walk<'_>, node: &NodeProto, op: Op, a: Value, b: Value) -> Value {
    let (first, second) = if a.shape.len() < b.shape.len() { (b, a) } else { (a, b) };
    let Value { shape, flat, region, .. } = first;
    let reads: Vec<Piece> = first.pieces.into_iter().chain(second.pieces).collect();
    let result = walk.layer(node, op, reads, shape, region);
    Value { flat, kind: DataType::Float, ..result }
}
