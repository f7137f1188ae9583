//! Walks a graph once and keeps for every tensor what it consists of.
//!
//! Convolutions and pools become layers, all that is done to single channels becomes part of a [`Chain`], concatenations
//! become lists. A node that is none of these is *opaque*: it stays with tract, and what it writes comes in from outside.
//! Layers up to the first opaque nodes are region 0; what depends on such a node is region 1, and so on: within a region
//! nothing has to wait for what is outside of it.

use std::collections::HashMap;

use tract_onnx::pb::{GraphProto, NodeProto, tensor_proto::DataType};

use super::super::super::fused::Shape;
use super::super::super::{Limit, Limits};
use super::attributes::Attributes;
use super::constants::Constants;
use super::evaluate::{axis_of, some_of};
use super::infer::{Extents, inferred};
use super::not_fused::NotFused;
use super::shapes::declared;
use super::state::{Opaque, Walk, name_of};
use super::value::{Piece, Value};
use super::{border, combine, elementwise, layer_norm, operators as layers, pools, select};
use crate::error::Result as Loaded;
use crate::model::onnx::operators;

/// Operators that may read quantized values.
const QUANTIZED: [&str; 12] = [
    "Cast",
    "Clip",
    "DequantizeLinear",
    "Flatten",
    "Gather",
    "Identity",
    "MaxPool",
    "Reshape",
    "Slice",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

/// Operators that may read channels in groups.
const GROUPED: [&str; 4] = ["Flatten", "Identity", "Reshape", "Transpose"];

impl<'a> Walk<'a> {
    /// Walks `graph`, whose input `input` has `shape`.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Model`] where the graph comes to more than `limits`.
    pub(super) fn through(graph: &'a GraphProto, input: &str, shape: Shape, limits: &'a Limits) -> Loaded<Self> {
        let mut walk = Self {
            constants: Constants::of(graph, limits.constants),
            values: HashMap::new(),
            sources: Vec::new(),
            opaque: Vec::new(),
            outputs: graph.output.iter().map(|output| output.name.clone()).collect(),
            needed: graph.output.iter().map(|output| output.name.clone()).collect(),
            lifted: HashMap::new(),
            beyond: HashMap::new(),
            declared: declared(graph),
            extents: HashMap::new(),
            waiting: HashMap::new(),
            limits,
            macs: 0,
            channels: 0,
        };
        let value = walk.outside(input, shape, false, DataType::Float, 0);
        walk.values.insert(input.into(), value);
        for node in &graph.node {
            walk.visit(node);
            walk.check(node)?;
        }
        walk.leave_waiting(&walk.outputs.clone());
        Ok(walk)
    }

    /// Counts what a node that was visited costs, and looks whether it is within the limits.
    fn check(&mut self, node: &NodeProto) -> Loaded<()> {
        let Some(value) = node.output.first().and_then(|name| self.values.get(name)) else { return Ok(()) };
        let kept = node.output.iter().filter_map(|name| self.values.get(name)).map(Value::kept);
        self.channels = kept.fold(self.channels, u64::saturating_add);
        let bytes = (value.shape.len() as u64).checked_mul(size_of::<f32>() as u64);
        let costs = [
            (Limit::Activations, bytes),
            (Limit::Channels, Some(self.channels)),
            (Limit::Macs, Some(self.macs)),
            (Limit::Constants, Some(self.constants.computed_bytes())),
        ];
        let mut checks = costs.into_iter().map(|(limit, cost)| self.limits.check(limit, cost));
        checks.find(Result::is_err).unwrap_or(Ok(())).map_err(|e| e.at(format!("node {}", name_of(node))))
    }

    /// The types of tensors of quantized values, by name.
    pub(super) fn quantized(&self) -> HashMap<String, DataType> {
        let quantized = self.values.iter().filter(|(_, value)| value.kind != DataType::Float);
        quantized.map(|(name, value)| (name.clone(), value.kind)).collect()
    }

    fn visit(&mut self, node: &'a NodeProto) {
        let Some(output) = node.output.first() else { return };
        if self.waits(node) {
            self.waiting.insert(output.clone(), node);
            return;
        }
        match self.mirrored_convolution(node).or_else(|| layer_norm::between_transpositions(self, node)) {
            Some(value) => {
                self.compare(output, &value);
                self.values.insert(output.clone(), value);
                return;
            }
            None => self.leave_waiting(&node.input),
        }
        // Other nodes are constants, or depend on nothing but what is unknown already.
        if !node.input.iter().any(|name| self.values.contains_key(name)) {
            if let Some(region) = node.input.iter().filter_map(|name| self.beyond.get(name)).max().copied() {
                self.beyond.extend(node.output.iter().map(|name| (name.clone(), region)));
                self.enter(node, region);
            }
            return;
        }
        if node.op_type == "Shape"
            && operators::understood(node).is_ok()
            && let Ok(value) = self.value(node, 0)
        {
            let dims: Vec<i64> = value.dims().into_iter().map(|dim| dim as i64).collect();
            self.constants.insert(output, some_of(dims, node.int("start"), node.int("end")));
            return;
        }
        if node.op_type == "Split" {
            match operators::understood(node).map_err(NotFused::NotUnderstood).and_then(|()| select::split(self, node))
            {
                Ok(values) => self.values.extend(node.output.iter().cloned().zip(values)),
                Err(reason) => self.leave(node, reason),
            }
            return;
        }
        match self.fused(node) {
            Ok(value) => {
                self.compare(output, &value);
                self.values.insert(output.clone(), value);
            }
            Err(reason) => self.leave(node, reason),
        }
    }

    /// A convolution that takes in the mirrored border of what it reads.
    fn mirrored_convolution(&mut self, node: &NodeProto) -> Option<Value> {
        let pad = *self.waiting.get(node.input.first()?).filter(|pad| pad.op_type == "Pad")?;
        let fits = node.op_type == "Conv" && node.output.len() == 1 && operators::understood(node).is_ok();
        let value = self.value(pad, 0).ok().filter(|_| fits)?;
        let border = border::mirrored(pad, &self.constants);
        layers::convolution_of(self, node, value, border).ok()
    }

    /// Whether a node is fused only together with what reads it.
    fn waits(&self, node: &NodeProto) -> bool {
        border::mirrored(node, &self.constants).is_some() && self.value(node, 0).is_ok()
            || layer_norm::waits(self, node)
    }

    /// Leaves those of some tensors to tract that wait for another reader, and what those wait for.
    fn leave_waiting(&mut self, names: &[String]) {
        for name in names {
            if let Some(node) = self.waiting.remove(name) {
                self.leave_waiting(&node.input);
                self.leave(
                    node,
                    match node.op_type.as_str() {
                        "Pad" => NotFused::Form("what reads it is no convolution that can mirror"),
                        _ => NotFused::Form("it is no part of a LayerNormalization between two Transposes"),
                    },
                );
            }
        }
    }

    fn fused(&mut self, node: &NodeProto) -> Result<Value, NotFused> {
        operators::understood(node).map_err(NotFused::NotUnderstood)?;
        if node.output.len() > 1 {
            return Err(NotFused::Form("it has more than one output"));
        }
        match node.op_type.as_str() {
            op if !GROUPED.contains(&op) && node.input.iter().any(|name| self.is_grouped(name)) => {
                Err(NotFused::Form("it reads channels in groups"))
            }
            "Concat" => self.concat(node),
            // Only these treat quantized values as what they stand for, or as whole numbers.
            op if !QUANTIZED.contains(&op) && node.input.iter().any(|name| self.is_quantized(name)) => {
                Err(NotFused::quantization("it reads quantized values"))
            }
            "Conv" => layers::convolution(self, node),
            "Gemm" | "MatMul" => layers::linear(self, node),
            "MaxPool" => pools::max_pool(self, node),
            "AveragePool" | "GlobalAveragePool" | "ReduceMean" => pools::average_pool(self, node),
            "Add" | "Mul" | "Sub" | "Sum" if self.all_depend(node) => combine::combine(self, node),
            "PRelu" => combine::rectify(self, node),
            "Gather" | "Slice" => select::select(self, node),
            "Transpose" => select::shuffle(self, node),
            "LayerNormalization" => layer_norm::of_features(self, node),
            _ => elementwise::apply(self, node),
        }
    }

    /// Whether all that a node reads depends on the image.
    fn all_depend(&self, node: &NodeProto) -> bool {
        node.input.iter().all(|name| self.values.contains_key(name))
    }

    fn is_grouped(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| value.groups.is_some())
    }

    fn is_quantized(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| value.kind != DataType::Float)
    }

    fn concat(&mut self, node: &NodeProto) -> Result<Value, NotFused> {
        let mut parts = Vec::new();
        for index in 0..node.input.len() {
            parts.push(self.value(node, index)?);
        }
        let first = parts.first().ok_or(NotFused::Form("it joins nothing"))?;
        let (flat, shape, kind) = (first.flat, first.shape, first.kind);
        if axis_of(node, first.dims().len()) != 1 {
            return Err(NotFused::Form("it does not join channels"));
        }
        let fits = |v: &Value| (v.flat, v.shape.height, v.shape.width) == (flat, shape.height, shape.width);
        if !parts.iter().all(|part| part.kind == kind) {
            return Err(NotFused::quantization("its inputs have different types"));
        }
        if !parts.iter().all(fits) || (flat && shape.area() > 1) {
            return Err(NotFused::extents("its inputs have different extents"));
        }
        let region = parts.iter().map(|part| part.region).max().unwrap_or(0);
        let mut pieces = Vec::new();
        for (name, part) in node.input.iter().zip(parts) {
            pieces.extend(self.lifted(name, part, region).pieces);
        }
        let channels = pieces.iter().map(Piece::len).sum();
        Ok(Value { pieces, shape: Shape { channels, ..shape }, flat, groups: None, region, kind })
    }

    /// The tensor `name` in `region`: one of an earlier region comes in from outside.
    pub(super) fn lifted(&mut self, name: &str, value: Value, region: usize) -> Value {
        if value.region == region {
            return value;
        }
        self.needed.insert(name.into());
        self.outside(name, value.shape, value.flat, value.kind, region)
    }

    /// Leaves a node to tract.
    fn leave(&mut self, node: &NodeProto, reason: NotFused) {
        let known: Vec<(&String, &Value)> =
            node.input.iter().filter_map(|name| Some((name, self.values.get(name)?))).collect();
        let behind = known.iter().map(|(_, value)| value.region + 1);
        let region =
            behind.chain(node.input.iter().filter_map(|name| self.beyond.get(name).copied())).max().unwrap_or(1);
        self.needed.extend(known.into_iter().map(|(name, _)| name.clone()));
        self.opaque.push(Opaque { node: name_of(node).to_owned(), op: node.op_type.clone(), reason });
        self.beyond.extend(node.output.iter().map(|name| (name.clone(), region)));
        self.enter(node, region);
    }

    /// Looks whether the file declares other extents than `value` has. Those of what comes behind are as wrong then, and left aside.
    fn compare(&mut self, name: &str, value: &Value) {
        if self.declared.get(name).is_some_and(|(dims, _)| *dims != value.dims()) {
            self.declared.clear();
        }
    }

    /// Extents of what a node writes that is left to tract: inferred, else declared in the file.
    fn behind(&self, node: &NodeProto) -> Vec<Option<Extents>> {
        let known = |name: &String| match self.values.get(name) {
            Some(value) => Some((value.dims(), value.kind)),
            None => self.extents.get(name).cloned().or_else(|| self.constants.extents(name)),
        };
        let inputs: Vec<Option<Extents>> = node.input.iter().map(known).collect();
        let inferred = inferred(node, &inputs, &self.constants).unwrap_or_default();
        let of = |(at, name): (usize, &String)| inferred.get(at).or(self.declared.get(name.as_str())).cloned();
        node.output.iter().enumerate().map(of).collect()
    }

    /// Makes known what a node writes that is left to tract: what may be an image or features comes in from outside of `region`.
    fn enter(&mut self, node: &NodeProto, region: usize) {
        for (name, extents) in node.output.iter().zip(self.behind(node)) {
            let Some((dims, kind)) = extents else { continue };
            let value = match (&dims[..], kind) {
                (&[1, channels, height, width], DataType::Float | DataType::Int8 | DataType::Uint8) => {
                    self.outside(name, Shape { channels, height, width }, false, kind, region)
                }
                (&[1, channels], DataType::Float | DataType::Int8 | DataType::Uint8) => {
                    self.outside(name, Shape { channels, height: 1, width: 1 }, true, kind, region)
                }
                _ => {
                    self.extents.insert(name.clone(), (dims, kind));
                    continue;
                }
            };
            self.compare(name, &value);
            self.values.insert(name.clone(), value);
        }
    }
}
