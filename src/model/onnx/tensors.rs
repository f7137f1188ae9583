//! Stored tensors: how many values they hold, and which are none.

use tract_onnx::pb::{TensorProto, tensor_proto::DataType};

/// How many values a tensor has, by its extents; the greatest number there is where they are more.
pub(super) fn value_count(tensor: &TensorProto) -> u64 {
    tensor.dims.iter().map(|&dim| u64::try_from(dim).unwrap_or(0)).fold(1, u64::saturating_mul)
}

/// Whether a tensor holds as many values as its extents say; of types that are not read, that is not known.
pub(super) fn is_whole(tensor: &TensorProto) -> bool {
    let count = tensor.dims.iter().try_fold(1_usize, |count, &dim| count.checked_mul(usize::try_from(dim).ok()?));
    let Some(count) = count else { return false };
    let Some(width) = width(tensor.data_type) else { return true };
    let listed = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Float) => tensor.float_data.len(),
        Ok(DataType::Double) => tensor.double_data.len(),
        Ok(DataType::Int64) => tensor.int64_data.len(),
        _ => tensor.int32_data.len(),
    };
    if tensor.raw_data.is_empty() { listed == count } else { count.checked_mul(width) == Some(tensor.raw_data.len()) }
}

/// Bytes of one value of a type; `None` for types that are not read.
pub(super) fn width(data_type: i32) -> Option<usize> {
    match DataType::try_from(data_type).ok()? {
        DataType::Double | DataType::Int64 => Some(8),
        DataType::Float | DataType::Int32 => Some(4),
        DataType::Float16 | DataType::Bfloat16 | DataType::Int16 | DataType::Uint16 => Some(2),
        DataType::Int8 | DataType::Uint8 | DataType::Bool => Some(1),
        _ => None,
    }
}

/// Place of the first value that is no number.
pub(super) fn first_nan(tensor: &TensorProto) -> Option<usize> {
    let raw = &tensor.raw_data;
    match DataType::try_from(tensor.data_type) {
        Ok(DataType::Float) if raw.is_empty() => tensor.float_data.iter().position(|v| v.is_nan()),
        Ok(DataType::Float) => raw.chunks_exact(4).position(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]).is_nan()),
        Ok(DataType::Double) if raw.is_empty() => tensor.double_data.iter().position(|v| v.is_nan()),
        Ok(DataType::Double) => raw.as_chunks::<8>().0.iter().position(|b| f64::from_le_bytes(*b).is_nan()),
        Ok(DataType::Float16) => raw.chunks_exact(2).position(|b| half::f16::from_le_bytes([b[0], b[1]]).is_nan()),
        Ok(DataType::Bfloat16) => raw.chunks_exact(2).position(|b| half::bf16::from_le_bytes([b[0], b[1]]).is_nan()),
        _ => None,
    }
}

/// The values of a tensor of f32 that is whole.
pub(super) fn floats(tensor: &TensorProto) -> Option<Vec<f32>> {
    if DataType::try_from(tensor.data_type) != Ok(DataType::Float) || !is_whole(tensor) {
        return None;
    }
    let raw = tensor.raw_data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
    Some(if tensor.raw_data.is_empty() { tensor.float_data.clone() } else { raw.collect() })
}
