//! A fused network of f32 values and the quantized values it is to compute in, as an ONNX graph in QDQ form.
//!
//! Between `QuantizeLinear` and `DequantizeLinear` stand operators of f32 values, so any runtime can run the file. Each
//! segment of a dense block is quantized once, where it is written; concatenations, norms and ReLUs stay in f32 values
//! until a convolution reads them.

use std::collections::{BTreeSet, HashMap};

use prost::Message;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto, tensor_proto::DataType};

use super::super::Tensor;
use super::super::fused::{Border, ConvolutionWeights, FusedNetwork, Layer, Op, Read, Window};
use super::fuse::FUSED;
use super::nodes::{Nodes, initializer, int, ints};
use super::operators::{self, Names};
use super::properties;
use super::raise::{RAISED, raise};
use super::{OPSET, OnnxFile};
use crate::error::{Error, ErrorKind, Result};
use crate::quant::{Encoding, quantize_weights};

mod functions;
mod reads;

/// The first IR version that knows opset 13 to 17.
const IR_VERSION: i64 = 8;

/// How one layer of a network is quantized.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LayerEncodings {
    /// Encoding of what the layer reads. A convolution with it is int8, its weights are quantized too; without it, float.
    pub input: Option<Encoding>,
    /// Encoding of the segment it writes.
    pub result: Option<Encoding>,
}

/// The bytes of an ONNX file that holds `network`, quantized as `encodings` say, one for each layer, in the place of the
/// fused networks of `file`, whose other nodes and metadata are kept: `network` is all of them as one. Those of its inputs that are `flat`
/// have rank 2 in the graph. A graph of an older opset is raised to one that has scales for single channels.
///
/// # Errors
/// [`ErrorKind::Model`] for a node that cannot be raised, or a graph that does not hold together.
///
/// # Panics
/// If there are not as many `encodings` as layers, or the network holds int8 weights already.
pub fn export_quantized(
    file: &OnnxFile,
    network: &FusedNetwork,
    flat: &BTreeSet<String>,
    encodings: &[LayerEncodings],
) -> Result<Vec<u8>> {
    assert_eq!(encodings.len(), network.layers.len(), "encodings for each layer");
    let mut proto = file.proto.clone();
    let graph = proto.graph.as_mut().expect("a file that was read has a graph");
    graph.node.retain(|node| node.op_type != FUSED);
    graph.value_info.clear();
    let alone = graph.node.is_empty();
    // A file that was read imports ONNX's own operators.
    for opset in proto.opset_import.iter_mut().filter(|opset| ["", "ai.onnx"].contains(&opset.domain.as_str())) {
        raise(graph, opset.version)?;
        opset.version = opset.version.max(if alone { OPSET } else { RAISED });
    }
    proto.ir_version = proto.ir_version.max(IR_VERSION);
    let mut names = Names::of(graph);
    network.layers.iter().for_each(|layer| names.reserve(&layer.name));
    network.outputs.iter().for_each(|output| names.reserve(&output.name));
    let mut writer = Writer {
        network,
        flat,
        nodes: Nodes::default(),
        tensors: Vec::new(),
        segments: Vec::new(),
        names,
        coded: HashMap::new(),
    };
    writer.write(encodings);
    graph.node.extend(writer.nodes.list);
    graph.initializer.extend(writer.tensors);
    if file.input.channels_last {
        file.input.put_channels_last(graph);
    }
    operators::sort(graph).map_err(|what| Error::new(ErrorKind::Model, what))?;
    // What a sidecar says beside the float file would be lost: labels, and how pictures are scaled.
    let entries = properties::write(&file.metadata);
    proto.metadata_props.retain(|entry| entries.iter().all(|other| other.key != entry.key));
    proto.metadata_props.extend(entries);
    proto.producer_name = env!("CARGO_PKG_NAME").into();
    proto.producer_version = env!("CARGO_PKG_VERSION").into();
    Ok(proto.encode_to_vec())
}

/// A segment as a tensor of f32 values, of rank 4, and how many times it the segment is.
#[derive(Debug, Clone)]
struct WrittenSegment {
    tensor: String,
    gain: f32,
}

struct Writer<'a> {
    network: &'a FusedNetwork,
    flat: &'a BTreeSet<String>,
    nodes: Nodes,
    tensors: Vec<TensorProto>,
    segments: Vec<WrittenSegment>,
    names: Names,
    /// Tensors by way of their quantized values: what was written for a tensor and an encoding.
    coded: HashMap<(String, [u32; 4]), String>,
}

impl Writer<'_> {
    fn write(&mut self, encodings: &[LayerEncodings]) {
        for input in &self.network.inputs {
            let mut tensor = input.name.clone();
            if self.flat.contains(&tensor) {
                let axes = self.names.fresh(&format!("{tensor}.axes"));
                let values = [2_i64, 3].iter().flat_map(|axis| axis.to_le_bytes()).collect();
                self.tensors.push(integers(&axes, &[2], DataType::Int64, values));
                tensor = self.add("Unsqueeze", &format!("{tensor}.planes"), &[&tensor, &axes], vec![]);
            }
            self.segments.push(WrittenSegment { tensor, gain: 1.0 });
        }
        for (layer, encodings) in self.network.layers.iter().zip(encodings) {
            let gain = match &layer.op {
                Op::SumPool(window) => window.len() as f32,
                _ => 1.0,
            };
            let mut result = self.layer(layer, encodings);
            let mut epilogue = layer.epilogue.clone();
            if let Some(first) = epilogue.first_mut() {
                first.mul.iter_mut().for_each(|mul| *mul *= gain);
                result = self.stepped(&format!("{}.result", layer.name), result, &epilogue);
            }
            let gain = if epilogue.is_empty() { gain } else { 1.0 };
            let tensor = match encodings.result {
                Some(encoding) => self.coded(&result, encoding),
                None => result,
            };
            self.segments.push(WrittenSegment { tensor, gain });
        }
        for output in &self.network.outputs {
            if self.nodes.list.iter().any(|node| node.output.contains(&output.name)) {
                continue;
            }
            let values = self.gathered(&output.name, &output.reads);
            let (op, attributes) =
                if output.dims.len() == 2 { ("Flatten", vec![int("axis", 1)]) } else { ("Identity", vec![]) };
            let name = self.names.fresh(&format!("{}.leaves", output.name));
            self.nodes.add_to(op, &name, &[&values], attributes, output.name.clone());
        }
    }

    /// Adds a node and gives the name of its output. Neither is one that is taken.
    fn add(&mut self, op: &str, name: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let name = self.names.fresh(name);
        self.add_layer(op, &name, inputs, attributes)
    }

    /// As [`add`](Self::add), of a name that is reserved.
    fn add_layer(&mut self, op: &str, name: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let output = self.names.fresh(&format!("{name}.out"));
        self.nodes.add_to(op, name, inputs, attributes, output)
    }

    /// The name under which a layer's bare result leaves flat, if nothing else reads it.
    fn flat_output(&self, segment: usize) -> Option<String> {
        let outputs = || self.network.outputs.iter().filter(|o| o.reads.iter().any(|read| read.segment == segment));
        let read = self.network.layers.iter().any(|layer| layer.reads.iter().any(|read| read.segment == segment));
        let (Some(output), 1, false) = (outputs().next(), outputs().count(), read) else { return None };
        let bare = output.reads.len() == 1 && output.reads[0] == Read::all(segment, vec![]);
        (bare && output.dims.len() == 2).then(|| output.name.clone())
    }

    /// Writes the nodes of one layer, gives its result's name.
    fn layer(&mut self, layer: &Layer, encodings: &LayerEncodings) -> String {
        let name = &layer.name;
        if let Some(operands) = layer.operands(self.network) {
            let op = if layer.op == Op::Add { "Add" } else { "Mul" };
            let [a, b] = operands.map(|reads| self.gathered(name, reads));
            return self.add_layer(op, name, &[&a, &b], vec![]);
        }
        if let Op::Convolution { window, groups, weights: ConvolutionWeights::Float { values, bias } } = &layer.op {
            return self.convolution(layer, encodings, (*window, *groups), values, bias);
        }
        let mut x = self.gathered(name, &layer.reads);
        match &layer.op {
            Op::MaxPool(window) => {
                if let Some(encoding) = encodings.input {
                    x = self.coded(&x, encoding);
                }
                self.add_layer("MaxPool", name, &[&x], attributes(window))
            }
            Op::SumPool(window) => {
                let shape = self.network.input_shape(layer);
                if window.kernel == [shape.height, shape.width] && window.padding == [0; 4] {
                    self.add_layer("GlobalAveragePool", name, &[&x], vec![])
                } else {
                    let mut attributes = attributes(window);
                    if window.padding != [0; 4] {
                        attributes.push(int("count_include_pad", i64::from(window.border == Border::Zero)));
                    }
                    self.add_layer("AveragePool", name, &[&x], attributes)
                }
            }
            Op::Normalize { epsilon } => self.normalized(name, &x, layer.output.channels, *epsilon),
            Op::Convolution { .. } => panic!("{name} is int8 already"),
            Op::Add | Op::Multiply => panic!("{name} has operands that do not match"),
        }
    }

    /// The nodes of a convolution; of one over the whole image whose result leaves flat, those of a matrix product.
    fn convolution(
        &mut self,
        layer: &Layer,
        encodings: &LayerEncodings,
        (mut window, groups): (Window, usize),
        values: &[f32],
        bias: &[f32],
    ) -> String {
        let name = &layer.name;
        let shape = self.network.input_shape(layer);
        let whole = window.kernel == [shape.height, shape.width] && window.padding == [0; 4];
        let bare = layer.epilogue.is_empty() && encodings.result.is_none();
        let flat = if whole && bare { self.flat_output(self.segments.len()) } else { None };
        let mut x = self.gathered(name, &layer.reads);
        if flat.is_some() {
            x = self.add("Flatten", &format!("{name}.flat"), &[&x], vec![int("axis", 1)]);
        }
        if let Some(encoding) = encodings.input {
            x = self.coded(&x, encoding);
        }
        let out = layer.output.channels;
        let dims = match flat {
            Some(_) => vec![out, values.len() / out],
            None => vec![out, shape.channels / groups, window.kernel[0], window.kernel[1]],
        };
        let (weights, bias) = self.weights(name, values, bias, &dims, encodings.input);
        if window.border == Border::Reflect && window.padding != [0; 4] {
            x = self.mirrored(name, &x, window.padding);
            window.padding = [0; 4];
        }
        let inputs: Vec<&str> = [&*x, &weights].into_iter().chain(bias.as_deref()).collect();
        if let Some(output) = flat {
            return self.nodes.add_to("Gemm", name, &inputs, vec![int("transB", 1)], output);
        }
        let mut attributes = attributes(&window);
        attributes.push(ints("dilations", &window.dilation.map(|n| n as i64)));
        attributes.push(int("group", groups as i64));
        self.add_layer("Conv", name, &inputs, attributes)
    }

    /// Weights and bias as initializers, behind decoders if the layer is int8.
    fn weights(
        &mut self,
        name: &str,
        values: &[f32],
        bias: &[f32],
        dims: &[usize],
        input: Option<Encoding>,
    ) -> (String, Option<String>) {
        let has_bias = bias.iter().any(|&b| b != 0.0);
        let [weight, bias_name] = ["weight", "bias"].map(|part| self.names.fresh(&format!("{name}.{part}")));
        let channels = dims[0];
        let Some(input) = input else {
            self.tensors.push(initializer(&weight, &Tensor { shape: dims.to_vec(), data: values.to_vec() }));
            if has_bias {
                self.tensors.push(initializer(&bias_name, &Tensor { shape: vec![channels], data: bias.to_vec() }));
            }
            return (weight, has_bias.then_some(bias_name));
        };
        let (encodings, scales): (Vec<Vec<i8>>, Vec<f32>) =
            values.chunks_exact(values.len() / channels).map(quantize_weights).unzip();
        let bytes = encodings.concat().iter().map(|&qvalue| qvalue as u8).collect();
        let zeros = integers("", &[channels], DataType::Int8, vec![0; channels]);
        let decoded = self.decode(&weight, integers("", dims, DataType::Int8, bytes), scales.clone(), Some(zeros));
        if !has_bias {
            return (decoded, None);
        }
        let scales: Vec<f32> = scales.iter().map(|scale| scale * input.scale).collect();
        let qvalue = |(b, s): (&f32, &f32)| (f64::from(*b) / f64::from(*s)).round_ties_even() as i32;
        let bytes = bias.iter().zip(&scales).map(qvalue).flat_map(i32::to_le_bytes).collect();
        let bias = self.decode(&bias_name, integers("", &[channels], DataType::Int32, bytes), scales, None);
        (decoded, Some(bias))
    }

    /// A decoder of quantized values, one scale for each channel, that gives the tensor `name`.
    fn decode(
        &mut self,
        name: &str,
        values: TensorProto,
        scales: Vec<f32>,
        zero_points: Option<TensorProto>,
    ) -> String {
        let mut inputs = vec![self.store(&format!("{name}.quantized"), values)];
        inputs.push(self.list(&format!("{name}.scale"), scales));
        inputs.extend(zero_points.map(|zeros| self.store(&format!("{name}.zero_point"), zeros)));
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        self.nodes.add_to("DequantizeLinear", name, &inputs, vec![int("axis", 0)], name.into())
    }

    /// Stores a tensor under `name`, or one like it, which it gives.
    fn store(&mut self, name: &str, tensor: TensorProto) -> String {
        let name = self.names.fresh(name);
        self.tensors.push(TensorProto { name: name.clone(), ..tensor });
        name
    }

    fn list(&mut self, name: &str, data: Vec<f32>) -> String {
        self.store(name, initializer("", &Tensor { shape: vec![data.len()], data }))
    }

    fn number(&mut self, name: &str, value: f32) -> String {
        self.store(name, initializer("", &Tensor { shape: vec![], data: vec![value] }))
    }

    /// A tensor by way of its quantized values.
    fn coded(&mut self, x: &str, encoding: Encoding) -> String {
        let Encoding { scale, zero_point, low, high } = encoding;
        let key = (x.to_owned(), [scale.to_bits(), zero_point as u32, low as u32, high as u32]);
        if let Some(coded) = self.coded.get(&key) {
            return coded.clone();
        }
        let kind = if low < 0 { DataType::Int8 } else { DataType::Uint8 };
        let scale = self.number(&format!("{x}.scale"), scale);
        let zero_point = self.store(&format!("{x}.zero_point"), integers("", &[], kind, vec![zero_point as u8]));
        let quantized = self.add("QuantizeLinear", &format!("{x}.quantize"), &[x, &scale, &zero_point], vec![]);
        let coded =
            self.add("DequantizeLinear", &format!("{x}.dequantize"), &[&quantized, &scale, &zero_point], vec![]);
        self.coded.insert(key, coded.clone());
        coded
    }
}

fn attributes(window: &Window) -> Vec<AttributeProto> {
    let whole = |values: &[usize]| values.iter().map(|&v| v as i64).collect::<Vec<i64>>();
    vec![
        ints("kernel_shape", &whole(&window.kernel)),
        ints("strides", &whole(&window.stride)),
        ints("pads", &whole(&window.padding)),
    ]
}

fn integers(name: &str, dims: &[usize], kind: DataType, raw_data: Vec<u8>) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.iter().map(|&n| n as i64).collect(),
        data_type: kind as i32,
        raw_data,
        ..Default::default()
    }
}

/// Whether a graph holds quantized values already.
pub fn is_quantized(file: &OnnxFile) -> bool {
    let quantizes = |node: &NodeProto| node.op_type.contains("QuantizeLinear") || node.op_type.contains("Integer");
    file.proto.graph.iter().flat_map(|graph| &graph.node).any(quantizes)
}
