//! A change to a graph.

use arbitrary::Arbitrary;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto};
use tract_onnx::pb::{TensorShapeProto, TypeProto, ValueInfoProto, type_proto};

/// Numbers of nodes, tensors and so on are taken modulo how many there are.
#[derive(Debug, Arbitrary)]
pub enum Change {
    /// Another operator.
    Operator(u8, u8),
    Domain(u8, bool),
    /// An attribute's value, at a place of its list.
    Attribute(u8, u8, u8, Number),
    AttributeFloat(u8, u8, Real),
    NewAttribute(u8, u8, Vec<Number>),
    NoAttribute(u8, u8),
    /// An input of a node becomes any tensor; cycles too.
    Wire(u8, u8, u16),
    NoInput(u8, u8),
    /// An output of a node gets a name that may be there already.
    Name(u8, u16),
    Remove(u8),
    Twice(u8, u8),
    /// A node behind a tensor, which all its readers then read; it reads others too.
    Behind(u16, u8, Vec<u16>),
    /// A constant of whole numbers: extents, axes, starts.
    List(Vec<Number>),
    /// A constant of no values: its extents, and which of them is 0.
    Hollow(Vec<Number>, u8),
    /// A constant's extents.
    Extent(u8, u8, Number),
    Extents(u8, Vec<Number>),
    Empty(u8),
    /// One number, without extents.
    Scalar(u8),
    Type(u8, u8),
    /// A number in a constant: scales, zero points, weights, shapes.
    Value(u8, u16, Real),
    Byte(u8, u16, u8),
    Input(u8, Number),
    Output(u8, Number),
    OutputIs(u16),
    /// What the file says a tensor is.
    ValueInfo(u16, Vec<Number>, u8),
    Opset(u8),
    Metadata(u8, String),
}

#[derive(Debug, Arbitrary)]
pub enum Number {
    Small(i8),
    Special(u8),
    Any(i64),
}

impl Number {
    fn value(&self) -> i64 {
        const SPECIAL: [i64; 14] = [
            1 << 31,
            -1 << 31,
            (1 << 32) + 8,
            (1 << 31) - 1,
            1 << 62,
            i64::MIN,
            i64::MAX,
            1 << 16,
            1 << 20,
            1 << 24,
            1000,
            4096,
            255,
            3,
        ];
        match *self {
            Self::Small(value) => value.into(),
            Self::Special(which) => SPECIAL[usize::from(which) % SPECIAL.len()],
            Self::Any(value) => value,
        }
    }
}

#[derive(Debug, Arbitrary)]
pub enum Real {
    Special(u8),
    Any(f32),
}

impl Real {
    fn value(&self) -> f32 {
        const SPECIAL: [f32; 10] =
            [0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE, 1e-45, -1.0, 1.0];
        match *self {
            Self::Special(which) => SPECIAL[usize::from(which) % SPECIAL.len()],
            Self::Any(value) => value,
        }
    }
}

const OPERATORS: [&str; 46] = [
    "Conv",
    "BatchNormalization",
    "Relu",
    "Concat",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "Gemm",
    "MatMul",
    "Flatten",
    "Reshape",
    "Softmax",
    "QuantizeLinear",
    "DequantizeLinear",
    "QLinearConv",
    "QLinearMatMul",
    "QLinearConcat",
    "ConvInteger",
    "QLinearGlobalAveragePool",
    "QLinearAveragePool",
    "QLinearAdd",
    "Add",
    "Mul",
    "Sub",
    "Div",
    "Clip",
    "Identity",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Cast",
    "Constant",
    "ConstantOfShape",
    "Expand",
    "Shape",
    "Gather",
    "Pad",
    "ReduceMean",
    "Dropout",
    "LeakyRelu",
    "Sigmoid",
    "Slice",
    "Split",
    "Tile",
    "ReduceSum",
    "TopK",
];

const ATTRIBUTES: [&str; 24] = [
    "kernel_shape",
    "strides",
    "pads",
    "dilations",
    "group",
    "auto_pad",
    "ceil_mode",
    "count_include_pad",
    "storage_order",
    "axis",
    "axes",
    "perm",
    "epsilon",
    "momentum",
    "spatial",
    "transA",
    "transB",
    "alpha",
    "beta",
    "keepdims",
    "to",
    "allowzero",
    "block_size",
    "saturate",
];

/// One of some; none of none.
fn one<T>(all: &mut [T], which: u8) -> Option<&mut T> {
    let len = all.len();
    all.get_mut(usize::from(which) % len.max(1))
}

/// Names of all tensors.
fn tensors(graph: &GraphProto) -> Vec<String> {
    let written = graph.node.iter().flat_map(|node| node.output.iter().cloned());
    let constants = graph.initializer.iter().map(|tensor| tensor.name.clone());
    written.chain(constants).chain(graph.input.iter().map(|input| input.name.clone())).collect()
}

fn tensor(graph: &GraphProto, which: u16) -> String {
    let all = tensors(graph);
    all.get(usize::from(which) % all.len().max(1)).cloned().unwrap_or_default()
}

fn information(name: &str, dims: &[Number], kind: u8) -> ValueInfoProto {
    let dim =
        |number: &Number| Dimension { value: Some(dimension::Value::DimValue(number.value())), ..Default::default() };
    let shape = TensorShapeProto { dim: dims.iter().take(8).map(dim).collect() };
    let tensor = type_proto::Tensor { elem_type: i32::from(kind % 17), shape: Some(shape) };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.into(), r#type: Some(kind), ..Default::default() }
}

fn extent(value: &mut ValueInfoProto, which: u8, number: &Number) {
    if let Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), .. }) = &mut value.r#type {
        if let Some(dim) = tensor.shape.as_mut().and_then(|shape| one(&mut shape.dim, which)) {
            dim.value = Some(dimension::Value::DimValue(number.value()));
        }
    }
}

impl Change {
    /// Applies it.
    pub fn apply(&self, model: &mut ModelProto) {
        match self {
            Self::Opset(version) => {
                let domain = String::new();
                model.opset_import = vec![OperatorSetIdProto { domain, version: i64::from(*version % 30) }];
            }
            Self::Metadata(which, text) => {
                const KEYS: [&str; 4] =
                    ["densight.name", "densight.config", "densight.preprocessing", "densight.labels"];
                let key = KEYS[usize::from(*which) % 4].to_string();
                model.metadata_props.insert(0, tract_onnx::pb::StringStringEntryProto { key, value: text.clone() });
            }
            _ => {
                if let Some(graph) = &mut model.graph {
                    let _ = self.nodes(graph).or_else(|| self.constants(graph)).or_else(|| self.ends(graph));
                }
            }
        }
    }

    /// Changes to nodes; `None` if it is another.
    fn nodes(&self, graph: &mut GraphProto) -> Option<()> {
        match self {
            Self::Operator(node, name) => {
                one(&mut graph.node, *node)?.op_type = OPERATORS[usize::from(*name) % OPERATORS.len()].into();
            }
            Self::Domain(node, other) => {
                one(&mut graph.node, *node)?.domain = if *other { "com.microsoft" } else { "" }.into();
            }
            Self::Attribute(node, which, place, number) => {
                let attribute = one(&mut one(&mut graph.node, *node)?.attribute, *which)?;
                match one(&mut attribute.ints, *place) {
                    Some(value) => *value = number.value(),
                    None => attribute.i = number.value(),
                }
            }
            Self::AttributeFloat(node, which, real) => {
                one(&mut one(&mut graph.node, *node)?.attribute, *which)?.f = real.value();
            }
            Self::NewAttribute(node, name, numbers) => {
                let name = ATTRIBUTES[usize::from(*name) % ATTRIBUTES.len()].to_string();
                let ints: Vec<i64> = numbers.iter().take(8).map(Number::value).collect();
                let r#type = if let [_] = ints[..] { 2 } else { 7 };
                let i = ints.first().copied().unwrap_or_default();
                one(&mut graph.node, *node)?
                    .attribute
                    .insert(0, AttributeProto { name, i, ints, r#type, ..Default::default() });
            }
            Self::NoAttribute(node, which) => {
                let attributes = &mut one(&mut graph.node, *node)?.attribute;
                let at = usize::from(*which).checked_rem(attributes.len())?;
                attributes.remove(at);
            }
            Self::Wire(node, slot, which) => {
                let name = tensor(graph, *which);
                *one(&mut one(&mut graph.node, *node)?.input, *slot)? = name;
            }
            Self::NoInput(node, slot) => *one(&mut one(&mut graph.node, *node)?.input, *slot)? = String::new(),
            Self::Name(node, which) => {
                let name = tensor(graph, *which);
                *one(&mut one(&mut graph.node, *node)?.output, 0)? = name;
            }
            Self::Remove(node) => {
                let at = usize::from(*node).checked_rem(graph.node.len())?;
                graph.node.remove(at);
            }
            Self::Twice(node, place) => {
                let again = one(&mut graph.node, *node)?.clone();
                let at = usize::from(*place) % (graph.node.len() + 1);
                graph.node.insert(at, again);
            }
            Self::Behind(which, name, others) => {
                let read = tensor(graph, *which);
                let written = format!("behind {} {read}", graph.node.len());
                let inputs = graph.node.iter_mut().flat_map(|node| &mut node.input);
                inputs.filter(|input| **input == read).for_each(|input| *input = written.clone());
                let others: Vec<String> =
                    others.iter().take(4).filter(|other| **other != 0).map(|other| tensor(graph, *other)).collect();
                graph.node.push(NodeProto {
                    op_type: OPERATORS[usize::from(*name) % OPERATORS.len()].into(),
                    name: written.clone(),
                    input: [vec![read], others].concat(),
                    output: vec![written],
                    ..Default::default()
                });
            }
            _ => return None,
        }
        Some(())
    }

    /// Changes to constants.
    fn constants(&self, graph: &mut GraphProto) -> Option<()> {
        match self {
            Self::Extent(which, axis, number) => {
                *one(&mut one(&mut graph.initializer, *which)?.dims, *axis)? = number.value();
            }
            Self::Extents(which, numbers) => {
                one(&mut graph.initializer, *which)?.dims = numbers.iter().take(8).map(Number::value).collect();
            }
            Self::Empty(which) => {
                let tensor = one(&mut graph.initializer, *which)?;
                let (name, data_type) = (tensor.name.clone(), tensor.data_type);
                *tensor = TensorProto { name, data_type, dims: vec![0], ..Default::default() };
            }
            Self::List(numbers) => {
                let int64_data: Vec<i64> = numbers.iter().take(8).map(Number::value).collect();
                let (name, dims) = (format!("list {}", graph.initializer.len()), vec![int64_data.len() as i64]);
                graph.initializer.push(TensorProto { name, dims, data_type: 7, int64_data, ..Default::default() });
            }
            Self::Hollow(numbers, axis) => {
                let mut dims: Vec<i64> = numbers.iter().take(4).map(|number| number.value().wrapping_abs()).collect();
                *one(&mut dims, *axis)? = 0;
                let name = format!("hollow {}", graph.initializer.len());
                graph.initializer.push(TensorProto { name, dims, data_type: 1, ..Default::default() });
            }
            Self::Scalar(which) => {
                let tensor = one(&mut graph.initializer, *which)?;
                tensor.dims.clear();
                tensor.raw_data.truncate(4);
                tensor.float_data.truncate(1);
                tensor.int32_data.truncate(1);
                tensor.int64_data.truncate(1);
            }
            Self::Type(which, kind) => one(&mut graph.initializer, *which)?.data_type = i32::from(kind % 24),
            Self::Value(which, place, real) => {
                let tensor = one(&mut graph.initializer, *which)?;
                let place = usize::from(*place);
                if tensor.data_type == 1 && tensor.raw_data.len() >= 4 {
                    let at = place % (tensor.raw_data.len() / 4) * 4;
                    tensor.raw_data[at..at + 4].copy_from_slice(&real.value().to_le_bytes());
                } else {
                    let at = place.checked_rem(tensor.float_data.len())?;
                    tensor.float_data[at] = real.value();
                }
            }
            Self::Byte(which, place, byte) => {
                let tensor = one(&mut graph.initializer, *which)?;
                let at = usize::from(*place).checked_rem(tensor.raw_data.len())?;
                tensor.raw_data[at] = *byte;
            }
            _ => return None,
        }
        Some(())
    }

    /// Changes to inputs, outputs and what is said of tensors.
    fn ends(&self, graph: &mut GraphProto) -> Option<()> {
        match self {
            Self::Input(axis, number) => extent(one(&mut graph.input, 0)?, *axis, number),
            Self::Output(axis, number) => extent(one(&mut graph.output, 0)?, *axis, number),
            Self::OutputIs(which) => {
                let name = tensor(graph, *which);
                one(&mut graph.output, 0)?.name = name;
            }
            Self::ValueInfo(which, dims, kind) => {
                let information = information(&tensor(graph, *which), dims, *kind);
                graph.value_info.push(information);
            }
            _ => return None,
        }
        Some(())
    }
}
