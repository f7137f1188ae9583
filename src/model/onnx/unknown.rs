//! A network's score for what it does not know, as a further output of its file.
//!
//! The file stays one that every runtime reads: the score is computed by ordinary operators, from the last feature map and the network's
//! output. Densight takes them out of the graph when it reads the file, and computes the same from the features.

use std::collections::HashMap;

use prost::Message;
use serde::{Deserialize, Serialize};
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorProto, ValueInfoProto};

use super::super::{Tensor, UnknownDetector};
use super::backbone::{Tap, keep_needed, makers, pooled};
use super::nodes::{Nodes, initializer, int, value};
use super::operators::{self, Names};
use super::tensors::floats;
use super::{Ending, OnnxFile, properties, refuse};
use crate::error::Result;

/// The entry of the metadata that names the output.
const KEY: &str = "densight.unknown";
/// The output's name, where it is free.
const OUTPUT: &str = "unknown";

/// What a file says of what its network does not know.
#[derive(Debug, Clone, PartialEq)]
pub struct Unknown {
    /// The tensor whose channels' means are the features: the last feature map.
    pub map: String,
    /// What becomes of the features.
    pub detector: UnknownDetector,
}

/// The metadata's entry, as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    output: String,
    threshold: f32,
}

/// The bytes of `file`, as it was read, with a score for what its network does not know as a further output; features are the means of `map`,
/// its last feature map. All is in one file, in f32 where it was in f16.
///
/// # Errors
/// [`ErrorKind::Model`](crate::error::ErrorKind::Model) for a network whose scores are not those of a softmax, or with another number of
/// features.
pub fn with_unknown(file: &OnnxFile, map: &Tap, detector: &UnknownDetector) -> Result<Vec<u8>> {
    let mut proto = file.proto.clone();
    let is_softmax = match file.ending {
        Ending::Logits => false,
        Ending::Softmax => true,
        Ending::LogSoftmax | Ending::Sigmoid => {
            return Err(refuse("its scores are not those of a softmax: what it does not know cannot be told by them"));
        }
    };
    if let Err(what) = detector.check() {
        return Err(refuse(format!("what is unknown cannot be told: {what}")));
    }
    if map.features() != detector.features() {
        return Err(refuse(format!("{} features of {} cannot be used", map.features(), detector.features())));
    }
    let Some(graph) = &mut proto.graph else { return Err(refuse("the file holds no graph")) };
    if graph.output.first().is_none_or(|output| output.name != file.output) {
        return Err(refuse("its first output is not the network's: scores for what is unknown belong to that"));
    }
    if !graph.node.iter().any(|node| node.output.contains(&map.tensor)) {
        return Err(refuse(format!("its feature map {} is not one of the file's tensors", map.tensor)));
    }
    let mut names = Names::of(graph);
    let mut nodes = Nodes::default();
    let features = pooled(&mut nodes, &mut names, map);
    let mut writer = Writer { graph, names, nodes };
    let probabilities =
        if is_softmax { file.output.clone() } else { writer.add("Softmax", &[&file.output], "probabilities", true) };
    let output = writer.score(&features, &probabilities, detector);
    let list = writer.nodes.list;
    graph.node.extend(list);
    graph.output.push(value(&output, &[1, 1]));
    if file.input.channels_last {
        file.input.put_channels_last(graph);
    }
    operators::sort(graph).map_err(refuse)?;
    let entry = Entry { output, threshold: detector.threshold };
    let json = serde_json::to_string(&entry).expect("a text and a number are always JSON");
    // What stands beside the file, in its `model.toml`, goes into this one.
    let written = properties::write(&file.metadata);
    proto.metadata_props.retain(|entry| written.iter().all(|written| written.key != entry.key));
    proto.metadata_props.extend(written);
    proto.metadata_props.push(StringStringEntryProto { key: KEY.into(), value: json });
    Ok(proto.encode_to_vec())
}

/// Adds nodes and initializers to a graph.
struct Writer<'a> {
    graph: &'a mut GraphProto,
    names: Names,
    nodes: Nodes,
}

impl Writer<'_> {
    fn add(&mut self, op: &str, inputs: &[&str], what: &str, over_classes: bool) -> String {
        let [name, output] =
            [self.names.fresh(&format!("unknown.{what}")), self.names.fresh(&format!("unknown.{what}.out"))];
        let attributes = if over_classes { vec![int("axis", 1)] } else { vec![] };
        self.nodes.add_to(op, &name, inputs, attributes, output)
    }

    fn constant(&mut self, what: &str, shape: &[usize], data: Vec<f32>) -> String {
        let name = self.names.fresh(&format!("unknown.{what}"));
        self.graph.initializer.push(initializer(&name, &Tensor { shape: shape.to_vec(), data }));
        name
    }

    /// The nodes behind features and probabilities. Gives the score's name.
    fn score(&mut self, features: &str, probabilities: &str, detector: &UnknownDetector) -> String {
        let UnknownDetector { whitening, bias, means, on_distance, on_probability, offset, .. } = detector;
        let (directions, classes) = (bias.len(), means.len() / bias.len());
        let whitening = self.constant("whitening", &[detector.features(), directions], whitening.clone());
        let bias = self.constant("bias", &[directions], bias.clone());
        let means = self.constant("means", &[classes, directions], means.clone());
        let ones = self.constant("ones", &[directions, 1], vec![1.0; directions]);
        let whitened = self.add("Gemm", &[features, &whitening, &bias], "whitened", false);
        let difference = self.add("Sub", &[&whitened, &means], "difference", false);
        let squares = self.add("Mul", &[&difference, &difference], "squares", false);
        let distances = self.add("MatMul", &[&squares, &ones], "distances", false);
        // Without axes, these mean the same in all opsets.
        let nearest = self.add("ReduceMin", &[&distances], "nearest", false);
        let logarithm = self.add("Log", &[&nearest], "logarithm", false);
        let best = self.add("ReduceMax", &[probabilities], "best", false);
        let [on_distance, on_probability, offset] =
            [("on_distance", on_distance), ("on_probability", on_probability), ("offset", offset)]
                .map(|(what, value)| self.constant(what, &[1, 1], vec![*value]));
        let far = self.add("Mul", &[&logarithm, &on_distance], "far", false);
        let doubtful = self.add("Mul", &[&best, &on_probability], "doubtful", false);
        let both = self.add("Add", &[&far, &doubtful], "both", false);
        let sum = self.add("Add", &[&both, &offset], "sum", false);
        let [name, output] = [self.names.fresh("unknown.score"), self.names.fresh(OUTPUT)];
        self.nodes.add_to("Sigmoid", &name, &[&sum], vec![], output)
    }
}

/// Takes the score out of a graph that has one: what the metadata say of it, the feature map that it is made of, and what becomes of that.
///
/// # Errors
/// [`ErrorKind::Model`](crate::error::ErrorKind::Model) where the score is not as [`with_unknown`] writes it.
pub(super) fn take(proto: &mut ModelProto) -> Result<Option<Unknown>> {
    let Some(entry) = entry(proto)? else { return Ok(None) };
    let Some(graph) = &mut proto.graph else { return Ok(None) };
    let unknown = Reader::of(graph).unknown(&entry).map_err(|what| {
        refuse(format!("its output {} is not as Densight writes scores for what is unknown: {what}; `densight unknown` writes it anew of the model without", entry.output))
    })?;
    graph.output.retain(|output| output.name != entry.output);
    keep_needed(graph);
    proto.metadata_props.retain(|entry| entry.key != KEY);
    Ok(Some(unknown))
}

/// Whether `output` is a file's score for what its network does not know.
///
/// # Errors
/// [`ErrorKind::Model`](crate::error::ErrorKind::Model) for metadata that cannot be read.
pub(super) fn is_score(proto: &ModelProto, output: &str) -> Result<bool> {
    Ok(entry(proto)?.is_some_and(|entry| entry.output == output))
}

fn entry(proto: &ModelProto) -> Result<Option<Entry>> {
    let Some(found) = proto.metadata_props.iter().find(|entry| entry.key == KEY) else { return Ok(None) };
    let broken = |e| refuse(format!("the metadata entry {KEY} cannot be used: {e}")).caused_by(e);
    serde_json::from_str(&found.value).map(Some).map_err(broken)
}

impl OnnxFile {
    /// Makes the means of the channels of `map` a further output of the graph: `[1, channels]`.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::error::ErrorKind::Model) for a map that is not in the graph.
    pub fn ask_for_means(&mut self, map: &str) -> Result<()> {
        let Some(graph) = &mut self.proto.graph else { return Err(refuse("the file holds no graph")) };
        if !graph.node.iter().any(|node| node.output.iter().any(|output| output == map)) {
            return Err(refuse(format!(
                "the feature map {map}, by which it tells what is unknown, is not in its graph"
            )));
        }
        let (mut names, mut nodes) = (Names::of(graph), Nodes::default());
        let means = pooled(&mut nodes, &mut names, &Tap { tensor: map.into(), shape: [0; 3], grid: [1, 1] });
        graph.node.extend(nodes.list);
        graph.output.push(ValueInfoProto { name: means, ..Default::default() });
        Ok(())
    }
}

/// Reads nodes back.
struct Reader<'a> {
    makers: HashMap<&'a str, &'a NodeProto>,
    tensors: HashMap<&'a str, &'a TensorProto>,
    outputs: Vec<&'a str>,
}

impl<'a> Reader<'a> {
    fn of(graph: &'a GraphProto) -> Self {
        Self {
            makers: makers(graph),
            tensors: graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect(),
            outputs: graph.output.iter().map(|output| output.name.as_str()).collect(),
        }
    }

    /// The inputs of the node of this kind that writes `tensor`, if it has no attributes but those that are written.
    fn inputs<const N: usize>(&self, tensor: &str, op: &str) -> Result<[&'a str; N], String> {
        let written: &[_] = if ["Flatten", "Softmax"].contains(&op) { &[int("axis", 1)] } else { &[] };
        let is_it = |node: &&&NodeProto| node.op_type == op && node.domain.is_empty() && node.attribute == written;
        let node = self.makers.get(tensor).filter(is_it);
        let inputs: Vec<&'a str> = node.iter().flat_map(|node| node.input.iter().map(String::as_str)).collect();
        inputs.try_into().map_err(|_| format!("{tensor} is written by no {op} of {N} inputs that is as usual"))
    }

    fn constant(&self, name: &str, dims: &[usize]) -> Result<Vec<f32>, String> {
        let tensor = self.tensors.get(name).ok_or_else(|| format!("{name} is no initializer"))?;
        let fits = tensor.dims.len() == dims.len()
            && tensor.dims.iter().zip(dims).all(|(&found, &dim)| dim == 0 || found == dim as i64);
        let values = floats(tensor).filter(|_| fits);
        values.ok_or_else(|| format!("{name} is no f32 tensor of {} dimensions that fit", dims.len()))
    }

    fn unknown(&self, entry: &Entry) -> Result<Unknown, String> {
        if self.outputs.first() == Some(&entry.output.as_str()) || !self.outputs.contains(&entry.output.as_str()) {
            return Err("it is no output behind the network's".into());
        }
        let [sum] = self.inputs(&entry.output, "Sigmoid")?;
        let [both, offset] = self.inputs(sum, "Add")?;
        let [far, doubtful] = self.inputs(both, "Add")?;
        let [logarithm, on_distance] = self.inputs(far, "Mul")?;
        let [best, on_probability] = self.inputs(doubtful, "Mul")?;
        let [probabilities] = self.inputs(best, "ReduceMax")?;
        let scores = match self.inputs::<1>(probabilities, "Softmax") {
            Ok([scores]) if !self.outputs.contains(&probabilities) => scores,
            _ => probabilities,
        };
        if self.outputs.first() != Some(&scores) {
            return Err(format!("{scores} is not the network's output"));
        }
        let [nearest] = self.inputs(logarithm, "Log")?;
        let [distances] = self.inputs(nearest, "ReduceMin")?;
        let [squares, ones] = self.inputs(distances, "MatMul")?;
        let [difference, same] = self.inputs(squares, "Mul")?;
        let [whitened, means] = self.inputs(difference, "Sub")?;
        let [features, whitening, bias] = self.inputs(whitened, "Gemm")?;
        let [pooled] = self.inputs(features, "Flatten")?;
        let [map] = self.inputs(pooled, "GlobalAveragePool")?;
        let bias = self.constant(bias, &[0])?;
        if difference != same || self.constant(ones, &[bias.len(), 1])?.iter().any(|&one| one != 1.0) {
            return Err(format!("{distances} are no squared distances"));
        }
        let number = |name| self.constant(name, &[1, 1]).map(|values| values[0]);
        let detector = UnknownDetector {
            whitening: self.constant(whitening, &[0, bias.len()])?,
            means: self.constant(means, &[0, bias.len()])?,
            bias,
            on_distance: number(on_distance)?,
            on_probability: number(on_probability)?,
            offset: number(offset)?,
            threshold: entry.threshold,
        };
        detector.check()?;
        Ok(Unknown { map: map.into(), detector })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Architecture, DenseNetConfig, Metadata, Weights};
    use super::super::{ReadOptions, export, tap_tensors};
    use super::*;

    /// A network of 8x8 pictures and 10 classes, and its last feature map.
    fn network() -> (Vec<u8>, Tap) {
        let config =
            DenseNetConfig { block_config: vec![1, 1], input_size: Some(8), num_classes: 10, ..Default::default() };
        let weights = Weights::init(&Architecture::of(&config).unwrap(), 1);
        let bytes = export(&config, &weights, &Metadata::default()).unwrap();
        let tensor = tap_tensors(&OnnxFile::parse(&bytes).unwrap()).unwrap().remove(0);
        (bytes, Tap { tensor, shape: [64, 1, 1], grid: [1, 1] })
    }

    fn detector(features: usize) -> UnknownDetector {
        let values = |count: usize| (0..count).map(|i| (i % 7) as f32 / 8.0 - 0.25).collect();
        UnknownDetector {
            whitening: values(3 * features),
            bias: values(3),
            means: values(6),
            on_distance: 0.5,
            on_probability: -1.5,
            offset: 0.25,
            threshold: 0.875,
        }
    }

    fn channels(bytes: &[u8]) -> usize {
        let graph = OnnxFile::parse(bytes).unwrap().proto.graph.unwrap();
        graph.initializer.iter().find(|tensor| tensor.name.contains("classifier.weight")).unwrap().dims[1] as usize
    }

    #[test]
    fn what_is_written_is_read_and_the_graph_is_as_before() {
        let (bytes, mut map) = network();
        map.shape[0] = channels(&bytes);
        let plain = OnnxFile::parse(&bytes).unwrap();
        assert_eq!(plain.unknown, None);
        let detector = detector(map.shape[0]);
        let with = with_unknown(&plain, &map, &detector).unwrap();
        let file = OnnxFile::parse(&with).unwrap();
        assert_eq!(file.unknown, Some(Unknown { map: map.tensor.clone(), detector: detector.clone() }));
        assert_eq!(file.proto.graph, plain.proto.graph);
        assert_eq!(file.outputs(), plain.outputs());
        // Another takes its place.
        let other = UnknownDetector { threshold: 0.5, ..detector };
        let again = with_unknown(&file, &map, &other).unwrap();
        assert_eq!(again, with_unknown(&plain, &map, &other).unwrap());
        // Asked for by name, it is an output as any other.
        let asked = ReadOptions { output: Some("unknown"), ..Default::default() };
        let asked = OnnxFile::read(&with, &asked).unwrap();
        assert_eq!((asked.output.as_str(), &asked.unknown), ("unknown", &None));
    }

    #[test]
    fn a_score_that_is_not_understood_is_refused() {
        let (bytes, mut map) = network();
        map.shape[0] = channels(&bytes);
        let plain = OnnxFile::parse(&bytes).unwrap();
        let with = with_unknown(&plain, &map, &detector(map.shape[0])).unwrap();
        let refused = |change: &dyn Fn(&mut ModelProto)| {
            let mut proto = ModelProto::decode(&with[..]).unwrap();
            change(&mut proto);
            OnnxFile::parse(&proto.encode_to_vec()).unwrap_err().to_string()
        };
        let graph = |proto: &mut ModelProto| proto.graph.take().unwrap();
        let each = own_nodes(&with);
        assert!(each.len() > 12);
        for name in each {
            let said = refused(&|proto| {
                let mut graph = graph(proto);
                let node = graph.node.iter_mut().find(|node| node.name == name).unwrap();
                node.op_type = if node.op_type == "Sub" { "Div" } else { "Sub" }.into();
                proto.graph = Some(graph);
            });
            assert!(said.contains("is not as Densight writes"), "{name}: {said}");
        }
        for (op, attribute) in
            [("Gemm", int("transB", 1)), ("ReduceMin", int("keepdims", 0)), ("Flatten", int("axis", 0))]
        {
            let said = refused(&|proto| {
                let nodes = &mut proto.graph.as_mut().unwrap().node;
                nodes.iter_mut().rfind(|node| node.op_type == op).unwrap().attribute = vec![attribute.clone()];
            });
            assert!(said.contains(&format!("written by no {op}")), "{said}");
        }
        let said = refused(&|proto| proto.graph.as_mut().unwrap().output.truncate(1));
        assert!(said.contains("no output behind"), "{said}");
        let said = refused(&|proto| {
            proto.metadata_props.iter_mut().filter(|e| e.key == KEY).for_each(|e| e.value = "{}".into())
        });
        assert!(said.contains("densight.unknown cannot be used"), "{said}");
        let error = with_unknown(&plain, &map, &detector(map.shape[0] + 1)).unwrap_err();
        assert!(error.to_string().contains("features"), "{error}");
    }

    /// Names of the nodes that belong to the score.
    fn own_nodes(bytes: &[u8]) -> Vec<String> {
        let graph = ModelProto::decode(bytes).unwrap().graph.unwrap();
        graph.node.into_iter().map(|node| node.name).filter(|name| name.starts_with("unknown.")).collect()
    }
}
