//! Moves the affines that all readers of a segment apply first to its writer, where they are done once.

use super::{Chain, Layer, Read};

/// A read, whoever the reader is, before its chain is split between reader and writer.
pub(in super::super) struct Unfactored {
    /// Which segment.
    pub(in super::super) segment: usize,
    /// Which of its channels; empty for all.
    pub(in super::super) channels: Vec<usize>,
    /// The operations on it from the layer's bare result on, for all channels.
    pub(in super::super) chain: Chain,
}

/// The affines that belong to each segment's writer, as a number of leading affines of every reader's chain: up to the last one
/// that gives quantized values and that all readers share. Segments are then kept as quantized values, not as accumulators.
fn shared(reads: &[Vec<Unfactored>], segments: usize) -> Vec<usize> {
    let mut first: Vec<Option<(&Chain, usize)>> = vec![None; segments];
    for Unfactored { segment, chain, .. } in reads.iter().flatten() {
        let slot = &mut first[*segment];
        let common = slot.map_or(chain.len(), |(other, common)| common.min(other.common(chain)));
        *slot = Some((slot.map_or(chain, |(other, _)| other), common));
    }
    first.into_iter().map(|slot| slot.map_or(0, |(chain, common)| chain.quantized_within(common))).collect()
}

/// Splits every reader's chain between the reader and the segment's writer. `readers` are those of each layer, then those of each
/// output; the first `inputs` segments have no writer.
pub(in super::super) fn factor(inputs: usize, layers: &mut [Layer], readers: &[Vec<Unfactored>]) -> Vec<Vec<Read>> {
    let mut counts = shared(readers, inputs + layers.len());
    counts[..inputs].fill(0);
    for Unfactored { segment, chain, .. } in readers.iter().flatten() {
        if let Some(layer) = segment.checked_sub(inputs) {
            layers[layer].epilogue = chain.first_affines(counts[*segment]);
        }
    }
    let read = |Unfactored { segment, channels, chain }: &Unfactored| Read {
        segment: *segment,
        channels: channels.clone(),
        prologue: chain.affines(counts[*segment]),
    };
    readers.iter().map(|reads| reads.iter().map(read).collect()).collect()
}
