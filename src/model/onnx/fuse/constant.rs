//! A tensor whose values are known.

use tract_onnx::pb::{TensorProto, tensor_proto::DataType};

/// A known tensor, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct Constant {
    pub(in super::super) dims: Vec<usize>,
    pub(in super::super) values: Values,
    /// Their type in the file.
    pub(in super::super) kind: DataType,
}

/// Whole numbers of any type, or f32 ones.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) enum Values {
    Whole(Vec<i64>),
    F32(Vec<f32>),
}

impl Constant {
    pub(in super::super) fn real(&self) -> Vec<f32> {
        match &self.values {
            Values::F32(values) => values.clone(),
            Values::Whole(values) => values.iter().map(|&v| v as f32).collect(),
        }
    }

    pub(in super::super) fn whole(&self) -> Option<&[i64]> {
        match &self.values {
            Values::Whole(values) => Some(values),
            Values::F32(_) => None,
        }
    }

    pub(super) fn len(&self) -> usize {
        match &self.values {
            Values::F32(values) => values.len(),
            Values::Whole(values) => values.len(),
        }
    }

    /// Whether it has values, or is a list of none: further extents beside one of 0 would make loops of any length over nothing, and
    /// products that do not fit a `usize`.
    pub(super) fn is_sensible(&self) -> bool {
        self.len() > 0 || self.dims == [0]
    }
}

/// The values of a tensor in the file; `None` for a type that is not read here, or a length that does not fit.
pub(super) fn decode(tensor: &TensorProto) -> Option<Constant> {
    let dims: Vec<usize> = tensor.dims.iter().map(|&dim| usize::try_from(dim).ok()).collect::<Option<_>>()?;
    let count = dims.iter().try_fold(1_usize, |count, &dim| count.checked_mul(dim))?;
    let kind = DataType::try_from(tensor.data_type).ok()?;
    let raw = tensor.raw_data.as_slice();
    let width = match kind {
        DataType::Int64 | DataType::Double => 8,
        DataType::Float | DataType::Int32 => 4,
        DataType::Float16 | DataType::Int16 | DataType::Uint16 => 2,
        DataType::Int8 | DataType::Uint8 => 1,
        _ => return None,
    };
    if !raw.is_empty() && count.checked_mul(width) != Some(raw.len()) {
        return None;
    }
    let small = |low: i32, high: i32| {
        let values = tensor.int32_data.iter().map(|&v| (low..=high).contains(&v).then_some(i64::from(v)));
        values.collect::<Option<Vec<i64>>>().map(Values::Whole)
    };
    let half = |bits: u16| half::f16::from_bits(bits).to_f32();
    let values = match (kind, raw.is_empty()) {
        (DataType::Float, true) => Values::F32(tensor.float_data.clone()),
        (DataType::Float, false) => {
            Values::F32(raw.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
        }
        // As f32, which is all that is made of them: only a cast to it is computed.
        (DataType::Double, true) => Values::F32(tensor.double_data.iter().map(|&v| v as f32).collect()),
        (DataType::Double, false) => {
            Values::F32(raw.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect())
        }
        (DataType::Float16, true) => Values::F32(tensor.int32_data.iter().map(|&v| half(v as u16)).collect()),
        (DataType::Float16, false) => {
            Values::F32(raw.as_chunks::<2>().0.iter().map(|b| half(u16::from_le_bytes(*b))).collect())
        }
        (DataType::Int64, true) => Values::Whole(tensor.int64_data.clone()),
        (DataType::Int64, false) => {
            Values::Whole(raw.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect())
        }
        (DataType::Int8, true) => small(-128, 127)?,
        (DataType::Uint8, true) => small(0, 255)?,
        (DataType::Int16, true) => small(i16::MIN.into(), i16::MAX.into())?,
        (DataType::Uint16, true) => small(0, u16::MAX.into())?,
        (_, true) => small(i32::MIN, i32::MAX)?,
        (DataType::Int32, false) => {
            Values::Whole(raw.as_chunks::<4>().0.iter().map(|b| i32::from_le_bytes(*b).into()).collect())
        }
        (DataType::Int16, false) => {
            Values::Whole(raw.as_chunks::<2>().0.iter().map(|b| i16::from_le_bytes(*b).into()).collect())
        }
        (DataType::Uint16, false) => {
            Values::Whole(raw.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b).into()).collect())
        }
        (DataType::Int8, false) => Values::Whole(raw.iter().map(|&b| i64::from(b as i8)).collect()),
        (_, false) => Values::Whole(raw.iter().map(|&b| i64::from(b)).collect()),
    };
    let constant = Constant { dims, values, kind };
    (constant.len() == count && constant.is_sensible()).then_some(constant)
}
