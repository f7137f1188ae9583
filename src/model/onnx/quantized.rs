//! A fused network of f32 values and the quantized values it is to compute in, as an ONNX graph in QDQ form.
//!
//! Between `QuantizeLinear` and `DequantizeLinear` stand operators of f32 values, so any runtime can run the file. Each
//! segment of a dense block is quantized once, where it is written; concatenations, norms and ReLUs stay in f32 values
//! until a convolution reads them.

use prost::Message;
use tract_onnx::pb::{AttributeProto, NodeProto, OperatorSetIdProto, TensorProto, tensor_proto::DataType};

use super::super::Tensor;
use super::super::fused::{Border, ConvolutionWeights, FusedNetwork, Layer, Op, Read, Window};
use super::fuse::{FUSED, node_name};
use super::nodes::{Nodes, float, initializer, int, ints, text};
use super::{OPSET, OnnxFile};
use crate::error::{Error, ErrorKind, Result};
use crate::quant::{Affine, Encoding, Function, quantize_weights};

/// How one layer of a network is quantized.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LayerEncodings {
    /// Encoding of what the layer reads. A convolution with it is int8, its weights are quantized too; without it, float.
    pub input: Option<Encoding>,
    /// Encoding of the segment it writes.
    pub result: Option<Encoding>,
}

/// The bytes of an ONNX file that holds `network`, quantized as `encodings` say, one for each layer, in the place of the first
/// fused network of `file`, whose other nodes and metadata are kept.
///
/// # Errors
/// [`ErrorKind::Model`] if the rest of the graph is of an opset that has no scales for single channels.
///
/// # Panics
/// If there are not as many `encodings` as layers, or the network holds int8 weights already.
pub fn export_quantized(file: &OnnxFile, network: &FusedNetwork, encodings: &[LayerEncodings]) -> Result<Vec<u8>> {
    assert_eq!(encodings.len(), network.layers.len(), "encodings for each layer");
    let mut proto = file.proto.clone();
    let mut writer = Writer { network, nodes: Nodes::default(), tensors: Vec::new(), names: Vec::new() };
    writer.write(encodings);
    let graph = proto.graph.as_mut().expect("a file that was read has a graph");
    graph.node.retain(|node| !(node.op_type == FUSED && node.name == node_name(0)));
    let alone = graph.node.is_empty();
    // What reads the network comes behind it, what it reads in front of it.
    let before =
        graph.node.iter().filter(|node| node.output.iter().any(|o| network.inputs.iter().any(|i| i.name == *o)));
    let count = before.count();
    let behind = graph.node.split_off(count);
    graph.node.extend(writer.nodes.list);
    graph.node.extend(behind);
    graph.initializer.extend(writer.tensors);
    graph.value_info.clear();
    let opset = proto.opset_import.iter_mut().find(|opset| opset.domain.is_empty());
    match opset {
        Some(opset) if opset.version >= 13 => {}
        _ if !alone => {
            let message = "its opset is older than 13, which has no scale for each channel: export the model again";
            return Err(Error::new(ErrorKind::Model, message));
        }
        Some(opset) => opset.version = OPSET,
        None => proto.opset_import.push(OperatorSetIdProto { domain: String::new(), version: OPSET }),
    }
    proto.producer_name = env!("CARGO_PKG_NAME").into();
    proto.producer_version = env!("CARGO_PKG_VERSION").into();
    Ok(proto.encode_to_vec())
}

struct Writer<'a> {
    network: &'a FusedNetwork,
    nodes: Nodes,
    tensors: Vec<TensorProto>,
    /// For each segment its tensor of f32 values, and how many times it the segment is.
    names: Vec<(String, f32)>,
}

impl Writer<'_> {
    fn write(&mut self, encodings: &[LayerEncodings]) {
        self.names = self.network.inputs.iter().map(|input| (input.name.clone(), 1.0)).collect();
        for (layer, encodings) in self.network.layers.iter().zip(encodings) {
            let segment = self.names.len();
            let gain = match &layer.op {
                Op::SumPool(window) => window.len() as f32,
                Op::Convolution { .. } | Op::MaxPool(_) => 1.0,
            };
            let result = self.layer(layer, encodings, segment);
            let name = match encodings.result {
                Some(encoding) => self.coded(&result, encoding),
                None => result,
            };
            self.names.push((name, gain));
        }
        for output in &self.network.outputs {
            if self.is_output_of_last(output.name.as_str()) {
                continue;
            }
            let values = self.gathered(&output.name, &output.reads);
            self.nodes.add_to("Identity", &output.name, &[&values], vec![], output.name.clone());
        }
    }

    /// Whether a tensor of this name was written already.
    fn is_output_of_last(&self, name: &str) -> bool {
        self.nodes.list.iter().any(|node| node.output.iter().any(|output| output == name))
    }

    /// The name under which the bare result of a segment goes out, if it does and is flat.
    fn flat_output(&self, segment: usize) -> Option<&str> {
        let output = self.network.outputs.iter().find(|output| match output.reads.as_slice() {
            [read] => read.segment == segment && read.prologue.is_empty() && output.dims.len() == 2,
            _ => false,
        })?;
        Some(&output.name)
    }

    /// Writes the nodes of one layer, gives its result's name.
    fn layer(&mut self, layer: &Layer, encodings: &LayerEncodings, segment: usize) -> String {
        let name = &layer.name;
        let mut x = self.gathered(name, &layer.reads);
        let output = format!("{name}.out");
        match &layer.op {
            Op::Convolution { window, groups, weights: ConvolutionWeights::Float { values, bias } } => {
                let shape = self.network.input_shape(layer);
                let whole = window.kernel == [shape.height, shape.width] && window.padding == [0; 4];
                let flat = whole.then(|| self.flat_output(segment)).flatten().map(str::to_owned);
                if flat.is_some() && shape.area() > 0 {
                    x = self.nodes.add("Flatten", &format!("{name}.flat"), &[&x], vec![int("axis", 1)]);
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
                let inputs: Vec<&str> = [&*x, &weights].into_iter().chain(bias.as_deref()).collect();
                match flat {
                    Some(output) => self.nodes.add_to("Gemm", name, &inputs, vec![int("transB", 1)], output),
                    None => {
                        let mut window = *window;
                        if window.border == Border::Reflect {
                            x = self.mirrored(name, &x, window.padding);
                            window.padding = [0; 4];
                        }
                        let mut attributes = attributes(&window);
                        attributes.push(ints("dilations", &window.dilation.map(|n| n as i64)));
                        attributes.push(int("group", *groups as i64));
                        let inputs: Vec<&str> = [&*x, &weights].into_iter().chain(bias.as_deref()).collect();
                        self.nodes.add_to("Conv", name, &inputs, attributes, output)
                    }
                }
            }
            Op::MaxPool(window) => {
                if let Some(encoding) = encodings.input {
                    x = self.coded(&x, encoding);
                }
                self.nodes.add_to("MaxPool", name, &[&x], attributes(window), output)
            }
            Op::SumPool(window) => {
                let shape = self.network.input_shape(layer);
                if window.kernel == [shape.height, shape.width] {
                    self.nodes.add_to("GlobalAveragePool", name, &[&x], vec![], output)
                } else {
                    self.nodes.add_to("AveragePool", name, &[&x], attributes(window), output)
                }
            }
            Op::Convolution { weights: ConvolutionWeights::Int8 { .. }, .. } => panic!("{name} is int8 already"),
        }
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
        let (weight, bias_name) = (format!("{name}.weight"), format!("{name}.bias"));
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
        self.tensors.push(integers(&format!("{weight}.codes"), dims, DataType::Int8, bytes));
        self.list(&format!("{weight}.scale"), scales.clone());
        self.tensors.push(integers(&format!("{weight}.zero_point"), &[channels], DataType::Int8, vec![0; channels]));
        let decoded = self.decode(&weight, true);
        if !has_bias {
            return (decoded, None);
        }
        let scales: Vec<f32> = scales.iter().map(|scale| scale * input.scale).collect();
        let qvalue = |(b, s): (&f32, &f32)| (f64::from(*b) / f64::from(*s)).round_ties_even() as i32;
        let bytes = bias.iter().zip(&scales).map(qvalue).flat_map(i32::to_le_bytes).collect();
        self.tensors.push(integers(&format!("{bias_name}.codes"), &[channels], DataType::Int32, bytes));
        self.list(&format!("{bias_name}.scale"), scales);
        let bias = self.decode(&bias_name, false);
        (decoded, Some(bias))
    }

    /// A decoder of the initializers `NAME.encodings`, `NAME.scale` and perhaps `NAME.zero_point`, one scale for each channel.
    fn decode(&mut self, name: &str, zero_point: bool) -> String {
        let inputs = [format!("{name}.codes"), format!("{name}.scale"), format!("{name}.zero_point")];
        let inputs: Vec<&str> = inputs[..if zero_point { 3 } else { 2 }].iter().map(String::as_str).collect();
        self.nodes.add_to("DequantizeLinear", name, &inputs, vec![int("axis", 0)], name.into())
    }

    fn list(&mut self, name: &str, data: Vec<f32>) {
        self.tensors.push(initializer(name, &Tensor { shape: vec![data.len()], data }));
    }

    /// A tensor by way of its quantized values.
    fn coded(&mut self, x: &str, encoding: Encoding) -> String {
        let (scale, zero_point) = (format!("{x}.scale"), format!("{x}.zero_point"));
        self.tensors.push(initializer(&scale, &Tensor { shape: vec![], data: vec![encoding.scale] }));
        let kind = if encoding.low < 0 { DataType::Int8 } else { DataType::Uint8 };
        self.tensors.push(integers(&zero_point, &[], kind, vec![encoding.zero_point as u8]));
        let quantized = self.nodes.add("QuantizeLinear", &format!("{x}.quantize"), &[x, &scale, &zero_point], vec![]);
        self.nodes.add("DequantizeLinear", &format!("{x}.dequantize"), &[&quantized, &scale, &zero_point], vec![])
    }

    /// All that is read as one tensor, after its affines.
    fn gathered(&mut self, name: &str, reads: &[Read]) -> String {
        let alike = |a: &Affine, b: &Affine| (a.low, a.high, &a.function) == (b.low, b.high, &b.function);
        let first = &reads[0].prologue;
        let same = reads.iter().all(|read| {
            read.prologue.len() == first.len() && read.prologue.iter().zip(first).all(|(a, b)| alike(a, b))
        });
        let mut parts = Vec::new();
        for (index, read) in reads.iter().enumerate() {
            let (tensor, gain) = self.names[read.segment].clone();
            // What the segment is a multiple of is taken up by the first affine.
            let mut affines = read.prologue.clone();
            if gain != 1.0 {
                match affines.first_mut() {
                    Some(affine) => affine.mul.iter_mut().for_each(|mul| *mul *= gain),
                    None => affines.push(scaled(gain, self.network.shape(read.segment).channels)),
                }
            }
            parts.push((tensor, affines, index));
        }
        if same && parts.iter().all(|(_, affines, _)| affines.len() == parts[0].1.len()) {
            let tensors: Vec<&str> = parts.iter().map(|(tensor, ..)| tensor.as_str()).collect();
            let joined = match tensors.as_slice() {
                [one] => (*one).to_owned(),
                many => self.nodes.add("Concat", &format!("{name}.concat"), many, vec![int("axis", 1)]),
            };
            let affines = (0..parts[0].1.len()).map(|at| Affine {
                mul: parts.iter().flat_map(|(_, affines, _)| affines[at].mul.clone()).collect(),
                add: parts.iter().flat_map(|(_, affines, _)| affines[at].add.clone()).collect(),
                ..parts[0].1[at].clone()
            });
            let affines: Vec<Affine> = affines.collect();
            return self.stepped(name, joined, &affines);
        }
        let done: Vec<String> = parts
            .into_iter()
            .map(|(tensor, affines, index)| self.stepped(&format!("{name}.part{index}"), tensor, &affines))
            .collect();
        let tensors: Vec<&str> = done.iter().map(String::as_str).collect();
        match tensors.as_slice() {
            [one] => (*one).to_owned(),
            many => self.nodes.add("Concat", &format!("{name}.concat"), many, vec![int("axis", 1)]),
        }
    }

    /// A tensor after affines: norms and bounds.
    fn stepped(&mut self, name: &str, mut x: String, affines: &[Affine]) -> String {
        for (number, affine) in affines.iter().enumerate() {
            let name = format!("{name}.norm{number}");
            let nothing =
                affine.mul.iter().all(|mul| (mul - 1.0).abs() < 1e-6) && affine.add.iter().all(|&add| add == 0.0);
            if !nothing {
                let channels = affine.channels();
                self.list(&format!("{name}.weight"), affine.mul.clone());
                self.list(&format!("{name}.bias"), affine.add.clone());
                self.list(&format!("{name}.mean"), vec![0.0; channels]);
                self.list(&format!("{name}.var"), vec![1.0; channels]);
                let parameters = ["weight", "bias", "mean", "var"].map(|part| format!("{name}.{part}"));
                let inputs: Vec<&str> = [&*x].into_iter().chain(parameters.iter().map(String::as_str)).collect();
                x = self.nodes.add("BatchNormalization", &name, &inputs, vec![float("epsilon", 0.0)]);
            }
            x = self.function(&name, x, &affine.function);
            x = match (affine.low, affine.high) {
                (f32::NEG_INFINITY, f32::INFINITY) => x,
                (0.0, f32::INFINITY) => self.nodes.add("Relu", &format!("{name}.relu"), &[&x], vec![]),
                (low, high) => {
                    let bounds = [format!("{name}.low"), format!("{name}.high")];
                    for (bound, value) in bounds.iter().zip([low, high]) {
                        self.tensors.push(initializer(bound, &Tensor { shape: vec![], data: vec![value] }));
                    }
                    self.nodes.add("Clip", &format!("{name}.clip"), &[&x, &bounds[0], &bounds[1]], vec![])
                }
            };
        }
        x
    }
}

impl Writer<'_> {
    /// A tensor with its image mirrored at its ends: top, left, bottom, right.
    fn mirrored(&mut self, name: &str, x: &str, [top, left, bottom, right]: [usize; 4]) -> String {
        let pads = format!("{name}.pads");
        let values = [0, 0, top, left, 0, 0, bottom, right].map(|n| n as i64);
        let raw_data = values.iter().flat_map(|n| n.to_le_bytes()).collect();
        self.tensors.push(integers(&pads, &[8], DataType::Int64, raw_data));
        self.nodes.add("Pad", &format!("{name}.mirrored"), &[x, &pads], vec![text("mode", "reflect")])
    }

    /// A tensor after a function, in operators of opset 13.
    fn function(&mut self, name: &str, x: String, function: &Function) -> String {
        let node = |part: &str| format!("{name}.{part}");
        match function {
            Function::Identity => x,
            Function::Sigmoid => self.nodes.add("Sigmoid", &node("sigmoid"), &[&x], vec![]),
            Function::Silu => {
                let gate = self.nodes.add("Sigmoid", &node("sigmoid"), &[&x], vec![]);
                self.nodes.add("Mul", &node("silu"), &[&x, &gate], vec![])
            }
            Function::HardSigmoid { alpha, beta } => {
                let attributes = vec![float("alpha", *alpha), float("beta", *beta)];
                self.nodes.add("HardSigmoid", &node("gate"), &[&x], attributes)
            }
            Function::HardSwish { alpha, beta } => {
                let attributes = vec![float("alpha", *alpha), float("beta", *beta)];
                let gate = self.nodes.add("HardSigmoid", &node("gate"), &[&x], attributes);
                self.nodes.add("Mul", &node("swish"), &[&x, &gate], vec![])
            }
            Function::LeakyRelu(alpha) => {
                self.nodes.add("LeakyRelu", &node("leaky"), &[&x], vec![float("alpha", *alpha)])
            }
            Function::Elu(alpha) => self.nodes.add("Elu", &node("elu"), &[&x], vec![float("alpha", *alpha)]),
            Function::Tanh => self.nodes.add("Tanh", &node("tanh"), &[&x], vec![]),
            Function::Erf => self.nodes.add("Erf", &node("erf"), &[&x], vec![]),
            Function::Gelu => {
                for (part, value) in [("root", std::f32::consts::FRAC_1_SQRT_2), ("one", 1.0), ("half", 0.5)] {
                    self.tensors.push(initializer(&node(part), &Tensor { shape: vec![], data: vec![value] }));
                }
                let scaled = self.nodes.add("Mul", &node("scaled"), &[&x, &node("root")], vec![]);
                let erf = self.nodes.add("Erf", &node("erf"), &[&scaled], vec![]);
                let gate = self.nodes.add("Add", &node("gate"), &[&erf, &node("one")], vec![]);
                let double = self.nodes.add("Mul", &node("double"), &[&x, &gate], vec![]);
                self.nodes.add("Mul", &node("gelu"), &[&double, &node("half")], vec![])
            }
            Function::Table(_) => unreachable!("a network that is to be quantized has no quantized values"),
        }
    }
}

/// The affine of a factor.
fn scaled(factor: f32, channels: usize) -> Affine {
    Affine {
        mul: vec![factor; channels],
        add: vec![0.0; channels],
        low: f32::NEG_INFINITY,
        high: f32::INFINITY,
        function: Function::Identity,
        round: false,
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
