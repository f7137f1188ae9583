//! Extents that a file declares.

use std::collections::HashMap;

use tract_onnx::pb::{GraphProto, ValueInfoProto, tensor_proto::DataType, tensor_shape_proto::dimension, type_proto};

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
