//! What really runs: every node of the optimized graph with the type it computes in.

use std::fmt;

use serde::{Serialize, Serializer};
use tract_core::internal::*;

use crate::kernels::Isa;
use crate::model::fused::OpKind;
use crate::model::onnx::Opaque;
use crate::optimize::{Engine, FusedOp};

/// One thing that is computed for each image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Executed {
    /// Name of the node, as in the file.
    pub node: String,
    /// What it computes.
    pub op: Operation,
    /// Type it computes in.
    pub r#type: ComputeType,
    /// What computes it.
    pub kernel: Kernel,
    /// Multiply-adds for one image, of convolutions and matrix products; 0 for all else.
    pub macs: u64,
}

/// What is computed. In JSON its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// A layer of a fused network: `conv`, `max_pool`, `sum_pool`, `add`, `multiply` or `normalize`.
    Layer(OpKind),
    /// An input comes into a GPU's memory, or into an engine's form: `load`.
    Load,
    /// An output leaves an engine: `store`.
    Store,
    /// What tract calls by this name.
    Tract(String),
}

/// The type that something is computed in. In JSON its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ComputeType {
    /// Quantized values of 8 bits: `int8`.
    Int8,
    /// `f16`
    F16,
    /// `f32`
    F32,
    /// What tract calls by this name.
    Tract(String),
}

/// What computes something. In JSON its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// The engine, with this instruction set: `densight avx2`.
    Engine(Isa),
    /// A kernel on a GPU: `densight cuda dense`.
    Cuda(&'static str),
    /// `tract`
    Tract,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Layer(kind) => kind.name(),
            Self::Load => "load",
            Self::Store => "store",
            Self::Tract(name) => name,
        })
    }
}

impl fmt::Display for ComputeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Int8 => "int8",
            Self::F16 => "f16",
            Self::F32 => "f32",
            Self::Tract(name) => name,
        })
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(isa) => write!(f, "densight {isa}"),
            Self::Cuda(name) => write!(f, "densight cuda {name}"),
            Self::Tract => f.write_str("tract"),
        }
    }
}

/// Writes the name.
macro_rules! serialized_by_name {
    ($($name:ident),+) => {
        $(impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        })+
    };
}

serialized_by_name!(Operation, ComputeType, Kernel);

/// The list of what runs, and what it comes to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Execution {
    /// Share of multiply-adds in int8, 0 to 1; 0 where nothing is multiplied.
    pub int8_share: f64,
    /// Convolutions and matrix products in int8.
    pub int8_convolutions: usize,
    /// Convolutions and matrix products in any other type.
    pub float_convolutions: usize,
    /// Nodes in the order they run.
    pub nodes: Vec<Executed>,
    /// Nodes at which the network was left to tract, each with the reason.
    pub left: Vec<Left>,
}

/// A node that is not part of a fused network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// Name of the node.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// Why it is not fused.
    pub reason: String,
}

impl Execution {
    /// What an engine runs that is all there is.
    pub(super) fn of_engine(engine: &Engine) -> Self {
        Self::new(layers(engine).collect(), &[])
    }

    /// What a graph runs.
    pub(super) fn of_graph(model: &TypedModel, opaque: &[Opaque]) -> TractResult<Self> {
        let mut nodes = Vec::new();
        for &id in &model.eval_order()? {
            let node = model.node(id);
            match node.op_as::<FusedOp>() {
                Some(fused) => nodes.extend(layers(fused.engine())),
                None if !node.inputs.is_empty() => nodes.push(by_tract(model, node)?),
                None => {}
            }
        }
        Ok(Self::new(nodes, opaque))
    }

    /// Share of multiply-adds in Densight's kernels, 0 to 1; 1 where nothing is multiplied.
    pub fn kernel_share(&self) -> f64 {
        let macs = |by_tract: bool| -> u64 {
            self.nodes.iter().filter(|node| (node.kernel == Kernel::Tract) == by_tract).map(|node| node.macs).sum()
        };
        let (ours, others) = (macs(false), macs(true));
        if ours + others == 0 { 1.0 } else { ours as f64 / (ours + others) as f64 }
    }

    pub(super) fn new(nodes: Vec<Executed>, opaque: &[Opaque]) -> Self {
        let macs = |nodes: &mut dyn Iterator<Item = &Executed>| nodes.map(|node| node.macs).sum::<u64>();
        let is_int8 = |node: &&Executed| node.r#type == ComputeType::Int8;
        let all = macs(&mut nodes.iter());
        let int8 = macs(&mut nodes.iter().filter(is_int8));
        let convolutions = nodes.iter().filter(|node| node.macs > 0);
        let int8_convolutions = convolutions.clone().filter(is_int8).count();
        let left = |o: &Opaque| Left { node: o.node.clone(), op: o.op.clone(), reason: o.reason.to_string() };
        Self {
            int8_share: if all == 0 { 0.0 } else { int8 as f64 / all as f64 },
            int8_convolutions,
            float_convolutions: convolutions.count() - int8_convolutions,
            left: opaque.iter().map(left).collect(),
            nodes,
        }
    }
}

fn layers(engine: &Engine) -> impl Iterator<Item = Executed> {
    engine.layers().iter().map(|layer| Executed {
        node: layer.name.clone(),
        op: Operation::Layer(layer.op),
        r#type: if layer.int8 { ComputeType::Int8 } else { ComputeType::F32 },
        kernel: Kernel::Engine(engine.isa()),
        macs: layer.macs,
    })
}

/// What tract computes at a node.
pub(super) fn by_tract(model: &TypedModel, node: &TypedNode) -> TractResult<Executed> {
    let inputs = model.node_input_facts(node.id)?;
    // Only what multiplies matrices: elementwise operators too say how often they multiply.
    const PRODUCTS: [&str; 5] = ["Conv", "EinSum", "MatMul", "DepthWise", "DirectSpatial"];
    let op = node.op.name().into_owned();
    let mut macs = 0;
    let mut kind = format!("{:?}", node.outputs[0].fact.datum_type).to_lowercase();
    if PRODUCTS.iter().any(|product| op.contains(product)) && !op.contains("Pack") {
        for (cost, count) in node.op.cost(&inputs)? {
            if let Cost::FMA(datum) = cost {
                macs += count.to_i64().unwrap_or(0).max(0) as u64;
                kind = format!("{datum:?}").to_lowercase();
            }
        }
    }
    let r#type = match kind.as_str() {
        "i8" | "u8" if macs > 0 => ComputeType::Int8,
        "f32" => ComputeType::F32,
        "f16" => ComputeType::F16,
        _ => ComputeType::Tract(kind),
    };
    Ok(Executed { node: node.name.clone(), op: Operation::Tract(op), r#type, kernel: Kernel::Tract, macs })
}
