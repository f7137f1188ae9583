//! What must hold between a node's attributes.

use tract_onnx::pb::{AttributeProto, NodeProto};

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

fn padded_by_itself(node: &NodeProto) -> bool {
    attribute(node, "auto_pad").is_some_and(|pad| pad.s != b"NOTSET")
}

/// Windows: lists of one length, and one way of padding.
pub(super) fn window(node: &NodeProto, _opset: i64) -> Result<(), String> {
    let length = |name: &str| attribute(node, name).map(|a| a.ints.len());
    let pads = length("pads").map(|n| n.div_ceil(2));
    if length("pads").is_some_and(|n| n % 2 != 0) {
        return Err("attribute pads has an odd number of values".into());
    }
    let lists = [
        ("kernel_shape", length("kernel_shape")),
        ("strides", length("strides")),
        ("dilations", length("dilations")),
        ("pads", pads),
        ("output_padding", length("output_padding")),
        ("output_shape", length("output_shape")),
    ];
    let mut given = lists.iter().filter_map(|(name, length)| length.map(|length| (name, length)));
    if let Some((first, length)) = given.next() {
        if let Some((other, _)) = given.find(|(_, other)| *other != length) {
            return Err(format!("attributes {first} and {other} are of different dimensions"));
        }
        if length == 0 {
            return Err(format!("attribute {first} is empty"));
        }
    }
    if padded_by_itself(node) && attribute(node, "pads").is_some_and(|pads| pads.ints.iter().any(|&pad| pad != 0)) {
        return Err("attribute pads is given beside auto_pad".into());
    }
    Ok(())
}

/// Pools: as [`window`], and no padding that a window could lie in.
pub(super) fn pool(node: &NodeProto, opset: i64) -> Result<(), String> {
    window(node, opset)?;
    let list = |name: &str| attribute(node, name).map(|a| a.ints.as_slice()).unwrap_or_default();
    let (kernel, pads) = (list("kernel_shape"), list("pads"));
    if pads.iter().zip(kernel.iter().cycle()).any(|(pad, kernel)| pad >= kernel) {
        return Err("attribute pads is not smaller than kernel_shape".into());
    }
    Ok(())
}

/// `QLinearAveragePool`: as [`pool`]. What `auto_pad` makes of it where it rounds up and counts padding was not compared.
pub(super) fn quantized_pool(node: &NodeProto, opset: i64) -> Result<(), String> {
    pool(node, opset)?;
    let set = |name: &str| attribute(node, name).is_some_and(|a| a.i != 0);
    if set("ceil_mode") && set("count_include_pad") && padded_by_itself(node) {
        return Err("attribute ceil_mode is given beside count_include_pad and auto_pad".into());
    }
    Ok(())
}

/// The padding with which a pool that rounds down has the windows that it has rounding up, each of them within it: a stride less one
/// more at the end, but not so much that a window sees nothing else, since such a window is left out.
pub(in super::super) fn pads_without_ceil(node: &NodeProto) -> Vec<i64> {
    let list = |name: &str| attribute(node, name).map(|a| a.ints.as_slice()).unwrap_or_default();
    let (kernel, strides) = (list("kernel_shape"), list("strides"));
    let mut pads = list("pads").to_vec();
    pads.resize(2 * kernel.len(), 0);
    for (axis, (pad, kernel)) in pads[kernel.len()..].iter_mut().zip(kernel).enumerate() {
        *pad = (*pad + strides.get(axis).unwrap_or(&1) - 1).min(kernel - 1);
    }
    pads
}

/// `Constant`: one value.
pub(super) fn one_value(node: &NodeProto, _opset: i64) -> Result<(), String> {
    if node.attribute.len() == 1 { Ok(()) } else { Err("it has not one value".into()) }
}

/// `Slice`: a start and an end for each axis.
pub(super) fn slice(node: &NodeProto, _opset: i64) -> Result<(), String> {
    let length = |name: &str| attribute(node, name).map(|list| list.ints.len());
    if length("starts") != length("ends") || length("axes").is_some_and(|axes| Some(axes) != length("starts")) {
        return Err("attributes starts, ends and axes are of different lengths".into());
    }
    Ok(())
}

/// `Split`: the parts are given once.
pub(super) fn split(node: &NodeProto, opset: i64) -> Result<(), String> {
    let parts = attribute(node, "num_outputs");
    if opset >= 18 && (parts.is_some() == (node.input.len() > 1)) {
        return Err("it has not one of num_outputs and split".into());
    }
    if parts.is_some_and(|parts| usize::try_from(parts.i) != Ok(node.output.len())) {
        return Err("attribute num_outputs is not the number of its outputs".into());
    }
    Ok(())
}

/// `Resize`: either scales or sizes.
pub(super) fn resize(node: &NodeProto, opset: i64) -> Result<(), String> {
    let given = |at: usize| node.input.get(at).is_some_and(|name| !name.is_empty());
    if opset >= 13 && given(2) == given(3) {
        return Err("it has not one of scales and sizes".into());
    }
    Ok(())
}

/// `QLinearSoftmax` gives the opset whose softmax it is; before 13 that is another one.
pub(super) fn softmax_opset(node: &NodeProto, opset: i64) -> Result<(), String> {
    match attribute(node, "opset") {
        Some(asked) if asked.i >= 13 && opset < 13 => {
            Err(format!("attribute opset is {}, later than the file's {opset}", asked.i))
        }
        _ => Ok(()),
    }
}
