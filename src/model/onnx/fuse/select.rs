//! Operators that pick channels or put them into another order: lists of channels, and no copies.

use tract_onnx::pb::{NodeProto, tensor_proto::DataType};

use super::attributes::Attributes;
use super::constant::{Constant, Values};
use super::evaluate::evaluate;
use super::infer::inferred;
use super::not_fused::NotFused;
use super::state::Walk;
use super::value::{MOST_CHANNELS, Value};

/// `Slice` and `Gather` of channels.
pub(super) fn select(walk: &Walk<'_>, node: &NodeProto) -> Result<Value, NotFused> {
    let value = walk.value(node, 0)?;
    let rank = value.dims().len();
    let axes = match (node.op_type.as_str(), node.input.get(3).filter(|name| !name.is_empty())) {
        ("Gather", _) => Some(vec![node.int("axis").unwrap_or(0)]),
        (_, Some(name)) => walk.constants.get(name).and_then(|axes| axes.whole().map(<[i64]>::to_vec)),
        (_, None) => node.ints("axes").map(<[i64]>::to_vec),
    };
    if !axes.is_some_and(|axes| axes.len() == 1 && is_channels(axes[0], &value)) {
        return Err(NotFused::Form("it picks others than channels"));
    }
    // The operator's own rules, applied to the channels' numbers.
    let numbers = Constant {
        dims: (0..rank).map(|axis| if axis == 1 { value.shape.channels } else { 1 }).collect(),
        values: Values::Whole((0..value.shape.channels as i64).collect()),
        kind: DataType::Int64,
    };
    let others: Vec<Option<Constant>> = node.input.iter().skip(1).map(|name| walk.constants.get(name)).collect();
    let inputs: Vec<Option<&Constant>> =
        std::iter::once(Some(&numbers)).chain(others.iter().map(Option::as_ref)).collect();
    let picked = evaluate(node, &inputs).filter(|picked| picked.dims.len() == rank);
    let picked = picked.ok_or(NotFused::NotConstant("what it picks"))?;
    let channels: Vec<usize> = picked.whole().unwrap_or_default().iter().map(|&channel| channel as usize).collect();
    value.select(&channels)
}

/// The values of all outputs of a `Split` of channels.
pub(super) fn split(walk: &Walk<'_>, node: &NodeProto) -> Result<Vec<Value>, NotFused> {
    let value = walk.value(node, 0)?;
    if !is_channels(node.int("axis").unwrap_or(0), &value) {
        return Err(NotFused::Form("it splits others than channels"));
    }
    if node.output.len().saturating_mul(value.shape.channels) > MOST_CHANNELS {
        return Err(NotFused::TooMuch("it has too many parts"));
    }
    let extents = inferred(node, &[Some((value.dims(), value.kind))], &walk.constants).unwrap_or_default();
    let mut next = 0;
    let parts: Vec<Vec<usize>> = extents
        .iter()
        .map(|(dims, _)| {
            let first = next;
            next += dims.get(1).copied().unwrap_or(0);
            (first..next).collect()
        })
        .collect();
    if parts.len() != node.output.len() || next != value.shape.channels {
        return Err(NotFused::NotConstant("the size of its parts"));
    }
    parts.iter().map(|channels| value.select(channels)).collect()
}

/// `Transpose` of channels in groups, `[1, groups, channels of each, height, width]`: the first of each group come first, as
/// ShuffleNet and CondenseNet mix their groups.
pub(super) fn shuffle(walk: &Walk<'_>, node: &NodeProto) -> Result<Value, NotFused> {
    let value = walk.value(node, 0)?;
    let groups = value.groups.ok_or(NotFused::Form("it is no operator of channels"))?;
    if node.ints("perm") != Some(&[0, 2, 1, 3, 4]) {
        return Err(NotFused::Form("it exchanges others than groups and their channels"));
    }
    let each = value.shape.channels / groups;
    let channels: Vec<usize> = (0..each).flat_map(|at| (0..groups).map(move |group| group * each + at)).collect();
    value.select(&channels).map(|value| Value { groups: Some(each), ..value })
}

/// Whether an axis is that of the channels.
fn is_channels(axis: i64, value: &Value) -> bool {
    axis == 1 || axis == 1 - value.dims().len() as i64
}
