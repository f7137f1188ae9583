//! An ONNX file's message, checked as far as it can be without running it.

use std::path::Path;

use prost::Message;
use tract_onnx::pb::{GraphProto, ModelProto, tensor_proto::DataType};

use super::super::{Limit, Limits, Metadata};
use super::operators::{self, Opsets};
use super::tensors::{first_nan, is_whole, value_count};
use super::{
    Ending, Fusion, GraphInput, Outside, Unknown, ending, external, fold, fuse, growth, halves, input, layout, masked,
    pads, properties, refuse, six, unknown, wide_quantizers,
};
use crate::error::Result;

/// An ONNX image classifier as read from its file: one f32 NCHW image of 3 channels or 1 in, scores out.
#[derive(Debug, Clone)]
pub struct OnnxFile {
    /// The message, with the batch set to 1.
    pub proto: ModelProto,
    /// What was read from other files.
    pub outside: Outside,
    /// Bytes of the file and of what was read from others.
    pub bytes: u64,
    /// What the file says of itself under Densight's keys.
    pub metadata: Metadata,
    /// The network's input.
    pub input: GraphInput,
    /// The output that is the network's.
    pub output: String,
    /// What gives it.
    pub ending: Ending,
    /// How what the network does not know is told, where the file says so; its output is not among the graph's then.
    pub unknown: Option<Unknown>,
    /// How many numbers the file's initializers hold: weights, and the statistics of norms.
    pub initializer_values: u64,
    /// What the model may cost.
    limits: Limits,
}

/// What is known of a model besides its file's bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadOptions<'a> {
    /// What the model may cost; this holds for what is made of the file too.
    pub limits: Limits,
    /// The folder that the file is in, for weights that lie beside it.
    pub folder: Option<&'a Path>,
    /// Height and width of the input.
    pub input_size: Option<[usize; 2]>,
    /// Height and width of the input, where neither that nor the file says.
    pub open_size: Option<[usize; 2]>,
    /// Name of the output that is the network's; the first if none is given.
    pub output: Option<&'a str>,
}

impl OnnxFile {
    /// Reads and checks the bytes of an ONNX file. A symbolic batch becomes 1; a symbolic height or width takes the
    /// configured input size if the file has one.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Model`]: empty, cut short or no ONNX at all; weights outside the file; NaN weights; not one f32
    /// input `[1, 3, height, width]` or `[1, 1, height, width]`; no output; more than [`Limits::default`] allows.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        Self::read(bytes, &ReadOptions::default())
    }

    /// As [`parse`](Self::parse), with what is known besides.
    ///
    /// # Errors
    /// As [`parse`](Self::parse); for an input size that is not the file's; for weights in other files that cannot be read, or are not in
    /// the folder.
    pub fn read(bytes: &[u8], options: &ReadOptions<'_>) -> Result<Self> {
        let limits = &options.limits;
        limits.check(Limit::File, Some(bytes.len() as u64))?;
        let mut proto = decode(bytes)?;
        let mut metadata = properties::read(&proto.metadata_props)?;
        let side = metadata.config.as_ref().map(|c| c.side());
        if proto.graph.is_none() {
            return Err(refuse("the file holds no graph: it is not ONNX, or cut short"));
        }
        limits.check(Limit::Nodes, Some(proto.graph.as_ref().map_or(0, nodes)))?;
        let graph =
            proto.graph.as_mut().ok_or_else(|| refuse("the file holds no graph: it is not ONNX, or cut short"))?;
        let outside = external::load(graph, options.folder, limits, bytes.len() as u64)?;
        let unknown = match options.output {
            Some(output) if unknown::is_score(&proto, output)? => {
                // They are the classes', and this is none of them.
                metadata.labels = None;
                None
            }
            _ => unknown::take(&mut proto)?,
        };
        let graph =
            proto.graph.as_mut().ok_or_else(|| refuse("the file holds no graph: it is not ONNX, or cut short"))?;
        halves::widen(graph);
        for opset in proto.opset_import.iter_mut().filter(|opset| opset.version == 6) {
            if ["", "ai.onnx"].contains(&opset.domain.as_str()) {
                six::raise(graph).map_err(refuse)?;
                opset.version = 7;
            }
        }
        check_operators(&mut proto)?;
        let graph =
            proto.graph.as_mut().ok_or_else(|| refuse("the file holds no graph: it is not ONNX, or cut short"))?;
        check_values(graph)?;
        let initializer_values = count_values(graph);
        check_quantized_types(graph)?;
        let open_size = options.open_size.or(side.map(|side| [side; 2]));
        let input = input::fix(graph, options.input_size, open_size)?;
        let pixels = (input.height as u64).checked_mul(input.width as u64);
        // The image, the values that are made of it, and their copy for the network.
        limits
            .check(Limit::Activations, pixels.and_then(|pixels| pixels.checked_mul(3 * 3 * size_of::<f32>() as u64)))?;
        let output = chosen(graph, options.output)?;
        let unknown = unknown.filter(|_| graph.output.first().is_some_and(|first| first.name == output));
        operators::sort(graph).map_err(refuse)?;
        fuse::expand(graph, limits)?;
        // What was put in has names of its own.
        operators::sort(graph).map_err(refuse)?;
        masked::fold(graph, &input, limits).map_err(refuse)?;
        fuse::check_constants(graph, limits).map_err(refuse)?;
        operators::distinguish(graph);
        fuse::decode_blocks(graph, limits);
        layout::fold(graph, limits);
        pads::fold(graph, limits);
        let ending = ending::ending(graph, &output);
        let bytes = (bytes.len() as u64).saturating_add(outside.bytes);
        Ok(Self {
            metadata,
            input,
            output,
            ending,
            unknown,
            initializer_values,
            proto,
            outside,
            bytes,
            limits: *limits,
        })
    }

    /// Finds networks with branches in the graph and puts one node in the place of each; see [`fuse`](super::fuse()).
    ///
    /// # Errors
    /// As [`fuse`](super::fuse()).
    pub fn fuse(&mut self) -> Result<Fusion> {
        match &mut self.proto.graph {
            Some(graph) => fuse::fuse(graph, &self.input, &self.limits),
            None => Ok(Fusion::default()),
        }
    }

    /// Computes the constants of the graph as far as that is known here, and looks whether the others are within the limits: what
    /// else reads the graph would compute them at once. Networks are found ([`fuse`](Self::fuse)) before, not after.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Model`] if they are not, or if it cannot be told.
    pub fn fold_constants(&mut self) -> Result<()> {
        let Some(graph) = &mut self.proto.graph else { return Ok(()) };
        wide_quantizers::to_f32(graph, &self.limits).map_err(refuse)?;
        fold::fold(graph, &self.limits)?;
        growth::check(graph, &self.limits)
    }

    /// Names of the graph's outputs.
    pub fn outputs(&self) -> Vec<&str> {
        self.proto.graph.iter().flat_map(|graph| &graph.output).map(|output| output.name.as_str()).collect()
    }

    /// Leaves the graph no output but the network's, so that nothing is computed for the others.
    pub fn drop_other_outputs(&mut self) {
        if let Some(graph) = &mut self.proto.graph {
            graph.output.retain(|output| output.name == self.output);
        }
    }

    /// What the model may cost.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// The output `name`, or the first.
fn chosen(graph: &GraphProto, name: Option<&str>) -> Result<String> {
    let mut names = graph.output.iter().map(|output| output.name.as_str());
    let found = match name {
        None => names.next().ok_or_else(|| refuse("the graph has no output"))?,
        Some(name) => names.clone().find(|output| *output == name).ok_or_else(|| {
            let names: Vec<&str> = names.collect();
            refuse(format!("the graph has no output {name}: it has {}", names.join(", ")))
        })?,
    };
    Ok(found.to_owned())
}

fn decode(bytes: &[u8]) -> Result<ModelProto> {
    if bytes.is_empty() {
        return Err(refuse("the file is empty"));
    }
    let text = bytes.iter().take(512).all(|&b| b.is_ascii_graphic() || b.is_ascii_whitespace());
    if text {
        return Err(refuse("this is a text file, not ONNX"));
    }
    let proto = ModelProto::decode(bytes)
        .map_err(|e| refuse("this is not an ONNX file, or it is cut short: fetch or export it again").caused_by(e))?;
    if proto.graph.is_some() && proto.opset_import.is_empty() {
        return Err(refuse("the file names no opset: it is cut short, fetch or export it again"));
    }
    Ok(proto)
}

/// Refuses a graph that asks for more than is understood.
fn check_operators(proto: &mut ModelProto) -> Result<()> {
    let opsets = Opsets::of(&proto.opset_import).map_err(refuse)?;
    let functions: Vec<(&str, &str)> = proto.functions.iter().map(|f| (f.name(), f.domain())).collect();
    let Some(graph) = &mut proto.graph else { return Ok(()) };
    operators::tidy(graph);
    operators::check(graph, &functions, &opsets).map_err(refuse)
}

/// Refuses quantized values of 4 bits: tract would stumble over them later.
fn check_quantized_types(graph: &GraphProto) -> Result<()> {
    let narrow = [DataType::Uint4, DataType::Int4].map(|kind| kind as i32);
    for tensor in graph.initializer.iter().filter(|tensor| narrow.contains(&tensor.data_type)) {
        let quantizes = |node: &&tract_onnx::pb::NodeProto| {
            ["QuantizeLinear", "DequantizeLinear"].contains(&node.op_type.as_str()) && node.input.contains(&tensor.name)
        };
        if let Some(node) = graph.node.iter().find(quantizes) {
            let kind =
                DataType::try_from(tensor.data_type).map_or("?".into(), |kind| format!("{kind:?}").to_lowercase());
            let message = format!(
                "node {} quantizes to {kind}: Densight runs 8 and 16 bits, quantize the model to int8",
                node.name
            );
            return Err(refuse(message));
        }
    }
    Ok(())
}

fn count_values(graph: &GraphProto) -> u64 {
    graph.initializer.iter().map(value_count).fold(0, u64::saturating_add)
}

/// How many nodes a graph has, those of inner graphs among them.
fn nodes(graph: &GraphProto) -> u64 {
    let mut count = 0;
    let mut open = vec![graph];
    while let Some(graph) = open.pop() {
        count += graph.node.len() as u64;
        let attributes = graph.node.iter().flat_map(|node| &node.attribute);
        open.extend(attributes.flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs)));
    }
    count
}

/// Refuses constants that are NaN or not whole.
fn check_values(graph: &GraphProto) -> Result<()> {
    let constants = graph.node.iter().flat_map(|node| {
        let given = node.output.first().unwrap_or(&node.name);
        node.attribute.iter().filter_map(move |a| Some((&node.name, given, a.t.as_ref()?)))
    });
    for (name, given, tensor) in graph.initializer.iter().map(|t| (&t.name, &t.name, t)).chain(constants) {
        if !is_whole(tensor) {
            let message = format!("tensor {name} does not hold as many values as its extents {:?} say", tensor.dims);
            return Err(refuse(message));
        }
        if let Some(at) = first_nan(tensor).filter(|_| !is_chosen_from(graph, given)) {
            let message = format!("tensor {name} holds NaN at position {at}: the training or conversion failed");
            return Err(refuse(message));
        }
    }
    Ok(())
}

/// Whether NaN in the tensor `name` means that something is not given: nothing reads it, or what is computed of it value by value, but
/// comparisons and what chooses by a mask.
fn is_chosen_from(graph: &GraphProto, name: &str) -> bool {
    const CHOOSES: [&str; 7] = ["GatherND", "Greater", "GreaterOrEqual", "IsNaN", "Less", "LessOrEqual", "Where"];
    const COMPUTES: [&str; 6] = ["Add", "Div", "Expand", "Identity", "Mul", "Sub"];
    let mut open = vec![name];
    let (mut at, mut chosen) = (0, false);
    while let Some(&name) = open.get(at) {
        if graph.output.iter().any(|output| output.name == name) {
            return false;
        }
        for node in graph.node.iter().filter(|node| node.input.iter().any(|input| input == name)) {
            if COMPUTES.contains(&node.op_type.as_str()) {
                let outputs = node.output.iter().map(String::as_str);
                open.extend(outputs.filter(|output| !open.contains(output)).collect::<Vec<_>>());
            } else if CHOOSES.contains(&node.op_type.as_str()) {
                chosen = true;
            } else {
                return false;
            }
        }
        at += 1;
    }
    chosen
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::{ValueInfoProto, tensor_shape_proto::dimension, type_proto};

    use super::super::super::{Architecture, DenseNetConfig, Tensor, Weights};
    use super::super::nodes::{initializer, value};
    use super::*;
    use crate::error::ErrorKind;

    fn good() -> Vec<u8> {
        let config = DenseNetConfig { block_config: vec![1, 1], input_size: Some(8), ..Default::default() };
        let weights = Weights::init(&Architecture::of(&config).unwrap(), 1);
        super::super::export(&config, &weights, &Metadata::default()).unwrap()
    }

    fn refused(change: impl FnOnce(&mut GraphProto)) -> String {
        let mut proto = ModelProto::decode(good().as_slice()).unwrap();
        change(proto.graph.as_mut().unwrap());
        let error = OnnxFile::parse(&proto.encode_to_vec()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Model);
        error.to_string()
    }

    #[test]
    fn an_exported_file_reads_back() {
        let file = OnnxFile::parse(&good()).unwrap();
        let expected = GraphInput { name: "input".into(), channels: 3, height: 8, width: 8, channels_last: false };
        assert_eq!(file.input, expected);
        assert_eq!(file.metadata.config.unwrap().block_config, [1, 1]);
        assert_eq!((file.ending, file.output.as_str()), (Ending::Logits, "logits"));
    }

    #[test]
    fn whatever_is_cut_off_is_noticed() {
        let bytes = good();
        let said = |bytes: &[u8]| OnnxFile::parse(bytes).unwrap_err().to_string();
        assert_eq!(said(b""), "the file is empty");
        assert_eq!(said(b"ir_version: 8\n"), "this is a text file, not ONNX");
        for kept in [1, 7, 40, bytes.len() / 2, bytes.len() - 1] {
            assert!(said(&bytes[..kept]).contains("cut short"), "{kept} bytes: {}", said(&bytes[..kept]));
        }
    }

    #[test]
    fn graphs_that_classify_no_picture_are_refused() {
        assert!(refused(|g| g.input.clear()).contains("no input"));
        assert!(refused(|g| g.output.clear()).contains("no output"));
        assert!(refused(|g| g.input.push(value("y", &[1]))).contains("more than one input"));
        let unread = |g: &mut GraphProto| {
            g.initializer.push(initializer("points", &Tensor { shape: vec![1], data: vec![f32::NAN] }))
        };
        assert!(
            refused(|g| {
                unread(g);
                g.output[0].name = "points".into()
            })
            .contains("points holds NaN")
        );
        assert!(refused(|g| g.initializer[0].raw_data[..4].copy_from_slice(&f32::NAN.to_le_bytes())).contains("conv0"));
        let mut proto = ModelProto::decode(good().as_slice()).unwrap();
        proto.graph.as_mut().unwrap().input[0] = symbolic("input", &["n", "3", "h", "w"]);
        assert_eq!(OnnxFile::parse(&proto.encode_to_vec()).unwrap().input.height, 8, "from the configuration");
        proto.metadata_props.clear();
        let bytes = proto.encode_to_vec();
        assert!(OnnxFile::parse(&bytes).unwrap_err().to_string().contains("no fixed height"));
        let sized = ReadOptions { input_size: Some([8, 8]), ..Default::default() };
        assert_eq!(OnnxFile::read(&bytes, &sized).unwrap().input.width, 8);
    }

    /// An input with extents that are numbers or names.
    fn symbolic(name: &str, dims: &[&str]) -> ValueInfoProto {
        let mut input = value(name, &vec![1; dims.len()]);
        let Some(type_proto::Value::TensorType(tensor)) = input.r#type.as_mut().and_then(|t| t.value.as_mut()) else {
            unreachable!("it is a tensor")
        };
        for (dim, text) in tensor.shape.as_mut().unwrap().dim.iter_mut().zip(dims) {
            let symbol = || dimension::Value::DimParam((*text).into());
            dim.value = Some(text.parse().map_or_else(|_| symbol(), dimension::Value::DimValue));
        }
        input
    }

    #[test]
    fn a_symbolic_batch_becomes_one_and_listed_initializers_are_no_inputs() {
        let mut proto = ModelProto::decode(good().as_slice()).unwrap();
        let graph = proto.graph.as_mut().unwrap();
        graph.input[0] = symbolic("input", &["N", "3", "8", "8"]);
        let weight = crate::model::Tensor { shape: vec![1], data: vec![0.0] };
        graph.initializer.push(initializer("w", &weight));
        graph.input.insert(0, value("w", &[1]));
        let file = OnnxFile::parse(&proto.encode_to_vec()).unwrap();
        assert_eq!(file.input.name, "input");
        assert_eq!(file.proto.graph.unwrap().input, [value("input", &[1, 3, 8, 8])]);
    }
}
