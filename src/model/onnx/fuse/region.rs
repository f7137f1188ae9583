//! From what a walk found to fused networks, and the graph around them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use tract_onnx::pb::{GraphProto, NodeProto, tensor_proto::DataType};

use super::super::super::fused::{FusedNetwork, Input, Layer, Op, Output, Unfactored, factor};
use super::super::nodes::int;
use super::not_fused::NotFused;
use super::state::{Draft, Opaque, Source, Walk};
use super::value::Piece;

/// Operator of the nodes that stand for fused networks. Node `NAME` with number i is called `densight.fused.i`.
pub const FUSED: &str = "DensightFused";

/// The fused networks of all regions in which `wanted` finds something, and those of the others, in the order of the regions.
pub(super) fn networks(
    walk: &Walk<'_>,
    wanted: impl Fn(&FusedNetwork) -> bool,
) -> (Vec<FusedNetwork>, Vec<FusedNetwork>) {
    let regions: BTreeSet<usize> = walk.sources.iter().map(Source::region).collect();
    regions.into_iter().filter_map(|region| network(walk, region)).partition(wanted)
}

/// All that is needed of one region; `None` where that is no layer.
fn network(walk: &Walk<'_>, region: usize) -> Option<FusedNetwork> {
    let computed = |name: &&String| {
        let value = walk.values.get(*name).filter(|value| value.region == region);
        value.is_some_and(|value| {
            let untouched = |piece: &Piece| {
                let input = matches!(walk.sources[piece.source], Source::Input { .. });
                input && piece.channels.is_empty() && piece.chain.is_empty()
            };
            !value.pieces.iter().all(untouched)
        })
    };
    let mut names: Vec<&String> = walk.needed.iter().filter(computed).collect();
    // In the graph's order, so that a network that is all of it gives its outputs so; then the others.
    let place = |name: &String| walk.outputs.iter().position(|output| output == name).unwrap_or(usize::MAX);
    names.sort_by(|a, b| place(a).cmp(&place(b)).then(a.cmp(b)));
    let live = live(walk, &names);
    let is_layer = |source: &&usize| matches!(walk.sources[**source], Source::Layer(_));
    if !live.iter().any(|source| is_layer(&source)) {
        return None;
    }
    // Inputs come first, then layers, each in the order they were met.
    let (layers, inputs): (Vec<usize>, Vec<usize>) = live.iter().partition(is_layer);
    let segment: BTreeMap<usize, usize> = inputs.iter().chain(&layers).enumerate().map(|(at, &s)| (s, at)).collect();
    let drafts: Vec<&Draft> = layers
        .iter()
        .filter_map(|&source| match &walk.sources[source] {
            Source::Layer(draft) => Some(draft),
            Source::Input { .. } => None,
        })
        .collect();
    let pieces = drafts.iter().map(|draft| &draft.reads).chain(names.iter().map(|name| &walk.values[*name].pieces));
    let unfactored = |Piece { source, channels, chain }: &Piece| Unfactored {
        segment: segment[source],
        channels: channels.clone(),
        chain: chain.clone(),
    };
    let readers: Vec<Vec<Unfactored>> = pieces.map(|pieces| pieces.iter().map(unfactored).collect()).collect();
    let layer = |draft: &&Draft| Layer {
        name: draft.name.clone(),
        op: draft.op.clone(),
        reads: Vec::new(),
        epilogue: Vec::new(),
        output: draft.output,
    };
    let mut layers: Vec<Layer> = drafts.iter().map(layer).collect();
    let mut reads = factor(inputs.len(), &mut layers, readers).into_iter();
    for (layer, reads) in layers.iter_mut().zip(&mut reads) {
        layer.reads = reads;
    }
    let input = |&source: &usize| match &walk.sources[source] {
        Source::Input { name, shape, .. } => Input { name: name.clone(), shape: *shape },
        Source::Layer(draft) => Input { name: draft.name.clone(), shape: draft.output },
    };
    let output =
        |(name, reads): (&&String, _)| Output { name: (*name).clone(), dims: walk.values[*name].dims(), reads };
    Some(FusedNetwork {
        inputs: inputs.iter().map(input).collect(),
        layers,
        outputs: names.iter().zip(reads).map(output).collect(),
    })
}

/// The sources that the tensors `names` are made of.
fn live(walk: &Walk<'_>, names: &[&String]) -> BTreeSet<usize> {
    let mut live = BTreeSet::new();
    let mut open: Vec<usize> =
        names.iter().flat_map(|name| walk.values[*name].pieces.iter().map(|piece| piece.source)).collect();
    while let Some(source) = open.pop() {
        if live.insert(source)
            && let Source::Layer(draft) = &walk.sources[source]
        {
            open.extend(draft.reads.iter().map(|piece| piece.source));
        }
    }
    live
}

/// Whether branches of a network come together: some layer reads several segments, or one reads what others read too.
pub(super) fn has_branches(network: &FusedNetwork) -> bool {
    network.layers.iter().any(|layer| layer.reads.len() > 1)
}

/// Why a network without branches is left to tract, at its first convolution; `None` where it has none.
pub(super) fn sparse(graph: &GraphProto, network: &FusedNetwork) -> Option<Opaque> {
    let first = network.layers.iter().find(|layer| matches!(layer.op, Op::Convolution { .. }))?;
    let node = graph.node.iter().find(|node| node.name == first.name || node.output.first() == Some(&first.name));
    Some(Opaque {
        node: first.name.clone(),
        op: node.map_or_else(|| "Conv".into(), |node| node.op_type.clone()),
        reason: NotFused::NoBranches,
    })
}

/// Puts one node in the place of each network's, and drops what is then not needed any more. What a network reads and writes is f32:
/// tensors of `quantized` types are cast, but those of 16 bits, which are f32 outside too (`wide_quantizers.rs`).
pub(super) fn replace(graph: &mut GraphProto, networks: &[FusedNetwork], quantized: &HashMap<String, DataType>) {
    if networks.is_empty() {
        return;
    }
    let made: HashSet<&String> = networks.iter().flat_map(|n| n.outputs.iter().map(|output| &output.name)).collect();
    graph.node.retain(|node| !node.output.iter().any(|name| made.contains(name)));
    for (number, network) in networks.iter().enumerate() {
        let mut casts = Vec::new();
        let mut real = |name: &String, reads: bool| {
            let narrow = |kind: &&DataType| matches!(kind, DataType::Int8 | DataType::Uint8);
            let Some(kind) = quantized.get(name).filter(narrow) else { return name.clone() };
            let real = format!("{}.{}.{name}", node_name(number), if reads { "reads" } else { "writes" });
            let (from, to, kind) = if reads { (name, &real, DataType::Float) } else { (&real, name, *kind) };
            casts.push(NodeProto {
                op_type: "Cast".into(),
                name: format!("{real}.cast"),
                input: vec![from.clone()],
                output: vec![to.clone()],
                attribute: vec![int("to", kind as i64)],
                ..Default::default()
            });
            real
        };
        let input = network.inputs.iter().map(|input| real(&input.name, true)).collect();
        let output = network.outputs.iter().map(|output| real(&output.name, false)).collect();
        let (op_type, name) = (FUSED.into(), node_name(number));
        graph.node.push(NodeProto { op_type, name, input, output, ..Default::default() });
        graph.node.extend(casts);
    }
    prune(graph);
}

/// Name of the node that stands for network `number`.
pub fn node_name(number: usize) -> String {
    format!("densight.fused.{number}")
}

/// Drops nodes and initializers that no output depends on.
fn prune(graph: &mut GraphProto) {
    let mut needed: HashSet<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    let mut open: Vec<String> = needed.iter().cloned().collect();
    while let Some(name) = open.pop() {
        for node in graph.node.iter().filter(|node| node.output.contains(&name)) {
            // A node with inner graphs may use anything.
            if node.attribute.iter().any(|attribute| attribute.g.is_some()) {
                return;
            }
            open.extend(node.input.iter().filter(|input| needed.insert((*input).clone())).cloned());
        }
    }
    graph.node.retain(|node| node.output.iter().any(|name| needed.contains(name)));
    graph.initializer.retain(|tensor| needed.contains(&tensor.name));
    graph.value_info.retain(|info| needed.contains(&info.name));
}
