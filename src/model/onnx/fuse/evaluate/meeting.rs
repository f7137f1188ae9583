//! Operators of several constants whose values meet, with extents of 1 repeated.

use tract_onnx::pb::tensor_proto::DataType;

use super::super::constant::{Constant, Values};
use super::select::broadcast;

/// A binary operator, with extents of 1 repeated.
pub(super) fn binary(a: &Constant, b: &Constant, op: &str) -> Option<Constant> {
    if a.kind != b.kind {
        return None;
    }
    let (dims, places) = broadcast(&a.dims, &b.dims)?;
    let values = match (&a.values, &b.values, a.kind) {
        (Values::F32(x), Values::F32(y), DataType::Float) => {
            let value = |[i, j]: [usize; 2]| match op {
                "Add" => Some(x[i] + y[j]),
                "Sub" => Some(x[i] - y[j]),
                "Mul" => Some(x[i] * y[j]),
                "Div" => Some(x[i] / y[j]),
                _ => None,
            };
            Values::F32(places.into_iter().map(value).collect::<Option<_>>()?)
        }
        (Values::Whole(x), Values::Whole(y), DataType::Int64) => {
            let value = |[i, j]: [usize; 2]| match op {
                "Add" => x[i].checked_add(y[j]),
                "Sub" => x[i].checked_sub(y[j]),
                "Mul" => x[i].checked_mul(y[j]),
                "Div" => x[i].checked_div(y[j]),
                _ => None,
            };
            Values::Whole(places.into_iter().map(value).collect::<Option<_>>()?)
        }
        _ => return None,
    };
    Some(Constant { dims, values, kind: a.kind })
}

/// Which values are equal.
pub(super) fn equal(a: &Constant, b: &Constant) -> Option<Constant> {
    let (dims, places) = broadcast(&a.dims, &b.dims).filter(|_| a.kind == b.kind)?;
    let same = |[i, j]: [usize; 2]| match (&a.values, &b.values) {
        (Values::F32(x), Values::F32(y)) if a.kind == DataType::Float => Some(x[i] == y[j]),
        (Values::Whole(x), Values::Whole(y)) => Some(x[i] == y[j]),
        // Different doubles may be the same f32.
        _ => None,
    };
    let values = places.into_iter().map(|place| same(place).map(i64::from)).collect::<Option<_>>()?;
    Some(Constant { dims, values: Values::Whole(values), kind: DataType::Bool })
}

/// Values of `a` where `condition` is true, else of `b`.
pub(super) fn chosen(condition: &Constant, a: &Constant, b: &Constant) -> Option<Constant> {
    if a.kind != b.kind || condition.kind != DataType::Bool {
        return None;
    }
    let (met, pairs) = broadcast(&a.dims, &b.dims)?;
    let (dims, places) = broadcast(&condition.dims, &met)?;
    let holds = condition.whole()?;
    let chosen = places.into_iter().map(|[c, at]| (holds[c] != 0, pairs[at]));
    let values = match (&a.values, &b.values) {
        (Values::F32(x), Values::F32(y)) => {
            Values::F32(chosen.map(|(a, [i, j])| if a { x[i] } else { y[j] }).collect())
        }
        (Values::Whole(x), Values::Whole(y)) => {
            Values::Whole(chosen.map(|(a, [i, j])| if a { x[i] } else { y[j] }).collect())
        }
        _ => return None,
    };
    Some(Constant { dims, values, kind: a.kind })
}
