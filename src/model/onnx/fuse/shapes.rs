//! Extents that a file declares, and those of pools, which it may declare wrongly.

use std::collections::HashMap;

use tract_onnx::pb::{
    GraphProto, NodeProto, ValueInfoProto, tensor_proto::DataType, tensor_shape_proto::dimension, type_proto,
};

use super::super::super::fused::Shape;
use super::attributes::Attributes;

/// Extents and types of inner tensors of f32 or of quantized values, as far as extents are given as numbers; a symbolic batch is 1.
pub(super) fn declared(graph: &GraphProto) -> HashMap<&str, (Vec<usize>, DataType)> {
    graph.value_info.iter().filter_map(|info| Some((info.name.as_str(), dims(info)?))).collect()
}

fn dims(info: &ValueInfoProto) -> Option<(Vec<usize>, DataType)> {
    let type_proto::Value::TensorType(tensor) = info.r#type.as_ref()?.value.as_ref()?;
    let kind = DataType::try_from(tensor.elem_type).ok()?;
    if !matches!(kind, DataType::Float | DataType::Int8 | DataType::Uint8) {
        return None;
    }
    let dims = tensor.shape.as_ref()?.dim.iter().enumerate().map(|(axis, dim)| match &dim.value {
        Some(dimension::Value::DimValue(n)) => usize::try_from(*n).ok(),
        _ => (axis == 0).then_some(1),
    });
    Some((dims.collect::<Option<_>>()?, kind))
}

/// The extents of what a pool gives that is left to tract. ONNX's own inference of shapes, and so many a file, counts a last window that
/// begins behind the input, where `ceil_mode` rounds up; no runtime has it.
pub(super) fn pooled(node: &NodeProto, shape: Shape) -> Option<Shape> {
    let list = |name: &str, at: usize| node.ints(name).and_then(|list| list.get(at)).copied();
    let auto_pad = node.text("auto_pad").unwrap_or(b"NOTSET");
    let along = |side: usize, axis: usize| {
        let side = i64::try_from(side).ok()?;
        let [stride, dilation] = ["strides", "dilations"].map(|name| list(name, axis).unwrap_or(1));
        if auto_pad.starts_with(b"SAME") {
            return side.checked_add(stride - 1)?.checked_div(stride);
        }
        let pad = |at: usize| if auto_pad == b"VALID" { 0 } else { list("pads", at).unwrap_or(0) };
        let (before, behind) = (pad(axis), pad(axis + 2));
        let field = list("kernel_shape", axis)?.checked_sub(1)?.checked_mul(dilation)?.checked_add(1)?;
        let room = side.checked_add(before)?.checked_add(behind)?.checked_sub(field).filter(|&room| room >= 0)?;
        let windows = room.checked_div(stride)? + 1;
        let more = node.int("ceil_mode") == Some(1) && room % stride != 0 && windows * stride < side + before;
        Some(windows + i64::from(more))
    };
    let extent = |side: usize, axis: usize| usize::try_from(along(side, axis)?).ok();
    Some(Shape { height: extent(shape.height, 0)?, width: extent(shape.width, 1)?, ..shape })
}

#[cfg(test)]
mod tests {
    use super::super::super::nodes::{int, ints};
    use super::*;

    #[test]
    fn pools_have_no_window_behind_their_input() {
        let pool = |kernel: [i64; 2], pads: [i64; 4], ceil: i64| NodeProto {
            attribute: vec![
                ints("kernel_shape", &kernel),
                ints("strides", &[2, 2]),
                ints("pads", &pads),
                int("ceil_mode", ceil),
            ],
            ..Default::default()
        };
        let extents = |node: &NodeProto| {
            pooled(node, Shape { channels: 3, height: 13, width: 12 }).map(|shape| [shape.height, shape.width])
        };
        assert_eq!(extents(&pool([3, 1], [1, 0, 1, 0], 1)), Some([7, 6]));
        assert_eq!(extents(&pool([2, 2], [0, 0, 1, 1], 1)), Some([7, 6]));
        assert_eq!(extents(&pool([2, 3], [0, 0, 0, 0], 0)), Some([6, 5]));
        assert_eq!(extents(&pool([2, 3], [0, 0, 0, 0], 1)), Some([7, 6]));
        assert_eq!(extents(&pool([20, 3], [0, 0, 0, 0], 1)), None);
    }
}
