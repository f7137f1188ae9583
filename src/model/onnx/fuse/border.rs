//! `Pad` nodes: how much they add, and those that mirror an image, which a convolution behind them takes in.

use tract_onnx::pb::NodeProto;

use super::attributes::Attributes;
use super::constants::Constants;

/// How much a `Pad` adds: before each axis, then behind each; of a tensor of rank 4 where the axes are given. `None` where it depends on the
/// image.
pub(in super::super) fn pad_amounts(node: &NodeProto, constants: &Constants<'_>) -> Option<Vec<i64>> {
    let given = |at: usize| node.input.get(at).filter(|name| !name.is_empty());
    let list = |at: usize| Some(constants.get(given(at)?)?.whole()?.to_vec());
    let Some(_) = given(1) else { return node.ints("pads").map(<[i64]>::to_vec) };
    let amounts = list(1)?;
    if given(3).is_none() {
        return Some(amounts);
    }
    let axes = list(3)?;
    let mut all = vec![0; 8];
    for (number, axis) in axes.iter().enumerate() {
        let axis = usize::try_from(if *axis < 0 { axis + 4 } else { *axis }).ok().filter(|axis| *axis < 4)?;
        all[axis] = *amounts.get(number)?;
        all[axis + 4] = *amounts.get(number + axes.len())?;
    }
    (amounts.len() == 2 * axes.len()).then_some(all)
}

/// Rows and columns that a node mirrors around an image: top, left, bottom, right.
pub(super) fn mirrored(node: &NodeProto, constants: &Constants<'_>) -> Option<[usize; 4]> {
    let understood = node.attribute.iter().all(|attribute| ["mode", "pads"].contains(&attribute.name.as_str()));
    if node.op_type != "Pad" || node.text("mode") != Some(b"reflect") || !understood || node.output.len() != 1 {
        return None;
    }
    let amounts = pad_amounts(node, constants)?;
    let [0, 0, top, left, 0, 0, bottom, right] = amounts[..] else { return None };
    let side = |amount: i64| usize::try_from(amount).ok();
    Some([side(top)?, side(left)?, side(bottom)?, side(right)?])
}
