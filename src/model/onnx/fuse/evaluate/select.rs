//! Operators that only pick values: where each value of the result comes from.

use tract_onnx::pb::{NodeProto, tensor_proto::DataType};

use super::super::attributes::Attributes;
use super::super::constant::{Constant, Values, decode};
use super::product;

/// Most values of a result: what is larger is left to be computed elsewhere, within the limits there.
const MOST: usize = 1 << 24;

impl Constant {
    /// The values at some places of this, as a tensor of `dims`; `None` where there are too many.
    fn picked(&self, dims: Vec<usize>, from: impl Fn(usize) -> usize) -> Option<Self> {
        let count = product(&dims).filter(|&count| count <= MOST)?;
        let values = match &self.values {
            Values::F32(values) => {
                Values::F32((0..count).map(|at| values.get(from(at)).copied()).collect::<Option<_>>()?)
            }
            Values::Whole(values) => {
                Values::Whole((0..count).map(|at| values.get(from(at)).copied()).collect::<Option<_>>()?)
            }
        };
        Some(Self { dims, values, kind: self.kind })
    }
}

/// An axis counted from the end where it is negative.
fn absolute(axis: i64, rank: usize) -> Option<usize> {
    let axis = if axis < 0 { axis.checked_add(rank as i64)? } else { axis };
    usize::try_from(axis).ok().filter(|&axis| axis < rank)
}

/// Values behind an axis, for each index of it.
fn inner(dims: &[usize], axis: usize) -> Option<usize> {
    product(&dims[axis + 1..]).filter(|&inner| inner > 0)
}

/// `Gather`.
pub(super) fn gathered(constant: &Constant, indices: &Constant, axis: i64) -> Option<Constant> {
    let axis = absolute(axis, constant.dims.len())?;
    let (extent, inner) = (constant.dims[axis], inner(&constant.dims, axis)?);
    let index = |&index: &i64| {
        let index = if index < 0 { index.checked_add(extent as i64)? } else { index };
        usize::try_from(index).ok().filter(|&index| index < extent)
    };
    let indices_at: Vec<usize> = indices.whole()?.iter().map(index).collect::<Option<_>>()?;
    let count = indices_at.len();
    if count == 0 {
        return None;
    }
    let dims = [&constant.dims[..axis], &indices.dims, &constant.dims[axis + 1..]].concat();
    constant.picked(dims, |at| {
        let (outer, rest) = (at / (count * inner), at % (count * inner));
        (outer * extent + indices_at[rest / inner]) * inner + rest % inner
    })
}

/// Most values of a result that is larger than what it is made of.
const MOST_GROWN: usize = 1 << 16;

/// `ConstantOfShape`: zeros, or the attribute's value.
pub(super) fn filled(node: &NodeProto, extents: &Constant) -> Option<Constant> {
    let dims: Vec<usize> = extents.whole()?.iter().map(|&n| usize::try_from(n).ok()).collect::<Option<_>>()?;
    let count = product(&dims).filter(|&count| count <= MOST_GROWN)?;
    let value = match node.attribute("value") {
        Some(value) => decode(value.t.as_ref()?)?,
        None => Constant { dims: vec![1], values: Values::F32(vec![0.0]), kind: DataType::Float },
    };
    let values = match &value.values {
        Values::F32(values) => Values::F32(vec![*values.first()?; count]),
        Values::Whole(values) => Values::Whole(vec![*values.first()?; count]),
    };
    Some(Constant { dims, values, kind: value.kind })
}

/// `Expand`.
pub(super) fn expanded(constant: &Constant, extents: &Constant) -> Option<Constant> {
    let to: Vec<usize> = extents.whole()?.iter().map(|&n| usize::try_from(n).ok()).collect::<Option<_>>()?;
    let (few, many) = (product(&constant.dims)?, product(&to)?);
    // Beside one of the two, no extent of the result is larger than those of both together.
    few.checked_mul(many.max(1)).filter(|&count| count <= MOST_GROWN)?;
    let (dims, places) = broadcast(&constant.dims, &to)?;
    constant.picked(dims, |at| places[at][0])
}

/// `Concat`.
pub(super) fn joined(parts: &[&Constant], axis: i64) -> Option<Constant> {
    let first = parts.first()?;
    let axis = absolute(axis, first.dims.len())?;
    let fits = |part: &&&Constant| {
        let alike = |at: usize| at == axis || part.dims[at] == first.dims[at];
        part.kind == first.kind && part.dims.len() == first.dims.len() && (0..first.dims.len()).all(alike)
    };
    if !parts.iter().all(|part| fits(&part)) {
        return None;
    }
    let outer = product(&first.dims[..axis])?;
    let mut dims = first.dims.clone();
    dims[axis] = parts.iter().try_fold(0_usize, |all, part| all.checked_add(part.dims[axis]))?;
    product(&dims).filter(|&count| count <= MOST)?;
    // Each part's values between two steps of the axes before it.
    let widths: Vec<usize> = parts.iter().map(|part| part.len() / outer.max(1)).collect();
    let places = || (0..outer).flat_map(|row| (0..parts.len()).map(move |part| (row, part)));
    let values = match first.values {
        Values::F32(_) => {
            let reals: Vec<Vec<f32>> = parts.iter().map(|part| part.real()).collect();
            Values::F32(
                places().flat_map(|(row, part)| reals[part][row * widths[part]..][..widths[part]].to_vec()).collect(),
            )
        }
        Values::Whole(_) => {
            let whole: Vec<&[i64]> = parts.iter().map(|part| part.whole()).collect::<Option<_>>()?;
            Values::Whole(
                places().flat_map(|(row, part)| whole[part][row * widths[part]..][..widths[part]].to_vec()).collect(),
            )
        }
    };
    Some(Constant { dims, values, kind: first.kind })
}

/// What `Slice` takes of some axes.
#[derive(Debug)]
pub(super) struct Slices {
    starts: Vec<i64>,
    ends: Vec<i64>,
    axes: Option<Vec<i64>>,
    steps: Option<Vec<i64>>,
}

impl Slices {
    /// As `node` has them, whose `inputs` are known or not: in inputs, before opset 10 in attributes. `None` unless all that is given is known.
    pub(super) fn of(node: &NodeProto, inputs: &[Option<&Constant>]) -> Option<Self> {
        let by_input = node.input.len() > 1;
        let given = |at: usize| node.input.get(at).is_some_and(|name| !name.is_empty());
        let list = |at: usize, name: &str| match by_input {
            true => Some(inputs.get(at).copied().flatten()?.whole()?.to_vec()),
            false => node.ints(name).map(<[i64]>::to_vec),
        };
        let optional = |at: usize, name: &str| match (by_input, given(at)) {
            (true, true) => list(at, name).map(Some),
            (true, false) => Some(None),
            (false, _) => Some(list(at, name)),
        };
        Some(Self {
            starts: list(1, "starts")?,
            ends: list(2, "ends")?,
            axes: optional(3, "axes")?,
            steps: optional(4, "steps")?,
        })
    }
}

/// `Slice`.
pub(super) fn sliced(constant: &Constant, slices: &Slices) -> Option<Constant> {
    let count = slices.starts.len();
    let axes = slices.axes.clone().unwrap_or_else(|| (0..count as i64).collect());
    let steps = slices.steps.clone().unwrap_or_else(|| vec![1; count]);
    if [slices.ends.len(), axes.len(), steps.len()] != [count; 3] {
        return None;
    }
    let mut result = constant.clone();
    for (at, &axis) in axes.iter().enumerate() {
        let axis = absolute(axis, result.dims.len())?;
        let (extent, inner) = (result.dims[axis], inner(&result.dims, axis)?);
        let indices = indices(slices.starts[at], slices.ends[at], steps[at], extent)?;
        let (taken, mut dims) = (indices.len(), result.dims.clone());
        if taken == 0 {
            return None;
        }
        dims[axis] = taken;
        result = result.picked(dims, |at| {
            let (outer, rest) = (at / (taken * inner), at % (taken * inner));
            (outer * extent + indices[rest / inner]) * inner + rest % inner
        })?;
    }
    Some(result)
}

/// The indices from `start` to `end` of an axis of `extent` values, as ONNX counts and cuts them.
fn indices(start: i64, end: i64, step: i64, extent: usize) -> Option<Vec<usize>> {
    let dim = i64::try_from(extent).ok().filter(|&dim| dim > 0 && step != 0)?;
    let from_end = |index: i64| if index < 0 { index.saturating_add(dim) } else { index };
    let (low, high) = if step > 0 { (0, dim) } else { (-1, dim - 1) };
    let (start, end) = (from_end(start).clamp(low.max(0), high), from_end(end).clamp(low, high));
    let inside = |index: &i64| if step > 0 { *index < end } else { *index > end };
    let places = std::iter::successors(Some(start), |index| index.checked_add(step)).take_while(inside);
    Some(places.map(|index| index as usize).collect())
}

/// Where the values of two operands of `a` and `b` meet, with extents of 1 repeated: the result's extents, and for each of its
/// values those of the operands.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Option<(Vec<usize>, Vec<[usize; 2]>)> {
    let rank = a.len().max(b.len());
    let extent = |dims: &[usize], axis: usize| (axis + dims.len()).checked_sub(rank).map_or(1, |at| dims[at]);
    let meet = |axis: usize| match (extent(a, axis), extent(b, axis)) {
        (x, y) if x == y => Some(x),
        (1, y) => Some(y),
        (x, 1) => Some(x),
        _ => None,
    };
    let dims: Vec<usize> = (0..rank).map(meet).collect::<Option<_>>()?;
    let count = product(&dims).filter(|&count| count <= MOST)?;
    let place = |of: &[usize], mut at: usize| {
        let (mut place, mut stride) = (0, 1);
        for axis in (0..rank).rev() {
            let along = at % dims[axis];
            at /= dims[axis];
            let extent = extent(of, axis);
            place += if extent == 1 { 0 } else { along * stride };
            stride *= extent;
        }
        place
    };
    Some((dims.clone(), (0..count).map(|at| [place(a, at), place(b, at)]).collect()))
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::tensor_proto::DataType;

    use super::*;

    fn counted(dims: &[usize]) -> Constant {
        let count = dims.iter().product::<usize>();
        Constant {
            dims: dims.into(),
            values: Values::F32((0..count).map(|v| v as f32).collect()),
            kind: DataType::Float,
        }
    }

    fn list(values: &[i64]) -> Constant {
        Constant { dims: vec![values.len()], values: Values::Whole(values.into()), kind: DataType::Int64 }
    }

    #[test]
    fn values_are_picked_along_an_axis() {
        let taken = gathered(&counted(&[2, 3, 2]), &list(&[2, -3]), 1).unwrap();
        assert_eq!(
            (taken.dims.as_slice(), taken.real()),
            (&[2, 2, 2][..], vec![4.0, 5.0, 0.0, 1.0, 10.0, 11.0, 6.0, 7.0])
        );
        assert_eq!(gathered(&counted(&[2]), &list(&[2]), 0), None, "beyond the end");
        let both = joined(&[&counted(&[2, 1]), &counted(&[2, 2])], -1).unwrap();
        assert_eq!((both.dims.as_slice(), both.real()), (&[2, 3][..], vec![0.0, 0.0, 1.0, 1.0, 2.0, 3.0]));
    }

    #[test]
    fn slices_are_cut_as_onnx_cuts_them() {
        let slice = |start, end, step| {
            let slices = Slices { starts: vec![start], ends: vec![end], axes: Some(vec![-1]), steps: Some(vec![step]) };
            sliced(&counted(&[1, 5]), &slices).map(|constant| constant.real())
        };
        assert_eq!(slice(1, 9, 2).unwrap(), [1.0, 3.0]);
        assert_eq!(slice(-1, i64::MIN, -2).unwrap(), [4.0, 2.0, 0.0]);
        assert_eq!(slice(-2, -1, 1).unwrap(), [3.0]);
        assert_eq!(slice(i64::MIN, 1, 1).unwrap(), [0.0]);
        assert_eq!((slice(3, 3, 1), slice(0, 5, 0)), (None, None));
    }

    #[test]
    fn extents_of_one_are_repeated() {
        let (dims, places) = broadcast(&[2, 1], &[3]).unwrap();
        assert_eq!((dims, places), (vec![2, 3], vec![[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]));
        assert_eq!(broadcast(&[2], &[3]), None);
    }
}
