//! Operators that treat each channel by itself, and those that only rename values.

use tract_onnx::pb::{NodeProto, tensor_proto::DataType};

use super::attributes::Attributes;
use super::constant::Constant;
use super::evaluate::{axis_of, quantized_kind, range};
use super::not_fused::NotFused;
use super::qoperator::adds_zero_point_first;
use super::state::Walk;
use super::value::Value;
use crate::quant::Function;

/// The value a node gives, if it is such an operator.
pub(super) fn apply(walk: &Walk<'_>, node: &NodeProto) -> Result<Value, NotFused> {
    match node.op_type.as_str() {
        "Dropout" if node.input.get(2).is_some_and(|name| !name.is_empty()) => {
            Err(NotFused::Form("it may be in training"))
        }
        "Identity" | "Dropout" => walk.value(node, 0),
        "Cast" => cast(walk, node),
        "Relu" => {
            let mut value = walk.value(node, 0)?;
            value.bound(0.0, f64::INFINITY);
            Ok(value)
        }
        "Clip" => clip(walk, node),
        "BatchNormalization" => norm(walk, node),
        "Add" | "Sub" | "Mul" | "Div" => binary(walk, node),
        "QuantizeLinear" | "DequantizeLinear" => quantizer(walk, node),
        "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" => reshape(walk, node),
        _ => {
            let function = function(node).ok_or(NotFused::Operator)?;
            let mut value = walk.value(node, 0)?;
            value.function(&function);
            Ok(value)
        }
    }
}

/// To f32, or to f16 where nothing reads the result but a cast back (`halves.rs`): whole numbers of 8 bits are exact in both.
fn cast(walk: &Walk<'_>, node: &NodeProto) -> Result<Value, NotFused> {
    let to = node.int("to").unwrap_or_default();
    let is_f16 = to == DataType::Float16 as i64;
    if !is_f16 && to != DataType::Float as i64 {
        return Err(NotFused::Operator);
    }
    let mut value = walk.value(node, 0)?;
    if is_f16 && value.kind == DataType::Float {
        value.function(&Function::F16);
    }
    value.kind = DataType::Float;
    Ok(value)
}

/// The function that a node computes of each value; `None` for another operator.
fn function(node: &NodeProto) -> Option<Function> {
    let number = |name: &str, otherwise: f32| node.float(name).unwrap_or(otherwise);
    Some(match node.op_type.as_str() {
        "Sigmoid" => Function::Sigmoid,
        "HardSigmoid" => Function::HardSigmoid { alpha: number("alpha", 0.2), beta: number("beta", 0.5) },
        "HardSwish" => Function::HardSwish { alpha: 1.0 / 6.0, beta: 0.5 },
        "LeakyRelu" => Function::LeakyRelu(number("alpha", 0.01)),
        "Elu" => Function::Elu(number("alpha", 1.0)),
        "Tanh" => Function::Tanh,
        "Erf" => Function::Erf,
        "Gelu" if node.text("approximate").is_none_or(|how| how == b"none") => Function::Gelu,
        _ => return None,
    })
}

/// One number for each channel, from a constant of one number or one for each.
pub(super) fn per_channel(constant: &Constant, value: &Value) -> Result<Vec<f64>, NotFused> {
    let numbers = constant.real();
    // What it gives there is not chosen, or the file would have been refused.
    if numbers.iter().any(|number| number.is_nan()) {
        return Err(NotFused::Form("its constant holds NaN"));
    }
    let channels = value.shape.channels;
    let rank = value.dims().len();
    let expected: Vec<usize> = (0..rank).map(|axis| if axis == 1 { channels } else { 1 }).collect();
    let mut dims = vec![1; rank.saturating_sub(constant.dims.len())];
    dims.extend(&constant.dims);
    // A constant of more dimensions makes the result have them too.
    if numbers.len() == 1 && constant.dims.len() <= rank {
        Ok(vec![f64::from(numbers[0]); channels])
    } else if dims == expected && !(value.flat && value.shape.area() > 1) {
        Ok(numbers.into_iter().map(f64::from).collect())
    } else {
        Err(NotFused::extents(format!("its constant of {:?} is not one number a channel", constant.dims)))
    }
}

fn binary(walk: &Walk<'_>, node: &NodeProto) -> Result<Value, NotFused> {
    let known = |index: usize| node.input.get(index).and_then(|name| walk.constants.get(name));
    let (constant, operand) = match (known(0), known(1)) {
        (_, Some(constant)) => (constant, 0),
        (Some(constant), None) => (constant, 1),
        (None, None) => return Err(NotFused::Form("both its inputs depend on the image")),
    };
    let mut value = walk.value(node, operand)?;
    let numbers = per_channel(&constant, &value)?;
    let constant = |number: f64| vec![number; numbers.len()];
    let inverse = || numbers.iter().map(|n| 1.0 / n).collect::<Vec<f64>>();
    let negative = || numbers.iter().map(|n| -n).collect::<Vec<f64>>();
    match (node.op_type.as_str(), operand) {
        ("Add", _) => value.affine(&constant(1.0), &numbers),
        ("Mul", _) => value.affine(&numbers, &constant(0.0)),
        ("Sub", 0) => value.affine(&constant(1.0), &negative()),
        ("Sub", _) => value.affine(&constant(-1.0), &numbers),
        ("Div", 0) => value.affine(&inverse(), &constant(0.0)),
        _ => return Err(NotFused::Form("it divides by what depends on the image")),
    }
    Ok(value)
}

fn norm(walk: &Walk<'_>, node: &NodeProto) -> Result<Value, NotFused> {
    let mut value = walk.value(node, 0)?;
    let channels = value.shape.channels;
    let parameter = |index: usize| {
        let constant = node.input.get(index).and_then(|name| walk.constants.get(name));
        constant.map(|c| c.real()).filter(|numbers| numbers.len() == channels)
    };
    let parameters = (parameter(1), parameter(2), parameter(3), parameter(4));
    let (Some(scale), Some(offset), Some(mean), Some(variance)) = parameters else {
        return Err(NotFused::extents("its parameters are not one number a channel"));
    };
    if value.flat && value.shape.area() > 1 {
        return Err(NotFused::Form("it normalizes what was flattened"));
    }
    let epsilon = f64::from(node.float("epsilon").unwrap_or(1e-5));
    let mul: Vec<f64> =
        scale.iter().zip(&variance).map(|(&s, &v)| f64::from(s) / (f64::from(v) + epsilon).sqrt()).collect();
    let add: Vec<f64> =
        offset.iter().zip(&mean).zip(&mul).map(|((&o, &m), mul)| f64::from(o) - f64::from(m) * mul).collect();
    value.affine(&mul, &add);
    Ok(value)
}

fn clip(walk: &Walk<'_>, node: &NodeProto) -> Result<Value, NotFused> {
    let mut value = walk.value(node, 0)?;
    let bound = |index: usize, name: &str, otherwise: f64| match node.input.get(index).filter(|name| !name.is_empty()) {
        Some(input) => walk.constants.get(input).and_then(|c| c.real().first().copied()).map(f64::from),
        None => Some(node.float(name).map_or(otherwise, f64::from)),
    };
    match (bound(1, "min", f64::NEG_INFINITY), bound(2, "max", f64::INFINITY)) {
        (Some(low), Some(high)) if low <= high => {
            value.bound(low, high);
            Ok(value)
        }
        _ => Err(NotFused::NotConstant("each of its bounds")),
    }
}

fn quantizer(walk: &Walk<'_>, node: &NodeProto) -> Result<Value, NotFused> {
    let mut value = walk.value(node, 0)?;
    let channels = value.shape.channels;
    let quantizer = walk
        .constants
        .quantizer(node)
        .ok_or_else(|| NotFused::quantization("its scale or zero point is not usable"))?;
    let along = axis_of(node, value.dims().len()) == 1 && quantizer.dims.len() == 1;
    if quantizer.count() > 1 && (!along || value.flat && value.shape.area() > 1) {
        return Err(NotFused::quantization("its scales are not one number a channel"));
    }
    let spread = |numbers: Vec<f64>| match numbers.len() {
        1 => Ok(vec![numbers[0]; channels]),
        n if n == channels => Ok(numbers),
        n => Err(NotFused::quantization(format!("it has {n} scales for {channels} channels"))),
    };
    let scales = spread(quantizer.scales.iter().copied().map(f64::from).collect())?;
    let zero_points = spread(quantizer.zero_points.iter().map(|&zero| zero as f64).collect())?;
    let kind = if node.op_type == "QuantizeLinear" { quantized_kind(node, quantizer.kind) } else { quantizer.kind };
    let bounds = kind
        .map_or(Some((0, 255)), range)
        .ok_or_else(|| NotFused::quantization("its quantized values are not of 8 or 16 bits"))?;
    if node.op_type == "QuantizeLinear" {
        let (low, high) = (bounds.0 as f64, bounds.1 as f64);
        if adds_zero_point_first(node) {
            value.quantize_with_zero_point(&scales, &zero_points, low, high);
        } else {
            value.quantize(&scales, &zero_points, low, high);
        }
        value.kind = kind.unwrap_or(DataType::Uint8);
    } else {
        // Without a zero point any type is one that fits.
        if value.kind == DataType::Float || quantizer.kind.is_some_and(|kind| kind != value.kind) {
            return Err(NotFused::quantization("its input is not of its zero point's type"));
        }
        value.dequantize(&scales, &zero_points);
        value.kind = DataType::Float;
    }
    Ok(value)
}

fn reshape(walk: &Walk<'_>, node: &NodeProto) -> Result<Value, NotFused> {
    let mut value = walk.value(node, 0)?;
    let dims = walk.constants.reshaped(node, &value.dims()).ok_or(NotFused::NotConstant("its target shape"))?;
    let shape = value.shape;
    match dims[..] {
        [1, values] if values == shape.len() => (value.flat, value.groups) = (true, None),
        [1, channels, height, width] if [channels, height, width] == [shape.channels, shape.height, shape.width] => {
            (value.flat, value.groups) = (false, None);
        }
        [1, groups, each, height, width]
            if !value.flat
                && groups.checked_mul(each) == Some(shape.channels)
                && [height, width] == [shape.height, shape.width] =>
        {
            value.groups = Some(groups);
        }
        _ => return Err(NotFused::extents(format!("it makes {dims:?} of {:?}", value.dims()))),
    }
    Ok(value)
}
