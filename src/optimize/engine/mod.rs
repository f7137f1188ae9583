//! Runs a fused network with the int8 kernels: bit for bit what [`FusedNetwork::run`] says, only faster.
//!
//! All memory is laid out when the engine is made. What a layer reads is decoded, normed, rectified and encoded on the way
//! to its convolution, in strips that stay in the cache; what it writes is its segment, in codes. Layers that the kernels
//! do not do (pools, float convolutions) work on real numbers gathered from their segments.

mod convolution;
mod map;
mod other;

use std::collections::HashMap;

use crate::kernels::Kernels;
use crate::model::fused::{FusedNetwork, Layer, Op, Read, Weights};
use convolution::Convolution;
use map::{Buffer, Kind, Map, Margin};

/// A fused network, ready to run.
#[derive(Debug)]
pub struct Engine {
    network: FusedNetwork,
    kernels: Kernels,
    maps: Vec<Map>,
    layers: Vec<Work>,
}

/// How a layer is done.
#[derive(Debug)]
enum Work {
    /// By the int8 kernels.
    Int8(Box<Convolution>),
    /// As the interpreter does it.
    Other,
}

/// All that an engine writes to while it runs.
#[derive(Debug, Clone)]
pub struct Memory {
    segments: Vec<Buffer>,
    scratch: Scratch,
}

/// Room for what lives within one layer only.
#[derive(Debug, Clone, Default)]
struct Scratch {
    /// Codes that a convolution reads.
    codes: Vec<u8>,
    /// Results in another pitch than the segment has.
    results: Vec<u8>,
    reals: Vec<f32>,
}

impl Engine {
    /// An engine for `network` that computes with `kernels`.
    pub fn new(network: FusedNetwork, kernels: Kernels) -> Self {
        let margins = margins(&network);
        let segments = network.inputs.len() + network.layers.len();
        let mut maps: Vec<Map> = Vec::with_capacity(segments);
        for segment in 0..segments {
            let shape = network.shape(segment);
            let margin = margins.get(&(shape.height, shape.width)).copied().unwrap_or_default();
            maps.push(Map::new(shape, kind(&network, segment, &maps), margin));
        }
        let work = |(number, layer): (usize, &Layer)| {
            let to = &maps[network.inputs.len() + number];
            match Convolution::new(&network, layer, &maps, to) {
                Some(convolution) => Work::Int8(Box::new(convolution)),
                None => Work::Other,
            }
        };
        let layers = network.layers.iter().enumerate().map(work).collect();
        Self { network, kernels, maps, layers }
    }

    /// What it runs.
    pub fn network(&self) -> &FusedNetwork {
        &self.network
    }

    /// What computes a layer.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn kernel(&self, layer: usize) -> &'static str {
        match self.layers[layer] {
            Work::Int8(_) => self.kernels.isa().name(),
            Work::Other => "plain",
        }
    }

    /// Memory to run in.
    pub fn memory(&self) -> Memory {
        let largest = |size: fn(&Convolution) -> usize| {
            let sizes = self.layers.iter().map(|work| match work {
                Work::Int8(convolution) => size(convolution),
                Work::Other => 0,
            });
            sizes.max().unwrap_or(0)
        };
        let scratch = Scratch {
            codes: vec![0; largest(Convolution::code_bytes)],
            results: vec![0; largest(Convolution::result_bytes)],
            reals: Vec::new(),
        };
        Memory { segments: self.maps.iter().map(Map::buffer).collect(), scratch }
    }

    /// The outputs for one picture; `inputs` are as many values as the inputs' shapes have.
    ///
    /// # Panics
    /// If there are not as many inputs, an input has another number of values, or `memory` is of another engine.
    pub fn run(&self, inputs: &[&[f32]], memory: &mut Memory) -> Vec<Vec<f32>> {
        assert_eq!(inputs.len(), self.network.inputs.len(), "one value list for each input");
        for ((values, input), (map, buffer)) in
            inputs.iter().zip(&self.network.inputs).zip(self.maps.iter().zip(&mut memory.segments))
        {
            assert_eq!(values.len(), input.shape.len(), "values of input {}", input.name);
            other::scatter(map, buffer, values);
        }
        for (number, (layer, work)) in self.network.layers.iter().zip(&self.layers).enumerate() {
            let segment = self.network.inputs.len() + number;
            let mut written = std::mem::take(&mut memory.segments[segment]);
            let to = &self.maps[segment];
            match work {
                Work::Int8(convolution) => {
                    let from = (&self.maps[..], &memory.segments[..]);
                    convolution.run(self.kernels, &layer.reads, from, (to, &mut written), &mut memory.scratch);
                }
                Work::Other => {
                    let gathered = self.gather(&layer.reads, &memory.segments, &mut memory.scratch);
                    let result = other::result(layer, &gathered, self.network.input_shape(layer));
                    other::scatter(to, &mut written, &result);
                }
            }
            memory.segments[segment] = written;
        }
        let outputs = self.network.outputs.iter();
        outputs.map(|output| self.gather(&output.reads, &memory.segments, &mut memory.scratch)).collect()
    }

    /// The real numbers of some segments, after their steps, in planes of one channel.
    fn gather(&self, reads: &[Read], segments: &[Buffer], scratch: &mut Scratch) -> Vec<f32> {
        let mut all = Vec::new();
        for read in reads {
            other::gather(
                self.kernels,
                read,
                &self.maps[read.segment],
                &segments[read.segment],
                &mut scratch.reals,
                &mut all,
            );
        }
        all
    }
}

/// The room that windows need which read segments as they are.
fn margins(network: &FusedNetwork) -> HashMap<(usize, usize), Margin> {
    let mut margins: HashMap<(usize, usize), Margin> = HashMap::new();
    for layer in &network.layers {
        let Op::Convolution { window, .. } = &layer.op else { continue };
        if !convolution::reads_as_is(network, layer) {
            continue;
        }
        let shape = network.input_shape(layer);
        let margin = margins.entry((shape.height, shape.width)).or_default();
        let [top, left, bottom, right] = window.padding;
        margin.gap = margin.gap.max(left).max(right);
        margin.rows = margin.rows.max(top).max(bottom);
    }
    margins
}

/// How a segment is kept; `maps` are those of the segments before it.
fn kind(network: &FusedNetwork, segment: usize, maps: &[Map]) -> Kind {
    if !network.holds_codes(segment) {
        return Kind::Real;
    }
    let layer = &network.layers[segment - network.inputs.len()];
    let signed = |low: f32| if low < 0.0 { Kind::Signed } else { Kind::Unsigned };
    match (layer.write.last(), layer.reads[0].steps.last()) {
        (Some(step), _) | (None, Some(step)) => signed(step.low),
        (None, None) => maps[layer.reads[0].segment].kind,
    }
}

/// The weights of an int8 convolution that kernels can do.
fn codes(layer: &Layer) -> Option<(&[i8], i32)> {
    match &layer.op {
        Op::Convolution { weights: Weights::Int8 { values, zero_points, input_zero_point }, .. } => {
            (zero_points.is_empty() && !values.contains(&i8::MIN)).then_some((values, *input_zero_point))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
