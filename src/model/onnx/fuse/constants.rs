//! Tensors whose values are known from the file alone.

use std::collections::HashMap;

use tract_onnx::pb::{GraphProto, NodeProto, TensorProto, tensor_proto::DataType};

use super::attributes::Attributes;
use super::evaluate::{Quantizer, axis_of, evaluate, range, reshaped};
use crate::model::onnx::operators;

/// A known tensor, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Constant {
    pub(super) dims: Vec<usize>,
    pub(super) values: Values,
    /// Their type in the file.
    pub(super) kind: DataType,
}

/// Whole numbers of any type, or real ones.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Values {
    Whole(Vec<i64>),
    Real(Vec<f32>),
}

/// Weights as a file holds them.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stored {
    /// Codes with scales and zero points: one, or one for each index of `axis`.
    Codes { codes: Vec<i64>, scales: Vec<f32>, zero_points: Vec<i64>, axis: usize },
    /// Real numbers.
    Real(Vec<f32>),
}

/// Constants by name, evaluated when they are asked for.
pub(super) struct Constants<'a> {
    found: HashMap<String, Constant>,
    initializers: HashMap<&'a str, &'a TensorProto>,
    producers: HashMap<&'a str, &'a NodeProto>,
}

impl Constant {
    pub(super) fn real(&self) -> Vec<f32> {
        match &self.values {
            Values::Real(values) => values.clone(),
            Values::Whole(values) => values.iter().map(|&v| v as f32).collect(),
        }
    }

    pub(super) fn whole(&self) -> Option<&[i64]> {
        match &self.values {
            Values::Whole(values) => Some(values),
            Values::Real(_) => None,
        }
    }

    pub(super) fn len(&self) -> usize {
        match &self.values {
            Values::Real(values) => values.len(),
            Values::Whole(values) => values.len(),
        }
    }
}

impl<'a> Constants<'a> {
    pub(super) fn of(graph: &'a GraphProto) -> Self {
        let initializers = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        let outputs = |node: &'a NodeProto| node.output.iter().map(move |name| (name.as_str(), node));
        Self { found: HashMap::new(), initializers, producers: graph.node.iter().flat_map(outputs).collect() }
    }

    /// Makes whole numbers known, such as the extents of a tensor.
    pub(super) fn insert(&mut self, name: &str, values: Vec<i64>) {
        self.found.insert(
            name.into(),
            Constant { dims: vec![values.len()], values: Values::Whole(values), kind: DataType::Int64 },
        );
    }

    /// The tensor `name`, if it does not depend on the graph's input.
    pub(super) fn get(&self, name: &str) -> Option<Constant> {
        if let Some(constant) = self.found.get(name) {
            return Some(constant.clone());
        }
        if let Some(tensor) = self.initializers.get(name) {
            return decode(tensor);
        }
        // Of several outputs only the first is known.
        let node = self.producers.get(name).filter(|node| node.output.first().is_some_and(|first| first == name))?;
        let inputs = self.inputs(node);
        evaluate(node, &inputs.iter().map(Option::as_ref).collect::<Vec<_>>())
    }

    fn inputs(&self, node: &NodeProto) -> Vec<Option<Constant>> {
        node.input.iter().map(|name| self.get(name)).collect()
    }

    /// Scales and zero points of a `QuantizeLinear` or `DequantizeLinear`.
    pub(super) fn quantizer(&self, node: &NodeProto) -> Option<Quantizer> {
        let inputs =
            [None, node.input.get(1).and_then(|name| self.get(name)), node.input.get(2).and_then(|n| self.get(n))];
        Quantizer::of(node, &inputs.each_ref().map(Option::as_ref))
    }

    /// Extents of the output of a node that only reshapes, for an input of `dims`.
    pub(super) fn reshaped(&self, node: &NodeProto, dims: &[usize]) -> Option<Vec<usize>> {
        let second = node.input.get(1).and_then(|name| self.get(name));
        reshaped(node, dims, second.as_ref())
    }

    /// The weights `name` as they are stored, and their extents.
    pub(super) fn stored(&self, name: &str) -> Option<(Vec<usize>, Stored)> {
        if let Some(node) = self.producers.get(name) {
            match node.op_type.as_str() {
                "Identity" => return self.stored(node.input.first()?),
                // Blocks are evaluated.
                "DequantizeLinear" if node.int("block_size").unwrap_or(0) == 0 => return self.stored_codes(node),
                "Transpose" if operators::understood(node).is_ok() => {
                    let (dims, stored) = self.stored(node.input.first()?)?;
                    let [rows, columns] = dims[..] else { return None };
                    return match node.ints("perm") {
                        None | Some([1, 0]) => Some((vec![columns, rows], stored.transposed(rows, columns))),
                        Some([0, 1]) => Some((dims, stored)),
                        Some(_) => None,
                    };
                }
                _ => {}
            }
        }
        let constant = self.get(name).filter(|constant| constant.kind == DataType::Float)?;
        Some((constant.dims.clone(), Stored::Real(constant.real())))
    }

    /// Weights that a `DequantizeLinear` decodes.
    fn stored_codes(&self, node: &NodeProto) -> Option<(Vec<usize>, Stored)> {
        operators::understood(node).ok()?;
        let codes = self.get(node.input.first()?).filter(|codes| range(codes.kind).is_some())?;
        let quantizer = self.quantizer(node)?;
        let axis = axis_of(node, codes.dims.len());
        let many = quantizer.count() > 1;
        let fits = !many || quantizer.dims.len() == 1 && codes.dims.get(axis) == Some(&quantizer.count());
        if !fits || quantizer.kind.is_some_and(|kind| kind != codes.kind) {
            return None;
        }
        let Quantizer { scales, zero_points, .. } = quantizer;
        let axis = if many { axis } else { 0 };
        let whole = codes.whole()?.to_vec();
        Some((codes.dims, Stored::Codes { codes: whole, scales, zero_points, axis }))
    }
}

impl Stored {
    /// The same with rows and columns exchanged.
    fn transposed(self, rows: usize, columns: usize) -> Self {
        match self {
            Self::Real(values) => Self::Real(transpose(&values, rows, columns)),
            Self::Codes { codes, scales, zero_points, axis } => {
                Self::Codes { codes: transpose(&codes, rows, columns), scales, zero_points, axis: 1 - axis.min(1) }
            }
        }
    }

    /// [`transposed`](Self::transposed) if `wanted`.
    pub(super) fn transposed_if(self, wanted: bool, rows: usize, columns: usize) -> Self {
        if wanted { self.transposed(rows, columns) } else { self }
    }
}

fn transpose<T: Copy>(values: &[T], rows: usize, columns: usize) -> Vec<T> {
    (0..columns).flat_map(|column| (0..rows).map(move |row| values[row * columns + column])).collect()
}

/// The values of a tensor in the file; `None` for a type that is not read here, or a length that does not fit.
pub(super) fn decode(tensor: &TensorProto) -> Option<Constant> {
    let dims: Vec<usize> = tensor.dims.iter().map(|&dim| usize::try_from(dim).ok()).collect::<Option<_>>()?;
    let count = dims.iter().try_fold(1_usize, |count, &dim| count.checked_mul(dim))?;
    // No list is empty but by its one extent: others would make loops of any length over nothing.
    if count == 0 && dims != [0] {
        return None;
    }
    let kind = DataType::try_from(tensor.data_type).ok()?;
    let raw = tensor.raw_data.as_slice();
    let width = match kind {
        DataType::Int64 => 8,
        DataType::Float | DataType::Int32 => 4,
        DataType::Float16 => 2,
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
        (DataType::Float, true) => Values::Real(tensor.float_data.clone()),
        (DataType::Float, false) => {
            Values::Real(raw.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
        }
        (DataType::Float16, true) => Values::Real(tensor.int32_data.iter().map(|&v| half(v as u16)).collect()),
        (DataType::Float16, false) => {
            Values::Real(raw.as_chunks::<2>().0.iter().map(|b| half(u16::from_le_bytes(*b))).collect())
        }
        (DataType::Int64, true) => Values::Whole(tensor.int64_data.clone()),
        (DataType::Int64, false) => {
            Values::Whole(raw.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect())
        }
        (DataType::Int8, true) => small(-128, 127)?,
        (DataType::Uint8, true) => small(0, 255)?,
        (_, true) => small(i32::MIN, i32::MAX)?,
        (DataType::Int32, false) => {
            Values::Whole(raw.as_chunks::<4>().0.iter().map(|b| i32::from_le_bytes(*b).into()).collect())
        }
        (DataType::Int8, false) => Values::Whole(raw.iter().map(|&b| i64::from(b as i8)).collect()),
        (_, false) => Values::Whole(raw.iter().map(|&b| i64::from(b)).collect()),
    };
    let constant = Constant { dims, values, kind };
    (constant.len() == count).then_some(constant)
}
