//! `Pad` nodes in front of convolutions and pools, as padding of those.
//!
//! Exporters write padding as a node of its own: torch before 2.0 a `Pad` of nothing in front of each average pool, Keras one in front of
//! each window that is not `same`. A `Pad` of nothing is dropped. Another moves into what reads it, through quantizers and bounds, where
//! that computes the same:
//!
//! - a convolution pads with 0 itself: so must the `Pad`, or what became of its value on the way;
//! - a max pool leaves its padding out: no value that is read may be less than the `Pad`'s, and each window must hold one of them;
//! - an average pool counts its own padding as zeros where `count_include_pad` says so: so must be what it has besides.
//!
//! A `Pad` moves only if it can move into all that reads it.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::{GraphProto, NodeProto};

use super::super::Limits;
use super::fuse::{Attributes, Constant, Constants, pad_amounts, quantized_kind, range};
use super::nodes::{int, ints};

/// How far it is looked back for the least value of a tensor.
const FAR: usize = 64;

/// Drops and moves the `Pad` nodes of `graph`, whose nodes are in order.
pub(super) fn fold(graph: &mut GraphProto, limits: &Limits) {
    let pads: Vec<usize> = (0..graph.node.len()).filter(|&at| graph.node[at].op_type == "Pad").collect();
    if pads.is_empty() {
        return;
    }
    let mut folding = Folding::of(graph, limits);
    // The last first: the one before then looks through it.
    pads.into_iter().rev().for_each(|at| folding.pad(at));
    let Folding { dropped, padding, changed, .. } = folding;
    let changed: HashSet<String> = changed.into_iter().map(String::from).collect();
    for at in dropped {
        let node = &mut graph.node[at];
        node.op_type = "Identity".into();
        node.attribute.clear();
        node.input.truncate(1);
    }
    for (at, padding) in padding {
        let node = &mut graph.node[at];
        let replaced = ["auto_pad", "pads", "count_include_pad"];
        node.attribute.retain(|attribute| !replaced.contains(&attribute.name.as_str()));
        node.attribute.push(ints("pads", &padding));
        if node.op_type == "AveragePool" {
            node.attribute.push(int("count_include_pad", 1));
        }
    }
    // What the file declares of these is of the padded tensors.
    graph.value_info.retain(|info| !changed.contains(&info.name));
}

/// What a `Pad` moves into.
struct Cone<'a> {
    /// Convolutions and pools, with the padding that they have then: top, left, bottom, right.
    windows: Vec<(usize, [i64; 4])>,
    /// The tensors on the way.
    passed: Vec<&'a str>,
}

struct Folding<'a> {
    nodes: &'a [NodeProto],
    constants: Constants<'a>,
    makers: HashMap<&'a str, usize>,
    readers: HashMap<&'a str, Vec<(usize, usize)>>,
    outputs: HashSet<&'a str>,
    /// `Pad` nodes that are gone, and what others have in their place: top, left, bottom, right.
    dropped: HashSet<usize>,
    padding: HashMap<usize, [i64; 4]>,
    /// Tensors that are smaller now.
    changed: HashSet<&'a str>,
}

impl<'a> Folding<'a> {
    fn of(graph: &'a GraphProto, limits: &Limits) -> Self {
        let mut makers = HashMap::new();
        let mut readers: HashMap<&str, Vec<(usize, usize)>> = HashMap::new();
        for (at, node) in graph.node.iter().enumerate() {
            makers.extend(node.output.iter().map(|name| (name.as_str(), at)));
            let inputs = node.input.iter().enumerate().filter(|(_, name)| !name.is_empty());
            inputs.for_each(|(place, name)| readers.entry(name).or_default().push((at, place)));
        }
        Self {
            nodes: &graph.node,
            constants: Constants::of(graph, limits.constants),
            makers,
            readers,
            outputs: graph.output.iter().map(|output| output.name.as_str()).collect(),
            dropped: HashSet::new(),
            padding: HashMap::new(),
            changed: HashSet::new(),
        }
    }

    /// Drops or moves one.
    fn pad(&mut self, at: usize) {
        let node = &self.nodes[at];
        let Some(amounts) = pad_amounts(node, &self.constants) else { return };
        if amounts.iter().all(|&amount| amount == 0) {
            self.dropped.insert(at);
            return;
        }
        let moved = || {
            let [0, 0, top, left, 0, 0, bottom, right] = amounts[..] else { return None };
            let amounts = [top, left, bottom, right];
            let constant = node.text("mode").is_none_or(|mode| mode == b"constant");
            if !constant || amounts.iter().any(|&amount| amount < 0) {
                return None;
            }
            self.cone(node, amounts, self.value(node)?)
        };
        if let Some(Cone { windows, passed }) = moved() {
            self.dropped.insert(at);
            self.padding.extend(windows);
            self.changed.extend(passed);
        }
    }

    /// The value that is added, as a number or as the code of one.
    fn value(&self, node: &NodeProto) -> Option<f64> {
        match node.input.get(2).filter(|name| !name.is_empty()) {
            Some(name) => self.constants.get(name)?.real().first().copied().map(f64::from),
            None => Some(node.float("value").unwrap_or(0.0).into()),
        }
    }

    /// What reads a `Pad` of `value`; `None` if it cannot move into all of it.
    fn cone(&self, pad: &'a NodeProto, amounts: [i64; 4], value: f64) -> Option<Cone<'a>> {
        let mut windows = Vec::new();
        let mut passed = Vec::new();
        let mut open: Vec<(&str, f64)> = vec![(pad.output.first()?, value)];
        while let Some((name, value)) = open.pop() {
            if self.outputs.contains(name) {
                return None;
            }
            passed.push(name);
            for &(at, place) in self.readers.get(name).map(Vec::as_slice).unwrap_or_default() {
                let node = &self.nodes[at];
                if place != 0 {
                    return None;
                }
                match self.through(at, node, value) {
                    Some(value) => open.push((node.output.first()?, value)),
                    None => windows.push((at, self.window(at, node, amounts, value)?)),
                }
            }
        }
        (!windows.is_empty()).then_some(Cone { windows, passed })
    }

    /// What a value becomes in a node that treats each value by itself; `None` for other nodes.
    fn through(&self, at: usize, node: &NodeProto, value: f64) -> Option<f64> {
        match node.op_type.as_str() {
            "Identity" => Some(value),
            "Dropout" if node.input.len() == 1 && node.output.len() == 1 => Some(value),
            "Pad" if self.dropped.contains(&at) => Some(value),
            "Relu" => Some(value.max(0.0)),
            "Clip" => {
                let (low, high) = self.bounds(node)?;
                Some(value.max(low).min(high))
            }
            // 0 is quantized without a rounding, and is the only value that has no scale.
            "QuantizeLinear" => self.zero_point(node).filter(|_| value == 0.0),
            "DequantizeLinear" => self.zero_point(node).filter(|&zero| value == zero).map(|_| 0.0),
            _ => None,
        }
    }

    /// The padding of a convolution or pool that takes over what was added in front of it.
    fn window(&self, at: usize, node: &NodeProto, amounts: [i64; 4], value: f64) -> Option<[i64; 4]> {
        let own = match (self.padding.get(&at), node.ints("pads")) {
            (Some(own), _) => *own,
            (None, Some(own)) => own.try_into().ok()?,
            (None, None) => [0; 4],
        };
        let all: [i64; 4] = std::array::from_fn(|side| own[side].saturating_add(amounts[side]));
        let plain = matches!(node.text("auto_pad").unwrap_or(b"NOTSET"), b"NOTSET" | b"VALID");
        let pool = |node: &NodeProto| {
            let dilated = node.ints("dilations").is_some_and(|dilations| dilations.iter().any(|&d| d != 1));
            let kernel = node.ints("kernel_shape").unwrap_or_default();
            // Each window holds a value then.
            let inside = kernel.len() == 2 && all.iter().zip(kernel.iter().cycle()).all(|(pad, side)| pad < side);
            !dilated && inside && node.int("ceil_mode").unwrap_or(0) == 0 && node.output.len() == 1
        };
        let counts = self.padding.contains_key(&at) || node.int("count_include_pad") == Some(1) || own == [0; 4];
        let same = match node.op_type.as_str() {
            "Conv" => value == 0.0,
            "AveragePool" => value == 0.0 && counts && pool(node),
            // The least that there is is less than all else.
            "MaxPool" => {
                let least = value <= f64::from(f32::MIN) || value <= self.least(node.input.first()?, FAR);
                least && pool(node)
            }
            _ => false,
        };
        (plain && same).then_some(all)
    }

    /// No value of a tensor is less than this; of quantized values, no code.
    fn least(&self, name: &str, far: usize) -> f64 {
        let unknown = f64::NEG_INFINITY;
        let Some((&at, far)) = self.makers.get(name).zip(far.checked_sub(1)) else { return unknown };
        let node = &self.nodes[at];
        let input = |at: usize| node.input.get(at).map_or(unknown, |name| self.least(name, far));
        match node.op_type.as_str() {
            "Relu" => input(0).max(0.0),
            "Sigmoid" | "HardSigmoid" | "Softmax" | "Abs" => 0.0,
            "Clip" => self.bounds(node).map_or(unknown, |(low, high)| input(0).max(low).min(high)),
            "Identity" | "Dropout" | "MaxPool" | "Reshape" | "Flatten" | "GlobalMaxPool" => input(0),
            "Pad" if self.dropped.contains(&at) || node.text("mode").is_some_and(|mode| mode != b"constant") => {
                input(0)
            }
            "Pad" => self.value(node).map_or(unknown, |value| input(0).min(value)),
            // Zeros may be among what is averaged.
            "AveragePool" | "GlobalAveragePool" => input(0).min(0.0),
            "Concat" => (0..node.input.len()).map(input).fold(f64::INFINITY, f64::min),
            "QuantizeLinear" => match self.zero_point(node) {
                Some(zero) if input(0) >= 0.0 => zero,
                _ => self.least_qvalue(node).unwrap_or(unknown),
            },
            "DequantizeLinear" => self.zero_point(node).filter(|&zero| input(0) >= zero).map_or(unknown, |_| 0.0),
            _ => unknown,
        }
    }

    /// The least value that a `QuantizeLinear` gives.
    fn least_qvalue(&self, node: &NodeProto) -> Option<f64> {
        let zero_point = node.input.get(2).filter(|name| !name.is_empty());
        let zero_point = zero_point.map(|name| self.constants.get(name).map(|constant| constant.kind));
        let kind = match zero_point {
            Some(kind) => quantized_kind(node, Some(kind?)),
            None => quantized_kind(node, None),
        };
        range(kind?).map(|(low, _)| low as f64)
    }

    /// The zero point of a quantizer, if it is the same for all channels.
    fn zero_point(&self, node: &NodeProto) -> Option<f64> {
        let Some(name) = node.input.get(2).filter(|name| !name.is_empty()) else { return Some(0.0) };
        let numbers = self.constants.get(name)?;
        let numbers = numbers.whole()?;
        let first = *numbers.first()?;
        numbers.iter().all(|&number| number == first).then_some(first as f64)
    }

    fn bounds(&self, node: &NodeProto) -> Option<(f64, f64)> {
        let bound = |at: usize, name: &str, otherwise: f64| match node.input.get(at).filter(|name| !name.is_empty()) {
            Some(input) => self.constants.get(input).as_ref().and_then(first).map(f64::from),
            None => Some(node.float(name).map_or(otherwise, f64::from)),
        };
        Some((bound(1, "min", f64::NEG_INFINITY)?, bound(2, "max", f64::INFINITY)?))
    }
}

fn first(constant: &Constant) -> Option<f32> {
    constant.real().first().copied()
}

#[cfg(test)]
mod tests;
