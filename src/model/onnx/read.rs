//! An ONNX file's message, checked as far as it can be without running it.

use prost::Message;
use tract_onnx::pb::{
    GraphProto, ModelProto, TensorProto, ValueInfoProto, tensor_proto::DataType, tensor_shape_proto::dimension,
    type_proto,
};

use super::super::{Limit, Limits, Metadata};
use super::operators::{self, Opsets};
use super::{Fusion, fold, fuse, growth, properties};
use crate::error::{Error, ErrorKind, Result};

/// An ONNX image classifier as read from its file: one f32 NCHW image of 3 channels in, scores out.
#[derive(Debug, Clone)]
pub struct OnnxFile {
    /// The message, with the batch set to 1.
    pub proto: ModelProto,
    /// What the file says of itself under Densight's keys.
    pub metadata: Metadata,
    /// The network's input.
    pub input: GraphInput,
    /// Whether the graph ends in a softmax, so that its output needs none.
    pub ends_in_softmax: bool,
    /// How many numbers the file's initializers hold: weights, and the statistics of norms.
    pub initializer_values: u64,
    /// What the model may cost.
    limits: Limits,
}

/// Name and size of the image a graph takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphInput {
    /// The input's name.
    pub name: String,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
}

impl OnnxFile {
    /// Reads and checks the bytes of an ONNX file. A symbolic batch becomes 1; a symbolic height or width takes the
    /// configured input size if the file has one.
    ///
    /// # Errors
    /// [`ErrorKind::Model`]: empty, cut short or no ONNX at all; weights outside the file; NaN weights; not one f32
    /// input `[1, 3, height, width]`; no output; more than [`Limits::default`] allows.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        Self::parse_within(bytes, &Limits::default())
    }

    /// As [`parse`](Self::parse), with other limits, which hold for what is made of the file too.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_within(bytes: &[u8], limits: &Limits) -> Result<Self> {
        limits.check(Limit::File, Some(bytes.len() as u64))?;
        let mut proto = decode(bytes)?;
        let metadata = properties::read(&proto.metadata_props)?;
        let side = metadata.config.as_ref().map(|c| c.side());
        if proto.graph.is_none() {
            return Err(refuse("the file holds no graph: it is not ONNX, or cut short"));
        }
        limits.check(Limit::Nodes, Some(proto.graph.as_ref().map_or(0, nodes)))?;
        check_operators(&mut proto)?;
        let graph =
            proto.graph.as_mut().ok_or_else(|| refuse("the file holds no graph: it is not ONNX, or cut short"))?;
        check_values(graph)?;
        let initializer_values = count_values(graph);
        check_codes(graph)?;
        let input = fix_input(graph, side)?;
        let pixels = (input.height as u64).checked_mul(input.width as u64);
        // The image, the values that are made of it, and their copy for the network.
        limits
            .check(Limit::Activations, pixels.and_then(|pixels| pixels.checked_mul(3 * 3 * size_of::<f32>() as u64)))?;
        let output = graph.output.first().ok_or_else(|| refuse("the graph has no output"))?.name.clone();
        operators::sort(graph).map_err(refuse)?;
        fuse::expand(graph, limits)?;
        // What was put in has names of its own.
        operators::sort(graph).map_err(refuse)?;
        fuse::check_constants(graph, limits).map_err(refuse)?;
        operators::distinguish(graph);
        fuse::decode_blocks(graph, limits);
        let ends_in_softmax = ends_in_softmax(graph, &output);
        Ok(Self { metadata, input, ends_in_softmax, initializer_values, proto, limits: *limits })
    }

    /// Finds densely connected networks in the graph and puts one node in the place of each; see [`fuse`](super::fuse()).
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
    /// [`ErrorKind::Model`] if they are not, or if it cannot be told.
    pub fn fold_constants(&mut self) -> Result<()> {
        let Some(graph) = &mut self.proto.graph else { return Ok(()) };
        fold::fold(graph, &self.limits)?;
        growth::check(graph, &self.limits)
    }

    /// What the model may cost.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// Whether `output` is that of a softmax, or of what only stores or reshapes it.
fn ends_in_softmax(graph: &GraphProto, output: &str) -> bool {
    const STORES: [&str; 6] = ["DequantizeLinear", "Flatten", "Identity", "QuantizeLinear", "Reshape", "Squeeze"];
    let mut name = output;
    // Nodes are in order: what is before can only be in front.
    for node in graph.node.iter().rev() {
        match (node.output.first().is_some_and(|first| first == name), node.op_type.as_str()) {
            (true, "Softmax") => return true,
            (true, op) if STORES.contains(&op) => name = node.input.first().map_or("", String::as_str),
            (true, _) => return false,
            (false, _) => {}
        }
    }
    false
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

/// Refuses quantized values that are not of 8 bits: tract would stumble over them later.
fn check_codes(graph: &GraphProto) -> Result<()> {
    let wide = [DataType::Uint16, DataType::Int16, DataType::Uint4, DataType::Int4].map(|kind| kind as i32);
    for tensor in graph.initializer.iter().filter(|tensor| wide.contains(&tensor.data_type)) {
        let quantizes = |node: &&tract_onnx::pb::NodeProto| {
            ["QuantizeLinear", "DequantizeLinear"].contains(&node.op_type.as_str()) && node.input.contains(&tensor.name)
        };
        if let Some(node) = graph.node.iter().find(quantizes) {
            let kind =
                DataType::try_from(tensor.data_type).map_or("?".into(), |kind| format!("{kind:?}").to_lowercase());
            let message =
                format!("node {} quantizes to {kind}: Densight runs 8 bits, quantize the model to int8", node.name);
            return Err(refuse(message));
        }
    }
    Ok(())
}

fn count_values(graph: &GraphProto) -> u64 {
    graph.initializer.iter().map(values).fold(0, u64::saturating_add)
}

/// How many values a tensor has, by its extents; the greatest number there is where they are more.
pub(super) fn values(tensor: &TensorProto) -> u64 {
    tensor.dims.iter().map(|&dim| u64::try_from(dim).unwrap_or(0)).fold(1, u64::saturating_mul)
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

/// Refuses constants that are NaN or not in the file.
fn check_values(graph: &GraphProto) -> Result<()> {
    let constants =
        graph.node.iter().flat_map(|node| node.attribute.iter().filter_map(move |a| Some((&node.name, a.t.as_ref()?))));
    for (name, tensor) in graph.initializer.iter().map(|t| (&t.name, t)).chain(constants) {
        if !tensor.external_data.is_empty() {
            let message = format!("tensor {name} is stored in another file: save the model as one file");
            return Err(refuse(message));
        }
        if !is_whole(tensor) {
            let message = format!("tensor {name} does not hold as many values as its extents {:?} say", tensor.dims);
            return Err(refuse(message));
        }
        if let Some(at) = first_nan(tensor) {
            let message = format!("tensor {name} holds NaN at position {at}: the training or conversion failed");
            return Err(refuse(message));
        }
    }
    Ok(())
}

/// Whether a tensor holds as many values as its extents say; of types that are not read, that is not known.
fn is_whole(tensor: &TensorProto) -> bool {
    let count = tensor.dims.iter().try_fold(1_usize, |count, &dim| count.checked_mul(usize::try_from(dim).ok()?));
    let Some(count) = count else { return false };
    let (width, listed) = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Float) => (4, tensor.float_data.len()),
        Ok(DataType::Double) => (8, tensor.double_data.len()),
        Ok(DataType::Int64) => (8, tensor.int64_data.len()),
        Ok(DataType::Int32) => (4, tensor.int32_data.len()),
        Ok(DataType::Float16 | DataType::Bfloat16 | DataType::Int16 | DataType::Uint16) => (2, tensor.int32_data.len()),
        Ok(DataType::Int8 | DataType::Uint8 | DataType::Bool) => (1, tensor.int32_data.len()),
        _ => return true,
    };
    if tensor.raw_data.is_empty() { listed == count } else { count.checked_mul(width) == Some(tensor.raw_data.len()) }
}

fn first_nan(tensor: &TensorProto) -> Option<usize> {
    let raw = &tensor.raw_data;
    match DataType::try_from(tensor.data_type) {
        Ok(DataType::Float) if raw.is_empty() => tensor.float_data.iter().position(|v| v.is_nan()),
        Ok(DataType::Float) => raw.chunks_exact(4).position(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]).is_nan()),
        Ok(DataType::Double) if raw.is_empty() => tensor.double_data.iter().position(|v| v.is_nan()),
        Ok(DataType::Double) => raw.as_chunks::<8>().0.iter().position(|b| f64::from_le_bytes(*b).is_nan()),
        Ok(DataType::Float16) => raw.chunks_exact(2).position(|b| half::f16::from_le_bytes([b[0], b[1]]).is_nan()),
        Ok(DataType::Bfloat16) => raw.chunks_exact(2).position(|b| half::bf16::from_le_bytes([b[0], b[1]]).is_nan()),
        _ => None,
    }
}

/// Finds the graph's one real input and sets what is symbolic in its shape.
fn fix_input(graph: &mut GraphProto, side: Option<usize>) -> Result<GraphInput> {
    let mut inputs = graph.input.iter_mut();
    let input = inputs.next().ok_or_else(|| refuse("the graph has no input"))?;
    if let Some(second) = inputs.next() {
        let message = format!(
            "the graph has more than one input ({}, {}): Densight runs image classifiers",
            input.name, second.name
        );
        return Err(refuse(message));
    }
    let name = input.name.clone();
    let expected = "Densight takes f32 pictures, [1, 3, height, width]";
    let dims =
        tensor_dims(input).ok_or_else(|| refuse(format!("input {name} is no tensor of known rank: {expected}")))?;
    let (elem_type, dims) = dims;
    if elem_type != DataType::Float as i32 {
        let kind = DataType::try_from(elem_type).map_or("unknown".into(), |t| format!("{t:?}").to_lowercase());
        return Err(refuse(format!("input {name} has elements of type {kind}: {expected}")));
    }
    let shown = dims.iter().map(show).collect::<Vec<_>>().join(", ");
    let [batch, channels, height, width] = dims else {
        return Err(refuse(format!("input {name} has rank {}, [{shown}]: {expected}", dims.len())));
    };
    let fix = |dim: &mut dimension_of::Dimension, value: Option<usize>| match (&dim.value, value) {
        (Some(dimension::Value::DimValue(n)), _) if *n > 0 => usize::try_from(*n).ok(),
        (_, Some(n)) => {
            dim.value = Some(dimension::Value::DimValue(n as i64));
            Some(n)
        }
        _ => None,
    };
    let fixed = [fix(batch, Some(1)), fix(channels, Some(3)), fix(height, side), fix(width, side)];
    match fixed {
        [Some(1), Some(3), Some(height), Some(width)] => Ok(GraphInput { name, height, width }),
        [_, _, None, _] | [_, _, _, None] => {
            Err(refuse(format!("input {name} has no fixed height and width, [{shown}]: export it with a fixed size")))
        }
        _ => Err(refuse(format!("input {name} has the shape [{shown}]: {expected}"))),
    }
}

use tract_onnx::pb::tensor_shape_proto as dimension_of;

fn tensor_dims(input: &mut ValueInfoProto) -> Option<(i32, &mut [dimension_of::Dimension])> {
    let type_proto::Value::TensorType(tensor) = input.r#type.as_mut()?.value.as_mut()?;
    Some((tensor.elem_type, tensor.shape.as_mut()?.dim.as_mut_slice()))
}

fn show(dim: &dimension_of::Dimension) -> String {
    match &dim.value {
        Some(dimension::Value::DimValue(n)) => n.to_string(),
        Some(dimension::Value::DimParam(name)) => name.clone(),
        None => "?".into(),
    }
}

fn refuse(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Model, message)
}

#[cfg(test)]
mod tests {
    use super::super::super::{Architecture, DenseNetConfig, Weights};
    use super::super::nodes::{initializer, value};
    use super::*;

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
        assert_eq!(file.input, GraphInput { name: "input".into(), height: 8, width: 8 });
        assert_eq!(file.metadata.config.unwrap().block_config, [1, 1]);
        assert!(!file.ends_in_softmax);
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
        assert!(refused(|g| g.input[0] = value("x", &[3, 8, 8])).starts_with("input x has rank 3, [3, 8, 8]"));
        assert!(refused(|g| g.input[0] = value("x", &[2, 3, 8, 8])).contains("shape [2, 3, 8, 8]"));
        assert!(refused(|g| g.input[0] = value("x", &[1, 1, 8, 8])).contains("shape [1, 1, 8, 8]"));
        assert!(refused(|g| g.input.clear()).contains("no input"));
        assert!(refused(|g| g.output.clear()).contains("no output"));
        assert!(refused(|g| g.input.push(value("y", &[1]))).contains("more than one input"));
        assert!(refused(|g| g.initializer[0].raw_data[..4].copy_from_slice(&f32::NAN.to_le_bytes())).contains("conv0"));
        let bytes = |g: &mut GraphProto| {
            let dims = tensor_dims(&mut g.input[0]).unwrap().1;
            dims[2].value = Some(dimension::Value::DimParam("h".into()));
        };
        let mut proto = ModelProto::decode(good().as_slice()).unwrap();
        bytes(proto.graph.as_mut().unwrap());
        assert_eq!(OnnxFile::parse(&proto.encode_to_vec()).unwrap().input.height, 8, "from the configuration");
        proto.metadata_props.clear();
        assert!(OnnxFile::parse(&proto.encode_to_vec()).unwrap_err().to_string().contains("no fixed height"));
    }

    #[test]
    fn a_symbolic_batch_becomes_one_and_listed_initializers_are_no_inputs() {
        let mut proto = ModelProto::decode(good().as_slice()).unwrap();
        let graph = proto.graph.as_mut().unwrap();
        tensor_dims(&mut graph.input[0]).unwrap().1[0].value = Some(dimension::Value::DimParam("N".into()));
        let weight = crate::model::Tensor { shape: vec![1], data: vec![0.0] };
        graph.initializer.push(initializer("w", &weight));
        graph.input.insert(0, value("w", &[1]));
        let file = OnnxFile::parse(&proto.encode_to_vec()).unwrap();
        assert_eq!(file.input.name, "input");
        let mut graph = file.proto.graph.unwrap();
        assert_eq!(graph.input.len(), 1);
        assert_eq!(show(&tensor_dims(&mut graph.input[0]).unwrap().1[0]), "1");
    }
}
