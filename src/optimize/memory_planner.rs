//! Places buffers such that those with disjoint live ranges share memory.

use std::ops::Range;

use crate::model::fused::FusedNetwork;

/// A buffer to be placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extent {
    /// Its live range.
    pub(super) life: Range<usize>,
    /// Values in it.
    pub(super) size: usize,
}

/// The live range of each segment: inputs are written at time 0, layers from time 1 on, and outputs are read at the end.
pub(super) fn live_ranges(network: &FusedNetwork) -> Vec<Range<usize>> {
    let inputs = network.inputs.len();
    let segments = inputs + network.layers.len();
    let mut live_ranges: Vec<Range<usize>> = (0..segments).map(|s| (s + 1).saturating_sub(inputs)..0).collect();
    live_ranges.iter_mut().for_each(|life| life.end = life.start);
    for (number, layer) in network.layers.iter().enumerate() {
        layer.reads.iter().for_each(|read| live_ranges[read.segment].end = number + 1);
    }
    for read in network.outputs.iter().flat_map(|output| &output.reads) {
        live_ranges[read.segment].end = network.layers.len() + 1;
    }
    live_ranges
}

/// Merges the groups of `a` and `b`; the least member is the head of all. Returns it.
pub(super) fn join(heads: &mut [usize], a: usize, b: usize) -> usize {
    let (to, from) = (a.min(b), a.max(b));
    heads.iter_mut().filter(|head| **head == from).for_each(|head| *head = to);
    to
}

/// The span from the first to the last time of any; empty for none.
pub(super) fn union<'a>(live_ranges: impl IntoIterator<Item = &'a Range<usize>>) -> Range<usize> {
    let both = |a: Range<usize>, b: Range<usize>| a.start.min(b.start)..a.end.max(b.end);
    live_ranges.into_iter().cloned().reduce(both).unwrap_or_default()
}

/// The start of each buffer, and the total size. Largest first, each as low as possible beside those alive at the same time.
pub(super) fn place(extents: &[Extent]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..extents.len()).collect();
    order.sort_by_key(|&e| std::cmp::Reverse(extents[e].size));
    let mut starts = vec![0; extents.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut end = 0;
    for e in order {
        let Extent { life, size } = &extents[e];
        let at_once = |&&other: &&usize| extents[other].life.start <= life.end && life.start <= extents[other].life.end;
        let mut taken: Vec<Range<usize>> =
            placed.iter().filter(at_once).map(|&other| starts[other]..starts[other] + extents[other].size).collect();
        taken.sort_by_key(|range| range.start);
        let mut start = 0;
        for range in taken {
            if start + size <= range.start {
                break;
            }
            start = start.max(range.end);
        }
        starts[e] = start;
        end = end.max(start + size);
        placed.push(e);
    }
    (starts, end)
}
