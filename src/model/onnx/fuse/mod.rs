//! Finds networks with branches, densely connected ones first of all, in an ONNX graph, float or int8, by structure and never by names.
//!
//! This reads the file's own graph and not tract's: on loading, tract computes the real weights from their quantized values, and then
//! what the quantized values and scales were cannot be told any more.

mod attributes;
mod blocks;
mod border;
mod combine;
mod constant;
mod constants;
mod elementwise;
mod evaluate;
mod infer;
mod layer_norm;
mod not_fused;
mod operators;
mod ordered;
mod pools;
mod qoperator;
mod region;
mod select;
mod sense;
mod shapes;
mod state;
mod value;
mod walk;

pub(super) use attributes::Attributes;
pub(super) use blocks::decode_blocks;
pub(super) use border::pad_amounts;
pub(super) use constant::{Constant, Values};
pub(super) use constants::Constants;
pub(super) use evaluate::{quantized_kind, range, some_of};
pub(super) use infer::{Extents, inferred};
pub use qoperator::adds_zero_point_first;
pub(super) use qoperator::expand;
pub use region::{FUSED, node_name};
pub(super) use sense::check_constants;
pub use state::Opaque;
pub(super) use state::name_of;

use std::collections::BTreeSet;

use tract_onnx::pb::GraphProto;

use super::super::Limits;
use super::super::fused::{FusedNetwork, Shape};
use super::GraphInput;
use crate::error::Result;

/// What was found in a graph.
#[derive(Debug, Clone, Default)]
pub struct Fusion {
    /// Networks whose branches come together: densely connected ones, residual ones, and others.
    pub networks: Vec<FusedNetwork>,
    /// Nodes that depend on the image and are in none of them because of what they compute; behind them, of each part without
    /// branches, the first convolution.
    pub opaque: Vec<Opaque>,
    /// Inputs of the networks that are of rank 2 in the graph.
    pub flat: BTreeSet<String>,
}

/// Finds networks with branches in `graph` and replaces each with one node of operator [`FUSED`], called
/// [`node_name`] of its number, with the network's inputs and outputs. All else stays.
///
/// # Errors
/// [`crate::error::ErrorKind::Model`] for a graph that comes to more than `limits`.
pub fn fuse(graph: &mut GraphProto, input: &GraphInput, limits: &Limits) -> Result<Fusion> {
    let shape = Shape { channels: input.channels, height: input.height, width: input.width };
    let walk = state::Walk::through(graph, &input.name, shape, limits)?;
    let (networks, sparse) = region::networks(&walk, region::has_branches);
    let quantized = walk.quantized();
    let inputs = networks.iter().flat_map(|network| &network.inputs);
    let flat = inputs.filter(|input| walk.values.get(&input.name).is_some_and(|value| value.flat));
    let flat = flat.map(|input| input.name.clone()).collect();
    let mut opaque = walk.opaque;
    opaque.extend(sparse.iter().filter_map(|network| region::sparse(graph, network)));
    region::replace(graph, &networks, &quantized);
    Ok(Fusion { networks, opaque, flat })
}
