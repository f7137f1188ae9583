//! Tensors whose values are known from the file alone.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};

use tract_onnx::pb::{GraphProto, NodeProto, TensorProto, tensor_proto::DataType};

use super::attributes::Attributes;
use crate::quant::round;

/// A known tensor, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct Constant {
    pub(in super::super) dims: Vec<usize>,
    pub(in super::super) values: Values,
}

/// Whole numbers of any type, or real ones.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) enum Values {
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

/// Constants by name, each evaluated once, when it is asked for.
pub(in super::super) struct Constants<'a> {
    /// What was computed, or found not to be constant.
    computed: RefCell<HashMap<String, Option<Constant>>>,
    /// Bytes of what was computed, and how many there may be.
    bytes: Cell<u64>,
    most: u64,
    initializers: HashMap<&'a str, &'a TensorProto>,
    producers: HashMap<&'a str, &'a NodeProto>,
}

impl Constant {
    pub(in super::super) fn real(&self) -> Vec<f32> {
        match &self.values {
            Values::Real(values) => values.clone(),
            Values::Whole(values) => values.iter().map(|&v| v as f32).collect(),
        }
    }

    pub(in super::super) fn whole(&self) -> Option<&[i64]> {
        match &self.values {
            Values::Whole(values) => Some(values),
            Values::Real(_) => None,
        }
    }

    fn len(&self) -> usize {
        match &self.values {
            Values::Real(values) => values.len(),
            Values::Whole(values) => values.len(),
        }
    }
}

impl<'a> Constants<'a> {
    /// Those of `graph`, of which at most `most` bytes are computed.
    pub(in super::super) fn of(graph: &'a GraphProto, most: u64) -> Self {
        let initializers = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        let outputs = |node: &'a NodeProto| node.output.iter().map(move |name| (name.as_str(), node));
        let producers = graph.node.iter().flat_map(outputs).collect();
        Self { computed: RefCell::default(), bytes: Cell::new(0), most, initializers, producers }
    }

    /// Bytes of all constants that were asked for and had to be computed; those beyond the limit were not.
    pub(super) fn computed_bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Makes whole numbers known, such as the extents of a tensor.
    pub(super) fn insert(&mut self, name: &str, values: Vec<i64>) {
        let constant = Constant { dims: vec![values.len()], values: Values::Whole(values) };
        self.computed.get_mut().insert(name.into(), Some(constant));
    }

    /// The tensor `name`, if it does not depend on the graph's input.
    pub(in super::super) fn get(&self, name: &str) -> Option<Constant> {
        self.resolve(name);
        self.known(name)
    }

    /// The tensor `name`, if it is stored or was computed.
    fn known(&self, name: &str) -> Option<Constant> {
        match self.computed.borrow().get(name) {
            Some(computed) => computed.clone(),
            None => decode(self.initializers.get(name)?),
        }
    }

    /// How many values of `name` are known.
    fn values(&self, name: &str) -> u64 {
        let stored = || self.initializers.get(name).map_or(0, |tensor| super::super::read::values(tensor));
        match self.computed.borrow().get(name) {
            Some(computed) => computed.as_ref().map_or(0, |constant| constant.len() as u64),
            None => stored(),
        }
    }

    /// Computes `name` and what it depends on, each once: first the inputs, then the node. What depends on itself is no constant.
    fn resolve(&self, name: &str) {
        let mut open = vec![name.to_owned()];
        let mut begun: HashSet<String> = HashSet::new();
        while let Some(name) = open.last().cloned() {
            let known = |name: &str| self.computed.borrow().contains_key(name) || self.initializers.contains_key(name);
            let node = if known(&name) { None } else { self.producers.get(name.as_str()) };
            let Some(node) = node else {
                open.pop();
                continue;
            };
            if begun.insert(name.clone()) && evaluates(node) {
                open.extend(node.input.iter().filter(|input| !known(input) && !begun.contains(*input)).cloned());
                continue;
            }
            open.pop();
            let constant =
                if evaluates(node) && node.output.first() == Some(&name) { self.evaluate(node) } else { None };
            self.computed.borrow_mut().insert(name, constant);
        }
    }

    /// What a node computes of constants that are known, unless that would be too much.
    fn evaluate(&self, node: &NodeProto) -> Option<Constant> {
        // None of the operators gives more values than it takes.
        let values: u64 = node.input.iter().map(|name| self.values(name)).sum();
        self.bytes.set(self.bytes.get().saturating_add(values.saturating_mul(8)));
        if self.bytes.get() > self.most {
            return None;
        }
        let input = |index: usize| self.known(node.input.get(index)?);
        match node.op_type.as_str() {
            "Constant" => constant_node(node),
            "Identity" | "Dropout" => input(0),
            "Cast" => input(0).map(|c| match (node.int("to"), c.values) {
                (Some(1 | 10 | 11), values) => Constant { values: Values::Real(real(values)), dims: c.dims },
                (_, Values::Real(values)) => {
                    Constant { values: Values::Whole(values.iter().map(|&v| v as i64).collect()), dims: c.dims }
                }
                (_, values) => Constant { values, dims: c.dims },
            }),
            "DequantizeLinear" => {
                let codes = input(0)?;
                let (scales, zero_points) = self.parameters(node)?;
                let axis = axis_of(node, codes.dims.len());
                let at = channel_of(&codes.dims, axis, scales.len());
                let values = codes.whole()?.iter().enumerate().map(|(i, &code)| {
                    let channel = at(i);
                    (code - zero_points[channel.min(zero_points.len() - 1)]) as f32 * scales[channel]
                });
                Some(Constant { values: Values::Real(values.collect()), dims: codes.dims.clone() })
            }
            "QuantizeLinear" => {
                let reals = input(0)?;
                let (scales, zero_points) = self.parameters(node)?;
                let (low, high) = self.code_range(node)?;
                let axis = axis_of(node, reals.dims.len());
                let at = channel_of(&reals.dims, axis, scales.len());
                let values = reals.real().into_iter().enumerate().map(|(i, value)| {
                    let channel = at(i);
                    let zero_point = zero_points[channel.min(zero_points.len() - 1)];
                    (round(value / scales[channel]) as i64 + zero_point).clamp(low, high)
                });
                Some(Constant { values: Values::Whole(values.collect()), dims: reals.dims.clone() })
            }
            "Reshape" | "Unsqueeze" | "Squeeze" | "Flatten" => {
                let mut constant = input(0)?;
                constant.dims = self.reshaped(node, &constant.dims)?;
                Some(constant)
            }
            "Transpose" => transposed(&input(0)?, node),
            "Gather" => gathered(&input(0)?, &input(1)?),
            "Concat" => {
                let parts: Option<Vec<Vec<i64>>> =
                    (0..node.input.len()).map(|index| input(index)?.whole().map(<[i64]>::to_vec)).collect();
                let values = parts?.concat();
                Some(Constant { dims: vec![values.len()], values: Values::Whole(values) })
            }
            "Add" | "Sub" | "Mul" | "Div" => binary(&input(0)?, &input(1)?, &node.op_type),
            "Sqrt" | "Neg" | "Reciprocal" => {
                let c = input(0)?;
                let f: fn(f32) -> f32 = match node.op_type.as_str() {
                    "Sqrt" => f32::sqrt,
                    "Neg" => |v| -v,
                    _ => f32::recip,
                };
                Some(Constant { values: Values::Real(c.real().into_iter().map(f).collect()), dims: c.dims })
            }
            _ => None,
        }
    }

    /// Scales and zero points of a `QuantizeLinear` or `DequantizeLinear`; each is one number or one for each channel.
    pub(super) fn parameters(&self, node: &NodeProto) -> Option<(Vec<f32>, Vec<i64>)> {
        let scales = self.get(node.input.get(1)?)?.real();
        let zero_points = match node.input.get(2).filter(|name| !name.is_empty()) {
            Some(name) => self.get(name)?.whole()?.to_vec(),
            None => vec![0],
        };
        let usable = !scales.is_empty() && !zero_points.is_empty() && scales.iter().all(|&s| s > 0.0 && s.is_finite());
        usable.then_some((scales, zero_points))
    }

    /// Least and greatest code of a `QuantizeLinear`, from the type of its zero point.
    pub(super) fn code_range(&self, node: &NodeProto) -> Option<(i64, i64)> {
        let by_type = |kind: Option<i64>| match kind.and_then(|kind| DataType::try_from(kind as i32).ok()) {
            None | Some(DataType::Uint8 | DataType::Undefined) => Some((0, 255)),
            Some(DataType::Int8) => Some((-128, 127)),
            _ => None,
        };
        match node.input.get(2).filter(|name| !name.is_empty()) {
            Some(name) => by_type(Some(self.data_type(name)?)),
            None => by_type(node.int("output_dtype")),
        }
    }

    fn data_type(&self, name: &str) -> Option<i64> {
        let mut name = name;
        // What goes on for longer than there are nodes goes round.
        for _ in 0..=self.producers.len() {
            if let Some(tensor) = self.initializers.get(name) {
                return Some(tensor.data_type.into());
            }
            let node = self.producers.get(name)?;
            match node.op_type.as_str() {
                "Constant" => return node.tensor("value").map(|tensor| tensor.data_type.into()),
                "Cast" => return node.int("to"),
                "Identity" | "Reshape" | "Unsqueeze" | "Squeeze" => name = node.input.first()?,
                _ => return None,
            }
        }
        None
    }

    /// The weights `name` as they are stored, and their extents.
    pub(super) fn stored(&self, name: &str) -> Option<(Vec<usize>, Stored)> {
        let mut name = name;
        let mut exchanged = false;
        // What goes on for longer than there are nodes goes round.
        for _ in 0..=self.producers.len() {
            let Some(node) = self.producers.get(name) else { break };
            match node.op_type.as_str() {
                "Identity" => name = node.input.first()?,
                "Transpose" => {
                    match node.ints("perm") {
                        None | Some([1, 0]) => exchanged ^= true,
                        Some([0, 1]) => {}
                        Some(_) => break,
                    }
                    name = node.input.first()?;
                }
                "DequantizeLinear" => {
                    let codes = self.get(node.input.first()?)?;
                    let (scales, zero_points) = self.parameters(node)?;
                    let axis = axis_of(node, codes.dims.len());
                    let whole = codes.whole()?.to_vec();
                    let stored = Stored::Codes { codes: whole, scales, zero_points, axis };
                    return stored.exchanged_if(exchanged, codes.dims);
                }
                _ => break,
            }
        }
        let constant = self.get(name)?;
        Stored::Real(constant.real()).exchanged_if(exchanged, constant.dims)
    }

    /// Extents of the output of a node that only reshapes, for an input of `dims`.
    pub(super) fn reshaped(&self, node: &NodeProto, dims: &[usize]) -> Option<Vec<usize>> {
        let axes = || match node.input.get(1).filter(|name| !name.is_empty()) {
            Some(name) => self.get(name)?.whole().map(<[i64]>::to_vec),
            None => node.ints("axes").map(<[i64]>::to_vec),
        };
        let absolute = |axis: i64, rank: usize| usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).ok();
        match node.op_type.as_str() {
            "Flatten" => {
                let axis = absolute(node.int("axis").unwrap_or(1), dims.len())?.min(dims.len());
                Some(vec![dims[..axis].iter().product(), dims[axis..].iter().product()])
            }
            "Squeeze" => match axes() {
                Some(axes) => {
                    let axes: Option<Vec<usize>> = axes.iter().map(|&axis| absolute(axis, dims.len())).collect();
                    let axes = axes?;
                    let kept = dims.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, &dim)| dim);
                    Some(kept.collect())
                }
                None if node.input.len() < 2 => Some(dims.iter().copied().filter(|&dim| dim != 1).collect()),
                None => None,
            },
            "Unsqueeze" => {
                let axes = axes()?;
                let rank = dims.len() + axes.len();
                let axes: Option<Vec<usize>> = axes.iter().map(|&axis| absolute(axis, rank)).collect();
                let (axes, mut dims) = (axes?, dims.iter().copied());
                (0..rank).map(|i| if axes.contains(&i) { Some(1) } else { dims.next() }).collect()
            }
            "Reshape" => {
                let target = self.get(node.input.get(1)?)?;
                let target = target.whole()?;
                let fixed = |(i, &dim): (usize, &i64)| match dim {
                    0 => dims.get(i).copied(),
                    -1 => Some(1),
                    dim => usize::try_from(dim).ok(),
                };
                let mut shape: Vec<usize> = target.iter().enumerate().map(fixed).collect::<Option<_>>()?;
                let total: usize = dims.iter().product();
                if let Some(free) = target.iter().position(|&dim| dim == -1) {
                    shape[free] = total / shape.iter().product::<usize>().max(1);
                }
                (shape.iter().product::<usize>() == total).then_some(shape)
            }
            _ => None,
        }
    }
}

impl Stored {
    /// The same with its extents, rows and columns exchanged if asked; only tensors of rank 2 have those.
    fn exchanged_if(self, exchanged: bool, dims: Vec<usize>) -> Option<(Vec<usize>, Self)> {
        match (exchanged, &dims[..]) {
            (false, _) => Some((dims, self)),
            (true, &[rows, columns]) => Some((vec![columns, rows], self.transposed(rows, columns))),
            (true, _) => None,
        }
    }

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

fn transposed(constant: &Constant, node: &NodeProto) -> Option<Constant> {
    let [rows, columns] = constant.dims[..] else { return None };
    if node.ints("perm").is_some_and(|perm| perm != [1, 0]) {
        return None;
    }
    let values = match &constant.values {
        Values::Real(values) => Values::Real(transpose(values, rows, columns)),
        Values::Whole(values) => Values::Whole(transpose(values, rows, columns)),
    };
    Some(Constant { dims: vec![columns, rows], values })
}

/// Some of a list of whole numbers.
fn gathered(list: &Constant, indices: &Constant) -> Option<Constant> {
    let list = list.whole().filter(|_| list.dims.len() == 1)?;
    let at = |&index: &i64| {
        let index = if index < 0 { index + list.len() as i64 } else { index };
        list.get(usize::try_from(index).ok()?).copied()
    };
    let values = indices.whole()?.iter().map(at).collect::<Option<_>>()?;
    Some(Constant { dims: indices.dims.clone(), values: Values::Whole(values) })
}

/// Whether [`Constants`] computes what such a node gives, so that it is worth to know its inputs.
fn evaluates(node: &NodeProto) -> bool {
    const OPERATORS: [&str; 20] = [
        "Add",
        "Cast",
        "Concat",
        "Constant",
        "DequantizeLinear",
        "Div",
        "Dropout",
        "Flatten",
        "Gather",
        "Identity",
        "Mul",
        "Neg",
        "QuantizeLinear",
        "Reciprocal",
        "Reshape",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Transpose",
        "Unsqueeze",
    ];
    OPERATORS.contains(&node.op_type.as_str())
}

/// The quantization axis of a node for a tensor of `rank`.
pub(super) fn axis_of(node: &NodeProto, rank: usize) -> usize {
    let axis = node.int("axis").unwrap_or(1);
    let axis = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(axis).unwrap_or(0)
}

/// Index along `axis` of each value of a row-major tensor; 0 where there is one parameter for all.
fn channel_of(dims: &[usize], axis: usize, parameters: usize) -> impl Fn(usize) -> usize {
    let inner: usize = dims.iter().skip(axis + 1).product();
    let extent = dims.get(axis).copied().unwrap_or(1).max(1);
    move |index| if parameters == 1 { 0 } else { (index / inner.max(1) % extent).min(parameters - 1) }
}

/// A binary operator where one side has one number or both have the same extents.
fn binary(a: &Constant, b: &Constant, op: &str) -> Option<Constant> {
    let (x, y) = (a.real(), b.real());
    if a.dims != b.dims && x.len() != 1 && y.len() != 1 {
        return None;
    }
    let at = |values: &[f32], i: usize| if values.len() == 1 { values[0] } else { values[i] };
    let value = |i: usize| {
        let (x, y) = (at(&x, i), at(&y, i));
        match op {
            "Add" => x + y,
            "Sub" => x - y,
            "Mul" => x * y,
            _ => x / y,
        }
    };
    let larger = if x.len() >= y.len() { a } else { b };
    let values = (0..larger.len()).map(value).collect();
    Some(Constant { dims: larger.dims.clone(), values: Values::Real(values) })
}

/// How many values there are; `None` for more than can be counted.
fn volume(dims: &[usize]) -> Option<usize> {
    dims.iter().try_fold(1_usize, |all, &dim| all.checked_mul(dim))
}

fn real(values: Values) -> Vec<f32> {
    Constant { dims: vec![], values }.real()
}

fn constant_node(node: &NodeProto) -> Option<Constant> {
    if let Some(tensor) = node.tensor("value") {
        return decode(tensor);
    }
    if let Some(value) = node.float("value_float") {
        return Some(Constant { dims: vec![], values: Values::Real(vec![value]) });
    }
    if let Some(value) = node.int("value_int") {
        return Some(Constant { dims: vec![], values: Values::Whole(vec![value]) });
    }
    let values = node.ints("value_ints")?.to_vec();
    Some(Constant { dims: vec![values.len()], values: Values::Whole(values) })
}

/// The values of a tensor in the file; `None` for a type that is not read here or a length that does not fit.
fn decode(tensor: &TensorProto) -> Option<Constant> {
    let dims: Vec<usize> = tensor.dims.iter().map(|&dim| usize::try_from(dim).ok()).collect::<Option<_>>()?;
    let raw = tensor.raw_data.as_slice();
    let whole = |values: Vec<i64>| Some(Values::Whole(values));
    let small = || tensor.int32_data.iter().map(|&v| i64::from(v)).collect::<Vec<i64>>();
    let values = match (DataType::try_from(tensor.data_type).ok()?, raw.is_empty()) {
        (DataType::Float, true) => Some(Values::Real(tensor.float_data.clone())),
        (DataType::Float, false) => {
            Some(Values::Real(raw.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()))
        }
        (DataType::Float16, false) => {
            Some(Values::Real(raw.as_chunks::<2>().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect()))
        }
        (DataType::Int64, true) => whole(tensor.int64_data.clone()),
        (DataType::Int64, false) => whole(raw.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect()),
        (DataType::Int8 | DataType::Uint8 | DataType::Int32, true) => whole(small()),
        (DataType::Int32, false) => {
            whole(raw.as_chunks::<4>().0.iter().map(|b| i32::from_le_bytes(*b).into()).collect())
        }
        (DataType::Int8, false) => whole(raw.iter().map(|&b| i64::from(b as i8)).collect()),
        (DataType::Uint8, false) => whole(raw.iter().map(|&b| i64::from(b)).collect()),
        _ => None,
    }?;
    let constant = Constant { dims, values };
    (Some(constant.len()) == volume(&constant.dims)).then_some(constant)
}
