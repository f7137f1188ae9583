//! Tensors whose values are known from the file alone.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};

use tract_onnx::pb::{GraphProto, NodeProto, TensorProto, tensor_proto::DataType};

use super::attributes::Attributes;
use super::constant::{Constant, Values, decode};
use super::evaluate::{Quantizer, axis_of, evaluate, reshaped};
use crate::model::onnx::operators;

/// Weights as a file holds them.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum TensorData {
    /// Quantized values with scales and zero points: one, or one for each index of `axis`.
    Quantized { qvalues: Vec<i64>, scales: Vec<f32>, zero_points: Vec<i64>, axis: usize },
    /// F32 values.
    F32(Vec<f32>),
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

impl<'a> Constants<'a> {
    /// Those of `graph`, of which at most `most` bytes are computed.
    pub(in super::super) fn of(graph: &'a GraphProto, most: u64) -> Self {
        let initializers = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        let outputs = |node: &'a NodeProto| node.output.iter().map(move |name| (name.as_str(), node));
        let producers = graph.node.iter().flat_map(outputs).collect();
        Self { computed: RefCell::default(), bytes: Cell::new(0), most, initializers, producers }
    }

    /// Bytes of all constants that were asked for and had to be computed; those beyond the limit were not.
    pub(in super::super) fn computed_bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Makes whole numbers known, such as the extents of a tensor.
    pub(in super::super) fn insert(&mut self, name: &str, values: Vec<i64>) {
        let (dims, kind) = (vec![values.len()], DataType::Int64);
        let constant = Constant { dims, values: Values::Whole(values), kind };
        self.computed.get_mut().insert(name.into(), Some(constant));
    }

    /// The tensor `name`, if it does not depend on the graph's input.
    pub(in super::super) fn get(&self, name: &str) -> Option<Constant> {
        self.resolve(name);
        self.known(name)
    }

    /// Extents and type of the tensor `name`, if it does not depend on the graph's input.
    pub(in super::super) fn extents(&self, name: &str) -> Option<(Vec<usize>, DataType)> {
        if let Some(tensor) = self.initializers.get(name) {
            let dims = tensor.dims.iter().map(|&dim| usize::try_from(dim).ok()).collect::<Option<_>>()?;
            return Some((dims, DataType::try_from(tensor.data_type).ok()?));
        }
        self.get(name).map(|constant| (constant.dims, constant.kind))
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
        let stored = || self.initializers.get(name).map_or(0, |tensor| super::super::tensors::value_count(tensor));
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
        // Few operators give more values than they take, and those count what they give.
        let values = node.input.iter().map(|name| self.values(name)).fold(0, u64::saturating_add);
        self.bytes.set(self.bytes.get().saturating_add(values.saturating_mul(8)));
        if self.bytes.get() > self.most {
            return None;
        }
        let inputs: Vec<Option<Constant>> = node.input.iter().map(|name| self.known(name)).collect();
        let constant = evaluate(node, &inputs.iter().map(Option::as_ref).collect::<Vec<_>>())?;
        self.bytes.set(self.bytes.get().saturating_add(8 * constant.len() as u64));
        Some(constant)
    }

    /// Scales and zero points of a `QuantizeLinear` or `DequantizeLinear`.
    pub(super) fn quantizer(&self, node: &NodeProto) -> Option<Quantizer> {
        let input = |at: usize| node.input.get(at).and_then(|name| self.get(name));
        Quantizer::of(node, &[None, input(1).as_ref(), input(2).as_ref()])
    }

    /// Extents of the output of a node that only reshapes, for an input of `dims`.
    pub(super) fn reshaped(&self, node: &NodeProto, dims: &[usize]) -> Option<Vec<usize>> {
        reshaped(node, dims, node.input.get(1).and_then(|name| self.get(name)).as_ref())
    }

    /// The weights `name` as they are stored, and their extents.
    pub(super) fn stored(&self, name: &str) -> Option<(Vec<usize>, TensorData)> {
        let mut name = name;
        let mut exchanged = false;
        // What goes on for longer than there are nodes goes round.
        for _ in 0..=self.producers.len() {
            let Some(node) = self.producers.get(name) else { break };
            match node.op_type.as_str() {
                "Identity" => name = node.input.first()?,
                "Transpose" if operators::understood(node).is_ok() => {
                    match node.ints("perm") {
                        None | Some([1, 0]) => exchanged ^= true,
                        Some([0, 1]) => {}
                        Some(_) => break,
                    }
                    name = node.input.first()?;
                }
                // Blocks are evaluated, and so is what no kernel multiplies as it is stored.
                "DequantizeLinear" if node.int("block_size").unwrap_or(0) == 0 && self.is_8_bit(node) => {
                    let (dims, stored) = self.stored_codes(node)?;
                    return stored.exchanged_if(exchanged, dims);
                }
                _ => break,
            }
        }
        let constant = self.get(name).filter(|constant| constant.kind == DataType::Float)?;
        TensorData::F32(constant.real()).exchanged_if(exchanged, constant.dims)
    }

    /// Whether what a `DequantizeLinear` decodes is of 8 bits.
    fn is_8_bit(&self, node: &NodeProto) -> bool {
        let kind = node.input.first().and_then(|name| self.get(name)).map(|qvalues| qvalues.kind);
        matches!(kind, Some(DataType::Int8 | DataType::Uint8))
    }

    /// Weights that a `DequantizeLinear` decodes.
    fn stored_codes(&self, node: &NodeProto) -> Option<(Vec<usize>, TensorData)> {
        operators::understood(node).ok()?;
        let qvalues = self.get(node.input.first()?)?;
        let quantizer = self.quantizer(node)?;
        let axis = axis_of(node, qvalues.dims.len());
        let many = quantizer.count() > 1;
        let fits = !many || quantizer.dims.len() == 1 && qvalues.dims.get(axis) == Some(&quantizer.count());
        if !fits || quantizer.kind.is_some_and(|kind| kind != qvalues.kind) {
            return None;
        }
        let Quantizer { scales, zero_points, .. } = quantizer;
        let axis = if many { axis } else { 0 };
        let whole = qvalues.whole()?.to_vec();
        Some((qvalues.dims, TensorData::Quantized { qvalues: whole, scales, zero_points, axis }))
    }
}

impl TensorData {
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
            Self::F32(values) => Self::F32(transpose(&values, rows, columns)),
            Self::Quantized { qvalues, scales, zero_points, axis } => Self::Quantized {
                qvalues: transpose(&qvalues, rows, columns),
                scales,
                zero_points,
                axis: 1 - axis.min(1),
            },
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

/// Whether [`Constants`] computes what such a node gives, so that it is worth to know its inputs.
fn evaluates(node: &NodeProto) -> bool {
    const OPERATORS: [&str; 31] = [
        "Abs",
        "Add",
        "Cast",
        "CastLike",
        "Concat",
        "Constant",
        "ConstantOfShape",
        "DequantizeLinear",
        "Div",
        "Dropout",
        "Equal",
        "Exp",
        "Expand",
        "Flatten",
        "Gather",
        "Identity",
        "Log",
        "Mul",
        "Neg",
        "QuantizeLinear",
        "Reciprocal",
        "Relu",
        "Reshape",
        "Shape",
        "Slice",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Transpose",
        "Unsqueeze",
        "Where",
    ];
    OPERATORS.contains(&node.op_type.as_str())
}
