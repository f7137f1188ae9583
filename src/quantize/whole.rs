//! A float graph with all of its networks as one, and what comes into them.

use std::collections::BTreeSet;

use crate::error::{Error, ErrorKind, Result};
use crate::model::fused::{FusedNetwork, Input};
use crate::model::onnx::{FUSED, Fusion, OnnxFile, Opaque, is_quantized};
use crate::runtime::Tensors;

/// A graph that is to be quantized, or was.
pub(super) struct Whole {
    /// As it was read.
    pub(super) file: OnnxFile,
    /// With a node in the place of each network.
    pub(super) fused: OnnxFile,
    /// The networks, one behind the other.
    pub(super) network: FusedNetwork,
    /// Inputs of it that have rank 2 in the graph.
    pub(super) flat: BTreeSet<String>,
    /// Nodes at which networks end.
    pub(super) opaque: Vec<Opaque>,
}

impl Whole {
    /// The networks of a graph.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] where there are none.
    pub(super) fn of(file: OnnxFile) -> Result<Self> {
        let mut fused = file.clone();
        let Fusion { networks, opaque, flat } = fused.fuse()?;
        if networks.is_empty() {
            let first = opaque.first().map_or(String::new(), |o| format!("; {} ({}): {}", o.node, o.op, o.reason));
            return Err(Error::new(ErrorKind::Model, format!("no network with branches was found in it{first}")));
        }
        Ok(Self { network: joined(&networks), file, fused, flat, opaque })
    }

    /// As [`of`](Self::of), of a float graph.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] too for a graph that holds quantized values.
    pub(super) fn float(file: OnnxFile) -> Result<Self> {
        let refuse = |what: &str| Err(Error::new(ErrorKind::Model, what));
        if is_quantized(&file) {
            return refuse("the model is quantized already: give the float model it was made from");
        }
        let whole = Self::of(file)?;
        // Where a network reads or writes whole numbers, they are cast under another name.
        let nodes = whole.fused.proto.graph.iter().flat_map(|graph| &graph.node).filter(|node| node.op_type == FUSED);
        let known = |name: &String| {
            let network = &whole.network;
            network.inputs.iter().any(|input| input.name == *name) || network.outputs.iter().any(|o| o.name == *name)
        };
        if !nodes.flat_map(|node| node.input.iter().chain(&node.output)).all(known) {
            return refuse("its graph computes with whole numbers of 8 bits: export the float model without them");
        }
        Ok(whole)
    }

    /// What gives the values that come into the network.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] for a graph that cannot be run.
    pub(super) fn inputs(&self) -> Result<Inputs> {
        let image = &self.file.input.name;
        let names: Vec<&str> = self.network.inputs.iter().map(|input| input.name.as_str()).collect();
        let inner: Vec<&str> = names.iter().copied().filter(|name| *name != image.as_str()).collect();
        let tensors = if inner.is_empty() { None } else { Some(Tensors::new(&self.file, &inner)?) };
        Ok(Inputs { image: names.iter().position(|name| *name == image.as_str()), tensors })
    }
}

/// Gives the values of a network's inputs for a picture.
pub(super) struct Inputs {
    /// Which of them is the picture itself.
    image: Option<usize>,
    tensors: Option<Tensors>,
}

impl Inputs {
    /// Values of each input, in order.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] where the graph fails on the picture.
    pub(super) fn of(&self, picture: &[f32]) -> Result<Vec<Vec<f32>>> {
        let mut values = self.tensors.as_ref().map_or(Ok(Vec::new()), |tensors| tensors.run(picture))?;
        if let Some(at) = self.image {
            values.insert(at, picture.to_vec());
        }
        Ok(values)
    }
}

/// Networks as one. What comes into one of them from another by way of nodes in between comes in from outside.
fn joined(networks: &[FusedNetwork]) -> FusedNetwork {
    let mut inputs: Vec<Input> = Vec::new();
    for input in networks.iter().flat_map(|network| &network.inputs) {
        if !inputs.iter().any(|known| known.name == input.name) {
            inputs.push(input.clone());
        }
    }
    let mut joined = FusedNetwork { inputs, ..Default::default() };
    for network in networks {
        let own = network.inputs.len();
        let first = joined.inputs.len() + joined.layers.len();
        let place = |segment: usize| match network.inputs.get(segment) {
            Some(input) => joined.inputs.iter().position(|known| known.name == input.name).unwrap_or(0),
            None => first + segment - own,
        };
        let moved = |reads: &mut Vec<crate::model::fused::Read>| {
            reads.iter_mut().for_each(|read| read.segment = place(read.segment));
        };
        let (mut layers, mut outputs) = (network.layers.clone(), network.outputs.clone());
        layers.iter_mut().for_each(|layer| moved(&mut layer.reads));
        outputs.iter_mut().for_each(|output| moved(&mut output.reads));
        joined.layers.extend(layers);
        joined.outputs.extend(outputs);
    }
    joined
}
