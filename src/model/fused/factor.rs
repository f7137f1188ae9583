//! Moves the affines that all readers of a segment apply first to its writer, where they are done once.

use super::{Chain, Layer, Read};

/// One read of a segment, whoever the reader is.
pub(in super::super) struct Use<'a> {
    /// Which segment.
    pub(in super::super) segment: usize,
    /// The operations on it from the layer's bare result on.
    pub(in super::super) chain: &'a Chain,
}

/// The affines that belong to each segment's writer, as a number of leading affines of every reader's chain: up to the last one
/// that gives quantized values and that all readers share. Segments are then kept as quantized values, not as accumulators.
fn shared(uses: &[Use<'_>], segments: usize) -> Vec<usize> {
    let mut first: Vec<Option<(&Chain, usize)>> = vec![None; segments];
    for Use { segment, chain } in uses {
        let slot = &mut first[*segment];
        let common = slot.map_or(chain.len(), |(other, common)| common.min(other.common(chain)));
        *slot = Some((slot.map_or(*chain, |(other, _)| other), common));
    }
    first.into_iter().map(|slot| slot.map_or(0, |(chain, common)| chain.quantized_within(common))).collect()
}

/// Splits every reader's chain between the reader and the segment's writer. `readers` are those of each layer, then those of each
/// output; the first `inputs` segments have no writer.
pub(in super::super) fn factor(inputs: usize, layers: &mut [Layer], readers: &[Vec<(usize, Chain)>]) -> Vec<Vec<Read>> {
    let uses: Vec<Use<'_>> =
        readers.iter().flatten().map(|(segment, chain)| Use { segment: *segment, chain }).collect();
    let mut counts = shared(&uses, inputs + layers.len());
    counts[..inputs].fill(0);
    for Use { segment, chain } in &uses {
        if let Some(layer) = segment.checked_sub(inputs) {
            layers[layer].epilogue = chain.first_affines(counts[*segment]);
        }
    }
    let read =
        |(segment, chain): &(usize, Chain)| Read { segment: *segment, prologue: chain.affines(counts[*segment]) };
    readers.iter().map(|reads| reads.iter().map(read).collect()).collect()
}
