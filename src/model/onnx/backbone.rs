//! A network without its classifier, and the maps of it that a linear head reads.
//!
//! The last feature map of a DenseNet is the concatenation of all layers of its last block; the transitions' results are those of the
//! blocks before. Pooled to small grids they are features that a linear head can be taught on.

use std::collections::{HashMap, HashSet, VecDeque};

use prost::Message;
use tract_onnx::pb::{GraphProto, NodeProto, ValueInfoProto};

use super::super::{Metadata, Tensor};
use super::nodes::{Nodes, initializer, int, ints, value};
use super::operators::{self, Names};
use super::raise::{RAISED, raise};
use super::{OnnxFile, properties, refuse};
use crate::error::{Error, ErrorKind, Result};

/// Transitions that are read at the most: the last ones.
const MOST_TRANSITIONS: usize = 3;
/// Grids that are tried, finest first: that of the last map, and that of the transitions (0: they are not read).
const GRIDS: [[usize; 2]; 6] = [[4, 2], [4, 1], [2, 1], [2, 0], [1, 1], [1, 0]];
/// Features that a head reads at the most: beyond, the grids are coarser.
const MOST_FEATURES: usize = 6000;
/// Operators between a network's last pool and its scores.
const POOLS: [&str; 3] = ["AveragePool", "GlobalAveragePool", "ReduceMean"];

/// A map that a head reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tap {
    /// The tensor, `[1, channels, height, width]`.
    pub tensor: String,
    /// Its channels, height and width.
    pub shape: [usize; 3],
    /// Rows and columns of the grid that it is pooled to.
    pub grid: [usize; 2],
}

impl Tap {
    /// Number of its features: channel by channel, row by row.
    pub fn features(&self) -> usize {
        self.shape[0] * self.grid[0] * self.grid[1]
    }
}

/// The tensors of `file` that a head may read: the map before its last pool, then the results of its transitions, last ones first.
///
/// # Errors
/// [`ErrorKind::Model`] for a network that does not end in a pool and a classifier.
pub fn tap_tensors(file: &OnnxFile) -> Result<Vec<String>> {
    let Some(graph) = &file.proto.graph else { return Err(refuse("the file holds no graph")) };
    let makers = makers(graph);
    // Nearest to the output first, so that the pools of gates are not taken for it.
    let pool = ancestors(&makers, &file.output).into_iter().find(|node| POOLS.contains(&node.op_type.as_str()));
    let last = pool.and_then(|pool| pool.input.first()).filter(|map| makers.contains_key(map.as_str()));
    let Some(last) = last else {
        let what = "it does not end in a global pool and a classifier: its features are not found";
        return Err(refuse(what));
    };
    let transitions = ancestors(&makers, last).into_iter().filter(|node| node.op_type == "AveragePool");
    let transitions = transitions.filter_map(|node| node.output.first().cloned()).take(MOST_TRANSITIONS);
    Ok(std::iter::once(last.clone()).chain(transitions).collect())
}

/// The taps of a file whose [`tap_tensors`] have these shapes: the finest grids whose features are not too many. Of a tensor that is no map
/// nothing is read.
///
/// # Errors
/// [`ErrorKind::Model`] where there is no map, or one with too many channels.
pub fn taps(tensors: &[(String, Vec<usize>)]) -> Result<Vec<Tap>> {
    let at = |[last, others]: [usize; 2]| -> Vec<Tap> {
        let tap = |(number, (tensor, dims)): (usize, &(String, Vec<usize>))| {
            let &[1, channels, height, width] = dims.as_slice() else { return None };
            let grid = if number == 0 { last } else { others };
            let grid = [grid.min(height), grid.min(width)];
            (grid[0] > 0).then(|| Tap { tensor: tensor.clone(), shape: [channels, height, width], grid })
        };
        tensors.iter().enumerate().filter_map(tap).collect()
    };
    let fits = |taps: &Vec<Tap>| (1..=MOST_FEATURES).contains(&taps.iter().map(Tap::features).sum());
    GRIDS.into_iter().map(at).find(fits).ok_or_else(|| refuse("it has no feature map with few enough channels"))
}

/// `file` with the taps, pooled, as further tensors of the graph; gives their names, each `[1, features of the tap]`.
pub fn with_features(file: &OnnxFile, taps: &[Tap]) -> (OnnxFile, Vec<String>) {
    let mut file = file.clone();
    let mut features = Vec::new();
    if let Some(graph) = &mut file.proto.graph {
        let mut names = Names::of(graph);
        let mut nodes = Nodes::default();
        features = taps.iter().map(|tap| pooled(&mut nodes, &mut names, tap)).collect();
        graph.node.extend(nodes.list);
    }
    (file, features)
}

/// The bytes of an ONNX file whose scores are a linear head on the taps of `file`: for each a matrix `[classes, features of the tap]`,
/// whose products are added, and one number for each class.
///
/// # Errors
/// [`ErrorKind::Model`] for a graph that cannot be raised to a newer opset.
///
/// # Panics
/// If there are not as many weights as taps, or they are not of the taps' sizes.
pub fn with_head(
    file: &OnnxFile,
    taps: &[Tap],
    weights: &[Vec<f32>],
    bias: &[f32],
    metadata: &Metadata,
) -> Result<Vec<u8>> {
    assert_eq!(taps.len(), weights.len(), "weights for each tap");
    let mut proto = file.proto.clone();
    let Some(graph) = &mut proto.graph else { return Err(refuse("the file holds no graph")) };
    for opset in proto.opset_import.iter_mut().filter(|opset| ["", "ai.onnx"].contains(&opset.domain.as_str())) {
        raise(graph, opset.version)?;
        opset.version = opset.version.max(RAISED);
    }
    // What only the old classifier needed goes, and its names with it.
    graph.output = taps.iter().map(|tap| ValueInfoProto { name: tap.tensor.clone(), ..Default::default() }).collect();
    keep_needed(graph);
    let mut names = Names::of(graph);
    let mut nodes = Nodes::default();
    let mut parts = Vec::new();
    for (number, (tap, weights)) in taps.iter().zip(weights).enumerate() {
        assert_eq!(weights.len(), bias.len() * tap.features(), "a weight for each class and feature");
        let features = pooled(&mut nodes, &mut names, tap);
        let shape = vec![bias.len(), tap.features()];
        let [name, weight, added] = ["", ".weight", ".bias"].map(|part| names.fresh(&format!("head.{number}{part}")));
        graph.initializer.push(initializer(&weight, &Tensor { shape, data: weights.clone() }));
        let first = if number == 0 { bias.to_vec() } else { vec![0.0; bias.len()] };
        graph.initializer.push(initializer(&added, &Tensor { shape: vec![bias.len()], data: first }));
        let output = names.fresh(&format!("{name}.out"));
        parts.push(nodes.add_to("Gemm", &name, &[&features, &weight, &added], vec![int("transB", 1)], output));
    }
    let scores = names.fresh("logits");
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let op = if parts.len() == 1 { "Identity" } else { "Sum" };
    // tract calls the parts of a sum by its name and their numbers.
    let name = names.fresh("head.sum");
    nodes.add_to(op, &name, &parts, vec![], scores.clone());
    graph.node.extend(nodes.list);
    graph.output = vec![value(&scores, &[1, bias.len()])];
    if file.input.channels_last {
        file.input.put_channels_last(graph);
    }
    operators::sort(graph).map_err(|what| Error::new(ErrorKind::Model, what))?;
    proto.metadata_props = properties::write(metadata);
    proto.producer_name = env!("CARGO_PKG_NAME").into();
    proto.producer_version = env!("CARGO_PKG_VERSION").into();
    Ok(proto.encode_to_vec())
}

/// Adds what pools a tap to its grid and flattens it. Gives the result's name.
pub(super) fn pooled(nodes: &mut Nodes, names: &mut Names, tap: &Tap) -> String {
    let [_, height, width] = tap.shape;
    let pool = names.fresh(&format!("{}.pool", tap.tensor));
    let pooled = names.fresh(&format!("{}.pooled", tap.tensor));
    if tap.grid == [1, 1] {
        nodes.add_to("GlobalAveragePool", &pool, &[&tap.tensor], vec![], pooled.clone());
    } else {
        // Windows begin evenly and reach as far as the last one must.
        let along = |side: usize, grid: usize| (side / grid, side - (grid - 1) * (side / grid));
        let [(down, rows), (right, columns)] = [along(height, tap.grid[0]), along(width, tap.grid[1])];
        let attributes =
            vec![ints("kernel_shape", &[rows as i64, columns as i64]), ints("strides", &[down as i64, right as i64])];
        nodes.add_to("AveragePool", &pool, &[&tap.tensor], attributes, pooled.clone());
    }
    let flat = names.fresh(&format!("{}.features", tap.tensor));
    nodes.add_to("Flatten", &names.fresh(&format!("{}.flatten", tap.tensor)), &[&pooled], vec![int("axis", 1)], flat)
}

/// Drops the nodes and initializers that the outputs do not depend on.
pub(super) fn keep_needed(graph: &mut GraphProto) {
    let outputs: Vec<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    let mut needed: HashSet<String> = HashSet::new();
    let mut kept: HashSet<String> = HashSet::new();
    {
        let makers = makers(graph);
        for output in &outputs {
            needed.insert(output.clone());
            for node in ancestors(&makers, output) {
                kept.extend(node.output.first().cloned());
                needed.extend(node.input.iter().cloned());
            }
        }
    }
    graph.node.retain(|node| node.output.first().is_some_and(|output| kept.contains(output)));
    graph.initializer.retain(|tensor| needed.contains(&tensor.name));
    let known = |info: &ValueInfoProto| needed.contains(&info.name);
    graph.value_info.retain(known);
}

/// Nodes by what they write.
pub(super) fn makers(graph: &GraphProto) -> HashMap<&str, &NodeProto> {
    graph.node.iter().flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node))).collect()
}

/// The nodes that a tensor depends on, nearest first.
fn ancestors<'a>(makers: &HashMap<&str, &'a NodeProto>, tensor: &str) -> Vec<&'a NodeProto> {
    let mut open: VecDeque<&NodeProto> = makers.get(tensor).copied().into_iter().collect();
    let mut seen: HashSet<*const NodeProto> = open.iter().map(|&node| std::ptr::from_ref(node)).collect();
    let mut found = Vec::new();
    while let Some(node) = open.pop_front() {
        found.push(node);
        for maker in node.input.iter().filter_map(|name| makers.get(name.as_str())) {
            if seen.insert(std::ptr::from_ref(*maker)) {
                open.push_back(maker);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::super::{Architecture, DenseNetConfig, Weights};
    use super::*;

    fn file() -> OnnxFile {
        let config = DenseNetConfig { block_config: vec![2, 2, 1], input_size: Some(32), ..Default::default() };
        let weights = Weights::init(&Architecture::of(&config).unwrap(), 1);
        OnnxFile::parse(&super::super::export(&config, &weights, &Metadata::default()).unwrap()).unwrap()
    }

    fn shaped(shapes: &[[usize; 3]]) -> Vec<(String, Vec<usize>)> {
        let named = |(number, &[c, h, w]): (usize, &[usize; 3])| (format!("t{number}"), vec![1, c, h, w]);
        shapes.iter().enumerate().map(named).collect()
    }

    #[test]
    fn the_last_map_and_the_transitions_are_found() {
        let file = file();
        let tensors = tap_tensors(&file).unwrap();
        assert_eq!(tensors.len(), 3, "{tensors:?}");
        let makers = makers(file.proto.graph.as_ref().unwrap());
        assert_eq!(makers[tensors[0].as_str()].op_type, "Relu");
        assert!(tensors[1..].iter().all(|tensor| makers[tensor.as_str()].op_type == "AveragePool"));
    }

    #[test]
    fn grids_are_as_fine_as_the_number_of_features_allows() {
        let grids = |shapes: &[[usize; 3]]| -> Vec<[usize; 2]> {
            taps(&shaped(shapes)).unwrap().iter().map(|tap| tap.grid).collect()
        };
        assert_eq!(grids(&[[132, 8, 8], [48, 8, 8], [60, 16, 16]]), [[4, 4], [2, 2], [2, 2]]);
        assert_eq!(grids(&[[1024, 7, 7], [512, 7, 7], [256, 14, 14]]), [[2, 2], [1, 1], [1, 1]]);
        assert_eq!(grids(&[[5000, 7, 7]]), [[1, 1]]);
        assert_eq!(grids(&[[8, 3, 2]]), [[3, 2]]);
        assert!(taps(&shaped(&[[7000, 7, 7]])).is_err() && taps(&[("t".into(), vec![1, 5])]).is_err());
    }

    #[test]
    fn a_head_takes_the_place_of_the_classifier() {
        let file = file();
        let tensors = tap_tensors(&file).unwrap();
        let shapes = [[96, 2, 2], [64, 2, 2], [64, 4, 4]];
        let shaped: Vec<_> = tensors.into_iter().zip(shapes.map(|[c, h, w]| vec![1, c, h, w])).collect();
        let taps = taps(&shaped).unwrap();
        assert_eq!(taps.iter().map(Tap::features).collect::<Vec<_>>(), [96 * 4, 64 * 4, 64 * 4]);
        let weights: Vec<Vec<f32>> = taps.iter().map(|tap| vec![0.5; 3 * tap.features()]).collect();
        let labels = Some(vec!["a".into(), "b".into(), "c".into()]);
        let metadata = Metadata { labels: labels.clone(), ..Default::default() };
        let written = with_head(&file, &taps, &weights, &[1.0, 2.0, 3.0], &metadata).unwrap();
        let taught = OnnxFile::parse(&written).unwrap();
        let graph = taught.proto.graph.as_ref().unwrap();
        let count = |op: &str| graph.node.iter().filter(|node| node.op_type == op).count();
        assert_eq!((count("Gemm"), count("Sum"), graph.output.len()), (3, 1, 1));
        assert!(!graph.initializer.iter().any(|tensor| tensor.name.starts_with("classifier")));
        assert_eq!((taught.metadata.labels, taught.output.as_str()), (labels, "logits"));
    }
}
