//! The place of each segment's values.

use std::collections::BTreeMap;

use super::unfit;
use crate::error::Result;
use crate::model::fused::{FusedNetwork, Op, Read};
use crate::optimize::memory_planner::{self, Extent};

/// Channel `c` of pixel `p` is at `start + p * stride + c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ArenaSlot {
    pub(super) start: usize,
    pub(super) stride: usize,
}

/// The channel of each value of a pixel; `None` is a zero that pads a group of four.
pub(super) type Lanes = Vec<Option<usize>>;

/// Places of all segments.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GpuLayout {
    pub(super) places: Vec<ArenaSlot>,
    pub(super) lanes: Vec<Lanes>,
    /// Values in all regions.
    pub(super) size: usize,
}

impl GpuLayout {
    /// Segments that are read together share a region; `result` is an array of its own.
    pub(super) fn new(network: &FusedNetwork, images: usize, result: usize) -> Result<Self> {
        let segments = network.inputs.len() + network.layers.len();
        let mut heads: Vec<usize> = (0..segments).collect();
        for layer in &network.layers {
            for pair in layer.reads.windows(2) {
                let (a, b) = (heads[pair[0].segment], heads[pair[1].segment]);
                if network.shape(pair[0].segment).area() != network.shape(pair[1].segment).area() {
                    return Err(unfit(&layer.name, "it reads segments of different sizes"));
                }
                memory_planner::join(&mut heads, a, b);
            }
        }
        let mut families: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        heads.iter().enumerate().for_each(|(segment, &head)| families.entry(head).or_default().push(segment));
        let lanes = lanes(network);
        let families: Vec<Vec<usize>> = families.into_values().filter(|members| members != &[result]).collect();
        let stride = |members: &[usize]| members.iter().map(|&segment| lanes[segment].len()).sum::<usize>();
        let live_ranges = memory_planner::live_ranges(network);
        let extent = |members: &Vec<usize>| {
            let size = images * network.shape(members[0]).area() * stride(members);
            Extent { life: memory_planner::union(members.iter().map(|&segment| &live_ranges[segment])), size }
        };
        let (starts, size) = memory_planner::place(&families.iter().map(extent).collect::<Vec<_>>());
        let mut places = vec![ArenaSlot { start: 0, stride: network.shape(result).channels }; segments];
        for (members, start) in families.iter().zip(starts) {
            let mut offset = 0;
            for &segment in members {
                places[segment] = ArenaSlot { start: start + offset, stride: stride(members) };
                offset += lanes[segment].len();
            }
        }
        Ok(Self { places, lanes, size })
    }

    /// The place of the first of some segments, if the others follow it contiguously.
    pub(super) fn joined(&self, reads: &[Read]) -> Option<ArenaSlot> {
        let follows = |pair: &[Read]| {
            let (one, next) = (self.places[pair[0].segment], self.places[pair[1].segment]);
            one.stride == next.stride && one.start + self.lanes[pair[0].segment].len() == next.start
        };
        reads.windows(2).all(follows).then(|| self.places[reads[0].segment])
    }
}

/// The lanes of all segments. A pool keeps those of its input.
fn lanes(network: &FusedNetwork) -> Vec<Lanes> {
    let plain =
        |channels: usize| -> Lanes { (0..channels.next_multiple_of(4)).map(|i| (i < channels).then_some(i)).collect() };
    let mut lanes: Vec<Lanes> = network.inputs.iter().map(|input| plain(input.shape.channels)).collect();
    for layer in &network.layers {
        lanes.push(match layer.op {
            Op::Convolution { .. } | Op::Add | Op::Multiply => plain(layer.output.channels),
            Op::MaxPool(_) | Op::SumPool(_) | Op::Normalize { .. } => behind(network, &lanes, &layer.reads),
        });
    }
    lanes
}

/// The lanes of the concatenation of some segments.
pub(super) fn behind(network: &FusedNetwork, lanes: &[Lanes], reads: &[Read]) -> Lanes {
    let mut all = Lanes::new();
    let mut before = 0;
    for read in reads {
        all.extend(lanes[read.segment].iter().map(|lane| lane.map(|channel| before + channel)));
        before += network.shape(read.segment).channels;
    }
    all
}
