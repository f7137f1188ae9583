//! Extents that a file declares.

use std::collections::HashMap;

use tract_onnx::pb::{GraphProto, ValueInfoProto, tensor_shape_proto::dimension, type_proto};

/// The extents of inner tensors, as far as they are given as numbers; a symbolic batch is 1.
pub(super) fn declared(graph: &GraphProto) -> HashMap<&str, Vec<usize>> {
    graph.value_info.iter().filter_map(|info| Some((info.name.as_str(), dims(info)?))).collect()
}

fn dims(info: &ValueInfoProto) -> Option<Vec<usize>> {
    let type_proto::Value::TensorType(tensor) = info.r#type.as_ref()?.value.as_ref()?;
    let dims = tensor.shape.as_ref()?.dim.iter().enumerate().map(|(axis, dim)| match &dim.value {
        Some(dimension::Value::DimValue(n)) => usize::try_from(*n).ok(),
        _ => (axis == 0).then_some(1),
    });
    dims.collect()
}
